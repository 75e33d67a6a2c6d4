//! What can be said about a profile besides reading it: warnings, and why it cannot be resolved.

use std::fmt;

use super::model::{Flag, Position};
use crate::action::Action;
use crate::arch::Arch;

/// Something about a profile that is allowed and probably not meant. Under `--strict` it is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where in the file; [`Position::NOWHERE`] when it is about the file as a whole.
    pub at: Position,
    /// What it is.
    pub about: Oddity,
}

impl Warning {
    pub(crate) const fn new(at: Position, about: Oddity) -> Self {
        Self { at, about }
    }

    /// The warning with its place in the file of this name: `NAME:LINE:COLUMN: text`.
    pub fn in_file(&self, name: &str) -> String {
        if self.at.line == 0 {
            format!("{name}: {}", self.about)
        } else {
            format!("{name}:{}: {}", self.at, self.about)
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.line > 0 {
            write!(f, "line {}: ", self.at.line)?;
        }
        self.about.fmt(f)
    }
}

/// What a [`Warning`] is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Oddity {
    /// `SCMP_ACT_TRACE` is used.
    #[error("SCMP_ACT_TRACE needs a tracer; without one the call fails with ENOSYS")]
    Trace,
    /// A `listenerPath` or `listenerMetadata` without anything to listen to.
    #[error("listenerPath and listenerMetadata are ignored: nothing here notifies a listener")]
    ListenerIgnored,
    /// A field that the dialect does not know, where that changes something.
    #[error("'{field}' is ignored in the {dialect} dialect: {effect}{}", AndIn(*more))]
    Ignored {
        /// The field.
        field: &'static str,
        /// The dialect.
        dialect: &'static str,
        /// What follows.
        effect: &'static str,
        /// How many more entries have the field.
        more: usize,
    },
    /// `SECCOMP_FILTER_FLAG_TSYNC` is set.
    #[error(
        "SECCOMP_FILTER_FLAG_TSYNC has no effect: there is one thread when the filter is installed"
    )]
    Tsync,
    /// An entry of `syscalls` without names.
    #[error("this entry names no syscall and does nothing")]
    NoNames,
    /// Names that no architecture's table has.
    #[error("unknown syscall {name}{}{}", Suggestion(suggestion.as_deref()), AndMore(*more))]
    UnknownName {
        /// The first such name of the entry.
        name: String,
        /// The known name that is nearest to it.
        suggestion: Option<String>,
        /// How many more unknown names the entry has.
        more: usize,
    },
    /// An entry tests the same argument twice, so its conditions became alternatives.
    #[error(
        "an argument is tested twice in one entry: container runtimes then take any one of its conditions as enough, not all of them together"
    )]
    AnyCondition,
    /// An entry that never decides, because another without conditions names the same syscall.
    #[error("{action} for {name} has no effect: an entry without conditions gives it {winner}")]
    NoEffect {
        /// The syscall.
        name: String,
        /// What the entry says.
        action: Action,
        /// What decides.
        winner: Action,
    },
    /// Two entries with different actions match the same call.
    #[error(
        "this entry and an earlier one both match {call}: here the first listed decides, so it gets {winner}; with libseccomp it may get {loser}"
    )]
    Overlap {
        /// A call that both match.
        call: String,
        /// What it gets.
        winner: Action,
        /// What this entry says.
        loser: Action,
    },
    /// A constant that the argument cannot have, as the kernel sees it.
    #[error(
        "argument {index} of {name} has 32 bits, which its constant does not fit: it is compared in 64 bits"
    )]
    WideConstant {
        /// The syscall.
        name: String,
        /// The argument.
        index: u8,
    },
    /// Conditions that another way to the same call evades.
    #[error(
        "the conditions on {name} do not bind on {arch} through {multiplexer}, whose arguments are in memory: deny {multiplexer} with ENOSYS, or drop the architecture"
    )]
    Multiplexed {
        /// The syscall.
        name: String,
        /// The other way.
        multiplexer: &'static str,
        /// Where it has two ways.
        arch: Arch,
    },
    /// `SCMP_ACT_KILL_THREAD` is used.
    #[error(
        "SCMP_ACT_KILL_THREAD ends one thread only: the program may go on without it, or end with status 0"
    )]
    KillThread,
    /// The file belongs to somebody else.
    #[error("the file belongs to user {owner}, who can change what the program may do")]
    ForeignOwner {
        /// The owner's number.
        owner: u32,
    },
    /// The file can be written by its group or by everybody.
    #[error("the file is writable for others than its owner (mode {mode:04o})")]
    Writable {
        /// The permission bits.
        mode: u32,
    },
    /// An architecture whose syscalls we do not know.
    #[error("there is no table of syscalls for {}: all its calls get {default}", arch.scmp_name())]
    NoTable {
        /// The architecture.
        arch: Arch,
        /// The default action.
        default: Action,
    },
}

/// Why a profile cannot be resolved for a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// An unknown name in a profile that lets through what it does not name.
    #[error(
        "unknown syscall {name} in a profile that allows by default: the rule would not bind{}",
        Suggestion(suggestion.as_deref())
    )]
    UnknownName {
        /// Where the entry begins.
        at: Position,
        /// The name.
        name: String,
        /// The known name that is nearest to it.
        suggestion: Option<String>,
    },
    /// A rule that denies nothing, in a profile that lets through what it does not name.
    #[error("this rule names no syscall, in a profile that allows by default: it denies nothing")]
    NoNames {
        /// Where the entry begins.
        at: Position,
    },
    /// Architectures of both byte orders.
    #[error("{} and {} differ in byte order; no filter can hold both", native.scmp_name(), listed.scmp_name())]
    ByteOrder {
        /// The host's.
        native: Arch,
        /// The listed one.
        listed: Arch,
    },
    /// Rules for an architecture whose syscalls we do not know, in a profile that allows by default.
    #[error("there is no table of syscalls for {}, so rules that deny cannot bind there", arch.scmp_name())]
    NoTable {
        /// The architecture.
        arch: Arch,
    },
    /// A flag that is for listeners only.
    #[error("{} is for filters with a listener, which this has not", Flag::WaitKillableRecv.name())]
    WaitKillableRecv,
    /// More rules than any filter can hold.
    #[error("the profile unfolds to more rules than any filter can hold")]
    TooManyRules,
}

impl ResolveError {
    /// Where in the file; [`Position::NOWHERE`] when it is about the file as a whole.
    pub const fn position(&self) -> Position {
        match self {
            Self::UnknownName { at, .. } | Self::NoNames { at } => *at,
            _ => Position::NOWHERE,
        }
    }
}

struct Suggestion<'a>(Option<&'a str>);

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .map_or(Ok(()), |name| write!(f, " (did you mean '{name}'?)"))
    }
}

struct AndMore(usize);

impl fmt::Display for AndMore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            more => write!(f, " and {more} more in this entry"),
        }
    }
}

struct AndIn(usize);

impl fmt::Display for AndIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            more => write!(f, " (so it is in {more} more)"),
        }
    }
}
