//! How much later a command ends for being started this way.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::path::Path;

use crate::running::{LIMIT, Running};
use crate::way::{self, Launcher, OURS, Way};
use crate::{Outcome, Scene, median, quantile};

/// From the exec of the launcher to its end, with a command that does nothing.
pub(crate) fn measure(scene: &Scene<'_>) -> Outcome<()> {
    let (launchers, notes) = way::ready(&Way::ALL, &["/bin/true"], scene);
    let mut times = vec![Vec::new(); launchers.len()];
    let mut order: Vec<usize> = (0..launchers.len()).collect();
    let shuffled = BuildHasherDefault::<DefaultHasher>::default();
    for round in 0..scene.rounds {
        // Each time in another order. Who comes next finds in the caches what the last one left, and the kernel still busy
        // with tidying up after it: filters are freed later.
        order.sort_by_cached_key(|&at| shuffled.hash_one((round, at)));
        for &at in &order {
            if let (Some(launcher), Some(times)) = (launchers.get(at), times.get_mut(at)) {
                times.push(launcher.time(scene.dir)?.as_secs_f64() * 1e3);
            }
        }
    }
    let at = |share| -> Vec<f64> {
        let times = times.iter().cloned();
        times.filter_map(|times| quantile(times, share)).collect()
    };
    println!(
        "{:<32}{:>10}{:>14}{:>10}{:>22}",
        "start of /bin/true", "median ms", "over plain", "to ours", "best tenth over plain"
    );
    let (medians, bests) = (
        over_plain(&launchers, &at(2)),
        over_plain(&launchers, &at(10)),
    );
    let ours = launchers
        .iter()
        .position(|launcher| launcher.way == Way::Ours);
    let ours = ours.and_then(|at| medians.get(at)).map(|median| median.1);
    for (launcher, (median, best)) in launchers.iter().zip(medians.iter().zip(bests)) {
        let &(median, over) = median;
        let ratio = match ours {
            Some(ours) if launcher.way != Way::Plain => format!("{:.2}x", over / ours),
            _ => "-".to_owned(),
        };
        let title = launcher.way.title();
        println!(
            "{title:<32}{median:>10.2}{over:>14.2}{ratio:>10}{:>22.2}",
            best.1
        );
    }
    for note in notes {
        println!("{note}");
    }
    Ok(())
}

/// Each value, and how much it is above that of the plain command.
fn over_plain(launchers: &[Launcher], values: &[f64]) -> Vec<(f64, f64)> {
    let plain = launchers
        .iter()
        .position(|launcher| launcher.way == Way::Plain);
    let plain = plain
        .and_then(|at| values.get(at))
        .copied()
        .unwrap_or_default();
    values.iter().map(|&value| (value, value - plain)).collect()
}

/// How many commands the shell executes.
const EXECS: usize = 100;

/// An execve that passes the launch gate of the filter, beside one that does not run the filter.
pub(crate) fn measure_execve(scene: &Scene<'_>) -> Outcome<()> {
    let script = format!("i=0; while [ $i -lt {EXECS} ]; do /bin/true; i=$((i+1)); done");
    let time = |profile: &Path| -> Outcome<f64> {
        let profile = profile.display().to_string();
        let words = [OURS, "--enforce", &profile, "--", "sh", "-c", &script];
        let took = Running::start(&words, scene.dir, false, LIMIT)?.end()?;
        Ok(took.as_secs_f64() * 1e6 / f64::from(u32::try_from(EXECS)?))
    };
    let profiles = [
        ("execve outside of the gate", &scene.profiles.open),
        ("execve through the gate", &scene.profiles.gated),
    ];
    let mut times = profiles.map(|_| Vec::new());
    for _ in 0..scene.rounds.div_ceil(4) {
        for ((_, profile), times) in profiles.iter().zip(&mut times) {
            times.push(time(profile)?);
        }
    }
    println!("{:<32}{:>10}", "fork, execve and end, by sh", "us");
    for ((title, _), times) in profiles.iter().zip(times) {
        println!("{title:<32}{:>10.1}", median(times).unwrap_or_default());
    }
    Ok(())
}
