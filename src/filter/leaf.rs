//! From the rules of one syscall to a decision over its arguments.
//!
//! The rules are cut by one question after the other: into which interval an argument falls, where rules
//! compare it with constants, or whether a masked comparison holds. Each answer leaves fewer rules with
//! fewer conditions, and the same rest is decided once. Where rules over several arguments would be
//! multiplied by that, they are asked one after the other instead.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::compare::{Ranges, Words, equal, masked};
use super::dag::{Dag, NodeId};
use crate::action::Action;
use crate::bpf::MAX_INSNS;
use crate::policy::{Condition, Op, Rule, Width};

/// The decision of these rules, the first match deciding, on a machine of this byte order.
pub(super) fn decide(dag: &mut Dag, big_endian: bool, rules: &[Rule], fallback: Action) -> NodeId {
    // What stands behind a rule without conditions is never reached.
    let always = rules.iter().position(|rule| rule.conditions.is_empty());
    let (rules, last) = rules.split_at(always.unwrap_or(rules.len()));
    let fallback = dag.answer(last.first().map_or(fallback, |rule| rule.action));
    if rules.is_empty() {
        return fallback;
    }
    let words = Words { big_endian };
    if let [rule] = rules
        && let [condition] = rule.conditions[..]
    {
        // Of all policies most such rules are these, and there is nothing to choose.
        let yes = dag.answer(rule.action);
        return one(dag, words, simple(condition), yes, fallback);
    }
    let rules: Vec<Rule> = rules.iter().map(simplified).collect();
    let cut = Cutter::new(dag, words, &rules, fallback).cut_all();
    match cut {
        // One cut, and nothing is left to be multiplied.
        Some(cut) if is_one_question(&rules) => cut,
        // Cutting makes the shorter ways, so it may be a little larger.
        Some(cut) => {
            let in_turn = one_after_the_other(dag, words, &rules, fallback);
            if dag.size(cut) <= dag.size(in_turn) * 5 / 4 + 4 {
                cut
            } else {
                in_turn
            }
        }
        None => one_after_the_other(dag, words, &rules, fallback),
    }
}

/// Do all conditions ask into which interval the same argument falls?
fn is_one_question(rules: &[Rule]) -> bool {
    let conditions = rules.iter().flat_map(|rule| &rule.conditions);
    let mut asked = conditions.map(|&condition| Question::of(condition));
    let first = asked.next();
    matches!(first, Some(Question::Interval(..))) && asked.all(|other| Some(other) == first)
}

/// The same rule with its conditions in the simplest form.
fn simplified(rule: &Rule) -> Rule {
    Rule {
        conditions: rule.conditions.iter().copied().map(simple).collect(),
        ..*rule
    }
}

/// The same condition, where a masked comparison is another one in disguise.
fn simple(condition: Condition) -> Condition {
    let Op::MaskedEq(mask) = condition.op() else {
        return condition;
    };
    let (width, op) = match mask {
        u64::MAX => (Width::W64, Op::Eq),
        LOW => (Width::W32, Op::Eq),
        ..LOW => (Width::W32, condition.op()),
        _ => return condition,
    };
    Condition::new(condition.arg(), width, op, condition.value()).unwrap_or(condition)
}

/// The low half of an argument.
const LOW: u64 = Width::W32.mask();

/// Each rule by itself, in their order.
fn one_after_the_other(dag: &mut Dag, words: Words, rules: &[Rule], fallback: NodeId) -> NodeId {
    let mut otherwise = fallback;
    for rule in rules.iter().rev() {
        let mut then = dag.answer(rule.action);
        for &condition in rule.conditions.iter().rev() {
            then = one(dag, words, condition, then, otherwise);
        }
        otherwise = then;
    }
    otherwise
}

/// One condition by itself.
fn one(dag: &mut Dag, words: Words, condition: Condition, yes: NodeId, no: NodeId) -> NodeId {
    match condition.op() {
        Op::MaskedEq(_) => masked(dag, words, condition, yes, no),
        Op::Eq => equal(dag, words, condition, yes, no),
        Op::Ne => equal(dag, words, condition, no, yes),
        Op::Lt | Op::Le | Op::Gt | Op::Ge => {
            let width = condition.width();
            let mut ranges = Ranges::default();
            for start in intervals(width, [condition]) {
                ranges.push(start, if holds(condition, start) { yes } else { no });
            }
            ranges.decide(dag, words, condition.arg(), width)
        }
    }
}

/// Does the condition hold where its own argument has this value?
fn holds(condition: Condition, value: u64) -> bool {
    condition.holds(&[value; 6])
}

/// Where the intervals start in which all of these comparisons stay as they are.
fn intervals(width: Width, conditions: impl IntoIterator<Item = Condition>) -> Vec<u64> {
    let mut starts = vec![0];
    for condition in conditions {
        let value = condition.value();
        let above = value.checked_add(1).filter(|&above| above <= width.mask());
        match condition.op() {
            Op::Lt | Op::Ge => starts.push(value),
            Op::Le | Op::Gt => starts.extend(above),
            Op::Eq | Op::Ne | Op::MaskedEq(_) => {
                starts.push(value);
                starts.extend(above);
            }
        }
    }
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// What is asked at one step of cutting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Question {
    /// In which interval is the argument?
    Interval(u8, Width),
    /// Does this masked comparison hold?
    Masked(Condition),
}

impl Question {
    fn of(condition: Condition) -> Self {
        match condition.op() {
            Op::MaskedEq(_) => Self::Masked(condition),
            _ => Self::Interval(condition.arg(), condition.width()),
        }
    }
}

/// The rules that can still match, each with the conditions that are still open (as bits).
type Rest = Vec<(usize, u32)>;

/// Cuts rules by questions.
struct Cutter<'a> {
    dag: &'a mut Dag,
    words: Words,
    rules: &'a [Rule],
    fallback: NodeId,
    known: BTreeMap<Rest, NodeId>,
    /// How many more different rests may be decided before this is given up.
    rests: usize,
    /// How many more rules may be looked at.
    looks: usize,
}

impl<'a> Cutter<'a> {
    fn new(dag: &'a mut Dag, words: Words, rules: &'a [Rule], fallback: NodeId) -> Self {
        Self {
            dag,
            words,
            rules,
            fallback,
            known: BTreeMap::new(),
            rests: 64 + 16 * rules.len(),
            // Cutting is quadratic. This is enough for as many values of one argument as a program can hold.
            looks: 1 << 23,
        }
    }

    /// `None` where it would become too large.
    fn cut_all(mut self) -> Option<NodeId> {
        let all = self.rules.iter().enumerate();
        let rest = all
            .map(|(index, rule)| {
                let open = 1_u32.checked_shl(u32::try_from(rule.conditions.len()).ok()?)?;
                Some((index, open - 1))
            })
            .collect::<Option<Rest>>()?;
        self.cut(rest)
    }

    fn cut(&mut self, rest: Rest) -> Option<NodeId> {
        let Some(&(first, open)) = rest.first() else {
            return Some(self.fallback);
        };
        if open == 0 {
            let action = self.rules.get(first)?.action;
            return Some(self.dag.answer(action));
        }
        if let Some(&node) = self.known.get(&rest) {
            return Some(node);
        }
        self.rests = self.rests.checked_sub(1)?;
        // Finding the question takes longer than a look.
        self.looks = self.looks.checked_sub(8 * rest.len())?;
        let node = match self.question(&rest)? {
            Question::Interval(arg, width) => self.by_interval(&rest, arg, width)?,
            Question::Masked(condition) => {
                let same = |other: Condition| (other == condition).then_some(());
                let yes = self.left(&rest, |other| same(other).map(|()| true));
                let no = self.left(&rest, |other| same(other).map(|()| false));
                let (yes, no) = (self.cut(yes)?, self.cut(no)?);
                masked(self.dag, self.words, condition, yes, no)
            }
        };
        self.known.insert(rest, node);
        Some(node)
    }

    /// The question that the most open conditions ask; of several, the one that comes first.
    fn question(&self, rest: &Rest) -> Option<Question> {
        let mut asked: BTreeMap<Question, (usize, Reverse<usize>)> = BTreeMap::new();
        for (place, condition) in self.open(rest).enumerate() {
            let unseen = (0, Reverse(place));
            asked.entry(Question::of(condition)).or_insert(unseen).0 += 1;
        }
        let most = asked.into_iter().max_by_key(|&(_, count)| count)?;
        Some(most.0)
    }

    fn by_interval(&mut self, rest: &Rest, arg: u8, width: Width) -> Option<NodeId> {
        let question = Question::Interval(arg, width);
        let conditions: Vec<Condition> = self
            .open(rest)
            .filter(|&condition| Question::of(condition) == question)
            .collect();
        let mut ranges = Ranges::default();
        let starts = intervals(width, conditions);
        if starts.len() > 2 * MAX_INSNS {
            // No program has so many questions.
            return None;
        }
        for start in starts {
            self.looks = self.looks.checked_sub(rest.len())?;
            let left = self.left(rest, |condition| {
                (Question::of(condition) == question).then(|| holds(condition, start))
            });
            ranges.push(start, self.cut(left)?);
        }
        Some(ranges.decide(self.dag, self.words, arg, width))
    }

    fn open(&self, rest: &Rest) -> impl Iterator<Item = Condition> {
        rest.iter().flat_map(|&(index, open)| {
            let conditions = self
                .rules
                .get(index)
                .map_or(&[][..], |rule| &rule.conditions);
            let numbered = (0..).zip(conditions);
            numbered
                .filter_map(move |(bit, condition)| (open >> bit & 1 == 1).then_some(*condition))
        })
    }

    /// What is left of the rules once some conditions are known to hold or not to.
    fn left(&self, rest: &Rest, known: impl Fn(Condition) -> Option<bool>) -> Rest {
        let mut left = Rest::new();
        for &(index, mut open) in rest {
            let conditions = self
                .rules
                .get(index)
                .map_or(&[][..], |rule| &rule.conditions);
            let mut possible = true;
            for (bit, condition) in (0_u32..).zip(conditions) {
                if open >> bit & 1 == 0 {
                    continue;
                }
                match known(*condition) {
                    Some(true) => open &= !(1 << bit),
                    Some(false) => possible = false,
                    None => {}
                }
            }
            if possible {
                left.push((index, open));
                // What comes behind a rule that matches is never reached.
                if open == 0 {
                    break;
                }
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::dag::{Load, Test};

    #[test]
    fn one_comparison_is_what_cutting_makes_of_it() {
        let (low, high) = (u64::from(u32::MAX), u64::MAX << 32);
        let values = [0, 1, 7, low - 1, low, low + 1, 7 << 32, high, high | 7, !0];
        let mut dag = Dag::default();
        let [allow, deny] = [Action::Allow, Action::Errno(1)].map(|action| dag.answer(action));
        // Something that is higher than an answer.
        let asks = dag.ask(Load::word(0), Test::Eq(5), allow, deny);
        let ops = [Op::Ne, Op::Lt, Op::Le, Op::Eq, Op::Ge, Op::Gt];
        let masks = [1, 7, low, high, low << 16, !0].map(Op::MaskedEq);
        for big_endian in [false, true] {
            let words = Words { big_endian };
            for op in ops.into_iter().chain(masks) {
                for (value, width) in values
                    .into_iter()
                    .flat_map(|value| [(value, Width::W32), (value, Width::W64)])
                {
                    let Some(condition) = Condition::new(1, width, op, value) else {
                        continue;
                    };
                    for fallback in [deny, asks] {
                        let rules = [Rule {
                            conditions: vec![simple(condition)],
                            action: Action::Allow,
                            origin: 0,
                        }];
                        let cut = Cutter::new(&mut dag, words, &rules, fallback).cut_all();
                        let one = one(&mut dag, words, simple(condition), allow, fallback);
                        assert_eq!(cut, Some(one), "{condition:?} {big_endian}");
                    }
                }
            }
        }
    }
}
