//! What a tracer saw: the waist between `trace`, which fills it, and `learn`, which reads it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use crate::arch::Arch;
use crate::syscall::Sysno;

/// The syscalls that a command and all its descendants made, from its exec on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    counts: HashMap<Sysno, u64>,
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
    /// Tasks never reported their end.
    Unaccounted,
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
            Self::Unaccounted => {
                f.write_str("incomplete: not every process of the command was seen to end")
            }
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
        matches!(self, Self::Untraced | Self::Unread | Self::Unaccounted)
    }
}

impl Recording {
    /// Counts one call.
    pub fn count(&mut self, sysno: Sysno) {
        *self.counts.entry(sysno).or_default() += 1;
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
