//! From a policy to its decision graph: architecture, number, arguments, in this order.
//!
//! Arguments are never looked at before the number is known, and a call that is allowed whatever its
//! arguments ends in a plain `ALLOW`: so the kernel's constant-action bitmap can hold it (`bpf::cache`).

use std::collections::BTreeMap;

use super::dag::{Dag, Load, Node, NodeId, Test};
use super::leaf;
use super::search::{self, Map, Run};
use crate::arch::{Arch, Endian, X32_BIT};
use crate::bpf::SeccompData;
use crate::policy::{Abi, Policy, Rule};
use crate::syscall::Sysno;

const ARCH: Load = Load::word(SeccompData::ARCH);
const NR: Load = Load::word(SeccompData::NR);

/// The other bit that decides whose a number is: only -1 has both and is x86-64's.
const SIGN_BIT: u32 = 0x8000_0000;

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
        dag: Dag::default(),
        leaves: Vec::new(),
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
    dag: Dag,
    leaves: Vec<(Sysno, NodeId)>,
}

/// A stretch of numbers that are read against one architecture.
struct Section {
    arch: Arch,
    first: u32,
    last: u32,
}

/// How the numbers of an audit value are divided: x86-64 shares its with x32 ([`Arch::of_call`]).
fn sections(arch: Arch) -> Vec<Section> {
    let section = |arch, first, last| Section { arch, first, last };
    if arch.audit() != Arch::X86_64.audit() {
        return vec![section(arch, 0, u32::MAX)];
    }
    vec![
        section(Arch::X86_64, 0, X32_BIT - 1),
        section(Arch::X32, X32_BIT, SIGN_BIT - 1),
        section(Arch::X86_64, SIGN_BIT, SIGN_BIT + X32_BIT - 1),
        section(Arch::X32, SIGN_BIT + X32_BIT, u32::MAX - 1),
        section(Arch::X86_64, u32::MAX, u32::MAX),
    ]
}

impl Decider<'_> {
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
        let mut map = Map::default();
        for section in sections(arch) {
            self.section(&mut map, &section, gate);
        }
        let peeled = self.peeled(&map);
        let is_peeled = |run: &Run| peeled.iter().any(|peel| peel.first == run.first);
        let rest = search::tree(&mut self.dag, NR, &map.without(is_peeled));
        // What is put in last is asked first.
        peeled.iter().rev().fold(rest, |no, run| {
            self.dag.ask(NR, Test::Eq(run.first), run.node, no)
        })
    }

    fn section(&mut self, map: &mut Map, section: &Section, gate: Option<NodeId>) {
        let abi = self.policy.abi(section.arch);
        let range = section.first..=section.last;
        let own = abi.iter().flat_map(|abi| abi.syscalls.range(range.clone()));
        let mut numbers: Vec<(u32, &[Rule])> = own.map(|(&nr, rules)| (nr, &rules[..])).collect();
        let gate = gate.filter(|_| section.arch == Arch::NATIVE);
        if gate.is_some() {
            let gated = self.gated.iter().filter(|nr| range.contains(nr));
            numbers.extend(gated.map(|&nr| (nr, &[][..])));
            numbers.sort_by_key(|&(nr, _)| nr);
            numbers.dedup_by_key(|&mut (nr, _)| nr);
        }
        let mut next = Some(section.first);
        for (nr, rules) in numbers {
            if let Some(first) = next.filter(|&first| first < nr) {
                self.without_rules(map, abi, first, nr - 1);
            }
            let node = match gate {
                Some(gate) if self.gated.contains(&nr) => gate,
                _ => self.with_rules(section.arch, nr, rules),
            };
            let sysno = Sysno {
                arch: section.arch,
                nr,
            };
            let weight = self.weights.and_then(|weights| weights.get(&sysno));
            map.push(Run {
                first: nr,
                last: nr,
                node,
                weight: weight.copied().unwrap_or(0),
            });
            next = nr.checked_add(1);
        }
        if let Some(first) = next.filter(|&first| first <= section.last) {
            self.without_rules(map, abi, first, section.last);
        }
    }

    /// Numbers that only the fallbacks speak of: from [`crate::policy::Newer::from`] on another one, and for
    /// -1 again the default.
    fn without_rules(&mut self, map: &mut Map, abi: Option<&Abi>, first: u32, last: u32) {
        let newer = abi.and_then(|abi| abi.newer).map(|newer| newer.from);
        let mut first = first;
        for border in newer.into_iter().chain([u32::MAX]) {
            if first < border && border <= last {
                self.fallback(map, abi, first, border - 1);
                first = border;
            }
        }
        self.fallback(map, abi, first, last);
    }

    fn fallback(&mut self, map: &mut Map, abi: Option<&Abi>, first: u32, last: u32) {
        let action = abi.map_or(self.policy.bad_arch, |abi| abi.fallback(first).0);
        let node = self.dag.answer(action);
        map.push(Run {
            first,
            last,
            node,
            weight: 0,
        });
    }

    /// The policy's verdict on one number.
    fn with_rules(&mut self, arch: Arch, nr: u32, rules: &[Rule]) -> NodeId {
        if let Some(Rule {
            conditions, action, ..
        }) = rules.first()
            && conditions.is_empty()
        {
            return self.dag.answer(*action);
        }
        let abi = self.policy.abi(arch);
        let fallback = abi.map_or(self.policy.bad_arch, |abi| abi.fallback(nr).0);
        let big_endian = arch.endian() == Endian::Big;
        let node = leaf::decide(&mut self.dag, big_endian, rules, fallback);
        if !self.dag.is_answer(node) {
            self.leaves.push((Sysno { arch, nr }, node));
        }
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
            let rules = abi.and_then(|abi| abi.syscalls.get(&nr));
            let rules = rules.map_or(&[][..], Vec::as_slice);
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
    /// runs for. Asking for one of them first makes its way short, and every other way longer by one.
    fn peeled(&self, map: &Map) -> Vec<Run> {
        const MOST: usize = 3;
        let mut checked: Vec<Run> = map
            .runs()
            .iter()
            .filter(|run| {
                run.first == run.last && matches!(self.dag.node(run.node), Node::Ask { .. })
            })
            .filter(|run| run.first & X32_BIT == 0)
            .copied()
            .collect();
        if self.weights.is_none() && checked.len() > MOST {
            return Vec::new();
        }
        checked.sort_by_key(|run| std::cmp::Reverse(run.weight));
        checked.truncate(MOST);
        checked
    }
}
