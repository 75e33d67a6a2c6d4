//! The rules of one architecture, collected name by name and then put in the order in which they decide.

use super::dialect::{ArgWidth, UnknownCalls};
use super::findings::{Oddity, ResolveError};
use super::mentions::Mentions;
use super::model::Condition;
use super::multiplex::{Multiplexed, Multiplexers};
use super::width::{fits, width_of};
use crate::action::Action;
use crate::arch::Arch;
use crate::bpf::high;
use crate::policy::{self, Abi, Newer, Op, Rules, Width};
use crate::syscall::{self, Name, Sysno};

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

/// What an entry of the profile says about some numbers.
struct Said {
    is_companion: bool,
    rule: policy::Rule,
}

/// That a number has a rule, as one number to sort by: syscall, class, and which of [`Draft::said`], which is the order
/// of the file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64);

impl Place {
    /// `said` has less than 24 bits: there is one for each entry of a profile, at most, and each of [`MAX_RULES`].
    fn new(nr: u32, class: Class, said: usize) -> Self {
        let said = u64::try_from(said).unwrap_or(u64::MAX);
        Self(u64::from(nr) << 32 | (class as u64) << 24 | said)
    }

    const fn nr(self) -> u32 {
        high(self.0)
    }

    fn said(self) -> usize {
        usize::try_from(self.0 & 0xff_ffff).unwrap_or(usize::MAX)
    }
}

/// Something odd, not yet with its place in the file: `origin` is the index of the rule.
pub(super) struct Finding {
    pub(super) origin: usize,
    pub(super) about: Oddity,
}

/// An entry of the profile that counts on the host.
pub(super) struct Entry<'p> {
    pub(super) origin: usize,
    pub(super) names: &'p [Name],
    /// Conditions of which one alternative must hold.
    pub(super) alternatives: Vec<&'p [Condition]>,
    pub(super) action: Action,
}

impl Entry<'_> {
    pub(super) fn is_unconditional(&self) -> bool {
        self.alternatives
            .iter()
            .all(|conditions| conditions.is_empty())
    }
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

    /// Adds rules for those names of the entries that the architecture has. `mentions` are the names of those
    /// without conditions.
    pub(super) fn add(
        &mut self,
        entries: &[Entry],
        mentions: &Mentions,
    ) -> Result<(), ResolveError> {
        // They say the same of all their names.
        let mut unconditional = Vec::new();
        for entry in entries {
            let of_all = entry.is_unconditional().then(|| {
                let class = self.class(entry, &[], Class::Unconditional);
                (class, self.say(entry, false, Vec::new()))
            });
            unconditional.extend(of_all);
            for name in entry.names {
                self.has_room_for(2 * entry.alternatives.len())?;
                match of_all {
                    None => self.add_conditional(name, entry),
                    Some((class, said)) if name.index().is_none() => {
                        if let Some(sysno) = name.on(self.arch) {
                            self.put(sysno, class, said);
                        }
                    }
                    // Below, by number.
                    Some(_) => {}
                }
                if let Some((call, multiplexer)) = self.multiplexers.find(name) {
                    self.add_companions(name, call, multiplexer, entry);
                }
            }
        }
        for (sysno, name) in syscall::all_indexed(self.arch) {
            for entry in mentions.of_name(name) {
                self.has_room_for(1)?;
                if let Some(&(class, said)) = unconditional.get(entry) {
                    self.put(sysno, class, said);
                }
            }
        }
        Ok(())
    }

    const fn has_room_for(&self, more: usize) -> Result<(), ResolveError> {
        if self.places.len() + more > MAX_RULES {
            return Err(ResolveError::TooManyRules);
        }
        Ok(())
    }

    fn add_conditional(&mut self, name: &Name, entry: &Entry) {
        if let Some(sysno) = name.on(self.arch) {
            for conditions in &entry.alternatives {
                let class = self.class(entry, conditions, Class::Unconditional);
                let (class, said) = self.compare(sysno, class, false, conditions, entry);
                self.put(sysno, class, said);
            }
        }
    }

    /// The same rules for the other way to the call: libseccomp overwrites the first argument with the
    /// call's number there and keeps the others, though they are not the call's arguments.
    fn add_companions(
        &mut self,
        name: &Name,
        call: Multiplexed,
        multiplexer: Sysno,
        entry: &Entry,
    ) {
        let selects = Condition {
            index: 0,
            op: Op::Eq,
            value: call.selector,
        };
        for conditions in &entry.alternatives {
            if !conditions.is_empty() {
                let about = Oddity::Multiplexed {
                    name: name.to_string(),
                    multiplexer: call.by,
                    arch: self.arch,
                };
                self.note(entry, about);
            }
            let class = self.class(entry, conditions, Class::CompanionOfUnconditional);
            let others = conditions.iter().filter(|condition| condition.index != 0);
            let conditions: Vec<_> = std::iter::once(&selects).chain(others).copied().collect();
            let (class, said) = self.compare(multiplexer, class, true, &conditions, entry);
            self.places.push(Place::new(multiplexer.nr, class, said));
        }
    }

    /// The class of a rule with these conditions; `unconditional` is that of one without any.
    fn class(&self, entry: &Entry, conditions: &[Condition], unconditional: Class) -> Class {
        match conditions {
            _ if entry.action == self.own_default => Class::AsDefault,
            [] => unconditional,
            _ => Class::Conditional,
        }
    }

    /// Adds to what is said that the entry's action is for calls for which these conditions hold.
    fn compare(
        &mut self,
        sysno: Sysno,
        class: Class,
        is_companion: bool,
        conditions: &[Condition],
        entry: &Entry,
    ) -> (Class, usize) {
        let conditions: Vec<_> = conditions
            .iter()
            .filter_map(|&Condition { index, op, value }| {
                let width = self.width(sysno, index);
                let too_wide = width == Width::W32 && self.arch.is_64bit() && !fits(op, value);
                if too_wide {
                    let name = sysno.to_string();
                    self.note(entry, Oddity::WideConstant { name, index });
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
        (class, self.say(entry, is_companion, conditions))
    }

    /// Puts a rule in its place that the profile has for the call itself.
    fn put(&mut self, sysno: Sysno, class: Class, said: usize) {
        if !sysno.is_private() {
            self.newest = self.newest.max(Some(sysno.nr));
        }
        self.places.push(Place::new(sysno.nr, class, said));
    }

    /// Adds to what is said; where it is then, is for [`Place::new`].
    fn say(
        &mut self,
        entry: &Entry,
        is_companion: bool,
        conditions: Vec<policy::Condition>,
    ) -> usize {
        self.said.push(Said {
            is_companion,
            rule: policy::Rule {
                conditions,
                action: entry.action,
                origin: entry.origin,
            },
        });
        self.said.len() - 1
    }

    fn note(&mut self, entry: &Entry, about: Oddity) {
        self.findings.push(Finding {
            origin: entry.origin,
            about,
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
        let newest = self.newest.filter(|_| unknown == UnknownCalls::EnosysNewer);
        let mut findings = std::mem::take(&mut self.findings);
        let mut syscalls = Rules::default();
        // What the last number has, where that is one rule.
        let mut only = None;
        // Stable, because that is quick where most are in order.
        self.places.sort();
        for &place in &self.places {
            let is_first = syscalls.last().is_none_or(|(last, _)| last != place.nr());
            let said = Some(place.said());
            if is_first && only == said {
                syscalls.repeat(place.nr());
            } else {
                findings.extend(self.settle(place, &mut syscalls));
            }
            only = said.filter(|_| is_first);
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
        let said = self.said.get(place.said())?;
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
