//! From a recording to a profile: what was seen, and what must be added to it.
//!
//! Observed rules stand without a comment; each added group says in its comment why it is there. Nothing
//! else is ever added. Whoever has a recording makes its profile here: the learner, and the readers of other
//! programs' logs.

use std::collections::BTreeSet;

use crate::action::Action;
use crate::arch::Arch;
use crate::profile::Profile;
use crate::recording::Recording;
use crate::syscall::Sysno;

/// Names to add, and the reason, which becomes the rule's comment.
struct Addition {
    names: &'static [&'static str],
    reason: &'static str,
}

/// Without these no program ends, returns from a signal handler or goes on after it was stopped; a run
/// may well not have shown them.
const IMPLICIT: Addition = Addition {
    names: &["exit", "exit_group", "restart_syscall", "rt_sigreturn"],
    reason: "added: every program needs these to end, to return from signal handlers and to go on after a stop",
};

const IMPLICIT_32: Addition = Addition {
    names: &["sigreturn"],
    reason: "added: 32-bit programs return from signal handlers with it",
};

/// What the vDSO answers without a syscall: on this clock source, this kernel, outside time namespaces.
/// Elsewhere the same program makes the calls.
const VDSO: Addition = Addition {
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

/// The profile that allows what was recorded on a machine of this architecture.
pub(crate) fn profile_of(recording: &Recording, native: Arch) -> Profile {
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
            (names.collect::<Vec<_>>(), Some(addition.reason.to_owned()))
        });
    let groups: Vec<_> = added.filter(|(names, _)| !names.is_empty()).collect();
    let observed = observed.into_iter().collect();
    Profile::learned(archs, [(observed, None)].into_iter().chain(groups))
}

/// Takes out of a base what denies calls that were learned, so that both have a union: what the command
/// needs is allowed. Returns the names.
pub(crate) fn overrule(base: &mut Profile, learned: &Profile) -> BTreeSet<String> {
    let needed: BTreeSet<&String> = learned.rules.iter().flat_map(|rule| &rule.names).collect();
    let mut overruled = BTreeSet::new();
    for rule in base
        .rules
        .iter_mut()
        .filter(|rule| rule.action != Action::Allow)
    {
        rule.names.retain(|name| {
            let kept = !needed.contains(name);
            if !kept {
                overruled.insert(name.clone());
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
    use super::*;

    fn recording(calls: &[(Arch, &str)]) -> Recording {
        let mut recording = Recording::default();
        for &(arch, name) in calls {
            recording.count(Sysno::parse(arch, name).unwrap());
        }
        recording
    }

    fn names(profile: &Profile, added: bool) -> BTreeSet<&str> {
        let rules = profile
            .rules
            .iter()
            .filter(|rule| rule.comment.is_some() == added);
        rules
            .flat_map(|rule| rule.names.iter().map(String::as_str))
            .collect()
    }

    #[test]
    fn observed_and_added_are_kept_apart() {
        let calls = [
            (Arch::X86_64, "read"),
            (Arch::X86_64, "exit_group"),
            (Arch::X86_64, "time"),
        ];
        let profile = profile_of(&recording(&calls), Arch::NATIVE);
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
    }

    #[test]
    fn threads_and_32_bit_calls_need_more() {
        let mut recording = recording(&[(Arch::X86_64, "read"), (Arch::X86, "read")]);
        recording.threads = true;
        let profile = profile_of(&recording, Arch::NATIVE);
        let added = names(&profile, true);
        for name in ["futex", "sigreturn", "clock_gettime64"] {
            assert!(added.contains(name), "{name}");
        }
        assert!(profile.architectures.contains(&Arch::X86));
    }

    #[test]
    fn numbers_without_a_name_are_kept() {
        let mut recording = Recording::default();
        recording.count(Sysno {
            arch: Arch::X86_64,
            nr: 999,
        });
        assert!(names(&profile_of(&recording, Arch::NATIVE), false).contains("syscall_999"));
    }

    #[test]
    fn what_was_needed_overrules_a_denial() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["clone3","mount"],"action":"SCMP_ACT_ERRNO","errnoRet":38},
            {"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#;
        let (mut base, _) = Profile::parse(text.as_bytes(), "p").unwrap();
        let learned = profile_of(&recording(&[(Arch::X86_64, "clone3")]), Arch::NATIVE);
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
}
