//! What a profile says, as plain data: one field per field of the JSON, one [`Rule`] per entry of `syscalls`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr as _;

use caps::Capability;

use crate::action::Action;
use crate::arch::Arch;
use crate::policy::Op;
use crate::syscall::Name;

/// A Docker/OCI seccomp profile.
///
/// Two profiles are equal when they say the same in the same order; where a rule stood in a file does not
/// count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What a call gets that no rule matches: `defaultAction` with `defaultErrnoRet`.
    pub default_action: Action,
    /// Podman's `defaultErrno`, as a number. Only Podman's dialect reads it.
    pub default_errno: Option<u16>,
    /// The architectures beside the native one. Empty when the profile has an [`arch_map`](Self::arch_map).
    pub architectures: Vec<Arch>,
    /// Docker's `archMap`: architectures by native architecture.
    pub arch_map: Vec<ArchMap>,
    /// `flags`. Absent is not the same as empty: then the runtime chooses.
    pub flags: Option<Vec<Flag>>,
    /// `listenerPath`, which only `SCMP_ACT_NOTIFY` would use.
    pub listener_path: Option<String>,
    /// `listenerMetadata`, which only `SCMP_ACT_NOTIFY` would use.
    pub listener_metadata: Option<String>,
    /// A comment on the whole. No runtime reads it.
    pub comment: Option<String>,
    /// The entries of `syscalls`, in their order.
    pub rules: Vec<Rule>,
}

/// One entry of Docker's `archMap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchMap {
    /// The native architecture that the entry is for.
    pub architecture: Arch,
    /// Those that it runs besides.
    pub sub_architectures: Vec<Arch>,
}

/// A flag of `seccomp(2)`'s `SECCOMP_SET_MODE_FILTER`, as profiles name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// Install into all threads.
    Tsync,
    /// Log every action but `ALLOW`.
    Log,
    /// Leave speculation mitigations off.
    SpecAllow,
    /// Only fatal signals interrupt a call that waits for its listener.
    WaitKillableRecv,
}

impl Flag {
    /// Every flag.
    pub const ALL: [Self; 4] = [
        Self::Tsync,
        Self::Log,
        Self::SpecAllow,
        Self::WaitKillableRecv,
    ];

    /// The name in a profile.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tsync => "SECCOMP_FILTER_FLAG_TSYNC",
            Self::Log => "SECCOMP_FILTER_FLAG_LOG",
            Self::SpecAllow => "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            Self::WaitKillableRecv => "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        }
    }
}

/// One entry of `syscalls`: an action, and the calls that get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The syscalls, by name.
    pub names: Vec<Name>,
    /// The name stood in the old field `name`, which only Docker and Podman read.
    pub old_name_field: bool,
    /// What the calls get.
    pub action: Action,
    /// Podman's `errno`, as a number. Only Podman's dialect reads it.
    pub errno: Option<u16>,
    /// `args`: what must hold. All of them, unless an argument is tested twice: then any.
    pub conditions: Vec<Condition>,
    /// Why the rule is there. No runtime reads it.
    pub comment: Option<String>,
    /// The rule counts only on hosts with all of this.
    pub includes: Scope,
    /// The rule does not count on hosts with any of this.
    pub excludes: Scope,
    /// Where the entry begins in its file.
    pub at: Position,
}

/// One entry of `args`: a comparison of an argument with a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    /// The argument, 0 to 5.
    pub index: u8,
    /// The comparison; the mask of `SCMP_CMP_MASKED_EQ`, which is the field `value`, is in it.
    pub op: Op,
    /// The constant: `value`, or `valueTwo` of `SCMP_CMP_MASKED_EQ`.
    pub value: u64,
}

/// `includes` or `excludes`: properties of a host. Empty says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Capabilities.
    pub caps: Capabilities,
    /// Native architectures.
    pub arches: Vec<Arch>,
    /// The oldest kernel.
    pub min_kernel: Option<KernelVersion>,
}

impl Scope {
    /// Does it say nothing?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Rule {
    /// A rule that allows these syscalls, whatever their arguments.
    pub fn allow(names: impl IntoIterator<Item = impl Into<Name>>) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            old_name_field: false,
            action: Action::Allow,
            errno: None,
            conditions: Vec::new(),
            comment: None,
            includes: Scope::default(),
            excludes: Scope::default(),
            at: Position::NOWHERE,
        }
    }
}

impl Profile {
    /// The capabilities that entries name in `includes` and `excludes`: the only ones that it matters to have.
    pub fn asked_caps(&self) -> Capabilities {
        let scopes = self
            .rules
            .iter()
            .flat_map(|rule| [&rule.includes, &rule.excludes]);
        Capabilities(scopes.fold(0, |asked, scope| asked | scope.caps.0))
    }

    /// The syscalls that it allows whatever their arguments, on every host, and denies nowhere.
    pub fn names_always_allowed(&self) -> BTreeSet<&str> {
        let names = |wanted: fn(&Rule) -> bool| -> BTreeSet<&str> {
            let rules = self.rules.iter().filter(move |rule| wanted(rule));
            rules
                .flat_map(|rule| rule.names.iter().map(Name::as_str))
                .collect()
        };
        let always = names(|rule| {
            let unscoped = rule.includes.is_empty() && rule.excludes.is_empty();
            rule.action == Action::Allow && rule.conditions.is_empty() && unscoped
        });
        &always - &names(|rule| rule.action != Action::Allow)
    }

    /// A profile that allows what `rules` say and answers everything else with `EPERM`: what learning writes.
    ///
    /// The result is canonical whatever the order of the arguments.
    ///
    /// ```
    /// use seccomp_run::{arch::Arch, profile::Profile};
    /// let seen = (vec!["write".to_owned(), "read".to_owned()], None);
    /// let added = (vec!["exit".to_owned()], Some("implicit".to_owned()));
    /// let profile = Profile::learned([Arch::X86_64], [seen, added]);
    /// assert_eq!(profile.rules[0].names, ["read", "write"]);
    /// assert_eq!(profile.rules[1].comment.as_deref(), Some("implicit"));
    /// ```
    pub fn learned(
        architectures: impl IntoIterator<Item = Arch>,
        groups: impl IntoIterator<Item = (Vec<String>, Option<String>)>,
    ) -> Self {
        let rule = |(names, comment): (Vec<String>, _)| Rule {
            comment,
            ..Rule::allow(names)
        };
        let mut profile = Self::new(Action::Errno(crate::action::DEFAULT_ERRNO));
        profile.architectures = architectures.into_iter().collect();
        profile.rules = groups.into_iter().map(rule).collect();
        profile.canonicalize();
        profile
    }

    /// A profile without rules.
    pub const fn new(default_action: Action) -> Self {
        Self {
            default_action,
            default_errno: None,
            architectures: Vec::new(),
            arch_map: Vec::new(),
            flags: None,
            listener_path: None,
            listener_metadata: None,
            comment: None,
            rules: Vec::new(),
        }
    }
}

/// Line and column, from 1; a column is a character.
///
/// All positions are equal: they are not part of what a profile says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Position {
    /// The line; 0 where there is no file.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Position {
    /// The place of what was not read from a file.
    pub const NOWHERE: Self = Self { line: 0, column: 0 };
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// The position after this text, which begins here.
    pub(super) fn after(self, text: &str) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        // Not by memchr, which asks the processor what it can: in a virtual machine that takes longer than counting. In
        // parts whose count is a byte, so that many bytes are counted at once.
        let newlines = |part: &[u8]| part.iter().map(|&byte| u8::from(byte == b'\n')).sum::<u8>();
        let parts = text.as_bytes().chunks(usize::from(u8::MAX));
        let newlines = count(parts.map(|part| usize::from(newlines(part))).sum());
        let (column, last_line) = match text.rsplit_once('\n') {
            Some((_, last_line)) => (1, last_line),
            None => (self.column, text),
        };
        Self {
            line: self.line.saturating_add(newlines),
            column: column.saturating_add(count(last_line.chars().count())),
        }
    }
}

impl PartialEq for Position {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Position {}

/// `LINE:COLUMN`, as compilers write it.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A set of capabilities (`capabilities(7)`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capabilities(u64);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);
    /// All, those that no kernel has yet included.
    pub const ALL: Self = Self(u64::MAX);

    /// A set as the kernel shows it, such as the line `CapBnd` of `/proc/PID/status`.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The same as [`Capabilities::from_bits`] takes.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Adds one.
    pub fn insert(&mut self, capability: Capability) {
        self.0 |= capability.bitmask();
    }

    /// Are all of `others` in this set?
    pub const fn contains_all(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Is any of `others` in this set?
    pub const fn contains_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// The names, such as `CAP_SYS_ADMIN`, by number.
    pub fn names(self) -> impl Iterator<Item = String> {
        let mut all: Vec<_> = caps::all().into_iter().collect();
        all.sort_unstable_by_key(Capability::index);
        all.into_iter()
            .filter(move |capability| self.0 & capability.bitmask() != 0)
            .map(|capability| capability.to_string())
    }

    /// The capability of this name.
    pub(super) fn parse_name(name: &str) -> Option<Capability> {
        Capability::from_str(name).ok()
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        let mut set = Self::NONE;
        for capability in capabilities {
            set.insert(capability);
        }
        set
    }
}

/// The first two numbers of a kernel's release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// The 6 of 6.18.
    pub major: u32,
    /// The 18 of 6.18.
    pub minor: u32,
}

impl KernelVersion {
    /// The version in a release as `uname(2)` gives it; patch level and suffixes are passed over.
    ///
    /// ```
    /// use seccomp_run::profile::KernelVersion;
    /// let version = KernelVersion::of_release("6.1.0-23-amd64").unwrap();
    /// assert_eq!(version.to_string(), "6.1");
    /// assert!(KernelVersion::of_release("six").is_none());
    /// ```
    pub fn of_release(release: &str) -> Option<Self> {
        let (major, rest) = release.split_once('.')?;
        let end = rest.find(|c: char| !c.is_ascii_digit());
        let minor = end.map_or(Some(rest), |end| rest.get(..end))?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }

    /// The version in `minKernel`, as Docker demands it: two numbers up to 255, and not 0.0.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
            text.parse::<u8>().ok().filter(|_| digits).map(u32::from)
        };
        let (major, minor) = text.split_once('.')?;
        let (major, minor) = (number(major)?, number(minor)?);
        (major > 0 || minor > 0).then_some(Self { major, minor })
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimal_kernel_is_two_numbers() {
        let cases = [
            ("4.8", Some((4, 8))),
            ("255.255", Some((255, 255))),
            ("0.1", Some((0, 1))),
            ("0.0", None),
            ("256.1", None),
            ("4", None),
            ("4.", None),
            (".8", None),
            ("4.8.1", None),
            ("4.8-rc1", None),
            ("+4.8", None),
            (" 4.8", None),
            ("", None),
        ];
        for (text, want) in cases {
            let want = want.map(|(major, minor)| KernelVersion { major, minor });
            assert_eq!(KernelVersion::parse(text), want, "{text}");
        }
    }

    #[test]
    fn releases_are_read_up_to_the_second_number() {
        for (release, want) in [
            ("6.18.3", Some((6, 18))),
            ("5.15-generic", Some((5, 15))),
            ("4.8", Some((4, 8))),
            ("6.x", None),
            ("6", None),
            ("", None),
        ] {
            let want = want.map(|(major, minor)| KernelVersion { major, minor });
            assert_eq!(KernelVersion::of_release(release), want, "{release}");
        }
    }

    #[test]
    fn what_is_asked_of_capabilities_is_what_entries_name() {
        let rule = |includes: &[Capability], excludes: &[Capability]| {
            let mut rule = Rule::allow(["read"]);
            rule.includes.caps = includes.iter().copied().collect();
            rule.excludes.caps = excludes.iter().copied().collect();
            rule
        };
        let (admin, bpf, time) = (
            Capability::CAP_SYS_ADMIN,
            Capability::CAP_BPF,
            Capability::CAP_SYS_TIME,
        );
        let mut profile = Profile::new(Action::Errno(1));
        assert_eq!(profile.asked_caps(), Capabilities::NONE);
        profile.rules = vec![
            rule(&[], &[]),
            rule(&[admin], &[bpf]),
            rule(&[time, admin], &[]),
        ];
        assert_eq!(
            profile.asked_caps(),
            [admin, bpf, time].into_iter().collect()
        );
    }

    #[test]
    fn capabilities_have_their_kernel_numbers() {
        let admin = Capabilities::from_iter([Capability::CAP_SYS_ADMIN]);
        assert_eq!(admin, Capabilities::from_bits(1 << 21));
        assert_eq!(admin.names().collect::<Vec<_>>(), ["CAP_SYS_ADMIN"]);
        let both = Capabilities::from_iter([Capability::CAP_SYS_ADMIN, Capability::CAP_BPF]);
        assert!(both.contains_all(admin) && both.contains_any(admin));
        assert!(!admin.contains_all(both) && admin.contains_any(both));
        assert!(admin.contains_all(Capabilities::NONE) && !admin.contains_any(Capabilities::NONE));
    }

    #[test]
    fn positions_do_not_tell_profiles_apart() {
        let mut rule = Rule::allow(["read"]);
        let same = rule.clone();
        rule.at = Position { line: 3, column: 4 };
        assert_eq!(rule, same);
    }
}
