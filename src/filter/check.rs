//! Does the program say what the policy says? Asked of every program before it is used.
//!
//! For architectures and numbers the answer is a proof: the program's ways are followed for all of them
//! ([`regions`]). Where arguments decide, the program is run at the borders of the rules.

use std::collections::BTreeMap;
use std::iter;
use std::ops::ControlFlow;

use super::CompileError;
use super::points::{arguments, plain, share};
use crate::action::Action;
use crate::arch::{Arch, Endian, X32_BIT};
use crate::bpf::regions::{Region, Unfollowed, regions};
use crate::bpf::vm::Vm;
use crate::bpf::{SeccompData, Words};
use crate::policy::{Abi, About, Alike, Call, Policy, Rule, Rules, settled};

/// A call on which program and policy do not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nr {:#x} of audit arch {:#x} with {:x?} gives {got:#x}, not {want:#x}", call.nr, call.audit, call.args)]
pub struct Mismatch {
    /// The call.
    pub call: Call,
    /// What the policy says, as the kernel writes it.
    pub want: u32,
    /// What the program says.
    pub got: u32,
}

/// The call as the program sees it.
pub(super) fn words(call: &Call) -> Words {
    let data = SeccompData {
        nr: call.nr,
        arch: call.audit,
        ip: 0,
        args: call.args,
    };
    data.words(endian(call.audit, call.nr) == Some(Endian::Big))
}

/// The byte order of the architecture that a call is read against.
fn endian(audit: u32, nr: u32) -> Option<Endian> {
    Arch::of_call(audit, nr).map(Arch::endian)
}

/// How many calls are made for arguments, about: enough for every border of a usual policy, and few enough
/// to take microseconds.
const ARGUMENT_POINTS: usize = 2048;

/// The calls that the launch gate stands before, and what opens it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate<'a> {
    /// In ascending order.
    pub(super) numbers: &'a [u32],
    /// Arguments 3 to 5 of the launching call.
    pub(super) secret: [u64; 3],
}

/// Compares program and policy, and the gate, if there is one.
pub(super) fn check(policy: &Policy, vm: &Vm, gate: Option<Gate<'_>>) -> Result<(), CompileError> {
    let mut audits: Vec<u32> = policy.abis.iter().map(|abi| abi.arch.audit()).collect();
    audits.extend(gate.map(|_| Arch::NATIVE.audit()));
    audits.sort_unstable();
    audits.dedup();
    let mut checker = Checker {
        policy,
        gate,
        audits: &audits,
        asking: Vec::new(),
    };
    let walked = regions(vm, |region| match checker.region(&region) {
        Ok(()) => ControlFlow::Continue(()),
        Err(wrong) => ControlFlow::Break(wrong),
    })?;
    match walked {
        ControlFlow::Continue(()) => Ok(checker.arguments(vm)?),
        ControlFlow::Break(wrong) => Err(wrong),
    }
}

struct Checker<'a> {
    policy: &'a Policy,
    gate: Option<Gate<'a>>,
    /// The architectures of which more is to be said than one action.
    audits: &'a [u32],
    /// The numbers of which arguments decide.
    asking: Vec<Asking<'a>>,
}

/// A number of which arguments decide.
struct Asking<'a> {
    audit: u32,
    nr: u32,
    rules: &'a [Rule],
    is_gated: bool,
    /// Where the program has got to when it knows architecture and number.
    pc: usize,
}

/// Numbers that are read against the same rules, in a region.
#[derive(Clone, Copy)]
struct Stretch<'r, 'a> {
    region: &'r Region<'r>,
    audit: u32,
    abi: Option<&'a Abi>,
}

impl<'a> Checker<'a> {
    /// Is this what the policy says of the region's calls, as far as no arguments decide?
    fn region(&mut self, region: &Region<'_>) -> Result<(), CompileError> {
        let archs = region.archs;
        for &audit in self.audits {
            if archs.contains(audit) {
                self.numbers(region, audit)?;
                if archs.first == archs.last {
                    return Ok(());
                }
            }
        }
        let is_other = |audit: &u32| archs.contains(*audit) && !self.audits.contains(audit);
        match (archs.first..=archs.last).find(is_other) {
            Some(audit) => expect(region, audit, (0, u32::MAX), self.policy.bad_arch),
            None => Ok(()),
        }
    }

    fn numbers(&mut self, region: &Region<'_>, audit: u32) -> Result<(), CompileError> {
        const BORDERS: [(u32, u32); 3] = [
            (0, X32_BIT - 1),
            (X32_BIT, u32::MAX - 1),
            (u32::MAX, u32::MAX),
        ];
        for (first, last) in BORDERS {
            let Some((mut first, last)) = region.numbers.within(first, last) else {
                continue;
            };
            let arch = Arch::of_call(audit, first);
            let abi = arch.and_then(|arch| self.policy.abi(arch));
            let stretch = Stretch { region, audit, abi };
            for &gated in self.gated(audit) {
                if (first..=last).contains(&gated) {
                    if first < gated {
                        self.stretch(stretch, first, gated - 1)?;
                    }
                    let rules = abi.and_then(|abi| abi.syscalls.get(gated));
                    self.ask(stretch, gated, rules.unwrap_or_default(), true);
                    first = gated + 1;
                }
            }
            if first <= last {
                self.stretch(stretch, first, last)?;
            }
        }
        Ok(())
    }

    /// The numbers of this architecture that the gate stands before.
    fn gated(&self, audit: u32) -> &'a [u32] {
        let gate = self.gate.filter(|_| audit == Arch::NATIVE.audit());
        gate.map_or(&[], |gate| gate.numbers)
    }

    /// Numbers without a gate.
    fn stretch(
        &mut self,
        stretch: Stretch<'_, 'a>,
        first: u32,
        last: u32,
    ) -> Result<(), CompileError> {
        let Stretch { region, audit, abi } = stretch;
        let rules = abi.map_or(Rules::none(), |abi| &abi.syscalls);
        let mut next = Some(first);
        for Alike { first, last, rules } in rules.alike(first..=last) {
            if let Some(next) = next.filter(|&next| next < first) {
                self.without_rules(stretch, next, first - 1)?;
            }
            next = last.checked_add(1);
            match settled(rules) {
                Some(rule) => expect(region, audit, (first, last), rule.action)?,
                None => self.ask(stretch, first, rules, false),
            }
        }
        match next {
            Some(next) if next <= last => self.without_rules(stretch, next, last),
            _ => Ok(()),
        }
    }

    /// Remembers a number of which arguments decide, if it is in the region.
    fn ask(&mut self, stretch: Stretch<'_, 'a>, nr: u32, rules: &'a [Rule], is_gated: bool) {
        let Stretch { region, audit, .. } = stretch;
        if region.numbers.contains(nr) {
            self.asking.push(Asking {
                audit,
                nr,
                rules,
                is_gated,
                pc: region.pc,
            });
        }
    }

    /// Numbers that only the fallbacks speak of.
    fn without_rules(
        &self,
        stretch: Stretch<'_, 'a>,
        mut first: u32,
        last: u32,
    ) -> Result<(), CompileError> {
        let newer = stretch.abi.and_then(|abi| abi.newer);
        // At these it changes: see `Abi::fallback`.
        let borders = newer.map(|newer| newer.from).into_iter().chain([u32::MAX]);
        for border in borders.filter(|&border| border <= last) {
            if first < border {
                self.fallback(stretch, first, border - 1)?;
                first = border;
            }
        }
        self.fallback(stretch, first, last)
    }

    /// Numbers that all get the fallback of the first.
    fn fallback(
        &self,
        stretch: Stretch<'_, 'a>,
        first: u32,
        last: u32,
    ) -> Result<(), CompileError> {
        let Stretch { region, audit, abi } = stretch;
        let want = abi.map_or(self.policy.bad_arch, |abi| abi.fallback(first).0);
        expect(region, audit, (first, last), want)
    }

    /// Compares program and policy where arguments decide.
    fn arguments(&self, vm: &Vm) -> Result<(), Mismatch> {
        let share = share(ARGUMENT_POINTS, self.asking.len());
        let mut calls = Vec::new();
        let mut checked = BTreeMap::new();
        for asking in &self.asking {
            let Asking { audit, nr, .. } = *asking;
            let about = self.policy.about(audit, nr);
            let endian = endian(audit, nr);
            // The same instructions for the same rules, and they do not ask whose these are: they would do the same.
            let is_checked = |(of, known): &(_, About)| *of == endian && about.decides_like(known);
            if !asking.is_gated && checked.get(&asking.pc).is_some_and(is_checked) {
                continue;
            }
            calls.clear();
            calls.push(plain(audit, nr));
            arguments(plain(audit, nr), asking.rules, share, &mut calls);
            if let Some(gate) = self.gate {
                calls.extend(
                    gate.tries(asking.is_gated)
                        .map(|args| Call { audit, nr, args }),
                );
            }
            let mut asked_which = false;
            for &call in &calls {
                let opened = self.gate.is_some_and(|gate| gate.opens(&call));
                let want = if opened {
                    Action::Allow
                } else {
                    about.decide(&call.args).0
                };
                let want = want.to_ret();
                let outcome = vm.run_from(asking.pc, &words(&call));
                let got = outcome.answer;
                if want != got {
                    return Err(Mismatch { call, want, got });
                }
                asked_which |= outcome.asked_which;
            }
            if !asking.is_gated && !asked_which {
                checked.insert(asking.pc, (endian, about));
            }
        }
        Ok(())
    }
}

/// Does the program give calls of an architecture this answer, as far as these numbers are in the region?
fn expect(
    region: &Region<'_>,
    audit: u32,
    (first, last): (u32, u32),
    want: Action,
) -> Result<(), CompileError> {
    let want = want.to_ret();
    if region.answer == Some(want) {
        return Ok(());
    }
    let Some((nr, _)) = region.numbers.within(first, last) else {
        return Ok(());
    };
    match region.answer {
        Some(got) => {
            let call = plain(audit, nr);
            Err(Mismatch { call, want, got }.into())
        }
        // It looks at arguments that do not matter: not what we compile.
        None => Err(Unfollowed { pc: region.pc }.into()),
    }
}

impl Gate<'_> {
    pub(super) fn opens(&self, call: &Call) -> bool {
        let [.., d, e, f] = call.args;
        call.audit == Arch::NATIVE.audit()
            && self.numbers.contains(&call.nr)
            && [d, e, f] == self.secret
    }

    /// Arguments to try at a number: the secret; and at a gated one every half of it off by one bit.
    fn tries(self, is_gated: bool) -> impl Iterator<Item = [u64; 6]> {
        let [d, e, f] = self.secret;
        let right = [0, 1, 2, d, e, f];
        let wrong = (3..6).flat_map(move |at| {
            [1_u64, 1 << 32].map(|bit| {
                let mut args = right;
                if let Some(arg) = args.get_mut(at) {
                    *arg ^= bit;
                }
                args
            })
        });
        let wrong = wrong.chain([[d; 6]]);
        iter::once(right).chain(is_gated.then_some(wrong).into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::{Insn, code};
    use crate::policy::{Condition, Op, Width};

    const fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
        Insn { code, jt, jf, k }
    }

    /// Allows the numbers 1 and 2 where their first argument is one of these.
    fn policy(values: [u64; 2]) -> Policy {
        let rule = |value| Rule {
            conditions: Condition::new(0, Width::W32, Op::Eq, value)
                .into_iter()
                .collect(),
            action: Action::Allow,
            origin: 0,
        };
        let syscalls = [(1, values[0]), (2, values[1])];
        let abi = Abi {
            arch: Arch::X86_64,
            default: Action::Errno(1),
            newer: None,
            syscalls: syscalls
                .into_iter()
                .map(|(nr, value)| (nr, [rule(value)]))
                .collect(),
        };
        Policy {
            abis: vec![abi],
            bad_arch: Action::KillProcess,
        }
    }

    #[test]
    fn numbers_that_go_the_same_way_are_compared_once_and_others_each() {
        let start = [
            insn(code::LD_ABS, 0, 0, SeccompData::ARCH),
            insn(code::JEQ_K, 1, 0, Arch::X86_64.audit()),
            insn(code::RET_K, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
            insn(code::LD_ABS, 0, 0, SeccompData::NR),
            insn(code::JGE_K, 0, 2, X32_BIT),
            insn(code::JEQ_K, 3, 0, u32::MAX),
            insn(code::RET_K, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
            insn(code::JEQ_K, 2, 0, 1),
            insn(code::JEQ_K, 1, 0, 2),
            insn(code::RET_K, 0, 0, Action::Errno(1).to_ret()),
            insn(code::LD_ABS, 0, 0, SeccompData::low_half(0, false)),
        ];
        let of_both = [
            insn(code::JEQ_K, 1, 0, 5),
            insn(code::RET_K, 0, 0, Action::Errno(1).to_ret()),
            insn(code::RET_K, 0, 0, Action::Allow.to_ret()),
        ];
        let of_first = [
            insn(code::JEQ_K, 1, 0, 5),
            insn(code::RET_K, 0, 0, Action::Errno(1).to_ret()),
            insn(code::LD_ABS, 0, 0, SeccompData::NR),
            insn(code::JEQ_K, 0, 1, 1),
            insn(code::RET_K, 0, 0, Action::Allow.to_ret()),
            insn(code::RET_K, 0, 0, Action::Errno(1).to_ret()),
        ];
        let cases: [(&[Insn], [u64; 2], Option<u32>); 4] = [
            (&of_both, [5, 5], None),
            (&of_both, [5, 6], Some(2)),
            (&of_both, [6, 5], Some(1)),
            (&of_first, [5, 5], Some(2)),
        ];
        for (end, values, want) in cases {
            let vm = Vm::new(&[&start[..], end].concat()).unwrap();
            let wrong = match check(&policy(values), &vm, None) {
                Ok(()) => None,
                Err(CompileError::Wrong(wrong)) => Some(wrong.call.nr),
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(wrong, want, "{values:?} {end:?}");
        }
    }
}
