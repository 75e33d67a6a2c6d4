//! What limits the meaning of a recording, in words.

use std::fmt;

use super::MAX_UNNAMED;

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
    /// The command installs seccomp filters of its own. Calls that they answer do not reach ours.
    OwnFilter,
    /// The command wanted a seccomp listener of its own and got `EBUSY`, since ours is there.
    OwnListener,
    /// A set-user-ID program, or one with file capabilities, ran without its privilege.
    PrivilegeLost {
        /// The program.
        executable: String,
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
            Self::OwnFilter => f.write_str(
                "the command installs seccomp filters of its own; calls that they answer are not seen once \
                 the learner's is in, and need not be allowed while they do (--transparent shows them)",
            ),
            Self::OwnListener => f.write_str(
                "incomplete: the command wanted a seccomp listener of its own and was refused (EBUSY), because \
                 the learner has one; learn it with --transparent",
            ),
            Self::PrivilegeLost { executable } => write!(
                f,
                "'{}' is set-user-ID or has file capabilities, and ran without that privilege under \
                 no_new_privs, as it will when enforced; --allow-new-privs lets it have it",
                // Its name is the command's choice, and goes to a terminal.
                executable.escape_debug()
            ),
        }
    }
}

impl Note {
    /// Does it mean that calls of the command may be missing?
    pub const fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Untraced | Self::Unread | Self::TooManyUnnamed | Self::OwnListener
        )
    }
}
