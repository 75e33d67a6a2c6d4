//! From a total map over the values of one word to the questions that find a value's place in it.
//!
//! The map is a list of runs. Neighbouring runs are gathered into groups: one node that most of the group
//! leads to, and a few single values that are asked for by name. Over the groups stands a binary tree. A
//! single value among others thus costs one question, not the two that its borders would; long chains of
//! such questions are avoided, because depth counts as well.

use super::dag::{Dag, Load, NodeId, Test};
use crate::action::Action;

/// A stretch of values that lead to the same node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) node: NodeId,
    /// How often values of this run are looked up; 0 where that is not known.
    pub(super) weight: u64,
}

impl Run {
    fn is_single(&self) -> bool {
        self.first == self.last
    }
}

/// A map from all values that can occur to nodes, as runs in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Map(Vec<Run>);

impl Map {
    /// Adds a run behind the last. Neighbours that lead to the same node become one.
    pub(super) fn push(&mut self, run: Run) {
        match self.0.last_mut() {
            Some(last) if last.node == run.node => {
                last.last = run.last;
                last.weight = last.weight.saturating_add(run.weight);
            }
            _ => self.0.push(run),
        }
    }

    /// The runs, in order.
    pub(super) fn runs(&self) -> &[Run] {
        &self.0
    }

    /// The same map where some values are decided already and do not occur any more.
    pub(super) fn without(&self, decided: impl Fn(&Run) -> bool) -> Self {
        let mut rest = Self::default();
        for &run in self.0.iter().filter(|run| !decided(run)) {
            rest.push(run);
        }
        rest
    }
}

/// The questions that decide over all values of a total map.
pub(super) fn tree(dag: &mut Dag, load: Load, map: &Map) -> NodeId {
    let leaves: Vec<Leaf> = partition(map.runs())
        .into_iter()
        .filter_map(|group| Leaf::new(dag, load, group))
        .collect();
    bisect(dag, load, &balance(&leaves), 0)
}

/// The most single values in a group.
const CHAIN: usize = 2;

/// The cheapest way to cut the runs into groups, by dynamic programming over prefixes.
fn partition(runs: &[Run]) -> Vec<&[Run]> {
    // Of each prefix: what it costs, and where its last group starts.
    let mut best = vec![(0, 0)];
    for end in 1..=runs.len() {
        let reach = end.saturating_sub(2 * CHAIN + 1);
        // A group that is too large stays so when it grows.
        let cheapest = (reach..end).rev().map_while(|from| {
            let singles = singles(runs.get(from..end)?)?;
            // A border of the tree, and a question per single value.
            Some((best.get(from)?.0 + 1 + singles, from))
        });
        // A run alone is always a group, so there is a cheapest.
        best.push(cheapest.min().unwrap_or((usize::MAX / 2, end - 1)));
    }
    let mut groups = Vec::new();
    let mut end = runs.len();
    while let Some(&(_, from)) = best.get(end).filter(|_| end > 0) {
        groups.extend(runs.get(from..end));
        end = from;
    }
    groups.reverse();
    groups
}

/// Where most of the group leads: all runs that do not lead there must be single values. `None` where there
/// is no such node.
fn base(group: &[Run]) -> Option<NodeId> {
    let mut wide = group.iter().filter(|run| !run.is_single());
    if let Some(run) = wide.next() {
        return wide.all(|other| other.node == run.node).then_some(run.node);
    }
    let count = |run: &Run| group.iter().filter(|other| other.node == run.node).count();
    group
        .iter()
        .max_by_key(|run| count(run))
        .map(|run| run.node)
}

/// How many single values the group would ask for; `None` where it makes no group.
fn singles(group: &[Run]) -> Option<usize> {
    let base = base(group)?;
    let singles = group.iter().filter(|run| run.node != base).count();
    (singles <= CHAIN).then_some(singles)
}

/// A group, decided: a leaf of the tree over the groups.
#[derive(Debug, Clone, Copy)]
struct Leaf {
    first: u32,
    node: NodeId,
    height: u32,
    weight: u64,
}

impl Leaf {
    fn new(dag: &mut Dag, load: Load, group: &[Run]) -> Option<Self> {
        let base = base(group)?;
        let mut singles: Vec<&Run> = group.iter().filter(|run| run.node != base).collect();
        // What is put in last is asked first.
        singles.sort_by_key(|run| (run.weight, dag.height(run.node, Some(load))));
        let node = singles.into_iter().fold(base, |no, run| {
            dag.ask(load, Test::Eq(run.first), run.node, no)
        });
        Some(Self {
            first: group.first()?.first,
            node,
            height: dag.height(node, Some(load)),
            weight: group
                .iter()
                .fold(0, |sum, run| run.weight.saturating_add(sum)),
        })
    }
}

/// The sum of the weights up to each leaf, of which [`bisect`] makes the tree.
///
/// A leaf's weight grows with its height, exponentially, because that makes the longest way through the tree
/// short. Known frequencies get the same total, so that they shape the tree and yet make no way much longer.
fn balance(leaves: &[Leaf]) -> Vec<(Leaf, u128)> {
    const HIGHEST: u32 = 40;
    let depth = |leaf: &Leaf| 1_u128 << leaf.height.min(HIGHEST);
    let depths: u128 = leaves.iter().map(depth).sum();
    let frequencies: u128 = leaves.iter().map(|leaf| u128::from(leaf.weight)).sum();
    let mut sum = 0;
    leaves
        .iter()
        .map(|leaf| {
            let share = u128::from(leaf.weight) * depths / frequencies.max(1);
            sum += depth(leaf) + share;
            (*leaf, sum)
        })
        .collect()
}

/// The tree over the leaves, cut at each level where both sides weigh most nearly the same. `before` is the
/// weight of what is left of the leaves.
fn bisect(dag: &mut Dag, load: Load, leaves: &[(Leaf, u128)], before: u128) -> NodeId {
    let (Some(&(only, _)), Some(&(_, total))) = (leaves.first(), leaves.last()) else {
        // No values, no questions. What cannot occur may as well be killed.
        return dag.answer(Action::KillProcess);
    };
    if leaves.len() == 1 {
        return only.node;
    }
    let left_heavier = |&(_, sum): &(Leaf, u128)| 2 * (sum - before) < total - before;
    // The first leaf that makes the left side the heavier one goes there if that is closer to the middle.
    let light = leaves.partition_point(left_heavier).min(leaves.len() - 1);
    let difference = |cut: usize| match cut.checked_sub(1).and_then(|last| leaves.get(last)) {
        Some(&(_, sum)) => (2 * (sum - before)).abs_diff(total - before),
        None => u128::MAX,
    };
    let closer = difference(light + 1) < difference(light) && light + 1 < leaves.len();
    let cut = (light + usize::from(closer)).max(1);
    let (left, right) = leaves.split_at(cut);
    let (Some(&(_, middle)), Some(&(first, _))) = (left.last(), right.first()) else {
        return only.node;
    };
    let yes = bisect(dag, load, right, middle);
    let no = bisect(dag, load, left, before);
    dag.ask(load, Test::Ge(first.first), yes, no)
}
