//! What a launcher holds, and how often it wakes up, while its command runs and nothing happens.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::way::{self, Way};
use crate::{Outcome, Scene};

const LAUNCHERS: [Way; 6] = [
    Way::Ours,
    Way::OursReport,
    Way::Tini,
    Way::DumbInit,
    Way::Bwrap,
    Way::Firejail,
];

pub(crate) fn measure(scene: &Scene<'_>) -> Outcome<()> {
    let (launchers, notes) = way::ready(&LAUNCHERS, &["sleep", "60"], scene);
    println!(
        "{:<32}{:>10}{:>10}{:>10}{:>14}",
        "a launcher that waits", "VmRSS kB", "RssAnon", "Pss", "wake-ups / s"
    );
    for launcher in launchers {
        let running = launcher.start(scene.dir)?;
        thread::sleep(Duration::from_millis(500));
        let pid = running.pid();
        let before = wake_ups(pid)?;
        thread::sleep(Duration::from_secs(1));
        let woken = wake_ups(pid)? - before;
        let rss = field(pid, "status", "VmRSS:")?;
        let anon = field(pid, "status", "RssAnon:")?;
        let pss = field(pid, "smaps_rollup", "Pss:")?;
        println!(
            "{:<32}{rss:>10}{anon:>10}{pss:>10}{woken:>14}",
            launcher.way.title()
        );
    }
    for note in notes {
        println!("{note}");
    }
    Ok(())
}

/// How often a process was put on a processor because it had waited.
fn wake_ups(pid: u32) -> Outcome<u64> {
    field(pid, "status", "voluntary_ctxt_switches:")
}

fn field(pid: u32, file: &str, name: &str) -> Outcome<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.split_whitespace().next());
    let value = value.ok_or_else(|| format!("no {name} in {file}"))?;
    Ok(value.parse()?)
}
