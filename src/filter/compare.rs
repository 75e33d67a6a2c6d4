//! Comparisons of 64-bit arguments by a machine that loads 32 bits at a time.
//!
//! An argument is decided by its high half first, then by its low one: the high half is nearly always to be
//! zero, and so one question for all the values of an argument.

use super::dag::{Dag, Load, NodeId, Test};
use super::search::{self, Map, Run};
use crate::action::Action;
use crate::bpf::{SeccompData, high, low};
use crate::policy::{Condition, Op, Width};

/// Where the halves of an argument are.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub(super) big_endian: bool,
}

impl Words {
    fn low(self, arg: u8) -> Load {
        Load::word(SeccompData::low_half(arg, self.big_endian))
    }

    fn high(self, arg: u8) -> Load {
        Load::word(SeccompData::high_half(arg, self.big_endian))
    }
}

/// Whether an argument has a value: what [`Ranges`] ask where one of them is one value, and no others are there.
pub(super) fn equal(
    dag: &mut Dag,
    words: Words,
    condition: Condition,
    yes: NodeId,
    no: NodeId,
) -> NodeId {
    let (arg, value) = (condition.arg(), condition.value());
    let then = is(dag, words.low(arg), low(value), yes, no);
    match condition.width() {
        Width::W32 => then,
        Width::W64 => is(dag, words.high(arg), high(value), then, no),
    }
}

/// Whether a word has a value. At an end of all values [`search::tree`] asks for the border, where one side is higher than
/// the other: the same question is to be the same node.
fn is(dag: &mut Dag, word: Load, value: u32, yes: NodeId, no: NodeId) -> NodeId {
    let is_even = dag.height(yes, Some(word)) == dag.height(no, Some(word));
    match value {
        0 if !is_even => dag.ask(word, Test::Ge(1), no, yes),
        u32::MAX if !is_even => dag.ask(word, Test::Ge(value), yes, no),
        _ => dag.ask(word, Test::Eq(value), yes, no),
    }
}

/// A masked comparison, half by half; a half that the mask leaves out is not looked at.
pub(super) fn masked(
    dag: &mut Dag,
    words: Words,
    condition: Condition,
    yes: NodeId,
    no: NodeId,
) -> NodeId {
    let Op::MaskedEq(mask) = condition.op() else {
        return no;
    };
    let value = condition.value();
    let (low_word, high_word) = (words.low(condition.arg()), words.high(condition.arg()));
    let then = half(dag, low_word, low(mask), low(value), yes, no);
    half(dag, high_word, high(mask), high(value), then, no)
}

/// One half of it, by the shortest question there is.
fn half(dag: &mut Dag, word: Load, mask: u32, value: u32, yes: NodeId, no: NodeId) -> NodeId {
    match (mask, value) {
        (u32::MAX, _) => dag.ask(word, Test::Eq(value), yes, no),
        (_, 0) => dag.ask(word, Test::Set(mask), no, yes),
        _ if mask.is_power_of_two() => dag.ask(word, Test::Set(mask), yes, no),
        _ => dag.ask(Load { mask, ..word }, Test::Eq(value), yes, no),
    }
}

/// A total map from 64-bit values to nodes: where each range starts.
#[derive(Default)]
pub(super) struct Ranges(Vec<(u64, NodeId)>);

impl Ranges {
    /// Adds what is from here on.
    pub(super) fn push(&mut self, start: u64, node: NodeId) {
        if self.0.last().is_none_or(|&(_, last)| last != node) {
            self.0.push((start, node));
        }
    }

    /// The questions that decide this argument.
    pub(super) fn decide(&self, dag: &mut Dag, words: Words, arg: u8, width: Width) -> NodeId {
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

/// Up to six bits of which every combination, zero too, is a single value that leads to the same node. One
/// question, whether any *other* bit is set, decides all of them.
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
