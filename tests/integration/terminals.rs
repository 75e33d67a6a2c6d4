//! On a terminal, under a shell with job control: what a person sees and a command gets is as without the launcher.
//! `jobs.py` types, and tells what came of it.

use crate::harness::{Build, Env, SECCOMP_RUN, fixture, needs};
use crate::profile::all_but;

/// A script of `jobs.py`, and what runs in it.
type Scene<'a> = (&'a str, &'a [&'a str]);

/// Runs a scene natively and in each way of enforcing, and compares after `seen`.
fn as_native(env: &Env, (script, command): Scene<'_>, turns: u32, seen: impl Fn(&str) -> String) {
    let jobs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/jobs.py");
    let profile = env.write("p.json", all_but(&[("acct", "SCMP_ACT_ERRNO")]));
    let run = |way: &[&str]| {
        let got = env.text("got");
        let _ = std::fs::remove_file(&got);
        let argv = [&["python3", jobs, script], way, command].concat();
        let run = env.run(&argv).var("GOT", &got).var("SHELL", "/bin/bash");
        let out = run.var("TURNS", &turns.to_string()).limit(120).output();
        out.succeeds();
        out.stdout
    };
    let native = run(&[]);
    assert!(!native.is_empty());
    let ways: [&[&str]; 3] = [
        &[SECCOMP_RUN, "--enforce", &profile, "--"],
        &[SECCOMP_RUN, "--enforce", &profile, "--report", "--"],
        &[SECCOMP_RUN, "--enforce", &profile, "--exec", "--"],
    ];
    for way in ways {
        let mut ours = run(way);
        // The script gives each signal a moment to arrive; on a busy machine that can be too short.
        for _ in 0..2 {
            if seen(&ours) != seen(&native) {
                ours = run(way);
            }
        }
        assert_eq!(seen(&ours), seen(&native), "{script}, {way:?}");
    }
}

/// Tells all signals but SIGTSTP, which stops it.
fn signals() -> String {
    fixture("signals", Build::Static)
}

#[test]
fn stopping_continuing_interrupting_and_resizing() {
    needs!("python3", "bash");
    let signals = signals();
    as_native(
        &Env::new(),
        ("stop_and_go", &[&signals, "20"]),
        0,
        str::to_owned,
    );
}

#[test]
fn a_command_is_stopped_and_continued_again_and_again() {
    needs!("python3", "bash");
    let turns = if cfg!(debug_assertions) { 30 } else { 200 };
    let signals = signals();
    as_native(
        &Env::new(),
        ("again_and_again", &[&signals, "20"]),
        turns,
        str::to_owned,
    );
}

#[test]
fn a_command_in_the_background_stops_when_it_reads() {
    needs!("python3", "bash");
    let command = ["sh", "-c", "read x; echo \"<$x>\""];
    as_native(&Env::new(), ("background_read", &command), 0, str::to_owned);
}

#[test]
fn a_command_in_the_background_stops_when_it_writes_where_that_is_asked_for() {
    needs!("python3", "bash");
    let command = ["sh", "-c", "echo '<written>'"];
    as_native(
        &Env::new(),
        ("background_write", &command),
        0,
        str::to_owned,
    );
}

#[test]
fn the_terminals_keys_end_a_command() {
    needs!("python3", "bash");
    let command = ["sh", "-c", "echo on; sleep 60; echo never"];
    as_native(&Env::new(), ("interrupted", &command), 0, str::to_owned);
}

#[test]
fn a_shell_can_be_the_command() {
    needs!("python3", "bash");
    let shell = ["bash", "--norc", "--noprofile", "--noediting", "-i"];
    let command = [&["env", r"PS1=[\w] inside> "], &shell[..]].concat();
    as_native(&Env::new(), ("shell_inside", &command), 0, str::to_owned);
}

#[test]
fn the_terminal_goes_away() {
    needs!("python3", "bash");
    // The shell signals the whole group, and so does the kernel: how often it comes is another test's.
    let once = |text: &str| {
        let times = text.matches("got 1'").count();
        assert!((1..=4).contains(&times), "{text}");
        text.replace("'got 1', ", "")
            .replace(", 'got 1'", "")
            .replace("got [", "got ['got 1', ")
    };
    for script in ["hang_up", "orphaned"] {
        let signals = signals();
        as_native(&Env::new(), (script, &[&signals, "20"]), 0, once);
    }
}
