//! Who reads a profile on which host, and what of it counts for them.
//!
//! The same file means different things to Docker (moby's `profiles/seccomp`), to Podman and CRI-O
//! (containers/common's `pkg/seccomp`), and to what takes plain OCI (runc, crun, containerd and so
//! Kubernetes): the last ignore everything that runtime-spec does not have.

use std::fmt;

use super::findings::{Oddity, Warning};
use super::model::{ArchMap, Capabilities, KernelVersion, Position, Profile, Rule, Scope};
use crate::action::Action;
use crate::arch::Arch;

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
///
/// A field that the dialect does not know has no effect, and a [`Warning`] says so where that changes
/// something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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

/// Does the rule have a certain field?
type Has = fn(&Rule) -> bool;

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Dialect {
    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Oci => "oci",
        }
    }

    /// The file's own default action.
    pub(super) fn default_action(self, profile: &Profile) -> Action {
        self.answer(profile.default_action, profile.default_errno)
    }

    /// What calls get that the rule matches.
    pub(super) fn action(self, rule: &Rule) -> Action {
        self.answer(rule.action, rule.errno)
    }

    /// Podman's errno fields win over the numeric ones; nobody else knows them.
    fn answer(self, action: Action, errno: Option<u16>) -> Action {
        match (self, action, errno) {
            (Self::Podman, Action::Errno(_), Some(errno)) => Action::Errno(errno),
            (Self::Podman, Action::Trace(_), Some(errno)) => Action::Trace(errno),
            _ => action,
        }
    }

    /// The architectures by native architecture.
    pub(super) fn arch_map(self, profile: &Profile) -> &[ArchMap] {
        match self {
            Self::Docker | Self::Podman => &profile.arch_map,
            Self::Oci => &[],
        }
    }

    /// Does the rule count on this host?
    pub(super) fn counts(self, rule: &Rule, host: &Host) -> bool {
        if self == Self::Oci {
            return !rule.old_name_field;
        }
        // Every kernel is new enough for a dialect without the field.
        let new_enough =
            |oldest: &Option<KernelVersion>| oldest.map(|oldest| host.kernel >= oldest);
        let kernel = |scope: &Scope| match self {
            Self::Docker => new_enough(&scope.min_kernel),
            _ => None,
        };
        let (within, without) = (&rule.includes, &rule.excludes);
        let included = host.caps.contains_all(within.caps)
            && (within.arches.is_empty() || within.arches.contains(&host.native))
            && kernel(within).unwrap_or(true);
        let excluded = host.caps.contains_any(without.caps)
            || without.arches.contains(&host.native)
            || kernel(without).unwrap_or(false);
        included && !excluded
    }

    /// The fields of the profile that this dialect ignores, where that changes something: one warning for
    /// each field, at the first place.
    pub(crate) fn ignored(self, profile: &Profile) -> Vec<Warning> {
        let differs = |action, errno| Self::Podman.answer(action, errno) != action;
        let mut found = Vec::new();
        if self != Self::Podman && differs(profile.default_action, profile.default_errno) {
            found.push(self.ignores("defaultErrno", "defaultErrnoRet counts", 0, None));
        }
        if self == Self::Oci && !profile.arch_map.is_empty() {
            let effect = "only calls of the native architecture are possible";
            found.push(self.ignores("archMap", effect, 0, None));
        }
        let on_all_hosts = "the entry counts on every host";
        let fields: [(_, _, bool, Has); 5] = [
            ("errno", "errnoRet counts", self != Self::Podman, |rule| {
                Self::Podman.action(rule) != rule.action
            }),
            (
                "minKernel",
                "the entry counts on every kernel",
                self == Self::Podman,
                |rule| {
                    rule.includes
                        .min_kernel
                        .or(rule.excludes.min_kernel)
                        .is_some()
                },
            ),
            ("includes", on_all_hosts, self == Self::Oci, |rule| {
                !rule.includes.is_empty()
            }),
            ("excludes", on_all_hosts, self == Self::Oci, |rule| {
                !rule.excludes.is_empty()
            }),
            (
                "name",
                "the entry names no syscall",
                self == Self::Oci,
                |rule| rule.old_name_field,
            ),
        ];
        for (field, effect, ignored, has) in fields {
            let mut rules = profile.rules.iter().filter(|rule| ignored && has(rule));
            if let Some(first) = rules.next() {
                found.push(self.ignores(field, effect, rules.count(), Some(first)));
            }
        }
        found
    }

    fn ignores(
        self,
        field: &'static str,
        effect: &'static str,
        more: usize,
        rule: Option<&Rule>,
    ) -> Warning {
        let about = Oddity::Ignored {
            field,
            dialect: self.name(),
            effect,
            more,
        };
        Warning::new(rule.map_or(Position::NOWHERE, |rule| rule.at), about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Profile {
        Profile::parse(text.as_bytes(), "p").expect(text).0
    }

    fn host() -> Host {
        Host {
            native: Arch::X86_64,
            kernel: KernelVersion { major: 4, minor: 7 },
            caps: Capabilities::NONE,
        }
    }

    #[test]
    fn each_dialect_reads_the_fields_it_knows() {
        let rule = |fields: &str| {
            let text = format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"action":"SCMP_ACT_ALLOW",{fields}}}]}}"#
            );
            parse(&text)
        };
        // Does the rule count for Docker, Podman, OCI?
        let cases = [
            (r#""names":["a"]"#, [true, true, true]),
            (r#""name":"a""#, [true, true, false]),
            (
                r#""names":["a"],"includes":{"caps":["CAP_BPF"]}"#,
                [false, false, true],
            ),
            (
                r#""names":["a"],"excludes":{"arches":["amd64"]}"#,
                [false, false, true],
            ),
            (
                r#""names":["a"],"includes":{"minKernel":"4.8"}"#,
                [false, true, true],
            ),
            (
                r#""names":["a"],"excludes":{"minKernel":"4.7"}"#,
                [false, true, true],
            ),
        ];
        for (fields, want) in cases {
            let profile = rule(fields);
            for (dialect, want) in [Dialect::Docker, Dialect::Podman, Dialect::Oci]
                .into_iter()
                .zip(want)
            {
                let got = dialect.counts(&profile.rules[0], &host());
                assert_eq!(got, want, "{fields} {dialect}");
            }
        }
    }

    #[test]
    fn no_other_capabilities_matter_than_those_that_entries_name() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_BPF"]}},
            {"names":["b"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_BPF","CAP_SYS_TIME"]}},
            {"names":["c"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_KILL","CAP_SYS_TIME"]}}]}"#;
        let profile = parse(text);
        let asked = profile.asked_caps().bits();
        for caps in (0..64)
            .map(|bit| 1 << bit)
            .chain([0, u64::MAX, !asked, asked])
        {
            for dialect in [Dialect::Docker, Dialect::Podman, Dialect::Oci] {
                let counts = |caps| {
                    let caps = Capabilities::from_bits(caps);
                    let host = Host { caps, ..host() };
                    [0, 1, 2].map(|at| dialect.counts(&profile.rules[at], &host))
                };
                assert_eq!(counts(caps), counts(caps & asked), "{caps:#x} {dialect}");
            }
        }
    }

    #[test]
    fn only_podman_reads_errnos_as_text() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"defaultErrno":"ENOSYS",
            "syscalls":[{"names":["a"],"action":"SCMP_ACT_ERRNO","errno":"22"}]}"#;
        let profile = parse(text);
        for (dialect, default, rule) in [
            (Dialect::Docker, 1, 1),
            (Dialect::Podman, 38, 22),
            (Dialect::Oci, 1, 1),
        ] {
            assert_eq!(dialect.default_action(&profile), Action::Errno(default));
            assert_eq!(dialect.action(&profile.rules[0]), Action::Errno(rule));
        }
    }

    #[test]
    fn what_is_ignored_is_warned_about_where_it_matters() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"defaultErrno":"ENOSYS",
            "archMap":[{"architecture":"SCMP_ARCH_X86_64"}],"syscalls":[
            {"names":["a"],"action":"SCMP_ACT_ERRNO","errno":"EPERM","includes":{},"excludes":null},
            {"names":["b"],"action":"SCMP_ACT_ERRNO","errno":"EIO","includes":{"caps":["CAP_BPF"]}},
            {"names":["c"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
            {"name":"d","action":"SCMP_ACT_ALLOW"}]}"#;
        let profile = parse(text);
        let shown = |dialect: Dialect| {
            let warnings = dialect.ignored(&profile);
            let shown = warnings.iter().map(ToString::to_string);
            shown.collect::<Vec<_>>()
        };
        let errno = "line 4: 'errno' is ignored in the docker dialect: errnoRet counts";
        assert_eq!(shown(Dialect::Docker), [errno]);
        assert_eq!(
            shown(Dialect::Podman),
            [
                "line 5: 'minKernel' is ignored in the podman dialect: the entry counts on every kernel"
            ]
        );
        assert_eq!(
            shown(Dialect::Oci),
            [
                "'archMap' is ignored in the oci dialect: only calls of the native architecture are possible",
                "line 4: 'errno' is ignored in the oci dialect: errnoRet counts",
                "line 4: 'includes' is ignored in the oci dialect: the entry counts on every host (so it is in 1 more)",
                "line 6: 'name' is ignored in the oci dialect: the entry names no syscall",
            ]
        );
    }
}
