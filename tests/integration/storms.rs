//! More threads, children, signals and kills than a tracer is used to: the end comes in time, it is the native one,
//! and what the very last task did is in the recording.

use crate::engines::{engines, two_engines};
use crate::harness::{Build, Env, fixture};
use crate::profile::Profile;

/// Learns the storm in each of these ways.
fn weathered(
    program: &str,
    scene: &str,
    mark: &str,
    engines: impl Iterator<Item = &'static [&'static str]>,
) {
    let env = Env::new();
    let program = fixture(program, Build::Static);
    let native = env.run(&[&program, scene]).output();
    native.succeeds();
    let profile = env.text("storm.json");
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
    }
}

fn every_engine() -> impl Iterator<Item = &'static [&'static str]> {
    engines().iter().copied()
}

#[test]
fn ten_thousand_threads() {
    weathered("storms", "threads", "times", two_engines());
}

#[test]
fn six_thousand_forks() {
    weathered("storms", "forks", "times", two_engines());
}

#[test]
fn vforks_that_execute() {
    weathered("storms", "vforks", "times", every_engine());
}

#[test]
fn threads_that_execute_among_others() {
    weathered("storms", "exec_threads", "times", every_engine());
}

#[test]
fn forkers_and_children_killed_at_random() {
    weathered("storms", "kills", "times", every_engine());
}

#[test]
fn double_forks_without_end() {
    weathered("storms", "bomb", "times", every_engine());
}

#[test]
fn a_thousand_signals_a_second() {
    weathered("unchanged", "signals", "rt_sigreturn", two_engines());
}
