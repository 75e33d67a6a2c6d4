//! Which calls a reporting filter asks the launcher about.

use crate::action::Action;
use crate::policy::{Abi, Condition, Newer, Op, Policy, Rule, Rules, Width};
use crate::syscall::Sysno;

/// The same policy for a filter with a listener: what it allows runs as before, everything else is asked.
///
/// Asking is always safe: the launcher answers what `policy` says, and without a launcher the kernel refuses the
/// call. So a few calls that are allowed are asked, too: those that make later calls invisible
/// ([`hides_calls`]).
///
/// A listener can be outdone by one that is installed later, which answers first when ours is gone. So no other can be
/// installed: `seccomp(2)` with `NEW_LISTENER` fails with `EBUSY`, as it does in the kernel while ours lives.
///
/// A trapped call is asked only where a signal does not interrupt the call that is asked (`is_patient`): it gets one while
/// it waits.
pub(super) fn asking(policy: &Policy, is_patient: bool) -> Policy {
    let asked = |action| match action {
        Action::Allow => Action::Allow,
        Action::Trap if !is_patient => Action::Trap,
        _ => Action::Notify,
    };
    Policy {
        abis: policy
            .abis
            .iter()
            .map(|abi| asking_abi(abi, asked))
            .collect(),
        bad_arch: asked(policy.bad_arch),
    }
}

fn asking_abi(abi: &Abi, asked: impl Fn(Action) -> Action) -> Abi {
    // What comes first decides.
    let watched = WATCHED.iter().filter_map(|watched| watched.rule(abi));
    let others = abi.syscalls.iter().flat_map(|(nr, rules)| {
        let asking = |rule: &Rule| Rule {
            conditions: rule.conditions.clone(),
            action: asked(rule.action),
            ..*rule
        };
        rules.iter().map(move |rule| (nr, asking(rule)))
    });
    let syscalls: Rules = watched
        .chain(others)
        .map(|(nr, rule)| (nr, [rule]))
        .collect();
    Abi {
        arch: abi.arch,
        default: asked(abi.default),
        newer: abi.newer.map(|newer| Newer {
            action: asked(newer.action),
            ..newer
        }),
        syscalls,
    }
}

/// Does this call, where it runs, make later ones invisible to the filter? Operations in an `io_uring` are no syscalls;
/// what the program's own filter answers does not come to ours.
pub(super) fn hides_calls(sysno: Sysno, args: &[u64; 6]) -> Option<Hides> {
    let name = sysno.name()?;
    let mut watched = WATCHED.iter().filter(|watched| watched.name == name);
    let found = watched.find(|watched| watched.conditions().all(|(_, is)| is.holds(args)));
    found.and_then(|watched| watched.hides)
}

/// Why later calls are not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Hides {
    /// They are operations of an `io_uring`.
    Ring,
    /// The program's own filter answers them.
    OwnFilter,
}

/// A call that is treated apart from what the policy says.
struct Watched {
    name: &'static str,
    /// Arguments and the bits that must be set or equal in them.
    given: &'static [(u8, Op, u64)],
    action: Action,
    hides: Option<Hides>,
}

const EBUSY: u16 = 16;

/// In the order in which they are tried.
const WATCHED: [Watched; 4] = [
    Watched {
        name: "seccomp",
        given: &[
            (0, Op::Eq, libc::SECCOMP_SET_MODE_FILTER as u64),
            (1, Op::MaskedEq(LISTENER), LISTENER),
        ],
        action: Action::Errno(EBUSY),
        hides: None,
    },
    Watched {
        name: "seccomp",
        given: &[(0, Op::Le, libc::SECCOMP_SET_MODE_FILTER as u64)],
        action: Action::Notify,
        hides: Some(Hides::OwnFilter),
    },
    Watched {
        name: "prctl",
        given: &[(0, Op::Eq, libc::PR_SET_SECCOMP as u64)],
        action: Action::Notify,
        hides: Some(Hides::OwnFilter),
    },
    Watched {
        name: "io_uring_setup",
        given: &[],
        action: Action::Notify,
        hides: Some(Hides::Ring),
    },
];

const LISTENER: u64 = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;

impl Watched {
    fn conditions(&self) -> impl Iterator<Item = (u8, Condition)> {
        let condition = |&(arg, op, value)| {
            // The kernel takes all of them as 32 bits.
            Some((arg, Condition::new(arg, Width::W32, op, value)?))
        };
        self.given.iter().filter_map(condition)
    }

    /// The rule that comes before those of the architecture, where they let such a call run. (Where they never do, it is
    /// reported like any other.)
    fn rule(&self, abi: &Abi) -> Option<(u32, Rule)> {
        let nr = Sysno::parse(abi.arch, self.name)?.nr;
        let mut rules = abi.syscalls.get(nr).unwrap_or_default().iter();
        let runs =
            abi.fallback(nr).0 == Action::Allow || rules.any(|rule| rule.action == Action::Allow);
        let rule = Rule {
            conditions: self.conditions().map(|(_, condition)| condition).collect(),
            action: self.action,
            origin: OWN,
        };
        runs.then_some((nr, rule))
    }
}

/// The origin of rules that no profile has.
const OWN: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::policy::Call;

    fn policy(default: Action) -> Policy {
        let rule = |conditions: Vec<Condition>, action, origin| Rule {
            conditions,
            action,
            origin,
        };
        let zero = Condition::new(0, Width::W32, Op::Eq, 0).unwrap();
        let nr = |name| Sysno::parse(Arch::X86_64, name).unwrap().nr;
        let abi = Abi {
            arch: Arch::X86_64,
            default,
            newer: None,
            syscalls: [
                (nr("read"), vec![rule(vec![], Action::Allow, 0)]),
                (nr("prctl"), vec![rule(vec![], Action::Allow, 1)]),
                (nr("kill"), vec![rule(vec![zero], Action::Allow, 2)]),
                (nr("mount"), vec![rule(vec![], Action::Log, 3)]),
            ]
            .into(),
        };
        Policy {
            abis: vec![abi],
            bad_arch: Action::KillProcess,
        }
    }

    fn answer(policy: &Policy, name: &str, args: [u64; 2]) -> Action {
        let sysno = Sysno::parse(Arch::X86_64, name).unwrap();
        policy.evaluate(&Call {
            audit: sysno.arch.audit(),
            nr: sysno.nr,
            args: [args[0], args[1], 0, 0, 0, 0],
        })
    }

    #[test]
    fn what_is_allowed_runs_and_the_rest_is_asked() {
        let strict = asking(&policy(Action::Errno(1)), true);
        let lax = asking(&policy(Action::Allow), true);
        let (notify, allow, busy) = (Action::Notify, Action::Allow, Action::Errno(EBUSY));
        let cases = [
            ("read", [0, 0], allow, allow),
            ("kill", [0, 0], allow, allow),
            ("kill", [1, 0], notify, allow),
            ("mount", [0, 0], notify, notify),
            ("getppid", [0, 0], notify, allow),
            ("prctl", [1, 0], allow, allow),
            ("prctl", [22, 2], notify, notify),
            ("seccomp", [1, 0], notify, notify),
            ("seccomp", [1, 8], notify, busy),
            ("seccomp", [1, 9], notify, busy),
            ("seccomp", [1 << 32 | 1, 1 << 32 | 9], notify, busy),
            ("seccomp", [2, 8], notify, allow),
            ("io_uring_setup", [1, 0], notify, notify),
        ];
        for (name, args, want_strict, want_lax) in cases {
            assert_eq!(answer(&strict, name, args), want_strict, "{name} {args:?}");
            assert_eq!(answer(&lax, name, args), want_lax, "{name} {args:?}");
        }
        assert_eq!(strict.bad_arch, Action::Notify);
    }

    #[test]
    fn a_trapped_call_is_asked_where_it_can_be_sent_a_signal() {
        let trapping = policy(Action::Trap);
        for (is_patient, want) in [(true, Action::Notify), (false, Action::Trap)] {
            let asking = asking(&trapping, is_patient);
            assert_eq!(answer(&asking, "getppid", [0, 0]), want);
            assert_eq!(answer(&asking, "mount", [0, 0]), Action::Notify);
        }
    }

    #[test]
    fn what_hides_calls_is_known_by_name_and_arguments() {
        let cases = [
            ("seccomp", 1, Some(Hides::OwnFilter)),
            ("seccomp", 2, None),
            ("prctl", 22, Some(Hides::OwnFilter)),
            ("prctl", 15, None),
            ("io_uring_setup", 9, Some(Hides::Ring)),
            ("read", 1, None),
        ];
        for (name, first, want) in cases {
            let sysno = Sysno::parse(Arch::X86_64, name).unwrap();
            let args = [first, 0, 0, 0, 0, 0];
            assert_eq!(hides_calls(sysno, &args), want, "{name} {first}");
        }
    }
}
