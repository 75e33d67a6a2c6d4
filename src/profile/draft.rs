//! The rules of one architecture, collected name by name and then put in the order in which they decide.

use super::dialect::{ArgWidth, UnknownCalls};
use super::findings::{Oddity, ResolveError};
use super::model::Condition;
use super::multiplex::{Multiplexed, Multiplexers};
use super::width::{fits, width_of};
use crate::action::Action;
use crate::arch::Arch;
use crate::bpf::high;
use crate::policy::{self, Abi, Newer, Op, Rules, Width};
use crate::syscall::{Name, Sysno};

/// More rules than this cannot be meant: a filter has 4096 instructions.
const MAX_RULES: usize = 1 << 18;

const ENOSYS: u16 = 38;

/// How early a rule is asked, among those for one syscall. Within a class it is the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Without conditions: before all those with.
    Unconditional,
    /// The companion of one without conditions, which on the direct way beats all those with.
    CompanionOfUnconditional,
    /// With conditions, or the companion of one with conditions.
    Conditional,
    /// Says what the file's own default says. Runtimes drop such rules, so they must not win over others;
    /// they are kept because the default can be overridden.
    AsDefault,
}

/// A rule for one number, before it is in its place.
struct Entry {
    place: Place,
    is_companion: bool,
    rule: policy::Rule,
}

impl Entry {
    /// The rule, which is then in its place.
    fn take(&mut self) -> policy::Rule {
        policy::Rule {
            conditions: std::mem::take(&mut self.rule.conditions),
            ..self.rule
        }
    }
}

/// What rules are sorted by, as one number: syscall, class, and then the order of the file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64);

impl Place {
    /// `index` is less than [`MAX_RULES`].
    fn new(nr: u32, class: Class, index: usize) -> Self {
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        Self(u64::from(nr) << 32 | (class as u64) << 24 | index)
    }

    const fn nr(self) -> u32 {
        high(self.0)
    }

    fn index(self) -> usize {
        usize::try_from(self.0 & 0xff_ffff).unwrap_or(usize::MAX)
    }
}

/// Something odd, not yet with its place in the file: `origin` is the index of the rule.
pub(super) struct Finding {
    pub(super) origin: usize,
    pub(super) about: Oddity,
}

/// The rules of one architecture while they are collected.
pub(super) struct Draft {
    arch: Arch,
    own_default: Action,
    arg_width: ArgWidth,
    multiplexers: Multiplexers,
    entries: Vec<Entry>,
    findings: Vec<Finding>,
}

impl Draft {
    /// A draft with room for this many rules.
    pub(super) fn new(arch: Arch, own_default: Action, arg_width: ArgWidth, room: usize) -> Self {
        Self {
            arch,
            own_default,
            arg_width,
            multiplexers: Multiplexers::of(arch),
            entries: Vec::with_capacity(room),
            findings: Vec::new(),
        }
    }

    /// Adds a rule for one of its names, of which `companion` is the other way. `false` when the
    /// architecture has no such syscall.
    pub(super) fn add(
        &mut self,
        name: &str,
        known: Option<Name>,
        companion: Option<Multiplexed>,
        alternatives: &[&[Condition]],
        action: Action,
        origin: usize,
    ) -> Result<bool, ResolveError> {
        if self.entries.len() + 2 * alternatives.len() > MAX_RULES {
            return Err(ResolveError::TooManyRules);
        }
        let direct = known.and_then(|known| known.on(self.arch));
        if let Some(sysno) = direct {
            for conditions in alternatives {
                let class = match conditions {
                    _ if action == self.own_default => Class::AsDefault,
                    [] => Class::Unconditional,
                    _ => Class::Conditional,
                };
                self.push(sysno, class, false, conditions, action, origin);
            }
        }
        let companion = companion.and_then(|call| Some((self.multiplexers.get(call)?, call)));
        if let Some((multiplexer, call)) = companion {
            for &conditions in alternatives {
                if !conditions.is_empty() {
                    let about = Oddity::Multiplexed {
                        name: name.to_owned(),
                        multiplexer: call.by,
                        arch: self.arch,
                    };
                    self.findings.push(Finding { origin, about });
                }
                self.add_companion(multiplexer, call.selector, conditions, action, origin);
            }
        }
        Ok(direct.is_some() || companion.is_some())
    }

    /// The same rule for the other way to the call: libseccomp overwrites the first argument with the
    /// call's number there and keeps the others, though they are not the call's arguments.
    fn add_companion(
        &mut self,
        multiplexer: Sysno,
        selector: u64,
        conditions: &[Condition],
        action: Action,
        origin: usize,
    ) {
        let class = match conditions {
            _ if action == self.own_default => Class::AsDefault,
            [] => Class::CompanionOfUnconditional,
            _ => Class::Conditional,
        };
        let selects = Condition {
            index: 0,
            op: Op::Eq,
            value: selector,
        };
        let others = conditions.iter().filter(|condition| condition.index != 0);
        let conditions: Vec<_> = std::iter::once(&selects).chain(others).copied().collect();
        self.push(multiplexer, class, true, &conditions, action, origin);
    }

    fn push(
        &mut self,
        sysno: Sysno,
        class: Class,
        is_companion: bool,
        conditions: &[Condition],
        action: Action,
        origin: usize,
    ) {
        let conditions: Vec<_> = conditions
            .iter()
            .filter_map(|&Condition { index, op, value }| {
                let width = self.width(sysno, index);
                let too_wide = width == Width::W32 && self.arch.is_64bit() && !fits(op, value);
                if too_wide {
                    let name = sysno.to_string();
                    let about = Oddity::WideConstant { name, index };
                    self.findings.push(Finding { origin, about });
                }
                // Compared in 64 bits, then: that is what such a constant was written for.
                let width = if too_wide { Width::W64 } else { width };
                policy::Condition::new(index, width, op, value)
            })
            // One that sees no bits always holds: for libseccomp, too, it is none.
            .filter(|condition| condition.op() != Op::MaskedEq(0))
            .collect();
        let class = match class {
            Class::Conditional if conditions.is_empty() => Class::Unconditional,
            class => class,
        };
        self.entries.push(Entry {
            place: Place::new(sysno.nr, class, self.entries.len()),
            is_companion,
            rule: policy::Rule {
                conditions,
                action,
                origin,
            },
        });
    }

    /// A 32-bit ABI has nothing but the low halves; libseccomp cuts the constants to them.
    fn width(&self, sysno: Sysno, index: u8) -> Width {
        match self.arg_width {
            _ if !self.arch.is_64bit() => Width::W32,
            ArgWidth::Full => Width::W64,
            ArgWidth::Kernel => width_of(sysno, index),
        }
    }

    /// The rules in their order, and what was odd about them.
    pub(super) fn finish(mut self, default: Action, unknown: UnknownCalls) -> (Abi, Vec<Finding>) {
        let sysno = |nr| Sysno {
            arch: self.arch,
            nr,
        };
        let direct = self.entries.iter().filter(|entry| !entry.is_companion);
        let newer = direct
            .map(|entry| entry.place.nr())
            .filter(|&nr| !sysno(nr).is_private())
            .max()
            .filter(|_| unknown == UnknownCalls::EnosysNewer)
            .and_then(|newest| newer(newest, default));
        let mut entries = std::mem::take(&mut self.entries);
        let mut places: Vec<Place> = entries.iter().map(|entry| entry.place).collect();
        places.sort_unstable();
        let mut syscalls = Rules::with_capacity(places.len());
        for place in places {
            let Some(entry) = entries.get_mut(place.index()) else {
                continue;
            };
            match syscalls.last().filter(|(last, _)| *last == place.nr()) {
                // Nothing after a rule that always matches can decide.
                Some((_, last)) if last.conditions.is_empty() => {
                    let finding = self.no_effect(entry, last);
                    self.findings.extend(finding);
                }
                // Companions of rules that differ in the first argument only.
                Some((_, last))
                    if last.conditions == entry.rule.conditions
                        && last.action == entry.rule.action => {}
                _ => syscalls.push(place.nr(), entry.take()),
            }
        }
        let abi = Abi {
            arch: self.arch,
            default,
            newer,
            syscalls,
        };
        self.findings.retain(|finding| match &finding.about {
            Oddity::Multiplexed { multiplexer, .. } => !always_denied(&abi, multiplexer),
            _ => true,
        });
        (abi, self.findings)
    }

    /// The finding that a rule never decides, because `winner` always does.
    fn no_effect(&self, entry: &Entry, winner: &policy::Rule) -> Option<Finding> {
        let Entry { place, rule, .. } = entry;
        let sysno = Sysno {
            arch: self.arch,
            nr: place.nr(),
        };
        let about = || Oddity::NoEffect {
            name: sysno.to_string(),
            action: rule.action,
            winner: winner.action,
        };
        // Nobody wrote a companion.
        let odd = !entry.is_companion && rule.action != winner.action;
        odd.then(|| Finding {
            origin: rule.origin,
            about: about(),
        })
    }
}

/// Is this syscall denied whatever its arguments?
fn always_denied(abi: &Abi, name: &str) -> bool {
    let sysno = Sysno::parse(abi.arch, name);
    let rules = sysno.and_then(|sysno| abi.syscalls.get(sysno.nr));
    rules
        .and_then(|rules| rules.first())
        .is_some_and(|first| first.conditions.is_empty() && !first.action.runs())
}

/// runc's ENOSYS stub (`patchbpf/enosys_linux.go`): only where the default action keeps a call from running.
fn newer(newest: u32, default: Action) -> Option<Newer> {
    let action = Action::Errno(ENOSYS);
    let denies = !matches!(default, Action::Allow | Action::Log | Action::Trace(_));
    (denies && default != action).then_some(Newer {
        from: newest.checked_add(1)?,
        action,
    })
}
