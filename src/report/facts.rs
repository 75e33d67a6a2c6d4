//! What the evidence says, over all runs, in rows to show.

use std::collections::{BTreeMap, BTreeSet};

use crate::estimate::Estimate;
use crate::evidence::{Evidence, Run, Seen};
use crate::grants::{self, Grant};
use crate::groups::Group;

use super::words;

/// All that the page says of the evidence in words.
pub(super) struct Facts {
    pub(super) estimate: Estimate,
    pub(super) runs: Vec<Ran>,
    /// By name, what was added included.
    pub(super) calls: Vec<Call>,
    /// Those that made the most first.
    pub(super) programs: Vec<Program>,
    pub(super) added: Vec<Added>,
    pub(super) dangers: Vec<Danger>,
    /// Known calls ran free in some run: all figures are the least that is true.
    pub(super) at_least: bool,
    /// More than one architecture was used, so it is shown.
    pub(super) arches: bool,
}

/// A run.
pub(super) struct Ran {
    pub(super) number: usize,
    pub(super) command: String,
    pub(super) started: u64,
    pub(super) when: String,
    pub(super) ms: u64,
    pub(super) length: String,
    pub(super) end: String,
    pub(super) tasks: u64,
    pub(super) calls: u64,
    pub(super) distinct: usize,
    pub(super) new: u32,
    pub(super) host: String,
    pub(super) notes: Vec<String>,
}

/// A syscall.
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arch: String,
    pub(super) group: String,
    /// 0: no run made it.
    pub(super) count: u64,
    pub(super) runs: u32,
    pub(super) first: Option<First>,
    pub(super) executables: BTreeSet<String>,
    pub(super) errnos: BTreeMap<String, u64>,
    pub(super) args: Vec<String>,
    pub(super) place: Option<String>,
    /// Why it was added.
    pub(super) reason: Option<String>,
}

/// The first time that any run made it.
pub(super) struct First {
    pub(super) run: usize,
    pub(super) ms: u64,
    pub(super) time: String,
    pub(super) executable: String,
}

/// A file that was executed.
pub(super) struct Program {
    pub(super) path: String,
    pub(super) calls: u64,
    pub(super) syscalls: BTreeSet<String>,
    /// Those that no other file made.
    pub(super) alone: BTreeSet<String>,
    /// What became of its processes: how many were let go, and so on.
    pub(super) fates: Vec<(String, u64)>,
}

/// What was added, and why.
pub(super) struct Added {
    pub(super) reason: String,
    pub(super) names: BTreeSet<String>,
}

/// Something dangerous that a profile of this evidence grants.
pub(super) struct Danger {
    pub(super) names: Vec<&'static str>,
    /// The argument's value that makes it one.
    pub(super) value: Option<&'static str>,
    pub(super) why: &'static str,
    pub(super) executables: BTreeSet<String>,
    /// It was added, and no run made it.
    pub(super) added: bool,
}

impl Facts {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let estimate = Estimate::of(evidence);
        let calls = calls(evidence);
        let arches: BTreeSet<&str> = calls.iter().map(|call| call.arch.as_str()).collect();
        Self {
            runs: runs(evidence, &estimate),
            programs: programs(evidence, &calls),
            added: added(&calls),
            dangers: grants::all()
                .filter_map(|grant| danger(grant, &calls))
                .collect(),
            at_least: evidence.runs.iter().any(|run| run.ran_free),
            arches: arches.iter().filter(|arch| !arch.is_empty()).count() > 1,
            estimate,
            calls,
        }
    }
}

/// How long a run was, in milliseconds.
pub(super) fn length(run: &Run) -> u64 {
    u64::try_from(
        std::time::Duration::try_from_secs_f64(run.seconds)
            .unwrap_or_default()
            .as_millis(),
    )
    .unwrap_or(u64::MAX)
}

/// What a syscall is called.
pub(super) fn name(seen: &Seen) -> String {
    let known = seen.sysno().map(|sysno| sysno.to_string());
    let name = known.or_else(|| seen.name.clone());
    words::plain(&name.unwrap_or_else(|| seen.nr.to_string()))
}

fn runs(evidence: &Evidence, estimate: &Estimate) -> Vec<Ran> {
    let new = estimate.new.iter().copied().chain(std::iter::repeat(0));
    let runs = evidence.runs.iter().zip(new).zip(1..);
    runs.map(|((run, new), number)| {
        let mut notes = Vec::new();
        if !run.complete {
            notes.push("incomplete".to_owned());
        }
        if run.ran_free {
            notes.push("known calls ran free, and were not counted".to_owned());
        }
        if run.filtered {
            notes.push("another filter was in force".to_owned());
        }
        notes.extend(run.notes.iter().map(|note| words::plain(note)));
        let host = [Some(&run.kernel), Some(&run.arch), run.libc.as_ref()];
        let host: Vec<String> = host
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .map(|part| words::plain(part))
            .collect();
        let sum = |sum: u64, seen: &Seen| sum.saturating_add(seen.count);
        Ran {
            number,
            command: words::plain(&run.command.join(" ")),
            started: run.started,
            when: words::moment(run.started),
            ms: length(run),
            length: words::duration(length(run)),
            end: words::plain(&run.end),
            tasks: run.tasks,
            calls: run.calls.iter().fold(0, sum),
            distinct: run.calls.len(),
            new,
            host: host.join(", "),
            notes,
        }
    })
    .collect()
}

fn calls(evidence: &Evidence) -> Vec<Call> {
    let mut calls: BTreeMap<(String, String), Call> = BTreeMap::new();
    for (run, number) in evidence.runs.iter().zip(1..) {
        for seen in &run.calls {
            let key = (name(seen), words::plain(&seen.arch));
            let call = calls.entry(key).or_insert_with_key(Call::new);
            call.add(seen, number);
        }
    }
    for run in &evidence.runs {
        for added in &run.added {
            let name = words::plain(&added.name);
            // It is by name. A run that could not see what another made adds it as if nobody had.
            let from = (name.clone(), String::new());
            let known = calls.range(from..).next();
            if known.is_some_and(|((known, _), _)| *known == name) {
                continue;
            }
            let key = (name, String::new());
            let mut call = Call::new(&key);
            call.reason = Some(words::plain(&added.reason));
            calls.insert(key, call);
        }
    }
    calls.into_values().collect()
}

impl Call {
    fn new((name, arch): &(String, String)) -> Self {
        Self {
            name: name.clone(),
            arch: arch.clone(),
            group: Group::of(name).map_or_else(|| "other".to_owned(), |group| group.to_string()),
            count: 0,
            runs: 0,
            first: None,
            executables: BTreeSet::new(),
            errnos: BTreeMap::new(),
            args: Vec::new(),
            place: None,
            reason: None,
        }
    }

    /// Adds what the run of this number saw of it.
    fn add(&mut self, seen: &Seen, run: usize) {
        self.count = self.count.saturating_add(seen.count);
        self.runs += 1;
        if self.first.is_none() {
            self.first = seen.first.as_ref().map(|first| First {
                run,
                ms: first.ms,
                time: words::duration(first.ms),
                executable: words::plain(&first.executable),
            });
        }
        self.executables
            .extend(seen.executables.iter().map(|path| words::plain(path)));
        for (errno, count) in &seen.errnos {
            let known = self.errnos.entry(words::plain(errno)).or_default();
            *known = known.saturating_add(*count);
        }
        if self.args.is_empty() {
            self.args = seen.args.iter().map(|args| words::plain(args)).collect();
        }
        if self.place.is_none() {
            self.place = seen.library.as_ref().map(|library| {
                let offset = seen.offset.as_deref().unwrap_or_default();
                words::plain(&format!("{library}+{offset}"))
            });
        }
    }
}

impl Program {
    /// The one of this path, which may be new.
    fn of<'p>(programs: &'p mut BTreeMap<String, Self>, path: &str) -> &'p mut Self {
        programs.entry(path.to_owned()).or_insert_with(|| Self {
            path: path.to_owned(),
            calls: 0,
            syscalls: BTreeSet::new(),
            alone: BTreeSet::new(),
            fates: Vec::new(),
        })
    }
}

fn programs(evidence: &Evidence, calls: &[Call]) -> Vec<Program> {
    let mut programs: BTreeMap<String, Program> = BTreeMap::new();
    let mut fates: BTreeMap<(String, String), u64> = BTreeMap::new();
    for executed in evidence.runs.iter().flat_map(|run| &run.executables) {
        let path = words::plain(&executed.path);
        let program = Program::of(&mut programs, &path);
        program.calls = program.calls.saturating_add(executed.calls);
        for (fate, shared) in &executed.fates {
            let known = fates.entry((path.clone(), meaning(fate))).or_default();
            *known = known.saturating_add(shared.processes);
        }
    }
    for call in calls {
        for path in &call.executables {
            let program = Program::of(&mut programs, path);
            program.syscalls.insert(call.name.clone());
            if call.executables.len() == 1 {
                program.alone.insert(call.name.clone());
            }
        }
    }
    for ((path, fate), processes) in fates {
        if let Some(program) = programs.get_mut(&path) {
            program.fates.push((fate, processes));
        }
    }
    let mut programs: Vec<Program> = programs.into_values().collect();
    programs.sort_by(|a, b| {
        let by_size = b.syscalls.len().cmp(&a.syscalls.len());
        by_size
            .then_with(|| b.calls.cmp(&a.calls))
            .then_with(|| a.path.cmp(&b.path))
    });
    programs
}

/// What a fate of the evidence means.
fn meaning(fate: &str) -> String {
    match fate {
        "stops" => "traced to the end".to_owned(),
        "late filter" => "let go under a filter".to_owned(),
        "traced filter" => "traced under a filter".to_owned(),
        "filter before exec" => "under a filter from the start".to_owned(),
        other => words::plain(other),
    }
}

fn added(calls: &[Call]) -> Vec<Added> {
    let mut reasons: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for call in calls {
        if let Some(reason) = &call.reason {
            reasons.entry(reason).or_default().insert(call.name.clone());
        }
    }
    let added = reasons.into_iter();
    added
        .map(|(reason, names)| Added {
            reason: reason.to_owned(),
            names,
        })
        .collect()
}

/// Does a profile of these calls grant it? A learned profile allows a call with all arguments.
fn danger(grant: Grant, calls: &[Call]) -> Option<Danger> {
    let granted = |call: &&Call| grant.syscalls().any(|name| name == call.name);
    let calls: Vec<&Call> = calls.iter().filter(granted).collect();
    let names = grant.syscalls();
    let names: Vec<&str> = names
        .filter(|name| calls.iter().any(|call| call.name == *name))
        .collect();
    (!names.is_empty()).then(|| Danger {
        names,
        value: grant.when.map(|when| when.name),
        why: grant.why,
        executables: calls
            .iter()
            .flat_map(|call| call.executables.iter().cloned())
            .collect(),
        added: calls.iter().all(|call| call.count == 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let run = |calls: &str, rest: &str| {
            format!(
                r#"{{"command":["a"],"started":60,"seconds":1.5,"kernel":"6.1","end":"exited 0","tasks":2,"filtered":false,
                "complete":true,"notes":[],"calls":[{calls}]{rest}}}"#
            )
        };
        let first = run(
            r#"{"arch":"x86_64","nr":0,"count":3,"executables":["/a","/b"],"errnos":{"EAGAIN":1},"args":["0x0"],
                "first":{"ms":7,"executable":"/a","tid":1},"library":"/l","offset":"0x9"},
               {"arch":"x86_64","nr":41,"count":1,"executables":["/b"]},
               {"arch":"x86","nr":3,"count":1,"executables":["/b"]}"#,
            r#","executables":[{"path":"/a","calls":2,"fates":{"stops":{"processes":2,"calls":2}}}],
               "added":[{"name":"futex","reason":"threads"},{"name":"read","reason":"odd"}]"#,
        );
        let second = run(
            r#"{"arch":"x86_64","nr":0,"count":4,"executables":["/a"],"errnos":{"EAGAIN":2},
                "first":{"ms":1,"executable":"/c","tid":1}}"#,
            r#","added":[{"name":"futex","reason":"threads"},{"name":"ptrace","reason":"odd"}]"#,
        );
        let text = format!(r#"{{"version":2,"runs":[{first},{second}]}}"#);
        Facts::of(&Evidence::parse(text.as_bytes(), "e").unwrap())
    }

    #[test]
    fn calls_are_those_of_all_runs() {
        let facts = facts();
        let names: Vec<_> = facts
            .calls
            .iter()
            .map(|call| (call.name.as_str(), call.arch.as_str()))
            .collect();
        assert_eq!(
            names,
            [
                ("futex", ""),
                ("ptrace", ""),
                ("read", "x86"),
                ("read", "x86_64"),
                ("socket", "x86_64")
            ]
        );
        let read = &facts.calls[3];
        let first = read.first.as_ref().unwrap();
        assert_eq!((read.count, read.runs, read.errnos["EAGAIN"]), (7, 2, 3));
        assert_eq!(
            (first.run, first.time.as_str(), first.executable.as_str()),
            (1, "7 ms", "/a")
        );
        assert_eq!(read.place.as_deref(), Some("/l+0x9"));
        assert_eq!(facts.calls[2].reason, None, "a run made it");
        assert_eq!(
            (facts.calls[0].count, facts.calls[0].reason.as_deref()),
            (0, Some("threads"))
        );
        assert!(facts.arches);
    }

    #[test]
    fn the_rest_is_told_apart() {
        let facts = facts();
        let programs: Vec<_> = facts
            .programs
            .iter()
            .map(|program| {
                (
                    program.path.as_str(),
                    program.syscalls.len(),
                    program.alone.len(),
                    program.fates.iter().map(|fate| fate.1).sum::<u64>(),
                )
            })
            .collect();
        assert_eq!(programs, [("/b", 2, 2, 0), ("/a", 1, 0, 2)]);
        let added: Vec<_> = facts
            .added
            .iter()
            .map(|added| (added.reason.as_str(), added.names.len()))
            .collect();
        assert_eq!(added, [("odd", 1), ("threads", 1)]);
        let dangers: Vec<_> = facts
            .dangers
            .iter()
            .map(|danger| (danger.names.join(" "), danger.value, danger.added))
            .collect();
        assert_eq!(dangers[0], ("ptrace".to_owned(), None, true));
        assert!(dangers.contains(&("socket".to_owned(), Some("AF_ALG"), false)));
        let runs: Vec<_> = facts
            .runs
            .iter()
            .map(|run| (run.number, run.calls, run.new, run.length.as_str()))
            .collect();
        assert_eq!(runs, [(1, 5, 3, "1.5 s"), (2, 4, 0, "1.5 s")]);
    }
}
