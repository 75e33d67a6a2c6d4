//! The processes that descend from this one, as `/proc` shows them: to end those that nothing else would end.
//!
//! A learner that is told to end takes its command along. What is traced dies with the tracer, but what was let go
//! does not, and would fail at every call that it has not made before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sys::process;

/// Between two looks somebody may have forked. So many rounds end even who does nothing else.
const ROUNDS: usize = 200;

/// The children of this process: before a command is started, they are our caller's.
pub(crate) fn children() -> BTreeSet<i32> {
    // A child belongs to one thread of its parent; orphans go to any of them.
    let threads = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let of = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children"));
    let lists = threads.map(|thread| of(thread).unwrap_or_default());
    lists
        .flat_map(|list| {
            let pids = list.split_whitespace().map(str::parse);
            pids.filter_map(Result::ok).collect::<Vec<_>>()
        })
        .collect()
}

/// Is any child of this process traced by it?
pub(crate) fn is_any_child_traced() -> bool {
    let tracer = format!("TracerPid:\t{}", std::process::id());
    children().into_iter().any(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == tracer)
    })
}

/// Kills all descendants of this process but these children and theirs. Returns who is not gone all the same, and its
/// name: who sleeps in the kernel where no signal gets through, or is frozen.
pub(crate) fn kill_all_but(spared: &BTreeSet<i32>) -> Vec<(i32, String)> {
    for _ in 0..ROUNDS {
        let found: BTreeSet<i32> = descendants(spared);
        if found.is_empty() {
            break;
        }
        for pid in found {
            // It fails when it has ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        process::pause();
    }
    let left = descendants(spared).into_iter();
    left.map(|pid| {
        let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        (
            pid,
            String::from_utf8_lossy(name.trim_ascii_end()).into_owned(),
        )
    })
    .collect()
}

/// Everybody below this process who has not ended yet.
fn descendants(spared: &BTreeSet<i32>) -> BTreeSet<i32> {
    let us = i32::try_from(std::process::id()).unwrap_or_default();
    let family = family();
    let mut found = BTreeSet::new();
    let mut next = vec![us];
    while let Some(parent) = next.pop() {
        for &child in family.get(&parent).into_iter().flatten() {
            if !spared.contains(&child) && found.insert(child) {
                next.push(child);
            }
        }
    }
    found
}

/// The children of every process, without those that have ended and wait to be reaped.
fn family() -> BTreeMap<i32, BTreeSet<i32>> {
    let mut family: BTreeMap<i32, BTreeSet<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let (Some(pid), Some(parent)) = (pid, parent(&stat)) {
            family.entry(parent).or_default().insert(pid);
        }
    }
    family
}

/// The parent in a `proc_pid_stat(5)`; `None` for a zombie, whose children are somebody else's already.
fn parent(stat: &str) -> Option<i32> {
    // The name before it is the process's choice, parentheses included.
    let (_, rest) = stat.rsplit_once(") ")?;
    let (state, rest) = rest.split_once(' ')?;
    let parent = rest.split(' ').next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_whatever_the_name() {
        let cases = [
            ("7 (sh) S 3 7 7 0", Some(3)),
            ("7 (a) R 9 (b) S 4 7", Some(4)),
            ("7 (sh) Z 3 7 7 0", None),
            ("", None),
            ("7 (sh", None),
        ];
        for (stat, want) in cases {
            assert_eq!(parent(stat), want, "{stat}");
        }
    }

    #[test]
    fn children_are_seen() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(children().contains(&pid));
        assert!(!descendants(&[pid].into()).contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!children().contains(&pid) && !is_any_child_traced());
    }
}
