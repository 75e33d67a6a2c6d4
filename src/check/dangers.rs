//! Grants that open more than they seem to.

use std::collections::BTreeSet;

use super::{Finding, Kind, Looked, Severity};
use crate::grants::{self, Grant};

static UNSEEN: Kind = Kind::new(
    "dangerous-grant",
    Severity::Warning,
    "a syscall is allowed that opens much",
);
static SEEN: Kind = Kind::new(
    "dangerous-grant-seen",
    Severity::Note,
    "a syscall is allowed that opens much, and was seen to be needed",
);
static ARGUMENT: Kind = Kind::new(
    "dangerous-argument",
    Severity::Note,
    "an argument is allowed that opens much",
);

pub(super) static KINDS: [&Kind; 3] = [&UNSEEN, &SEEN, &ARGUMENT];

pub(super) fn find(looked: &Looked) -> Vec<Finding> {
    if !looked.denies_by_default() {
        return Vec::new();
    }
    grants::all()
        .filter_map(|grant| danger(looked, grant))
        .collect()
}

fn danger(looked: &Looked, grant: Grant) -> Option<Finding> {
    let abis = &looked.policy().abis;
    let names: BTreeSet<&str> = abis.iter().flat_map(|abi| grant.granted(abi)).collect();
    let first = names.first()?;
    let runs = |rule: &crate::profile::Rule| {
        rule.action.runs() && rule.names.iter().any(|name| name == first)
    };
    let rule = looked.profile().rules.iter().position(runs);
    let path = rule.map_or_else(|| "syscalls".to_owned(), |rule| looked.path_in(rule, first));
    let mut shown: Vec<&str> = names.iter().copied().collect();
    let kind = match grant.when {
        Some(when) => {
            shown.push(when.name);
            &ARGUMENT
        }
        // So many programs start threads with it that nobody does without.
        None if shown == ["clone3"] => &ARGUMENT,
        None if looked.was_seen(&names) => &SEEN,
        None => &UNSEEN,
    };
    let shown = match grant.when {
        Some(when) => format!("{first} with {}", when.name),
        None => shown.join(" "),
    };
    let fix = match grant.when {
        Some(_) => "a condition that leaves this value out, where the program does without",
        None => "leave it out, unless the program cannot do without",
    };
    Some(kind.finding(path, format!("{shown}: {}", grant.why), fix))
}

impl Looked<'_> {
    /// Did a learning run make all of these calls?
    fn was_seen(&self, names: &BTreeSet<&str>) -> bool {
        let runs = self
            .subject
            .evidence
            .iter()
            .flat_map(|evidence| &evidence.runs);
        let seen: BTreeSet<&str> = runs
            .flat_map(|run| &run.calls)
            .filter_map(|call| call.name.as_deref())
            .collect();
        names.is_subset(&seen)
    }
}
