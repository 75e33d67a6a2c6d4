//! What is sent to the launcher reaches the command, once.

use crate::harness::{Build, Env, Running, SECCOMP_RUN, fixture, kill_stray, needs, ordinary_user};
use crate::profile::{Profile, all_but};

/// All that can be forwarded: not KILL and STOP, not CHLD (the launcher's own), not the faults, not 32 and
/// 33 (the C library's); 64 comes last, it ends the fixture.
fn forwarded() -> impl Iterator<Item = i32> {
    (1..=64).filter(|s| ![4, 5, 7, 8, 9, 11, 17, 19, 31, 32, 33].contains(s))
}

fn all_arrive_once(mut run: Running, signals: impl Iterator<Item = i32>) {
    run.until("the fixture", |r| r.stdout().contains("ready\n"));
    let mut wanted = String::from("ready\n");
    for signal in signals {
        run.signal(signal);
        let line = format!("got {signal}\n");
        run.until(&format!("signal {signal}"), |r| {
            r.stdout().ends_with(&line) || r.stdout().contains(&line)
        });
        wanted.push_str(&line);
    }
    let out = run.wait();
    out.ends_with(7);
    assert_eq!(out.stdout, wanted, "each once, in this order\n{out}");
}

#[test]
fn every_signal_reaches_an_enforced_command_once() {
    let env = Env::new();
    let signals = fixture("signals", Build::Static);
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    all_arrive_once(
        env.ours(&["--enforce", &profile, "--", &signals]).start(),
        forwarded(),
    );
}

#[test]
fn every_signal_reaches_a_learning_command_once() {
    let env = Env::new();
    let signals = fixture("signals", Build::Static);
    let profile = env.text("p.json");
    all_arrive_once(
        env.ours(&["--learn", "-o", &profile, "--", &signals])
            .start(),
        forwarded(),
    );
    Profile::read(&env.path("p.json")).has(&["pause", "write", "rt_sigreturn", "rt_sigaction"]);
}

#[test]
fn a_signal_that_ends_the_command_ends_the_launcher_with_its_number() {
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let learned = env.text("l.json");
    // To a learner SIGUSR1 is a question: one of these commands, which would end by it, does not get it.
    let ways: [(&[&str], &[i32]); 2] = [
        (&["--enforce", &profile], &[1, 2, 3, 10, 15, 34, 64]),
        (
            &["--learn", "--force", "-o", &learned],
            &[1, 2, 3, 12, 15, 34, 64],
        ),
    ];
    for (way, signals) in ways {
        for &signal in signals {
            let args = [way, &["--", &tracee, "forever"]].concat();
            let mut run = env.ours(&args).limit(20).start();
            run.until("the command", |r| r.stdout().contains("pid"));
            run.signal(signal);
            run.wait().ends_with(128 + signal);
        }
    }
}

#[test]
fn the_command_lives_on_when_the_launcher_is_killed() {
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let line = format!("setsid {tracee} forever");
    let mut run = env
        .ours(&[
            "--enforce",
            &profile,
            "--",
            "sh",
            "-c",
            &format!("exec {line}"),
        ])
        .start();
    run.until("the command", |r| r.stdout().contains("pid"));
    let pid: i32 = run
        .stdout()
        .trim()
        .trim_start_matches("pid ")
        .parse()
        .unwrap();
    run.signal(9);
    assert_eq!(run.wait().code(), 128 + 9);
    std::thread::sleep(std::time::Duration::from_millis(100));
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    kill_stray(pid);
    let status = status.unwrap();
    assert!(
        status.contains("Seccomp:\t2"),
        "alive and filtered\n{status}"
    );
    assert!(!status.contains("State:\tZ"), "alive\n{status}");
}

#[test]
fn a_stopped_launcher_goes_on_with_its_command() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let learned = env.text("l.json");
    let ways: [&[&str]; 2] = [&["--enforce", &profile], &["--learn", "-o", &learned]];
    for way in ways {
        let args = [way, &["--", "sh", "-c", "echo on; sleep 0.3; exit 6"]].concat();
        let mut run = env.ours(&args).limit(20).start();
        run.until("the command", |r| r.stdout().contains("on"));
        run.signal(19);
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert!(!run.is_over(), "{way:?}: a stopped launcher cannot end");
        run.signal(18);
        run.wait().ends_with(6);
    }
}

#[test]
fn job_control_works_and_the_terminals_signals_come_once() {
    needs!("python3", "bash");
    let env = Env::new();
    let signals = fixture("signals", Build::Static);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/terminal.py");
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let learned = env.text("l.json");
    let ways: [&[&str]; 4] = [
        &[],
        &[SECCOMP_RUN, "--enforce", &profile, "--"],
        &[SECCOMP_RUN, "--enforce", &profile, "--exec", "--"],
        &[SECCOMP_RUN, "--learn", "--force", "-o", &learned, "--"],
    ];
    for way in ways {
        // SIGTSTP keeps its default action.
        let out = env
            .run(&[&["python3", script], way, &[&signals, "20"]].concat())
            .output();
        out.succeeds();
        let mut got: Vec<&str> = out
            .stdout
            .lines()
            .filter(|l| l.starts_with("got ") || l.contains("status "))
            .collect();
        if way.contains(&"--learn") {
            // The learner passes on the SIGCONT that a shell sends to the whole job.
            got.dedup_by(|a, b| a == b && *a == "got 18");
        }
        assert_eq!(
            got,
            [
                "got 18",
                "got 2",
                "got 3",
                "got 18",
                "got 64",
                "prompt> status 7"
            ],
            "{way:?}\n{out}"
        );
    }
}

#[test]
fn the_c_librarys_own_signals_are_passed_on_too() {
    needs!("python3");
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    // Programs that are started by posix_spawn find them ignored.
    let default = "import ctypes, os, sys; zeros = ctypes.create_string_buffer(32); \
                   [ctypes.CDLL(None).syscall(13, n, zeros, None, 8) for n in (32, 33)]; \
                   os.execv(sys.argv[1], sys.argv[1:])";
    let learned = env.text("l.json");
    let ways: [&[&str]; 2] = [
        &["--enforce", &profile],
        &["--learn", "--force", "-o", &learned],
    ];
    for way in ways {
        for signal in [32, 33] {
            let start = ["python3", "-c", default, SECCOMP_RUN];
            let argv = [&start[..], way, &["--", &tracee, "forever"]].concat();
            let mut run = env.run(&argv).limit(20).start();
            run.until("the command", |r| r.stdout().contains("pid"));
            run.signal(signal);
            run.wait().ends_with(128 + signal);
        }
    }
}

/// Sent to the launcher, each signal has the effect that it has natively, whatever the command does with it.
#[test]
fn default_ignored_and_blocked_signals_do_what_they_do_without_the_launcher() {
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("acct", "SCMP_ACT_ERRNO")]));
    let ours = env.copy_program(SECCOMP_RUN, "ours");
    let program = env.copy_program(&fixture("dispositions", Build::Static), "dispositions");
    let users: [&[&str]; 2] = [&["env"], ordinary_user()];
    for user in users {
        let start = |how: &'static str| {
            let words = [user, &[&ours, "--enforce", &profile, "--", &program, how]].concat();
            let mut run = env.run(&words).limit(20).start();
            run.until("the command", |r| r.stdout().contains("ready"));
            let line = run.stdout();
            let pid = line.split_whitespace().nth(1).unwrap();
            (run, pid.parse::<i32>().unwrap())
        };
        let all = || (1..=64).filter(|s| ![9, 17, 19].contains(s));
        // What stops, or is ignored by default: job control's are ignored in an orphaned group.
        let harmless = [18, 20, 21, 22, 23, 28];
        for signal in all().filter(|s| !harmless.contains(s)) {
            let (run, _) = start("default");
            run.signal(signal);
            run.wait().ends_with(128 + signal);
        }
        for (how, signals) in [
            ("default", harmless.to_vec()),
            ("ignored", all().collect::<Vec<i32>>()),
        ] {
            let (run, pid) = start(how);
            for &signal in &signals {
                run.signal(signal);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            let state = crate::harness::stat(pid).unwrap();
            assert_eq!(state[0], "S", "{how}");
            kill_stray(pid);
            run.wait().ends_with(137);
        }
        let (run, _) = start("blocked");
        let mut wanted = Vec::new();
        for signal in all() {
            // A stop signal takes a waiting SIGCONT away, and the other way round.
            if [18, 20, 21, 22].contains(&signal) {
                continue;
            }
            run.signal(signal);
            wanted.push(format!("got {signal}"));
        }
        let out = run.wait();
        out.ends_with(7);
        // Faults come first; each once.
        let mut got: Vec<&str> = out.stdout.lines().skip(1).collect();
        let number = |line: &&str| line[4..].parse::<i32>().unwrap();
        got.sort_by_key(number);
        assert_eq!(got, wanted, "{out}");
    }
}
