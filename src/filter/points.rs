//! The calls at which a wrong program would show: the borders of everything that a policy says.
//!
//! They are derived from the policy alone, not from what the compiler made of it. Every compiled program is
//! checked at those of arguments before it is used, and the property tests look nowhere else but at these and
//! at random calls.

use crate::arch::{Arch, X32_BIT};
use crate::policy::{Alike, Call, Condition, Op, Policy, Rule, Width};

/// The fewest calls that are made for the arguments of a syscall.
const LEAST: usize = 32;

/// The calls at the borders of a policy: numbers where the verdict may change, with their neighbours;
/// arguments around every constant. At most about `limit` calls are made for arguments; where that is not
/// enough, each syscall gets its share.
pub fn points(policy: &Policy, limit: usize) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut audits: Vec<u32> = policy.abis.iter().map(|abi| abi.arch.audit()).collect();
    // An architecture that is not in the policy; and the native one, which need not be.
    audits.extend([Arch::NATIVE.audit(), 0]);
    audits.sort_unstable();
    audits.dedup();
    for &audit in &audits {
        calls.extend(
            numbers(policy, audit)
                .into_iter()
                .map(|nr| plain(audit, nr)),
        );
    }
    let checked: Vec<_> = policy
        .abis
        .iter()
        .flat_map(|abi| {
            abi.syscalls
                .iter()
                .map(move |(nr, rules)| (abi.arch, nr, rules))
        })
        .filter(|(_, _, rules)| rules.iter().any(|rule| !rule.conditions.is_empty()))
        .collect();
    let share = share(limit, checked.len());
    for (arch, nr, rules) in checked {
        arguments(plain(arch.audit(), nr), rules, share, &mut calls);
    }
    calls
}

/// How many of about `limit` calls for arguments each of so many syscalls gets.
pub(super) fn share(limit: usize, syscalls: usize) -> usize {
    (limit / syscalls.max(1)).max(LEAST)
}

/// A call without arguments.
pub(super) fn plain(audit: u32, nr: u32) -> Call {
    let args = [0; 6];
    Call { audit, nr, args }
}

/// The numbers of an audit value at which the verdict may change: first and last of every run of syscalls
/// with the same rules, and what is around them.
fn numbers(policy: &Policy, audit: u32) -> Vec<u32> {
    const SIGN_BIT: u32 = 0x8000_0000;
    let mut numbers = Vec::new();
    let mut border = |at: u32| numbers.extend([at.wrapping_sub(1), at]);
    for at in [0, X32_BIT, SIGN_BIT, SIGN_BIT | X32_BIT, u32::MAX] {
        border(at);
    }
    for abi in policy.abis.iter().filter(|abi| abi.arch.audit() == audit) {
        if let Some(newer) = abi.newer {
            border(newer.from);
        }
        for Alike { first, last, .. } in abi.syscalls.alike(0..=u32::MAX) {
            border(first);
            border(last.wrapping_add(1));
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Calls around every constant that the rules of one syscall compare with, at most `share` of them.
///
/// One argument is varied around each constant while the others stay as some base has them: what makes the
/// constant's own rule match, and after that what makes other rules match, no bit set, and all bits set.
pub(super) fn arguments(call: Call, rules: &[Rule], share: usize, calls: &mut Vec<Call>) {
    let witnesses: Vec<[u64; 6]> = rules.iter().map(|rule| witness(&rule.conditions)).collect();
    let variations: Vec<Variation> = rules
        .iter()
        .zip(&witnesses)
        .flat_map(|(rule, own)| {
            rule.conditions
                .iter()
                .map(move |&condition| (own, condition))
        })
        .map(|(own, condition)| Variation {
            own: *own,
            arg: usize::from(condition.arg()),
            values: around(condition).collect(),
        })
        .collect();
    let others = [[0; 6], [u64::MAX; 6]].into_iter().chain(witnesses);
    let bases = std::iter::once(None).chain(others.map(Some));
    let rounds = variations.iter().map(|variation| variation.values.len());
    let rounds = rounds.max().unwrap_or(0);
    // Where only one argument matters, the bases are all the same.
    let first = variations.first().map(|variation| variation.arg);
    let alone = variations
        .iter()
        .all(|variation| Some(variation.arg) == first);
    let end = calls.len() + share;
    for base in bases.take(if alone { 1 } else { usize::MAX }) {
        // What is nearest to a constant comes first, should the share not do for all.
        for round in 0..rounds {
            for variation in &variations {
                let Some(&value) = variation.values.get(round) else {
                    continue;
                };
                if calls.len() >= end {
                    return;
                }
                let mut args = base.unwrap_or(variation.own);
                if let Some(arg) = args.get_mut(variation.arg) {
                    *arg = value;
                }
                calls.push(Call { args, ..call });
            }
        }
    }
}

/// The values around a constant, for the argument that is compared with it.
struct Variation {
    /// Arguments that match the rule.
    own: [u64; 6],
    arg: usize,
    values: Vec<u64>,
}

/// Arguments for which all conditions hold, where that can be had by taking one after the other.
fn witness(conditions: &[Condition]) -> [u64; 6] {
    let mut args = [0; 6];
    for condition in conditions {
        let value = condition.value();
        let wanted = match condition.op() {
            Op::Eq | Op::Le | Op::Ge | Op::MaskedEq(_) => value,
            Op::Ne | Op::Gt => value.wrapping_add(1) & condition.width().mask(),
            Op::Lt => value.saturating_sub(1),
        };
        if condition.holds(&args) {
            continue;
        }
        if let Some(arg) = args.get_mut(usize::from(condition.arg())) {
            *arg = match condition.op() {
                Op::MaskedEq(mask) => *arg & !mask | wanted,
                _ => wanted,
            };
        }
    }
    args
}

/// Values near a condition's constant, and what a comparison of the wrong half or width would take for it.
pub(super) fn around(condition: Condition) -> impl Iterator<Item = u64> {
    const HIGH_ONE: u64 = 1 << 32;
    let value = condition.value();
    let swapped = value.rotate_left(32);
    let near = [
        value,
        value.wrapping_sub(1),
        value.wrapping_add(1),
        value ^ HIGH_ONE,
        value.wrapping_sub(HIGH_ONE),
        value ^ (1 << 63),
        value ^ (1 << 31),
        swapped,
        value | 0xffff_ffff_0000_0000,
        value & 0xffff_ffff_0000_0000,
        value | 0xffff_ffff,
        0,
        u64::MAX,
    ];
    let masked = match condition.op() {
        Op::MaskedEq(mask) => {
            let (low, high) = (mask & mask.wrapping_neg(), highest(mask));
            let high_half = mask & 0xffff_ffff_0000_0000;
            let around = [
                value ^ low,
                value ^ high,
                value ^ high_half & high_half.wrapping_neg(),
                value ^ highest(mask & 0xffff_ffff),
                value | !mask,
                (value | !mask) ^ high,
                mask,
                !mask,
            ];
            Some(around)
        }
        _ => None,
    };
    // A 32-bit comparison with something above it.
    let above = (condition.width() == Width::W32).then_some(value | 0x5a5a_5a5a << 32);
    near.into_iter()
        .chain(masked.into_iter().flatten())
        .chain(above)
}

fn highest(mask: u64) -> u64 {
    mask.checked_ilog2().map_or(0, |bit| 1 << bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_syscall_gets_its_share_and_never_less_than_the_least() {
        for (syscalls, want) in [(0, 2048), (1, 2048), (4, 512), (64, LEAST), (5000, LEAST)] {
            assert_eq!(share(2048, syscalls), want, "{syscalls}");
        }
    }
}
