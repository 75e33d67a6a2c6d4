//! The command line: help, usage errors, what belongs to us and what to the command.

use crate::harness::{Build, Env, fixture};
use crate::profile::all_but;

#[test]
fn help_and_version_succeed_on_stdout() {
    let env = Env::new();
    let help = env.ours(&["--help"]).output();
    help.succeeds()
        .says("--learn")
        .says("--enforce")
        .says("COMMAND")
        .says("--cap-drop")
        .says("--update");
    assert!(help.stderr.is_empty(), "{help}");
    assert!(
        !help.stdout.contains('\x1b'),
        "no colours where there is no terminal\n{help}"
    );
    let coloured = env.ours(&["--learn"]).output();
    assert!(
        !coloured.stderr.contains('\x1b'),
        "no colours where there is no terminal\n{coloured}"
    );
    assert!(
        help.stdout.lines().all(|l| l.chars().count() <= 100),
        "{help}"
    );
    let short = env.ours(&["-h"]).output();
    short.succeeds().says("--learn");
    env.ours(&["--version"])
        .output()
        .succeeds()
        .says(concat!("seccomp-run ", env!("CARGO_PKG_VERSION")));
    env.ours(&["-V"]).output().succeeds().says("seccomp-run ");
}

#[test]
fn usage_errors_end_with_125_and_start_nothing() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getuid", "SCMP_ACT_ERRNO")]));
    let marker = fixture("marker", Build::Static);
    let file = env.text("marker");
    let command = ["--", marker.as_str(), &file];
    let mistakes: &[&[&str]] = &[
        &[],
        &["--learn"],
        &["--learn", "--"],
        &["--enforce"],
        &["--enforce", &profile],
        &["--enforce", &profile, "--"],
        &[&command[..], &[]].concat(),
        &[&["--learn", "--enforce", &profile][..], &command].concat(),
        &[&["--no-such-flag", "--learn"][..], &command].concat(),
        &[&["--learn", "--kill"][..], &command].concat(),
        &[&["--learn", "--cap-drop", "ALL"][..], &command].concat(),
        &[&["--learn", "--exec"][..], &command].concat(),
        &[&["--learn", "--update", "--force"][..], &command].concat(),
        &[&["--learn", "-o"][..], &command[..1]].concat(),
        &[&["--enforce", &profile, "-o", "x"][..], &command].concat(),
        &[&["--enforce", &profile, "--update"][..], &command].concat(),
        &[&["--enforce", &profile, "--force"][..], &command].concat(),
        &[&["--enforce", &profile, "--base", &profile][..], &command].concat(),
        &[&["--enforce", &profile, "--kill", "--log"][..], &command].concat(),
        &[&["--enforce", &profile, "--kill", "--errno"][..], &command].concat(),
        &[&["--enforce", &profile, "--errno", "--log"][..], &command].concat(),
        &[&["--enforce", &profile, "--errno=ENOSUCH"][..], &command].concat(),
        &[&["--enforce", &profile, "--errno="][..], &command].concat(),
        &[
            &["--enforce", &profile, "--cap-drop", "CAP_NO_SUCH"][..],
            &command,
        ]
        .concat(),
        &[
            &["--enforce", &profile, "--enforce", &profile][..],
            &command,
        ]
        .concat(),
    ];
    let mut wrong = Vec::new();
    for args in mistakes {
        let out = env.ours(args).output();
        let clean =
            out.code() == 125 && out.stdout.is_empty() && out.stderr.starts_with("seccomp-run: ");
        let ran = env.path("marker").exists() || env.path("profile.json").exists();
        if !clean || ran || out.stderr.contains("panicked") {
            wrong.push(format!(
                "{out}{}",
                if ran { "\n--- the command ran" } else { "" }
            ));
        }
        let _ = std::fs::remove_file(&file);
        let _ = std::fs::remove_file(env.path("profile.json"));
    }
    assert!(
        wrong.is_empty(),
        "{} mistakes are not refused:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    // The command itself is fine.
    env.ours(&[&["--enforce", &profile][..], &command].concat())
        .output()
        .succeeds();
    assert!(env.path("marker").exists());
}

#[test]
fn what_follows_the_command_is_the_commands() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getuid", "SCMP_ACT_ERRNO")]));
    let learned = env.text("l.json");
    let ways: [&[&str]; 4] = [
        &["--enforce", &profile],
        &["--enforce", &profile, "--"],
        &["--learn", "--force", "-o", &learned],
        &["--learn", "--force", "-o", &learned, "--"],
    ];
    for way in ways {
        let args = [
            way,
            &["echo", "--kill", "--help", "--", "-o", "x", "--learn"],
        ]
        .concat();
        let out = env.ours(&args).output();
        out.succeeds();
        assert_eq!(out.stdout, "--kill --help -- -o x --learn\n", "{way:?}");
    }
}

#[test]
fn after_a_mode_a_verbs_name_is_a_command() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getuid", "SCMP_ACT_ERRNO")]));
    for verb in ["merge", "check", "explain", "help"] {
        env.ours(&["--enforce", &profile, verb])
            .output()
            .fails_cleanly(127)
            .complains(verb);
        env.ours(&["--learn", "-o", &env.text("l.json"), verb])
            .output()
            .fails_cleanly(127)
            .complains(verb);
    }
}

#[test]
fn options_may_come_in_any_order() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getuid", "SCMP_ACT_ERRNO")]));
    let call = fixture("call", Build::Static);
    for args in [
        &["--exec", "--enforce", &profile, "--", &call, "39"][..],
        &["--enforce", &profile, "--exec", &call, "39"],
        &["-o", &env.text("a"), "--learn", &call, "39"],
        &["--learn", "--output", &env.text("b"), &call, "39"],
        &[
            &format!("--output={}", env.text("c")),
            "--learn",
            &call,
            "39",
        ],
    ] {
        env.ours(args).output().succeeds().says("39: ok\n");
    }
}

#[test]
fn bytes_that_are_no_text_pass_through() {
    use std::os::unix::ffi::OsStrExt as _;
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getuid", "SCMP_ACT_ERRNO")]));
    let script = env.write(
        "script",
        format!(
            "exec {} --enforce {profile} -- printf '%s' \"$(printf '\\377\\376')\"\n",
            crate::harness::SECCOMP_RUN
        ),
    );
    let out = env
        .run(&["sh", "-c", &format!("sh {script} > raw")])
        .output();
    out.succeeds();
    assert_eq!(
        std::fs::read(env.path("raw")).unwrap(),
        std::ffi::OsStr::from_bytes(b"\xff\xfe").as_bytes()
    );
}

#[test]
fn flags_of_the_other_mode_are_refused() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getuid", "SCMP_ACT_ERRNO")]));
    let learned = env.text("l.json");
    for flag in [
        "--kill",
        "--exec",
        "--dialect=oci",
        "--unknown=default",
        "--cap-drop=ALL",
    ] {
        env.ours(&["--learn", "-o", &learned, flag, "--", "true"])
            .output()
            .ends_with(125);
    }
    for flag in ["--update", "--force", "--no-evidence", "--base=x", "-ox"] {
        env.ours(&["--enforce", &profile, flag, "--", "true"])
            .output()
            .ends_with(125);
    }
    assert!(!env.path("l.json").exists());
}
