//! What is sent to the whole process group, and not to the launcher alone, reaches the command once, and nothing that is
//! sent to the launcher is lost for it.

use std::time::{Duration, Instant};

use crate::harness::{
    Build, Env, Running, fixture, is_root, is_witness, needs, ordinary_user, session_members, stat,
};
use crate::profile::all_but;

/// The children of a launcher that tell it what its group got: outside of the group, and inside.
fn witnesses(launcher: i32) -> Option<[i32; 2]> {
    let group = launcher.to_string();
    let is_inside = |&pid: &i32| stat(pid).is_some_and(|fields| fields[2] == group);
    let all: Vec<i32> = session_members(launcher)
        .into_iter()
        .filter(|&pid| is_witness(pid))
        .collect();
    let (inside, outside): (Vec<i32>, Vec<i32>) = all.into_iter().partition(is_inside);
    Some([*outside.first()?, *inside.first()?])
}

/// The fixture that prints its signals, when its launcher has its witnesses.
struct Scene {
    env: Env,
    run: Running,
    witnesses: [i32; 2],
}

impl Scene {
    fn new(before: &[&str], options: &[&str], after: &[&str]) -> Self {
        let env = Env::new();
        let signals = env.copy_program(&fixture("signals", Build::Static), "signals");
        let ours = env.copy_program(crate::harness::SECCOMP_RUN, "ours");
        let profile = env.write("p.json", all_but(&[("acct", "SCMP_ACT_ERRNO")]));
        let command = [&[ours.as_str(), "--enforce", &profile], options, &["--"]].concat();
        let words = [before, &command, after, &[&signals]].concat();
        let mut run = env.run(&words).limit(30).start();
        run.until("the fixture", |r| r.stdout().contains("ready\n"));
        run.until("the witnesses", |r| witnesses(r.pid()).is_some());
        let witnesses = witnesses(run.pid()).unwrap();
        Self {
            env,
            run,
            witnesses,
        }
    }

    /// In one call of one process, one after the other. A negative one is a group.
    fn send(&self, signal: i32, pids: &[i32]) {
        let pids: Vec<String> = pids.iter().map(i32::to_string).collect();
        let mut words = vec!["kill".to_owned(), format!("-{signal}"), "--".to_owned()];
        words.extend(pids);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.env.run(&words).output().succeeds();
    }

    fn count(&self, signal: i32) -> usize {
        count(&self.run, signal)
    }

    fn until(&mut self, signal: i32, times: usize) {
        let what = format!("signal {signal} for the {times}. time");
        self.run.until(&what, |run| count(run, signal) >= times);
    }

    /// By now everything that is under way has arrived.
    fn settles(&mut self) {
        let before = self.count(63);
        self.send(63, &[self.run.pid()]);
        self.until(63, before + 1);
    }
}

fn count(run: &Running, signal: i32) -> usize {
    run.stdout().matches(&format!("got {signal}\n")).count()
}

/// Each is handled by the fixture, and ends nobody.
const SIGNALS: [i32; 10] = [1, 2, 10, 15, 18, 20, 23, 28, 40, 62];

#[test]
fn a_signal_to_the_process_group_comes_once() {
    let users: [&[&str]; 2] = [&["env"], ordinary_user()];
    let ways: [&[&str]; 2] = [&[], &["--report"]];
    for (user, way) in users.iter().zip(ways).chain(users.iter().rev().zip(ways)) {
        let mut scene = Scene::new(user, way, &[]);
        let launcher = scene.run.pid();
        let all_are = |state: &str| {
            let is = |&pid: &i32| stat(pid).is_some_and(|fields| fields[0] == state);
            let mut members = session_members(launcher);
            members
                .retain(|&pid| stat(pid).is_some_and(|fields| fields[2] == launcher.to_string()));
            members.iter().all(is)
        };
        for turn in 1..=10 {
            for signal in SIGNALS {
                scene.send(signal, &[-launcher]);
                scene.until(signal, 2 * turn - 1);
                // While the launcher has not taken its own, a second one is one with it.
                scene.settles();
                scene.send(signal, &[launcher]);
                scene.until(signal, 2 * turn);
            }
        }
        scene.settles();
        for signal in SIGNALS {
            assert_eq!(scene.count(signal), 20, "{signal} {user:?} {way:?}");
        }
        // What continues the command shows by that alone that it has it.
        for turn in 1..=10 {
            scene.send(19, &[-launcher]);
            scene.run.until("a stop", |_| all_are("T"));
            scene.send(18, &[-launcher]);
            scene.until(18, 20 + turn);
        }
        scene.settles();
        scene.send(64, &[-launcher]);
        let out = scene.run.wait();
        out.ends_with(7);
        assert_eq!(out.stdout.matches("got 18\n").count(), 30, "{out}");
    }
}

/// Signals that come at once, some to the group and some to the launcher, from several senders.
#[test]
fn queued_signals_are_told_apart_one_by_one() {
    let mut scene = Scene::new(&[], &[], &[]);
    let launcher = scene.run.pid();
    let line = format!(
        "for i in 1 2 3 4 5 6 7 8 9 10; do kill -50 -- -{launcher}; kill -50 {launcher}; kill -51 {launcher} -{launcher}; done"
    );
    let words = ["bash", "-c", &format!("({line}) & ({line}) & wait")];
    scene.env.run(&words).output().succeeds();
    for signal in [50, 51] {
        scene.until(signal, 40);
    }
    scene.settles();
    for signal in [50, 51] {
        assert_eq!(scene.count(signal), 40, "{signal}");
    }
}

#[test]
fn a_command_that_signals_its_own_group_is_not_answered() {
    needs!("bash");
    let env = Env::new();
    let profile = env.write("p.json", all_but(&[("acct", "SCMP_ACT_ERRNO")]));
    let script = "trap 'echo got' USR1; echo ready; read -t 0.5 < <(sleep 9); kill -USR1 0; read -t 0.5 < <(sleep 9); exit 5";
    let out = env
        .ours(&["--enforce", &profile, "--", "bash", "-c", script])
        .output();
    assert_eq!(out.ends_with(5).stdout, "ready\ngot\n");
}

#[test]
fn a_command_outside_of_the_group_gets_what_the_launcher_gets() {
    needs!("setsid");
    let mut scene = Scene::new(&[], &[], &["setsid"]);
    let launcher = scene.run.pid();
    scene.send(40, &[-launcher]);
    scene.until(40, 1);
    scene.send(15, &[launcher]);
    scene.until(15, 1);
    scene.settles();
    assert_eq!([40, 15].map(|signal| scene.count(signal)), [1, 1]);
    // In a session of its own it would outlive the test.
    scene.send(64, &[launcher]);
    assert_eq!(scene.run.wait().code(), 7);
}

/// Who sends to all processes of a program, and not to the command's.
#[test]
fn what_goes_to_the_launcher_and_its_witnesses_is_not_lost() {
    let mut scene = Scene::new(&[], &[], &[]);
    let launcher = scene.run.pid();
    let [outside, inside] = scene.witnesses;
    // Up and down the numbers, as they were given.
    let orders = [[launcher, outside, inside], [inside, outside, launcher]];
    for turn in 1..=10 {
        for order in orders {
            for signal in [15, 40] {
                let before = scene.count(signal);
                scene.send(signal, &order);
                scene.until(signal, before + 1);
                scene.settles();
                assert_eq!(scene.count(signal), before + 1, "{turn}");
            }
        }
    }
    scene.send(10, &[inside]);
    scene.send(10, &[outside]);
    scene.send(10, &[launcher]);
    scene.until(10, 1);
}

#[test]
fn witnesses_that_do_not_answer_hold_nothing_up() {
    for signal in [19, 9] {
        for which in [0, 1] {
            let mut scene = Scene::new(&[], &[], &[]);
            let launcher = scene.run.pid();
            scene.send(signal, &[scene.witnesses[which]]);
            for turn in 1..=5 {
                for number in [15, 40] {
                    scene.send(number, &[launcher]);
                    scene.until(number, turn);
                }
            }
            // Nobody says so, and it comes twice.
            scene.send(41, &[-launcher]);
            scene.until(41, 2);
            scene.send(64, &[launcher]);
            let out = scene.run.wait();
            out.ends_with(7);
            assert_eq!(out.stdout.matches("got 40\n").count(), 5, "{signal} {out}");
        }
    }
}

#[test]
fn witnesses_end_with_the_launcher_and_hold_nothing_of_it() {
    for kill in [false, true] {
        let mut scene = Scene::new(&[], &["--report"], &[]);
        // An ordinary user cannot look into them.
        for witness in scene.witnesses.into_iter().filter(|_| is_root()) {
            let fds = std::fs::read_dir(format!("/proc/{witness}/fd")).unwrap();
            assert_eq!(fds.count(), 0);
            let root = std::fs::read_link(format!("/proc/{witness}/cwd")).unwrap();
            assert_eq!(root.to_str(), Some("/"));
        }
        let launcher = scene.run.pid();
        let is_there = |pid: &i32| stat(*pid).is_some();
        scene.send(if kill { 9 } else { 64 }, &[launcher]);
        let by = Instant::now() + Duration::from_secs(10);
        while !scene.run.is_over() && Instant::now() < by {
            std::thread::sleep(Duration::from_millis(2));
        }
        // Nobody waits for them when the launcher cannot.
        while kill && scene.witnesses.iter().any(is_there) && Instant::now() < by {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(!scene.witnesses.iter().any(is_there), "they are left");
        assert_eq!(scene.run.wait().code(), if kill { 137 } else { 7 });
    }
}
