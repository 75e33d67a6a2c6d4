//! From the rules of one syscall to a decision over its arguments.
//!
//! The rules are cut by one question after the other: into which interval an argument falls, where rules
//! compare it with constants, or whether a masked comparison holds. Each answer leaves fewer rules with
//! fewer conditions, and the same rest is decided once. Where rules over several arguments would be
//! multiplied by that, they are asked one after the other instead.

use std::collections::BTreeMap;

use super::dag::{Dag, Load, NodeId, Test};
use super::search::{self, Map, Run};
use crate::action::Action;
use crate::bpf::{MAX_INSNS, SeccompData, high, low};
use crate::policy::{Condition, Op, Rule, Width};

/// The decision of these rules, the first match deciding, on a machine of this byte order.
pub(super) fn decide(dag: &mut Dag, big_endian: bool, rules: &[Rule], fallback: Action) -> NodeId {
    // What stands behind a rule without conditions is never reached.
    let (rules, fallback) = match rules.iter().position(|rule| rule.conditions.is_empty()) {
        Some(always) => {
            let (before, from) = rules.split_at(always);
            (before, from.first().map_or(fallback, |rule| rule.action))
        }
        None => (rules, fallback),
    };
    let fallback = dag.answer(fallback);
    if rules.is_empty() {
        return fallback;
    }
    let words = Words { big_endian };
    let in_turn = one_after_the_other(dag, words, rules, fallback);
    match Cutter::new(dag, words, rules, fallback).cut_all() {
        // Cutting makes the shorter ways, so it may be a little larger.
        Some(cut) if dag.size(cut) <= dag.size(in_turn) * 5 / 4 + 4 => cut,
        _ => in_turn,
    }
}

/// Where the halves of an argument are.
#[derive(Clone, Copy)]
struct Words {
    big_endian: bool,
}

impl Words {
    fn low(self, arg: u8) -> Load {
        Load::word(SeccompData::low_half(arg, self.big_endian))
    }

    fn high(self, arg: u8) -> Load {
        Load::word(SeccompData::high_half(arg, self.big_endian))
    }
}

/// Each rule by itself, in their order.
fn one_after_the_other(dag: &mut Dag, words: Words, rules: &[Rule], fallback: NodeId) -> NodeId {
    rules.iter().rev().fold(fallback, |otherwise, rule| {
        let matched = dag.answer(rule.action);
        rule.conditions
            .iter()
            .rev()
            .fold(matched, |then, &condition| {
                if matches!(condition.op(), Op::MaskedEq(_)) {
                    return masked(dag, words, condition, then, otherwise);
                }
                let mut ranges = Ranges::default();
                for (from, sample) in intervals(condition.width(), [condition]) {
                    let holds = holds(condition, sample);
                    ranges.push(from, if holds { then } else { otherwise });
                }
                ranges.decide(dag, words, condition.arg(), condition.width())
            })
    })
}

/// Does the condition hold where its own argument has this value?
fn holds(condition: Condition, value: u64) -> bool {
    condition.holds(&[value; 6])
}

/// The starts of the intervals in which all of these comparisons stay the same, with a value of each.
fn intervals(
    width: Width,
    conditions: impl IntoIterator<Item = Condition>,
) -> impl Iterator<Item = (u64, u64)> {
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
    starts.into_iter().map(|start| (start, start))
}

/// A masked comparison, half by half; a half that the mask leaves out is not looked at.
fn masked(dag: &mut Dag, words: Words, condition: Condition, yes: NodeId, no: NodeId) -> NodeId {
    let Op::MaskedEq(mask) = condition.op() else {
        return no;
    };
    let value = condition.value();
    let low_half = half(
        dag,
        words.low(condition.arg()),
        low(mask),
        low(value),
        yes,
        no,
    );
    let high_word = words.high(condition.arg());
    half(dag, high_word, high(mask), high(value), low_half, no)
}

fn half(dag: &mut Dag, word: Load, mask: u32, value: u32, yes: NodeId, no: NodeId) -> NodeId {
    match (mask, value) {
        (_, 0) => dag.ask(word, Test::Set(mask), no, yes),
        (u32::MAX, _) => dag.ask(word, Test::Eq(value), yes, no),
        _ if mask.is_power_of_two() => dag.ask(word, Test::Set(mask), yes, no),
        _ => dag.ask(Load { mask, ..word }, Test::Eq(value), yes, no),
    }
}

/// A total map from 64-bit values to nodes: where each range starts.
#[derive(Default)]
struct Ranges(Vec<(u64, NodeId)>);

impl Ranges {
    fn push(&mut self, start: u64, node: NodeId) {
        if self.0.last().is_none_or(|&(_, last)| last != node) {
            self.0.push((start, node));
        }
    }

    fn decide(&self, dag: &mut Dag, words: Words, arg: u8, width: Width) -> NodeId {
        let mut by_high: Vec<(u32, Vec<(u32, NodeId)>)> = Vec::new();
        let mut add = |high: u32, low: u32, node: NodeId| match by_high.last_mut() {
            Some((last, lows)) if *last == high => lows.push((low, node)),
            _ => by_high.push((high, vec![(low, node)])),
        };
        let ends = self.0.iter().skip(1).map(|&(start, _)| start - 1);
        for (&(start, node), end) in self.0.iter().zip(ends.chain([u64::MAX])) {
            add(high(start), low(start), node);
            // The whole high halves between, and the one in which the range ends.
            if high(end) > high(start) {
                add(high(start) + 1, 0, node);
            }
            if high(end) > high(start).saturating_add(1) {
                add(high(end), 0, node);
            }
        }
        let mut highs = Vec::new();
        for (high, lows) in by_high {
            highs.push((high, one_word(dag, words.low(arg), &lows)));
        }
        match width {
            Width::W32 => highs
                .first()
                .map_or_else(|| dag.answer(Action::KillProcess), |first| first.1),
            Width::W64 => one_word(dag, words.high(arg), &highs),
        }
    }
}

/// The decision over one word, from where each range starts.
fn one_word(dag: &mut Dag, load: Load, ranges: &[(u32, NodeId)]) -> NodeId {
    let mut map = Map::default();
    let ends = ranges.iter().skip(1).map(|&(start, _)| start - 1);
    for (&(first, node), last) in ranges.iter().zip(ends.chain([u32::MAX])) {
        map.push(Run {
            first,
            last,
            node,
            weight: 0,
        });
    }
    let Some((bits, inside)) = subsets(&map) else {
        return search::tree(dag, load, &map);
    };
    let rest =
        map.without(|run| run.node == inside && run.first == run.last && run.first & !bits == 0);
    let outside = search::tree(dag, load, &rest);
    dag.ask(load, Test::Set(!bits), outside, inside)
}

/// The bits of which every combination, and nothing else of these bits, is a single value that leads to one
/// node: flags, which one question about all *other* bits decides. At least two bits, or one that saves
/// something.
fn subsets(map: &Map) -> Option<(u32, NodeId)> {
    let inside = map.runs().first().filter(|run| run.first == run.last)?.node;
    let leads_inside = |value: u32| {
        let at = map.runs().partition_point(|run| run.last < value);
        let run = map.runs().get(at);
        run.is_some_and(|run| run.node == inside && run.first == run.last)
    };
    let all_combinations = |bits: u32| {
        let mut part = bits;
        loop {
            if !leads_inside(part) {
                return false;
            }
            if part == 0 {
                return true;
            }
            part = (part - 1) & bits;
        }
    };
    let singles = map.runs().iter().filter(|run| run.first == run.last);
    singles
        .map(|run| run.first)
        .filter(|bits| (1..=6).contains(&bits.count_ones()) && all_combinations(*bits))
        .max_by_key(|bits| bits.count_ones())
        .map(|bits| (bits, inside))
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
            Op::MaskedEq(mask) if mask != condition.width().mask() => Self::Masked(condition),
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
            looks: 1 << 24,
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
        let mut asked: Vec<(Question, usize)> = Vec::new();
        for condition in self.open(rest) {
            let question = Question::of(condition);
            match asked.iter_mut().find(|(other, _)| *other == question) {
                Some((_, count)) => *count += 1,
                None => asked.push((question, 1)),
            }
        }
        let most = asked.iter().map(|&(_, count)| count).max()?;
        let first = asked.into_iter().find(|&(_, count)| count == most)?;
        Some(first.0)
    }

    fn by_interval(&mut self, rest: &Rest, arg: u8, width: Width) -> Option<NodeId> {
        let question = Question::Interval(arg, width);
        let conditions: Vec<Condition> = self
            .open(rest)
            .filter(|&condition| Question::of(condition) == question)
            .collect();
        let mut ranges = Ranges::default();
        let intervals: Vec<_> = intervals(width, conditions).collect();
        if intervals.len() > 2 * MAX_INSNS {
            // No program has so many questions.
            return None;
        }
        for (start, sample) in intervals {
            self.looks = self.looks.checked_sub(rest.len())?;
            let left = self.left(rest, |condition| {
                (Question::of(condition) == question).then(|| holds(condition, sample))
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
