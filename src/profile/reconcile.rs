//! Profiles that contradict each other, merged into one that allows what any of them allows.
//!
//! [`Profile::union`] refuses contradictions: a learner must not guess. Here each is decided, and told:
//!
//! * Of different default actions the greatest in the kernel's order is taken, which denies least severely:
//!   `KILL_PROCESS` < `KILL_THREAD` < `TRAP` < `ERRNO` < `TRACE` < `LOG` < `ALLOW`; of two errnos the larger.
//! * What allows beats what denies, for the same conditions and for overlapping ones: rules that allow are
//!   listed first. A denial without conditions would beat them all the same, so it is dropped.
//! * Of two denials with the same conditions, the greater stays.
//! * Under a default that allows, a denial stays only where every profile with such a default has it, and no
//!   other allows the syscall.
//! * A rule that no other profile speaks against stays as it is, and so do rules whose order matters.
//!
//! Which of several entries for a name stay is a partial order on entries, and each of the other rules asks
//! only for the presence of something that no merge takes away. So the result does not depend on the order or
//! the grouping of the merges.
//!
//! One limit: rules with conditions on `socketcall` or `ipc` themselves, beside rules that allow and deny the
//! calls which these carry, depend on the order of different names, and only that within a name is kept.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::merge::{Kind, MergeError, merged_architectures};
use super::model::{Flag, Profile, Rule};
use super::multiplex::multiplexed;
use crate::action::Action;
use crate::policy::Op;
use crate::syscall::Name;

/// A contradiction between profiles, and how it was decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// The default actions differ.
    #[error(
        "the default actions differ ({}): {taken} is taken, which denies least severely",
        List(all)
    )]
    DefaultAction {
        /// All of them.
        all: Vec<Action>,
        /// The one that was taken.
        taken: Action,
    },
    /// The flags differ.
    #[error("the flags differ: all of them are taken ({})", Flags(taken))]
    Flags {
        /// The flags of the result.
        taken: Vec<Flag>,
    },
    /// Rules for the same syscall give different answers.
    #[error(
        "{} in different profiles: {first} goes first, for {}",
        List(answers),
        Names(names)
    )]
    Rules {
        /// The syscalls.
        names: Vec<String>,
        /// All answers, the one that goes first at the beginning.
        answers: Vec<Action>,
        /// The one that goes first.
        first: Action,
    },
    /// A rule of one profile denies what another allows without a rule for it.
    #[error(
        "{} by a rule of one profile, allowed by another without one: allowed, for {}",
        List(denials),
        Names(names)
    )]
    Opened {
        /// The syscalls.
        names: Vec<String>,
        /// What they got.
        denials: Vec<Action>,
    },
}

type Answer = (Action, Option<u16>);

impl Kind {
    /// May it match whatever the arguments are? Its conditions may be none on some architecture: masks that
    /// see nothing, or nothing of 32 bits.
    fn may_always_hold(&self) -> bool {
        let sees_nothing = |op: Op| matches!(op, Op::MaskedEq(mask) if mask.trailing_zeros() >= 32);
        let mut tested = BTreeSet::new();
        let twice = self.conditions.iter().any(|c| !tested.insert(c.index));
        let mut conditions = self.conditions.iter();
        if twice {
            // Any one of them is enough then.
            conditions.any(|condition| sees_nothing(condition.op))
        } else {
            conditions.all(|condition| sees_nothing(condition.op))
        }
    }

    /// Does it apply to every call on every host?
    fn is_free(&self) -> bool {
        self.conditions.is_empty() && self.is_unscoped()
    }

    /// Is `other` superfluous beside this one, for the same name? A partial order.
    fn outranks(&self, other: &Self) -> bool {
        if self.is_free() && self.action.runs() && !other.is_free() {
            return true;
        }
        let covers =
            self.conditions == other.conditions && (self.same_scope(other) || self.is_unscoped());
        let same = self.same_scope(other) && self.answer() == other.answer();
        covers && self.answer() >= other.answer() && (!same || self.comment < other.comment)
    }

    /// The same but for the comment?
    fn agrees_with(&self, other: &Self) -> bool {
        self.said() == other.said()
    }
}

/// The entries for one name, in the order in which they decide.
type Entries<'k> = Vec<&'k Kind>;

/// The entries in the order that lets each do the most: what a single order of all entries can say.
fn flat<'k>(entries: &[&'k Kind], multiplexed: bool) -> Entries<'k> {
    let allows = |kind: &&Kind| kind.action.runs();
    let some_allowed = entries.iter().any(allows);
    let some_allowed_by_argument = entries
        .iter()
        .any(|kind| allows(kind) && !kind.conditions.is_empty());
    // Each once: they are compared in pairs, and a thousand profiles may have the same one.
    let mut kept: Entries<'k> = entries.to_vec();
    kept.sort_by(|a, b| in_order(a, b));
    kept.dedup();
    let all = kept.clone();
    kept.retain(|kind| {
        let in_the_way = !allows(kind)
            && (multiplexed && some_allowed || some_allowed_by_argument && kind.may_always_hold());
        !in_the_way && !all.iter().any(|other| other.outranks(kind))
    });
    kept
}

/// What allows first.
fn in_order(a: &Kind, b: &Kind) -> Ordering {
    b.answer().cmp(&a.answer()).then_with(|| a.cmp(b))
}

/// Do several answers meet, other than the default?
fn order_matters(entries: &[&Kind], default: Answer) -> bool {
    let mut deciding = entries
        .iter()
        .map(|kind| kind.answer())
        .filter(|&answer| answer != default);
    let first = deciding.next();
    deciding.any(|answer| Some(answer) != first)
}

fn agree(one: &[&Kind], other: &[&Kind]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.agrees_with(b))
}

/// One profile, taken apart by name.
struct Own<'k> {
    default: Answer,
    entries: HashMap<&'k str, Entries<'k>>,
}

impl<'k> Own<'k> {
    fn new(default: Answer, rules: &'k [(Vec<Name>, Kind)]) -> Self {
        let mut entries: HashMap<&str, Entries<'k>> = HashMap::with_capacity(rules.len());
        for (names, kind) in rules {
            for name in names {
                let list = entries.entry(name).or_default();
                match list.iter_mut().find(|there| there.agrees_with(kind)) {
                    Some(there) => *there = kind.min(there),
                    None => list.push(kind),
                }
            }
        }
        for (name, list) in &mut entries {
            // Where a syscall has two ways, the answers of what allows are not told apart.
            let only_allows = || list.iter().all(|kind| kind.action.runs());
            let free_order = !order_matters(list, default) || is_multiplexed(name) && only_allows();
            if list.len() > 1 && free_order {
                *list = if default.0.runs() {
                    let mut sorted = list.clone();
                    sorted.sort();
                    sorted
                } else {
                    flat(list, is_multiplexed(name))
                };
            }
        }
        Self { default, entries }
    }

    fn allows(&self, name: &str) -> bool {
        self.entries
            .get(name)
            .is_some_and(|list| list.iter().any(|kind| kind.action.runs()))
    }

    /// Is a call of this name allowed by a rule for the other way to it?
    fn allows_other_way(&self, name: &str) -> bool {
        match multiplexed(name) {
            Some(way) => self.allows(way.by),
            None => self.entries.keys().any(|other| {
                multiplexed(other).is_some_and(|way| way.by == name) && self.allows(other)
            }),
        }
    }
}

/// Is it one of the calls that some architectures have two ways to, or one of these ways?
fn is_multiplexed(name: &str) -> bool {
    family(name).is_some()
}

/// The other way to this call, or the call itself if it is one.
fn family(name: &str) -> Option<&str> {
    match multiplexed(name) {
        Some(way) => Some(way.by),
        None => Some(name).filter(|name| matches!(*name, "socketcall" | "ipc")),
    }
}

/// What became of the entries for a name.
struct Decided<'k> {
    entries: Entries<'k>,
    /// Their order is the only one that says the same.
    fixed: bool,
    /// What happened to the answers of the profiles.
    conflict: Option<NameConflict>,
}

/// The key under which names with the same conflict are told together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum NameConflict {
    Rules(Vec<Action>),
    Opened(Vec<Action>),
}

impl Profile {
    /// The profile that allows what any of these allows, contradictions decided as the module says, and
    /// what they were.
    ///
    /// The result is the same for every order and grouping of the profiles.
    ///
    /// ```
    /// use seccomp_run::{action::Action, arch::Arch, profile::Profile};
    /// let mut kills = Profile::learned([Arch::X86_64], [(vec!["write".to_owned()], None)]);
    /// kills.default_action = Action::KillProcess;
    /// let denies = Profile::learned([Arch::X86_64], [(vec!["read".to_owned()], None)]);
    /// let (merged, conflicts) = Profile::merge(vec![kills, denies]).unwrap();
    /// assert_eq!(merged.default_action, Action::Errno(1));
    /// assert_eq!(merged.rules[0].names, ["read", "write"]);
    /// assert_eq!(conflicts.len(), 1);
    /// ```
    ///
    /// # Errors
    ///
    /// [`MergeError::Nothing`] when there is no profile.
    pub fn merge(profiles: Vec<Self>) -> Result<(Self, Vec<Conflict>), MergeError> {
        let answers = profiles
            .iter()
            .map(|profile| (profile.default_action, profile.default_errno));
        let default = answers.max().ok_or(MergeError::Nothing)?;
        let mut conflicts = Vec::new();
        let mut merged = Self::new(default.0);
        merged.default_errno = default.1;
        let defaults: BTreeSet<Action> = profiles
            .iter()
            .map(|profile| profile.default_action)
            .collect();
        if defaults.len() > 1 {
            let all = defaults.into_iter().rev().collect();
            conflicts.push(Conflict::DefaultAction {
                all,
                taken: default.0,
            });
        }
        merged.flags = merged_flags(&profiles, &mut conflicts);
        merged.listener_path = least(&profiles, |profile| &profile.listener_path);
        merged.listener_metadata = least(&profiles, |profile| &profile.listener_metadata);
        merged.comment = least(&profiles, |profile| &profile.comment);
        (merged.architectures, merged.arch_map) = merged_architectures(&profiles);
        merged.rules = rules(profiles, default, &mut conflicts);
        merged.canonicalize();
        Ok((merged, conflicts))
    }
}

fn least(profiles: &[Profile], field: impl Fn(&Profile) -> &Option<String>) -> Option<String> {
    profiles
        .iter()
        .filter_map(|profile| field(profile).clone())
        .min()
}

/// All flags. Absent ones mean that the runtime chooses, which is `SPEC_ALLOW`.
fn merged_flags(profiles: &[Profile], conflicts: &mut Vec<Conflict>) -> Option<Vec<Flag>> {
    let set = |profile: &Profile| -> Option<BTreeSet<Flag>> {
        profile
            .flags
            .as_ref()
            .map(|flags| flags.iter().copied().collect())
    };
    let first = profiles.first().and_then(set);
    let differ = profiles.iter().any(|profile| set(profile) != first);
    if !differ {
        return first.map(|flags| flags.into_iter().collect());
    }
    let absent = || BTreeSet::from([Flag::SpecAllow]);
    let all: BTreeSet<Flag> = profiles
        .iter()
        .flat_map(|profile| set(profile).unwrap_or_else(absent))
        .collect();
    let taken: Vec<Flag> = all.into_iter().collect();
    conflicts.push(Conflict::Flags {
        taken: taken.clone(),
    });
    Some(taken)
}

/// A profile's default, and the names and the rest of each rule.
type TakenApart = (Answer, Vec<(Vec<Name>, Kind)>);

fn rules(profiles: Vec<Profile>, default: Answer, conflicts: &mut Vec<Conflict>) -> Vec<Rule> {
    let taken_apart = |mut profile: Profile| {
        profile.sort_lists();
        let default = (profile.default_action, profile.default_errno);
        let rules = profile.rules.into_iter().map(Rule::into_kind);
        (default, rules.collect())
    };
    // They are many, so they are taken apart, not copied.
    let taken_apart: Vec<TakenApart> = profiles.into_iter().map(taken_apart).collect();
    let owns: Vec<Own> = taken_apart
        .iter()
        .map(|(default, rules)| Own::new(*default, rules))
        .collect();
    let mut by_name: BTreeMap<&str, Vec<&Own>> = BTreeMap::new();
    for own in &owns {
        for name in own.entries.keys() {
            by_name.entry(name).or_default().push(own);
        }
    }
    let mut groups: BTreeMap<&Kind, Vec<Name>> = BTreeMap::new();
    let mut blocks: BTreeMap<Entries, Vec<Name>> = BTreeMap::new();
    let mut told: BTreeMap<NameConflict, Vec<String>> = BTreeMap::new();
    for (name, concerned) in by_name {
        let decided = if default.0.runs() {
            decide_open(name, &owns, default)
        } else {
            decide(name, &concerned, &owns, default)
        };
        if let Some(conflict) = decided.conflict {
            told.entry(conflict).or_default().push(name.to_owned());
        }
        if decided.fixed {
            blocks.entry(decided.entries).or_default().push(name.into());
        } else {
            for kind in decided.entries {
                groups.entry(kind).or_default().push(name.into());
            }
        }
    }
    conflicts.extend(
        told.into_iter()
            .filter_map(|(conflict, names)| conflict.told(names)),
    );
    // Rules for one name decide about another where a syscall has two ways: there, too, what allows goes first.
    let mut groups: Vec<(&Kind, Vec<Name>)> = groups.into_iter().collect();
    groups.sort_by_key(|(kind, _)| Reverse(kind.answer()));
    let mut blocks: Vec<(Vec<Name>, Entries)> = blocks
        .into_iter()
        .map(|(entries, names)| (names, entries))
        .collect();
    blocks.sort();
    let denials = groups.partition_point(|(kind, _)| kind.action.runs());
    let denials = groups.split_off(denials);
    let rule = |(kind, names): (&Kind, Vec<Name>)| kind.clone().rule(names);
    let blocks = blocks
        .into_iter()
        .flat_map(|(names, kinds)| kinds.into_iter().map(move |kind| (kind, names.clone())));
    groups
        .into_iter()
        .chain(blocks)
        .chain(denials)
        .map(rule)
        .collect()
}

/// Entries that nobody speaks against.
fn as_they_are(entries: Entries, default: Answer) -> Decided {
    let mut sorted = entries.clone();
    sorted.sort_by(|a, b| in_order(a, b));
    Decided {
        fixed: order_matters(&entries, default) && entries != sorted,
        entries,
        conflict: None,
    }
}

/// Under a default that denies: silence says nothing.
fn decide<'k>(
    name: &str,
    concerned: &[&Own<'k>],
    owns: &[Own<'k>],
    default: Answer,
) -> Decided<'k> {
    let lists = distinct(name, concerned);
    let all: Entries = lists.iter().flatten().copied().collect();
    let same_default = concerned.iter().all(|own| own.default == default);
    let alone = lists.len() == 1 && same_default;
    let mut entries = if alone {
        all.clone()
    } else {
        flat(&all, is_multiplexed(name))
    };
    // Whoever allows the other way to the call, and does not say just this of it, says something else.
    let through = is_multiplexed(name)
        && entries.iter().any(|kind| !kind.action.runs())
        && owns
            .iter()
            .filter(|own| own.allows_other_way(name))
            .any(|own| {
                let same = |own: &Entries| agree(own, &entries);
                own.default != default || !own.entries.get(name).is_some_and(same)
            });
    if alone && !through {
        return as_they_are(entries, default);
    }
    if through {
        entries = flat(&all, true);
        entries.retain(|kind| kind.action.runs());
    }
    let answers: BTreeSet<Action> = all.iter().map(|kind| kind.action).collect();
    let reordered = lists.len() > 1 || lists.iter().any(|list| *list != entries);
    let conflict = if through && !all.iter().any(|kind| kind.action.runs()) {
        Some(NameConflict::Opened(answers.into_iter().collect()))
    } else {
        (answers.len() > 1 && reordered)
            .then(|| NameConflict::Rules(answers.into_iter().rev().collect()))
    };
    Decided {
        entries,
        fixed: false,
        conflict,
    }
}

/// Under a default that allows: a profile with such a default allows what it does not name.
fn decide_open<'k>(name: &str, owns: &[Own<'k>], default: Answer) -> Decided<'k> {
    let (open, closed): (Vec<&Own>, Vec<&Own>) = owns.iter().partition(|own| own.default.0.runs());
    let unanimous = |name: &str| {
        let lists = distinct(name, &open);
        let all_have_it = open.iter().all(|own| own.entries.contains_key(name));
        (lists.is_empty() || lists.len() == 1 && all_have_it)
            && !closed.iter().any(|own| own.allows(name))
    };
    // Of a syscall that has two ways, rules for the one decide about the other: all of them, or none.
    let names = owns.iter().flat_map(|own| own.entries.keys());
    let kin = |other: &&&str| family(other).is_some() && family(other) == family(name);
    let mut kept = unanimous(name);
    if kept && is_multiplexed(name) {
        kept = names.filter(kin).all(|other| unanimous(other));
    }
    let lists = distinct(name, &open);
    if let ([only], true) = (lists.as_slice(), kept) {
        return as_they_are(only.clone(), default);
    }
    let denials: BTreeSet<Action> = lists
        .iter()
        .flatten()
        .map(|kind| kind.action)
        .filter(|action| !action.runs())
        .collect();
    let conflict =
        (!denials.is_empty()).then(|| NameConflict::Opened(denials.into_iter().collect()));
    Decided {
        entries: Vec::new(),
        fixed: false,
        conflict,
    }
}

/// The lists for a name that differ in more than comments; of comments, the least.
fn distinct<'k>(name: &str, concerned: &[&Own<'k>]) -> Vec<Entries<'k>> {
    let mut lists: BTreeMap<Vec<_>, Entries<'k>> = BTreeMap::new();
    for list in concerned.iter().filter_map(|own| own.entries.get(name)) {
        let said = list.iter().map(|kind| kind.said()).collect();
        let there = lists.entry(said).or_insert_with(|| list.clone());
        for (there, &kind) in there.iter_mut().zip(list) {
            *there = kind.min(there);
        }
    }
    lists.into_values().collect()
}

impl NameConflict {
    fn told(self, names: Vec<String>) -> Option<Conflict> {
        match self {
            Self::Rules(answers) => answers.first().copied().map(|first| Conflict::Rules {
                names,
                answers,
                first,
            }),
            Self::Opened(denials) => Some(Conflict::Opened { names, denials }),
        }
    }
}

/// Actions for a message.
struct List<'a>(&'a [Action]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&shown.join(", "))
    }
}

/// Flags for a message.
struct Flags<'a>(&'a [Flag]);

impl fmt::Display for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<&str> = self.0.iter().map(|flag| flag.name()).collect();
        f.write_str(&shown.join(", "))
    }
}

/// Names for a message: the first few.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let shown = self.0.get(..SHOWN).unwrap_or(self.0);
        f.write_str(&shown.join(" "))?;
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use caps::Capability;
    use proptest::prelude::*;

    use super::*;
    use crate::arch::Arch;
    use crate::policy::{Call, Policy};
    use crate::profile::model::{ArchMap, Capabilities, Condition, KernelVersion, Scope};
    use crate::profile::{Host, Reading, UnknownCalls};
    use crate::syscall::Sysno;

    const NAMES: [&str; 6] = ["read", "socket", "bind", "socketcall", "ioctl", "ipc"];
    const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::X86];

    fn rule(names: &[&str], action: Action, arg: Option<(Op, u64)>) -> Rule {
        let condition = |(op, value)| Condition {
            index: 0,
            op,
            value,
        };
        Rule {
            action,
            conditions: arg.into_iter().map(condition).collect(),
            ..Rule::allow(names.iter().copied())
        }
    }

    fn with(default: Action, rules: impl IntoIterator<Item = Rule>) -> Profile {
        Profile {
            rules: rules.into_iter().collect(),
            architectures: ARCHES.to_vec(),
            ..Profile::new(default)
        }
    }

    fn merge<const N: usize>(profiles: [&Profile; N]) -> Profile {
        Profile::merge(profiles.map(Clone::clone).to_vec())
            .unwrap()
            .0
    }

    const EPERM: Action = Action::Errno(1);
    const ENOSYS: Action = Action::Errno(38);

    #[test]
    fn what_allows_beats_what_denies() {
        let cases: [(&[Rule], &[Rule], &[Rule]); 6] = [
            (
                &[rule(&["clone3"], ENOSYS, None)],
                &[rule(&["clone3"], Action::Allow, None)],
                &[rule(&["clone3"], Action::Allow, None)],
            ),
            // A denial without conditions would beat what allows some calls.
            (
                &[rule(&["ioctl"], ENOSYS, None)],
                &[rule(&["ioctl"], Action::Allow, Some((Op::Eq, 2)))],
                &[rule(&["ioctl"], Action::Allow, Some((Op::Eq, 2)))],
            ),
            // One with conditions comes after it.
            (
                &[rule(&["ioctl"], ENOSYS, Some((Op::Le, 2)))],
                &[rule(&["ioctl"], Action::Allow, Some((Op::Eq, 2)))],
                &[
                    rule(&["ioctl"], Action::Allow, Some((Op::Eq, 2))),
                    rule(&["ioctl"], ENOSYS, Some((Op::Le, 2))),
                ],
            ),
            // Nobody speaks against it.
            (
                &[rule(&["ptrace"], Action::KillProcess, None)],
                &[],
                &[rule(&["ptrace"], Action::KillProcess, None)],
            ),
            (
                &[rule(&["ptrace"], Action::KillProcess, None)],
                &[rule(&["ptrace"], ENOSYS, None)],
                &[rule(&["ptrace"], ENOSYS, None)],
            ),
            // The other way to the same call is open in one of them.
            (
                &[rule(&["socketcall"], ENOSYS, None)],
                &[rule(&["socket"], Action::Allow, None)],
                &[rule(&["socket"], Action::Allow, None)],
            ),
        ];
        for (one, other, want) in cases {
            let (one, other) = (with(EPERM, one.to_vec()), with(EPERM, other.to_vec()));
            let want = with(EPERM, want.to_vec());
            assert_eq!(merge([&one, &other]).rules, want.rules, "{one:?} {other:?}");
            assert_eq!(merge([&other, &one]).rules, want.rules, "{one:?} {other:?}");
        }
    }

    #[test]
    fn conflicts_are_told() {
        let told = |one: &Profile, other: &Profile| -> Vec<String> {
            let (_, conflicts) = Profile::merge(vec![one.clone(), other.clone()]).unwrap();
            conflicts.iter().map(ToString::to_string).collect()
        };
        let none: [String; 0] = [];
        let allowed = with(EPERM, [rule(&["clone3", "read"], Action::Allow, None)]);
        let denied = with(EPERM, [rule(&["clone3"], ENOSYS, None)]);
        assert_eq!(
            told(&allowed, &denied),
            ["ALLOW, ERRNO(ENOSYS) in different profiles: ALLOW goes first, for clone3"]
        );
        assert_eq!(told(&denied, &denied), none);
        assert_eq!(told(&denied, &with(EPERM, [])), none);
        let kill = with(Action::KillProcess, []);
        assert_eq!(
            told(&kill, &denied),
            [
                "the default actions differ (ERRNO(EPERM), KILL_PROCESS): ERRNO(EPERM) is taken, which denies least severely"
            ]
        );
        let open = with(Action::Allow, []);
        let denylist = with(Action::Allow, [rule(&["mount"], EPERM, None)]);
        assert_eq!(
            told(&open, &denylist),
            [
                "ERRNO(EPERM) by a rule of one profile, allowed by another without one: allowed, for mount"
            ]
        );
        assert_eq!(told(&denylist, &denylist), none);
        let logged = Profile {
            flags: Some(vec![Flag::Log]),
            ..kill.clone()
        };
        assert_eq!(
            told(&kill, &logged),
            [
                "the flags differ: all of them are taken (SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW)"
            ]
        );
        assert_eq!(Profile::merge(Vec::new()), Err(MergeError::Nothing));
    }

    #[test]
    fn rules_whose_order_matters_stay_where_nobody_speaks_against_them() {
        let ordered = with(
            ENOSYS,
            [
                rule(&["socket"], EPERM, Some((Op::Eq, 40))),
                rule(&["socket"], Action::Allow, Some((Op::Ne, 16))),
            ],
        );
        let more = with(EPERM, [rule(&["read"], Action::Allow, None)]);
        let merged = merge([&more, &ordered, &ordered]);
        assert_eq!(merged.rules[1..], ordered.rules);
        let against = with(
            ENOSYS,
            [rule(&["socket"], Action::Allow, Some((Op::Eq, 40)))],
        );
        let merged = merge([&ordered, &against]);
        assert!(
            merged.rules.iter().all(|rule| rule.action.runs()),
            "{merged:?}"
        );
    }

    #[test]
    fn a_denial_stays_under_an_open_default_where_all_have_it() {
        let denylist = |names: &[&str]| with(Action::Allow, [rule(names, EPERM, None)]);
        let one = denylist(&["mount", "ptrace"]);
        let other = denylist(&["mount", "bpf"]);
        assert_eq!(merge([&one, &other]), merge([&denylist(&["mount"])]));
        let allowlist = with(
            EPERM,
            [
                rule(&["mount"], Action::Allow, None),
                rule(&["bpf"], ENOSYS, None),
            ],
        );
        assert_eq!(merge([&one, &allowlist]), merge([&denylist(&["ptrace"])]));
    }

    fn action() -> impl Strategy<Value = Action> {
        prop::sample::select(vec![
            Action::Allow,
            Action::Allow,
            Action::Allow,
            Action::Log,
            EPERM,
            ENOSYS,
            Action::KillProcess,
        ])
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let op = prop::sample::select(vec![
            Op::Eq,
            Op::Eq,
            Op::Ne,
            Op::Le,
            Op::Gt,
            Op::MaskedEq(1),
            Op::MaskedEq(0),
            Op::MaskedEq(1 << 32),
        ]);
        (0..2_u8, op, 0..4_u64).prop_map(|(index, op, value)| Condition { index, op, value })
    }

    fn scope() -> impl Strategy<Value = Scope> {
        prop::bool::weighted(0.2).prop_map(|admin| Scope {
            caps: if admin {
                Capabilities::from_iter([Capability::CAP_SYS_ADMIN])
            } else {
                Capabilities::NONE
            },
            ..Scope::default()
        })
    }

    prop_compose! {
        fn any_rule()(
            names in prop::collection::vec(prop::sample::select(NAMES.to_vec()), 1..4),
            action in action(),
            conditions in prop_oneof![2 => Just(vec![]), 3 => prop::collection::vec(condition(), 1..3)],
            comment in prop::option::of(prop::sample::select(vec!["one", "two"])),
            includes in scope(),
            excludes in scope(),
        ) -> Rule {
            // Conditions on the multiplexer itself are the limit that the module names.
            let way = names.iter().any(|name| matches!(*name, "socketcall" | "ipc"));
            let (conditions, includes, excludes) = if way {
                Default::default()
            } else {
                (conditions, includes, excludes)
            };
            Rule {
                action,
                conditions,
                comment: comment.map(str::to_owned),
                includes,
                excludes,
                ..Rule::allow(names)
            }
        }
    }

    prop_compose! {
        fn any_profile()(
            default in prop::sample::select(vec![EPERM, EPERM, EPERM, ENOSYS, Action::KillProcess, Action::Allow, Action::Log]),
            rules in prop::collection::vec(any_rule(), 0..7),
            flags in prop::option::of(prop::sample::subsequence(Flag::ALL[..3].to_vec(), 0..3)),
            mapped in any::<bool>(),
        ) -> Profile {
            let mut profile = with(default, rules);
            profile.flags = flags;
            if mapped {
                profile.architectures.clear();
                profile.arch_map = vec![ArchMap {
                    architecture: Arch::X86_64,
                    sub_architectures: vec![Arch::X86],
                }];
            }
            profile
        }
    }

    /// `PROPTEST_CASES` asks for more.
    fn config() -> ProptestConfig {
        let usual = ProptestConfig::default();
        ProptestConfig {
            cases: usual.cases.max(512),
            failure_persistence: None,
            ..usual
        }
    }

    /// With and without the capability that rules ask for.
    fn policies(profile: &Profile) -> [Policy; 2] {
        [Capabilities::NONE, Capabilities::ALL].map(|caps| {
            let host = Host {
                native: Arch::X86_64,
                kernel: KernelVersion { major: 6, minor: 1 },
                caps,
            };
            let reading = Reading {
                unknown: UnknownCalls::Default,
                ..Reading::default()
            };
            profile.resolve(&host, &reading).unwrap().policy
        })
    }

    fn calls() -> impl Iterator<Item = Call> {
        let arguments = (0..6_u64).flat_map(|a| (0..6_u64).map(move |b| [a, b, 0, 0, 0, 0]));
        let names = NAMES.into_iter().chain(["write"]);
        names.flat_map(move |name| {
            let arguments = arguments.clone();
            let numbers = ARCHES
                .into_iter()
                .filter_map(move |arch| Sysno::parse(arch, name));
            numbers.flat_map(move |sysno| {
                arguments.clone().map(move |args| Call {
                    audit: sysno.arch.audit(),
                    nr: sysno.nr,
                    args,
                })
            })
        })
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn merging_commutes(a in any_profile(), b in any_profile()) {
            prop_assert_eq!(merge([&a, &b]), merge([&b, &a]));
        }

        #[test]
        fn merging_associates(a in any_profile(), b in any_profile(), c in any_profile()) {
            let left = merge([&merge([&a, &b]), &c]);
            prop_assert_eq!(&left, &merge([&a, &merge([&b, &c])]));
            prop_assert_eq!(&left, &merge([&a, &b, &c]));
        }

        #[test]
        fn merging_with_itself_adds_nothing(a in any_profile(), b in any_profile()) {
            let once = merge([&a, &b]);
            prop_assert_eq!(&merge([&once]), &once);
            prop_assert_eq!(&merge([&once, &once]), &once);
            prop_assert_eq!(&merge([&once, &b]), &once);
            prop_assert_eq!(&merge([&a, &a]), &merge([&a]));
        }

        #[test]
        fn what_is_merged_reads_back(a in any_profile(), b in any_profile()) {
            let merged = merge([&a, &b]);
            let (read, _) = Profile::parse(merged.to_json().as_bytes(), "merged").unwrap();
            prop_assert_eq!(read, merged);
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn what_any_profile_allows_is_allowed(a in any_profile(), b in any_profile()) {
            let merged = policies(&merge([&a, &b]));
            for one in [&a, &b] {
                for (own, merged) in policies(one).iter().zip(&merged) {
                    for call in calls() {
                        let needed = own.evaluate(&call).runs();
                        prop_assert!(!needed || merged.evaluate(&call).runs(), "{call:?}");
                    }
                }
            }
        }

        #[test]
        fn a_profile_alone_says_what_it_said(a in any_profile()) {
            for (own, merged) in policies(&a).iter().zip(policies(&merge([&a]))) {
                // Two ways to a call make order matter between names, which is not kept.
                let one_way = |call: &Call| {
                    let name = Sysno::of_call(call.audit, call.nr).and_then(Sysno::name);
                    !name.is_some_and(is_multiplexed)
                };
                for call in calls().filter(one_way) {
                    let (own, merged) = (own.evaluate(&call), merged.evaluate(&call));
                    prop_assert_eq!(own.runs(), merged.runs(), "{:?}", call);
                }
            }
        }
    }
}
