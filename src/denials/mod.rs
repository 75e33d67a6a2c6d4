//! Which calls a policy denied: named as they happen, without privileges, audit or log.
//!
//! The filter hands what it does not allow to a listener ([`asking`](policy)); the launcher gives the answer that the
//! policy has for the call, from its registers alone, and takes down what it was. What is allowed never comes here, and
//! costs nothing.
//!
//! `SCMP_ACT_TRAP` gets its `SIGSYS` from us, queued while the call waits. Its `si_code` is `SI_TIMER`: only the kernel says
//! `SYS_SECCOMP`. (A tracer could put that in, too, but would wait for an exec that waits for it: `ptrace(2)`, BUGS.)
//!
//! ```text
//! policy      which calls are asked
//! decode      a call as a person reads it (prototypes: the names of arguments and flags)
//! ledger      each kind of denied call once, with how often
//! lines       the same as it happens, as JSON, into a file
//! reporter    answers the calls
//! ```
//!
//! Source: `seccomp_unotify(2)`.

mod decode;
mod ledger;
mod lines;
mod policy;
mod prototypes;
mod reporter;

pub(crate) use ledger::Denial;
pub(crate) use lines::Lines;
pub(crate) use policy::Hides;
pub(crate) use reporter::{Report, Reporter};

use crate::policy::Policy;

/// Does the text of a report begin so?
pub(crate) fn is_report(start: &str) -> bool {
    ["{\"event\":\"denied\"", "{\"event\":\"total\""]
        .iter()
        .any(|mark| start.starts_with(mark))
}

/// The policy that a reporting filter is made of: see [`policy`].
pub(crate) fn asking(policy: &Policy, is_patient: bool) -> Policy {
    policy::asking(policy, is_patient)
}
