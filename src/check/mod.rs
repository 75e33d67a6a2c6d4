//! Mistakes in profiles, found before they bite.
//!
//! A finding has a kind, which is a constant row (its name never changes, so that scripts can rely on it), a
//! place in the file, what is wrong, and what to do. One module for each family of kinds:
//!
//! | module | finds |
//! |---|---|
//! | `must_haves` | calls without which programs hang or crash |
//! | `actions` | actions that kill, log or allow where that was not meant, errnos that libc misunderstands |
//! | `arguments` | conditions that do not bind |
//! | `architectures` | architectures and numbers that are not what they seem |
//! | `breadth` | a profile that is everybody's |
//! | `dangers` | grants that open more than they seem to |
//! | `dialects` | what other readers of the file do not understand |
//! | `learning` | how much the learning runs can be trusted |
//! | `oddities` | what reading and resolving the profile warned about |
//!
//! Some findings carry a [`Repair`]: those that take nothing from the program and open nothing that could be
//! misused.

mod actions;
mod architectures;
mod arguments;
mod breadth;
mod dangers;
mod dialects;
mod learning;
mod must_haves;
mod oddities;
mod repair;

pub(crate) use repair::{Repair, repaired};

use std::collections::BTreeSet;

use crate::action::Action;
use crate::evidence::Evidence;
use crate::policy::{Abi, Policy};
use crate::profile::{
    Host, ParseError, Places, Position, Profile, Reading, ResolveError, Resolved, Warning,
};
use crate::syscall::Sysno;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Worth knowing; often as it must be.
    Note,
    /// Probably not meant.
    Warning,
    /// The profile does not do what it is for.
    Error,
}

impl Severity {
    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Its name, which stays the same for ever.
    pub(crate) id: &'static str,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What it is about, in a few words.
    pub(crate) title: &'static str,
}

impl Kind {
    const fn new(id: &'static str, severity: Severity, title: &'static str) -> Self {
        Self {
            id,
            severity,
            title,
        }
    }

    fn finding(
        &'static self,
        path: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding {
            kind: self,
            path: path.into(),
            at: Position::NOWHERE,
            message: message.into(),
            fix: fix.into(),
            repair: None,
        }
    }
}

/// Something that was found.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// What kind of finding it is.
    pub(crate) kind: &'static Kind,
    /// The part of the profile, such as `syscalls[3].names[0]`; empty for all of it.
    pub(crate) path: String,
    /// Where that stands.
    pub(crate) at: Position,
    /// What is wrong, and why that matters.
    pub(crate) message: String,
    /// What to do.
    pub(crate) fix: String,
    /// The change that does it, where that is safe.
    pub(crate) repair: Option<Repair>,
}

impl Finding {
    fn repair(mut self, repair: Option<Repair>) -> Self {
        self.repair = repair;
        self
    }
}

/// A profile to look at, and what is known around it.
pub(crate) struct Subject<'a> {
    /// The profile.
    pub(crate) profile: &'a Profile,
    /// Where its parts stand.
    pub(crate) places: &'a Places,
    /// What reading it warned about.
    pub(crate) warnings: &'a [Warning],
    /// The host that it is for.
    pub(crate) host: &'a Host,
    /// How it is read.
    pub(crate) reading: Reading,
    /// What the learning runs saw, where there is evidence.
    pub(crate) evidence: Option<&'a Evidence>,
    /// Is it for a container runtime, which starts the program under it?
    pub(crate) for_runtime: bool,
    /// The chance, at most, that another run needs something new.
    pub(crate) max_unseen: Option<f64>,
}

/// What the families look at: the subject, resolved.
struct Looked<'a> {
    subject: &'a Subject<'a>,
    resolved: &'a Resolved,
    native: &'a Abi,
}

/// Can a syscall be made?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Never,
    ByArgument,
    Free,
}

impl Access {
    fn of(abi: &Abi, nr: u32) -> Self {
        let rules = abi.syscalls.get(nr).unwrap_or_default();
        let always = rules.iter().find(|rule| rule.conditions.is_empty());
        let last = always.map_or_else(|| abi.fallback(nr).0, |rule| rule.action);
        let mut actions = rules.iter().map(|rule| rule.action).chain([last]);
        let runs = |action: Action| action.runs();
        match (actions.clone().any(runs), actions.all(runs)) {
            (false, _) => Self::Never,
            (true, false) => Self::ByArgument,
            (true, true) => Self::Free,
        }
    }
}

impl Looked<'_> {
    fn policy(&self) -> &Policy {
        &self.resolved.policy
    }

    fn profile(&self) -> &Profile {
        self.subject.profile
    }

    /// Does the profile deny what it does not name?
    fn denies_by_default(&self) -> bool {
        !self.native.default.runs()
    }

    /// Can the call be made on the native architecture? `None`: it has no such call.
    fn access(&self, name: &str) -> Option<Access> {
        let sysno = Sysno::parse(self.native.arch, name)?;
        Some(Access::of(self.native, sysno.nr))
    }

    /// Does any rule name it?
    fn names(&self, name: &str) -> bool {
        let mut rules = self.profile().rules.iter();
        rules.any(|rule| rule.names.iter().any(|there| there == name))
    }

    /// The path of a name in the rule with this index.
    fn path_in(&self, rule: usize, name: &str) -> String {
        let names = self
            .profile()
            .rules
            .get(rule)
            .map_or(&[][..], |rule| &rule.names);
        match names.iter().position(|there| there == name) {
            Some(at) => format!("syscalls[{rule}].names[{at}]"),
            None => format!("syscalls[{rule}]"),
        }
    }
}

/// Why nothing can be looked at.
#[derive(Debug)]
pub(crate) enum Unfit<'e> {
    /// The file holds no profile.
    Parse(&'e ParseError),
    /// The profile cannot be resolved.
    Resolve(&'e ResolveError),
}

static NOT_A_PROFILE: Kind = Kind::new(
    "not-a-profile",
    Severity::Error,
    "the file cannot be read as a profile",
);
static NOT_ENFORCEABLE: Kind = Kind::new(
    "not-enforceable",
    Severity::Error,
    "the profile cannot be enforced",
);

impl Unfit<'_> {
    /// The finding that says so.
    pub(crate) fn finding(&self) -> Finding {
        let (kind, at, message, fix) = match self {
            Self::Parse(error) => {
                let hint = error
                    .hint()
                    .unwrap_or("correct the file; what runtimes would make of it is not certain");
                (
                    &NOT_A_PROFILE,
                    error.position(),
                    error.bare(),
                    hint.to_owned(),
                )
            }
            Self::Resolve(error) => {
                let fix = "correct the entry: nothing runs under this profile";
                (
                    &NOT_ENFORCEABLE,
                    error.position(),
                    error.to_string(),
                    fix.to_owned(),
                )
            }
        };
        Finding {
            at,
            ..kind.finding("", message, fix)
        }
    }
}

/// Every kind of finding, by name.
pub(crate) fn kinds() -> Vec<&'static Kind> {
    let mut kinds: Vec<&'static Kind> = vec![&NOT_A_PROFILE, &NOT_ENFORCEABLE];
    for family in [
        &actions::KINDS[..],
        &architectures::KINDS,
        &arguments::KINDS,
        &breadth::KINDS,
        &dangers::KINDS,
        &dialects::KINDS,
        &learning::KINDS,
        &must_haves::KINDS,
        &oddities::KINDS,
    ] {
        kinds.extend(family);
    }
    kinds.sort_by_key(|kind| kind.id);
    kinds
}

/// Everything that is found, in the order of the file.
///
/// # Errors
///
/// When the profile cannot be resolved for the host.
pub(crate) fn check(subject: &Subject) -> Result<Vec<Finding>, ResolveError> {
    let resolved = subject.profile.resolve(subject.host, &subject.reading)?;
    let Some(native) = resolved.policy.abis.first() else {
        return Ok(Vec::new());
    };
    let looked = Looked {
        subject,
        resolved: &resolved,
        native,
    };
    let mut found = oddities::find(&looked);
    for family in [
        must_haves::find,
        actions::find,
        arguments::find,
        architectures::find,
        breadth::find,
        dangers::find,
        dialects::find,
        learning::find,
    ] {
        found.extend(family(&looked));
    }
    for finding in &mut found {
        if finding.at.line == 0 && !finding.path.is_empty() {
            finding.at = subject.places.find(&finding.path);
        }
    }
    found.sort_by_key(|finding| (finding.at.line, finding.at.column));
    // The same of several entries is said at the first.
    let mut said = BTreeSet::new();
    found.retain(|finding| said.insert((finding.kind.id, finding.message.clone())));
    Ok(found)
}
