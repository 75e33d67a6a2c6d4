//! From a policy to its decision graph: architecture, number, arguments, in this order.
//!
//! Arguments are never looked at before the number is known, and a call that is allowed whatever its
//! arguments ends in a plain `ALLOW`: so the kernel's constant-action bitmap can hold it (`bpf::cache`).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::dag::{Dag, Load, Node, NodeId, Test};
use super::leaf;
use super::search::{self, Map, Run};
use super::stats;
use crate::action::Action;
use crate::arch::{Arch, Endian, X32_BIT};
use crate::bpf::SeccompData;
use crate::policy::{Alike, Policy, Rule, Rules, same, settled};
use crate::syscall::Sysno;

const ARCH: Load = Load::word(SeccompData::ARCH);
const NR: Load = Load::word(SeccompData::NR);

/// A policy as a decision graph.
pub(super) struct Decision {
    pub(super) dag: Dag,
    pub(super) root: NodeId,
    /// Every syscall that has rules, and its part of the graph.
    pub(super) leaves: Vec<(Sysno, NodeId)>,
}

/// The decision of a policy, with the launch gate before these native numbers.
pub(super) fn decide(
    policy: &Policy,
    gated: &[u32],
    weights: Option<&BTreeMap<Sysno, u64>>,
) -> Decision {
    let mut decider = Decider {
        policy,
        gated,
        weights,
        followed: 0,
        dag: Dag::default(),
        leaves: Vec::new(),
        decided: BTreeMap::new(),
    };
    let root = decider.by_arch();
    Decision {
        dag: decider.dag,
        root,
        leaves: decider.leaves,
    }
}

struct Decider<'a> {
    policy: &'a Policy,
    gated: &'a [u32],
    weights: Option<&'a BTreeMap<Sysno, u64>>,
    /// How many numbers the kernel follows the filter for, of the architecture whose numbers are gone through.
    followed: u32,
    dag: Dag,
    leaves: Vec<(Sysno, NodeId)>,
    /// By the entry of the profile that their first rule is from: the last that was decided.
    decided: BTreeMap<usize, Decided<'a>>,
}

/// Rules with conditions, and their decision.
struct Decided<'a> {
    rules: &'a [Rule],
    fallback: Action,
    big_endian: bool,
    node: NodeId,
}

/// A stretch of numbers, first to last, that are read against one architecture.
type Section = (Arch, u32, u32);

/// How the numbers of an audit value are divided: x86-64 shares its with x32, whose numbers come after its
/// own, but for -1 ([`Arch::of_call`]).
fn sections(arch: Arch) -> Vec<Section> {
    if arch.audit() != Arch::X86_64.audit() {
        return vec![(arch, 0, u32::MAX)];
    }
    vec![
        (Arch::X86_64, 0, X32_BIT - 1),
        (Arch::X32, X32_BIT, u32::MAX - 1),
        (Arch::X86_64, u32::MAX, u32::MAX),
    ]
}

impl<'a> Decider<'a> {
    /// Which architecture? They are asked in the policy's order, which has the native one first.
    fn by_arch(&mut self) -> NodeId {
        let mut archs: Vec<Arch> = self.policy.abis.iter().map(|abi| abi.arch).collect();
        if !self.gated.is_empty() {
            archs.push(Arch::NATIVE);
        }
        let mut distinct: Vec<Arch> = Vec::new();
        for arch in archs {
            if distinct.iter().all(|other| other.audit() != arch.audit()) {
                distinct.push(arch);
            }
        }
        let trees: Vec<(Arch, NodeId)> = distinct
            .into_iter()
            .map(|arch| (arch, self.by_number(arch)))
            .collect();
        let bad_arch = self.dag.answer(self.policy.bad_arch);
        trees.into_iter().rev().fold(bad_arch, |no, (arch, yes)| {
            self.dag.ask(ARCH, Test::Eq(arch.audit()), yes, no)
        })
    }

    /// Which number? All of them have a place in the map, -1 too.
    fn by_number(&mut self, arch: Arch) -> NodeId {
        let gate = self.gate(arch);
        self.followed = stats::table_len(arch);
        let mut map = Map::of_numbers();
        for section in sections(arch) {
            self.section(&mut map, section, gate);
        }
        let peeled = self.peeled(&map);
        let is_peeled = |run: &Run| peeled.iter().any(|peel| peel.first == run.first);
        let rest = search::tree(&mut self.dag, NR, &map.without(is_peeled));
        // What is put in last is asked first.
        peeled.iter().rev().fold(rest, |no, run| {
            self.dag.ask(NR, Test::Eq(run.first), run.node, no)
        })
    }

    /// Puts a section into the map.
    fn section(&mut self, map: &mut Map, section: Section, gate: Option<NodeId>) {
        let (arch, mut start, end) = section;
        if let Some(gate) = gate.filter(|_| arch == Arch::NATIVE) {
            let section = start..=end;
            for &nr in self.gated.iter().filter(|nr| section.contains(nr)) {
                if start < nr {
                    self.ungated(map, arch, start..=nr - 1);
                }
                map.push(Run {
                    first: nr,
                    last: nr,
                    node: gate,
                    weight: self.weight(arch, nr..=nr),
                });
                start = nr + 1;
            }
        }
        if start <= end {
            self.ungated(map, arch, start..=end);
        }
    }

    /// Numbers that the gate does not stand before.
    fn ungated(&mut self, map: &mut Map, arch: Arch, numbers: RangeInclusive<u32>) {
        let (start, end) = numbers.clone().into_inner();
        let abi = self.policy.abi(arch);
        let rules = abi.map_or(Rules::none(), |abi| &abi.syscalls);
        let mut next = Some(start);
        for Alike { first, last, rules } in rules.alike(numbers) {
            if let Some(start) = next.filter(|&start| start < first) {
                self.without_rules(map, arch, start..=first - 1);
            }
            map.push(Run {
                first,
                last,
                node: self.with_rules(arch, first, rules),
                weight: self.weight(arch, first..=last),
            });
            next = last.checked_add(1);
        }
        if let Some(first) = next.filter(|&first| first <= end) {
            self.without_rules(map, arch, first..=end);
        }
    }

    /// Numbers that only the fallbacks speak of: from [`crate::policy::Newer::from`] on another one, and for
    /// -1 again the default.
    fn without_rules(&mut self, map: &mut Map, arch: Arch, numbers: RangeInclusive<u32>) {
        let abi = self.policy.abi(arch);
        let (mut first, last) = numbers.into_inner();
        let newer = abi.and_then(|abi| abi.newer).map(|newer| newer.from);
        for border in newer.into_iter().chain([u32::MAX]) {
            if first < border && border <= last {
                self.fallback(map, arch, first, border - 1);
                first = border;
            }
        }
        self.fallback(map, arch, first, last);
    }

    /// Numbers that all get the fallback of the first.
    fn fallback(&mut self, map: &mut Map, arch: Arch, first: u32, last: u32) {
        let abi = self.policy.abi(arch);
        let action = abi.map_or(self.policy.bad_arch, |abi| abi.fallback(first).0);
        let run = Run {
            first,
            last,
            node: self.dag.answer(action),
            weight: self.weight(arch, first..=last),
        };
        map.push(run);
    }

    /// How often these numbers are called. Where nothing is known of that, how many of them the kernel follows the filter
    /// for when it installs it: for hundreds, which is two fifths of installing.
    fn weight(&self, arch: Arch, numbers: RangeInclusive<u32>) -> u64 {
        let (first, last) = numbers.into_inner();
        let Some(weights) = self.weights else {
            let end = self.followed.min(last.saturating_add(1));
            return end.saturating_sub(first).into();
        };
        let sysnos = Sysno { arch, nr: first }..=Sysno { arch, nr: last };
        let weights = weights.range(sysnos).map(|(_, &weight)| weight);
        weights.fold(0, u64::saturating_add)
    }

    /// The policy's verdict on one number.
    fn with_rules(&mut self, arch: Arch, nr: u32, rules: &'a [Rule]) -> NodeId {
        if let Some(rule) = settled(rules) {
            return self.dag.answer(rule.action);
        }
        let abi = self.policy.abi(arch);
        let fallback = abi.map_or(self.policy.bad_arch, |abi| abi.fallback(nr).0);
        let node = self.by_arguments(arch, rules, fallback);
        if !self.dag.is_answer(node) {
            self.leaves.push((Sysno { arch, nr }, node));
        }
        node
    }

    /// The decision of rules with conditions. An entry of a profile mostly says the same for all its names and on all
    /// architectures.
    fn by_arguments(&mut self, arch: Arch, rules: &'a [Rule], fallback: Action) -> NodeId {
        let big_endian = arch.endian() == Endian::Big;
        let entry = rules.first().map_or(usize::MAX, |rule| rule.origin);
        if let Some(known) = self.decided.get(&entry)
            && same(known.rules, rules)
            && (known.fallback, known.big_endian) == (fallback, big_endian)
        {
            return known.node;
        }
        let node = leaf::decide(&mut self.dag, big_endian, rules, fallback);
        let decided = Decided {
            rules,
            fallback,
            big_endian,
            node,
        };
        self.decided.insert(entry, decided);
        node
    }

    /// The launch gate, with the verdicts of the calls that it stands before behind it: one for all of them,
    /// because it is long.
    fn gate(&mut self, arch: Arch) -> Option<NodeId> {
        if self.gated.is_empty() || arch.audit() != Arch::NATIVE.audit() {
            return None;
        }
        let mut verdicts = Vec::new();
        for &nr in self.gated {
            let abi = self.policy.abi(Arch::NATIVE);
            let rules = abi.and_then(|abi| abi.syscalls.get(nr));
            let rules = rules.unwrap_or_default();
            verdicts.push((nr, self.with_rules(Arch::NATIVE, nr, rules)));
        }
        let (_, last) = verdicts.pop()?;
        let otherwise = verdicts.into_iter().fold(last, |no, (nr, yes)| {
            self.dag.ask(NR, Test::Eq(nr), yes, no)
        });
        Some(self.dag.gate(otherwise))
    }

    /// The calls that are asked for before all others, in this order.
    ///
    /// Where the kernel caches constant answers, calls whose arguments are checked are what the filter still
    /// runs for. Asking for one of them first makes its way short, and every other way longer by one: it is
    /// done as long as that is a gain, by the weights, or taking all such calls for equally frequent.
    fn peeled(&self, map: &Map) -> Vec<Run> {
        let checks = |run: &Run| matches!(self.dag.node(run.node), Node::Ask { .. });
        let frequency = |run: &Run| match self.weights {
            Some(_) => u128::from(run.weight),
            // x32 is not cached at all, and hardly used.
            None => u128::from(checks(run) && run.first < X32_BIT),
        };
        let runs = map.runs().iter();
        let mut checked: Vec<Run> = runs
            .clone()
            .filter(|run| run.first == run.last && checks(run))
            .copied()
            .collect();
        checked.sort_by_key(|run| std::cmp::Reverse(run.weight));

        let uncached = runs.filter(|run| !self.dag.is(run.node, Action::Allow));
        let mut running: u128 = uncached.map(frequency).sum();
        let depth = map.runs().len().checked_ilog2().unwrap_or(0) + 1;
        let mut peeled = Vec::new();
        for (run, saved) in checked.into_iter().zip((1..depth).rev()) {
            let own = frequency(&run);
            running = running.saturating_sub(own);
            if own * u128::from(saved) <= running {
                break;
            }
            peeled.push(run);
        }
        peeled
    }
}
