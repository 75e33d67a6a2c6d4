//! Two policies compared by what they answer, not by how they say it.
//!
//! The comparison is exact: for each syscall the values of each argument fall into classes that no condition
//! of either side tells apart, one value of each class is tried, and nothing else can differ. What differs is
//! shown by a call. Where there are too many classes to try them all, that is said: [`Difference::undecided`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::action::Action;
use crate::arch::{Arch, X32_BIT};
use crate::policy::{Abi, Condition, Op, Policy, Rule, Width};
use crate::syscall::Sysno;

/// So many classes of one argument are told apart.
const MAX_CLASSES: usize = 4096;

/// So many combinations of classes are tried for one syscall.
const MAX_STEPS: usize = 100_000;

/// A syscall, or all those that nobody names, for which two policies answer differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which calls.
    pub calls: Calls,
    /// The pairs of different answers, each with a call that gets them.
    pub outcomes: Vec<Outcome>,
    /// There were too many combinations to try all: what was not tried may differ.
    pub undecided: bool,
}

/// The calls that a [`Difference`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Calls {
    /// Those of one syscall.
    One(Sysno),
    /// Those of these numbers that neither policy has rules for.
    Unnamed {
        /// The architecture.
        arch: Arch,
        /// The first number.
        first: u32,
        /// The last number.
        last: u32,
    },
}

impl Calls {
    /// Whose calls they are.
    pub const fn arch(self) -> Arch {
        match self {
            Self::One(sysno) => sysno.arch,
            Self::Unnamed { arch, .. } => arch,
        }
    }
}

/// Two different answers to the same call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What the one policy answers.
    pub left: Action,
    /// What the other answers.
    pub right: Action,
    /// Arguments with which the call gets these answers.
    pub args: [u64; 6],
}

/// Everything that the policies answer differently; nothing when they are the same.
///
/// ```
/// use seccomp_run::action::Action;
/// use seccomp_run::arch::Arch;
/// use seccomp_run::diff::compare;
/// use seccomp_run::policy::{Abi, Policy};
/// let all = |default| Policy {
///     abis: vec![Abi { arch: Arch::X86, default, newer: None, syscalls: [].into() }],
///     bad_arch: Action::KillProcess,
/// };
/// assert_eq!(compare(&all(Action::Allow), &all(Action::Allow)), []);
/// assert_eq!(compare(&all(Action::Allow), &all(Action::Errno(1))).len(), 1);
/// ```
pub fn compare(left: &Policy, right: &Policy) -> Vec<Difference> {
    let mut found = Vec::new();
    let abis = || left.abis.iter().chain(&right.abis);
    let arches: BTreeSet<Arch> = abis().map(|abi| abi.arch).collect();
    for &arch in &arches {
        let sides = [Side::of(left, arch), Side::of(right, arch)];
        compare_arch(arch, sides, &mut found);
    }
    if left.bad_arch != right.bad_arch {
        // Any architecture that neither has.
        if let Some(arch) = Arch::ALL.into_iter().find(|arch| !arches.contains(arch)) {
            let sides = [Side::of(left, arch), Side::of(right, arch)];
            compare_arch(arch, sides, &mut found);
        }
    }
    found
}

impl Difference {
    /// The first number of a run.
    const fn first(&self) -> Option<u32> {
        match self.calls {
            Calls::Unnamed { first, .. } => Some(first),
            Calls::One(_) => None,
        }
    }

    /// Is it a run that ends right before this number, with the same answers?
    fn goes_on(&self, arch: Arch, next: u32, outcome: Outcome) -> bool {
        let ends_before = matches!(self.calls, Calls::Unnamed { arch: own, last, .. }
            if own == arch && last.checked_add(1) == Some(next));
        ends_before && self.outcomes == [outcome]
    }
}

/// One policy's answers for one architecture.
#[derive(Clone, Copy)]
struct Side<'p> {
    abi: Option<&'p Abi>,
    bad_arch: Action,
}

impl<'p> Side<'p> {
    fn of(policy: &'p Policy, arch: Arch) -> Self {
        Self {
            abi: policy.abi(arch),
            bad_arch: policy.bad_arch,
        }
    }

    fn fallback(self, nr: u32) -> Action {
        self.abi.map_or(self.bad_arch, |abi| abi.fallback(nr).0)
    }

    fn rules(self, nr: u32) -> &'p [Rule] {
        let rules = self.abi.and_then(|abi| abi.syscalls.get(nr));
        rules.unwrap_or_default()
    }
}

/// The numbers that calls of this architecture can have, as runs of first and last. -1 stands alone: it is
/// never newer than anything.
fn numbers(arch: Arch) -> Vec<(u32, u32)> {
    match arch {
        Arch::X86_64 => vec![(0, X32_BIT - 1), (u32::MAX, u32::MAX)],
        Arch::X32 => vec![(X32_BIT, u32::MAX - 1)],
        _ => vec![(0, u32::MAX - 1), (u32::MAX, u32::MAX)],
    }
}

fn compare_arch(arch: Arch, sides: [Side<'_>; 2], found: &mut Vec<Difference>) {
    let abis = || sides.iter().filter_map(|side| side.abi);
    let named: BTreeSet<u32> = abis().flat_map(|abi| abi.syscalls.numbers()).collect();
    let borders: BTreeSet<u32> = abis()
        .filter_map(|abi| abi.newer.map(|newer| newer.from))
        .collect();
    for (first, last) in numbers(arch) {
        for &nr in named.range(first..=last) {
            let mut search = Search::default();
            let [left, right] = sides.map(|side| Answers::of(side.rules(nr), side.fallback(nr)));
            search.explore(&left, &right, [0; 6]);
            if search.undecided || !search.outcomes.is_empty() {
                found.push(Difference {
                    calls: Calls::One(Sysno { arch, nr }),
                    undecided: search.undecided,
                    outcomes: search.into_outcomes(),
                });
            }
        }
        let starts: BTreeSet<u32> = borders
            .range(first..=last)
            .copied()
            .chain([first])
            .collect();
        let mut starts = starts.into_iter().peekable();
        while let Some(first) = starts.next() {
            let last = starts.peek().map_or(last, |next| next - 1);
            let [left, right] = sides.map(|side| side.fallback(first));
            let all_named =
                u64::try_from(named.range(first..=last).count()) == Ok(u64::from(last - first) + 1);
            if left == right || all_named {
                continue;
            }
            let outcome = Outcome {
                left,
                right,
                args: [0; 6],
            };
            match found.last_mut() {
                Some(before) if before.goes_on(arch, first, outcome) => {
                    before.calls = Calls::Unnamed {
                        arch,
                        first: before.first().unwrap_or(first),
                        last,
                    };
                }
                _ => found.push(Difference {
                    calls: Calls::Unnamed { arch, first, last },
                    outcomes: vec![outcome],
                    undecided: false,
                }),
            }
        }
    }
}

/// The answers for one number, as far as they depend on arguments that are still open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Answers {
    /// The first whose conditions all hold decides; none is without conditions, and the last does not say
    /// what `otherwise` says.
    rules: Vec<(Vec<Condition>, Action)>,
    otherwise: Action,
}

impl Answers {
    fn of(rules: &[Rule], fallback: Action) -> Self {
        let rules = rules
            .iter()
            .map(|rule| (rule.conditions.clone(), rule.action));
        Self::new(rules, fallback)
    }

    fn new(rules: impl Iterator<Item = (Vec<Condition>, Action)>, fallback: Action) -> Self {
        let mut answers = Self {
            rules: Vec::new(),
            otherwise: fallback,
        };
        for (conditions, action) in rules {
            if conditions.is_empty() {
                answers.otherwise = action;
                break;
            }
            answers.rules.push((conditions, action));
        }
        while answers
            .rules
            .last()
            .is_some_and(|(_, action)| *action == answers.otherwise)
        {
            answers.rules.pop();
        }
        answers
    }

    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.rules.iter().flat_map(|(conditions, _)| conditions)
    }

    /// What is left when this argument has its value in `args`.
    fn given(&self, arg: u8, args: &[u64; 6]) -> Self {
        let possible = self.rules.iter().filter(|(conditions, _)| {
            let mut on_it = conditions.iter().filter(|condition| condition.arg() == arg);
            on_it.all(|condition| condition.holds(args))
        });
        let open = possible.map(|(conditions, action)| {
            let open = conditions.iter().filter(|condition| condition.arg() != arg);
            (open.copied().collect(), *action)
        });
        Self::new(open, self.otherwise)
    }
}

/// Goes through the classes of arguments of one number.
#[derive(Default)]
struct Search {
    /// The first arguments that were found for each pair of answers.
    outcomes: BTreeMap<(Action, Action), [u64; 6]>,
    steps: usize,
    undecided: bool,
}

impl Search {
    fn explore(&mut self, left: &Answers, right: &Answers, args: [u64; 6]) {
        if left == right {
            return;
        }
        self.steps += 1;
        if self.steps > MAX_STEPS {
            self.undecided = true;
            return;
        }
        let conditions = || left.conditions().chain(right.conditions());
        let Some(arg) = conditions().map(|condition| condition.arg()).min() else {
            if left.otherwise != right.otherwise {
                self.outcomes
                    .entry((left.otherwise, right.otherwise))
                    .or_insert(args);
            }
            return;
        };
        let on_it = conditions().filter(|condition| condition.arg() == arg);
        let on_it: BTreeSet<Condition> = on_it.copied().collect();
        let on_it: Vec<Condition> = on_it.into_iter().collect();
        let Some(values) = classes(&on_it) else {
            self.undecided = true;
            return;
        };
        let mut seen = HashSet::new();
        for value in values {
            let mut args = args;
            if let Some(slot) = args.get_mut(usize::from(arg)) {
                *slot = value;
            }
            let left = left.given(arg, &args);
            let right = right.given(arg, &args);
            if seen.insert((left.clone(), right.clone())) {
                self.explore(&left, &right, args);
            }
        }
    }

    fn into_outcomes(self) -> Vec<Outcome> {
        let outcome = |((left, right), args)| Outcome { left, right, args };
        self.outcomes.into_iter().map(outcome).collect()
    }
}

/// How far a value, read from its highest bit on, is from a condition's constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SoFar {
    Same,
    Less,
    Greater,
    Other,
}

impl SoFar {
    /// With one bit more.
    fn and(self, condition: Condition, bit: u32, is_set: bool) -> Self {
        let place = 1_u64 << bit;
        let seen = match condition.op() {
            Op::MaskedEq(mask) => mask,
            _ => condition.width().mask(),
        };
        let wanted = condition.value() & place != 0;
        if self != Self::Same || seen & place == 0 || is_set == wanted {
            return self;
        }
        match condition.op() {
            Op::Eq | Op::Ne | Op::MaskedEq(_) => Self::Other,
            _ if is_set => Self::Greater,
            _ => Self::Less,
        }
    }
}

/// One value of each class that these conditions on one argument tell apart, or more; the least ones, where
/// bits do not matter. `None` where there are too many.
///
/// Values are built bit by bit from the highest on. Two beginnings that are in the same relation to every
/// constant have the same future, so one of them is enough.
fn classes(conditions: &[Condition]) -> Option<Vec<u64>> {
    let mut begun = vec![(vec![SoFar::Same; conditions.len()], 0_u64)];
    let wide = conditions
        .iter()
        .any(|condition| condition.width() == Width::W64);
    for bit in (0..if wide { 64 } else { 32 }).rev() {
        let mut next: HashMap<Vec<SoFar>, u64> = HashMap::new();
        for (states, value) in &begun {
            for is_set in [false, true] {
                let value = value | u64::from(is_set) << bit;
                let states = states
                    .iter()
                    .zip(conditions)
                    .map(|(state, &condition)| state.and(condition, bit, is_set))
                    .collect();
                let least = next.entry(states).or_insert(value);
                *least = value.min(*least);
            }
        }
        if next.len() > MAX_CLASSES {
            return None;
        }
        begun = next.into_iter().collect();
    }
    let mut values: Vec<u64> = begun.into_iter().map(|(_, value)| value).collect();
    values.sort_unstable();
    Some(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{Call, Newer};

    fn condition(arg: u8, width: Width, op: Op, value: u64) -> Condition {
        Condition::new(arg, width, op, value).unwrap()
    }

    fn policy(rules: Vec<Rule>) -> Policy {
        let abi = Abi {
            arch: Arch::X86_64,
            default: Action::Errno(1),
            newer: None,
            syscalls: [(7, rules)].into(),
        };
        Policy {
            abis: vec![abi],
            bad_arch: Action::KillProcess,
        }
    }

    fn rule(conditions: &[Condition], action: Action) -> Rule {
        Rule {
            conditions: conditions.to_vec(),
            action,
            origin: 0,
        }
    }

    const ALLOW: Action = Action::Allow;
    const EPERM: Action = Action::Errno(1);

    #[test]
    fn what_means_the_same_is_the_same() {
        use Width::{W32, W64};
        type Conditions<'a> = &'a [&'a [(Width, Op, u64)]];
        let cases: [(Conditions, Conditions, Option<u64>); 12] = [
            (&[&[(W64, Op::Le, 3)]], &[&[(W64, Op::Lt, 4)]], None),
            (&[&[(W64, Op::Le, 3)]], &[&[(W64, Op::Lt, 3)]], Some(3)),
            (&[&[(W64, Op::Ne, 0)]], &[&[(W64, Op::Gt, 0)]], None),
            (
                &[&[(W64, Op::Eq, 5)]],
                &[&[(W64, Op::MaskedEq(u64::MAX), 5)]],
                None,
            ),
            (
                &[&[(W64, Op::Eq, 5)]],
                &[&[(W32, Op::Eq, 5)]],
                Some(1 << 32 | 5),
            ),
            (
                &[&[(W32, Op::Eq, 5)]],
                &[&[(W64, Op::MaskedEq(0xffff_ffff), 5)]],
                None,
            ),
            (
                &[
                    &[(W64, Op::Lt, 38)],
                    &[(W64, Op::Eq, 39)],
                    &[(W64, Op::Gt, 40)],
                ],
                &[&[(W64, Op::Ne, 38), (W64, Op::Ne, 40)]],
                None,
            ),
            (
                &[&[(W64, Op::MaskedEq(1), 1)], &[(W64, Op::MaskedEq(1), 0)]],
                &[&[]],
                None,
            ),
            (
                &[&[(W64, Op::MaskedEq(6), 2)]],
                &[&[(W64, Op::MaskedEq(2), 2)]],
                Some(6),
            ),
            (
                &[&[(W64, Op::MaskedEq(3), 3), (W64, Op::Le, 6)]],
                &[&[(W64, Op::Eq, 3)]],
                None,
            ),
            (
                &[&[(W64, Op::MaskedEq(3), 3), (W64, Op::Le, 7)]],
                &[&[(W64, Op::Eq, 3)]],
                Some(7),
            ),
            (&[&[(W64, Op::Gt, u64::MAX)]], &[], None),
        ];
        for (left, right, want) in cases {
            let side = |rules: Conditions| {
                let rules = rules.iter().map(|conditions| {
                    let all = conditions
                        .iter()
                        .map(|&(width, op, value)| condition(0, width, op, value));
                    rule(&all.collect::<Vec<_>>(), ALLOW)
                });
                policy(rules.collect())
            };
            let found = compare(&side(left), &side(right));
            let got = found
                .first()
                .map(|difference| difference.outcomes[0].args[0]);
            assert_eq!(got, want, "{left:?} {right:?}");
        }
    }

    #[test]
    fn numbers_that_neither_names_are_compared_as_runs() {
        let with_newer = |from| {
            let mut policy = policy(vec![rule(&[], ALLOW)]);
            policy.abis[0].newer = Some(Newer {
                from,
                action: Action::Errno(38),
            });
            policy
        };
        let found = compare(&with_newer(300), &with_newer(310));
        let want = Calls::Unnamed {
            arch: Arch::X86_64,
            first: 300,
            last: 309,
        };
        assert_eq!(
            found.iter().map(|one| one.calls).collect::<Vec<_>>(),
            [want]
        );
        // The only number between is named in both.
        assert_eq!(compare(&with_newer(7), &with_newer(8)), []);
        let mut log = policy(vec![]);
        log.bad_arch = Action::Log;
        let found = compare(&policy(vec![]), &log);
        assert!(
            found.iter().any(|one| one.calls.arch() != Arch::X86_64),
            "{found:?}"
        );
    }

    #[test]
    fn too_much_to_try_is_never_the_same() {
        let mask = |bit: u32| condition(0, Width::W64, Op::MaskedEq(1 << bit), 1 << bit);
        let many: Vec<Rule> = (0..40).map(|bit| rule(&[mask(bit)], ALLOW)).collect();
        let mut other = many.clone();
        other.push(rule(&[condition(1, Width::W64, Op::Eq, 1)], ALLOW));
        let found = compare(&policy(many.clone()), &policy(other));
        assert!(found[0].undecided);
        assert_eq!(
            compare(&policy(many.clone()), &policy(many)),
            [],
            "they are written alike"
        );
    }

    fn any_condition() -> impl Strategy<Value = Condition> {
        let value = prop_oneof![4 => 0..6_u64, 1 => Just(1 << 32), 1 => Just(1 << 32 | 3), 1 => any::<u64>()];
        let op = prop_oneof![
            Just(Op::Ne),
            Just(Op::Lt),
            Just(Op::Le),
            Just(Op::Eq),
            Just(Op::Ge),
            Just(Op::Gt),
            (0..8_u64).prop_map(Op::MaskedEq),
            Just(Op::MaskedEq(0xffff_ffff)),
            Just(Op::MaskedEq(1 << 32 | 1)),
        ];
        (
            0..3_u8,
            prop::sample::select(vec![Width::W32, Width::W64]),
            op,
            value,
        )
            .prop_map(|(arg, width, op, value)| condition(arg, width, op, value))
    }

    fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
        let action = prop::sample::select(vec![ALLOW, EPERM, Action::Log]);
        let one = (prop::collection::vec(any_condition(), 0..3), action);
        prop::collection::vec(
            one.prop_map(|(conditions, action)| rule(&conditions, action)),
            0..5,
        )
    }

    /// Values beside the constants, in every combination of the three arguments.
    fn calls(rules: &[Rule]) -> Vec<Call> {
        let constants = rules.iter().flat_map(|rule| &rule.conditions);
        let near = constants.flat_map(|condition| {
            let value = condition.value();
            [
                value,
                value.wrapping_add(1),
                value.wrapping_sub(1),
                value ^ 1 << 32,
            ]
        });
        let mut values: Vec<u64> = near.chain(0..4).collect();
        values.sort_unstable();
        values.dedup();
        values.truncate(24);
        let mut calls = Vec::new();
        for &a in &values {
            for &b in &values {
                for &c in values.iter().step_by(3) {
                    calls.push(Call {
                        audit: Arch::X86_64.audit(),
                        nr: 7,
                        args: [a, b, c, 0, 0, 0],
                    });
                }
            }
        }
        calls
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_same_answers_the_same_and_what_differs_is_shown(left in any_rules(), right in any_rules()) {
            let rules = [left.clone(), right.clone()].concat();
            let (left, right) = (policy(left), policy(right));
            let found = compare(&left, &right);
            for call in calls(&rules) {
                let pair = (left.evaluate(&call), right.evaluate(&call));
                let told = found.iter().flat_map(|one| &one.outcomes).any(|one| (one.left, one.right) == pair);
                prop_assert!(pair.0 == pair.1 || told, "{call:?}: {pair:?} is not among {found:?}");
            }
            for one in found.iter().flat_map(|one| &one.outcomes) {
                let call = Call { audit: Arch::X86_64.audit(), nr: 7, args: one.args };
                prop_assert_ne!(one.left, one.right);
                prop_assert_eq!((left.evaluate(&call), right.evaluate(&call)), (one.left, one.right));
            }
        }

        #[test]
        fn a_rule_more_that_others_cover_makes_no_difference(rules in any_rules(), at in 0..5_usize) {
            let mut more = rules.clone();
            // What a rule says again further down never decides.
            if let Some(again) = rules.get(at) {
                more.push(again.clone());
            }
            prop_assert_eq!(compare(&policy(rules), &policy(more)), []);
        }
    }
}
