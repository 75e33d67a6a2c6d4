//! Profiles: Docker/OCI seccomp JSON, read strictly, written canonically, and resolved to a
//! [`Policy`](crate::policy::Policy) for one host.
//!
//! ```text
//! bytes -> Profile::parse -> Profile -> Profile::resolve (Host, Reading) -> Policy
//! ```
//!
//! There is no single language of profiles: Docker, Podman and the raw OCI runtimes read the same file
//! differently ([`Dialect`]), and what they do with it is mostly written down in their sources only. Where
//! a choice remains, the rule here is: agree with libseccomp on every profile without contradictions, say
//! so where a profile has one, and refuse what is probably a mistake.
//!
//! May use `action`, `arch`, `syscall` and `policy`.

mod dialect;
mod draft;
mod file;
mod json;
mod merge;
mod model;
mod multiplex;
mod nearest;
mod overlap;
mod parse;
mod resolve;
mod width;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::action::Action;
use crate::arch::Arch;

pub use dialect::{ArgWidth, Dialect, Host, Reading, UnknownCalls};
pub use file::{ReadError, read_profile};
pub use merge::MergeError;
pub use model::{
    ArchMap, Capabilities, Condition, Flag, KernelVersion, Position, Profile, Rule, Scope,
};
pub use parse::{MAX_SIZE, ParseError};
pub use resolve::{Flags, ResolveError, Resolved};

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
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
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
        dialect: Dialect,
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
