//! What reading and resolving the profile warned about, as findings.

use super::{Finding, Kind, Looked, Severity};
use crate::profile::{Oddity, Position, Warning};

/// A kind, and what to do about it.
type Row = (Kind, &'static str);

const fn row(id: &'static str, severity: Severity, title: &'static str, fix: &'static str) -> Row {
    (Kind::new(id, severity, title), fix)
}

static TRACE: Row = row(
    "trace-action",
    Severity::Warning,
    "an action that needs a tracer",
    "SCMP_ACT_ERRNO, or SCMP_ACT_LOG to try out",
);
static LISTENER: Row = row(
    "listener-ignored",
    Severity::Note,
    "a listener without anything to listen to",
    "leave the field out",
);
static IGNORED: Row = row(
    "ignored-field",
    Severity::Warning,
    "a field that the dialect ignores",
    "another --dialect, or a profile without the field",
);
static TSYNC: Row = row(
    "tsync",
    Severity::Note,
    "a flag without effect",
    "leave SECCOMP_FILTER_FLAG_TSYNC out",
);
static NO_NAMES: Row = row(
    "no-names",
    Severity::Warning,
    "an entry that names no syscall",
    "name the syscalls, or leave the entry out",
);
static UNKNOWN: Row = row(
    "unknown-name",
    Severity::Warning,
    "a name that no architecture has",
    "correct it, or leave it out",
);
static TWICE: Row = row(
    "argument-twice",
    Severity::Error,
    "an argument is tested twice in one entry",
    "entries of their own where any condition is enough; one comparison (MASKED_EQ, or what is allowed) where all must hold",
);
static NO_EFFECT: Row = row(
    "no-effect",
    Severity::Warning,
    "an entry that never decides",
    "leave one of the two entries out",
);
static OVERLAP: Row = row(
    "overlap",
    Severity::Warning,
    "entries with different actions match the same call",
    "conditions that exclude each other",
);
static WIDE: Row = row(
    "wide-constant",
    Severity::Warning,
    "a constant that its argument cannot have",
    "a constant of 32 bits",
);
static MULTIPLEXED: Row = row(
    "multiplexed",
    Severity::Note,
    "conditions that another way to the call evades",
    "deny the other way with ENOSYS (SCMP_ACT_ERRNO, \"errnoRet\": 38), or drop the architecture",
);
static KILL_THREAD: Row = row(
    "kill-thread",
    Severity::Warning,
    "an action that ends one thread only",
    "SCMP_ACT_KILL_PROCESS",
);
static OWNER: Row = row(
    "foreign-owner",
    Severity::Warning,
    "the file belongs to somebody else",
    "chown root",
);
static WRITABLE: Row = row(
    "writable",
    Severity::Warning,
    "others can write the file",
    "chmod go-w",
);
static NO_TABLE: Row = row(
    "no-table",
    Severity::Warning,
    "an architecture whose syscalls are not known",
    "leave the architecture out",
);
pub(super) static KINDS: [&Kind; 15] = [
    &TRACE.0,
    &LISTENER.0,
    &IGNORED.0,
    &TSYNC.0,
    &NO_NAMES.0,
    &UNKNOWN.0,
    &TWICE.0,
    &NO_EFFECT.0,
    &OVERLAP.0,
    &WIDE.0,
    &MULTIPLEXED.0,
    &KILL_THREAD.0,
    &OWNER.0,
    &WRITABLE.0,
    &NO_TABLE.0,
];

fn row_of(about: &Oddity) -> &'static Row {
    match about {
        Oddity::Trace => &TRACE,
        Oddity::ListenerIgnored => &LISTENER,
        Oddity::Ignored { .. } => &IGNORED,
        Oddity::Tsync => &TSYNC,
        Oddity::NoNames => &NO_NAMES,
        Oddity::UnknownName { .. } => &UNKNOWN,
        Oddity::AnyCondition => &TWICE,
        Oddity::NoEffect { .. } => &NO_EFFECT,
        Oddity::Overlap { .. } => &OVERLAP,
        Oddity::WideConstant { .. } => &WIDE,
        Oddity::Multiplexed { .. } => &MULTIPLEXED,
        Oddity::KillThread => &KILL_THREAD,
        Oddity::ForeignOwner { .. } => &OWNER,
        Oddity::Writable { .. } => &WRITABLE,
        Oddity::NoTable { .. } => &NO_TABLE,
    }
}

pub(super) fn find(looked: &Looked) -> Vec<Finding> {
    let resolved = looked.resolved;
    let warnings = looked.subject.warnings.iter().chain(&resolved.warnings);
    warnings
        .chain(&resolved.notes)
        .map(|warning| looked.odd(warning))
        .collect()
}

impl Looked<'_> {
    fn odd(&self, warning: &Warning) -> Finding {
        let (kind, fix) = row_of(&warning.about);
        let path = match &warning.about {
            Oddity::UnknownName { name, .. }
            | Oddity::NoEffect { name, .. }
            | Oddity::Multiplexed { name, .. } => {
                let rule = self.rule_index(warning.at);
                rule.map_or_else(String::new, |rule| {
                    self.path_in(rule, name.trim_matches('\''))
                })
            }
            Oddity::Tsync => "flags".to_owned(),
            _ => self.rule_at(warning.at),
        };
        kind.finding(path, warning.about.to_string(), *fix)
    }

    /// The path of the entry that begins there; empty where none does.
    pub(super) fn rule_at(&self, at: Position) -> String {
        let rule = self.rule_index(at);
        rule.map_or_else(String::new, |rule| format!("syscalls[{rule}]"))
    }

    fn rule_index(&self, at: Position) -> Option<usize> {
        let here =
            |there: Position| at.line > 0 && (there.line, there.column) == (at.line, at.column);
        self.profile().rules.iter().position(|rule| here(rule.at))
    }
}
