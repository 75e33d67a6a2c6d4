//! The rules of one architecture, collected name by name and then put in the order in which they decide.

use super::dialect::{ArgWidth, UnknownCalls};
use super::findings::{Oddity, ResolveError};
use super::model::Condition;
use super::multiplex::{Multiplexed, Multiplexers, multiplexed};
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

/// What an entry of the profile says about a number, the same for the names of it that follow each other.
#[derive(PartialEq)]
struct Said {
    is_companion: bool,
    rule: policy::Rule,
}

/// That a number has a rule, as one number to sort by: syscall, class, and which of [`Draft::said`], which is the order
/// of the file.
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

/// An entry of the profile that counts on the host.
pub(super) struct Counting<'p> {
    pub(super) origin: usize,
    pub(super) names: &'p [String],
    /// What the names are, looked up once for all architectures.
    pub(super) known: Vec<Option<Name>>,
    /// Conditions of which one alternative must hold.
    pub(super) alternatives: Vec<&'p [Condition]>,
    pub(super) action: Action,
}

/// The rules of one architecture while they are collected.
pub(super) struct Draft {
    arch: Arch,
    own_default: Action,
    arg_width: ArgWidth,
    multiplexers: Multiplexers,
    said: Vec<Said>,
    places: Vec<Place>,
    /// The highest number that the profile names.
    newest: Option<u32>,
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
            said: Vec::new(),
            places: Vec::with_capacity(room),
            newest: None,
            findings: Vec::new(),
        }
    }

    /// Adds rules for those names of the entry that the architecture has.
    pub(super) fn add(&mut self, entry: &Counting) -> Result<(), ResolveError> {
        for (name, known) in entry.names.iter().zip(&entry.known) {
            if self.places.len() + 2 * entry.alternatives.len() > MAX_RULES {
                return Err(ResolveError::TooManyRules);
            }
            if let Some(sysno) = known.and_then(|known| known.on(self.arch)) {
                self.add_direct(sysno, entry);
            }
            if let Some(call) = multiplexed(name)
                && let Some(multiplexer) = self.multiplexers.get(call)
            {
                self.add_companions(name, multiplexer, call, entry);
            }
        }
        Ok(())
    }

    fn add_direct(&mut self, sysno: Sysno, entry: &Counting) {
        if !sysno.is_private() {
            self.newest = self.newest.max(Some(sysno.nr));
        }
        for conditions in &entry.alternatives {
            let class = match conditions {
                _ if entry.action == self.own_default => Class::AsDefault,
                [] => Class::Unconditional,
                _ => Class::Conditional,
            };
            self.push(sysno, class, false, conditions, entry);
        }
    }

    /// The same rules for the other way to the call: libseccomp overwrites the first argument with the
    /// call's number there and keeps the others, though they are not the call's arguments.
    fn add_companions(
        &mut self,
        name: &str,
        multiplexer: Sysno,
        call: Multiplexed,
        entry: &Counting,
    ) {
        let selects = Condition {
            index: 0,
            op: Op::Eq,
            value: call.selector,
        };
        for conditions in &entry.alternatives {
            let class = match conditions {
                _ if entry.action == self.own_default => Class::AsDefault,
                [] => Class::CompanionOfUnconditional,
                _ => Class::Conditional,
            };
            if !conditions.is_empty() {
                let about = Oddity::Multiplexed {
                    name: name.to_owned(),
                    multiplexer: call.by,
                    arch: self.arch,
                };
                self.find(entry, about);
            }
            let others = conditions.iter().filter(|condition| condition.index != 0);
            let conditions: Vec<_> = std::iter::once(&selects).chain(others).copied().collect();
            self.push(multiplexer, class, true, &conditions, entry);
        }
    }

    fn find(&mut self, entry: &Counting, about: Oddity) {
        self.findings.push(Finding {
            origin: entry.origin,
            about,
        });
    }

    fn push(
        &mut self,
        sysno: Sysno,
        class: Class,
        is_companion: bool,
        conditions: &[Condition],
        entry: &Counting,
    ) {
        let conditions: Vec<_> = conditions
            .iter()
            .filter_map(|&Condition { index, op, value }| {
                let width = self.width(sysno, index);
                let too_wide = width == Width::W32 && self.arch.is_64bit() && !fits(op, value);
                if too_wide {
                    let name = sysno.to_string();
                    self.find(entry, Oddity::WideConstant { name, index });
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
        let said = Said {
            is_companion,
            rule: policy::Rule {
                conditions,
                action: entry.action,
                origin: entry.origin,
            },
        };
        if self.said.last() != Some(&said) {
            self.said.push(said);
        }
        let index = self.said.len() - 1;
        self.places.push(Place::new(sysno.nr, class, index));
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
        let newest = self.newest.filter(|_| unknown == UnknownCalls::EnosysNewer);
        let mut findings = std::mem::take(&mut self.findings);
        let mut syscalls = Rules::default();
        let mut before = None;
        self.places.sort_unstable();
        for of_number in self.places.chunk_by(|a, b| a.nr() == b.nr()) {
            let only = match of_number {
                [only] => Some(only.index()),
                _ => None,
            };
            match of_number {
                [same] if only == before => syscalls.repeat(same.nr()),
                _ => {
                    let places = of_number.iter();
                    findings.extend(places.filter_map(|&place| self.settle(place, &mut syscalls)));
                }
            }
            before = only;
        }
        let abi = Abi {
            arch: self.arch,
            default,
            newer: newest.and_then(|newest| newer(newest, default)),
            syscalls,
        };
        findings.retain(|finding| match &finding.about {
            Oddity::Multiplexed { multiplexer, .. } => !always_denied(&abi, multiplexer),
            _ => true,
        });
        (abi, findings)
    }

    /// Puts a rule behind those of its number that are asked earlier, where it can decide anything.
    fn settle(&self, place: Place, syscalls: &mut Rules) -> Option<Finding> {
        let said = self.said.get(place.index())?;
        match syscalls.last().filter(|(last, _)| *last == place.nr()) {
            // Nothing after a rule that always matches can decide.
            Some((_, last)) if last.conditions.is_empty() => {
                return self.no_effect(place.nr(), said, last);
            }
            // Companions of rules that differ in the first argument only.
            Some((_, last))
                if last.conditions == said.rule.conditions && last.action == said.rule.action => {}
            _ => syscalls.push(place.nr(), said.rule.clone()),
        }
        None
    }

    /// The finding that a rule never decides, because `winner` always does.
    fn no_effect(&self, nr: u32, said: &Said, winner: &policy::Rule) -> Option<Finding> {
        let Said { is_companion, rule } = said;
        let sysno = Sysno {
            arch: self.arch,
            nr,
        };
        let about = || Oddity::NoEffect {
            name: sysno.to_string(),
            action: rule.action,
            winner: winner.action,
        };
        // Nobody wrote a companion.
        let odd = !is_companion && rule.action != winner.action;
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
