//! The account of denied calls: each kind once, with how often.

use std::collections::{BTreeSet, HashMap};

use super::policy::Hides;
use crate::action::Action;
use crate::policy::Reason;
use crate::recording::Place;
use crate::sys::Tid;
use crate::syscall::Sysno;

/// What was denied to the command and its descendants, or would have been.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    kinds: Vec<Denial>,
    index: HashMap<Kind, usize>,
    /// Calls that are counted, though there was no room for their kind.
    pub(crate) others: u64,
    /// What makes later calls invisible, and who did it.
    pub(crate) unseen: BTreeSet<(Hides, String)>,
}

/// What calls have in common that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    /// Architecture (`AUDIT_ARCH_*`) and number.
    pub(super) audit: u32,
    pub(super) nr: u32,
    /// The executable.
    pub(super) executable: String,
    /// The answer, and why.
    pub(super) action: Action,
    pub(super) reason: Reason,
    /// The arguments that rules for this syscall look at, as far as they look.
    pub(super) looked_at: Vec<(u8, u64)>,
}

/// Calls of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Denial {
    kind: Kind,
    /// The first of them, decoded.
    pub(crate) call: String,
    /// The name of the thread that made the first.
    pub(crate) thread: String,
    /// Where the first was made.
    pub(crate) place: Option<Place>,
    /// How many.
    pub(crate) count: u64,
}

impl Denial {
    /// The syscall; `None` for an architecture that is not known.
    pub(crate) fn sysno(&self) -> Option<Sysno> {
        Sysno::of_call(self.kind.audit, self.kind.nr)
    }

    /// Its number.
    pub(crate) const fn nr(&self) -> u32 {
        self.kind.nr
    }

    /// What the calls got.
    pub(crate) const fn action(&self) -> Action {
        self.kind.action
    }

    /// Why.
    pub(crate) const fn reason(&self) -> Reason {
        self.kind.reason
    }

    /// Who made them.
    pub(crate) fn executable(&self) -> &str {
        &self.kind.executable
    }

    /// The arguments that rules look at, and their values.
    pub(crate) fn looked_at(&self) -> &[(u8, u64)] {
        &self.kind.looked_at
    }
}

/// So many kinds are kept apart. A program that is denied more has another problem.
const MOST: usize = 1024;

impl Ledger {
    /// Is there room for another kind?
    pub(super) fn has_room(&self) -> bool {
        self.kinds.len() < MOST
    }

    /// How many calls of this kind there have been.
    pub(super) fn count_of(&self, kind: &Kind) -> u64 {
        let known = self.index.get(kind).and_then(|&at| self.kinds.get(at));
        known.map_or(0, |denial| denial.count)
    }

    /// Counts one call. `details` are wanted for the first of a kind. Returns the kind; `None` when there is no room for
    /// it.
    pub(super) fn count(&mut self, kind: Kind, details: Option<&Details>) -> Option<&Denial> {
        if let Some(&at) = self.index.get(&kind) {
            let denial = self.kinds.get_mut(at)?;
            denial.count += 1;
            return Some(denial);
        }
        if self.kinds.len() >= MOST {
            self.others += 1;
            return None;
        }
        let details = details.cloned().unwrap_or_default();
        self.index.insert(kind.clone(), self.kinds.len());
        self.kinds.push(Denial {
            kind,
            call: details.call,
            thread: details.thread,
            place: details.place,
            count: 1,
        });
        self.kinds.last()
    }

    /// Takes down who makes later calls invisible, the first 64 of them.
    pub(super) fn hides(&mut self, hides: Hides, executable: &str) {
        const MOST: usize = 64;
        if self.unseen.len() < MOST {
            self.unseen.insert((hides, executable.to_owned()));
        }
    }

    /// The kinds, the most frequent first.
    pub(crate) fn sorted(&self) -> Vec<&Denial> {
        let mut kinds: Vec<&Denial> = self.kinds.iter().collect();
        kinds.sort_by_key(|denial| std::cmp::Reverse(denial.count));
        kinds
    }

    /// How many calls there were.
    pub(crate) fn total(&self) -> u64 {
        let counted: u64 = self.kinds.iter().map(|denial| denial.count).sum();
        counted + self.others
    }
}

/// What is told of one call.
#[derive(Debug, Clone, Default)]
pub(super) struct Details {
    pub(super) call: String,
    pub(super) args: [u64; 6],
    pub(super) tid: Tid,
    pub(super) thread: String,
    pub(super) place: Option<Place>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(nr: u32) -> Kind {
        Kind {
            audit: 1,
            nr,
            executable: "/bin/x".to_owned(),
            action: Action::Errno(1),
            reason: Reason::Default,
            looked_at: vec![],
        }
    }

    #[test]
    fn every_call_is_counted_even_without_room() {
        let mut ledger = Ledger::default();
        let details = Details::default();
        let details = || Some(&details);
        let room = u32::try_from(MOST).unwrap();
        for nr in 0..room {
            assert_eq!(ledger.count(kind(nr), details()).unwrap().count, 1);
        }
        assert_eq!(ledger.count(kind(3), None).unwrap().count, 2);
        assert!(ledger.count(kind(room), details()).is_none());
        assert_eq!(ledger.total(), u64::from(room) + 2);
        assert_eq!(ledger.sorted()[0].count, 2);
        assert_eq!(ledger.sorted().len(), MOST);
    }
}
