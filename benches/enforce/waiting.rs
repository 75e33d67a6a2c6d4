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
        "{:<32}{:>10}{:>10}{:>10}{:>10}{:>14}",
        "a launcher that waits", "processes", "VmRSS kB", "RssAnon", "Pss", "wake-ups / s"
    );
    for launcher in launchers {
        let running = launcher.start(scene.dir)?;
        thread::sleep(Duration::from_millis(500));
        let all = processes(running.pid())?;
        let sum = |file, name| all.iter().map(|&pid| field(pid, file, name)).sum();
        // How often they were put on a processor because they had waited.
        let wake_ups = || -> Outcome<u64> { sum("status", "voluntary_ctxt_switches:") };
        let before = wake_ups()?;
        thread::sleep(Duration::from_secs(1));
        let woken = wake_ups()? - before;
        let rss: u64 = sum("status", "VmRSS:")?;
        let anon: u64 = sum("status", "RssAnon:")?;
        let pss: u64 = sum("smaps_rollup", "Pss:")?;
        println!(
            "{:<32}{:>10}{rss:>10}{anon:>10}{pss:>10}{woken:>14}",
            launcher.way.title(),
            all.len()
        );
    }
    for note in notes {
        println!("{note}");
    }
    Ok(())
}

/// The launcher, and those of its children that execute nothing else.
fn processes(launcher: u32) -> Outcome<Vec<u32>> {
    let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe"));
    let ours = program(launcher)?;
    let children = fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children"))?;
    let children = children.split_whitespace().map(str::parse);
    let mut all = vec![launcher];
    for child in children {
        let child = child?;
        if program(child)? == ours {
            all.push(child);
        }
    }
    Ok(all)
}

fn field(pid: u32, file: &str, name: &str) -> Outcome<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.split_whitespace().next());
    let value = value.ok_or_else(|| format!("no {name} in {file}"))?;
    Ok(value.parse()?)
}
