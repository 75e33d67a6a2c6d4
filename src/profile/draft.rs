//! The rules of one architecture, collected name by name and then put in the order in which they decide.

use std::iter;

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

/// Into so many stretches a profile as Docker's own divides the numbers of an architecture, and hardly one has more than
/// one rule. To start with less is to grow, and to leave holes behind.
const USUAL: usize = 104;

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
    /// Those of them that are in no table: numbers written as names, and names of no call.
    pub(super) unlisted: Vec<&'p Name>,
    pub(super) conditions: &'p [Condition],
    /// One of the conditions is enough.
    pub(super) any_is_enough: bool,
    pub(super) action: Action,
}

impl<'p> Entry<'p> {
    pub(super) const fn is_unconditional(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Conditions that hold together, of which one alternative is enough.
    fn alternatives(&self) -> impl Iterator<Item = &'p [Condition]> {
        let (all, each) = if self.any_is_enough {
            (None, self.conditions)
        } else {
            (Some(self.conditions), &[][..])
        };
        all.into_iter().chain(each.chunks(1))
    }
}

/// The rules of one architecture while they are collected.
pub(super) struct Draft {
    arch: Arch,
    own_default: Action,
    arg_width: ArgWidth,
    multiplexers: Multiplexers,
    said: Vec<Said>,
    /// What has a place of its own: all but what entries without conditions say of the names in the tables.
    places: Vec<Place>,
    /// How many rules there are.
    count: usize,
    /// The highest number that the profile names.
    newest: Option<u32>,
    findings: Vec<Finding>,
}

/// What an entry without conditions says of all its names: how early, and which of [`Draft::said`].
type OfAll = (Class, usize);

impl Draft {
    pub(super) fn new(arch: Arch, own_default: Action, arg_width: ArgWidth) -> Self {
        Self {
            arch,
            own_default,
            arg_width,
            multiplexers: Multiplexers::of(arch),
            said: Vec::new(),
            places: Vec::new(),
            count: 0,
            newest: None,
            findings: Vec::new(),
        }
    }

    /// The rules for those names of the entries that the architecture has, in their order, and what was odd about them.
    /// `mentions` are the names of the entries without conditions.
    pub(super) fn rules(
        mut self,
        entries: &[Entry],
        mentions: &Mentions,
        default: Action,
        unknown: UnknownCalls,
    ) -> Result<(Abi, Vec<Finding>), ResolveError> {
        let of_all = self.collect(entries)?;
        let syscalls = self.by_number(&of_all, mentions)?;
        let newest = self.newest.filter(|_| unknown == UnknownCalls::EnosysNewer);
        let abi = Abi {
            arch: self.arch,
            default,
            newer: newest.and_then(|newest| newer(newest, default)),
            syscalls,
        };
        let mut findings = self.findings;
        findings.retain(|finding| match &finding.about {
            Oddity::Multiplexed { multiplexer, .. } => !always_denied(&abi, multiplexer),
            _ => true,
        });
        Ok((abi, findings))
    }

    /// Gives a place to whatever has one of its own. Returns what the entries without conditions say.
    fn collect(&mut self, entries: &[Entry]) -> Result<Vec<OfAll>, ResolveError> {
        let mut unconditional = Vec::new();
        for entry in entries {
            if entry.is_unconditional() {
                let class = self.class(entry, &[], Class::Unconditional);
                let said = self.say(entry, false, Vec::new());
                unconditional.push((class, said));
                // The names in the tables come by number, later.
                let arch = self.arch;
                for sysno in entry.unlisted.iter().filter_map(|name| name.on(arch)) {
                    self.put(sysno, class, said)?;
                }
                if !self.multiplexers.is_none() {
                    for name in entry.names {
                        self.add_companions(name, entry)?;
                    }
                }
            } else {
                for name in entry.names {
                    self.add_conditional(name, entry)?;
                    self.add_companions(name, entry)?;
                }
            }
        }
        Ok(unconditional)
    }

    /// All rules, number by number. What the tables have is by number already; the few others are sorted in.
    fn by_number(&mut self, of_all: &[OfAll], mentions: &Mentions) -> Result<Rules, ResolveError> {
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable();
        let mut others = places.as_slice();
        let mut settled = Settled {
            rules: Rules::with_room(USUAL, USUAL),
            only: None,
        };
        let mut several = Vec::new();
        for (sysno, name) in syscall::all_indexed(self.arch) {
            let entries = mentions.of_name(name);
            let Some(&(class, first)) = entries.first().and_then(|&entry| of_all.get(entry)) else {
                continue;
            };
            self.count(entries.len())?;
            self.names(sysno);
            // Of most numbers one thing is said, the same as of the last.
            let is_only = entries.len() == 1 && others.first().is_none_or(|p| p.nr() > sysno.nr);
            if is_only && settled.repeat(sysno.nr, first) {
                continue;
            }
            let (mut lower, mut same) = (&[][..], &[][..]);
            if others.first().is_some_and(|place| place.nr() <= sysno.nr) {
                (lower, others) = others.split_at(others.partition_point(|p| p.nr() < sysno.nr));
                (same, others) = others.split_at(others.partition_point(|p| p.nr() == sysno.nr));
            }
            settled.numbers(self, lower);
            several.clear();
            several.push(Place::new(sysno.nr, class, first));
            let more = entries
                .iter()
                .skip(1)
                .filter_map(|&entry| of_all.get(entry));
            several.extend(more.map(|&(class, said)| Place::new(sysno.nr, class, said)));
            several.extend(same);
            several.sort_unstable();
            settled.number(self, &several);
        }
        settled.numbers(self, others);
        Ok(settled.rules)
    }

    const fn count(&mut self, more: usize) -> Result<(), ResolveError> {
        self.count += more;
        if self.count > MAX_RULES {
            return Err(ResolveError::TooManyRules);
        }
        Ok(())
    }

    fn add_conditional(&mut self, name: &Name, entry: &Entry) -> Result<(), ResolveError> {
        if let Some(sysno) = name.on(self.arch) {
            for conditions in entry.alternatives() {
                let class = self.class(entry, conditions, Class::Unconditional);
                let conditions = conditions.iter().copied();
                let (class, said) = self.compare(sysno, class, false, conditions, entry);
                self.put(sysno, class, said)?;
            }
        }
        Ok(())
    }

    /// The same rules for the other way to the call, where there is one: libseccomp overwrites the first argument with the
    /// call's number there and keeps the others, though they are not the call's arguments.
    #[inline]
    fn add_companions(&mut self, name: &Name, entry: &Entry) -> Result<(), ResolveError> {
        // Asked of every name, and few have one.
        match self.multiplexers.find(name) {
            Some((call, multiplexer)) => self.accompany(name, entry, call, multiplexer),
            None => Ok(()),
        }
    }

    #[inline(never)]
    fn accompany(
        &mut self,
        name: &Name,
        entry: &Entry,
        call: Multiplexed,
        multiplexer: Sysno,
    ) -> Result<(), ResolveError> {
        let selects = Condition {
            index: 0,
            op: Op::Eq,
            value: call.selector,
        };
        for conditions in entry.alternatives() {
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
            let conditions = iter::once(selects).chain(others.copied());
            let (class, said) = self.compare(multiplexer, class, true, conditions, entry);
            self.count(1)?;
            self.places.push(Place::new(multiplexer.nr, class, said));
        }
        Ok(())
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
        conditions: impl Iterator<Item = Condition>,
        entry: &Entry,
    ) -> (Class, usize) {
        let conditions: Vec<_> = conditions
            .filter_map(|Condition { index, op, value }| {
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
    fn put(&mut self, sysno: Sysno, class: Class, said: usize) -> Result<(), ResolveError> {
        self.count(1)?;
        self.names(sysno);
        self.places.push(Place::new(sysno.nr, class, said));
        Ok(())
    }

    /// The profile names this call.
    fn names(&mut self, sysno: Sysno) {
        if self.newest.is_none_or(|newest| newest < sysno.nr) && !sysno.is_private() {
            self.newest = Some(sysno.nr);
        }
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

    #[cold]
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

/// The rules that are settled: of all numbers up to the last.
struct Settled {
    rules: Rules,
    /// What is said of the last number, where that is one rule.
    only: Option<usize>,
}

impl Settled {
    /// Adds numbers with their places, in order.
    fn numbers(&mut self, draft: &mut Draft, places: &[Place]) {
        for places in places.chunk_by(|one, other| one.nr() == other.nr()) {
            self.number(draft, places);
        }
    }

    /// Adds one number, with its places in order.
    fn number(&mut self, draft: &mut Draft, places: &[Place]) {
        let only = match places {
            [place] if self.repeat(place.nr(), place.said()) => return,
            [place] => Some(place.said()),
            _ => None,
        };
        for &place in places {
            let finding = draft.settle(place, &mut self.rules);
            draft.findings.extend(finding);
        }
        self.only = only;
    }

    /// Adds a number of which this is said and nothing else, if that is so of the last one, too.
    fn repeat(&mut self, nr: u32, said: usize) -> bool {
        let is_same = self.only == Some(said);
        if is_same {
            self.rules.repeat(nr);
        }
        is_same
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
