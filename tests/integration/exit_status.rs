//! The command's own end is ours: every exit code, every deadly signal, in every mode.

use crate::harness::{Build, Env, fixture};
use crate::profile::all_but;

/// Signals whose default action ends a process.
pub(crate) fn deadly() -> impl Iterator<Item = i32> {
    (1..=64).filter(|s| ![17, 18, 19, 20, 21, 22, 23, 28].contains(s))
}

/// Runs the status fixture behind `prefix` for every exit code, and where wanted for every deadly signal.
pub(crate) fn all_pass(env: &Env, prefix: &[&str], signals: bool) {
    let status = fixture("status", Build::Static);
    let check = |how: &str, number: i32, wanted: i32| {
        let number = number.to_string();
        let mut args = prefix.to_vec();
        args.extend_from_slice(&[&status, how, &number]);
        env.run(&args).limit(20).output().ends_with(wanted);
    };
    for code in 0..=255 {
        check("exit", code, code);
    }
    if signals {
        for signal in deadly() {
            check("kill", signal, 128 + signal);
        }
    }
}

#[test]
fn every_status_passes_through_enforce() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    all_pass(
        &env,
        &[crate::harness::SECCOMP_RUN, "--enforce", &profile, "--"],
        true,
    );
}

#[test]
fn every_exit_code_passes_through_enforce_exec() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    all_pass(
        &env,
        &[
            crate::harness::SECCOMP_RUN,
            "--enforce",
            &profile,
            "--exec",
            "--",
        ],
        false,
    );
}

#[test]
fn every_status_passes_through_learn() {
    let env = Env::new();
    let profile = env.text("p.json");
    all_pass(
        &env,
        &[
            crate::harness::SECCOMP_RUN,
            "--learn",
            "--force",
            "-o",
            &profile,
            "--",
        ],
        true,
    );
}

#[test]
fn an_ignored_sigchld_loses_no_status() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let learned = env.text("l.json");
    let ours = crate::harness::SECCOMP_RUN;
    let ways: [&[&str]; 2] = [
        &["--enforce", &profile, "--"],
        &["--learn", "-o", &learned, "--"],
    ];
    for way in ways {
        let mut args = vec!["env", "--ignore-signal=CHLD", ours];
        args.extend_from_slice(way);
        args.extend_from_slice(&["sh", "-c", "exit 3"]);
        env.run(&args).output().ends_with(3);
    }
}

#[test]
fn inherited_children_are_not_mistaken_for_the_command() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let learned = env.text("l.json");
    for way in [
        format!("--enforce {profile}"),
        format!("--learn -o {learned}"),
    ] {
        let ours = crate::harness::SECCOMP_RUN;
        let line = format!("(sleep 0.05; exit 9) & exec {ours} {way} -- sh -c 'sleep 0.3; exit 4'");
        env.run(&["sh", "-c", &line]).output().ends_with(4);
    }
}
