//! More threads, children, signals and kills than a tracer is used to: the end comes in time, it is the native one,
//! what the very last task did is in the recording, and where tasks stay at their stops, each of them is counted.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::engines::{engines, installs, two_engines};
use crate::harness::{Build, Env, Output, fixture};
use crate::profile::Profile;

/// The last run of the evidence beside `storm.json`.
fn last_run(env: &Env) -> Value {
    let evidence: Value = serde_json::from_str(&env.read("storm.evidence.json")).unwrap();
    evidence["runs"].as_array().unwrap().last().unwrap().clone()
}

/// How often a call was seen in a run.
fn count(run: &Value, name: &str) -> u64 {
    let mut calls = run["calls"].as_array().unwrap().iter();
    let call = calls.find(|call| call["name"] == name);
    call.and_then(|call| call["count"].as_u64()).unwrap_or(0)
}

/// How many tasks and processes a storm has, by what it prints. Threads and processes that are killed or executed over at
/// some time cannot be counted.
#[derive(Clone, Copy)]
enum Tasks {
    /// So many, and so many processes.
    Are(u64, u64),
    /// So many processes with any number of threads.
    Processes(u64),
    /// Processes only: the main one, and those that the lines of its output sum up to.
    Printed,
    /// At least so many processes.
    AtLeast(u64),
}

impl Tasks {
    /// Every task is accounted for in this run, whose tasks stayed at their stops.
    #[track_caller]
    fn check(self, run: &Value, stdout: &str) {
        let [tasks, processes] = ["tasks", "processes"].map(|name| run[name].as_u64().unwrap());
        let printed = || -> u64 {
            let numbers = stdout
                .lines()
                .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
            numbers.sum()
        };
        let right = match self {
            Self::Are(t, p) => (tasks, processes) == (t, p),
            Self::Processes(p) => processes == p,
            Self::Printed => (tasks, processes) == (1 + printed(), 1 + printed()),
            Self::AtLeast(p) => processes >= p,
        };
        assert!(
            right && run["complete"] == true,
            "{tasks} tasks, {processes} processes\n{stdout}\n{:#}",
            run["notes"]
        );
    }
}

/// Learns the storm in each of these ways.
fn weathered(
    program: &str,
    scene: &str,
    mark: &str,
    tasks: Tasks,
    engines: impl Iterator<Item = &'static [&'static str]>,
) -> Vec<Output> {
    let env = Env::new();
    let program = fixture(program, Build::Static);
    let native = env.run(&[&program, scene]).output();
    native.succeeds();
    let profile = env.text("storm.json");
    let mut outputs = Vec::new();
    for engine in engines {
        let head = ["--learn", "--strict", "--force", "-o", &profile];
        let args = [&head[..], engine, &["--", &program, scene]].concat();
        let ours = env.ours(&args).output();
        assert!(
            ours.status == native.status && ours.stdout == native.stdout,
            "natively:\n{native}\n\nbut:\n{ours}"
        );
        let observed = Profile::read(&env.path("storm.json")).observed();
        assert!(observed.contains(mark), "{engine:?} {scene}: {observed:?}");
        if installs(engine) == Some(false) {
            tasks.check(&last_run(&env), &ours.stdout);
        }
        outputs.push(ours);
    }
    outputs
}

fn every_engine() -> impl Iterator<Item = &'static [&'static str]> {
    engines().iter().copied()
}

#[test]
fn ten_thousand_threads() {
    let tasks = Tasks::Are(10_001, 1);
    weathered("storms", "threads", "times", tasks, two_engines());
}

/// Ten thousand threads at once that stay at their stops, of which the oldest, few, or all make calls: each call is
/// seen, and the threads that wait for each other are not held up by who is always found first.
#[test]
fn a_crowd_that_stays_at_its_stops_hides_nobody() {
    let env = Env::new();
    let storms = fixture("storms", Build::Static);
    let native = env.run(&[&storms, "crowd"]).output();
    native.succeeds();
    let profile = env.text("storm.json");
    for engine in [&["--transparent"][..], &["--inject", "never"]] {
        let head = ["--learn", "--strict", "--force", "-o", &profile];
        let args = [&head[..], engine, &["--", &storms, "crowd"]].concat();
        let ours = env.ours(&args).limit(300).output();
        assert!(
            ours.status == native.status && ours.stdout == native.stdout,
            "natively:\n{native}\n\nbut:\n{ours}"
        );
        let run = last_run(&env);
        let seen = ["clone3", "getppid", "times", "exit"].map(|name| count(&run, name));
        // 5000 of the oldest alone; of forty 200 and 20 each.
        assert_eq!(seen, [10_000, 5_000 + 40 * 220, 1, 10_000], "{engine:?}");
        assert_eq!(
            (&run["tasks"], &run["processes"]),
            (&10_001.into(), &1.into()),
            "{engine:?}"
        );
    }
}

/// A tracer of many that have nothing to tell sleeps.
#[test]
fn an_idle_crowd_costs_nothing() {
    let env = Env::new();
    let storms = fixture("storms", Build::Static);
    let profile = env.text("storm.json");
    let mut run = env
        .ours(&[
            "--learn",
            "--transparent",
            "-o",
            &profile,
            "--",
            &storms,
            "sleepers",
        ])
        .start();
    run.until("the threads", |run| run.stdout().contains("asleep"));
    // Whoever has just begun to wait may stop once more.
    std::thread::sleep(Duration::from_secs(1));
    let before = switches_of_tracer(run.pid());
    std::thread::sleep(Duration::from_secs(1));
    let after = switches_of_tracer(run.pid());
    assert!(
        after - before < 10,
        "woken {} times in a second",
        after - before
    );
    run.wait().succeeds();
    Profile::read(&env.path("storm.json")).has(&["times"]);
}

/// How often the tracer of a launcher has gone to sleep.
fn switches_of_tracer(launcher: i32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{launcher}/task")).unwrap();
    let statuses =
        tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    let tracer = statuses
        .into_iter()
        .find(|status| status.starts_with("Name:\ttracer\n"))
        .unwrap();
    let line = tracer
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

/// For ten seconds.
#[test]
fn two_thousand_forks_a_second() {
    const WANTED: u64 = if cfg!(debug_assertions) { 1000 } else { 1900 };
    let tasks = Tasks::Are(20_001, 20_001);
    for out in weathered("storms", "forks", "times", tasks, two_engines()) {
        out.says("children 20000\n");
        let mut lines = out.stderr.lines();
        let rate = lines.find_map(|line| line.strip_prefix("forks a second: "));
        let rate: u64 = rate.unwrap().parse().unwrap();
        assert!(rate >= WANTED, "{rate} forks a second\n{out}");
    }
}

#[test]
fn vforks_that_execute() {
    let tasks = Tasks::Are(501, 501);
    weathered("storms", "vforks", "times", tasks, every_engine());
}

#[test]
fn threads_that_execute_among_others() {
    let tasks = Tasks::Processes(151);
    weathered("storms", "exec_threads", "times", tasks, every_engine());
}

#[test]
fn forkers_and_children_killed_at_random() {
    // The forkers, each of their successors, and the last one.
    let tasks = Tasks::AtLeast(1 + 4 + 80 + 1);
    weathered("storms", "kills", "times", tasks, every_engine());
}

#[test]
fn double_forks_without_end() {
    weathered("storms", "bomb", "times", Tasks::Printed, every_engine());
}

#[test]
fn a_thousand_signals_a_second() {
    let (tasks, mark) = (Tasks::Are(2, 2), "rt_sigreturn");
    for out in weathered("unchanged", "signals", mark, tasks, two_engines()) {
        out.says("arrived 2000\nmisplaced 0\n");
    }
}
