//! As the first process of a pid namespace: what a container's entry point has to do.

use std::fs;

use crate::exit_status::all_pass;
use crate::harness::{Build, Env, SECCOMP_RUN, fixture, needs_root};
use crate::profile::{Profile, all_but};

const UNSHARE: &[&str] = &[
    "unshare",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child",
    SECCOMP_RUN,
];

fn first(args: &[&'static str]) -> Vec<&'static str> {
    [UNSHARE, args].concat()
}

#[test]
fn every_status_passes_through_enforce_as_pid_1() {
    needs_root!();
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let mut args = first(&["--enforce"]);
    args.extend([profile.as_str(), "--"].map(|a| -> &'static str { a.to_owned().leak() }));
    all_pass(&env, &args, true);
}

#[test]
fn every_status_passes_through_learn_as_pid_1() {
    needs_root!();
    let env = Env::new();
    let profile: &'static str = env.text("p.json").leak();
    all_pass(
        &env,
        &first(&["--learn", "--force", "-o", profile, "--"]),
        true,
    );
}

#[test]
fn orphans_are_reaped_and_none_is_left_as_a_zombie() {
    needs_root!();
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let learned = env.text("l.json");
    let ways: [&[&str]; 2] = [&["--enforce", &profile], &["--learn", "-o", &learned]];
    for way in ways {
        let args = [UNSHARE, way, &["--", &tracee, "orphans"]].concat();
        env.run(&args)
            .output()
            .ends_with(11)
            .says("zombies 0\nothers 0\n");
    }
}

#[test]
fn the_namespace_ends_with_the_command() {
    needs_root!();
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let line = "sleep 60 & exit 12";
    let args = [UNSHARE, &["--enforce", &profile, "--", "sh", "-c", line]].concat();
    env.run(&args).limit(10).output().ends_with(12);
}

#[test]
fn a_signal_to_pid_1_ends_a_command_that_does_not_handle_it() {
    needs_root!();
    let env = Env::new();
    let tracee = fixture("tracee", Build::Static);
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let learned = env.text("l.json");
    let ways: [&[&str]; 2] = [&["--enforce", &profile], &["--learn", "-o", &learned]];
    for way in ways {
        for signal in [1, 2, 15, 40] {
            let _ = fs::remove_file(&learned);
            let _ = fs::remove_file(env.path("l.evidence.json"));
            let args = [UNSHARE, way, &["--", &tracee, "forever"]].concat();
            let mut run = env.run(&args).limit(20).start();
            run.until("the command", |r| r.stdout().contains("pid"));
            let children = format!("/proc/{0}/task/{0}/children", run.pid());
            let launcher = fs::read_to_string(children).unwrap();
            env.run(&["kill", &format!("-{signal}"), launcher.trim()])
                .output()
                .succeeds();
            run.wait().ends_with(128 + signal);
            if way[0] == "--learn" {
                Profile::read(&env.path("l.json")).has(&["times", "clock_nanosleep"]);
            }
        }
    }
}

#[test]
fn enforce_exec_makes_the_command_pid_1() {
    needs_root!();
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("getppid", "SCMP_ACT_ERRNO")]));
    let args = [
        UNSHARE,
        &[
            "--enforce",
            &profile,
            "--exec",
            "--",
            "sh",
            "-c",
            "echo I am $$",
        ],
    ]
    .concat();
    env.run(&args).output().succeeds().says("I am 1\n");
}
