//! A profile and a host make a policy.
//!
//! The order in which rules decide is libseccomp's for every profile without contradictions (`src/db.c`):
//! an entry without conditions beats all those with, and of two without, the first wins. Where entries
//! with conditions overlap, libseccomp follows the shape of its tree; here the first listed wins.

use std::collections::BTreeSet;

use super::dialect::{Dialect, Host, Reading};
use super::draft::{Draft, Entry, Finding};
use super::findings::{Oddity, ResolveError, Warning};
use super::mentions::Mentions;
use super::model::{Flag, Position, Profile, Rule};
use super::nearest::nearest;
use super::overlap::overlaps;
use crate::action::Action;
use crate::arch::Arch;
use crate::policy::Policy;
use crate::syscall;

/// So many unknown names get a suggestion; comparing a word with all names takes its time.
const MAX_SUGGESTIONS: usize = 8;

/// A policy, and what is odd about the profile that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What decides.
    pub policy: Policy,
    /// How to install it.
    pub flags: Flags,
    /// What was probably not meant, in the order of the file.
    pub warnings: Vec<Warning>,
    /// What is meant perhaps, and worth knowing when a profile is examined. Too common to be said at each
    /// start of a program: Docker's own default is among them.
    pub notes: Vec<Warning>,
}

/// The flags of `seccomp(2)` that a profile asks for and that have a meaning here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// `SECCOMP_FILTER_FLAG_LOG`.
    pub log: bool,
    /// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`. Also without being asked for, when the profile has no `flags`: so do
    /// runc and crun, since without it older kernels slow the program down by half.
    pub spec_allow: bool,
}

impl Profile {
    /// The policy that this profile is on this host.
    ///
    /// # Errors
    ///
    /// When the profile says what cannot be enforced: see [`ResolveError`].
    pub fn resolve(&self, host: &Host, reading: &Reading) -> Result<Resolved, ResolveError> {
        let dialect = reading.dialect;
        let own_default = dialect.default_action(self);
        let default = reading.default_override.unwrap_or(own_default);
        let mut warnings = dialect.ignored(self);
        let flags = self.install_flags(&mut warnings)?;
        let arches = self.architectures_on(host.native, dialect)?;
        for &arch in &arches {
            warnings.extend(self.without_table(arch, own_default, default)?);
        }
        let mut notes = Vec::new();
        let mut unknown = Unknown::new(own_default, host.native);
        let mut entries = Vec::with_capacity(self.rules.len());
        for (origin, rule) in self.rules.iter().enumerate() {
            if !dialect.counts(rule, host) {
                continue;
            }
            let action = dialect.action(rule);
            if action == Action::KillThread {
                notes.push(Warning::new(rule.at, Oddity::KillThread));
            }
            if rule.names.is_empty() && own_default.runs() && !action.runs() {
                return Err(ResolveError::NoNames { at: rule.at });
            }
            let any_is_enough = tests_twice(rule);
            if any_is_enough {
                warnings.push(Warning::new(rule.at, Oddity::AnyCondition));
            }
            let unlisted = rule.names.iter().filter(|name| name.index().is_none());
            let unlisted: Vec<_> = unlisted.collect();
            for name in unlisted.iter().filter(|name| !name.is_known()) {
                unknown.note(name, rule, action)?;
            }
            warnings.extend(unknown.warning(rule));
            entries.push(Entry {
                origin,
                names: &rule.names,
                unlisted,
                conditions: &rule.conditions,
                any_is_enough,
                action,
            });
        }
        let unconditional = entries.iter().filter(|entry| entry.is_unconditional());
        let mentions = Mentions::of(unconditional.map(|entry| entry.names));
        let mut abis = Vec::with_capacity(arches.len());
        let mut findings = Vec::new();
        for arch in arches {
            let draft = Draft::new(arch, own_default, reading.arg_width);
            let (abi, found) = draft.rules(&entries, &mentions, default, reading.unknown)?;
            abis.push(abi);
            findings.extend(found);
        }
        let bad_arch = match reading.default_override {
            Some(Action::Log) => Action::Log,
            _ => Action::KillProcess,
        };
        let policy = Policy { abis, bad_arch };
        findings.extend(overlaps(&policy, own_default));
        // Once is enough where several architectures have the same.
        let mut seen = BTreeSet::new();
        for finding in findings {
            if seen.insert((finding.origin, finding.about.clone())) {
                match finding.about {
                    Oddity::Multiplexed { .. } => notes.push(self.place(finding)),
                    _ => warnings.push(self.place(finding)),
                }
            }
        }
        for list in [&mut warnings, &mut notes] {
            // Stable, so that several about one entry stay in the order of their making.
            list.sort_by_key(|warning| (warning.at.line, warning.at.column));
        }
        Ok(Resolved {
            policy,
            flags,
            warnings,
            notes,
        })
    }

    /// Gives a finding its place in the file.
    fn place(&self, finding: Finding) -> Warning {
        let rule = self.rules.get(finding.origin);
        let at = rule.map_or(Position::NOWHERE, |rule| rule.at);
        Warning::new(at, finding.about)
    }

    /// The native architecture first, whether or not the profile lists it, as libseccomp has it.
    pub(super) fn architectures_on(
        &self,
        native: Arch,
        dialect: Dialect,
    ) -> Result<Vec<Arch>, ResolveError> {
        let mapped = dialect
            .arch_map(self)
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

    /// The launcher installs the filter while it has one thread, so there is nothing to synchronise.
    fn install_flags(&self, warnings: &mut Vec<Warning>) -> Result<Flags, ResolveError> {
        let Some(flags) = &self.flags else {
            return Ok(Flags {
                log: false,
                spec_allow: true,
            });
        };
        if flags.contains(&Flag::WaitKillableRecv) {
            return Err(ResolveError::WaitKillableRecv);
        }
        if flags.contains(&Flag::Tsync) {
            warnings.push(Warning::new(Position::NOWHERE, Oddity::Tsync));
        }
        Ok(Flags {
            log: flags.contains(&Flag::Log),
            spec_allow: flags.contains(&Flag::SpecAllow),
        })
    }

    fn without_table(
        &self,
        arch: Arch,
        own_default: Action,
        default: Action,
    ) -> Result<Option<Warning>, ResolveError> {
        if syscall::has_table(arch) || self.rules.is_empty() {
            return Ok(None);
        }
        if own_default.runs() {
            return Err(ResolveError::NoTable { arch });
        }
        let about = Oddity::NoTable { arch, default };
        Ok(Some(Warning::new(Position::NOWHERE, about)))
    }
}

/// Does the rule test an argument twice?
///
/// libseccomp refuses two conditions on one argument, and every runtime then installs each condition as a
/// rule of its own (runc's `matchCall`): one that holds is enough.
fn tests_twice(rule: &Rule) -> bool {
    let mut tested = 0_u8;
    rule.conditions.iter().any(|condition| {
        let bit = 1 << condition.index;
        let again = tested & bit != 0;
        tested |= bit;
        again
    })
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
    const fn new(default: Action, native: Arch) -> Self {
        Self {
            native,
            default,
            suggestions: 0,
            first: None,
            more: 0,
        }
    }

    /// In a profile that denies by default an unknown name opens nothing, and profiles name calls that
    /// are newer than any table. In one that lets calls run, it is a rule that does not bind.
    fn note(&mut self, name: &str, rule: &Rule, action: Action) -> Result<(), ResolveError> {
        let fails_open = match self.default {
            Action::Allow => true,
            Action::Log => !action.runs(),
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
    use crate::profile::model::Condition;
    use crate::profile::{ArgWidth, Capabilities, KernelVersion, UnknownCalls};
    use crate::syscall::Sysno;

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
    fn a_denial_without_names_must_not_deny_nothing() {
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[],"action":"SCMP_ACT_ERRNO"}]}"#;
        let (profile, _) = Profile::parse(text.as_bytes(), "p").unwrap();
        let refused = profile.resolve(&host(), &Reading::default());
        assert!(
            matches!(refused, Err(ResolveError::NoNames { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn a_comparison_that_sees_no_bits_is_no_condition() {
        // As libseccomp has it: both entries are unconditional, and the first wins.
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["link"],"action":"SCMP_ACT_TRAP","args":[{"index":4,"value":0,"op":"SCMP_CMP_MASKED_EQ"}]},
            {"names":["link"],"action":"SCMP_ACT_ERRNO"}]}"#;
        let (profile, _) = Profile::parse(text.as_bytes(), "p").unwrap();
        let policy = profile
            .resolve(&host(), &Reading::default())
            .unwrap()
            .policy;
        let nr = Sysno::parse(Arch::X86_64, "link").unwrap().nr;
        let call = Call {
            audit: Arch::X86_64.audit(),
            nr,
            args: [0; 6],
        };
        assert_eq!(policy.evaluate(&call), Action::Trap);
    }

    /// In the tables and not, with conditions and without, twice in an entry and in two of them.
    #[test]
    fn every_number_has_its_rules_wherever_they_stand() {
        let several = r#"{"names":["syscall_999","write","syscall_400","write","futex"],"action":"SCMP_ACT_ALLOW"}"#;
        let rules = [
            rule("futex", "LOG", &[(0, "EQ", 1)]),
            several.to_owned(),
            rule("write", "ERRNO 5", &[]),
            rule("syscall_400", "ERRNO 5", &[]),
            rule("dup", "ERRNO 5", &[(0, "EQ", 1)]),
        ];
        let resolved = resolve(&profile(&rules.join(",")));
        let names = ["write", "dup", "futex", "syscall_400", "syscall_999"];
        for arch in [Arch::X86_64, Arch::X32] {
            let of = |name| Sysno::parse(arch, name).unwrap().nr;
            let rules = &resolved.policy.abi(arch).unwrap().syscalls;
            assert!(rules.numbers().eq(names.map(of)), "{arch}");
            for name in names {
                let want = match name {
                    "dup" => [Action::Errno(1), Action::Errno(5)],
                    _ => [Action::Allow; 2],
                };
                let got = [0, 1].map(|arg| ask(&resolved.policy, arch, name, &[arg]));
                assert_eq!(got, want, "{arch} {name}");
            }
        }
        let lost = about(&resolved);
        assert!(
            lost.len() == 3 && lost.iter().all(|lost| lost.contains("has no effect")),
            "{lost:?}"
        );
        // Private numbers come behind all others, and are in the tables.
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_ARM"],
            "syscalls":[{"names":["set_tls","syscall_600","read","breakpoint"],"action":"SCMP_ACT_ALLOW"}]}"#;
        let (profile, _) = Profile::parse(text.as_bytes(), "p").unwrap();
        let arm = Host {
            native: Arch::Arm,
            ..host()
        };
        let policy = profile.resolve(&arm, &Reading::default()).unwrap().policy;
        let numbers = policy.abi(Arch::Arm).unwrap().syscalls.numbers();
        assert!(numbers.eq([3, 600, 0xf_0001, 0xf_0005]));
    }

    #[test]
    fn what_unfolds_without_end_is_refused() {
        let condition = Condition {
            index: 0,
            op: Op::Eq,
            value: 1,
        };
        let bomb = |names: Vec<&'static str>, conditions| Rule {
            conditions: vec![condition; conditions],
            ..Rule::allow(names)
        };
        let all = syscall::all(Arch::X86_64).map(|(_, name)| name).collect();
        // With conditions, without, and where each has a companion.
        let bombs = [
            bomb(all, 10_000),
            bomb(vec!["read"; (1 << 18) + 1], 0),
            bomb(vec!["socket"], 200_000),
        ];
        for bomb in bombs {
            let mut profile = Profile::learned([Arch::X86], []);
            profile.rules.push(bomb);
            assert_eq!(
                profile.resolve(&host(), &Reading::default()),
                Err(ResolveError::TooManyRules)
            );
        }
    }

    fn errors_and_flags(flags: &str) -> Result<Resolved, ResolveError> {
        let text = format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO"{flags}}}"#);
        let profile = Profile::parse(text.as_bytes(), "p").unwrap().0;
        profile.resolve(&host(), &Reading::default())
    }

    #[test]
    fn absent_flags_are_not_empty_flags() {
        let flags = |log, spec_allow| Flags { log, spec_allow };
        let cases = [
            ("", flags(false, true)),
            (r#","flags":null"#, flags(false, true)),
            (r#","flags":[]"#, flags(false, false)),
            (
                r#","flags":["SECCOMP_FILTER_FLAG_LOG"]"#,
                flags(true, false),
            ),
            (
                r#","flags":["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]"#,
                flags(false, true),
            ),
        ];
        for (text, want) in cases {
            let resolved = errors_and_flags(text).unwrap();
            assert_eq!(
                (resolved.flags, resolved.warnings),
                (want, vec![]),
                "{text}"
            );
        }
        let tsync = errors_and_flags(r#","flags":["SECCOMP_FILTER_FLAG_TSYNC"]"#).unwrap();
        assert_eq!(tsync.warnings[0].about, Oddity::Tsync);
        assert_eq!(
            errors_and_flags(r#","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]"#),
            Err(ResolveError::WaitKillableRecv)
        );
    }

    #[test]
    fn a_dialect_decides_what_counts() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS",
            "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
            "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_BPF"]}},
            {"names":["write"],"action":"SCMP_ACT_ERRNO","errno":"ENOSYS"},
            {"names":["write"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"7.0"}}]}"#;
        let profile = Profile::parse(text.as_bytes(), "p").unwrap().0;
        let (allow, eperm, enosys) = (Action::Allow, Action::Errno(1), Action::Errno(38));
        // The default, and what read and write get.
        let cases = [
            (Dialect::Docker, [eperm, eperm, eperm], 2),
            // Here the second rule is the default, and the third counts on every kernel.
            (Dialect::Podman, [enosys, enosys, allow], 2),
            (Dialect::Oci, [eperm, allow, allow], 1),
        ];
        for (dialect, want, arches) in cases {
            let reading = Reading {
                dialect,
                ..Reading::default()
            };
            let policy = profile.resolve(&host(), &reading).unwrap().policy;
            let got = |name| ask(&policy, Arch::X86_64, name, &[]);
            let default = policy.abis[0].default;
            assert_eq!([default, got("read"), got("write")], want, "{dialect}");
            assert_eq!(policy.abis.len(), arches, "{dialect}");
        }
    }

    #[test]
    fn overlapping_entries_are_shown_with_a_call() {
        let eq = |arg, value| (arg, "EQ", value);
        let cases = [
            (
                [
                    rule("ioctl", "ERRNO 5", &[eq(0, 40)]),
                    rule("ioctl", "ALLOW", &[(0, "NE", 16)]),
                ],
                Some("both match ioctl(40): here the first listed decides, so it gets ERRNO(EIO)"),
            ),
            (
                [
                    rule("ioctl", "ERRNO 5", &[eq(0, 1)]),
                    rule("ioctl", "ALLOW", &[eq(1, 2)]),
                ],
                Some("both match ioctl(1, 2):"),
            ),
            (
                [
                    rule("ioctl", "ALLOW", &[eq(1, 2)]),
                    rule("ioctl", "TRAP", &[eq(1, 2)]),
                ],
                Some("both match ioctl(0, 2): here the first listed decides, so it gets ALLOW"),
            ),
            // The same action, no call in common, the default's own action: no contradiction.
            (
                [
                    rule("ioctl", "ALLOW", &[eq(0, 1)]),
                    rule("ioctl", "ALLOW", &[eq(1, 2)]),
                ],
                None,
            ),
            (
                [
                    rule("ioctl", "ERRNO 5", &[eq(0, 16)]),
                    rule("ioctl", "ALLOW", &[(0, "NE", 16)]),
                ],
                None,
            ),
            (
                [
                    rule("ioctl", "ERRNO 1", &[eq(0, 1)]),
                    rule("ioctl", "ALLOW", &[(0, "NE", 16)]),
                ],
                None,
            ),
        ];
        for (rules, want) in cases {
            let about = about(&resolve(&profile(&rules.join(","))));
            match (about.as_slice(), want) {
                ([], None) => {}
                ([got], Some(want)) => assert!(got.contains(want), "{got}"),
                _ => panic!("{rules:?}: {about:?}"),
            }
        }
    }

    #[test]
    fn a_rule_holds_through_socketcall_and_ipc_too() {
        let one = |rules: &str| resolve(&profile(rules));
        let (allow, eperm, eio) = (Action::Allow, Action::Errno(1), Action::Errno(5));
        let x86 =
            |resolved: &Resolved, name, args: &[u64]| ask(&resolved.policy, Arch::X86, name, args);

        // The first argument is overwritten, the others are kept.
        let resolved = one(&rule("socket", "ALLOW", &[(0, "EQ", 1)]));
        assert_eq!(x86(&resolved, "socket", &[2]), eperm);
        assert_eq!(x86(&resolved, "socketcall", &[1, 0xffff]), allow);
        assert_eq!(x86(&resolved, "socketcall", &[2]), eperm);
        let resolved = one(&rule("socket", "ALLOW", &[(2, "EQ", 7)]));
        assert_eq!(x86(&resolved, "socketcall", &[1, 0, 7]), allow);
        assert_eq!(x86(&resolved, "socketcall", &[1, 0, 8]), eperm);

        // A call that has no number of its own there is not unknown.
        let resolved = one(&rule("send", "ALLOW", &[]));
        assert_eq!(x86(&resolved, "socketcall", &[9]), allow);
        assert_eq!(resolved.warnings, []);
        let resolved = one(&rule("semop", "ALLOW", &[]));
        assert_eq!(x86(&resolved, "ipc", &[1]), allow);
        assert_eq!(x86(&resolved, "ipc", &[2]), eperm);

        // `socketcall` itself, without conditions, wins.
        let resolved = one(&[
            rule("socket", "ALLOW", &[]),
            rule("socketcall", "ERRNO 5", &[]),
        ]
        .join(","));
        assert_eq!(x86(&resolved, "socketcall", &[1]), eio);
        assert_eq!(x86(&resolved, "socket", &[1]), allow);
        assert_eq!((resolved.warnings, resolved.notes), (vec![], vec![]));

        // As on the direct way, what has no conditions beats what has some.
        let resolved = one(&[
            rule("socket", "ERRNO 5", &[(2, "EQ", 7)]),
            rule("socket", "ALLOW", &[]),
        ]
        .join(","));
        assert_eq!(x86(&resolved, "socketcall", &[1, 0, 7]), allow);
    }

    #[test]
    fn conditions_that_socketcall_evades_are_noted() {
        let notes = |rules: &[String]| {
            let resolved = resolve(&profile(&rules.join(",")));
            resolved
                .notes
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        let socket = rule("socket", "ALLOW", &[(0, "EQ", 1)]);
        let [note] = &notes(std::slice::from_ref(&socket))[..] else {
            panic!()
        };
        assert!(
            note.starts_with(
                "line 2: the conditions on socket do not bind on x86 through socketcall"
            )
        );
        assert_eq!(notes(&[rule("socket", "ALLOW", &[])]), [""; 0]);
        assert_eq!(
            notes(&[socket, rule("socketcall", "ERRNO 38", &[])]),
            [""; 0]
        );
        let thread = notes(&[rule("ptrace", "KILL_THREAD", &[])]);
        assert!(thread[0].contains("ends one thread only"), "{thread:?}");
    }

    #[test]
    fn arguments_compare_as_the_kernel_will_see_them() {
        const HIGH: u64 = 1 << 32;
        let kernel = Reading::default();
        let full = Reading {
            arg_width: ArgWidth::Full,
            ..kernel
        };
        let cases = [
            // An `unsigned int`: the upper half is not the kernel's business.
            ("ioctl", 1, "EQ", 5, HIGH | 5, true, false),
            ("ioctl", 1, "EQ", u64::MAX, 0xffff_ffff, true, false),
            ("ioctl", 1, "NE", 5, HIGH | 5, false, true),
            // An `unsigned long`.
            ("ioctl", 2, "EQ", 5, HIGH | 5, false, false),
            // A constant that an `int` cannot be.
            ("ioctl", 1, "EQ", HIGH | 5, 5, false, false),
            ("ioctl", 1, "LT", HIGH, 7, true, true),
        ];
        for (name, index, op, value, arg, in_kernel, in_full) in cases {
            let profile = profile(&rule(name, "ALLOW", &[(index, op, value)]));
            let mut args = [0; 6];
            args[usize::from(index)] = arg;
            for (reading, want) in [(&kernel, in_kernel), (&full, in_full)] {
                let policy = profile.resolve(&host(), reading).unwrap().policy;
                let got = ask(&policy, Arch::X86_64, name, &args).runs();
                assert_eq!(got, want, "{index} {op} {value:#x} {arg:#x} {reading:?}");
            }
        }
        let wide = profile(&rule("ioctl", "ALLOW", &[(1, "EQ", HIGH)]));
        let want = Oddity::WideConstant {
            name: "ioctl".to_owned(),
            index: 1,
        };
        assert_eq!(resolve(&wide).warnings[0].about, want);
        assert_eq!(wide.resolve(&host(), &full).unwrap().warnings, []);
    }
}
