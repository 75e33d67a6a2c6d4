//! Tasks that cannot report anything: they sleep in the kernel, or are frozen. The learner waits for them without a
//! word, and can be told to end all the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::{
    Build, Env, Output, Running, SECCOMP_RUN, fixture, needs, needs_root, skip, stat,
};
use crate::profile::Profile;

/// Those that differ in who waits for the tasks.
const WAYS: [&[&str]; 2] = [&[], &["--transparent"]];

/// The pid that a fixture has printed.
fn pid_of_command(run: &mut Running) -> i32 {
    run.until("the command", |run| {
        run.stdout().contains("pid ") && run.stdout().ends_with('\n')
    });
    let text = run.stdout();
    text.trim().trim_start_matches("pid ").parse().unwrap()
}

/// Two requests to end, far enough apart to be two.
fn tell_to_end_twice(run: &mut Running) {
    run.signal(15);
    std::thread::sleep(Duration::from_millis(1200));
    assert!(!run.is_over(), "the first one is the command's");
    run.signal(15);
}

/// Has it ended, or is it about to?
fn is_gone(pid: i32) -> bool {
    stat(pid).is_none_or(|fields| matches!(fields[0].as_str(), "Z" | "X"))
}

/// It ends as by the request to end, or as the command did, which was killed for it.
#[track_caller]
fn was_told_to_end(out: &Output) {
    assert!(matches!(out.code(), 137 | 143), "{out}");
    out.complains("learning was ended before the last process was");
}

#[track_caller]
fn goes(pid: i32) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !is_gone(pid) {
        assert!(Instant::now() < deadline, "{pid} lives: {:?}", stat(pid));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_parent_that_sleeps_in_vfork_does_not_keep_the_learner() {
    let tracee = fixture("tracee", Build::Static);
    for way in WAYS {
        let env = Env::new();
        let profile = env.text("p.json");
        let args = [
            &["--learn", "-o", &profile],
            way,
            &["--", &tracee, "vforking"],
        ]
        .concat();
        let mut run = env.ours(&args).limit(30).start();
        let parent = pid_of_command(&mut run);
        run.until("the parent's sleep", |_| {
            stat(parent).is_some_and(|fields| fields[0] == "D")
        });
        tell_to_end_twice(&mut run);
        let out = run.wait();
        was_told_to_end(&out);
        assert!(!out.stderr.contains("not gone yet"), "{out}");
        goes(parent);
        Profile::read(&env.path("p.json")).has(&["times", "vfork"]);
    }
}

#[test]
fn who_cannot_even_be_killed_is_named() {
    needs_root!();
    needs!("python3", "unshare", "nsenter");
    if !Path::new("/dev/fuse").exists() {
        skip!("there is no /dev/fuse");
    }
    let env = Env::new();
    let stall = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/stall.py");
    let dir = env.mkdir("stalled");
    let file = format!("{dir}/file");
    for way in WAYS {
        let mut server = env
            .run(&["unshare", "-m", "python3", "-I", stall, &dir])
            .start();
        let mut refused = false;
        server.until("the file system", |server| {
            refused = server.stderr().contains("mount: ");
            refused || server.stdout().contains("ready")
        });
        if refused {
            skip!("nothing can be mounted here: {}", server.stderr());
        }
        let profile = env.text("p.json");
        let inside = [
            "nsenter",
            "-m",
            "-t",
            &server.pid().to_string(),
            SECCOMP_RUN,
        ];
        let learn = ["--learn", "--force", "-o", &profile];
        let argv = [&inside[..], &learn, way, &["--", "stat", &file]].concat();
        let mut run = env.run(&argv).limit(30).start();
        server.until("the question", |server| server.stdout().contains("asked"));
        tell_to_end_twice(&mut run);
        run.wait()
            .ends_with(128 + 15)
            .complains("killed, but not gone yet")
            .complains(" (stat)");
        assert!(Profile::read(&env.path("p.json")).observed().len() > 5);
    }
}

/// A control group that can be frozen; it goes with this value.
struct Freezer {
    dir: PathBuf,
    /// The file that freezes, what it takes, and where it shows that all are frozen.
    switch: (
        &'static str,
        [&'static str; 2],
        (&'static str, &'static str),
    ),
}

impl Freezer {
    const V1: (
        &'static str,
        [&'static str; 2],
        (&'static str, &'static str),
    ) = (
        "freezer.state",
        ["FROZEN", "THAWED"],
        ("freezer.state", "FROZEN"),
    );
    const V2: (
        &'static str,
        [&'static str; 2],
        (&'static str, &'static str),
    ) = ("cgroup.freeze", ["1", "0"], ("cgroup.events", "frozen 1"));

    /// In the hierarchy at `root`; `None` where there is none, or it is not ours to write.
    fn at(
        root: &str,
        switch: (
            &'static str,
            [&'static str; 2],
            (&'static str, &'static str),
        ),
    ) -> Option<Self> {
        let dir = Path::new(root).join(format!("seccomp-run-test-{}", std::process::id()));
        fs::create_dir(&dir).ok()?;
        let freezer = Self { dir, switch };
        freezer.dir.join(switch.0).exists().then_some(freezer)
    }

    fn all() -> Vec<Self> {
        let v1 = Self::at("/sys/fs/cgroup/freezer", Self::V1);
        let v2 = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let v2 = v2
            .into_iter()
            .filter(|root| Path::new(root).join("cgroup.controllers").exists())
            .find_map(|root| Self::at(root, Self::V2));
        v1.into_iter().chain(v2).collect()
    }

    fn freeze(&self, pid: i32) {
        fs::write(self.dir.join("cgroup.procs"), pid.to_string()).unwrap();
        let (file, [frozen, _], (shown, done)) = self.switch;
        fs::write(self.dir.join(file), frozen).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while !fs::read_to_string(self.dir.join(shown))
            .unwrap()
            .contains(done)
        {
            assert!(Instant::now() < deadline, "{pid} does not freeze");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn thaw(&self) {
        let (file, [_, thawed], _) = self.switch;
        let _ = fs::write(self.dir.join(file), thawed);
    }

    /// Does `SIGKILL` end a frozen process only when it is thawed?
    fn outlasts_kill(&self) -> bool {
        self.switch == Self::V1
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.thaw();
        // It cannot be removed before the last process has left.
        for _ in 0..1000 {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The time of the processor's that all threads of a process have taken.
fn processor_time(pid: i32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let ns = tasks.map(|task| {
        let text = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(ns.sum())
}

#[test]
fn a_frozen_command_is_waited_for_and_goes_on_when_it_is_thawed() {
    let tracee = fixture("tracee", Build::Static);
    let freezers = Freezer::all();
    if freezers.is_empty() {
        skip!("no control group that can be frozen is ours to make");
    }
    for freezer in &freezers {
        for way in WAYS {
            let env = Env::new();
            let profile = env.text("p.json");
            let learn = ["--learn", "--force", "-o", &profile];
            let forever = [&learn[..], way, &["--", &tracee, "forever"]].concat();
            let mut run = env.ours(&forever).limit(30).start();
            let command = pid_of_command(&mut run);
            freezer.freeze(command);
            // What was under way is done.
            std::thread::sleep(Duration::from_millis(200));
            let before = processor_time(run.pid());
            std::thread::sleep(Duration::from_secs(1));
            let taken = processor_time(run.pid()).checked_sub(before).unwrap();
            assert!(
                taken < Duration::from_millis(100),
                "{way:?}: {taken:?} in a second"
            );
            assert!(!run.is_over() && run.stderr().is_empty(), "{way:?}");
            freezer.thaw();
            let switches = || {
                let status = fs::read_to_string(format!("/proc/{command}/status"));
                let status = status.unwrap_or_default();
                let mut lines = status.lines();
                lines
                    .find(|line| line.starts_with("voluntary"))
                    .map(str::to_owned)
            };
            let frozen = switches();
            run.until("it goes on", |_| switches() != frozen);
            run.signal(15);
            run.wait().ends_with(128 + 15);
            Profile::read(&env.path("p.json")).has(&["times", "write"]);

            // One that stays frozen does not keep the learner.
            let mut run = env.ours(&forever).limit(30).start();
            let command = pid_of_command(&mut run);
            freezer.freeze(command);
            tell_to_end_twice(&mut run);
            let out = run.wait();
            was_told_to_end(&out);
            let named = out.stderr.contains("not gone yet")
                && out.stderr.contains(&format!(": {command} (tracee"));
            assert_eq!(named, freezer.outlasts_kill(), "{way:?}\n{out}");
            freezer.thaw();
            goes(command);
        }
    }
}
