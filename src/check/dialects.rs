//! What other readers of the file do not understand.

use super::{Finding, Kind, Looked, Severity};
use crate::profile::{Dialect, Oddity, Reading};
use crate::syscall::parse_unnamed;

static IGNORED: Kind = Kind::new(
    "ignored-by-oci",
    Severity::Note,
    "containerd and Kubernetes ignore a field",
);
static NUMBER: Kind = Kind::new(
    "numbered-name",
    Severity::Note,
    "a syscall by number, which only this program reads",
);

pub(super) static KINDS: [&Kind; 2] = [&IGNORED, &NUMBER];

pub(super) fn find(looked: &Looked) -> Vec<Finding> {
    let mut found = ignored(looked);
    for (at, rule) in looked.profile().rules.iter().enumerate() {
        for name in rule
            .names
            .iter()
            .filter(|name| parse_unnamed(name).is_some())
        {
            let message = format!(
                "{name} is a number: only seccomp-run reads it, other runtimes pass over it"
            );
            found.push(NUMBER.finding(
                looked.path_in(at, name),
                message,
                "its name, where the other runtime knows it",
            ));
        }
    }
    found
}

/// What plain OCI makes of the file, when another dialect was asked for.
fn ignored(looked: &Looked) -> Vec<Finding> {
    let subject = looked.subject;
    if subject.reading.dialect == Dialect::Oci {
        return Vec::new();
    }
    let oci = Reading {
        dialect: Dialect::Oci,
        ..subject.reading
    };
    let Ok(resolved) = subject.profile.resolve(subject.host, &oci) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for warning in resolved.warnings {
        if let Oddity::Ignored { field, effect, .. } = &warning.about {
            let message = format!("containerd and Kubernetes ignore '{field}': {effect}");
            let fix = "'convert --to kubernetes' writes the profile of one host without it";
            found.push(Finding {
                at: warning.at,
                ..IGNORED.finding(looked.rule_at(warning.at), message, fix)
            });
        }
    }
    found
}
