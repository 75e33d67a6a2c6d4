//! Entries that contradict each other for some calls.
//!
//! Two entries with conditions and different actions can match the same call. Which one decides then is
//! written down nowhere: libseccomp follows the shape of its tree, we the order of the file. A contradiction
//! is shown by a call that both match, and only if [`Policy::decide`] confirms it.

use std::collections::BTreeSet;

use super::draft::Finding;
use super::findings::Oddity;
use crate::action::Action;
use crate::policy::{Abi, Call, Condition, Op, Policy, Reason, Rule};
use crate::syscall::Sysno;

/// So many pairs of entries are compared; their number grows with the square of a profile.
const MAX_PAIRS: usize = 20_000;

/// The contradictions of a policy, each reported for the later entry. `own_default` is the file's: rules
/// that say the same are not rules to a runtime.
pub(super) fn overlaps(policy: &Policy, own_default: Action) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut reported = BTreeSet::new();
    let mut pairs = 0;
    for abi in &policy.abis {
        let several = abi.syscalls.iter().filter(|(_, rules)| rules.len() > 1);
        for (nr, rules) in several {
            let deciding = rules.iter().filter(|rule| rule.action != own_default);
            for (place, later) in deciding.clone().enumerate() {
                let earlier = deciding.clone().take(place);
                let earlier = earlier.filter(|earlier| earlier.action != later.action);
                for earlier in earlier {
                    pairs += 1;
                    if pairs > MAX_PAIRS {
                        return found;
                    }
                    if let Some(finding) = contradiction(policy, abi, nr, earlier, later) {
                        if reported.insert(finding.origin) {
                            found.push(finding);
                        }
                        break;
                    }
                }
            }
        }
    }
    found
}

fn contradiction(
    policy: &Policy,
    abi: &Abi,
    nr: u32,
    earlier: &Rule,
    later: &Rule,
) -> Option<Finding> {
    let args = witness(earlier, later)?;
    let call = Call {
        audit: abi.arch.audit(),
        nr,
        args,
    };
    let (winner, Reason::Rule(origin)) = policy.decide(&call) else {
        return None;
    };
    let tested = |rule: &Rule| {
        rule.conditions
            .iter()
            .map(|condition| condition.arg())
            .max()
    };
    let last = tested(earlier).max(tested(later)).map_or(0, usize::from);
    let shown: Vec<_> = args.iter().take(last + 1).map(u64::to_string).collect();
    let sysno = Sysno { arch: abi.arch, nr };
    (winner != later.action && origin != later.origin).then(|| Finding {
        origin: later.origin,
        about: Oddity::Overlap {
            call: format!("{sysno}({})", shown.join(", ")),
            winner,
            loser: later.action,
        },
    })
}

/// Arguments that both rules match. Not every pair that has some gets them: what is tried are the constants
/// of the conditions and their neighbours, with the bits of masks put in.
fn witness(a: &Rule, b: &Rule) -> Option<[u64; 6]> {
    let mut args = [0; 6];
    for (arg, index) in args.iter_mut().zip(0..) {
        let on_this = |condition: &&Condition| condition.arg() == index;
        let conditions: Vec<_> = [a, b]
            .into_iter()
            .flat_map(|rule| rule.conditions.iter().filter(on_this))
            .copied()
            .collect();
        *arg = value_for(&conditions)?;
    }
    Some(args)
}

/// A value for which all these conditions on one argument hold.
fn value_for(conditions: &[Condition]) -> Option<u64> {
    let near = conditions.iter().flat_map(|condition| {
        let value = condition.value();
        [value, value.wrapping_add(1), value.wrapping_sub(1)]
    });
    let candidates = std::iter::once(0).chain(near).chain([u64::MAX]);
    candidates
        .flat_map(|plain| {
            let masked = conditions
                .iter()
                .fold(plain, |value, condition| with_mask(value, *condition));
            [plain, masked, masked & 0xffff_ffff]
        })
        .find(|&value| {
            let args = [value; 6];
            conditions.iter().all(|condition| condition.holds(&args))
        })
}

/// The value with the bits that a masked condition demands.
fn with_mask(value: u64, condition: Condition) -> u64 {
    match condition.op() {
        Op::MaskedEq(mask) => value & !mask | condition.value(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Width;

    fn conditions(tests: &[(Op, u64)]) -> Vec<Condition> {
        let condition = |&(op, value)| Condition::new(0, Width::W64, op, value).unwrap();
        tests.iter().map(condition).collect()
    }

    #[test]
    fn values_are_found_where_there_are_some() {
        let cases: [(&[(Op, u64)], bool); 12] = [
            (&[], true),
            (&[(Op::Eq, 5)], true),
            (&[(Op::Eq, 5), (Op::Eq, 6)], false),
            (&[(Op::Eq, 40), (Op::Ne, 16)], true),
            (&[(Op::Eq, 16), (Op::Ne, 16)], false),
            (&[(Op::Gt, 5), (Op::Lt, 7)], true),
            (&[(Op::Gt, 5), (Op::Lt, 6)], false),
            (&[(Op::Gt, u64::MAX)], false),
            (&[(Op::Ne, 0), (Op::Le, 1)], true),
            (&[(Op::MaskedEq(1), 1), (Op::Gt, 5)], true),
            (&[(Op::MaskedEq(1), 1), (Op::MaskedEq(2), 2)], true),
            (&[(Op::MaskedEq(1), 1), (Op::MaskedEq(3), 2)], false),
        ];
        for (tests, want) in cases {
            let conditions = conditions(tests);
            let value = value_for(&conditions);
            assert_eq!(value.is_some(), want, "{tests:?} {value:?}");
            if let Some(value) = value {
                assert!(conditions.iter().all(|c| c.holds(&[value; 6])), "{tests:?}");
            }
        }
    }
}
