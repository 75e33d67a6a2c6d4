//! A policy: the rules of a profile, resolved for one host.
//!
//! This is the waist of the way from JSON to BPF: `profile` makes policies, `filter` compiles them, and
//! neither knows the other. Everything that depends on the host (which architectures, which capabilities,
//! which kernel) is decided here, and the order of rules is final: **the first that matches decides**.
//!
//! [`Policy::evaluate`] is the plain reading of a policy. It is kept free of every cleverness, because it
//! is the truth that compiled programs are checked against.

mod rules;

use std::collections::BTreeMap;

use crate::action::Action;
use crate::arch::Arch;
use crate::syscall::Sysno;

pub(crate) use rules::same;
pub use rules::{Alike, Rules, settled};

/// Rules for every architecture that may make calls, and the answer to those that may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// One entry per architecture, the native one first. No architecture twice; x32 only beside x86-64.
    pub abis: Vec<Abi>,
    /// What calls of any other architecture get.
    pub bad_arch: Action,
}

/// The rules of one architecture: a total map from syscall and arguments to action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abi {
    /// Whose calls these rules are for.
    pub arch: Arch,
    /// What a call gets that no rule matches.
    pub default: Action,
    /// What numbers newer than the profile knows get instead of the default, where that differs.
    pub newer: Option<Newer>,
    /// The rules of each syscall, by the kernel's number (with the x32 bit on x32).
    pub syscalls: Rules,
}

/// The answer to calls from a number on: kernels grow, profiles do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newer {
    /// The first number that is newer than everything the profile names (with the x32 bit on x32).
    pub from: u32,
    /// What it gets.
    pub action: Action,
}

/// An action, and when it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// All must hold; none means always.
    pub conditions: Vec<Condition>,
    /// What a matching call gets.
    pub action: Action,
    /// Where the rule came from: the index in the profile's `syscalls`.
    pub origin: usize,
}

/// A comparison of one syscall argument with a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    arg: u8,
    width: Width,
    op: Op,
    value: u64,
}

/// How much of an argument register a comparison sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// The low 32 bits: what the kernel itself uses of an `int`, and all that a 32-bit ABI has.
    W32,
    /// The whole register.
    W64,
}

/// How an argument is compared; numbers are unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Not equal.
    Ne,
    /// Less than.
    Lt,
    /// Less than or equal.
    Le,
    /// Equal.
    Eq,
    /// Greater than or equal.
    Ge,
    /// Greater than.
    Gt,
    /// Equal in the bits of this mask.
    MaskedEq(u64),
}

impl Condition {
    /// A comparison of argument `arg` (0 to 5); `None` for any other index.
    ///
    /// What a 32-bit comparison cannot see is dropped: constant and mask are cut to 32 bits, and a masked
    /// comparison ignores the bits outside its mask.
    pub fn new(arg: u8, width: Width, op: Op, value: u64) -> Option<Self> {
        let seen = width.mask();
        let (op, value) = match op {
            Op::MaskedEq(mask) => (Op::MaskedEq(mask & seen), value & mask & seen),
            plain => (plain, value & seen),
        };
        (arg < 6).then_some(Self {
            arg,
            width,
            op,
            value,
        })
    }

    /// The argument's index, 0 to 5.
    pub const fn arg(self) -> u8 {
        self.arg
    }

    /// How much of the argument is compared.
    pub const fn width(self) -> Width {
        self.width
    }

    /// The comparison.
    pub const fn op(self) -> Op {
        self.op
    }

    /// The constant, already cut to [`Condition::width`].
    pub const fn value(self) -> u64 {
        self.value
    }

    /// Does it hold for these arguments?
    pub fn holds(self, args: &[u64; 6]) -> bool {
        let arg = args.get(usize::from(self.arg)).copied().unwrap_or_default() & self.width.mask();
        match self.op {
            Op::Ne => arg != self.value,
            Op::Lt => arg < self.value,
            Op::Le => arg <= self.value,
            Op::Eq => arg == self.value,
            Op::Ge => arg >= self.value,
            Op::Gt => arg > self.value,
            Op::MaskedEq(mask) => arg & mask == self.value,
        }
    }
}

impl Width {
    /// The bits that a comparison of this width sees.
    pub const fn mask(self) -> u64 {
        match self {
            Self::W32 => 0xffff_ffff,
            Self::W64 => u64::MAX,
        }
    }
}

/// One syscall as a filter sees it (`struct seccomp_data` without the instruction pointer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// `AUDIT_ARCH_*` of the caller.
    pub audit: u32,
    /// The number, with the x32 bit on x32.
    pub nr: u32,
    /// The six argument registers. A 32-bit caller's upper halves are zero.
    pub args: [u64; 6],
}

/// Why a call gets its action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A rule matched: its [`Rule::origin`].
    Rule(usize),
    /// No rule matched.
    Default,
    /// The number is newer than the profile ([`Abi::newer`]).
    Newer,
    /// The architecture is not in the policy.
    BadArch,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rule(origin) => write!(f, "syscalls[{origin}]"),
            Self::Default => f.write_str("the default action"),
            Self::Newer => f.write_str("newer than every syscall that the profile names"),
            Self::BadArch => f.write_str("its architecture is not listed"),
        }
    }
}

/// What a policy says about one number, arguments left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About<'p> {
    rules: &'p [Rule],
    otherwise: (Action, Reason),
}

impl Policy {
    /// What this call gets.
    pub fn evaluate(&self, call: &Call) -> Action {
        self.decide(call).0
    }

    /// What this call gets, and why.
    pub fn decide(&self, call: &Call) -> (Action, Reason) {
        self.about(call.audit, call.nr).decide(&call.args)
    }

    /// Everything that is said about calls of this number.
    pub fn about(&self, audit: u32, nr: u32) -> About<'_> {
        let abi = Arch::of_call(audit, nr).and_then(|arch| self.abi(arch));
        match abi {
            Some(abi) => About {
                rules: abi.syscalls.get(nr).unwrap_or_default(),
                otherwise: abi.fallback(nr),
            },
            None => About {
                rules: &[],
                otherwise: (self.bad_arch, Reason::BadArch),
            },
        }
    }

    /// The rules of an architecture, if it is in the policy.
    pub fn abi(&self, arch: Arch) -> Option<&Abi> {
        self.abis.iter().find(|abi| abi.arch == arch)
    }

    /// Is the call allowed whatever its arguments?
    pub fn always_allows(&self, sysno: Sysno) -> bool {
        let Some(abi) = self.abi(sysno.arch) else {
            return self.bad_arch == Action::Allow;
        };
        let rules = abi.syscalls.get(sysno.nr).unwrap_or_default();
        for rule in rules {
            match (rule.action, rule.conditions.is_empty()) {
                (Action::Allow, true) => return true,
                (Action::Allow, false) => {}
                _ => return false,
            }
        }
        abi.fallback(sysno.nr).0 == Action::Allow
    }

    /// Every action that the policy can give, once each.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = vec![self.bad_arch];
        let of_abi = |abi: &Abi| {
            let fallbacks = [Some(abi.default), abi.newer.map(|newer| newer.action)];
            fallbacks.into_iter().flatten()
        };
        let all = self.abis.iter().flat_map(|abi| {
            let rules = abi.syscalls.all().iter().map(|rule| rule.action);
            of_abi(abi).chain(rules)
        });
        for action in all {
            if !actions.contains(&action) {
                actions.push(action);
            }
        }
        actions.sort_unstable();
        actions
    }
}

impl About<'_> {
    /// Does the other one give calls with the same arguments the same action?
    pub(crate) fn decides_like(&self, other: &Self) -> bool {
        self.otherwise.0 == other.otherwise.0 && same(self.rules, other.rules)
    }

    /// The arguments that rules look at, as far as any of them looks.
    pub fn looked_at(&self, args: &[u64; 6]) -> Vec<(u8, u64)> {
        let conditions = self.rules.iter().flat_map(|rule| &rule.conditions);
        let mut seen: BTreeMap<u8, u64> = BTreeMap::new();
        for condition in conditions {
            *seen.entry(condition.arg).or_default() |= condition.width.mask();
        }
        let value = |arg: u8| args.get(usize::from(arg)).copied().unwrap_or_default();
        seen.into_iter()
            .map(|(arg, mask)| (arg, value(arg) & mask))
            .collect()
    }

    /// What the call with these arguments gets, and why.
    pub fn decide(&self, args: &[u64; 6]) -> (Action, Reason) {
        let matches = |rule: &&Rule| {
            let mut conditions = rule.conditions.iter();
            conditions.all(|condition| condition.holds(args))
        };
        self.rules
            .iter()
            .find(matches)
            .map_or(self.otherwise, |rule| {
                (rule.action, Reason::Rule(rule.origin))
            })
    }
}

impl Abi {
    /// What a number gets when no rule matches. -1 is no syscall, so it is not a newer one either.
    pub fn fallback(&self, nr: u32) -> (Action, Reason) {
        match self.newer {
            Some(newer) if nr >= newer.from && nr != u32::MAX => (newer.action, Reason::Newer),
            _ => (self.default, Reason::Default),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::X32_BIT;

    fn condition(width: Width, op: Op, value: u64) -> Condition {
        Condition::new(0, width, op, value).unwrap()
    }

    #[test]
    fn conditions_compare_unsigned_in_their_width() {
        use Width::{W32, W64};
        const HIGH: u64 = 0x1_0000_0000;
        let cases = [
            (W64, Op::Eq, 5, 5, true),
            (W64, Op::Eq, 5, HIGH | 5, false),
            (W32, Op::Eq, 5, HIGH | 5, true),
            (W32, Op::Eq, HIGH | 5, 5, true),
            (W64, Op::Ne, 5, HIGH | 5, true),
            (W32, Op::Ne, 5, HIGH | 5, false),
            (W64, Op::Lt, HIGH, u64::MAX, false),
            (W32, Op::Lt, HIGH, 0, false),
            (W64, Op::Le, HIGH, HIGH, true),
            (W64, Op::Gt, HIGH, HIGH, false),
            (W64, Op::Ge, HIGH, HIGH, true),
            (W64, Op::Gt, 5, HIGH, true),
            (W32, Op::Gt, 5, HIGH, false),
            (W64, Op::MaskedEq(0xff), 0x105, 0x205, true),
            (W64, Op::MaskedEq(HIGH), HIGH, 5, false),
            (W32, Op::MaskedEq(HIGH), HIGH, 5, true),
            (W64, Op::MaskedEq(0), 1, 2, true),
        ];
        for (width, op, value, arg, want) in cases {
            let got = condition(width, op, value).holds(&[arg, 0, 0, 0, 0, 0]);
            assert_eq!(got, want, "{width:?} {op:?} {value:#x} with {arg:#x}");
        }
        assert_eq!(Condition::new(6, W64, Op::Eq, 0), None);
    }

    fn rule(conditions: &[Condition], action: Action, origin: usize) -> Rule {
        Rule {
            conditions: conditions.to_vec(),
            action,
            origin,
        }
    }

    fn sample() -> Policy {
        let first = rule(&[condition(Width::W64, Op::Eq, 1)], Action::Errno(5), 3);
        let then = rule(&[], Action::Allow, 4);
        let abi = Abi {
            arch: Arch::X86_64,
            default: Action::Errno(1),
            newer: Some(Newer {
                from: 300,
                action: Action::Errno(38),
            }),
            syscalls: [(7, vec![first, then])].into(),
        };
        Policy {
            abis: vec![abi],
            bad_arch: Action::KillProcess,
        }
    }

    #[test]
    fn the_first_match_decides() {
        let audit = Arch::X86_64.audit();
        let cases = [
            (audit, 7, 1, Action::Errno(5), Reason::Rule(3)),
            (audit, 7, 2, Action::Allow, Reason::Rule(4)),
            (audit, 8, 1, Action::Errno(1), Reason::Default),
            (audit, 300, 1, Action::Errno(38), Reason::Newer),
            (audit, u32::MAX, 1, Action::Errno(1), Reason::Default),
            (audit, X32_BIT | 7, 2, Action::KillProcess, Reason::BadArch),
            (
                Arch::X86.audit(),
                7,
                2,
                Action::KillProcess,
                Reason::BadArch,
            ),
        ];
        for (audit, nr, arg, action, reason) in cases {
            let call = Call {
                audit,
                nr,
                args: [arg, 0, 0, 0, 0, 0],
            };
            assert_eq!(sample().decide(&call), (action, reason), "{call:?}");
        }
    }

    #[test]
    fn always_allowed_means_for_all_arguments() {
        let at = |nr| Sysno {
            arch: Arch::X86_64,
            nr,
        };
        let mut policy = sample();
        assert!(!policy.always_allows(at(7)));
        assert!(!policy.always_allows(at(8)));
        policy.abis[0].syscalls.push(8, rule(&[], Action::Allow, 0));
        assert!(policy.always_allows(at(8)));
        policy.abis[0].syscalls = [(8, vec![rule(&[], Action::Log, 0)])].into();
        assert!(!policy.always_allows(at(8)));
    }
}
