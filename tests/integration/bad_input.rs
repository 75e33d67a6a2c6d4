//! Each mistake ends with 125, 126 or 127 and one message; nothing runs, nothing is written.

use std::fs;

use crate::harness::{Build, Env, Output, SECCOMP_RUN, fixture, is_root, ordinary_user};

/// Offers a file as a profile in every way there is; the command must never run.
fn refused(env: &Env, what: &str, file: &str, mentions: &[&str]) {
    eprintln!("a profile with {what}");
    let marker = fixture("marker", Build::Static);
    let out = env.text("out.json");
    let touched = env.text("marker");
    let ways: [&[&str]; 4] = [
        &["--enforce", file],
        &["--enforce", file, "--exec"],
        &["--enforce", file, "--log"],
        &["--learn", "--base", file, "-o", &out],
    ];
    for way in ways {
        let result = env
            .ours(&[way, &["--", &marker, &touched]].concat())
            .limit(30)
            .output();
        check(env, what, &result, mentions);
        assert!(
            result.stderr.contains(file),
            "{what}: which file?\n{result}"
        );
        assert!(
            !env.path("out.json").exists(),
            "{what}: a profile was written\n{result}"
        );
    }
}

#[track_caller]
fn check(env: &Env, what: &str, result: &Output, mentions: &[&str]) {
    result.fails_cleanly(125);
    for text in mentions {
        assert!(
            result.stderr.contains(text),
            "{what}: expected on stderr: {text}\n{result}"
        );
    }
    assert!(
        !env.path("marker").exists(),
        "{what}: the command ran\n{result}"
    );
    assert!(
        result.stderr.len() < 2000,
        "{what}: a message, not an essay\n{result}"
    );
}

const GOOD: &str = r#"{
  "defaultAction": "SCMP_ACT_ALLOW",
  "architectures": ["SCMP_ARCH_X86_64"],
  "syscalls": [
    {
      "names": ["getppid"],
      "action": "SCMP_ACT_ERRNO",
      "errnoRet": 111,
      "args": [
        {"index": 0, "value": 1, "op": "SCMP_CMP_NE"}
      ]
    }
  ]
}
"#;

#[test]
fn the_good_profile_of_these_tests_is_good() {
    let env = Env::new();
    let file = env.write("p.json", GOOD);
    let marker = fixture("marker", Build::Static);
    env.ours(&["--enforce", &file, "--", &marker, &env.text("marker")])
        .output()
        .succeeds();
    assert!(env.read("marker").contains("getppid: error 111"));
}

#[test]
fn a_mistake_inside_a_profile_is_named_with_its_place() {
    let env = Env::new();
    // What is replaced, by what, what the message must hold besides the file: the line, the field or value.
    let mistakes: &[(&str, &str, &[&str])] = &[
        ("SCMP_ACT_ERRNO", "SCMP_ACT_ERNNO", &["SCMP_ACT_ERNNO", "7"]),
        ("SCMP_ACT_ALLOW", "ALLOWED", &["ALLOWED", "2"]),
        ("SCMP_CMP_NE", "SCMP_CMP_NEQ", &["SCMP_CMP_NEQ", "10"]),
        (
            "SCMP_ARCH_X86_64",
            "SCMP_ARCH_X86_46",
            &["SCMP_ARCH_X86_46", "3"],
        ),
        ("\"index\": 0", "\"index\": 6", &["index", "6", "10"]),
        ("\"index\": 0", "\"index\": -1", &["index", "10"]),
        ("\"value\": 1", "\"value\": -1", &["value", "-1", "10"]),
        ("\"value\": 1", "\"value\": 1.5", &["value", "1.5", "10"]),
        (
            "\"value\": 1",
            "\"value\": 18446744073709551616",
            &["value", "10"],
        ),
        ("\"value\": 1", "\"value\": \"1\"", &["value", "10"]),
        (
            "\"names\": [\"getppid\"]",
            "\"name\": \"getppid\", \"names\": [\"getppid\"]",
            &["name", "names"],
        ),
        (
            "\"names\": [\"getppid\"]",
            "\"names\": \"getppid\"",
            &["names", "6"],
        ),
        ("\"args\"", "\"agrs\"", &["agrs", "args", "9"]),
        (
            "\"defaultAction\"",
            "\"defaultActoin\"",
            &["defaultActoin", "2"],
        ),
        (
            "\"defaultAction\": \"SCMP_ACT_ALLOW\",",
            "",
            &["defaultAction"],
        ),
        ("\"action\": \"SCMP_ACT_ERRNO\",", "", &["action"]),
        (
            "\"errnoRet\": 111",
            "\"errnoRet\": 70000",
            &["errnoRet", "8"],
        ),
        ("\"errnoRet\": 111", "\"errnoRet\": -1", &["errnoRet", "8"]),
        (
            "\"action\": \"SCMP_ACT_ERRNO\",",
            "\"action\": \"SCMP_ACT_ERRNO\", \"action\": \"SCMP_ACT_ALLOW\",",
            &["action", "7"],
        ),
        ("SCMP_ACT_ERRNO", "SCMP_ACT_NOTIFY", &["SCMP_ACT_NOTIFY"]),
        (
            "\"architectures\": [\"SCMP_ARCH_X86_64\"],",
            "\"architectures\": [\"SCMP_ARCH_X86_64\"], \"archMap\": [{\"architecture\": \"SCMP_ARCH_X86_64\", \"subArchitectures\": []}],",
            &["arch"],
        ),
    ];
    for &(from, to, mentions) in mistakes {
        assert!(GOOD.contains(from), "{from}");
        let file = env.write("p.json", GOOD.replace(from, to));
        refused(&env, to, &file, mentions);
    }
}

#[test]
fn a_name_that_nobody_knows_is_refused_where_it_would_have_been_denied() {
    let env = Env::new();
    let marker = fixture("marker", Build::Static);
    let run = |text: &str| {
        let file = env.write("p.json", text);
        let command = ["--", marker.as_str(), &env.text("marker")];
        let ways: [&[&str]; 2] = [&["--enforce", &file], &["--enforce", &file, "--exec"]];
        ways.map(|way| env.ours(&[way, &command].concat()).output())
    };
    // Under an ALLOW default this rule denies nothing: a hole.
    for result in run(&GOOD.replace("getppid", "getpppid")) {
        check(
            &env,
            "a hole",
            &result,
            &["getpppid", "getppid", "p.json:5"],
        );
    }
    // Under a default that denies, it is a call that this machine does not have: worth a word, no more.
    let other = GOOD
        .replace("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
        .replace("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW");
    let other = other
        .replace("\"errnoRet\": 111,", "")
        .replace("SCMP_ACT_LOG", "SCMP_ACT_ERRNO");
    for result in run(&other.replace("[\"getppid\"]", "[\"getpppid\", \"execve\"]")) {
        assert!(result.code() != 125, "{result}");
        result.complains("getpppid");
    }
}

#[test]
fn a_base_of_another_kind_is_refused_by_its_name() {
    let env = Env::new();
    let file = env.write("p.json", GOOD);
    let marker = fixture("marker", Build::Static);
    let command = ["--", marker.as_str(), &env.text("marker")];
    let out = env
        .ours(
            &[
                &["--learn", "--base", &file, "-o", &env.text("out.json")],
                &command[..],
            ]
            .concat(),
        )
        .output();
    check(&env, "an allowing base", &out, &[&file, "default"]);
    let out = env
        .ours(&[&["--learn", "--update", "-o", &file], &command[..]].concat())
        .output();
    check(&env, "an allowing base", &out, &[&file, "default"]);
    assert_eq!(env.read("p.json"), GOOD);
}

#[test]
fn a_profile_that_is_no_profile_is_refused() {
    let env = Env::new();
    for (what, content) in [
        ("empty", String::new()),
        ("blank", " \n".to_owned()),
        ("truncated", GOOD[..GOOD.len() / 2].to_owned()),
        (
            "without its last brace",
            GOOD.trim_end().trim_end_matches('}').to_owned(),
        ),
        ("trailing text", format!("{GOOD}x")),
        ("two", format!("{GOOD}{GOOD}")),
        ("no object", "[]".to_owned()),
        ("a number", "1".to_owned()),
        ("null", "null".to_owned()),
        ("an empty object", "{}".to_owned()),
        ("deeply nested", "[".repeat(200_000)),
        ("deeply nested objects", "{\"x-a\":".repeat(100_000)),
        (
            "deeply nested inside",
            GOOD.replace(
                "\"getppid\"",
                &format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)),
            ),
        ),
        (
            "deeply nested in a comment",
            GOOD.replacen(
                '{',
                &format!(
                    "{{\"comment\":{}{},",
                    "[".repeat(50_000),
                    "]".repeat(50_000)
                ),
                1,
            ),
        ),
        ("a script", "#!/bin/sh\n".to_owned()),
    ] {
        let file = env.write("p.json", content);
        refused(&env, what, &file, &[]);
    }
}

#[test]
fn the_place_of_a_syntax_error_is_named() {
    let env = Env::new();
    let file = env.write(
        "p.json",
        GOOD.replace("\"errnoRet\": 111,", "\"errnoRet\": 111"),
    );
    refused(&env, "a missing comma", &file, &["9"]);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let env = Env::new();
    let mut bytes = GOOD.as_bytes().to_vec();
    let at = GOOD.find("getppid").unwrap();
    bytes[at] = 0xff;
    let file = env.write("p.json", &bytes);
    refused(&env, "0xff in a name", &file, &[]);
    let file = env.write("p.json", [b"\xff\xfe".as_slice(), GOOD.as_bytes()].concat());
    refused(&env, "a byte order mark of UTF-16", &file, &[]);
    let file = env.write("p.json", [0_u8; 4096]);
    refused(&env, "zeros", &file, &[]);
    let file = env.write("p.json", GOOD.replace("getppid", "getppid\\u0000"));
    refused(&env, "a NUL in a name", &file, &[]);
}

#[test]
fn a_hundred_megabytes_are_refused_quickly() {
    let env = Env::new();
    let file = env.text("p.json");
    fs::File::create(&file)
        .unwrap()
        .set_len(100_000_000)
        .unwrap();
    let start = std::time::Instant::now();
    refused(&env, "100 MB of zeros", &file, &[]);
    // A valid one, but for its size.
    let text = format!("{}{}", GOOD.trim_end(), " ".repeat(100_000_000));
    fs::write(&file, text).unwrap();
    refused(&env, "100 MB of spaces", &file, &[]);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn a_filter_that_is_too_large_for_the_kernel_is_refused() {
    let env = Env::new();
    let args: Vec<String> = (0..3000)
        .map(|v| {
            format!(
                r#"{{"names": ["getppid"], "action": "SCMP_ACT_ALLOW", "args": [{{"index": 0, "value": {}, "op": "SCMP_CMP_EQ"}}]}}"#,
                v * 0x1_0000_0001_u64 * 7 + 3
            )
        })
        .collect();
    let text = format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{}]}}"#,
        args.join(",")
    );
    let file = env.write("p.json", text);
    let marker = fixture("marker", Build::Static);
    let out = env
        .ours(&["--enforce", &file, "--", &marker, &env.text("marker")])
        .output();
    check(&env, "too large", &out, &["4096"]);
}

#[test]
fn what_to_do_about_a_missing_profile_is_told_to_whom_it_helps() {
    let env = Env::new();
    let missing = env.text("missing.json");
    let enforced = env.ours(&["--enforce", &missing, "--", "true"]).output();
    enforced
        .fails_cleanly(125)
        .complains("hint: --learn writes a profile");
    // Who learns knows.
    let based = ["--learn", "--base", &missing, "--", "true"];
    let based = env.ours(&based).output();
    based.fails_cleanly(125);
    assert!(!based.stderr.contains("hint: --learn"), "{based}");
}

#[test]
fn a_profile_that_is_no_regular_file_is_refused() {
    let env = Env::new();
    refused(
        &env,
        "missing",
        &env.text("missing.json"),
        &["No such file"],
    );
    refused(&env, "a directory", &env.mkdir("directory"), &[]);
    refused(&env, "a device", "/dev/zero", &[]);
    refused(&env, "a device", "/dev/null", &[]);
    let fifo = env.text("fifo");
    env.run(&["mkfifo", &fifo]).output().succeeds();
    refused(&env, "a FIFO", &fifo, &[]);
    std::os::unix::fs::symlink("nowhere", env.path("dangling")).unwrap();
    refused(
        &env,
        "a dangling link",
        &env.text("dangling"),
        &["No such file"],
    );
    std::os::unix::fs::symlink("loop", env.path("loop")).unwrap();
    refused(&env, "a loop", &env.text("loop"), &[]);
    let out = env.ours(&["--enforce", "", "--", "true"]).output();
    check(&env, "no name", &out, &[]);
}

#[test]
fn an_unreadable_profile_is_refused() {
    let env = Env::new();
    let file = env.write("p.json", GOOD);
    env.run(&["chmod", "000", &file]).output().succeeds();
    let ours = env.copy_program(SECCOMP_RUN, "ours");
    let marker = env.copy_program(&fixture("marker", Build::Static), "marker-program");
    let user = ordinary_user();
    let out = env
        .run(
            &[
                user,
                &[
                    &ours,
                    "--enforce",
                    &file,
                    "--",
                    &marker,
                    &env.text("marker"),
                ],
            ]
            .concat(),
        )
        .output();
    check(
        &env,
        "unreadable",
        &out,
        &[&file, "Permission denied", "hint: "],
    );
}

#[test]
fn an_output_that_cannot_be_written_is_found_before_the_command_runs() {
    let env = Env::new();
    let marker = fixture("marker", Build::Static);
    let touched = env.text("marker");
    let learn = |flags: &[&str]| {
        let out = env
            .ours(&[&["--learn"], flags, &["--", &marker, &touched]].concat())
            .output();
        check(&env, &format!("{flags:?}"), &out, &[]);
        out
    };
    // A directory that exists gets a file; one that does not is no better than a file in it.
    let directory = format!("{}/", env.text("missing"));
    let inside = env.text("missing/p.json");
    let below_a_file = format!("{}/p.json", env.write("file", ""));
    for flags in [&[][..], &["--force"], &["--update"]] {
        for output in [directory.as_str(), &inside, &below_a_file, "/proc/p.json"] {
            learn(&[flags, &["-o", output]].concat()).complains(output);
        }
    }
    learn(&["-o", "-"]);
    learn(&["-o", ""]);
    // Not the machine's own devices: a mistake would replace them.
    let mut devices = vec![("fifo", "p", "")];
    if is_root() {
        devices.extend([("null", "c", "1 3"), ("full", "c", "1 7")]);
    }
    for (name, kind, numbers) in devices {
        let device = env.text(name);
        env.run(&["sh", "-c", &format!("mknod {device} {kind} {numbers}")])
            .output()
            .succeeds();
        for flags in [&[][..], &["--force"], &["--update"]] {
            learn(&[flags, &["-o", &device]].concat()).complains(&device);
            assert!(
                !fs::metadata(&device).unwrap().is_file(),
                "{device} was replaced"
            );
        }
    }
    assert!(!env.path("-").exists() && !env.path("profile.json").exists());

    // An existing file, also under the default name; an empty one, and a broken one as --update's base.
    let existing = env.write("existing.json", GOOD);
    learn(&["-o", &existing])
        .complains(&existing)
        .complains("--update")
        .complains("--force");
    env.write("profile.json", GOOD);
    learn(&[])
        .complains("profile.json")
        .complains("--update")
        .complains("--force");
    assert_eq!(env.read("existing.json"), GOOD);
    assert_eq!(env.read("profile.json"), GOOD);
    env.write("broken.json", "{");
    learn(&["--update", "-o", &env.text("broken.json")]).complains("broken.json");
    assert_eq!(env.read("broken.json"), "{");
    fs::remove_file(env.path("profile.json")).unwrap();
}

#[test]
fn an_ordinary_user_is_told_where_the_profile_cannot_go() {
    let env = Env::new();
    let ours = env.copy_program(SECCOMP_RUN, "ours");
    let marker = env.copy_program(&fixture("marker", Build::Static), "marker-program");
    env.mkdir("closed");
    env.run(&["chmod", "555", &env.text("closed")])
        .output()
        .succeeds();
    let user = ordinary_user();
    let output = env.text("closed/p.json");
    let out = env
        .run(
            &[
                user,
                &[
                    &ours,
                    "--learn",
                    "-o",
                    &output,
                    "--",
                    &marker,
                    &env.text("marker"),
                ],
            ]
            .concat(),
        )
        .output();
    check(
        &env,
        "closed directory",
        &out,
        &[&output, "Permission denied"],
    );
    assert!(!env.path("closed/p.json").exists());
}

#[test]
fn a_command_that_cannot_be_executed_is_126_one_that_is_not_there_127() {
    let env = Env::new();
    let profile = env.write("p.json", GOOD);
    let learned = env.text("l.json");
    env.write("plain", "no program\n");
    env.mkdir("directory");
    env.write("text", "no program either\n");
    env.run(&["chmod", "755", &env.text("text")])
        .output()
        .succeeds();
    env.write("interpreter", "#!/nonexistent/interpreter\n");
    env.run(&["chmod", "755", &env.text("interpreter")])
        .output()
        .succeeds();
    for (command, code) in [
        ("./plain", 126),
        ("./directory", 126),
        ("./text", 126),
        ("/", 126),
        ("./plain/below", 127),
        ("./missing", 127),
        ("no-such-command-anywhere", 127),
        ("", 127),
    ] {
        for way in [
            &["--enforce", profile.as_str()][..],
            &["--enforce", &profile, "--exec"],
            &["--learn", "-o", &learned],
        ] {
            let out = env.ours(&[way, &["--", command]].concat()).output();
            // Not executable in place: the message cannot be written under the filter.
            if way.contains(&"--exec") && command == "./text" {
                out.ends_with(code);
            } else {
                out.fails_cleanly(code).complains(command);
            }
            assert!(!env.path("l.json").exists(), "{out}");
        }
    }
    // The kernel says ENOENT of a script whose interpreter is missing: not found, or not executable.
    for way in [
        &["--enforce", profile.as_str()][..],
        &["--learn", "-o", &learned],
    ] {
        let out = env.ours(&[way, &["--", "./interpreter"]].concat()).output();
        assert!([126, 127].contains(&out.code()), "{out}");
        out.fails_cleanly(out.code());
        assert!(!env.path("l.json").exists(), "{out}");
    }
    // A file that is there but not executable is skipped where a later directory of PATH has one that is.
    env.mkdir("first");
    env.mkdir("second");
    env.write("first/tool", "");
    env.write("second/tool", "#!/bin/sh\nexit 8\n");
    env.run(&["chmod", "755", &env.text("second/tool")])
        .output()
        .succeeds();
    let path = format!("{}:{}:/bin", env.text("first"), env.text("second"));
    env.ours(&["--enforce", &profile, "--", "tool"])
        .var("PATH", &path)
        .output()
        .ends_with(8);
    env.run(&["chmod", "644", &env.text("second/tool")])
        .output()
        .succeeds();
    env.ours(&["--enforce", &profile, "--", "tool"])
        .var("PATH", &path)
        .output()
        .fails_cleanly(126);
}
