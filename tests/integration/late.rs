//! A call that a program makes for the first time when the learner has long settled, and once only, is in the
//! recording, whoever makes it.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::engines::engines;
use crate::harness::{Build, Env, Running, fixture, stat, try_fixture};
use crate::profile::Profile;

/// Runs it natively and in every way, and as a second run after one in which nothing happened late; each time the
/// same happens. Returns what was learned, by way.
fn in_every_way(env: &Env, command: &[&str]) -> Vec<(&'static [&'static str], Profile)> {
    let native = env.run(command).output();
    assert!(native.code() < 100, "{native}");
    let learn = |flags: &'static [&'static str], name: &str| {
        let profile = env.text(name);
        let head = ["--learn", "-o", &profile];
        let ours = env
            .ours(&[&head[..], flags, &["--"], command].concat())
            .output();
        assert!(
            ours.status == native.status && ours.stdout == native.stdout,
            "natively:\n{native}\n\nbut:\n{ours}"
        );
        (flags, Profile::read(&env.path(name)))
    };
    let mut learned: Vec<_> = engines()
        .iter()
        .map(|engine| {
            let _ = fs::remove_file(env.path("late.json"));
            let _ = fs::remove_file(env.path("late.evidence.json"));
            learn(engine, "late.json")
        })
        .collect();
    let base = env.text("base.json");
    env.ours(&[
        "--learn", "--force", "-o", &base, "--", command[0], "nothing",
    ])
    .output()
    .succeeds();
    Profile::read(&env.path("base.json")).lacks(&["times"]);
    learned.push(learn(&["--update"], "base.json"));
    learned
}

#[track_caller]
fn marks(env: &Env, command: &[&str]) {
    for (engine, profile) in in_every_way(env, command) {
        assert!(
            profile.observed().contains("times"),
            "{engine:?} {command:?}: the late call is not in {:?}",
            profile.observed()
        );
    }
}

fn builds() -> Vec<String> {
    let mut builds = vec![
        fixture("late", Build::Dynamic),
        fixture("late", Build::Static),
    ];
    builds.extend(try_fixture("late", Build::I386));
    builds
}

#[test]
fn a_late_call_of_any_task_is_recorded() {
    let env = Env::new();
    for late in builds() {
        for (engine, profile) in in_every_way(&env, &[&late, "nothing"]) {
            assert!(!profile.names().contains("times"), "{engine:?}");
        }
        for scene in [
            "main",
            "thread",
            "grandchild",
            "elder_child",
            "settled_child",
            "vfork",
            "exec",
            "exec_child",
        ] {
            marks(&env, &[&late, scene]);
        }
    }
}

/// What the tasks of the scenes "waiting" and "race" call, each something else.
const ONCE: &[&str] = &[
    "getpgid",
    "getsid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "times",
    "getpriority",
    "sched_getscheduler",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "fchdir",
    "fsync",
    "fdatasync",
    "flock",
    "ftruncate",
    "fchmod",
    "listen",
    "shutdown",
    "msync",
    "mincore",
    "dup",
    "getpeername",
    "getsockname",
    "umask",
    "sched_yield",
    "mknod",
    "rmdir",
    "link",
    "symlink",
    "utime",
    "setns",
];

/// How many of them the scene "waiting" makes.
const WAITS: usize = 11;

#[track_caller]
fn has_all(env: &Env, command: &[&str], once: &[&str]) {
    for (engine, profile) in in_every_way(env, command) {
        let observed = profile.observed();
        let lost: Vec<_> = once.iter().filter(|&&n| !observed.contains(n)).collect();
        assert!(lost.is_empty(), "{engine:?} {command:?}: lost {lost:?}");
    }
}

#[test]
fn threads_that_wait_meanwhile_are_not_woken_and_their_late_calls_are_recorded() {
    let env = Env::new();
    for late in builds() {
        has_all(&env, &[&late, "waiting"], &ONCE[..WAITS]);
    }
}

#[test]
fn children_forked_while_their_parent_settles_are_recorded() {
    let env = Env::new();
    let late = fixture("late", Build::Static);
    for _ in 0..3 {
        has_all(&env, &[&late, "race"], ONCE);
    }
}

/// Sends `SIGSTOP` to a process in the midst of its getting the learner's filter, when all its signals are blocked.
/// False: the moment was missed.
fn stop_while_it_settles(pid: Pid) -> bool {
    let status = format!("/proc/{pid}/status");
    while let Ok(text) = fs::read_to_string(&status) {
        if text.contains("\nState:\tZ") {
            break;
        }
        if text.contains("\nSigBlk:\tfffffffffffbfeff") {
            kill(pid, Signal::SIGSTOP).unwrap();
            return true;
        }
    }
    false
}

/// A command that says who it is, and settles then: in the usual way, or in vain.
fn settling(env: &Env, scene: &str, in_vain: bool) -> (Running, Pid) {
    let late = fixture("late", Build::Static);
    let profile = env.text("p.json");
    let head = [
        "--learn", "--force", "--inject", "late", "-o", &profile, "--",
    ];
    // Without room for one more descriptor it can have no listener.
    let limited = ["sh", "-c", "ulimit -n 3; exec $0 $1", &late, scene];
    let command = if in_vain {
        &limited[..]
    } else {
        &[&late, scene]
    };
    let mut run = env.ours(&[&head[..], command].concat()).limit(20).start();
    run.until("its pid", |run| run.stdout().contains('\n'));
    let pid = run.stdout().trim().trim_start_matches("pid ").parse();
    (run, Pid::from_raw(pid.unwrap()))
}

/// A process that is stopped and continued at once goes on, whatever it is in the midst of.
#[test]
fn a_stop_that_is_over_does_not_come_later() {
    let mut met = 0;
    for turn in 0..60 {
        let env = Env::new();
        let (run, pid) = settling(&env, "watched", false);
        met += u32::from(stop_while_it_settles(pid));
        // It has seen the first signal by then, or not.
        let by = Instant::now() + Duration::from_micros(turn * 5);
        while Instant::now() < by {}
        // It fails when it has ended already.
        let _ = kill(pid, Signal::SIGCONT);
        run.wait().ends_with(7);
    }
    assert!(met > 10, "{met}");
}

/// One that is stopped meanwhile stays so until it is continued.
#[test]
fn a_process_that_is_stopped_while_it_settles_is_stopped() {
    let cases = ["watched_long", "watched_pair"].map(|scene| [(scene, false), (scene, true)]);
    for (scene, in_vain) in cases.into_iter().flatten() {
        let mut met = 0;
        for _ in 0..60 {
            if met == 3 {
                break;
            }
            let env = Env::new();
            let (run, pid) = settling(&env, scene, in_vain);
            if stop_while_it_settles(pid) {
                met += 1;
                std::thread::sleep(Duration::from_millis(200));
                let shows = || {
                    let fields = stat(pid.as_raw()).unwrap();
                    // The state; user and system time.
                    [0, 11, 12].map(|at| fields[at].to_lowercase())
                };
                let before = shows();
                std::thread::sleep(Duration::from_millis(100));
                assert_eq!(before[0], "t", "{before:?}, {scene}, in vain: {in_vain}");
                assert_eq!(before, shows(), "{scene}, in vain: {in_vain}");
                kill(pid, Signal::SIGCONT).unwrap();
            }
            run.wait().ends_with(7);
        }
        assert_eq!(met, 3, "{scene}, in vain: {in_vain}");
    }
}

/// Who waits for those that were let go sleeps.
#[test]
fn a_learner_of_sleepers_sleeps() {
    let env = Env::new();
    let late = fixture("late", Build::Static);
    let profile = env.text("p.json");
    let args = [
        "--learn", "--inject", "late", "-o", &profile, "--", &late, "asleep",
    ];
    let mut run = env.ours(&args).start();
    run.until("the command", |run| run.stdout().contains("asleep"));
    std::thread::sleep(Duration::from_millis(500));
    // User and system time, in hundredths of a second.
    let took = || -> u64 {
        let fields = stat(run.pid()).unwrap();
        let times = fields[11..13].iter();
        times.map(|field| field.parse::<u64>().unwrap()).sum()
    };
    let before = took();
    std::thread::sleep(Duration::from_secs(1));
    let after = took();
    assert!(after - before < 5, "{}0 ms in a second", after - before);
    run.wait().succeeds();
}
