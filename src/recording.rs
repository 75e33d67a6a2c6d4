//! What a tracer saw: the waist between `trace`, which fills it, and `learn`, which reads it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use crate::arch::Arch;
use crate::syscall::Sysno;

/// So many different calls without a name are kept: a kernel newer than our tables has a few, and a hostile
/// command could make millions.
const MAX_UNNAMED: usize = 64;

/// So many calls that no profile can hold are noted.
const MAX_INEXPRESSIBLE: usize = 4;

/// The syscalls that a command and all its descendants made, from its exec on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    counts: HashMap<Sysno, u64>,
    /// How many of them have no name.
    unnamed: usize,
    /// Processes and threads that were traced.
    pub tasks: u64,
    /// Was a thread among them?
    pub threads: bool,
    /// What a reader of the result must know.
    pub notes: BTreeSet<Note>,
}

/// Something that limits what the recording means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// A child may have been started with `CLONE_UNTRACED`, and its calls not been seen.
    Untraced,
    /// A syscall-stop could not be read.
    Unread,
    /// More calls without a name than any kernel has: not all of them were kept.
    TooManyUnnamed,
    /// The command wanted to trace a process and was refused, since a process has one tracer only.
    PtraceRefused,
    /// A call that no profile can hold: architecture (`AUDIT_ARCH_*`) and number.
    Inexpressible {
        /// `AUDIT_ARCH_*` of the caller.
        audit: u32,
        /// The number.
        nr: u32,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untraced => f.write_str(
                "incomplete: a child may have been started with CLONE_UNTRACED, which hides it from every \
                 tracer; what it did is not in the profile",
            ),
            Self::Unread => f.write_str("incomplete: a syscall of the command could not be read"),
            Self::TooManyUnnamed => write!(
                f,
                "incomplete: the command made calls of more than {MAX_UNNAMED} numbers without a name; \
                 the others are not in the profile"
            ),
            Self::PtraceRefused => f.write_str(
                "the command wanted to trace a process itself and was refused, because a process has only \
                 one tracer; what it would have done with it is not in the profile",
            ),
            Self::Inexpressible { audit, nr } => write!(
                f,
                "the command made call number {nr:#x} (architecture {audit:#x}), which no profile can hold"
            ),
        }
    }
}

impl Note {
    /// Does it mean that calls of the command may be missing?
    pub const fn is_loss(&self) -> bool {
        matches!(self, Self::Untraced | Self::Unread | Self::TooManyUnnamed)
    }
}

impl Recording {
    /// Counts one call.
    pub fn count(&mut self, sysno: Sysno) {
        if let Some(count) = self.counts.get_mut(&sysno) {
            *count += 1;
        } else if sysno.name().is_some() || self.unnamed < MAX_UNNAMED {
            self.unnamed += usize::from(sysno.name().is_none());
            self.counts.insert(sysno, 1);
        } else {
            self.notes.insert(Note::TooManyUnnamed);
        }
    }

    /// Takes note of a call that no profile can hold. A few stand for all.
    pub fn inexpressible(&mut self, audit: u32, nr: u32) {
        let known = self
            .notes
            .iter()
            .filter(|note| matches!(note, Note::Inexpressible { .. }));
        if known.count() < MAX_INEXPRESSIBLE {
            self.notes.insert(Note::Inexpressible { audit, nr });
        }
    }

    /// Every syscall that was made, and how often, in the order of architectures and numbers.
    pub fn calls(&self) -> Vec<(Sysno, u64)> {
        let mut calls: Vec<_> = self
            .counts
            .iter()
            .map(|(&sysno, &count)| (sysno, count))
            .collect();
        calls.sort_unstable();
        calls
    }

    /// How many different syscalls were made.
    pub fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// How many calls were made in all.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Did a call of this architecture come up?
    pub fn has_arch(&self, arch: Arch) -> bool {
        self.counts.keys().any(|sysno| sysno.arch == arch)
    }

    /// Was this call made, on any architecture?
    pub fn has_name(&self, name: &str) -> bool {
        self.counts.keys().any(|sysno| sysno.name() == Some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_strange_numbers_is_told_and_not_kept() {
        let mut recording = Recording::default();
        for nr in 10_000..20_000 {
            recording.count(Sysno {
                arch: Arch::X86_64,
                nr,
            });
            recording.inexpressible(0, nr);
        }
        assert_eq!(recording.distinct(), MAX_UNNAMED);
        assert!(recording.notes.contains(&Note::TooManyUnnamed));
        assert_eq!(recording.notes.len(), 1 + MAX_INEXPRESSIBLE);
        recording.count(Sysno {
            arch: Arch::X86_64,
            nr: 0,
        });
        assert!(recording.has_name("read"), "what has a name is kept");
    }

    #[test]
    fn calls_are_kept_by_architecture_and_number() {
        let mut recording = Recording::default();
        // 20 is writev on x86-64 and getpid on i386.
        let (writev, getpid) = (
            Sysno {
                arch: Arch::X86_64,
                nr: 20,
            },
            Sysno {
                arch: Arch::X86,
                nr: 20,
            },
        );
        recording.count(getpid);
        recording.count(writev);
        recording.count(getpid);
        assert_eq!(recording.calls(), [(writev, 1), (getpid, 2)]);
        assert_eq!((recording.distinct(), recording.total()), (2, 3));
        assert!(recording.has_arch(Arch::X86) && !recording.has_arch(Arch::X32));
        assert!(recording.has_name("getpid") && !recording.has_name("read"));
    }
}
