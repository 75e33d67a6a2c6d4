//! How much later a command ends for being started this way.

use std::path::Path;

use crate::running::{LIMIT, Running};
use crate::way::{self, OURS, Way};
use crate::{Outcome, Scene, median};

/// From the exec of the launcher to its end, with a command that does nothing.
pub(crate) fn measure(scene: &Scene<'_>) -> Outcome<()> {
    let (launchers, notes) = way::ready(&Way::ALL, &["/bin/true"], scene);
    let mut times = vec![Vec::new(); launchers.len()];
    for _ in 0..scene.rounds {
        for (launcher, times) in launchers.iter().zip(&mut times) {
            times.push(launcher.time(scene.dir)?.as_secs_f64() * 1e3);
        }
    }
    let medians: Vec<f64> = times.into_iter().filter_map(median).collect();
    let of = |way| {
        let mut both = launchers.iter().zip(&medians);
        both.find_map(|(launcher, &median)| (launcher.way == way).then_some(median))
    };
    let plain = of(Way::Plain).unwrap_or_default();
    let ours = of(Way::Ours).unwrap_or_default() - plain;
    println!(
        "{:<32}{:>10}{:>14}{:>10}",
        "start of /bin/true", "ms", "over plain", "to ours"
    );
    for (launcher, median) in launchers.iter().zip(&medians) {
        let over = median - plain;
        let ratio = match launcher.way {
            Way::Plain => "-".to_owned(),
            _ => format!("{:.2}x", over / ours),
        };
        println!(
            "{:<32}{median:>10.2}{over:>14.2}{ratio:>10}",
            launcher.way.title()
        );
    }
    for note in notes {
        println!("{note}");
    }
    Ok(())
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
