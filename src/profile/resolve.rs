//! A profile and a host make a policy.
//!
//! The order in which rules decide is libseccomp's for every profile without contradictions (`src/db.c`):
//! an entry without conditions beats all those with, and of two without, the first wins. Where entries
//! with conditions overlap, libseccomp follows the shape of its tree; here the first listed wins.

use std::collections::BTreeMap;

use super::model::{Capabilities, Condition, KernelVersion, Position, Profile, Rule, Scope};
use super::nearest::nearest;
use super::{Oddity, Warning};
use crate::action::Action;
use crate::arch::Arch;
use crate::policy::{self, Abi, Newer, Policy, Width};
use crate::syscall::{self, Sysno};

/// More rules than this cannot be meant: a filter has 4096 instructions.
const MAX_RULES: usize = 1 << 18;

/// So many unknown names get a suggestion; comparing a word with all names takes its time.
const MAX_SUGGESTIONS: usize = 8;

/// The host that a profile is resolved for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What its kernel runs natively.
    pub native: Arch,
    /// Its kernel.
    pub kernel: KernelVersion,
    /// What the program can have at most: `includes.caps` and `excludes.caps` are tested against this.
    pub caps: Capabilities,
}

/// How a profile is read, where readers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Whose reading of the JSON applies.
    pub dialect: Dialect,
    /// How arguments are compared.
    pub arg_width: ArgWidth,
    /// What calls get that are newer than the profile.
    pub unknown: UnknownCalls,
    /// Replaces the profile's default action.
    pub default_override: Option<Action>,
}

/// Who interprets which fields of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Docker: `archMap`, `includes`, `excludes` and `name` count.
    #[default]
    Docker,
    /// Podman and CRI-O: as Docker, but `minKernel` is not known, and `errno` names are.
    Podman,
    /// runc, crun, containerd and Kubernetes' `localhostProfile`: what runtime-spec has, and nothing else.
    Oci,
}

/// How much of an argument a condition compares, on a 64-bit architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArgWidth {
    /// As much as the kernel will use.
    #[default]
    Kernel,
    /// The whole register, as libseccomp does.
    Full,
}

/// What numbers get that are newer than all that the profile names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownCalls {
    /// `ENOSYS`, so that programs fall back to older calls, as runc does.
    #[default]
    EnosysNewer,
    /// The default action.
    Default,
}

/// A policy, and what is odd about the profile that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What decides.
    pub policy: Policy,
    /// What was probably not meant, in the order of the file.
    pub warnings: Vec<Warning>,
}

/// Why a profile cannot be resolved for a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// An unknown name in a profile that lets through what it does not name.
    #[error(
        "unknown syscall {name} in a profile that allows by default: the rule would not bind{}",
        super::Suggestion(suggestion.as_deref())
    )]
    UnknownName {
        /// Where the entry begins.
        at: Position,
        /// The name.
        name: String,
        /// The known name that is nearest to it.
        suggestion: Option<String>,
    },
    /// Architectures of both byte orders.
    #[error("{} and {} differ in byte order; no filter can hold both", native.scmp_name(), listed.scmp_name())]
    ByteOrder {
        /// The host's.
        native: Arch,
        /// The listed one.
        listed: Arch,
    },
    /// Rules for an architecture whose syscalls we do not know, in a profile that allows by default.
    #[error("there is no table of syscalls for {}, so rules that deny cannot bind there", arch.scmp_name())]
    NoTable {
        /// The architecture.
        arch: Arch,
    },
    /// More rules than any filter can hold.
    #[error("the profile unfolds to more than {MAX_RULES} rules, which no filter can hold")]
    TooManyRules,
}

impl ResolveError {
    /// Where in the file; [`Position::NOWHERE`] when it is about the file as a whole.
    pub const fn position(&self) -> Position {
        match self {
            Self::UnknownName { at, .. } => *at,
            _ => Position::NOWHERE,
        }
    }
}

/// How early a rule is asked, among those for one syscall. Within a class it is the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Without conditions: before all those with.
    Unconditional,
    /// With conditions.
    Conditional,
    /// Says what the file's own default says. Runtimes drop such rules, so they must not win over others;
    /// they are kept because the default can be overridden.
    AsDefault,
}

/// A rule for one number, before they are put in order.
struct Draft {
    nr: u32,
    class: Class,
    rule: policy::Rule,
}

/// The rules of one architecture while they are collected.
struct Drafts {
    arch: Arch,
    rules: Vec<Draft>,
}

impl Profile {
    /// The policy that this profile is on this host.
    ///
    /// # Errors
    ///
    /// When the profile says what cannot be enforced: see [`ResolveError`].
    pub fn resolve(&self, host: &Host, reading: &Reading) -> Result<Resolved, ResolveError> {
        let own_default = self.default_action;
        let default = reading.default_override.unwrap_or(own_default);
        let mut warnings = Vec::new();
        let mut abis: Vec<Drafts> = self
            .architectures_on(host.native)?
            .into_iter()
            .map(|arch| Drafts {
                arch,
                rules: Vec::new(),
            })
            .collect();
        for abi in &abis {
            warnings.extend(self.without_table(abi.arch, default)?);
        }
        let mut unknown = Unknown::new(self, host.native);
        for (origin, rule) in self.rules.iter().enumerate() {
            if !counts(rule, host) {
                continue;
            }
            let alternatives = alternatives(rule, &mut warnings);
            for name in &rule.names {
                let mut found = false;
                for abi in &mut abis {
                    found |= abi.add(name, origin, rule, &alternatives, own_default)?;
                }
                if !found && !syscall::is_known(name) {
                    unknown.note(name, rule)?;
                }
            }
            warnings.extend(unknown.warning(rule));
        }
        let abis = abis
            .into_iter()
            .map(|abi| abi.finish(self, default, reading.unknown, &mut warnings))
            .collect();
        // Stable, so that several about one entry stay in the order of their making.
        warnings.sort_by_key(|warning| (warning.at.line, warning.at.column));
        let bad_arch = match reading.default_override {
            Some(Action::Log) => Action::Log,
            _ => Action::KillProcess,
        };
        Ok(Resolved {
            policy: Policy { abis, bad_arch },
            warnings,
        })
    }

    /// The native architecture first, whether or not the profile lists it, as libseccomp has it.
    fn architectures_on(&self, native: Arch) -> Result<Vec<Arch>, ResolveError> {
        let mapped = self
            .arch_map
            .iter()
            .find(|entry| entry.architecture == native)
            .map_or(&[][..], |entry| &entry.sub_architectures);
        let mut arches = vec![native];
        for &arch in self.architectures.iter().chain(mapped) {
            if arch.endian() != native.endian() {
                return Err(ResolveError::ByteOrder {
                    native,
                    listed: arch,
                });
            }
            if !arches.contains(&arch) {
                arches.push(arch);
            }
        }
        // Nothing but an x86-64 kernel makes x32 calls, and a policy has the two only together.
        if !arches.contains(&Arch::X86_64) {
            arches.retain(|&arch| arch != Arch::X32);
        }
        Ok(arches)
    }

    fn without_table(&self, arch: Arch, default: Action) -> Result<Option<Warning>, ResolveError> {
        if syscall::has_table(arch) || self.rules.is_empty() {
            return Ok(None);
        }
        if self.default_action.runs() {
            return Err(ResolveError::NoTable { arch });
        }
        let about = Oddity::NoTable { arch, default };
        Ok(Some(Warning::new(Position::NOWHERE, about)))
    }
}

/// Do the rule's `includes` and `excludes` let it count on this host?
fn counts(rule: &Rule, host: &Host) -> bool {
    let Scope {
        caps,
        arches,
        min_kernel,
    } = &rule.includes;
    let included = host.caps.contains_all(*caps)
        && (arches.is_empty() || arches.contains(&host.native))
        && min_kernel.is_none_or(|oldest| host.kernel >= oldest);
    let Scope {
        caps,
        arches,
        min_kernel,
    } = &rule.excludes;
    let excluded = host.caps.contains_any(*caps)
        || arches.contains(&host.native)
        || min_kernel.is_some_and(|oldest| host.kernel >= oldest);
    included && !excluded
}

/// The rule's conditions as alternatives of which one must hold: normally one alternative with all of them.
///
/// libseccomp refuses two conditions on one argument, and every runtime then installs each condition as a
/// rule of its own (runc's `matchCall`).
fn alternatives<'r>(rule: &'r Rule, warnings: &mut Vec<Warning>) -> Vec<&'r [Condition]> {
    let mut tested = 0_u8;
    let twice = rule.conditions.iter().any(|condition| {
        let bit = 1 << condition.index;
        let again = tested & bit != 0;
        tested |= bit;
        again
    });
    if twice {
        warnings.push(Warning::new(rule.at, Oddity::AnyCondition));
        rule.conditions.chunks(1).collect()
    } else {
        vec![&rule.conditions]
    }
}

impl Drafts {
    /// Adds the rule for one of its names. `false` when the architecture has no such syscall.
    fn add(
        &mut self,
        name: &str,
        origin: usize,
        rule: &Rule,
        alternatives: &[&[Condition]],
        own_default: Action,
    ) -> Result<bool, ResolveError> {
        let Some(Sysno { nr, .. }) = Sysno::parse(self.arch, name) else {
            return Ok(false);
        };
        if self.rules.len() + alternatives.len() > MAX_RULES {
            return Err(ResolveError::TooManyRules);
        }
        for &conditions in alternatives {
            let class = if rule.action == own_default {
                Class::AsDefault
            } else if conditions.is_empty() {
                Class::Unconditional
            } else {
                Class::Conditional
            };
            let conditions = conditions
                .iter()
                .filter_map(|condition| self.condition(condition))
                .collect();
            self.rules.push(Draft {
                nr,
                class,
                rule: policy::Rule {
                    conditions,
                    action: rule.action,
                    origin,
                },
            });
        }
        Ok(true)
    }

    fn condition(&self, condition: &Condition) -> Option<policy::Condition> {
        let Condition { index, op, value } = *condition;
        let width = if self.arch.is_64bit() {
            Width::W64
        } else {
            Width::W32
        };
        policy::Condition::new(index, width, op, value)
    }

    fn finish(
        mut self,
        profile: &Profile,
        default: Action,
        unknown: UnknownCalls,
        warnings: &mut Vec<Warning>,
    ) -> Abi {
        // Stable: within a class the order of the file counts.
        self.rules.sort_by_key(|draft| (draft.nr, draft.class));
        let newest = self.rules.last().map(|draft| draft.nr);
        let newer = newest
            .filter(|_| unknown == UnknownCalls::EnosysNewer)
            .and_then(|newest| newer(newest, default));
        let mut syscalls: Vec<(u32, Vec<policy::Rule>)> = Vec::with_capacity(self.rules.len());
        for Draft { nr, rule, .. } in self.rules {
            match syscalls.last_mut().filter(|(last, _)| *last == nr) {
                None => syscalls.push((nr, vec![rule])),
                Some((_, rules)) => match rules.last() {
                    // Nothing after a rule that always matches can decide.
                    Some(last) if last.conditions.is_empty() => {
                        no_effect(profile, self.arch, nr, &rule, last, warnings);
                    }
                    _ => rules.push(rule),
                },
            }
        }
        Abi {
            arch: self.arch,
            default,
            newer,
            syscalls: BTreeMap::from_iter(syscalls),
        }
    }
}

/// runc's ENOSYS stub: only where the default action keeps a call from running.
fn newer(newest: u32, default: Action) -> Option<Newer> {
    let action = Action::Errno(ENOSYS);
    let denies = !matches!(default, Action::Allow | Action::Log | Action::Trace(_));
    (denies && default != action).then_some(Newer {
        from: newest.checked_add(1)?,
        action,
    })
}

const ENOSYS: u16 = 38;

/// Notes that `rule` never decides, because `winner` always does.
fn no_effect(
    profile: &Profile,
    arch: Arch,
    nr: u32,
    rule: &policy::Rule,
    winner: &policy::Rule,
    warnings: &mut Vec<Warning>,
) {
    if rule.action == winner.action {
        return;
    }
    let at = profile
        .rules
        .get(rule.origin)
        .map_or(Position::NOWHERE, |rule| rule.at);
    let about = Oddity::NoEffect {
        name: Sysno { arch, nr }.to_string(),
        action: rule.action,
        winner: winner.action,
    };
    let warning = Warning::new(at, about);
    // Once, not for each architecture.
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}

/// Collects the unknown names of a rule.
struct Unknown {
    native: Arch,
    default: Action,
    suggestions: usize,
    first: Option<(String, Option<String>)>,
    more: usize,
}

impl Unknown {
    const fn new(profile: &Profile, native: Arch) -> Self {
        Self {
            native,
            default: profile.default_action,
            suggestions: 0,
            first: None,
            more: 0,
        }
    }

    /// In a profile that denies by default an unknown name opens nothing, and profiles name calls that
    /// are newer than any table. In one that lets calls run, it is a rule that does not bind.
    fn note(&mut self, name: &str, rule: &Rule) -> Result<(), ResolveError> {
        let fails_open = match self.default {
            Action::Allow => true,
            Action::Log => !rule.action.runs(),
            _ => false,
        };
        if fails_open {
            return Err(ResolveError::UnknownName {
                at: rule.at,
                name: super::json::quote(name),
                suggestion: self.suggest(name),
            });
        }
        if self.first.is_none() {
            self.first = Some((super::json::quote(name), self.suggest(name)));
        } else {
            self.more += 1;
        }
        Ok(())
    }

    fn suggest(&mut self, name: &str) -> Option<String> {
        self.suggestions += 1;
        if self.suggestions > MAX_SUGGESTIONS {
            return None;
        }
        let known = [self.native, Arch::X86_64, Arch::X86, Arch::Arm];
        let known = known.into_iter().flat_map(syscall::all);
        nearest(name, known.map(|(_, name)| name)).map(str::to_owned)
    }

    /// One warning for all unknown names of the rule that was gone through.
    fn warning(&mut self, rule: &Rule) -> Option<Warning> {
        let (name, suggestion) = self.first.take()?;
        let more = std::mem::take(&mut self.more);
        let about = Oddity::UnknownName {
            name,
            suggestion,
            more,
        };
        Some(Warning::new(rule.at, about))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Call, Op};

    fn host() -> Host {
        Host {
            native: Arch::X86_64,
            kernel: KernelVersion { major: 6, minor: 1 },
            caps: Capabilities::NONE,
        }
    }

    fn profile(rules: &str) -> Profile {
        with_default("SCMP_ACT_ERRNO", rules)
    }

    fn with_default(action: &str, rules: &str) -> Profile {
        let text = format!(
            r#"{{"defaultAction":"{action}","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"],
            "syscalls":[{rules}]}}"#
        );
        Profile::parse(text.as_bytes(), "p").expect(&text).0
    }

    fn rule(name: &str, action: &str, args: &[(u8, &str, u64)]) -> String {
        let args: Vec<_> = args
            .iter()
            .map(|(index, op, value)| {
                format!(r#"{{"index":{index},"value":{value},"op":"SCMP_CMP_{op}"}}"#)
            })
            .collect();
        let (action, errno) = match action.strip_prefix("ERRNO ") {
            Some(errno) => ("ERRNO", format!(r#","errnoRet":{errno}"#)),
            None => (action, String::new()),
        };
        let args = args.join(",");
        format!(r#"{{"names":["{name}"],"action":"SCMP_ACT_{action}"{errno},"args":[{args}]}}"#)
    }

    fn resolve(profile: &Profile) -> Resolved {
        profile.resolve(&host(), &Reading::default()).unwrap()
    }

    fn ask(policy: &Policy, arch: Arch, name: &str, args: &[u64]) -> Action {
        let mut six = [0; 6];
        six[..args.len()].copy_from_slice(args);
        let nr = Sysno::parse(arch, name).expect(name).nr;
        policy.evaluate(&Call {
            audit: arch.audit(),
            nr,
            args: six,
        })
    }

    fn about(resolved: &Resolved) -> Vec<String> {
        let shown = resolved.warnings.iter().map(|w| w.about.to_string());
        shown.collect()
    }

    #[test]
    fn rules_decide_in_libseccomps_order() {
        const EPERM: Action = Action::Errno(1);
        const EIO: Action = Action::Errno(5);
        const ALLOW: Action = Action::Allow;
        type Case<'a> = (&'a [String], &'a [(u64, u64, Action)]);
        let eq1 = [(0, "EQ", 1)];
        let eq2 = [(0, "EQ", 2)];
        let cases: [Case; 9] = [
            // No rule, no match.
            (&[], &[(0, 0, EPERM)]),
            // Conditions of one entry: all must hold. Entries: any.
            (
                &[
                    rule("ioctl", "ALLOW", &[(0, "EQ", 1), (1, "GT", 5)]),
                    rule("ioctl", "ALLOW", &eq2),
                ],
                &[(1, 6, ALLOW), (1, 5, EPERM), (2, 0, ALLOW), (3, 9, EPERM)],
            ),
            // Without conditions beats all with conditions, before or after it.
            (
                &[rule("ioctl", "ERRNO 5", &eq1), rule("ioctl", "ALLOW", &[])],
                &[(1, 0, ALLOW)],
            ),
            (
                &[rule("ioctl", "ERRNO 5", &[]), rule("ioctl", "ALLOW", &eq1)],
                &[(1, 0, EIO)],
            ),
            // Of two without conditions, the first wins.
            (
                &[rule("ioctl", "ERRNO 5", &[]), rule("ioctl", "ALLOW", &[])],
                &[(0, 0, EIO)],
            ),
            // Of overlapping ones with conditions, the first listed wins.
            (
                &[
                    rule("ioctl", "ERRNO 5", &eq1),
                    rule("ioctl", "ALLOW", &[(0, "LE", 2)]),
                ],
                &[(1, 0, EIO), (2, 0, ALLOW), (3, 0, EPERM)],
            ),
            // A rule that says what the default says does not win over others, wherever it stands.
            (
                &[rule("ioctl", "ERRNO 1", &[]), rule("ioctl", "ALLOW", &[])],
                &[(0, 0, ALLOW)],
            ),
            (
                &[
                    rule("ioctl", "ERRNO 1", &eq1),
                    rule("ioctl", "ALLOW", &[(0, "LE", 2)]),
                ],
                &[(1, 0, ALLOW), (3, 0, EPERM)],
            ),
            // One argument tested twice: any of the conditions is enough, those on others included.
            (
                &[rule(
                    "ioctl",
                    "ALLOW",
                    &[(0, "NE", 1), (0, "NE", 2), (1, "EQ", 7)],
                )],
                &[(1, 0, ALLOW), (2, 0, ALLOW), (3, 3, ALLOW)],
            ),
        ];
        for (rules, calls) in cases {
            let resolved = resolve(&profile(&rules.join(",")));
            for &(a, b, want) in calls {
                for arch in [Arch::X86_64, Arch::X86, Arch::X32] {
                    let got = ask(&resolved.policy, arch, "ioctl", &[a, b]);
                    assert_eq!(got, want, "{rules:?} {arch} ({a}, {b})");
                }
            }
        }
    }

    #[test]
    fn arguments_compare_in_the_width_of_the_abi() {
        const HIGH: u64 = 1 << 32;
        let cases = [
            ("EQ", HIGH | 5, HIGH | 5, Arch::X86_64, true),
            ("EQ", HIGH | 5, 5, Arch::X86_64, false),
            ("EQ", HIGH | 5, 5, Arch::X86, true),
            ("EQ", HIGH | 5, 5, Arch::X32, true),
            ("EQ", 5, HIGH | 5, Arch::X32, true),
            ("EQ", u64::MAX, 0xffff_ffff, Arch::X86, true),
            ("LT", HIGH, 0, Arch::X86, false),
            ("LT", HIGH, 0xffff_ffff, Arch::X86_64, true),
        ];
        for (op, value, arg, arch, allowed) in cases {
            let profile = profile(&rule("mmap", "ALLOW", &[(5, op, value)]));
            let args = [0, 0, 0, 0, 0, arg];
            let got = ask(&resolve(&profile).policy, arch, "mmap", &args);
            assert_eq!(got.runs(), allowed, "{op} {value:#x} {arg:#x} {arch}");
        }
        // The mask is `value`, what is compared with is `valueTwo`, and its bits outside the mask do not count.
        let masked = r#"{"names":["mmap"],"action":"SCMP_ACT_ALLOW",
            "args":[{"index":0,"value":6,"valueTwo":13,"op":"SCMP_CMP_MASKED_EQ"}]}"#;
        let condition = profile(masked).rules[0].conditions[0];
        assert_eq!((condition.op, condition.value), (Op::MaskedEq(6), 13));
        let policy = resolve(&profile(masked)).policy;
        for (arg, allowed) in [(4, true), (5, true), (12, true), (6, false), (0, false)] {
            let got = ask(&policy, Arch::X86_64, "mmap", &[arg]);
            assert_eq!(got.runs(), allowed, "{arg}");
        }
    }

    #[test]
    fn architectures_are_the_native_one_and_the_listed() {
        use Arch::{Aarch64, Arm, Ppc64le, X32, X86, X86_64};
        let map = r#""archMap":[{"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]},
            {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
            {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X32"]}]"#;
        let cases: [(&str, Arch, &[Arch]); 9] = [
            (r#""architectures":[]"#, X86_64, &[X86_64]),
            (
                r#""architectures":["SCMP_ARCH_X86"]"#,
                X86_64,
                &[X86_64, X86],
            ),
            (
                r#""architectures":["SCMP_ARCH_X32"]"#,
                X86_64,
                &[X86_64, X32],
            ),
            (
                r#""architectures":["SCMP_ARCH_X86","SCMP_ARCH_X86_64","SCMP_ARCH_X86"]"#,
                X86_64,
                &[X86_64, X86],
            ),
            (r#""architectures":["SCMP_ARCH_X32"]"#, Aarch64, &[Aarch64]),
            (map, X86_64, &[X86_64, X86]),
            (map, Aarch64, &[Aarch64, Arm]),
            (map, Ppc64le, &[Ppc64le]),
            (map, Arm, &[Arm]),
        ];
        for (fields, native, want) in cases {
            let text = format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO",{fields}}}"#);
            let profile = Profile::parse(text.as_bytes(), "p").unwrap().0;
            let host = Host { native, ..host() };
            let policy = profile.resolve(&host, &Reading::default()).unwrap().policy;
            let got: Vec<_> = policy.abis.iter().map(|abi| abi.arch).collect();
            assert_eq!(got, want, "{fields} {native}");
        }
        let mixed = Profile::learned([Arch::S390x], []);
        assert!(matches!(
            mixed.resolve(&host(), &Reading::default()),
            Err(ResolveError::ByteOrder { .. })
        ));
    }

    #[test]
    fn x32_is_another_architecture() {
        let call = |nr| Call {
            audit: Arch::X86_64.audit(),
            nr,
            args: [0; 6],
        };
        let groups = || [(vec!["read".to_owned()], None)];
        let without = resolve(&Profile::learned([Arch::X86_64], groups())).policy;
        let with = resolve(&Profile::learned([Arch::X32], groups())).policy;
        let (eperm, enosys) = (Action::Errno(1), Action::Errno(38));
        let cases = [
            (0, Action::Allow, Action::Allow),
            (0x4000_0000, Action::KillProcess, Action::Allow),
            (0x4000_0001, Action::KillProcess, enosys),
            // Tracers skip a call with -1.
            (u32::MAX, eperm, eperm),
        ];
        for (nr, want_without, want_with) in cases {
            assert_eq!(without.evaluate(&call(nr)), want_without, "{nr:#x}");
            assert_eq!(with.evaluate(&call(nr)), want_with, "{nr:#x}");
        }
    }

    #[test]
    fn includes_and_excludes_test_the_host() {
        let admin = Capabilities::from_iter([caps::Capability::CAP_SYS_ADMIN]);
        let on = |native, minor, caps| Host {
            native,
            kernel: KernelVersion { major: 4, minor },
            caps,
        };
        let plain = on(Arch::X86_64, 8, Capabilities::NONE);
        let root = on(Arch::X86_64, 8, admin);
        let old = on(Arch::X86_64, 7, Capabilities::NONE);
        let arm = on(Arch::Aarch64, 8, Capabilities::NONE);
        let cases = [
            (
                r#""includes":{"caps":["CAP_SYS_ADMIN"]}"#,
                [false, true, false, false],
            ),
            (
                r#""includes":{"caps":["CAP_SYS_ADMIN","CAP_BPF"]}"#,
                [false; 4],
            ),
            (
                r#""excludes":{"caps":["CAP_SYS_ADMIN","CAP_BPF"]}"#,
                [true, false, true, true],
            ),
            (
                r#""includes":{"arches":["arm64","s390x"]}"#,
                [false, false, false, true],
            ),
            (
                r#""excludes":{"arches":["arm64"]}"#,
                [true, true, true, false],
            ),
            // Only the native architecture is tested.
            (r#""includes":{"arches":["x86"]}"#, [false; 4]),
            (
                r#""includes":{"minKernel":"4.8"}"#,
                [true, true, false, true],
            ),
            (
                r#""excludes":{"minKernel":"4.8"}"#,
                [false, false, true, false],
            ),
            (r#""includes":{},"excludes":{}"#, [true; 4]),
        ];
        for (fields, want) in cases {
            let rule = format!(r#"{{"names":["read"],"action":"SCMP_ACT_ALLOW",{fields}}}"#);
            let profile = profile(&rule);
            for (host, want) in [&plain, &root, &old, &arm].into_iter().zip(want) {
                let policy = profile.resolve(host, &Reading::default()).unwrap().policy;
                let got = ask(&policy, host.native, "read", &[]).runs();
                assert_eq!(got, want, "{fields} {host:?}");
            }
        }
    }

    #[test]
    fn names_that_nothing_knows_are_warned_about_or_refused() {
        let unknown = |action| {
            let names = r#""names":["read","raed","wriet"]"#;
            format!(r#"{{{names},"action":"SCMP_ACT_{action}"}}"#)
        };
        let resolved = resolve(&profile(&unknown("ALLOW")));
        assert_eq!(
            about(&resolved),
            ["unknown syscall 'raed' (did you mean 'read'?) and 1 more in this entry"]
        );
        let cases = [
            ("ALLOW", "ERRNO", true),
            ("ALLOW", "ALLOW", true),
            ("LOG", "ERRNO", true),
            ("LOG", "ALLOW", false),
            ("KILL", "ERRNO", false),
        ];
        for (default, action, refused) in cases {
            let profile = with_default(&format!("SCMP_ACT_{default}"), &unknown(action));
            let got = profile.resolve(&host(), &Reading::default());
            assert_eq!(got.is_err(), refused, "{default} {action}: {got:?}");
        }
        // Known elsewhere, or a number: nothing to say.
        for name in ["mmap2", "riscv_flush_icache", "syscall_999"] {
            let resolved = resolve(&with_default("SCMP_ACT_ALLOW", &rule(name, "KILL", &[])));
            assert_eq!(resolved.warnings, [], "{name}");
        }
    }

    #[test]
    fn rules_without_effect_are_warned_about() {
        let cases = [
            (
                [rule("ioctl", "ALLOW", &[]), rule("ioctl", "ERRNO 1", &[])],
                "ERRNO(EPERM) for ioctl has no effect: an entry without conditions gives it ALLOW",
            ),
            (
                [
                    rule("ioctl", "ALLOW", &[]),
                    rule("ioctl", "TRAP", &[(0, "EQ", 1)]),
                ],
                "TRAP for ioctl has no effect: an entry without conditions gives it ALLOW",
            ),
            (
                [
                    rule("ioctl", "ALLOW", &[(1, "EQ", 1)]),
                    rule("ioctl", "KILL", &[]),
                ],
                "ALLOW for ioctl has no effect: an entry without conditions gives it KILL_PROCESS",
            ),
        ];
        for (rules, want) in cases {
            assert_eq!(about(&resolve(&profile(&rules.join(",")))), [want]);
        }
        let twice = [rule("ioctl", "ALLOW", &[]), rule("ioctl", "ALLOW", &[])];
        assert_eq!(resolve(&profile(&twice.join(","))).warnings, []);
        let any = rule("ioctl", "ALLOW", &[(0, "EQ", 1), (0, "EQ", 2)]);
        assert_eq!(
            resolve(&profile(&any)).warnings[0].about,
            Oddity::AnyCondition
        );
    }

    #[test]
    fn an_override_replaces_the_default_and_nothing_else() {
        let rules = [
            rule("read", "ALLOW", &[]),
            rule("write", "ERRNO 1", &[]),
            rule("open", "KILL", &[]),
        ];
        let profile = profile(&rules.join(","));
        let cases = [
            (None, Action::Errno(1), Action::KillProcess),
            (Some(Action::Log), Action::Log, Action::Log),
            (
                Some(Action::KillProcess),
                Action::KillProcess,
                Action::KillProcess,
            ),
            (
                Some(Action::Errno(13)),
                Action::Errno(13),
                Action::KillProcess,
            ),
        ];
        for (default_override, default, bad_arch) in cases {
            let reading = Reading {
                default_override,
                ..Reading::default()
            };
            let policy = profile.resolve(&host(), &reading).unwrap().policy;
            let get = |name| ask(&policy, Arch::X86_64, name, &[]);
            assert_eq!(get("read"), Action::Allow);
            // Equal to the file's own default: kept.
            assert_eq!(get("write"), Action::Errno(1), "{default_override:?}");
            assert_eq!(get("open"), Action::KillProcess);
            // Below the newest that is named: open is 2.
            assert_eq!(policy.abis[0].default, default);
            assert_eq!(policy.bad_arch, bad_arch);
        }
    }

    #[test]
    fn newer_calls_get_enosys_as_under_runc() {
        let rules = [rule("read", "ALLOW", &[]), rule("ioctl", "ERRNO 1", &[])];
        let from = |default: &str, reading: &Reading| {
            let profile = with_default(default, &rules.join(","));
            let abis = profile.resolve(&host(), reading).unwrap().policy.abis;
            abis.iter()
                .map(|abi| abi.newer.map(|newer| newer.from))
                .collect::<Vec<_>>()
        };
        let on = Reading::default();
        // The largest number that any rule names, whatever its action; x86-64 and x32 have their own.
        let newest = [Some(17), Some(55), Some(0x4000_0000 + 515)];
        for default in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_TRAP"] {
            assert_eq!(from(default, &on), newest, "{default}");
        }
        for default in ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"] {
            assert_eq!(from(default, &on), [None; 3], "{default}");
        }
        let overridden = |action| Reading {
            default_override: Some(action),
            ..on
        };
        assert_eq!(from("SCMP_ACT_ERRNO", &overridden(Action::Log)), [None; 3]);
        assert_eq!(
            from("SCMP_ACT_LOG", &overridden(Action::KillProcess)),
            newest
        );
        // The default is ENOSYS anyway.
        assert_eq!(
            from("SCMP_ACT_LOG", &overridden(Action::Errno(38))),
            [None; 3]
        );
        let off = Reading {
            unknown: UnknownCalls::Default,
            ..on
        };
        assert_eq!(from("SCMP_ACT_ERRNO", &off), [None; 3]);
        // Nothing named: nothing is newer.
        let empty = resolve(&Profile::learned([], [])).policy;
        assert_eq!(empty.abis[0].newer, None);
    }

    #[test]
    fn an_architecture_without_a_table_must_not_open_holes() {
        let s390x = Host {
            native: Arch::S390x,
            ..host()
        };
        let read = || [(vec!["read".to_owned()], None)];
        let mut profile = Profile::learned([Arch::Parisc], read());
        let resolved = profile.resolve(&s390x, &Reading::default()).unwrap();
        assert!(matches!(resolved.warnings[0].about, Oddity::NoTable { .. }));
        profile.default_action = Action::Allow;
        assert_eq!(
            profile.resolve(&s390x, &Reading::default()),
            Err(ResolveError::NoTable { arch: Arch::Parisc })
        );
    }

    #[test]
    fn what_unfolds_without_end_is_refused() {
        let mut bomb = Rule::allow(syscall::all(Arch::X86_64).map(|(_, name)| name));
        let condition = Condition {
            index: 0,
            op: Op::Eq,
            value: 1,
        };
        bomb.conditions = vec![condition; 10_000];
        let mut profile = Profile::learned([], []);
        profile.rules.push(bomb);
        assert_eq!(
            profile.resolve(&host(), &Reading::default()),
            Err(ResolveError::TooManyRules)
        );
    }
}
