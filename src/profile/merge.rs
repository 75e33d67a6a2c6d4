//! The union of profiles: what `--base`, `--update` and `merge` need.
//!
//! A profile is taken apart into single-name entries, the entries of all profiles are put together, those
//! that others make superfluous are dropped, and the rest is grouped again. Because "makes superfluous" is
//! a partial order, the result does not depend on the order or the number of the merges.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{
    ArchMap, Capabilities, Condition, KernelVersion, Position, Profile, Rule, Scope,
};
use super::multiplex::multiplexed;
use crate::action::Action;
use crate::arch::Arch;
use crate::syscall::Name;

/// Why profiles have no union.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// There is nothing to merge.
    #[error("no profile to merge")]
    Nothing,
    /// Their default actions differ.
    #[error("the default actions differ: {left} and {right}")]
    DefaultAction {
        /// The first profile's.
        left: Action,
        /// Another's.
        right: Action,
    },
    /// Two profiles give a syscall different actions.
    #[error("{name} gets {left} in one profile and {right} in another")]
    Action {
        /// The syscall.
        name: String,
        /// An action.
        left: Action,
        /// Another.
        right: Action,
    },
    /// A field that has no union differs.
    #[error("the profiles differ in '{field}', of which there is no union")]
    Field {
        /// Its name.
        field: &'static str,
    },
}

/// Everything about an entry but its name: entries that agree in this can share a rule.
///
/// The order of the fields is the order in which canonical profiles list their rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: Action,
    pub(super) errno: Option<u16>,
    pub(super) comment: Option<String>,
    includes: ScopeKey,
    excludes: ScopeKey,
}

type ScopeKey = (Capabilities, Vec<Arch>, Option<KernelVersion>);

impl Scope {
    fn key(&self) -> ScopeKey {
        (self.caps, self.arches.clone(), self.min_kernel)
    }
}

impl Rule {
    fn kind(&self) -> Kind {
        self.clone().into_kind().1
    }

    /// The names, and the rest.
    pub(super) fn into_kind(self) -> (Vec<Name>, Kind) {
        let kind = Kind {
            includes: self.includes.key(),
            excludes: self.excludes.key(),
            conditions: self.conditions,
            action: self.action,
            errno: self.errno,
            comment: self.comment,
        };
        (self.names, kind)
    }

    /// The order of rules in a canonical profile: those without conditions first, the larger groups
    /// (without a comment) before what was added to them.
    pub(super) fn sort_key(&self) -> (bool, bool, Vec<Name>, Kind) {
        (
            !self.conditions.is_empty(),
            self.comment.is_some(),
            self.names.clone(),
            self.kind(),
        )
    }
}

impl Kind {
    pub(super) fn rule(self, names: Vec<Name>) -> Rule {
        let scope = |(caps, arches, min_kernel)| Scope {
            caps,
            arches,
            min_kernel,
        };
        Rule {
            names,
            old_name_field: false,
            action: self.action,
            errno: self.errno,
            conditions: self.conditions,
            comment: self.comment,
            includes: scope(self.includes),
            excludes: scope(self.excludes),
            at: Position::NOWHERE,
        }
    }

    fn scopes(&self) -> (&ScopeKey, &ScopeKey) {
        (&self.includes, &self.excludes)
    }

    /// What a call gets: the action, and Podman's errno.
    pub(super) const fn answer(&self) -> (Action, Option<u16>) {
        (self.action, self.errno)
    }

    /// All but the comment.
    pub(super) fn said(&self) -> impl Ord {
        (&self.conditions, self.answer(), self.scopes())
    }

    /// Do both apply on the same hosts?
    pub(super) fn same_scope(&self, other: &Self) -> bool {
        self.scopes() == other.scopes()
    }

    pub(super) fn is_unscoped(&self) -> bool {
        let none = Scope::default().key();
        self.includes == none && self.excludes == none
    }

    /// Is `other` superfluous beside this one, for the same name?
    ///
    /// It is when this one covers it and more, or covers the same and is the better explained: what was
    /// observed (no comment) beats what was added for a reason.
    fn supersedes(&self, other: &Self) -> bool {
        let same_answer = (self.action, self.errno) == (other.action, other.errno);
        let same_conditions = self.conditions == other.conditions;
        let same_scope = self.scopes() == other.scopes();
        let covers =
            (same_conditions || self.conditions.is_empty()) && (same_scope || self.is_unscoped());
        let better = self.comment < other.comment;
        same_answer && covers && (!same_conditions || !same_scope || better)
    }
}

/// The entries for each name.
type Entries = BTreeMap<Name, Vec<Kind>>;

impl Profile {
    /// The profile that allows what any of these allows: for allowlists with the same default action.
    ///
    /// The result is canonical, and the same for every order and grouping of the profiles.
    ///
    /// # Errors
    ///
    /// When the profiles contradict each other, so that no profile says what all of them say.
    ///
    /// ```
    /// use seccomp_run::{arch::Arch, profile::Profile};
    /// let learned = |name: &str| Profile::learned([Arch::X86_64], [(vec![name.to_owned()], None)]);
    /// let both = Profile::union(&[learned("read"), learned("write")]).unwrap();
    /// assert_eq!(both.rules[0].names, ["read", "write"]);
    /// ```
    pub fn union(profiles: &[Self]) -> Result<Self, MergeError> {
        let (first, others) = profiles.split_first().ok_or(MergeError::Nothing)?;
        let mut merged = Self::new(first.default_action);
        for other in others {
            first.agrees_with(other)?;
        }
        merged.default_errno = first.default_errno;
        merged.flags.clone_from(&first.flags);
        merged.listener_path.clone_from(&first.listener_path);
        merged
            .listener_metadata
            .clone_from(&first.listener_metadata);
        merged.comment = profiles
            .iter()
            .filter_map(|profile| profile.comment.clone())
            .min();
        (merged.architectures, merged.arch_map) = merged_architectures(profiles);
        merged.rules = if profiles.iter().any(Self::order_matters) {
            in_order(profiles)?
        } else {
            regrouped(profiles)?
        };
        merged.canonicalize();
        Ok(merged)
    }

    /// Are the fields the same that have no union?
    fn agrees_with(&self, other: &Self) -> Result<(), MergeError> {
        if self.default_action != other.default_action {
            return Err(MergeError::DefaultAction {
                left: self.default_action,
                right: other.default_action,
            });
        }
        let fields = [
            ("defaultErrno", self.default_errno == other.default_errno),
            ("flags", self.flags == other.flags),
            ("listenerPath", self.listener_path == other.listener_path),
            (
                "listenerMetadata",
                self.listener_metadata == other.listener_metadata,
            ),
        ];
        match fields.into_iter().find(|(_, same)| !same) {
            None => Ok(()),
            Some((field, _)) => Err(MergeError::Field { field }),
        }
    }

    /// Do two rules with different actions name the same syscall? Then the first listed can win over the
    /// other, so they must not be sorted.
    pub(super) fn order_matters(&self) -> bool {
        let default = (self.default_action, self.default_errno);
        let mut actions = BTreeMap::new();
        self.rules
            .iter()
            .map(|rule| ((rule.action, rule.errno), &rule.names))
            .filter(|&(answer, _)| answer != default)
            .flat_map(|(answer, names)| names.iter().map(move |name| (name, answer)))
            .any(|(name, answer)| {
                // A rule for a syscall decides about the other way to it, too.
                let way = multiplexed(name).map_or(name.as_str(), |way| way.by);
                *actions.entry(way).or_insert(answer) != answer
            })
    }
}

/// The architectures of all, as a list; as a map where one has a map, for a profile cannot have both.
pub(super) fn merged_architectures(profiles: &[Profile]) -> (Vec<Arch>, Vec<ArchMap>) {
    let listed = profiles.iter().flat_map(|profile| &profile.architectures);
    if profiles.iter().all(|profile| profile.arch_map.is_empty()) {
        let listed: BTreeSet<Arch> = listed.copied().collect();
        return (listed.into_iter().collect(), Vec::new());
    }
    let mut merged: BTreeMap<Arch, BTreeSet<Arch>> = BTreeMap::new();
    for profile in profiles {
        // In one map, only the first entry for an architecture counts.
        let mut own = BTreeMap::new();
        for entry in &profile.arch_map {
            own.entry(entry.architecture)
                .or_insert(&entry.sub_architectures);
        }
        for (native, subs) in own {
            merged.entry(native).or_default().extend(subs);
        }
    }
    for &arch in listed {
        let subs = merged.entry(home(arch)).or_default();
        if home(arch) != arch {
            subs.insert(arch);
        }
    }
    let entry = |(architecture, subs): (_, BTreeSet<Arch>)| ArchMap {
        architecture,
        sub_architectures: subs.into_iter().collect(),
    };
    (Vec::new(), merged.into_iter().map(entry).collect())
}

/// The native architecture of the machines that a listed one runs on.
const fn home(arch: Arch) -> Arch {
    match arch {
        Arch::X86 | Arch::X32 => Arch::X86_64,
        Arch::Arm => Arch::Aarch64,
        Arch::Mips | Arch::Mips64n32 => Arch::Mips64,
        Arch::Mipsel | Arch::Mipsel64n32 => Arch::Mipsel64,
        Arch::Ppc => Arch::Ppc64,
        Arch::S390 => Arch::S390x,
        Arch::Parisc => Arch::Parisc64,
        native => native,
    }
}

fn regrouped(profiles: &[Profile]) -> Result<Vec<Rule>, MergeError> {
    let mut entries = Entries::new();
    for profile in profiles {
        let mut sorted = profile.clone();
        sorted.canonicalize();
        for rule in &sorted.rules {
            let kind = rule.kind();
            for name in &rule.names {
                let kinds = entries.entry(name.clone()).or_default();
                if !kinds.contains(&kind) {
                    kinds.push(kind.clone());
                }
            }
        }
    }
    let mut groups: BTreeMap<Kind, Vec<Name>> = BTreeMap::new();
    for (name, kinds) in entries {
        contradiction(&name, &kinds, profiles)?;
        for kind in &kinds {
            if !kinds.iter().any(|other| other.supersedes(kind)) {
                groups.entry(kind.clone()).or_default().push(name.clone());
            }
        }
    }
    Ok(groups
        .into_iter()
        .map(|(kind, names)| kind.rule(names))
        .collect())
}

/// The rules of all, one profile after the other: for profiles whose rules must stay in their order.
///
/// That order decides only between rules for the same syscall. So a syscall may have several actions only
/// when all profiles that name it say the same of it.
fn in_order(profiles: &[Profile]) -> Result<Vec<Rule>, MergeError> {
    let mut merged: Vec<Rule> = Vec::new();
    let mut entries = Entries::new();
    for profile in profiles {
        let mut sorted = profile.clone();
        sorted.sort_lists();
        let mut own = Entries::new();
        for rule in &sorted.rules {
            for name in &rule.names {
                own.entry(name.clone()).or_default().push(rule.kind());
            }
        }
        for mut rule in sorted.rules {
            let kind = rule.kind();
            rule.names.retain(|name| {
                let there = entries.get(name).map_or(&[][..], Vec::as_slice);
                !there
                    .iter()
                    .any(|other| *other == kind || other.supersedes(&kind))
            });
            if !rule.names.is_empty() {
                merged.push(rule);
            }
        }
        for (name, kinds) in own {
            let there = entries.entry(name.clone()).or_default();
            if there.is_empty() {
                *there = kinds;
            } else if *there != kinds {
                there.extend(kinds);
                contradiction(&name, there, profiles)?;
            }
        }
    }
    Ok(merged)
}

/// Rules that answer as the default does are no contradiction to any others: runtimes drop them.
fn contradiction(name: &str, kinds: &[Kind], profiles: &[Profile]) -> Result<(), MergeError> {
    let default = profiles.first().map(|profile| profile.default_action);
    let mut deciding = kinds
        .iter()
        .filter(|kind| Some(kind.action) != default)
        .map(|kind| (kind.action, kind.errno));
    let Some(first) = deciding.next() else {
        return Ok(());
    };
    deciding
        .find(|&other| other != first)
        .map_or(Ok(()), |other| {
            Err(MergeError::Action {
                name: name.to_owned(),
                left: first.0,
                right: other.0,
            })
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::Op;

    fn with_rules(rules: impl IntoIterator<Item = Rule>) -> Profile {
        Profile {
            rules: rules.into_iter().collect(),
            ..Profile::new(Action::Errno(1))
        }
    }

    fn because(comment: &str, names: &[&str]) -> Rule {
        Rule {
            comment: Some(comment.to_owned()),
            ..Rule::allow(names.iter().copied())
        }
    }

    fn if_first_is(value: u64, names: &[&str]) -> Rule {
        let condition = Condition {
            index: 0,
            op: Op::Eq,
            value,
        };
        Rule {
            conditions: vec![condition],
            ..Rule::allow(names.iter().copied())
        }
    }

    fn answer(action: Action, names: &[&str]) -> Rule {
        Rule {
            action,
            ..Rule::allow(names.iter().copied())
        }
    }

    #[test]
    fn the_union_keeps_what_no_other_entry_covers() {
        let cases: [(&[Rule], &[Rule], &[Rule]); 7] = [
            (
                &[Rule::allow(["write", "read"])],
                &[Rule::allow(["open", "read"])],
                &[Rule::allow(["open", "read", "write"])],
            ),
            (
                &[Rule::allow(["read"])],
                &[because("implicit", &["exit", "read"])],
                &[Rule::allow(["read"]), because("implicit", &["exit"])],
            ),
            (
                &[because("b", &["read"])],
                &[because("a", &["read"])],
                &[because("a", &["read"])],
            ),
            (
                &[if_first_is(1, &["socket", "ioctl"])],
                &[Rule::allow(["socket"])],
                &[Rule::allow(["socket"]), if_first_is(1, &["ioctl"])],
            ),
            (
                &[if_first_is(1, &["socket"])],
                &[if_first_is(2, &["socket"]), if_first_is(1, &["socket"])],
                &[if_first_is(1, &["socket"]), if_first_is(2, &["socket"])],
            ),
            (
                &[answer(Action::Errno(1), &["ptrace"])],
                &[Rule::allow(["ptrace"])],
                &[
                    Rule::allow(["ptrace"]),
                    answer(Action::Errno(1), &["ptrace"]),
                ],
            ),
            (&[Rule::allow([""; 0])], &[], &[]),
        ];
        for (left, right, want) in cases {
            let left = with_rules(left.to_vec());
            let right = with_rules(right.to_vec());
            let mut got = Profile::union(&[left, right]).unwrap();
            let mut want = with_rules(want.to_vec());
            got.canonicalize();
            want.canonicalize();
            assert_eq!(got, want);
        }
    }

    #[test]
    fn contradictions_are_named() {
        let errno = with_rules([answer(Action::Errno(38), &["clone3"])]);
        let allow = with_rules([Rule::allow(["clone3"])]);
        let error = Profile::union(&[errno.clone(), allow]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "clone3 gets ERRNO(ENOSYS) in one profile and ALLOW in another"
        );
        let kill = Profile::new(Action::KillProcess);
        assert_eq!(
            Profile::union(&[errno.clone(), kill])
                .unwrap_err()
                .to_string(),
            "the default actions differ: ERRNO(EPERM) and KILL_PROCESS"
        );
        let flags = Profile {
            flags: Some(Vec::new()),
            ..with_rules([])
        };
        assert_eq!(
            Profile::union(&[errno, flags]).unwrap_err(),
            MergeError::Field { field: "flags" }
        );
        assert_eq!(Profile::union(&[]), Err(MergeError::Nothing));
    }

    #[test]
    fn rules_whose_order_matters_keep_it() {
        let ordered = with_rules([
            Rule {
                action: Action::Errno(5),
                ..if_first_is(40, &["socket"])
            },
            if_first_is(39, &["socket", "accept"]),
        ]);
        let more = with_rules([Rule::allow(["read"])]);
        let merged = Profile::union(&[ordered.clone(), more.clone(), ordered.clone()]).unwrap();
        let want: Vec<_> = ordered.rules.iter().chain(&more.rules).cloned().collect();
        let mut want = with_rules(want);
        want.canonicalize();
        assert_eq!(merged, want);
        let against = with_rules([Rule::allow(["socket"])]);
        assert!(Profile::union(&[ordered, against]).is_err());
    }

    #[test]
    fn architectures_go_into_a_map_where_there_is_one() {
        use Arch::{Aarch64, Arm, X32, X86, X86_64};
        let mapped = |entries: &[(Arch, &[Arch])]| {
            let entry = |&(architecture, subs): &(Arch, &[Arch])| ArchMap {
                architecture,
                sub_architectures: subs.to_vec(),
            };
            Profile {
                arch_map: entries.iter().map(entry).collect(),
                ..with_rules([])
            }
        };
        let map = mapped(&[(X86_64, &[X32]), (Aarch64, &[Arm])]);
        let listed = Profile::learned([X86_64, X86], []);
        let want = mapped(&[(X86_64, &[X86, X32]), (Aarch64, &[Arm])]);
        assert_eq!(union([&map, &listed]), want);
        assert_eq!(union([&listed, &map]), want);
        assert_eq!(union([&map, &map]), map);
        let twice = mapped(&[(X86_64, &[X32]), (X86_64, &[X86])]);
        assert_eq!(union([&twice]), mapped(&[(X86_64, &[X32])]));
        let elsewhere = Profile::learned([Arch::Riscv64], []);
        let both = mapped(&[(X86_64, &[X32]), (Aarch64, &[Arm]), (Arch::Riscv64, &[])]);
        assert_eq!(union([&map, &elsewhere]), both);
        let more = mapped(&[(X86_64, &[X86])]);
        assert_eq!(union([&map, &more]), want);
        assert_eq!(union([&map, &with_rules([])]), map);
    }

    fn names() -> impl Strategy<Value = Vec<String>> {
        let name = prop::sample::select(vec!["read", "write", "open", "ioctl", "socket", "exit"]);
        prop::collection::vec(name.prop_map(str::to_owned), 0..5)
    }

    prop_compose! {
        fn learned_rule()(
            names in names(),
            comment in prop::option::of(prop::sample::select(vec!["implicit", "vdso"])),
            value in prop::option::of(0..3_u64),
        ) -> Rule {
            Rule {
                comment: comment.map(str::to_owned),
                conditions: value.map_or(vec![], |value| if_first_is(value, &[]).conditions),
                ..Rule::allow(names)
            }
        }
    }

    prop_compose! {
        /// What learning writes, with and without arguments.
        fn learned()(
            architectures in prop::collection::vec(prop::sample::select(vec![Arch::X86_64, Arch::X86, Arch::X32]), 0..4),
            rules in prop::collection::vec(learned_rule(), 0..6),
        ) -> Profile {
            let mut profile = Profile { architectures, ..with_rules(rules) };
            profile.canonicalize();
            profile
        }
    }

    fn union<const N: usize>(profiles: [&Profile; N]) -> Profile {
        Profile::union(&profiles.map(Clone::clone)).unwrap()
    }

    proptest! {
        #[test]
        fn union_commutes(a in learned(), b in learned()) {
            prop_assert_eq!(union([&a, &b]), union([&b, &a]));
        }

        #[test]
        fn union_associates(a in learned(), b in learned(), c in learned()) {
            let left = union([&union([&a, &b]), &c]);
            prop_assert_eq!(&left, &union([&a, &union([&b, &c])]));
            prop_assert_eq!(&left, &union([&a, &b, &c]));
        }

        #[test]
        fn union_with_itself_adds_nothing(a in learned(), b in learned()) {
            let once = union([&a, &b]);
            prop_assert_eq!(&union([&once]), &once);
            prop_assert_eq!(&union([&once, &once]), &once);
            prop_assert_eq!(&union([&once, &b]), &once);
        }

        #[test]
        fn union_is_canonical(a in learned(), b in learned()) {
            let merged = union([&a, &b]);
            let (read, _) = Profile::parse(merged.to_json().as_bytes(), "merged").unwrap();
            prop_assert_eq!(read, merged);
        }
    }
}
