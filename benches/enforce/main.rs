//! What enforcing costs: the start of a command, a launcher that waits, a call that is allowed or denied; beside others.
//!
//! ```text
//! cargo bench --bench enforce [-- WORD...]     only the parts with one of these words in their names
//! ```
//!
//! Prints medians over runs that alternate, in one run of the bench; `SECCOMP_RUN_ROUNDS` says how many (200). Machines
//! are noisy: compare what one run prints, not two runs. On a busy one, the best tenth of the runs says more than the
//! median.
//!
//! Nothing is printed that was not measured. Programs of Debian that are measured where they are installed: bubblewrap,
//! firejail, crun, runc, tini, dumb-init. `SECCOMP_RUN_DATA` names a directory with
//! `docker-default.json`; without it, a profile of that size is made.

#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(clippy::disallowed_methods, reason = "it has a heap of its own")]

mod calls;
mod profile;
#[expect(dead_code, reason = "another bench uses the rest")]
#[path = "../learn/running.rs"]
mod running;
mod start;
mod waiting;
mod way;

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::thread;

use crate::profile::Profiles;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What `SECCOMP_RUN_ROUNDS` says otherwise.
const ROUNDS: usize = 200;

/// What the parts of the bench have in common.
struct Scene<'a> {
    dir: &'a Path,
    profiles: &'a Profiles,
    rounds: usize,
}

/// A part of the bench; it prints what it measures.
type Part = fn(&Scene<'_>) -> Outcome<()>;

const PARTS: [(&str, Part); 4] = [
    ("start", start::measure),
    ("waiting", waiting::measure),
    ("calls", calls::measure),
    ("execve", start::measure_execve),
];

fn main() -> Outcome<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [load, count] = &*words
        && load == calls::LOAD
    {
        return calls::load(count);
    }
    // `cargo test --benches` runs this too.
    if !words.iter().any(|word| word == "--bench") {
        return Ok(());
    }
    let words: Vec<String> = words.into_iter().filter(|w| !w.starts_with('-')).collect();
    let rounds = running::rounds(ROUNDS)?;
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(&**word));
    let parts: Vec<_> = PARTS.into_iter().filter(|(name, _)| chosen(name)).collect();
    if parts.is_empty() {
        let names = PARTS.map(|(name, _)| name);
        return Err(format!("no such part; there are: {}", names.join("; ")).into());
    }
    let dir = tempfile::tempdir()?;
    running::end_on_interrupt(dir.path())?;
    way::install(dir.path())?;
    let profiles = Profiles::prepare(dir.path())?;
    let scene = Scene {
        dir: dir.path(),
        profiles: &profiles,
        rounds,
    };
    for (_, part) in parts {
        part(&scene)?;
        println!();
    }
    println!("{}", setting(&words, &scene)?);
    Ok(())
}

/// The command, the machine.
fn setting(words: &[String], scene: &Scene<'_>) -> Outcome<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let dashes = if words.is_empty() { "" } else { " -- " };
    Ok(format!(
        "SECCOMP_RUN_ROUNDS={} cargo bench --bench enforce{dashes}{}; profile: {}; Linux {}, {} CPUs",
        scene.rounds,
        words.join(" "),
        scene.profiles.what,
        kernel.trim(),
        thread::available_parallelism()?,
    ))
}

fn median(values: Vec<f64>) -> Option<f64> {
    quantile(values, 2)
}

/// The value that so many times fewer values are below than there are in all.
fn quantile(mut values: Vec<f64>, share: usize) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / share).copied()
}
