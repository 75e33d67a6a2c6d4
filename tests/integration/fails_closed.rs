//! Whatever fails on the way, the command never runs without its filter.

use std::fs;

use serde_json::json;

use crate::harness::{Build, Env, Output, SECCOMP_RUN, fixture, is_root, needs_root};
use crate::profile::fields;

/// EPERM, EINTR, EIO, ENOMEM, ENOSYS.
const ERRORS: &[i32] = &[1, 4, 5, 12, 38];

/// Denies getppid with ECONNREFUSED, which it never gives by itself.
fn profile(env: &Env) -> String {
    let json = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 111}],
    });
    env.write("p.json", json.to_string())
}

/// The command did not run, or ran under the filter. Returns whether it ran.
#[track_caller]
fn closed(env: &Env, what: &str, out: &Output) -> bool {
    let ran = env.path("marker").exists();
    if ran {
        let marker = env.read("marker");
        let seen = fields(&marker);
        assert_eq!(seen["Seccomp"], "2", "{what}: unfiltered\n{marker}\n{out}");
        // ENOSYS: the launcher that answers has failed, or had no memory to go on.
        let failed = out.code() != 0;
        let denied = ["error 111", if failed { "error 38" } else { "" }];
        assert!(
            denied.contains(&&*seen["getppid"]),
            "{what}: another filter\n{marker}\n{out}"
        );
        fs::remove_file(env.path("marker")).unwrap();
    } else {
        assert!(out.code() != 0, "{what}: neither ran nor failed\n{out}");
    }
    ran
}

/// Makes each call of one of the launcher's processes fail, one at a time, with each error.
fn inject(env: &Env, process: &str, flags: &[&str], own_errors: bool) {
    let (inject, marker) = (
        fixture("inject", Build::Static),
        fixture("marker", Build::Static),
    );
    let (profile, file, log) = (profile(env), env.text("marker"), env.text("log"));
    let (mut calls, mut refused) = (0, 0);
    for call in 1..2000 {
        let _ = fs::remove_file(&log);
        for error in ERRORS {
            let (number, error) = (call.to_string(), error.to_string());
            // A listener that cannot answer leaves the denied call waiting: nothing ran that should not.
            let head = [
                "timeout",
                "--signal=KILL",
                "5",
                inject.as_str(),
                process,
                &number,
                &error,
                &log,
                SECCOMP_RUN,
                "--enforce",
                &profile,
            ];
            let out = env
                .run(&[&head[..], flags, &["--", &marker, &file]].concat())
                .limit(20)
                .output();
            if !env.path("log").exists() {
                break;
            }
            let nr = env.read("log");
            let what = format!(
                "process {process}, call {call} (number {}), errno {error}, {flags:?}",
                nr.trim()
            );
            if !closed(env, &what, &out) {
                refused += 1;
                if own_errors {
                    assert!([125, 126, 127].contains(&out.code()), "{what}\n{out}");
                }
            }
        }
        if !env.path("log").exists() {
            break;
        }
        calls = call;
    }
    // Else the test has tested nothing.
    assert!((3..1999).contains(&calls), "{calls} calls");
    assert!(refused >= 3, "only {refused} of {calls} calls mattered");
}

#[test]
fn each_call_between_fork_and_exec_may_fail() {
    let env = Env::new();
    inject(&env, "1", &[], true);
}

#[test]
fn each_call_between_fork_and_exec_may_fail_when_dropping_capabilities() {
    needs_root!();
    let env = Env::new();
    inject(&env, "1", &["--cap-drop", "ALL"], true);
    inject(&env, "1", &["--cap-drop", "ALL", "--allow-new-privs"], true);
}

#[test]
fn each_call_before_the_fork_may_fail() {
    let env = Env::new();
    inject(&env, "0", &[], false);
}

#[test]
fn each_call_may_fail_when_executing_in_place() {
    let env = Env::new();
    inject(&env, "0", &["--exec"], false);
}

#[test]
fn each_call_of_the_handover_may_fail() {
    let env = Env::new();
    inject(&env, "1", &["--report"], true);
}

#[test]
fn each_call_of_a_launcher_that_stays_may_fail() {
    let env = Env::new();
    inject(&env, "after", &[], false);
    inject(&env, "after", &["--report"], false);
}

/// Kills the launcher before each call of one of its processes. The command never ran, or ran under the filter.
fn killed(env: &Env, process: &str, flags: &[&str]) {
    let (inject, marker) = (
        fixture("inject", Build::Static),
        fixture("marker", Build::Static),
    );
    let (profile, file, log) = (profile(env), env.text("marker"), env.text("log"));
    let (mut calls, mut ran) = (0, 0);
    for call in 1..2000 {
        let _ = fs::remove_file(&log);
        let number = call.to_string();
        let head = [
            &inject,
            process,
            &number,
            "kill",
            &log,
            SECCOMP_RUN,
            "--enforce",
            &profile,
        ];
        let argv = [&head[..], flags, &["--", &marker, &file]].concat();
        let out = env.run(&argv).limit(20).output();
        if !env.path("log").exists() {
            assert!(env.path("marker").exists(), "nobody was killed\n{out}");
            fs::remove_file(&file).unwrap();
            break;
        }
        out.ends_with(137);
        let what = format!(
            "process {process}, call {call} ({}), {flags:?}",
            env.read("log").trim()
        );
        let Ok(marker) = fs::read_to_string(&file) else {
            calls = call;
            continue;
        };
        fs::remove_file(&file).unwrap();
        assert_eq!(
            fields(&marker)["Seccomp"],
            "2",
            "{what}: unfiltered\n{marker}"
        );
        // ENOSYS: nobody is left who answers.
        let denied = fields(&marker)["getppid"].clone();
        assert!(
            ["error 111", "error 38"].contains(&&*denied),
            "{what}\n{marker}"
        );
        (calls, ran) = (call, ran + 1);
    }
    assert!((3..1999).contains(&calls), "{calls} calls");
    eprintln!(
        "{process} {flags:?}: killed before each of {calls} calls, the command ran {ran} times"
    );
}

#[test]
fn killed_before_each_of_its_calls_the_launcher_leaves_nothing_unfiltered() {
    let env = Env::new();
    for flags in [&[][..], &["--report"]] {
        for process in ["0", "1", "after"] {
            killed(&env, process, flags);
        }
    }
    // In its own place, whoever is killed is the command.
    killed(&env, "0", &["--exec"]);
}

/// Runs the launcher under a filter that fails one call.
fn under(env: &Env, nr: i64, arg0: &str, error: i32, args: &[&str]) -> Output {
    let (outer, marker) = (
        fixture("outer", Build::Static),
        fixture("marker", Build::Static),
    );
    let (nr, error) = (nr.to_string(), error.to_string());
    let tail = ["--", &marker, &env.text("marker")];
    env.run(&[&[&outer, &nr, arg0, &error, SECCOMP_RUN], args, &tail[..]].concat())
        .output()
}

#[test]
fn a_kernel_without_seccomp_filters_runs_nothing() {
    let env = Env::new();
    let profile = profile(&env);
    // seccomp(2) as a whole; only its SET_MODE_FILTER; prctl's way.
    for error in [38, 22, 1, 14, 12] {
        for arg0 in ["-", "1"] {
            for flags in [&[][..], &["--exec"], &["--kill"], &["--log"]] {
                let args = [&["--enforce", &profile], flags].concat();
                let out = under(&env, libc::SYS_seccomp, arg0, error, &args);
                out.fails_cleanly(125);
                assert!(!env.path("marker").exists(), "{out}");
            }
        }
    }
    // The prctl that sets no_new_privs (38).
    let out = under(&env, libc::SYS_prctl, "38", 22, &["--enforce", &profile]);
    assert!(!closed(&env, "no_new_privs", &out) || is_root());
    // The test itself: without the outer filter's rule the command runs.
    let out = under(&env, libc::SYS_mkdir, "-", 1, &["--enforce", &profile]);
    assert!(closed(&env, "nothing", out.succeeds()));
}

/// What cannot be known is not taken for empty: nothing would be dropped then, and entries with `excludes` would count.
#[test]
fn an_outer_filter_that_hides_the_bounding_set_runs_nothing() {
    needs_root!();
    let env = Env::new();
    let profile = profile(&env);
    let asking = env.write(
        "asking.json",
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["getppid"],"action":"SCMP_ACT_ERRNO",
        "excludes":{"caps":["CAP_SYS_ADMIN"]}}]}"#,
    );
    let cases: [&[&str]; 3] = [
        &["--enforce", &asking],
        &["--enforce", &profile, "--cap-drop", "NET_RAW"],
        &[
            "--enforce",
            &profile,
            "--cap-drop",
            "NET_RAW",
            "--allow-new-privs",
        ],
    ];
    for args in cases {
        for error in [1, 38] {
            // PR_CAPBSET_READ.
            let out = under(&env, libc::SYS_prctl, "23", error, args);
            out.fails_cleanly(125)
                .complains("cannot read capabilities")
                .complains("forbids capget(2) or prctl(PR_CAPBSET_READ)");
            assert!(!env.path("marker").exists(), "{out}");
        }
    }
    // Who asks for none need not know.
    let out = under(&env, libc::SYS_prctl, "23", 1, &["--enforce", &profile]);
    assert!(closed(&env, "nothing", out.succeeds()));
}

#[test]
fn an_outer_filter_may_fail_any_call_of_the_launcher() {
    let env = Env::new();
    let profile = profile(&env);
    let calls = [
        libc::SYS_fork,
        libc::SYS_vfork,
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_mmap,
        libc::SYS_prctl,
        libc::SYS_capset,
        libc::SYS_capget,
        libc::SYS_getrandom,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigaction,
        libc::SYS_pidfd_open,
        libc::SYS_fcntl,
        libc::SYS_close_range,
        libc::SYS_wait4,
        libc::SYS_waitid,
        libc::SYS_openat,
        libc::SYS_read,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_munmap,
        libc::SYS_dup,
        libc::SYS_dup2,
        libc::SYS_dup3,
        libc::SYS_statx,
        libc::SYS_fstat,
    ];
    let (mut ran, mut refused) = (0, 0);
    for nr in calls {
        for error in [1, 38] {
            // What the marker program needs itself may fail for it as well.
            let (outer, marker) = (
                fixture("outer", Build::Static),
                fixture("marker", Build::Static),
            );
            let (number, error) = (nr.to_string(), error.to_string());
            let args = [
                &outer,
                &number,
                "-",
                &error,
                SECCOMP_RUN,
                "--enforce",
                &profile,
                "--",
                &marker,
                &env.text("marker"),
            ];
            let out = env.run(&args).limit(10).output();
            if env.path("marker").exists() {
                let marker = env.read("marker");
                // read and openat: the marker cannot look at its own status then. Empty: the launcher could not
                // wait for it.
                assert!(
                    marker.is_empty() || marker.contains("getppid: error 111"),
                    "{nr} {error}: {marker}\n{out}"
                );
                fs::remove_file(env.path("marker")).unwrap();
                ran += 1;
            } else {
                assert!(
                    out.code() != 0,
                    "{nr} {error}: neither ran nor failed\n{out}"
                );
                refused += 1;
            }
        }
    }
    assert!(
        ran > 5 && refused > 5,
        "{ran} ran, {refused} did not: this tested nothing"
    );
}

#[test]
fn where_ptrace_is_refused_nothing_is_learned_and_nothing_runs() {
    let env = Env::new();
    let profile = env.text("p.json");
    for error in [1, 38, 5] {
        let out = under(
            &env,
            libc::SYS_ptrace,
            "-",
            error,
            &["--learn", "-o", &profile],
        );
        out.fails_cleanly(125).complains("PTRACE_");
        assert!(!env.path("marker").exists(), "the command ran\n{out}");
        assert!(!env.path("p.json").exists(), "a profile was written\n{out}");
    }
    // PTRACE_SEIZE is 0x4206, PTRACE_GET_SYSCALL_INFO 0x420e.
    for request in [0x4206, 0x420e] {
        let out = under(
            &env,
            libc::SYS_ptrace,
            &request.to_string(),
            5,
            &["--learn", "-o", &profile],
        );
        out.fails_cleanly(125).complains("PTRACE_");
        assert!(!env.path("marker").exists(), "the command ran\n{out}");
        assert!(!env.path("p.json").exists(), "a profile was written\n{out}");
    }
    // Already traced by somebody who follows forks.
    let marker = fixture("marker", Build::Static);
    let trace = env.text("trace");
    let args = [
        "strace",
        "-f",
        "-o",
        &trace,
        SECCOMP_RUN,
        "--learn",
        "-o",
        &profile,
        "--",
        &marker,
        &env.text("marker"),
    ];
    env.run(&args)
        .output()
        .fails_cleanly(125)
        .complains("PTRACE_");
    assert!(!env.path("marker").exists() && !env.path("p.json").exists());
}

#[test]
fn a_launcher_killed_on_the_way_starts_nothing_unfiltered() {
    let env = Env::new();
    let (marker, file, profile) = (
        fixture("marker", Build::Static),
        env.text("marker"),
        profile(&env),
    );
    for way in [
        &["--enforce", profile.as_str()][..],
        &["--learn", "--force", "-o", &env.text("l.json")],
    ] {
        let mut ran = 0;
        for pause in 0..60 {
            let run = env.ours(&[way, &["--", &marker, &file]].concat()).start();
            std::thread::sleep(std::time::Duration::from_micros(pause * 400));
            run.signal(9);
            std::thread::sleep(std::time::Duration::from_millis(5));
            drop(run.wait());
            if env.path("marker").exists() {
                ran += 1;
                let text = env.read("marker");
                // A marker half written is one whose writer was killed.
                if way[0] == "--enforce" && !text.is_empty() {
                    assert_eq!(fields(&text)["Seccomp"], "2", "{text}");
                }
                fs::remove_file(&file).unwrap();
            }
        }
        assert!(
            ran > 0,
            "{way:?}: none ran, however late the launcher was killed"
        );
    }
}
