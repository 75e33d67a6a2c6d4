//! What is known lets a command run almost untouched: with `--update` the learner's filter goes in before the
//! command is executed, and nothing is traced.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Build, Env, fixture, needs, stat};
use crate::profile::Profile;

/// A run that is the second one of its profile.
fn update(env: &Env, profile: &str, command: &[&str]) -> crate::harness::Output {
    let args = [&["--learn", "--update", "-o", profile, "--"], command].concat();
    env.ours(&args).limit(30).output()
}

/// The last run in the evidence of `p.json`.
fn last_run(env: &Env) -> Value {
    let evidence: Value = serde_json::from_str(&env.read("p.evidence.json")).unwrap();
    evidence["runs"].as_array().unwrap().last().unwrap().clone()
}

#[test]
fn a_known_command_is_not_traced_and_what_is_new_is_learned() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let profile = env.text("p.json");
    let status = "grep -E '^(TracerPid|Seccomp):' /proc/self/status";
    let script = format!("{status}; for i in 1 2 3; do /bin/true; done; {call} $0");
    let command = |nr| ["sh", "-c", &script, nr];
    env.learn(&profile, &command("102"));
    let second = update(&env, &profile, &command("24"));
    second.succeeds().says("24: ok\n");
    second.says("TracerPid:\t0\n").says("Seccomp:\t2\n");
    second.complains("learned 1 syscall (1 new)");
    Profile::read(&env.path("p.json")).has(&["getuid", "sched_yield"]);
    let run = last_run(&env);
    assert_eq!(run["stops"], 0, "{run:#}");
    assert_eq!(run["ran_free"], true);
    let fates = &run["executables"][0]["fates"];
    assert_eq!(fates["filter before exec"]["processes"], 1, "{run:#}");
    // Who made it, and where from, is known all the same.
    let made = &run["calls"][0];
    assert_eq!(
        (&made["name"], &made["executables"][0]),
        (&"sched_yield".into(), &call.as_str().into())
    );
    assert_eq!(made["library"], call.as_str());
}

#[test]
fn a_base_that_allows_much_is_knowledge_too() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let (base, profile) = (env.text("base.json"), env.text("p.json"));
    let native = seccomp_run::syscall::all(seccomp_run::arch::Arch::NATIVE);
    let names = native.map(|(_, name)| name);
    let names: Vec<&str> = names.filter(|name| *name != "getgid").collect();
    let rule = serde_json::json!({"names": names, "action": "SCMP_ACT_ALLOW"});
    let text = serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]});
    env.write("base.json", text.to_string());
    env.ours(&[
        "--learn", "--base", &base, "-o", &profile, "--", &call, "102", "104",
    ])
    .output()
    .succeeds()
    .says("102: ok\n104: ok\n")
    .complains("learned 1 syscall (1 new)");
    assert_eq!(last_run(&env)["stops"], 0);
}

#[test]
fn statuses_and_failures_are_what_they_are_in_a_first_run() {
    let env = Env::new();
    let profile = env.text("p.json");
    let script = env.write("script", "#!/bin/sh\nexit ${1-0}\n");
    env.run(&["chmod", "755", &script]).output().succeeds();
    env.learn(&profile, &[&script]);
    for code in ["0", "1", "255"] {
        update(&env, &profile, &[&script, code]).ends_with(code.parse().unwrap());
    }
    let before = env.read("p.json");
    env.write("script", "#!/no/such/interpreter\n");
    update(&env, &profile, &[&script]).fails_cleanly(127);
    env.write("script", "no program");
    update(&env, &profile, &[&script]).fails_cleanly(126);
    assert_eq!(
        env.read("p.json"),
        before,
        "nothing ran, nothing was learned"
    );
}

#[test]
fn signals_reach_a_command_that_is_not_traced() {
    let env = Env::new();
    let profile = env.text("p.json");
    let script = "trap 'echo got; exit 7' USR2; echo ready; while :; do sleep 0.05; done";
    let command = ["sh", "-c", script];
    for (update, traced) in [("--force", true), ("--update", false)] {
        let args = [&["--learn", update, "-o", &profile, "--"], &command[..]].concat();
        let mut run = env.ours(&args).limit(20).start();
        run.until("ready", |run| run.stdout().contains("ready"));
        run.signal(12);
        run.wait().ends_with(7).says("got\n");
        assert_eq!(last_run(&env)["stops"] != 0, traced);
    }
}

#[test]
fn daemons_of_a_command_that_is_not_traced_are_waited_for() {
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    let (profile, done) = (env.text("p.json"), env.text("done"));
    for flag in ["--force", "--update"] {
        let _ = std::fs::remove_file(&done);
        env.ours(&[
            "--learn", flag, "-o", &profile, "--", &tracee, "daemon", &done,
        ])
        .limit(20)
        .output()
        .ends_with(5);
        assert_eq!(env.read("done"), "done\n", "{flag}");
    }
}

#[test]
fn what_is_not_traced_ends_with_its_learner() {
    needs!("setsid");
    let env = Env::new();
    let profile = env.text("p.json");
    // The command, a child of it, and a grandchild with a session of its own.
    let script = "echo $$; sleep 500 & echo $!; setsid sh -c 'echo $$; exec sleep 501' & wait";
    let command = ["sh", "-c", script];
    env.learn(&profile, &["sh", "-c", "sleep 0 & setsid true; wait"]);
    for (signals, survivors) in [(&[9][..], 2), (&[15, 15][..], 0)] {
        let args = [&["--learn", "--update", "-o", &profile, "--"], &command[..]].concat();
        let mut run = env.ours(&args).limit(20).start();
        run.until("three processes", |run| run.stdout().lines().count() == 3);
        let pids: Vec<i32> = run
            .stdout()
            .lines()
            .map(|pid| pid.parse().unwrap())
            .collect();
        for (at, &signal) in signals.iter().enumerate() {
            if at > 0 {
                // A second SIGTERM means it when it is not part of the first one.
                std::thread::sleep(Duration::from_millis(1200));
            }
            if !run.is_over() {
                run.signal(signal);
            }
        }
        run.until("the launcher's end", |_| true);
        drop(run.wait());
        std::thread::sleep(Duration::from_millis(300));
        let alive = |pid: &&i32| stat(**pid).is_some_and(|fields| fields[0] != "Z");
        assert!(
            !alive(&&pids[0]),
            "the command outlived its learner after {signals:?}"
        );
        let left: Vec<&i32> = pids.iter().filter(alive).collect();
        // Killed at once, a learner takes only the command along: README says so.
        assert!(left.len() <= survivors, "{left:?} after {signals:?}");
        for &pid in left {
            crate::harness::kill_stray(pid);
        }
    }
}

#[test]
fn below_another_listener_unknown_calls_stop_instead() {
    let env = Env::new();
    let listener = fixture("listener", Build::Static);
    let call = fixture("call", Build::Static);
    let profile = env.text("p.json");
    let launcher = crate::harness::SECCOMP_RUN;
    let learn = |flags: &[&str], nr: &str| {
        let script = format!(
            "i=0; while [ $i -lt 300 ]; do read x </dev/null; i=$((i+1)); done; {call} {nr}"
        );
        let words = [&[&listener, launcher, "--learn", "-o", &profile], flags].concat();
        let words = [&words[..], &["--", "sh", "-c", &script]].concat();
        env.run(&words)
            .limit(30)
            .output()
            .succeeds()
            .says(&format!("{nr}: ok\n"));
        last_run(&env)
    };
    let first = learn(&["--inject", "early"], "102");
    let fates = first["executables"].to_string();
    assert!(
        fates.contains("traced filter") && !fates.contains("late filter"),
        "{fates}"
    );
    Profile::read(&env.path("p.json")).has(&["getuid"]);
    // The filter before exec would need a listener, too; the run is learned all the same.
    let second = learn(&["--update"], "24");
    assert_ne!(second["stops"], 0);
    Profile::read(&env.path("p.json")).has(&["getuid", "sched_yield"]);
}
