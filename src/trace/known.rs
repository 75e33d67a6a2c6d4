//! The learner's own filter: what is known runs free, the rest comes to us.
//!
//! It is made by the same compiler as every other filter. A few calls are never let through unseen, because
//! their arguments tell what the learner must know.

use std::collections::BTreeSet;

use crate::action::Action;
use crate::arch::Arch;
use crate::policy::{Abi, Condition, Op, Policy, Rule, Rules, Width};
use crate::syscall::Sysno;

/// What the learner knows already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The calls that are known.
    pub(crate) calls: BTreeSet<Sysno>,
    /// It is known that there are threads.
    pub(crate) threads: bool,
}

/// The message by which our stops are told from those that a filter of the program's own asks for.
pub(super) const MARK: u16 = 0x5eca;

/// How the rest comes to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// To a listener. The process need not be traced any more.
    Notify,
    /// In a stop. The process stays traced, and so must its children.
    Stop,
}

impl Unknown {
    const fn action(self) -> Action {
        match self {
            Self::Notify => Action::Notify,
            Self::Stop => Action::Trace(MARK),
        }
    }
}

/// The policy of a learner.
pub(crate) fn policy(known: &Known, unknown: Unknown) -> Policy {
    let mut archs = BTreeSet::from([Arch::NATIVE]);
    archs.extend(known.calls.iter().map(|sysno| sysno.arch));
    // x32 shares its audit value with x86-64 and is only understood beside it, which is native where it runs.
    let abi = |arch| Abi {
        arch,
        default: unknown.action(),
        newer: None,
        syscalls: rules(known, arch, unknown),
    };
    let mut abis: Vec<Abi> = archs.into_iter().map(abi).collect();
    abis.sort_by_key(|abi| abi.arch != Arch::NATIVE);
    Policy {
        abis,
        bad_arch: unknown.action(),
    }
}

fn rules(known: &Known, arch: Arch, unknown: Unknown) -> Rules {
    let of_arch = known.calls.iter().filter(|sysno| sysno.arch == arch);
    // A stop or a signal while it waits for us makes a program call it, or not: it says nothing.
    let restart = Sysno::parse(arch, "restart_syscall");
    let free = of_arch.copied().chain(restart);
    // That there are threads matters for what they need, and that is known already where they have needed it.
    let futex = Sysno::parse(arch, "futex");
    let threads = known.threads || futex.is_some_and(|futex| known.calls.contains(&futex));
    free.map(|sysno| (sysno.nr, rules_of(sysno, threads, unknown)))
        .collect()
}

/// A known call's rules: it is free, but for what must be seen all the same.
fn rules_of(sysno: Sysno, threads: bool, unknown: Unknown) -> Vec<Rule> {
    let clone_thread = u64::from(libc::CLONE_THREAD.cast_unsigned());
    let untraced = u64::from(libc::CLONE_UNTRACED.cast_unsigned());
    let set_seccomp = u64::from(libc::PR_SET_SECCOMP.cast_unsigned());
    let flag = |flag| Condition::new(0, Width::W64, Op::MaskedEq(flag), flag);
    let stops = unknown == Unknown::Stop;
    let seen: Vec<Condition> = match sysno.name() {
        // Filters and listeners of the program's own.
        Some("seccomp") => return Vec::new(),
        Some("prctl") => {
            let operation = Condition::new(0, Width::W32, Op::Eq, set_seccomp);
            operation.into_iter().collect()
        }
        // A child that hides from tracers hides from stops, but not from a listener.
        Some("clone") => {
            let wanted = [(!threads, clone_thread), (stops, untraced)];
            let wanted = wanted.into_iter().filter(|(wanted, _)| *wanted);
            wanted.filter_map(|(_, bit)| flag(bit)).collect()
        }
        // Its flags are in memory, where no filter looks.
        Some("clone3") if !threads || stops => return Vec::new(),
        // A traced process cannot be traced by another; who wants to must be told of.
        Some("ptrace") if stops => return Vec::new(),
        _ => Vec::new(),
    };
    let rule = |conditions, action| Rule {
        conditions,
        action,
        origin: 0,
    };
    let seen = seen
        .into_iter()
        .map(|condition| rule(vec![condition], unknown.action()));
    seen.chain([rule(Vec::new(), Action::Allow)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Filter, Options};
    use crate::policy::Call;

    fn known(names: &[&str], threads: bool) -> Known {
        let calls = names
            .iter()
            .map(|name| Sysno::parse(Arch::NATIVE, name).unwrap());
        Known {
            calls: calls.collect(),
            threads,
        }
    }

    fn answer(policy: &Policy, name: &str, first: u64) -> Action {
        let sysno = Sysno::parse(Arch::NATIVE, name).unwrap();
        policy.evaluate(&Call {
            audit: Arch::NATIVE.audit(),
            nr: sysno.nr,
            args: [first, 0, 0, 0, 0, 0],
        })
    }

    #[test]
    fn what_is_known_is_free_but_for_what_must_be_seen() {
        const THREAD: u64 = 0x1_0000;
        const UNTRACED: u64 = 0x80_0000;
        let names = ["read", "seccomp", "prctl", "clone", "clone3", "ptrace"];
        let (free, notify, stop) = (Action::Allow, Action::Notify, Action::Trace(MARK));
        let cases = [
            ("read", 0, false, free, free),
            ("write", 0, false, notify, stop),
            ("restart_syscall", 0, false, free, free),
            ("seccomp", 1, true, notify, stop),
            ("prctl", 15, false, free, free),
            ("prctl", 22, true, notify, stop),
            ("prctl", 0x1_0000_0016, true, notify, stop),
            ("clone", 17, false, free, free),
            ("clone", THREAD, false, notify, stop),
            ("clone", THREAD, true, free, free),
            ("clone", UNTRACED | 0x11, true, free, stop),
            ("clone3", 0, false, notify, stop),
            ("clone3", 0, true, free, stop),
            ("ptrace", 0, true, free, stop),
        ];
        for (name, first, threads, notified, stopped) in cases {
            let known = known(&names, threads);
            for (unknown, want) in [(Unknown::Notify, notified), (Unknown::Stop, stopped)] {
                let policy = policy(&known, unknown);
                assert_eq!(
                    answer(&policy, name, first),
                    want,
                    "{name} {first:#x} {threads} {unknown:?}"
                );
                Filter::compile(&policy, &Options::default()).unwrap();
            }
        }
    }

    #[test]
    fn other_architectures_come_to_us_until_their_calls_are_known() {
        let mut known = known(&["read"], true);
        let int80 = Sysno::parse(Arch::X86, "getpid").unwrap();
        let call = Call {
            audit: Arch::X86.audit(),
            nr: int80.nr,
            args: [0; 6],
        };
        let x32 = Call {
            audit: Arch::X86_64.audit(),
            nr: crate::arch::X32_BIT,
            args: [0; 6],
        };
        let before = policy(&known, Unknown::Notify);
        assert_eq!(before.evaluate(&call), Action::Notify);
        assert_eq!(before.evaluate(&x32), Action::Notify);
        known.calls.insert(int80);
        let after = policy(&known, Unknown::Notify);
        assert_eq!(after.evaluate(&call), Action::Allow);
        assert_eq!(after.evaluate(&x32), Action::Notify);
        Filter::compile(&after, &Options::default()).unwrap();
    }
}
