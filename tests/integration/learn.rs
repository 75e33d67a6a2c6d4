//! What the learner writes, when, and what it does not lose.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::engines::engines;
use crate::harness::{Build, Env, Running, SECCOMP_RUN, fixture, ordinary_user, skip, try_fixture};
use crate::profile::Profile;

/// Runs one scene under the learner in this way; it must print and end as it does natively.
fn scene(env: &Env, engine: &[&str], tracee: &str, name: &str) -> Profile {
    let native = env.run(&[tracee, name]).output();
    let profile = env.text(&format!("{name}.json"));
    let head = ["--learn", "--force", "-o", &profile];
    let out = env
        .ours(&[&head[..], engine, &["--", tracee, name]].concat())
        .limit(30)
        .output();
    assert!(
        out.status == native.status && out.stdout == native.stdout,
        "natively:\n{native}\n\nbut:\n{out}"
    );
    Profile::read(&env.path(&format!("{name}.json")))
}

#[test]
fn nothing_is_lost_of_programs_that_are_hard_on_a_tracer() {
    let env = Env::new();
    let mut builds = vec![Build::Dynamic, Build::Static];
    if try_fixture("tracee", Build::I386).is_some() {
        builds.push(Build::I386);
    }
    for build in builds {
        let tracee = fixture("tracee", build);
        for engine in engines() {
            scene(&env, engine, &tracee, "nothing").lacks(&["times"]);
            for name in [
                "vfork",
                "threads",
                "exec_thread",
                "stopped",
                "traps",
                "realtime",
                "killed",
                "storm",
                "undumpable",
            ] {
                scene(&env, engine, &tracee, name).has(&["times"]);
            }
            let restart = scene(&env, engine, &tracee, "restart");
            assert!(restart.names().contains("restart_syscall"));
        }
    }
}

#[test]
fn a_child_that_asks_not_to_be_traced_is_learned_too() {
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    for engine in engines() {
        scene(&env, engine, &tracee, "untraced").has(&["times"]);
    }
}

#[test]
fn what_was_learned_of_them_is_enough_for_them() {
    let env = Env::new();
    let tracee = fixture("tracee", Build::Dynamic);
    for engine in engines() {
        for name in [
            "vfork",
            "threads",
            "exec_thread",
            "stopped",
            "traps",
            "realtime",
            "untraced",
            "killed",
            "storm",
            "restart",
        ] {
            scene(&env, engine, &tracee, name);
            let native = env.run(&[&tracee, name]).output();
            let profile = env.text(&format!("{name}.json"));
            let out = env
                .ours(&["--enforce", &profile, "--kill", "--", &tracee, name])
                .output();
            assert!(
                out.status == native.status && out.stdout == native.stdout,
                "natively:\n{native}\n\nbut:\n{out}"
            );
        }
    }
}

#[test]
fn a_daemon_that_outlives_the_command_is_learned_to_its_end() {
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    let (profile, done) = (env.text("p.json"), env.text("done"));
    env.ours(&["--learn", "-o", &profile, "--", &tracee, "daemon", &done])
        .limit(20)
        .output()
        .ends_with(5);
    assert_eq!(
        env.read("done"),
        "done\n",
        "learning ends when the last descendant has ended"
    );
    Profile::read(&env.path("p.json")).has(&["times", "setsid", "clock_nanosleep"]);
}

#[test]
fn a_program_that_stops_itself_at_once_stays_stopped_until_continued() {
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    let profile = env.text("p.json");
    let line = format!("{tracee} early_sigstop & sleep 0.4; echo woken; kill -CONT $!; wait $!");
    let out = env
        .ours(&["--learn", "-o", &profile, "--", "bash", "-c", &line])
        .limit(20)
        .output();
    out.succeeds();
    assert_eq!(out.stdout, "woken\nwent on 1\n", "{out}");
    Profile::read(&env.path("p.json")).has(&["times"]);
}

#[test]
fn a_tracee_stopped_from_outside_stops_and_goes_on() {
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    let profile = env.text("p.json");
    let mut run = env
        .ours(&["--learn", "-o", &profile, "--", &tracee, "forever"])
        .limit(20)
        .start();
    let pid = pid_of_tracee(&mut run);
    env.run(&["kill", "-STOP", &pid]).output().succeeds();
    let cpu = || {
        // Voluntary switches stand still while it is stopped.
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status
            .lines()
            .find(|l| l.starts_with("voluntary"))
            .unwrap()
            .to_owned()
    };
    std::thread::sleep(Duration::from_millis(150));
    let before = cpu();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(before, cpu(), "it runs although it was stopped");
    env.run(&["kill", "-CONT", &pid]).output().succeeds();
    run.until("it goes on", |_| cpu() != before);
    env.run(&["kill", "-TERM", &pid]).output().succeeds();
    run.wait().ends_with(128 + 15);
}

fn pid_of_tracee(run: &mut Running) -> String {
    run.until("the command", |r| {
        r.stdout().contains("pid ") && r.stdout().ends_with('\n')
    });
    run.stdout().trim().trim_start_matches("pid ").to_owned()
}

#[test]
fn calls_are_booked_under_the_abi_that_made_them() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let profile = env.text("p.json");
    let x32 = env.text("x32.json");
    for engine in engines() {
        let learn = |profile: &str, call_of: &[&str]| {
            let head = ["--learn", "--force", "-o", profile];
            env.ours(&[&head[..], engine, &["--", &call], call_of].concat())
                .output()
        };
        // 20 is getpid on i386 and writev on x86_64; 39 is getpid on x86_64 and mkdir on i386.
        learn(&profile, &["x86:20"]).succeeds().says("x86:20: ok\n");
        let learned = Profile::read(&env.path("p.json"));
        learned.has(&["getpid"]).lacks(&["writev", "mkdir"]);
        assert!(
            learned.architectures().contains("SCMP_ARCH_X86"),
            "{:?}",
            learned.architectures()
        );
        env.ours(&["--enforce", &profile, "--", &call, "x86:20"])
            .output()
            .succeeds()
            .says("x86:20: ok\n");
        // The same when thousands of other calls came before, of either ABI.
        for other in ["110", "x86:64"] {
            let mut calls = vec![other; 3000];
            calls.extend(["x86:20", "102", "x86:24"]);
            learn(&profile, &calls).succeeds().says("x86:24: ok\n");
            let learned = Profile::read(&env.path("p.json"));
            learned.has(&["getpid", "getppid", "getuid"]).lacks(&[
                "writev",
                "mkdir",
                "sched_yield",
                "semget",
            ]);
        }

        learn(&x32, &["x32:102"])
            .succeeds()
            .says("x32:102: error 38\n");
        let learned = Profile::read(&env.path("x32.json"));
        let text = learned.json.to_string();
        assert!(text.contains("X32"), "the x32 bit was dropped: {text}");
        // Whatever the profile says of x32, the 64-bit call of that number is not in it.
        env.ours(&["--enforce", &x32, "--", &call, "104"])
            .output()
            .says("104: error 1\n");
    }
}

#[test]
fn a_number_without_a_name_is_kept() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let profile = env.text("p.json");
    for engine in engines() {
        let head = ["--learn", "--force", "-o", &profile];
        env.ours(&[&head[..], engine, &["--", &call, "9999"]].concat())
            .output()
            .succeeds()
            .says("9999: error 38\n");
        Profile::read(&env.path("p.json")).has(&["syscall_9999"]);
        env.ours(&["--enforce", &profile, "--kill", "--", &call, "9999"])
            .output()
            .succeeds()
            .says("9999: error 38\n");
        env.ours(&["--enforce", &profile, "--kill", "--", &call, "9998"])
            .output()
            .ends_with(159);
    }
}

#[test]
fn the_profile_is_canonical_and_says_what_it_is() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let (one, two) = (env.text("one.json"), env.text("two.json"));
    let learned = env.learn(&one, &[&call, "39", "102", "104"]);
    env.learn(&two, &[&call, "104", "102", "39", "39"]);
    assert_eq!(
        env.read("one.json"),
        env.read("two.json"),
        "the same set gives the same file"
    );
    assert!(env.read("one.json").ends_with("}\n"));
    assert_eq!(learned.json["defaultAction"], Value::from("SCMP_ACT_ERRNO"));
    assert_eq!(learned.architectures(), ["SCMP_ARCH_X86_64"].into());
    for rule in learned.json["syscalls"].as_array().unwrap() {
        assert_eq!(rule["action"], Value::from("SCMP_ACT_ALLOW"));
        let names: Vec<_> = rule["names"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_str().unwrap())
            .collect();
        assert!(names.is_sorted(), "{names:?}");
    }
    assert!(learned.observed().is_disjoint(&learned.added()));
}

#[test]
fn an_existing_profile_is_only_touched_when_asked_to() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let profile = env.text("p.json");
    let learn = |flags: &[&str], nr: &str| {
        env.ours(&[&["--learn", "-o", &profile], flags, &["--", &call, nr]].concat())
            .output()
    };
    learn(&[], "102").succeeds();
    let before = env.read("p.json");
    let refused = learn(&[], "104");
    refused
        .fails_cleanly(125)
        .complains(&profile)
        .complains("--update")
        .complains("--force");
    assert_eq!(env.read("p.json"), before);

    learn(&["--update"], "104").succeeds();
    Profile::read(&env.path("p.json")).has(&["getuid", "getgid"]);
    learn(&["--force"], "107").succeeds();
    Profile::read(&env.path("p.json"))
        .has(&["geteuid"])
        .lacks(&["getuid", "getgid"]);

    // --update without a file starts one.
    fs::remove_file(&profile).unwrap();
    learn(&["--update"], "102").succeeds();
    Profile::read(&env.path("p.json")).has(&["getuid"]);
}

#[test]
fn update_changes_nothing_when_nothing_is_new() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let profile = env.text("p.json");
    env.learn(&profile, &[&call, "39", "x86:20", "9999"]);
    let before = env.read("p.json");
    env.ours(&["--learn", "--update", "-o", &profile, "--", &call, "39"])
        .output()
        .succeeds();
    assert_eq!(env.read("p.json"), before);
}

#[test]
fn bases_are_kept_and_added_to() {
    let env = Env::new();
    let call = fixture("call", Build::Static);
    let (a, b, c) = (env.text("a.json"), env.text("b.json"), env.text("c.json"));
    env.learn(&a, &[&call, "102"]);
    env.learn(&b, &[&call, "104", "x86:20"]);
    env.ours(&[
        "--learn", "--base", &a, "--base", &b, "-o", &c, "--", &call, "107",
    ])
    .output()
    .succeeds();
    let learned = Profile::read(&env.path("c.json"));
    learned
        .has(&["getuid", "getgid", "geteuid"])
        .lacks(&["getegid"]);
    assert!(learned.architectures().contains("SCMP_ARCH_X86"));
    env.ours(&["--enforce", &c, "--", &call, "102", "104", "107", "108"])
        .output()
        .succeeds()
        .says("102: ok\n104: ok\n107: ok\n108: error 1\n");
    // The bases themselves stay as they are.
    Profile::read(&env.path("a.json")).lacks(&["geteuid"]);
}

#[test]
fn a_killed_learner_leaves_a_checkpoint_and_no_command() {
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    let profile = env.text("p.json");
    let mut run = env
        .ours(&["--learn", "-o", &profile, "--", &tracee, "forever"])
        .limit(30)
        .start();
    let pid = pid_of_tracee(&mut run);
    let start = Instant::now();
    let file = env.path("p.json");
    // A checkpoint may come before the call: wait for one that has it.
    run.until("a checkpoint", |_| {
        file.exists() && Profile::read(&file).observed().contains("times")
    });
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "after {:?}",
        start.elapsed()
    );
    run.signal(9);
    assert_eq!(run.wait().code(), 128 + 9);
    Profile::read(&file)
        .has(&["times", "write"])
        .lacks(&["mkdir"]);
    let deadline = Instant::now() + Duration::from_secs(5);
    while crate::harness::stat(pid.parse().unwrap()).is_some_and(|s| s[0] != "Z") {
        assert!(
            Instant::now() < deadline,
            "the command outlived its learner"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_first_sigterm_is_the_commands_the_second_one_ends_learning() {
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    let profile = env.text("p.json");
    let mut run = env
        .ours(&["--learn", "-o", &profile, "--", &tracee, "forever"])
        .limit(20)
        .start();
    pid_of_tracee(&mut run);
    run.signal(15);
    run.wait().ends_with(128 + 15);
    Profile::read(&env.path("p.json")).has(&["times"]);

    let mut run = env
        .ours(&["--learn", "--force", "-o", &profile, "--", &tracee, "deaf"])
        .limit(20)
        .start();
    let pid = pid_of_tracee(&mut run);
    run.signal(15);
    std::thread::sleep(Duration::from_millis(300));
    // timeout(1) sends two at once: they are one.
    run.signal(15);
    std::thread::sleep(Duration::from_secs(1));
    assert!(!run.is_over(), "the command ignores it");
    run.signal(15);
    let out = run.wait();
    assert!(out.code() != 0, "{out}");
    Profile::read(&env.path("p.json")).has(&["times", "rt_sigaction"]);
    assert!(
        crate::harness::stat(pid.parse().unwrap()).is_none_or(|s| s[0] == "Z"),
        "the command outlived its learner"
    );
}

#[test]
fn a_failed_start_writes_nothing() {
    let env = Env::new();
    let profile = env.text("p.json");
    let plain = env.write("plain", "no program\n");
    let script = env.write("script", "no program either\n");
    env.run(&["chmod", "755", &script]).output().succeeds();
    let missing = env.text("missing");
    let dir = env.mkdir("dir");
    for (command, code) in [(&missing, 127), (&plain, 126), (&script, 126), (&dir, 126)] {
        env.ours(&["--learn", "-o", &profile, "--", command])
            .output()
            .fails_cleanly(code)
            .complains(command);
        assert!(!env.path("p.json").exists(), "{command}");
    }
    // An old profile survives, with --force and --update too.
    env.write(
        "p.json",
        "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": []}\n",
    );
    let before = env.read("p.json");
    for flag in ["--force", "--update"] {
        env.ours(&["--learn", flag, "-o", &profile, "--", &missing])
            .output()
            .fails_cleanly(127);
        env.ours(&["--learn", flag, "-o", &profile, "--", &script])
            .output()
            .fails_cleanly(126);
        assert_eq!(env.read("p.json"), before);
    }
    // And no scratch files stay.
    let left: Vec<String> = fs::read_dir(env.path(""))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.contains("p.json") && n != "p.json")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_read_only_program_can_be_learned_where_it_cannot_be_read() {
    let env = Env::new();
    let call = env.copy_program(&fixture("call", Build::Static), "call");
    env.run(&["chmod", "711", &call]).output().succeeds();
    let ours = env.copy_program(SECCOMP_RUN, "ours");
    let dir = env.mkdir("user");
    let profile = format!("{dir}/p.json");
    if !crate::harness::is_root() {
        skip!("not root");
    }
    let user = ordinary_user();
    env.run(
        &[
            user,
            &[&ours, "--learn", "-o", &profile, "--", &call, "102"],
        ]
        .concat(),
    )
    .output()
    .succeeds()
    .says("102: ok");
    Profile::read(&env.path("user/p.json")).has(&["getuid"]);
}

#[test]
fn learning_says_what_it_did_on_stderr_only() {
    let env = Env::new();
    let profile = env.text("p.json");
    let out = env
        .ours(&["--learn", "-o", &profile, "--", "echo", "mine"])
        .output();
    out.succeeds().complains(&profile);
    assert_eq!(out.stdout, "mine\n");
    assert!(
        out.stderr.lines().all(|l| l.starts_with("seccomp-run: ")),
        "{out}"
    );
}

#[test]
fn evidence_tells_the_runs_and_gives_the_compiler_weights() {
    let env = Env::new();
    let profile = env.text("p.json");
    let learn = |flags: &[&str]| {
        let words = [
            &["--learn", "-o", &profile][..],
            flags,
            &["--", "sh", "-c", "echo a; exit 3"],
        ]
        .concat();
        env.ours(&words).output().ends_with(3);
    };
    // The second run is counted, too, when its filter is not in before it begins.
    learn(&["--transparent"]);
    learn(&["--update", "--transparent"]);
    let evidence: Value = serde_json::from_str(&env.read("p.evidence.json")).unwrap();
    assert_eq!(evidence["version"], 2);
    let runs = evidence["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2, "--update appends");
    for run in runs {
        assert_eq!(
            run["command"],
            serde_json::json!(["sh", "-c", "echo a; exit 3"])
        );
        assert_eq!(
            (&run["end"], &run["complete"]),
            (&"exited 3".into(), &true.into())
        );
        let write = |call: &&Value| call["name"] == "write";
        let write = run["calls"].as_array().unwrap().iter().find(write).unwrap();
        assert_eq!(
            (&write["arch"], &write["nr"], &write["count"]),
            (&"x86_64".into(), &1.into(), &1.into())
        );
    }
    env.ours(&["compile", &profile, "--stats"])
        .output()
        .succeeds()
        .says("expected path");

    // It does not decide anything: spoilt, it is told by the tool that needs it, and enforcing goes on.
    env.write("p.evidence.json", "{");
    env.ours(&["compile", &profile, "--stats"])
        .output()
        .fails_cleanly(125)
        .complains("p.evidence.json");
    env.ours(&["--learn", "--update", "-o", &profile, "true"])
        .output()
        .fails_cleanly(125);
    env.ours(&["--enforce", &profile, "sh", "-c", "echo a; exit 3"])
        .output()
        .ends_with(3);

    let lone = env.text("lone.json");
    env.ours(&["--learn", "--no-evidence", "-o", &lone, "true"])
        .output()
        .succeeds();
    assert!(!env.path("lone.evidence.json").exists());
}

#[test]
fn the_end_that_is_mirrored_is_the_commands_own() {
    let env = Env::new();
    // The command leaves a daemon behind; a request to end then ends learning, with the command's status.
    let mut run = env
        .ours(&[
            "--learn",
            "-o",
            &env.text("p.json"),
            "--",
            "sh",
            "-c",
            "sleep 30 & exit 4",
        ])
        .limit(20)
        .start();
    run.until("the command's end", |_| env.path("p.json").exists());
    run.signal(15);
    run.wait()
        .ends_with(4)
        .complains("learning was ended before the last process was");
}

#[test]
fn strangers_are_not_waited_for() {
    let env = Env::new();
    let begun = Instant::now();
    let line = format!(
        "sleep 15 & exec {SECCOMP_RUN} --learn -o {} true",
        env.text("p.json")
    );
    env.run(&["bash", "-c", &line]).output().succeeds();
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn children_that_hide_are_traced_or_told() {
    let env = Env::new();
    let tracee = env.copy_program(&fixture("tracee", Build::Static), "tracee");
    let ours = env.copy_program(SECCOMP_RUN, "ours");
    for engine in engines() {
        for scene in ["untraced", "untraced3"] {
            let profile = env.text(&format!("{scene}.json"));
            let head = [&ours, "--learn", "--strict", "--force", "-o", &profile];
            let out = env
                .run(&[&head[..], engine, &["--", &tracee, scene]].concat())
                .output();
            out.succeeds().says("ended 8");
            if scene == "untraced3" {
                out.says(&format!("flags {}", 0x0080_0000));
            }
            Profile::read(&env.path(&format!("{scene}.json"))).has(&["times"]);
        }
    }
    if !crate::harness::is_root() {
        skip!("only root can become an ordinary user, who may not read an undumpable process");
    }
    let user = ordinary_user();
    let learn = [
        &ours,
        "--learn",
        "--strict",
        "-o",
        &env.text("hidden.json"),
        &tracee,
        "hidden",
    ];
    let out = env.run(&[user, &learn].concat()).output();
    out.ends_with(125)
        .complains("incomplete: a child may have been started with CLONE_UNTRACED");
    assert!(
        env.path("hidden.json").exists(),
        "what was seen is written all the same"
    );
}

/// What one learned would be gone when the other writes.
#[test]
fn two_do_not_learn_into_one_file() {
    let env = Env::new();
    let profile = env.text("p.json");
    let learn = |command: &[&str]| {
        let head = ["--learn", "--update", "-o", &profile, "--"];
        env.ours(&[&head[..], command].concat())
    };
    // Its checkpoint makes the file when there is none; there is one for the second run.
    for _ in 0..2 {
        let mut first = learn(&["sh", "-c", "echo on; exec sleep 30"]).start();
        first.until("the command", |r| r.stdout().contains("on\n"));
        first.until("a checkpoint", |_| env.path("p.json").exists());
        learn(&["true"])
            .output()
            .fails_cleanly(125)
            .complains(&format!(
                "'{profile}' is locked: another seccomp-run is writing it"
            ))
            .complains("hint: wait until that one has ended");
        env.ours(&["check", &profile]).output();
        first.signal(15);
        first.wait().ends_with(143);
    }
    learn(&["true"]).output().succeeds();
}
