//! From a total map over the values of one word to the questions that find a value's place in it.
//!
//! The map is a list of runs. Neighbouring runs are gathered into groups: one node that most of the group
//! leads to, and a few single values that are asked for by name. Over the groups stands a binary tree. A
//! single value among others thus costs one question, not the two that its borders would; how long
//! chains of such questions become is a matter of price, because depth counts as well.

use super::dag::{Dag, Load, NodeId, Test};
use crate::action::Action;

/// A stretch of values that lead to the same node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) node: NodeId,
    /// How often values of this run are looked up, as against those of others.
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
    /// No runs yet, and room for as many as an architecture's numbers usually make.
    pub(super) fn of_numbers() -> Self {
        Self(Vec::with_capacity(128))
    }

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
        let mut rest = Self(Vec::with_capacity(self.0.len()));
        for &run in self.0.iter().filter(|run| !decided(run)) {
            rest.push(run);
        }
        rest
    }
}

/// The questions that decide over all values of a total map.
pub(super) fn tree(dag: &mut Dag, load: Load, map: &Map) -> NodeId {
    if let [run] = map.runs() {
        return run.node;
    }
    let groups = partition(dag, load, map.runs());
    let mut leaves = Vec::with_capacity(groups.len());
    let mut kinds = Group::default();
    let mut singles = Vec::new();
    for group in groups {
        kinds.clear();
        for run in group {
            kinds.add(run, dag.height(run.node, Some(load)));
        }
        let leaf = |base| Leaf::new(dag, load, group, base, &mut singles);
        leaves.extend(kinds.base().and_then(leaf));
    }
    bisect(dag, load, &balance(&leaves), 0)
}

/// The most single values in a group. More would gain next to nothing.
const CHAIN: u32 = 8;

/// The price of a level of the tree: an instruction for so many runs.
const RUNS_PER_LEVEL: u64 = 64;

/// How much of the tree's room a leaf takes up: one that is higher by a level leaves half the room for the
/// others. Powers of two must fit, so heights from a certain one on are alike.
fn room(height: u32) -> u64 {
    const HIGHEST: u32 = 24;
    1 << height.min(HIGHEST)
}

/// The cheapest way to cut the runs into groups, by dynamic programming over prefixes.
///
/// A group of many single values saves instructions and makes a high leaf. Instructions and height have one
/// price: as much room as all runs take up by themselves is a level more of the tree.
fn partition<'r>(dag: &Dag, load: Load, runs: &'r [Run]) -> Vec<&'r [Run]> {
    let heights: Vec<u32> = runs
        .iter()
        .map(|run| dag.height(run.node, Some(load)))
        .collect();
    let all: u64 = heights.iter().copied().map(room).sum();
    // What these are multiplied with is small: they do not overflow.
    let level = u64::try_from(runs.len()).unwrap_or(u64::MAX);
    let single = RUNS_PER_LEVEL * all;
    // Of each prefix: what it costs, and where its last group starts.
    let mut best = Vec::with_capacity(runs.len() + 1);
    best.push((0, 0));
    let mut group = Group::default();
    for end in 1..=runs.len() {
        group.clear();
        let (runs, heights) = (runs.get(..end), heights.get(..end));
        let before = runs.unwrap_or_default().iter();
        let before = before.zip(heights.unwrap_or_default()).zip(&best);
        let mut cheapest = (u64::MAX, end - 1);
        for (from, ((run, &height), &(cost, _))) in before.enumerate().rev() {
            // A group that is too large stays so when it grows.
            let Some(singles) = group.add(run, height) else {
                break;
            };
            // A border of the tree, and a question per single value.
            let own = single * (1 + u64::from(singles));
            let so_far = own.saturating_add(cost);
            if so_far < cheapest.0 {
                let all = so_far.saturating_add(level * room(group.height()));
                cheapest = cheapest.min((all, from));
            }
        }
        best.push(cheapest);
    }
    let mut groups = Vec::with_capacity(runs.len());
    let mut end = runs.len();
    while let Some(&(_, from)) = best.get(end).filter(|_| end > 0) {
        groups.extend(runs.get(from..end));
        end = from;
    }
    groups.reverse();
    groups
}

/// Runs that may become one leaf.
#[derive(Default)]
struct Group {
    /// The nodes that the runs lead to, highest first.
    kinds: Vec<Kind>,
    /// How many runs there are.
    runs: u32,
    /// Which of the kinds most of the group leads to; of several, the last one.
    base: usize,
    /// Where those lead that are more than a single value: to one node, or they make no group. It is the base then.
    wide: Option<NodeId>,
    /// How high the leaf is, where that is known: more runs to the base do not change it, and every other run is one.
    height: Option<u32>,
}

/// The runs of a group that lead to the same node.
struct Kind {
    node: NodeId,
    height: u32,
    runs: u32,
}

impl Group {
    fn clear(&mut self) {
        self.kinds.clear();
        (self.runs, self.base, self.wide, self.height) = (0, 0, None, None);
    }

    /// Adds a run. How many single values must be asked for now? `None` where it is a group no more.
    fn add(&mut self, run: &Run, height: u32) -> Option<u32> {
        self.runs += 1;
        let to_base = self
            .kinds
            .get_mut(self.base)
            .filter(|base| base.node == run.node);
        if let Some(base) = to_base
            && (run.is_single() || self.wide == Some(run.node))
        {
            base.runs += 1;
            return Some(self.runs - base.runs);
        }
        if !run.is_single() && *self.wide.get_or_insert(run.node) != run.node {
            return None;
        }
        self.height = None;
        let at = self.place(run.node, height);
        let kind = self.kinds.get_mut(at)?;
        kind.runs += 1;
        let mine = kind.runs;
        if !run.is_single() {
            self.base = at;
        } else if self.wide.is_none() {
            let most = self.kinds.get(self.base)?.runs;
            if (mine, at) > (most, self.base) {
                self.base = at;
            }
        }
        let singles = self.runs - self.kinds.get(self.base)?.runs;
        (singles <= CHAIN).then_some(singles)
    }

    /// How high the leaf is.
    fn height(&mut self) -> u32 {
        if let Some(known) = self.height {
            return known;
        }
        let (mut singles, mut highest, mut base) = (0, 0, 0);
        for (at, kind) in self.kinds.iter().enumerate() {
            if at == self.base {
                base = kind.height;
            } else {
                singles += kind.runs;
                highest = highest.max(singles + kind.height);
            }
        }
        *self.height.insert(highest.max(singles + base))
    }

    /// Where this node is among the kinds, of which it becomes one.
    fn place(&mut self, node: NodeId, height: u32) -> usize {
        let mut place = 0;
        for (at, kind) in self.kinds.iter().enumerate() {
            if kind.node == node {
                return at;
            }
            if kind.height > height {
                place = at + 1;
            }
        }
        // What was the base is behind it now.
        if place <= self.base && !self.kinds.is_empty() {
            self.base += 1;
        }
        let runs = 0;
        self.kinds.insert(place, Kind { node, height, runs });
        place
    }

    /// Where most of the group leads.
    fn base(&self) -> Option<NodeId> {
        self.kinds.get(self.base).map(|kind| kind.node)
    }
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
    /// Of these runs, most of which lead to `base`. `singles` is room for the others.
    fn new<'r>(
        dag: &mut Dag,
        load: Load,
        group: &'r [Run],
        base: NodeId,
        singles: &mut Vec<&'r Run>,
    ) -> Option<Self> {
        singles.clear();
        singles.extend(group.iter().filter(|run| run.node != base));
        // What is put in last is asked first.
        singles.sort_by_key(|run| (run.weight, dag.height(run.node, Some(load))));
        let node = singles.iter().fold(base, |no, run| {
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
/// short. Frequencies get the same total, so that they shape the tree and yet make no way much longer.
fn balance(leaves: &[Leaf]) -> Vec<(Leaf, u128)> {
    const HIGHEST: u32 = 40;
    let depth = |leaf: &Leaf| 1_u128 << leaf.height.min(HIGHEST);
    let depths: u128 = leaves.iter().map(depth).sum();
    let frequencies: u128 = leaves.iter().map(|leaf| u128::from(leaf.weight)).sum();
    let mut sum = 0_u128;
    leaves
        .iter()
        .map(|leaf| {
            // Each multiplied with the other's total, and both have the same.
            let own = depth(leaf).saturating_mul(frequencies.max(1));
            let often = u128::from(leaf.weight).saturating_mul(depths);
            sum = sum.saturating_add(own).saturating_add(often);
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
    let left_heavier = |&(_, sum): &(Leaf, u128)| sum - before < total - sum;
    // The first leaf that makes the left side the heavier one goes there if that is closer to the middle.
    let light = leaves.partition_point(left_heavier).min(leaves.len() - 1);
    let difference = |cut: usize| match cut.checked_sub(1).and_then(|last| leaves.get(last)) {
        Some(&(_, sum)) => (sum - before).abs_diff(total - sum),
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
