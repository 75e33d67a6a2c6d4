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
mod findings;
mod json;
mod locate;
mod mentions;
mod merge;
mod model;
mod multiplex;
mod nearest;
mod overlap;
mod parse;
mod plain;
mod reconcile;
mod resolve;
mod width;
mod write;

#[cfg(test)]
mod tests;

pub use dialect::{ArgWidth, Dialect, Host, Reading, UnknownCalls};
pub use file::{ReadError, read_profile, read_profile_text};
pub use findings::{Oddity, ResolveError, Warning};
pub use locate::Places;
pub use merge::MergeError;
pub use model::{
    ArchMap, Capabilities, Condition, Flag, KernelVersion, Position, Profile, Rule, Scope,
};
pub(crate) use multiplex::multiplexer_of;
pub(crate) use parse::errno_of_name;
pub use parse::{MAX_SIZE, ParseError};
pub use reconcile::Conflict;
pub use resolve::{Flags, Resolved};
pub(crate) use write::errno_name;
