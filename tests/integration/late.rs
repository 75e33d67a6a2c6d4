//! A call that a program makes for the first time when the learner has long settled, and once only, is in the
//! recording, whoever makes it.

use crate::engines::engines;
use crate::harness::{Build, Env, fixture, try_fixture};
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
            let _ = std::fs::remove_file(env.path("late.json"));
            let _ = std::fs::remove_file(env.path("late.evidence.json"));
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
