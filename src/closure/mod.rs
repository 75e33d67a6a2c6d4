//! From a recording to a profile: what was seen, and what must be added to it.
//!
//! Observed rules stand without a comment; each added group says in its comment why it is there. Nothing
//! else is ever added, but with `--portable` the siblings of what was observed, and with `--for runtime` the calls of
//! container runtimes. Whoever has a recording makes its profile here: the learner, and the readers of other
//! programs' logs.

pub(crate) mod runtime;
mod siblings;

use std::collections::BTreeSet;

use crate::action::Action;
use crate::arch::Arch;
use crate::evidence::Added;
use crate::profile::{Profile, Rule};
use crate::recording::Recording;
use crate::syscall::{Name, Sysno};

/// Names, and the comment of their rule.
type Group = (Vec<String>, Option<String>);

/// Names to add, and the reason, which becomes the rule's comment.
pub(crate) struct Addition {
    pub(crate) names: &'static [&'static str],
    pub(crate) reason: &'static str,
}

/// Without these no program ends, returns from a signal handler or goes on after it was stopped; a run
/// may well not have shown them.
pub(crate) const IMPLICIT: Addition = Addition {
    names: &["exit", "exit_group", "restart_syscall", "rt_sigreturn"],
    reason: "added: every program needs these to end, to return from signal handlers and to go on after a stop",
};

/// The same for 32-bit x86.
pub(crate) const IMPLICIT_32: Addition = Addition {
    names: &["sigreturn"],
    reason: "added: 32-bit programs return from signal handlers with it",
};

/// What the vDSO answers without a syscall: on this clock source, this kernel, outside time namespaces.
/// Elsewhere the same program makes the calls.
pub(crate) const VDSO: Addition = Addition {
    names: &[
        "clock_getres",
        "clock_gettime",
        "getcpu",
        "getrandom",
        "gettimeofday",
        "time",
    ],
    reason: "added: the vDSO answers these without a syscall on this machine, on another it may not",
};

const VDSO_32: Addition = Addition {
    names: &["clock_getres_time64", "clock_gettime64"],
    reason: "added: the 32-bit vDSO answers these without a syscall on this machine, on another it may not",
};

/// Threads that met no contention while learning make no futex call.
const THREADS: Addition = Addition {
    names: &["futex"],
    reason: "added: threads wait for each other with it",
};

/// Are siblings of what was observed wanted too?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Siblings<'b> {
    /// No.
    Left,
    /// Yes, and those of what this base was observed to need.
    Added(Option<&'b Profile>),
}

/// Who will install the filter?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Installer {
    /// This program, as the last thing before it executes the command.
    Entrypoint,
    /// A container runtime, which makes calls of its own under it.
    Runtime,
}

/// The profile that allows what was recorded on a machine of this architecture.
pub(crate) fn profile_of(
    recording: &Recording,
    native: Arch,
    siblings: Siblings<'_>,
    installer: Installer,
) -> Profile {
    let calls = recording.calls();
    let archs: BTreeSet<Arch> = calls
        .iter()
        .map(|(sysno, _)| sysno.arch)
        .chain([native])
        .collect();
    let observed: BTreeSet<String> = calls.iter().map(|(sysno, _)| sysno.to_string()).collect();

    let with_32bit = archs.contains(&Arch::X86);
    let additions = [
        (&IMPLICIT, true),
        (&IMPLICIT_32, with_32bit),
        (&THREADS, recording.threads),
        (&VDSO, true),
        (&VDSO_32, with_32bit),
    ];
    let added = additions
        .into_iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(addition, _)| {
            let missing = |name: &&&str| !observed.contains(**name) && exists(name, &archs);
            let names = addition
                .names
                .iter()
                .filter(missing)
                .map(ToString::to_string);
            (names.collect(), Some(addition.reason.to_owned()))
        });
    let mut groups: Vec<Group> = added.collect();
    if installer == Installer::Runtime {
        for (names, reason) in runtime::groups() {
            let settled = |name: &str| {
                let mut earlier = groups.iter().flat_map(|(names, _)| names);
                observed.contains(name) || earlier.any(|known| known == name)
            };
            let wanted = |name: &&str| !settled(name) && exists(name, &archs);
            let names = names.into_iter().filter(wanted).map(str::to_owned);
            groups.push((names.collect(), Some(reason.to_owned())));
        }
    }
    if let Siblings::Added(base) = siblings {
        groups.extend(inferred(&observed, &archs, &groups, base));
    }
    groups.retain(|(names, _)| !names.is_empty());
    let observed = observed.into_iter().collect();
    Profile::learned(archs, [(observed, None)].into_iter().chain(groups))
}

/// Siblings of what was observed, where there are such calls and nothing speaks against them.
fn inferred(
    observed: &BTreeSet<String>,
    archs: &BTreeSet<Arch>,
    added: &[Group],
    base: Option<&Profile>,
) -> Vec<Group> {
    let mut observed = observed.clone();
    let mut archs = archs.clone();
    let mut settled: BTreeSet<String> = added.iter().flat_map(|(names, _)| names.clone()).collect();
    if let Some(base) = base {
        archs.extend(&base.architectures);
        for rule in &base.rules {
            let names = rule.names.iter().map(ToString::to_string);
            if rule.action != Action::Allow {
                // What was denied for a reason is not opened on a guess.
                settled.extend(names);
            } else if is_observation(rule) {
                observed.extend(names);
            }
        }
    }
    let wanted = |name: &&str| !settled.contains(*name) && exists(name, &archs);
    let groups = siblings::of(&observed).into_iter().map(|(names, reason)| {
        let names = names.into_iter().filter(wanted).map(str::to_owned);
        (names.collect(), Some(reason))
    });
    groups.collect()
}

/// Does the rule allow calls as an earlier run made them: without conditions, and not on a guess?
fn is_observation(rule: &Rule) -> bool {
    let unscoped = rule.includes.is_empty() && rule.excludes.is_empty();
    rule.comment.is_none() && rule.conditions.is_empty() && unscoped
}

/// What a learned profile allows besides what was observed, and why.
pub(crate) fn added(learned: &Profile) -> Vec<Added> {
    let rules = learned.rules.iter();
    let commented = rules.filter_map(|rule| Some((rule, rule.comment.as_ref()?)));
    let each = commented.flat_map(|(rule, reason)| {
        rule.names.iter().map(|name| Added {
            name: name.to_string(),
            reason: reason.clone(),
        })
    });
    each.collect()
}

/// Takes out of a base what denies calls that were learned, so that both have a union: what the command
/// needs is allowed. Returns the names.
pub(crate) fn overrule(base: &mut Profile, learned: &Profile) -> BTreeSet<String> {
    let needed: BTreeSet<&Name> = learned.rules.iter().flat_map(|rule| &rule.names).collect();
    let mut overruled = BTreeSet::new();
    for rule in base
        .rules
        .iter_mut()
        .filter(|rule| rule.action != Action::Allow)
    {
        rule.names.retain(|name| {
            let kept = !needed.contains(name);
            if !kept {
                overruled.insert(name.to_string());
            }
            kept
        });
    }
    base.rules.retain(|rule| !rule.names.is_empty());
    overruled
}

/// Has any of these architectures the call?
fn exists(name: &str, archs: &BTreeSet<Arch>) -> bool {
    archs.iter().any(|&arch| Sysno::parse(arch, name).is_some())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::recording::Sighting;

    fn saw(recording: &mut Recording, sysno: Sysno) {
        let exe = recording.executable("/bin/app");
        let sighting = Sighting {
            sysno,
            args: [0; 6],
            tid: 1,
            exe,
        };
        recording.saw(&sighting, Duration::ZERO);
    }

    fn recording(calls: &[(Arch, &str)]) -> Recording {
        let mut recording = Recording::default();
        for &(arch, name) in calls {
            saw(&mut recording, Sysno::parse(arch, name).unwrap());
        }
        recording
    }

    fn learned(recording: &Recording, siblings: Siblings<'_>) -> Profile {
        profile_of(recording, Arch::NATIVE, siblings, Installer::Entrypoint)
    }

    fn names(profile: &Profile, added: bool) -> BTreeSet<&str> {
        let rules = profile
            .rules
            .iter()
            .filter(|rule| rule.comment.is_some() == added);
        rules
            .flat_map(|rule| rule.names.iter().map(Name::as_str))
            .collect()
    }

    #[test]
    fn observed_and_added_are_kept_apart() {
        let calls = [
            (Arch::X86_64, "read"),
            (Arch::X86_64, "exit_group"),
            (Arch::X86_64, "time"),
        ];
        let profile = learned(&recording(&calls), Siblings::Left);
        assert_eq!(
            names(&profile, false),
            ["exit_group", "read", "time"].into()
        );
        let added = names(&profile, true);
        assert!(
            added.contains("rt_sigreturn") && added.contains("clock_gettime"),
            "{added:?}"
        );
        for not_added in [
            "exit_group",
            "time",
            "futex",
            "sigreturn",
            "clock_gettime64",
        ] {
            assert!(!added.contains(not_added), "{not_added}");
        }
        assert_eq!(profile.architectures, [Arch::NATIVE]);
        let told = super::added(&profile);
        let told_names: BTreeSet<&str> = told.iter().map(|added| added.name.as_str()).collect();
        assert_eq!(told_names, added, "the evidence tells the same");
        assert!(told.iter().all(|added| added.reason.starts_with("added: ")));
    }

    #[test]
    fn threads_and_32_bit_calls_need_more() {
        let mut recording = recording(&[(Arch::X86_64, "read"), (Arch::X86, "read")]);
        recording.threads = true;
        let profile = learned(&recording, Siblings::Left);
        let added = names(&profile, true);
        for name in ["futex", "sigreturn", "clock_gettime64"] {
            assert!(added.contains(name), "{name}");
        }
        assert!(profile.architectures.contains(&Arch::X86));
    }

    #[test]
    fn a_runtime_needs_more_and_each_call_has_one_reason() {
        let mut recording = recording(&[(Arch::X86_64, "read"), (Arch::X86_64, "openat")]);
        recording.threads = true;
        let (left, arch) = (Siblings::Left, Arch::X86_64);
        let without = profile_of(&recording, arch, left, Installer::Entrypoint);
        let with = profile_of(&recording, arch, left, Installer::Runtime);
        let all: Vec<&str> = with
            .rules
            .iter()
            .flat_map(|rule| &rule.names)
            .map(Name::as_str)
            .collect();
        let distinct: BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(all.len(), distinct.len(), "{all:?}");
        for name in ["execve", "capset", "setuid", "setresuid", "pselect6"] {
            assert!(distinct.contains(name), "{name}");
            assert!(!names(&without, true).contains(name), "{name}");
        }
        for name in ["mount", "clone", "ptrace", "socket"] {
            assert!(!distinct.contains(name), "{name}");
        }
        let reason = |name: &str| {
            let told = added(&with);
            let told = told.into_iter().find(|added| added.name == name);
            told.map(|added| added.reason).unwrap_or_default()
        };
        assert!(
            reason("execve").starts_with("runtime: "),
            "{}",
            reason("execve")
        );
        assert!(reason("capset").contains("no_new_privs"));
        assert!(
            reason("futex").starts_with("added: "),
            "the program's own reason comes first"
        );
        assert_eq!(reason("openat"), "", "it was observed");
    }

    #[test]
    fn numbers_without_a_name_are_kept() {
        let mut recording = Recording::default();
        let sysno = Sysno {
            arch: Arch::X86_64,
            nr: 999,
        };
        saw(&mut recording, sysno);
        assert!(names(&learned(&recording, Siblings::Left), false).contains("syscall_999"));
    }

    #[test]
    fn what_was_needed_overrules_a_denial() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["clone3","mount"],"action":"SCMP_ACT_ERRNO","errnoRet":38},
            {"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#;
        let (mut base, _) = Profile::parse(text.as_bytes(), "p").unwrap();
        let learned = learned(&recording(&[(Arch::X86_64, "clone3")]), Siblings::Left);
        assert_eq!(overrule(&mut base, &learned), ["clone3".to_owned()].into());
        let union = Profile::union(&[base, learned]).unwrap();
        let denied = union
            .rules
            .iter()
            .filter(|rule| rule.action != Action::Allow);
        assert_eq!(
            denied.flat_map(|rule| &rule.names).collect::<Vec<_>>(),
            ["mount"]
        );
    }

    /// The names of the rules whose comment says that they are inferred.
    fn inferred(profile: &Profile) -> BTreeSet<&str> {
        let is_inferred = |rule: &&Rule| {
            let comment = rule.comment.as_deref();
            comment.is_some_and(|comment| comment.starts_with("inferred: "))
        };
        let rules = profile.rules.iter().filter(is_inferred);
        rules
            .flat_map(|rule| rule.names.iter().map(Name::as_str))
            .collect()
    }

    #[test]
    fn siblings_are_added_where_they_exist() {
        let calls = [
            (Arch::X86_64, "open"),
            (Arch::X86_64, "poll"),
            (Arch::X86_64, "futex"),
        ];
        let narrow = recording(&calls);
        assert_eq!(inferred(&learned(&narrow, Siblings::Left)), [].into());
        let profile = learned(&narrow, Siblings::Added(None));
        assert_eq!(
            inferred(&profile),
            ["futex_waitv", "openat", "openat2", "ppoll"].into(),
            "no futex_time64, which x86-64 has not"
        );
        let of_each: Vec<_> = profile
            .rules
            .iter()
            .filter(|rule| rule.names.iter().any(|name| name == "openat"))
            .collect();
        assert_eq!(of_each.len(), 1, "in a rule of their own: {of_each:?}");
        assert_eq!(of_each[0].names, ["openat", "openat2"]);

        let mut wide = narrow;
        saw(&mut wide, Sysno::parse(Arch::X86, "clock_settime").unwrap());
        let profile = learned(&wide, Siblings::Added(None));
        let inferred = inferred(&profile);
        for name in ["futex_time64", "clock_settime64"] {
            assert!(inferred.contains(name), "{name}: {inferred:?}");
        }
        assert!(
            !inferred.contains("clock_gettime64"),
            "the vDSO's reason came first"
        );
    }

    #[test]
    fn siblings_of_the_base_are_added_too_but_not_what_it_denies() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38},
            {"names":["mkdir"],"action":"SCMP_ACT_ALLOW"},
            {"names":["chmod"],"action":"SCMP_ACT_ALLOW","comment":"inferred: so"},
            {"names":["dup2"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]},
            {"names":["pipe"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}}]}"#;
        let (base, _) = Profile::parse(text.as_bytes(), "p").unwrap();
        let recording = recording(&[(Arch::X86_64, "clone")]);
        let profile = learned(&recording, Siblings::Added(Some(&base)));
        assert_eq!(inferred(&profile), ["fork", "mkdirat", "vfork"].into());
    }
}
