//! From a recording to a profile: what was seen, and what must be added to it.
//!
//! Observed rules stand without a comment; each added group says in its comment why it is there. Nothing
//! else is ever added.

use std::collections::BTreeSet;

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

/// The profile that allows what was recorded.
pub(crate) fn profile_of(recording: &Recording) -> Profile {
    let calls = recording.calls();
    let archs: BTreeSet<Arch> = calls
        .iter()
        .map(|(sysno, _)| sysno.arch)
        .chain([Arch::NATIVE])
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

/// Has any of these architectures the call?
fn exists(name: &str, archs: &BTreeSet<Arch>) -> bool {
    archs.iter().any(|&arch| Sysno::parse(arch, name).is_some())
}
