//! What a profile lets a program do, as facts to print: groups of syscalls, conditions in words, dangerous
//! grants, what was observed and what was added.
//!
//! Everything is said of the policy, the profile as it holds on one host: what it grants is what a filter
//! made of it grants. The texts are made in `text` and `json`.

mod json;
mod text;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use crate::action::Action;
use crate::arch::Arch;
use crate::estimate::Estimate;
use crate::evidence::{self, Evidence};
use crate::grants::{self, Grant};
use crate::groups::Group;
use crate::policy::{Abi, Policy};
use crate::profile::{Position, Profile, Rule, Warning};
use crate::syscall::{self, Name, Sysno};

/// What is known of a profile before it is explained.
pub(crate) struct Subject<'a> {
    /// What messages call it.
    pub(crate) name: &'a str,
    /// The rules that count on the host ([`Profile::plain`]).
    pub(crate) plain: &'a Profile,
    /// The profile as it was read: the places of rules are in it.
    pub(crate) whole: &'a Profile,
    /// What it means on the host.
    pub(crate) policy: &'a Policy,
    /// What is worth knowing about it ([`Resolved::notes`](crate::profile::Resolved)).
    pub(crate) notes: &'a [Warning],
    /// What the runs that taught it saw, where that is known.
    pub(crate) evidence: Option<&'a Evidence>,
    /// Another profile on the same host to hold it against, and its name.
    pub(crate) beside: Option<(&'a str, &'a Policy)>,
}

/// May a program make the call?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    Never,
    /// With some arguments.
    Sometimes,
    Always,
}

/// The answer.
pub(crate) struct Explanation {
    name: String,
    arches: Vec<Arch>,
    default: Action,
    bad_arch: Action,
    /// What calls get that are newer than all that the profile names, where that differs from the default.
    newer: Option<Action>,
    groups: Vec<Share>,
    /// Calls without a name that may run.
    unnamed: Vec<String>,
    conditions: Vec<Conditional>,
    answers: Vec<Answer>,
    dangers: Vec<Danger>,
    /// What is easily misunderstood about it.
    notes: Vec<String>,
    /// How many syscalls are allowed without a reason: they were observed, or written by hand.
    observed: usize,
    added: Vec<Added>,
    evidence: Option<Seen>,
    beside: Option<Beside>,
}

/// The syscalls of one group.
struct Share {
    group: Group,
    always: Vec<String>,
    sometimes: Vec<String>,
    never: Vec<String>,
    /// How many the other profile allows.
    beside: Option<usize>,
}

/// A rule that depends on arguments.
struct Conditional {
    names: Vec<Name>,
    action: Action,
    when: String,
    place: Place,
}

/// A rule that answers neither as the default nor by letting the call run.
struct Answer {
    names: Vec<Name>,
    action: Action,
    place: Place,
}

/// Where a rule stands.
struct Place {
    /// Such as `syscalls[3]`.
    path: Option<String>,
    at: Position,
}

/// A dangerous grant.
struct Danger {
    names: Vec<&'static str>,
    /// The argument's value that makes it one.
    value: Option<&'static str>,
    why: &'static str,
    /// It depends on arguments.
    sometimes: bool,
}

/// What was added to a profile for a reason.
struct Added {
    reason: String,
    names: Vec<Name>,
}

/// What the runs saw.
struct Seen {
    runs: Vec<Ran>,
    /// How sure they make it.
    estimate: Estimate,
    /// Each call of any run.
    needs: Vec<Need>,
    /// What was executed and made any of them, those that made the most first.
    programs: Vec<Program>,
    /// Allowed, not added for a reason, and made by no run.
    unseen: Vec<String>,
    /// Made by a run, and not allowed.
    denied: Vec<String>,
}

struct Ran {
    command: String,
    kernel: String,
    tasks: u64,
    calls: u64,
    distinct: usize,
    complete: bool,
    /// What was known ran without being counted.
    free: bool,
}

/// A call that runs made.
struct Need {
    arch: String,
    name: String,
    count: u64,
    /// How many runs made it.
    runs: usize,
    /// The files that made it, as far as the evidence tells.
    executables: BTreeSet<String>,
    /// The first time of all, where the evidence tells.
    first: Option<First>,
}

/// The first time that any run made a call.
struct First {
    /// Which run, counted from 1.
    run: usize,
    /// Milliseconds after the exec of its command.
    ms: u64,
    executable: String,
}

/// A file that was executed, and what it made.
struct Program {
    path: String,
    /// How many different calls.
    calls: usize,
    /// Those that no other file made.
    alone: Vec<String>,
}

/// The other profile.
struct Beside {
    name: String,
    allowed: usize,
    only_here: Vec<String>,
    only_there: Vec<String>,
}

impl Explanation {
    /// Explains.
    pub(crate) fn of(subject: &Subject) -> Self {
        let policy = subject.policy;
        let native = policy.abis.first();
        let access = access(policy, policy);
        let other = subject.beside.map(|(_, other)| self::access(policy, other));
        Self {
            name: subject.name.to_owned(),
            arches: policy.abis.iter().map(|abi| abi.arch).collect(),
            default: native.map_or(policy.bad_arch, |abi| abi.default),
            bad_arch: policy.bad_arch,
            newer: native.and_then(|abi| abi.newer).map(|newer| newer.action),
            groups: shares(&access, other.as_ref()),
            unnamed: unnamed(policy),
            conditions: conditions(subject),
            answers: answers(subject),
            dangers: dangers(policy),
            notes: notes(subject.notes),
            observed: names_where(subject.plain, |rule| rule.comment.is_none()).len(),
            added: added(subject.plain),
            evidence: subject.evidence.map(|evidence| seen(evidence, subject)),
            beside: subject
                .beside
                .zip(other.as_ref())
                .map(|((name, _), other)| beside(name, &access, other)),
        }
    }

    /// How many syscalls may run.
    fn allowed(&self) -> usize {
        let of = |share: &Share| share.always.len() + share.sometimes.len();
        self.groups.iter().map(of).sum()
    }

    /// How many there are.
    fn total(&self) -> usize {
        self.groups.iter().map(Share::total).sum()
    }
}

impl Share {
    fn total(&self) -> usize {
        self.always.len() + self.sometimes.len() + self.never.len()
    }
}

/// The names on all architectures of the one policy, and what the other says of each, where it is most open.
fn access(names: &Policy, policy: &Policy) -> BTreeMap<&'static str, Access> {
    let mut all = BTreeMap::new();
    for arch in names.abis.iter().map(|abi| abi.arch) {
        let abi = policy.abi(arch);
        for (sysno, name) in syscall::all(arch) {
            let here = abi.map_or(Access::Never, |abi| access_to(abi, sysno.nr));
            let known = all.entry(name).or_insert(here);
            *known = here.max(*known);
        }
    }
    all
}

/// What the rules for a number add up to, whatever the order of their conditions.
fn access_to(abi: &Abi, nr: u32) -> Access {
    let rules = abi.syscalls.get(nr).unwrap_or_default();
    let always = rules.iter().position(|rule| rule.conditions.is_empty());
    let conditional = rules
        .get(..always.unwrap_or(rules.len()))
        .unwrap_or_default();
    let last = always.and_then(|at| rules.get(at)).map(|rule| rule.action);
    let last = last.unwrap_or_else(|| abi.fallback(nr).0).runs();
    let any = conditional.iter().any(|rule| rule.action.runs());
    let all = conditional.iter().all(|rule| rule.action.runs());
    match (last, any, all) {
        (true, _, true) => Access::Always,
        (false, false, _) => Access::Never,
        _ => Access::Sometimes,
    }
}

fn shares(
    access: &BTreeMap<&'static str, Access>,
    other: Option<&BTreeMap<&'static str, Access>>,
) -> Vec<Share> {
    let mut shares: BTreeMap<Group, Share> = BTreeMap::new();
    for group in Group::ALL {
        let share = Share {
            group,
            always: Vec::new(),
            sometimes: Vec::new(),
            never: Vec::new(),
            beside: other.map(|_| 0),
        };
        shares.insert(group, share);
    }
    for (&name, &access) in access {
        let Some(share) = Group::of(name).and_then(|group| shares.get_mut(&group)) else {
            continue;
        };
        let list = match access {
            Access::Always => &mut share.always,
            Access::Sometimes => &mut share.sometimes,
            Access::Never => &mut share.never,
        };
        list.push(name.to_owned());
        if let (Some(count), Some(other)) = (&mut share.beside, other) {
            *count += usize::from(may_run(other, name));
        }
    }
    shares.into_values().collect()
}

fn may_run(access: &BTreeMap<&'static str, Access>, name: &str) -> bool {
    access
        .get(name)
        .is_some_and(|&access| access > Access::Never)
}

/// Rules for numbers that no table names.
fn unnamed(policy: &Policy) -> Vec<String> {
    let mut found = Vec::new();
    for abi in &policy.abis {
        for nr in abi.syscalls.numbers() {
            let sysno = Sysno { arch: abi.arch, nr };
            if sysno.name().is_none() && access_to(abi, nr) > Access::Never {
                found.push(format!("{}:{sysno}", abi.arch));
            }
        }
    }
    found
}

fn place(subject: &Subject, rule: &Rule) -> Place {
    let at = |position: Position| (position.line, position.column);
    let mut all = subject.whole.rules.iter();
    let index = all.position(|other| rule.at.line > 0 && at(other.at) == at(rule.at));
    Place {
        path: index.map(|index| format!("syscalls[{index}]")),
        at: rule.at,
    }
}

fn conditions(subject: &Subject) -> Vec<Conditional> {
    let mut found: Vec<Conditional> = Vec::new();
    let rules = subject.plain.rules.iter();
    for rule in rules.filter(|rule| !rule.conditions.is_empty()) {
        // The words depend on the syscall, so a rule for several may be said in several ways.
        let mut ways: BTreeMap<String, Vec<Name>> = BTreeMap::new();
        for name in &rule.names {
            ways.entry(words::when(name, rule))
                .or_default()
                .push(name.clone());
        }
        found.extend(ways.into_iter().map(|(when, names)| Conditional {
            names,
            action: rule.action,
            when,
            place: place(subject, rule),
        }));
    }
    found
}

fn answers(subject: &Subject) -> Vec<Answer> {
    let rules = subject.plain.rules.iter();
    let own = |rule: &&Rule| {
        rule.conditions.is_empty()
            && rule.action != subject.plain.default_action
            && rule.action != Action::Allow
    };
    rules
        .filter(own)
        .map(|rule| Answer {
            names: rule.names.clone(),
            action: rule.action,
            place: place(subject, rule),
        })
        .collect()
}

/// Each once, at its first place.
fn notes(notes: &[Warning]) -> Vec<String> {
    let mut told = BTreeSet::new();
    let new = notes
        .iter()
        .filter(|note| told.insert(note.about.to_string()));
    new.map(ToString::to_string).collect()
}

fn dangers(policy: &Policy) -> Vec<Danger> {
    let danger = |grant: Grant| {
        let mut names = BTreeSet::new();
        let mut widest = Access::Never;
        for abi in &policy.abis {
            for name in grant.granted(abi) {
                names.insert(name);
                let sysno = Sysno::parse(abi.arch, name);
                widest = widest.max(sysno.map_or(Access::Never, |sysno| access_to(abi, sysno.nr)));
            }
        }
        (!names.is_empty()).then(|| Danger {
            names: names.into_iter().collect(),
            value: grant.when.map(|when| when.name),
            why: grant.why,
            sometimes: widest == Access::Sometimes,
        })
    };
    grants::all().filter_map(danger).collect()
}

/// The names in the rules that let calls run and that this holds for.
fn names_where(plain: &Profile, holds: impl Fn(&Rule) -> bool) -> BTreeSet<&str> {
    let rules = plain.rules.iter();
    let wanted = rules.filter(|rule| rule.action.runs() && holds(rule));
    wanted
        .flat_map(|rule| rule.names.iter().map(Name::as_str))
        .collect()
}

/// Comments say why a rule is there, and what is only observed has none.
fn added(plain: &Profile) -> Vec<Added> {
    let rules = plain.rules.iter().filter(|rule| rule.action.runs());
    rules
        .filter_map(|rule| {
            Some(Added {
                reason: rule.comment.clone()?,
                names: rule.names.clone(),
            })
        })
        .collect()
}

fn seen(evidence: &Evidence, subject: &Subject) -> Seen {
    let policy = subject.policy;
    let mut needs: BTreeMap<(String, u32), Need> = BTreeMap::new();
    let mut denied = BTreeSet::new();
    let runs = evidence.runs.iter().zip(1..);
    for (seen, run) in runs.flat_map(|(run, at)| run.calls.iter().map(move |seen| (seen, at))) {
        let sysno = seen.sysno();
        let name = sysno.map_or_else(|| seen.nr.to_string(), |sysno| sysno.to_string());
        let may = sysno.is_some_and(|sysno| {
            policy
                .abi(sysno.arch)
                .is_some_and(|abi| access_to(abi, sysno.nr) > Access::Never)
        });
        if !may {
            denied.insert(format!("{}:{name}", seen.arch));
        }
        let need = needs
            .entry((seen.arch.clone(), seen.nr))
            .or_insert_with(|| Need {
                arch: seen.arch.clone(),
                name,
                count: 0,
                runs: 0,
                executables: BTreeSet::new(),
                first: seen.first.as_ref().map(|first| First::of(first, run)),
            });
        need.count = need.count.saturating_add(seen.count);
        need.runs += 1;
        need.executables.extend(seen.executables.iter().cloned());
    }
    let mut needs: Vec<Need> = needs.into_values().collect();
    needs.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    let made: BTreeSet<&str> = needs.iter().map(|need| need.name.as_str()).collect();
    let observed = names_where(subject.plain, |rule| rule.comment.is_none());
    let unseen = observed
        .difference(&made)
        .map(|&name| name.to_owned())
        .collect();
    let run = |run: &evidence::Run| Ran {
        command: run.command.join(" "),
        kernel: run.kernel.clone(),
        tasks: run.tasks,
        calls: run
            .calls
            .iter()
            .fold(0, |sum, seen| sum.saturating_add(seen.count)),
        distinct: run.calls.len(),
        complete: run.complete,
        free: run.ran_free,
    };
    Seen {
        runs: evidence.runs.iter().map(run).collect(),
        estimate: Estimate::of(evidence),
        programs: programs(&needs),
        needs,
        unseen,
        denied: denied.into_iter().collect(),
    }
}

impl First {
    fn of(first: &evidence::First, run: usize) -> Self {
        Self {
            run,
            ms: first.ms,
            executable: first.executable.clone(),
        }
    }
}

fn programs(needs: &[Need]) -> Vec<Program> {
    let mut programs: BTreeMap<&str, Program> = BTreeMap::new();
    for need in needs {
        for path in &need.executables {
            let program = programs.entry(path).or_insert_with(|| Program {
                path: path.clone(),
                calls: 0,
                alone: Vec::new(),
            });
            program.calls += 1;
            if need.executables.len() == 1 {
                program.alone.push(need.name.clone());
            }
        }
    }
    let mut programs: Vec<Program> = programs.into_values().collect();
    programs.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.path.cmp(&b.path)));
    for program in &mut programs {
        program.alone.sort_unstable();
    }
    programs
}

fn beside(
    name: &str,
    here: &BTreeMap<&'static str, Access>,
    there: &BTreeMap<&'static str, Access>,
) -> Beside {
    let only = |a: &BTreeMap<&'static str, Access>, b| {
        let names = a
            .keys()
            .filter(|name| may_run(a, name) && !may_run(b, name));
        names.map(|&name| name.to_owned()).collect()
    };
    Beside {
        name: name.to_owned(),
        allowed: there.keys().filter(|name| may_run(there, name)).count(),
        only_here: only(here, there),
        only_there: only(there, here),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Capabilities, Dialect, Host, KernelVersion, Reading};

    fn explained(text: &str, other: Option<&str>, evidence: Option<&Evidence>) -> Explanation {
        let host = Host {
            native: Arch::X86_64,
            kernel: KernelVersion { major: 6, minor: 1 },
            caps: Capabilities::NONE,
        };
        let parse = |text: &str| Profile::parse(text.as_bytes(), "p").expect(text).0;
        let policy =
            |profile: &Profile| profile.resolve(&host, &Reading::default()).unwrap().policy;
        let whole = parse(text);
        let plain = whole.plain(&host, Dialect::Docker).unwrap();
        let other = other.map(|text| policy(&parse(text)));
        Explanation::of(&Subject {
            name: "p",
            plain: &plain,
            whole: &whole,
            policy: &policy(&whole),
            notes: &[],
            evidence,
            beside: other.as_ref().map(|policy| ("other", policy)),
        })
    }

    fn rules(rules: &str) -> String {
        format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{rules}]}}"#)
    }

    #[test]
    fn calls_are_free_conditional_or_denied() {
        let allow =
            |args: &str| format!(r#"{{"names":["socket"],"action":"SCMP_ACT_ALLOW"{args}}}"#);
        let deny = |args: &str| {
            format!(r#"{{"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":22{args}}}"#)
        };
        let unix = r#","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]"#;
        for (text, want) in [
            (rules(&allow("")), (1, 0)),
            (rules(&allow(unix)), (0, 1)),
            (rules(""), (0, 0)),
            (rules(&deny(unix)), (0, 0)),
            (
                format!(
                    r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{}]}}"#,
                    deny(unix)
                ),
                (20, 1),
            ),
        ] {
            let explained = explained(&text, None, None);
            let network = explained
                .groups
                .iter()
                .find(|share| share.group == Group::Network)
                .unwrap();
            let found = (network.always.len(), network.sometimes.len());
            let socket_only = want.0 < 2;
            if socket_only {
                assert_eq!(found, want, "{text}");
            } else {
                assert_eq!((found.1, network.never.len()), (1, 0), "{text}");
            }
        }
    }

    #[test]
    fn the_rest_is_told_apart() {
        let text = rules(
            r#"{"names":["read","io_uring_setup"],"action":"SCMP_ACT_ALLOW"},
            {"names":["exit"],"action":"SCMP_ACT_ALLOW","comment":"added: it ends"},
            {"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38},
            {"names":["syscall_999"],"action":"SCMP_ACT_ALLOW"},
            {"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":16,"op":"SCMP_CMP_EQ"}]}"#,
        );
        let other = rules(r#"{"names":["read","write"],"action":"SCMP_ACT_ALLOW"}"#);
        let seen = r#"{"version":1,"runs":[{"command":["a","b"],"started":1,"seconds":1.0,"kernel":"6.1","end":"exited 0",
            "tasks":1,"filtered":false,"complete":true,"notes":[],"calls":[{"arch":"x86_64","nr":0,"count":3},
            {"arch":"x86_64","nr":1,"count":9},{"arch":"x86","nr":1,"count":1}]}]}"#;
        let evidence = Evidence::parse(seen.as_bytes(), "e").unwrap();
        let told = explained(&text, Some(&other), Some(&evidence));
        assert_eq!(told.allowed(), 4);
        assert_eq!(told.unnamed, ["x86_64:syscall_999"]);
        assert_eq!(told.conditions[0].when, "the domain is AF_NETLINK (16)");
        assert_eq!(
            told.conditions[0].place.path.as_deref(),
            Some("syscalls[4]")
        );
        assert_eq!(
            (told.answers.len(), told.answers[0].action),
            (1, Action::Errno(38))
        );
        let dangers: Vec<_> = told
            .dangers
            .iter()
            .map(|danger| (danger.names.join(" "), danger.sometimes))
            .collect();
        assert_eq!(
            dangers,
            [
                ("io_uring_setup".to_owned(), false),
                ("socket".to_owned(), true)
            ]
        );
        assert_eq!((told.observed, told.added.len()), (4, 1));
        let beside = told.beside.unwrap();
        assert_eq!(
            (beside.allowed, beside.only_there),
            (2, vec!["write".to_owned()])
        );
        assert_eq!(beside.only_here, ["exit", "io_uring_setup", "socket"]);
        let seen = told.evidence.unwrap();
        assert_eq!(
            (
                seen.runs.len(),
                seen.runs[0].calls,
                seen.needs[0].name.as_str()
            ),
            (1, 13, "write")
        );
        assert_eq!(seen.unseen, ["io_uring_setup", "socket", "syscall_999"]);
        assert_eq!(seen.denied, ["x86:exit", "x86_64:write"]);
        assert!(seen.programs.is_empty() && seen.needs[0].first.is_none());
    }

    #[test]
    fn who_needed_what_is_told_over_all_runs() {
        let call = |nr: u32, first: &str, files: &str| {
            format!(
                r#"{{"arch":"x86_64","nr":{nr},"count":1,"executables":[{files}],
                "first":{{"ms":7,"executable":"{first}","tid":1}}}}"#
            )
        };
        let run = |calls: &[String]| {
            let calls = calls.join(",");
            format!(
                r#"{{"command":["a"],"started":1,"seconds":1.0,"kernel":"6","end":"exited 0","tasks":1,"filtered":false,
                "complete":true,"notes":[],"calls":[{calls}]}}"#
            )
        };
        let text = format!(
            r#"{{"version":2,"runs":[{},{}]}}"#,
            run(&[call(0, "/a", r#""/a""#), call(1, "/a", r#""/a""#)]),
            run(&[call(1, "/b", r#""/b","/a""#), call(3, "/b", r#""/b""#)]),
        );
        let evidence = Evidence::parse(text.as_bytes(), "e").unwrap();
        let seen = explained(&rules(""), None, Some(&evidence))
            .evidence
            .unwrap();
        let programs: Vec<_> = seen
            .programs
            .iter()
            .map(|program| {
                (
                    program.path.as_str(),
                    program.calls,
                    program.alone.join(" "),
                )
            })
            .collect();
        assert_eq!(
            programs,
            [("/a", 2, "read".to_owned()), ("/b", 2, "close".to_owned())]
        );
        let write = seen.needs.iter().find(|need| need.name == "write").unwrap();
        let first = write.first.as_ref().unwrap();
        assert_eq!(
            (first.run, first.ms, first.executable.as_str()),
            (1, 7, "/a")
        );
        assert_eq!(seen.estimate.expected(), Some(1.0));
    }
}
