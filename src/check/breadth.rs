//! A profile that is everybody's protects nobody.

use std::collections::BTreeSet;

use super::{Access, Finding, Kind, Looked, Severity};
use crate::syscall;

static BROAD: Kind = Kind::new(
    "allows-most",
    Severity::Warning,
    "the profile allows most of all syscalls",
);

static MANY: Kind = Kind::new(
    "many-programs",
    Severity::Warning,
    "the profile was learned from many different programs",
);

pub(super) static KINDS: [&Kind; 2] = [&BROAD, &MANY];

/// A service may have its start script and a tool or two.
const MANY_PROGRAMS: usize = 4;

pub(super) fn find(looked: &Looked) -> Vec<Finding> {
    [broad(looked), many(looked)].concat()
}

/// By what was run: what these execute in turn is theirs.
fn many(looked: &Looked) -> Vec<Finding> {
    let runs = looked.subject.evidence.map(|evidence| &evidence.runs);
    let words = runs.into_iter().flatten().map(|run| run.command.first());
    let names: BTreeSet<&str> = words
        .flatten()
        .map(|word| word.rsplit('/').next().unwrap_or(word))
        .collect();
    if names.len() < MANY_PROGRAMS {
        return Vec::new();
    }
    let shown: Vec<&str> = names.iter().copied().take(MANY_PROGRAMS).collect();
    let message = format!(
        "the evidence is of {} programs ({}{}): each may do what any of them needs",
        names.len(),
        shown.join(", "),
        if names.len() > shown.len() {
            " ..."
        } else {
            ""
        }
    );
    vec![MANY.finding(
        "",
        message,
        "a profile for each program: a profile for everything protects nobody",
    )]
}

fn broad(looked: &Looked) -> Vec<Finding> {
    if !looked.denies_by_default() {
        return Vec::new();
    }
    let (mut allowed, mut all) = (0, 0);
    for (sysno, _) in syscall::all(looked.native.arch) {
        all += 1;
        allowed += usize::from(Access::of(looked.native, sysno.nr) != Access::Never);
    }
    if 2 * allowed <= all {
        return Vec::new();
    }
    let message = format!(
        "{allowed} of the {all} syscalls of {} are allowed: one profile for everything holds nothing back",
        looked.native.arch
    );
    vec![BROAD.finding(
        "syscalls",
        message,
        "a profile for each program: --learn finds out what it needs",
    )]
}
