//! The explanation for programs.

use serde_json::{Value, json};

use super::{Explanation, Place, Seen};

impl Explanation {
    /// All of it as JSON, with a newline at the end.
    pub(crate) fn to_json(&self) -> String {
        let arches: Vec<String> = self.arches.iter().map(ToString::to_string).collect();
        let groups = self.groups.iter().map(|share| {
            json!({
                "group": share.group.to_string().to_lowercase(),
                "of": share.total(),
                "always": share.always,
                "sometimes": share.sometimes,
                "beside": share.beside,
            })
        });
        let conditions = self.conditions.iter().map(|rule| {
            json!({
                "syscalls": rule.names,
                "action": rule.action.to_string(),
                "when": rule.when,
                "rule": place(&rule.place),
            })
        });
        let answers = self.answers.iter().map(|rule| {
            json!({
                "syscalls": rule.names,
                "action": rule.action.to_string(),
                "rule": place(&rule.place),
            })
        });
        let dangers = self.dangers.iter().map(|danger| {
            json!({
                "syscalls": danger.names,
                "value": danger.value,
                "why": danger.why,
                "sometimes": danger.sometimes,
            })
        });
        let added = self.added.iter();
        let added = added.map(|added| json!({ "reason": added.reason, "syscalls": added.names }));
        let beside = self.beside.as_ref().map(|beside| {
            json!({
                "profile": beside.name,
                "allowed": beside.allowed,
                "onlyHere": beside.only_here,
                "onlyThere": beside.only_there,
            })
        });
        let value = json!({
            "profile": self.name,
            "architectures": arches,
            "default": self.default.to_string(),
            "newer": self.newer.map(|action| action.to_string()),
            "otherArchitectures": self.bad_arch.to_string(),
            "allowed": self.allowed(),
            "of": self.total(),
            "groups": groups.collect::<Vec<_>>(),
            "unnamed": self.unnamed,
            "conditions": conditions.collect::<Vec<_>>(),
            "answers": answers.collect::<Vec<_>>(),
            "dangerous": dangers.collect::<Vec<_>>(),
            "notes": self.notes,
            "observed": self.observed,
            "added": added.collect::<Vec<_>>(),
            "evidence": self.evidence.as_ref().map(evidence),
            "beside": beside,
        });
        format!("{value:#}\n")
    }
}

fn place(place: &Place) -> Value {
    json!({ "path": place.path, "line": place.at.line })
}

fn evidence(seen: &Seen) -> Value {
    let runs = seen.runs.iter().map(|run| {
        json!({
            "command": run.command,
            "kernel": run.kernel,
            "tasks": run.tasks,
            "calls": run.calls,
            "syscalls": run.distinct,
            "complete": run.complete,
            "ranFree": run.free,
        })
    });
    let needs = seen.needs.iter().map(|need| {
        let first = need.first.as_ref().map(
            |first| json!({ "run": first.run, "ms": first.ms, "executable": first.executable }),
        );
        json!({
            "arch": need.arch,
            "syscall": need.name,
            "count": need.count,
            "runs": need.runs,
            "executables": need.executables,
            "first": first,
        })
    });
    let programs = seen.programs.iter().map(|program| {
        json!({ "executable": program.path, "syscalls": program.calls, "alone": program.alone })
    });
    let estimate = &seen.estimate;
    json!({
        "runs": runs.collect::<Vec<_>>(),
        "estimate": {
            "runs": estimate.runs(),
            "distinct": estimate.distinct,
            "new": estimate.new,
            "expected": estimate.expected(),
            "chance": estimate.chance(),
            "missing": estimate.missing(),
            "words": estimate.to_string(),
        },
        "executables": programs.collect::<Vec<_>>(),
        "syscalls": needs.collect::<Vec<_>>(),
        "unseen": seen.unseen,
        "denied": seen.denied,
    })
}
