//! What one call costs, allowed and denied.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use nix::unistd::getppid;

use crate::running::Running;
use crate::way::OURS;
use crate::{Outcome, Scene, median};

/// The first argument of a run of this bench that makes calls.
pub(crate) const LOAD: &str = "make-calls";

/// Makes so many calls of `getppid`, and prints how many nanoseconds one took.
pub(crate) fn load(count: &str) -> Outcome<()> {
    let count: u32 = count.parse()?;
    let begun = Instant::now();
    for _ in 0..count {
        black_box(getppid());
    }
    println!("{}", begun.elapsed().as_secs_f64() * 1e9 / f64::from(count));
    Ok(())
}

/// The name, whether it is enforced and reported, by the profile that denies, and how many calls.
type Row = (&'static str, Option<&'static [&'static str]>, bool, u32);

const ROWS: [Row; 5] = [
    ("allowed, plain", None, false, 300_000),
    ("allowed, --enforce", Some(&[]), false, 300_000),
    (
        "allowed, --enforce --report",
        Some(&["--report"]),
        false,
        300_000,
    ),
    ("denied, --enforce", Some(&[]), true, 300_000),
    (
        "denied, --enforce --report",
        Some(&["--report"]),
        true,
        3000,
    ),
];

pub(crate) fn measure(scene: &Scene<'_>) -> Outcome<()> {
    let mut times = ROWS.map(|_| Vec::new());
    for _ in 0..scene.rounds.div_ceil(4) {
        for (row, times) in ROWS.iter().zip(&mut times) {
            times.push(time(row, scene)?);
        }
    }
    println!("{:<32}{:>10}", "a call of getppid", "ns");
    for ((title, ..), times) in ROWS.iter().zip(times) {
        println!("{title:<32}{:>10.0}", median(times).unwrap_or_default());
    }
    Ok(())
}

fn time((_, options, denied, count): &Row, scene: &Scene<'_>) -> Outcome<f64> {
    let own = std::env::current_exe()?;
    let count = count.to_string();
    let load = [own.to_str().ok_or("a path that is no text")?, LOAD, &count];
    let profile: &Path = if *denied {
        &scene.profiles.denying
    } else {
        &scene.profiles.large
    };
    let profile = profile.display().to_string();
    let words = match options {
        None => load.to_vec(),
        Some(options) => [&[OURS, "--enforce", &profile], *options, &["--"], &load].concat(),
    };
    Ok(Running::output(&words, scene.dir)?.trim().parse()?)
}
