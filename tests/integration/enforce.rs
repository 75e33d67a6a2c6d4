//! What a profile does to a command: actions, architectures, arguments, the launching execve, privileges.

use serde_json::json;

use crate::harness::{
    Build, Env, SECCOMP_RUN, fixture, needs_root, ordinary_user, skip, try_fixture,
};
use crate::profile::{Names, all_but, fields, only};

/// What a static program that prints needs, besides what the tests add.
const BASICS: &[&str] = &[
    "write",
    "exit_group",
    "exit",
    "brk",
    "mmap",
    "munmap",
    "mprotect",
    "arch_prctl",
    "set_tid_address",
    "set_robust_list",
    "rseq",
    "prlimit64",
    "readlink",
    "readlinkat",
    "getrandom",
    "newfstatat",
    "uname",
    "open",
    "openat",
    "read",
    "close",
    "futex",
    "set_thread_area",
    "access",
    "ioctl",
];

fn basics(more: &[&str]) -> String {
    let names: Names = BASICS.iter().chain(more).map(|&n| n.to_owned()).collect();
    only(&names)
}

#[test]
fn what_is_not_listed_gets_the_default_action_or_the_one_asked_for() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let profile = env.write("p.json", basics(&["getpid"]));
    // 39 getpid, 102 getuid, 999 nothing.
    let run = |flags: &[&str], calls: &[&str]| {
        env.ours(&[&["--enforce", &profile], flags, &["--", &call], calls].concat())
            .output()
    };
    run(&[], &["39", "102"])
        .succeeds()
        .says("39: ok\n102: error 1\n");
    run(&["--errno"], &["39", "102"])
        .succeeds()
        .says("39: ok\n102: error 1\n");
    run(&["--errno=ENOSYS"], &["39", "102"])
        .succeeds()
        .says("39: ok\n102: error 38\n");
    run(&["--errno=EACCES"], &["39", "102"])
        .succeeds()
        .says("39: ok\n102: error 13\n");
    run(&["--log"], &["39", "102"])
        .succeeds()
        .says("39: ok\n102: ok\n");
    let killed = run(&["--kill"], &["39", "102", "39"]);
    killed.ends_with(159);
    assert_eq!(killed.stdout, "39: ok\n");
    killed.complains("seccomp-run: ");
}

#[test]
fn explicit_rules_keep_their_own_action() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let rule = |name: &str, action: &str, errno: Option<u32>| match errno {
        Some(errno) => json!({"names": [name], "action": action, "errnoRet": errno}),
        None => json!({"names": [name], "action": action}),
    };
    let names: Vec<&str> = BASICS.to_vec();
    let profile = env.write(
        "p.json",
        json!({
            "defaultAction": "SCMP_ACT_KILL_PROCESS",
            "syscalls": [
                {"names": names, "action": "SCMP_ACT_ALLOW"},
                rule("getuid", "SCMP_ACT_ERRNO", Some(111)),
                rule("getgid", "SCMP_ACT_ERRNO", None),
                rule("geteuid", "SCMP_ACT_LOG", None),
                rule("getegid", "SCMP_ACT_TRAP", None),
                rule("gettid", "SCMP_ACT_KILL", None),
            ],
        })
        .to_string(),
    );
    let run = |flags: &[&str], calls: &[&str]| {
        env.ours(&[&["--enforce", &profile], flags, &["--", &call], calls].concat())
            .output()
    };
    // 102 getuid, 104 getgid, 107 geteuid, 108 getegid, 110 getppid, 186 gettid.
    for flags in [&[][..], &["--errno=EACCES"], &["--kill"]] {
        run(flags, &["102", "104", "107"])
            .succeeds()
            .says("102: error 111\n104: error 1\n107: ok\n");
        run(flags, &["108"]).ends_with(159);
        run(flags, &["186"]).ends_with(159);
    }
    run(&[], &["110"]).ends_with(159);
    run(&["--errno=EACCES"], &["110"])
        .succeeds()
        .says("110: error 13\n");
    run(&["--log"], &["110", "102"])
        .succeeds()
        .says("110: ok\n102: error 111\n");
}

#[test]
fn conditions_on_arguments_hold() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let rule = |name: &str, args: serde_json::Value| json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": args});
    let names: Vec<&str> = BASICS.to_vec();
    let profile = env.write(
        "p.json",
        json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [
                {"names": names, "action": "SCMP_ACT_ALLOW"},
                rule("getuid", json!([{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}])),
                rule("getgid", json!([{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}])),
                rule("geteuid", json!([{"index": 5, "value": 0, "op": "SCMP_CMP_NE"}])),
                rule("getegid", json!([{"index": 2, "value": 255, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}])),
                rule("getppid", json!([{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 9, "op": "SCMP_CMP_GT"}])),
            ],
        })
        .to_string(),
    );
    env.ours(&[
        "--enforce",
        &profile,
        "--",
        &call,
        "102",
        "104",
        "107",
        "108",
        "110",
    ])
    .output()
    .succeeds()
    .says("102: ok\n104: error 1\n107: error 1\n108: ok\n110: error 1\n");
}

#[test]
fn another_architecture_is_killed_unless_it_is_listed() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let native = env.write("native.json", basics(&["getpid"]));
    // i386's 20 is getpid, x86_64's is writev; i386's 24 is getuid.
    let run = |profile: &str, flags: &[&str], calls: &[&str]| {
        env.ours(&[&["--enforce", profile], flags, &["--", &call], calls].concat())
            .output()
    };
    run(&native, &[], &["39", "x86:20"])
        .ends_with(159)
        .says("39: ok\n");
    run(&native, &["--log"], &["39", "x86:20"])
        .succeeds()
        .says("39: ok\nx86:20: ok\n");
    let both = env.write(
        "both.json",
        basics(&["getpid"]).replace(
            "\"SCMP_ARCH_X86_64\"",
            "\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"",
        ),
    );
    run(&both, &[], &["39", "x86:20", "x86:24", "20"])
        .succeeds()
        .says("39: ok\nx86:20: ok\nx86:24: error 1\n20: error 1\n");
}

#[test]
fn an_i386_program_needs_its_architecture_in_the_profile() {
    let Some(status) = try_fixture("status", Build::I386) else {
        skip!("gcc -m32 does not work")
    };
    let env = Env::new();
    let learned = env.text("l.json");
    env.ours(&["--learn", "-o", &learned, "--", &status, "exit", "3"])
        .output()
        .ends_with(3);
    env.ours(&["--enforce", &learned, "--", &status, "exit", "4"])
        .output()
        .ends_with(4);
    let mut profile = crate::profile::Profile::read(&env.path("l.json"));
    profile.json["architectures"] = json!(["SCMP_ARCH_X86_64"]);
    let native = env.write("native.json", profile.json.to_string());
    env.ours(&["--enforce", &native, "--", &status, "exit", "4"])
        .output()
        .ends_with(159);
}

#[test]
fn x32_numbers_are_not_taken_for_others() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let profile = env.write("p.json", basics(&["getpid"]));
    let out = env
        .ours(&["--enforce", &profile, "--", &call, "39", "x32:39", "-1"])
        .output();
    // Denied by the default action, or as an unlisted architecture; -1 is no x32 call, but denied as well.
    assert!(
        out.stdout == "39: ok\nx32:39: error 1\n-1: error 1\n" || out.code() == 159,
        "{out}"
    );
    assert!(out.stdout.starts_with("39: ok\n"), "{out}");
}

#[test]
fn the_launching_execve_needs_no_rule_and_another_gets_the_profiles_verdict() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let profile = env.write("p.json", basics(&["getpid"]));
    for flags in [&[][..], &["--exec"]] {
        let run = |profile: &str| {
            env.ours(&[&["--enforce", profile], flags, &["--", &call, "execve"]].concat())
                .output()
        };
        run(&profile).succeeds().says("execve: error 1\n");
        let deadly = env.write(
            "kill.json",
            basics(&[])
                .replace("SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS")
                .replace("\"defaultErrnoRet\":1,", ""),
        );
        assert_eq!(run(&deadly).code(), 159);
        let with = env.write("with.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
        let allowed = run(&with);
        allowed.succeeds();
        assert_eq!(allowed.stdout, "", "the call did not return");
        let denied = env.write("without.json", all_but(&[("execve", "SCMP_ACT_ERRNO")]));
        run(&denied).succeeds().says("execve: error 1\n");
        let denied = env.write(
            "without.json",
            all_but(&[("execve", "SCMP_ACT_KILL_PROCESS")]),
        );
        assert_eq!(run(&denied).code(), 159);
    }
    // The same for a learned profile.
    let learned = env.text("l.json");
    env.learn(&learned, &[&call, "39"])
        .lacks(&["execve", "execveat"]);
    env.ours(&["--enforce", &learned, "--", &call, "39", "execve"])
        .output()
        .succeeds()
        .says("39: ok\nexecve: error 1\n");
}

#[test]
fn the_secret_of_the_launching_execve_is_new_each_time_and_nowhere_afterwards() {
    needs_root!();
    let env = Env::new();
    let (secret, call) = (
        fixture("secret", Build::Static),
        fixture("call", Build::Static),
    );
    let profile = env.write("p.json", basics(&["getpid"]));
    let mut values = std::collections::BTreeSet::new();
    for flags in [&[][..], &["--exec"]] {
        for _ in 0..3 {
            let args = [
                &[&secret, SECCOMP_RUN, "--enforce", &profile],
                flags,
                &["--", &call, "39"],
            ]
            .concat();
            let out = env.run(&args).output();
            let (first, rest) = out.succeeds().stdout.split_once('\n').unwrap();
            for value in first.split_whitespace().skip(1) {
                assert!(
                    values.insert(value.to_owned()),
                    "{value} again, of {values:?}\n{out}"
                );
            }
            let launcher = if flags.is_empty() {
                "in the launcher 0\n"
            } else {
                ""
            };
            assert_eq!(
                rest,
                format!("in the registers 0\nin the command 0\n{launcher}39: ok\n"),
                "{out}"
            );
        }
    }
    assert_eq!(values.len(), 3 * 6);
}

#[test]
fn the_launcher_needs_nothing_of_the_profile_for_itself() {
    let env = Env::new();
    let status = fixture("status", Build::Static);
    // Not even what it takes to end: the kernel ends the program by a signal instead.
    let nothing = env.write(
        "p.json",
        r#"{"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": []}"#,
    );
    env.ours(&["--enforce", &nothing, "--", &status, "exit", "3"])
        .output()
        .ends_with(159);
    let missing = env.text("missing");
    env.ours(&["--enforce", &nothing, "--", &missing])
        .output()
        .fails_cleanly(127);
    // A file that is executable but no program: the exec itself fails, under a filter that forbids all.
    let text = env.write("text", "no program\n");
    env.run(&["chmod", "755", &text]).output().succeeds();
    env.ours(&["--enforce", &nothing, "--", &text])
        .output()
        .fails_cleanly(126);
    env.ours(&["--enforce", &nothing, "--exec", "--", &text])
        .output()
        .ends_with(126);
}

#[test]
fn exec_leaves_no_launcher_behind() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getuid", "SCMP_ACT_ERRNO")]));
    let line =
        format!(r"echo $$; exec {SECCOMP_RUN} --enforce {profile} --exec -- sh -c 'echo $$'");
    let out = env.run(&["sh", "-c", &line]).output();
    let lines: Vec<&str> = out.succeeds().stdout.lines().collect();
    assert!(lines.len() == 2 && lines[0] == lines[1], "{out}");
    let line = line.replace("--exec ", "");
    let out = env.run(&["sh", "-c", &line]).output();
    let lines: Vec<&str> = out.succeeds().stdout.lines().collect();
    assert!(lines.len() == 2 && lines[0] != lines[1], "{out}");
}

#[test]
fn no_new_privileges_and_capabilities_are_as_asked() {
    needs_root!();
    let env = Env::new();
    let marker = fixture("marker", Build::Static);
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let run = |prefix: &[&str]| {
        let file = env.text("marker");
        let _ = std::fs::remove_file(&file);
        env.run(&[prefix, &[&marker, &file]].concat())
            .output()
            .succeeds();
        fields(&env.read("marker"))
    };
    let ours =
        |flags: &[&str]| run(&[&[SECCOMP_RUN, "--enforce", &profile], flags, &["--"]].concat());
    let native = run(&[]);
    for exec in [&[][..], &["--exec"]] {
        let with = |flags: &[&str]| ours(&[flags, exec].concat());
        let plain = with(&[]);
        assert_eq!(plain["NoNewPrivs"], "1");
        assert_eq!(plain["Seccomp"], "2");
        assert_eq!(plain["CapEff"], native["CapEff"]);
        assert_eq!(plain["CapBnd"], native["CapBnd"]);
        let open = with(&["--allow-new-privs"]);
        assert_eq!(open["NoNewPrivs"], "0");
        assert_eq!(open["Seccomp"], "2");
        assert_eq!(open["getppid"], "error 1");
        for flags in [
            &["--cap-drop", "ALL"][..],
            &["--cap-drop", "ALL", "--allow-new-privs"],
        ] {
            let none = with(flags);
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(none[set], "0000000000000000", "{set} {flags:?}");
            }
            assert_eq!(none["getppid"], "error 1");
        }
        // CAP_NET_RAW is number 13.
        let bits = |map: &std::collections::BTreeMap<String, String>, set: &str| {
            u64::from_str_radix(&map[set], 16).unwrap()
        };
        for names in [
            &["--cap-drop", "CAP_NET_RAW"][..],
            &["--cap-drop", "CAP_NET_RAW", "--allow-new-privs"],
        ] {
            let one = with(names);
            for set in ["CapPrm", "CapEff", "CapBnd"] {
                assert_eq!(bits(&one, set), bits(&native, set) & !(1 << 13), "{set}");
            }
        }
    }
    let learned = env.text("l.json");
    let learn = |flags: &[&str]| {
        run(&[
            &[SECCOMP_RUN, "--learn", "--force", "-o", &learned],
            flags,
            &["--"],
        ]
        .concat())
    };
    assert_eq!(learn(&[])["NoNewPrivs"], "1");
    assert_eq!(learn(&["--allow-new-privs"])["NoNewPrivs"], "0");
}

#[test]
fn allow_new_privs_without_the_privilege_does_not_run_unfiltered() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let ours = env.copy_program(SECCOMP_RUN, "ours");
    let marker = env.copy_program(&fixture("marker", Build::Static), "marker");
    let file = env.text("ran");
    let user = ordinary_user();
    for exec in [&[][..], &["--exec"]] {
        let args = [
            user,
            &[&ours, "--enforce", &profile, "--allow-new-privs"],
            exec,
            &["--", &marker, &file],
        ]
        .concat();
        env.run(&args).output().fails_cleanly(125);
        assert!(!env.path("ran").exists(), "the command ran");
        // And the same without the flag does run.
        let args = [
            user,
            &[&ours, "--enforce", &profile],
            exec,
            &["--", &marker, &file],
        ]
        .concat();
        env.run(&args).output().succeeds();
        assert_eq!(fields(&env.read("ran"))["getppid"], "error 1");
        std::fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_command_cannot_write_into_its_launcher() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("ptrace", "SCMP_ACT_ERRNO")]));
    let ours = env.copy_program(SECCOMP_RUN, "ours");
    let user = ordinary_user();
    // The launcher's name, to be sure that it is the parent.
    let line = "cat /proc/$PPID/comm; exec 3<>/proc/$PPID/mem && echo open";
    env.run(&[user, &["sh", "-c", &format!("sh -c '{line}'; true")]].concat())
        .output()
        .says("open");
    let out = env
        .run(
            &[
                user,
                &[&ours, "--enforce", &profile, "--", "sh", "-c", line],
            ]
            .concat(),
        )
        .output();
    assert!(out.code() != 0 && !out.stdout.contains("open"), "{out}");
    out.says("ours\n").complains("Permission denied");
}

#[test]
fn a_profile_may_be_a_symbolic_link() {
    let env = Env::new();
    env.write("real.json", all_but(&[("getuid", "SCMP_ACT_ERRNO")]));
    std::os::unix::fs::symlink("real.json", env.path("link.json")).unwrap();
    let call = fixture("call", Build::Static);
    env.ours(&["--enforce", &env.text("link.json"), "--", &call, "102"])
        .output()
        .succeeds()
        .says("102: error 1\n");
}

#[test]
fn seccomp_run_runs_under_itself() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let outer = env.write("outer.json", all_but(&[("getuid", "SCMP_ACT_ERRNO")]));
    let inner = env.write("inner.json", all_but(&[("getgid", "SCMP_ACT_ERRNO")]));
    env.ours(&[
        "--enforce",
        &outer,
        "--",
        SECCOMP_RUN,
        "--enforce",
        &inner,
        "--",
        &call,
        "102",
        "104",
        "39",
    ])
    .output()
    .succeeds()
    .says("102: error 1\n104: error 1\n39: ok\n");
    // And can be learned.
    let learned = env.text("l.json");
    let whole = [SECCOMP_RUN, "--enforce", &inner, "--", &call, "104"];
    env.ours(&[&["--learn", "-o", &learned, "--"], &whole[..]].concat())
        .output()
        .succeeds()
        .says("104: error 1\n");
    crate::profile::Profile::read(&env.path("l.json")).has(&["seccomp", "execve", "prctl"]);
    env.ours(&[&["--enforce", &learned, "--"], &whole[..]].concat())
        .output()
        .succeeds()
        .says("104: error 1\n");
}

#[test]
fn the_launcher_confines_itself() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("mkdir", "SCMP_ACT_ERRNO")]));
    let script = "grep -E '^(Seccomp|NoNewPrivs|CapEff|CapPrm):' /proc/$PPID/status";
    let out = env
        .ours(&["--enforce", &profile, "sh", "-c", script])
        .output();
    out.succeeds()
        .says("Seccomp:\t2\n")
        .says("NoNewPrivs:\t1\n");
    for set in ["CapPrm", "CapEff"] {
        let line = out
            .stdout
            .lines()
            .find(|line| line.starts_with(set))
            .unwrap();
        let held = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_eq!(held & !(1 << 5), 0, "nothing but CAP_KILL\n{out}");
    }
}

#[test]
fn whoever_overwrites_the_launcher_gains_nothing() {
    needs_root!();
    if !cfg!(target_arch = "x86_64") {
        skip!("the attack is machine code of x86-64");
    }
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("mkdir", "SCMP_ACT_ERRNO")]));
    let attack = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/overwrite.py");
    // It works: a shell that waits for it makes the file.
    let made = env.text("made");
    let shell = format!("/usr/bin/python3 {attack} {made}; exit 77");
    let out = env.run(&["sh", "-c", &shell]).output();
    out.says("overwritten").ends_with(0);
    assert!(
        env.path("made").exists(),
        "the attack itself does not work\n{out}"
    );
    // The launcher, overwritten as easily by root, can do nothing outside.
    let made = env.text("made by the launcher");
    let out = env
        .ours(&["--enforce", &profile, "/usr/bin/python3", attack, &made])
        .output();
    out.says("overwritten");
    assert!(!env.path("made by the launcher").exists(), "{out}");
    assert_eq!(out.code(), 1, "EPERM\n{out}");
}
