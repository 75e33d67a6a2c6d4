//! The syscall filter of a systemd unit: `SystemCallFilter=`, `SystemCallErrorNumber=` and
//! `SystemCallArchitectures=` of systemd.exec(5).
//!
//! systemd knows a list of names and one answer to all others (or, in a denylist, an errno for each name).
//! It compares no arguments, and adds calls of its own to every allowlist.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Inexpressible, Unreadable, only_names, quoted};
use crate::action::{Action, MAX_ERRNO};
use crate::arch::Arch;
use crate::profile::{Flag, Position, Profile, Rule, errno_name, errno_of_name};
use crate::syscall::Name;

/// A list of names is continued on a new line before this column.
const WIDTH: usize = 100;

/// What systemd.exec(5) says is in every allowlist: calls to start and end, and those "for querying time and
/// sleeping".
const IMPLIED: [&str; 16] = [
    "clock_getres",
    "clock_getres_time64",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "execve",
    "exit",
    "exit_group",
    "getrlimit",
    "gettimeofday",
    "nanosleep",
    "pause",
    "rt_sigreturn",
    "sigreturn",
    "time",
];

/// The comment of the rule that allows them.
const WHY_IMPLIED: &str = "systemd allows these to every service: systemd.exec(5)";

/// The drop-in that says what this profile says; it must be plain ([`Profile::plain`]).
pub(crate) fn write(plain: &Profile) -> Result<String, Inexpressible> {
    let default = plain.default_action;
    let (tilde, error_number) = match default {
        Action::Allow => ("~", None),
        Action::KillProcess => ("", None),
        Action::Errno(errno @ 1..=MAX_ERRNO) => ("", Some(errno_name(errno))),
        other => {
            let what = format!("systemd cannot answer {other} to all other calls");
            return Err(Inexpressible::whole("defaultAction", what));
        }
    };
    nothing_more(plain)?;
    only_names(plain)?;
    let rules = lists(plain)?;
    if default != Action::Allow && rules.is_empty() {
        let what = "an empty SystemCallFilter= is no filter";
        return Err(Inexpressible::whole("syscalls", what));
    }
    let mut text = String::from("[Service]\n");
    if let Some(arches) = architectures(plain)? {
        put(&mut text, &format!("SystemCallArchitectures={arches}"));
    }
    if let Some(errno) = error_number {
        put(&mut text, &format!("SystemCallErrorNumber={errno}"));
    }
    if default != Action::Allow {
        put(
            &mut text,
            "# Besides these, systemd allows every service what is in its group @default.",
        );
    }
    for (comment, items) in rules {
        if let Some(comment) = comment {
            put(&mut text, &format!("# {}", one_line(comment)));
        }
        let key = format!("SystemCallFilter={tilde}");
        for line in wrapped(&key, &items) {
            put(&mut text, &line);
        }
    }
    Ok(text)
}

fn put(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

/// Refuses what is not about syscalls and their answers.
fn nothing_more(plain: &Profile) -> Result<(), Inexpressible> {
    let mut flags = plain.flags.iter().flatten();
    // Nothing to synchronise: the filter is installed before the program starts.
    if let Some(flag) = flags.find(|&&flag| flag != Flag::Tsync) {
        let what = format!("systemd has nothing for {}", flag.name());
        return Err(Inexpressible::whole("flags", what));
    }
    if plain.listener_path.is_some() || plain.listener_metadata.is_some() {
        return Err(Inexpressible::whole(
            "listenerPath",
            "systemd has no listener",
        ));
    }
    Ok(())
}

/// The names of each rule, with the errno where one belongs to them, under the rule's comment.
type Lists<'p> = Vec<(Option<&'p str>, Vec<String>)>;

fn lists(plain: &Profile) -> Result<Lists<'_>, Inexpressible> {
    let default = plain.default_action;
    let mut decided = BTreeSet::new();
    let mut lists = Vec::new();
    // A rule that says what is said to all other calls has the last word, so it says nothing here.
    for rule in plain.rules.iter().filter(|rule| rule.action != default) {
        let refused = |field, what: String| Err(Inexpressible::new(rule.at, field, what));
        if let Some(name) = rule.names.iter().find(|name| !is_name(name)) {
            return refused("names", format!("{} is no name for systemd", quoted(name)));
        }
        let first = rule.names.first().map_or("", Name::as_str);
        if !rule.conditions.is_empty() {
            return refused(
                "args",
                format!(
                    "systemd compares no arguments, and {first} gets {} by them",
                    rule.action
                ),
            );
        }
        let errno = match (default, rule.action) {
            (Action::Allow, Action::Errno(errno)) => Some(errno),
            (Action::Allow, Action::KillProcess) | (_, Action::Allow) => None,
            (_, action) => {
                let what = format!(
                    "{first} gets {action}, and in a list of systemd with the default {default} it cannot"
                );
                return refused("action", what);
            }
        };
        let mut items = Vec::new();
        for name in &rule.names {
            // Of several rules without conditions the first decides.
            if decided.insert(name) {
                items.push(match errno {
                    Some(errno) => format!("{name}:{}", errno_name(errno)),
                    None => name.to_string(),
                });
            }
        }
        if !items.is_empty() {
            items.sort_unstable();
            lists.push((rule.comment.as_deref(), items));
        }
    }
    Ok(lists)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A comment that stays one.
fn one_line(comment: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let line: String = comment.chars().map(plain).collect();
    line.trim_end_matches('\\').to_owned()
}

/// Several assignments, which systemd merges, instead of one endless line.
fn wrapped(key: &str, items: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for item in items {
        if !line.is_empty() && line.len() + 1 + item.len() > WIDTH {
            lines.push(std::mem::take(&mut line));
        }
        line.push_str(if line.is_empty() { key } else { " " });
        line.push_str(item);
    }
    lines.push(line);
    lines
}

fn architectures(plain: &Profile) -> Result<Option<String>, Inexpressible> {
    let mut names = Vec::new();
    for &arch in &plain.architectures {
        let name = arch_name(arch).ok_or_else(|| {
            let what = format!("systemd does not know {}", arch.scmp_name());
            Inexpressible::whole("architectures", what)
        })?;
        names.push(name);
    }
    Ok((!names.is_empty()).then(|| names.join(" ")))
}

/// systemd's name of an architecture (systemd.unit(5), `ConditionArchitecture=`).
const fn arch_name(arch: Arch) -> Option<&'static str> {
    Some(match arch {
        Arch::X86_64 => "x86-64",
        Arch::X86 => "x86",
        Arch::X32 => "x32",
        Arch::Aarch64 => "arm64",
        Arch::Arm => "arm",
        Arch::Mips => "mips",
        Arch::Mipsel => "mips-le",
        Arch::Mips64 => "mips64",
        Arch::Mips64n32 => "mips64-n32",
        Arch::Mipsel64 => "mips64-le",
        Arch::Mipsel64n32 => "mips64-le-n32",
        Arch::Ppc => "ppc",
        Arch::Ppc64 => "ppc64",
        Arch::Ppc64le => "ppc64-le",
        Arch::S390 => "s390",
        Arch::S390x => "s390x",
        Arch::Riscv64 => "riscv64",
        Arch::Loongarch64 => "loongarch64",
        Arch::Parisc => "parisc",
        Arch::Parisc64 => "parisc64",
        Arch::M68k | Arch::Sh | Arch::Sheb => return None,
    })
}

/// Where systemd filters when a unit names no architectures: all that this machine's kernel runs.
fn local_arches(native: Arch) -> Vec<Arch> {
    match native {
        Arch::X86_64 => vec![native, Arch::X86, Arch::X32],
        Arch::Aarch64 => vec![native, Arch::Arm],
        Arch::S390x => vec![native, Arch::S390],
        Arch::Mips64 => vec![native, Arch::Mips, Arch::Mips64n32],
        Arch::Mipsel64 => vec![native, Arch::Mipsel, Arch::Mipsel64n32],
        other => vec![other],
    }
}

/// The settings that are read, of the many that a unit has.
const SETTINGS: [&str; 3] = [
    "SystemCallFilter",
    "SystemCallErrorNumber",
    "SystemCallArchitectures",
];

/// Settings that make systemd filter syscalls as well.
const OTHER_FILTERS: [&str; 12] = [
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "PrivateDevices",
    "ProtectClock",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
];

/// Is the line the beginning of a setting that is read, or of the section that holds them?
pub(super) fn is_setting(line: &str) -> bool {
    let key = line.split_once('=').map_or(line, |(key, _)| key).trim();
    key == "[Service]" || SETTINGS.contains(&key)
}

/// What a unit says.
#[derive(Debug)]
pub(crate) struct Unit {
    /// The profile that says the same.
    pub(crate) profile: Profile,
    /// What it does not say of what systemd does.
    pub(crate) notes: Vec<String>,
}

/// The profile of a unit on a machine of this architecture.
///
/// # Errors
/// When there is no filter in it, or it holds what cannot be expanded: a group.
pub(crate) fn read(text: &str, native: Arch) -> Result<Unit, Unreadable> {
    let mut filter = Filter::default();
    let mut error_number = None;
    let mut arches = Vec::new();
    let mut others = BTreeSet::new();
    for (line, setting) in settings(text) {
        let Some((key, value)) = setting.split_once('=') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        let at = |error: Unreadable| Unreadable { line, ..error };
        match key {
            "SystemCallFilter" => filter.assign(value).map_err(at)?,
            "SystemCallErrorNumber" => error_number = answer(value).map_err(at)?,
            "SystemCallArchitectures" => assign_arches(&mut arches, value, native).map_err(at)?,
            "SystemCallLog" if !value.is_empty() => {
                return Err(at(Unreadable::new(
                    0,
                    "SystemCallLog= has no place in a profile that is enforced",
                )));
            }
            other if OTHER_FILTERS.contains(&other) && !value.is_empty() && !is_no(value) => {
                others.insert(other.to_owned());
            }
            _ => {}
        }
    }
    if arches.is_empty() {
        arches = local_arches(native);
    }
    let allow_list = filter.allow_list;
    let mut profile = filter.profile(error_number.unwrap_or(Action::KillProcess))?;
    profile.architectures = arches;
    profile.canonicalize();
    let mut notes = Vec::new();
    if allow_list == Some(true) {
        notes.push(
            "only what systemd.exec(5) names was added of systemd's @default; newer versions hold more \
             ('systemd-analyze syscall-filter @default')"
                .to_owned(),
        );
    }
    for other in others {
        notes.push(format!(
            "{other}= filters syscalls too, and is not in the profile"
        ));
    }
    Ok(Unit { profile, notes })
}

fn is_no(value: &str) -> bool {
    ["no", "false", "off", "0", "n", "f"]
        .iter()
        .any(|no| value.eq_ignore_ascii_case(no))
}

/// The settings, continued lines joined, and the line each begins on.
fn settings(text: &str) -> Vec<(usize, String)> {
    let mut settings: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        // Comments are passed over even between the parts of a setting.
        if line.starts_with(['#', ';']) || (line.is_empty() && !open) {
            continue;
        }
        let (part, goes_on) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        match settings.last_mut() {
            Some((_, setting)) if open => {
                setting.push(' ');
                setting.push_str(part);
            }
            _ => settings.push((at + 1, part.to_owned())),
        }
        open = goes_on;
    }
    settings
}

/// `SystemCallErrorNumber=`: `None` is to kill.
fn answer(value: &str) -> Result<Option<Action>, Unreadable> {
    if value.is_empty() || value == "kill" {
        return Ok(None);
    }
    let errno = value.parse().ok().or_else(|| errno_of_name(value));
    match errno {
        Some(errno) if errno <= MAX_ERRNO => Ok(Some(Action::Errno(errno))),
        _ => Err(Unreadable::new(0, format!("no errno {}", quoted(value)))),
    }
}

fn assign_arches(arches: &mut Vec<Arch>, value: &str, native: Arch) -> Result<(), Unreadable> {
    if value.is_empty() {
        arches.clear();
    }
    for word in value.split_whitespace() {
        let known = || {
            Arch::ALL
                .into_iter()
                .find(|&arch| arch_name(arch) == Some(word))
        };
        let arch = match word {
            "native" => native,
            word => known()
                .ok_or_else(|| Unreadable::new(0, format!("no architecture {}", quoted(word))))?,
        };
        arches.push(arch);
    }
    Ok(())
}

/// What the assignments to `SystemCallFilter=` add up to.
#[derive(Default)]
struct Filter {
    /// The first assignment decides what the list is; `None` before it.
    allow_list: Option<bool>,
    /// The names, and what a denied one gets where that is its own.
    names: BTreeMap<String, Option<Action>>,
    /// The names that systemd adds by itself.
    implied: BTreeSet<&'static str>,
}

impl Filter {
    fn assign(&mut self, value: &str) -> Result<(), Unreadable> {
        if value.is_empty() {
            *self = Self::default();
            return Ok(());
        }
        let (allow, items) = match value.strip_prefix('~') {
            Some(items) => (false, items),
            None => (true, value),
        };
        if self.allow_list.is_none() {
            self.allow_list = Some(allow);
            if allow {
                self.implied = IMPLIED.into_iter().collect();
            }
        }
        let adds = self.allow_list == Some(allow);
        for item in items.split_whitespace() {
            let (name, own) = match item.split_once(':') {
                Some((name, errno)) if !allow && adds => {
                    (name, Some(answer(errno)?.unwrap_or(Action::KillProcess)))
                }
                Some(_) => {
                    let what =
                        format!("{}: an errno belongs to a name in a denylist", quoted(item));
                    return Err(Unreadable::new(0, what));
                }
                None => (item, None),
            };
            if name.starts_with('@') {
                let what = format!(
                    "the group {} differs from version to version of systemd",
                    quoted(name)
                );
                return Err(Unreadable::new(0, what).hint(
                    "write its names instead: 'systemd-analyze syscall-filter GROUP' lists them",
                ));
            }
            if !is_name(name) {
                return Err(Unreadable::new(
                    0,
                    format!("{} is no name of a syscall", quoted(name)),
                ));
            }
            if adds {
                self.names.insert(name.to_owned(), own);
            } else {
                self.names.remove(name);
                self.implied.remove(name);
            }
        }
        Ok(())
    }

    fn profile(self, denied: Action) -> Result<Profile, Unreadable> {
        let Some(allow_list) = self.allow_list else {
            return Err(Unreadable::new(0, "no SystemCallFilter= in it"));
        };
        if allow_list {
            let mut profile = Profile::new(denied);
            let mut implied = Rule::allow(
                self.implied
                    .into_iter()
                    .filter(|name| !self.names.contains_key(*name)),
            );
            implied.comment = Some(WHY_IMPLIED.to_owned());
            profile.rules = vec![Rule::allow(self.names.into_keys()), implied];
            return Ok(profile);
        }
        let mut by_action: BTreeMap<Action, Vec<String>> = BTreeMap::new();
        for (name, own) in self.names {
            by_action
                .entry(own.unwrap_or(denied))
                .or_default()
                .push(name);
        }
        let mut profile = Profile::new(Action::Allow);
        profile.rules = by_action
            .into_iter()
            .map(|(action, names)| Rule {
                action,
                at: Position::NOWHERE,
                ..Rule::allow(names)
            })
            .collect();
        Ok(profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Profile {
        Profile::parse(text.as_bytes(), "p").expect(text).0
    }

    #[test]
    fn an_allowlist_is_written_with_its_reasons() {
        let groups = [
            (vec!["write".to_owned(), "read".to_owned()], None),
            (
                vec!["exit".to_owned()],
                Some("added: why\nnot \\".to_owned()),
            ),
        ];
        let text = write(&Profile::learned([Arch::X86_64, Arch::X86], groups)).unwrap();
        let want = "[Service]
SystemCallArchitectures=x86-64 x86
SystemCallErrorNumber=EPERM
# Besides these, systemd allows every service what is in its group @default.
SystemCallFilter=read write
# added: why not 
SystemCallFilter=exit
";
        assert_eq!(text, want);
    }

    #[test]
    fn a_denylist_has_an_errno_for_each_name() {
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_AARCH64"],"syscalls":[
            {"names":["mount","umount2"],"action":"SCMP_ACT_ERRNO","errnoRet":38},
            {"names":["mount","bpf"],"action":"SCMP_ACT_KILL_PROCESS"},{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#;
        let text = write(&parse(text)).unwrap();
        let want = "[Service]
SystemCallArchitectures=arm64
SystemCallFilter=~mount:ENOSYS umount2:ENOSYS
SystemCallFilter=~bpf
";
        assert_eq!(text, want);
        let unit = read(&text, Arch::Aarch64).unwrap();
        assert_eq!(
            write(&unit.profile).unwrap().lines().count(),
            want.lines().count()
        );
    }

    #[test]
    fn long_lists_become_several_assignments() {
        let names: Vec<String> = (0..60).map(|at| format!("name{at}")).collect();
        let text = write(&Profile::learned([], [(names, None)])).unwrap();
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        let read = read(&text, Arch::X86_64).unwrap().profile;
        assert_eq!(read.rules[0].names.len(), 60);
    }

    #[test]
    fn what_systemd_cannot_say_is_refused_with_its_rule() {
        let in_allowlist = |rule: &str| {
            format!(
                "{{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[\n{{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"}},\n{rule}]}}"
            )
        };
        for (text, line, want) in [
            (
                in_allowlist(
                    r#"{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}"#,
                ),
                3,
                "args: systemd compares no arguments, and socket",
            ),
            (
                in_allowlist(r#"{"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38}"#),
                3,
                "action: clone3 gets ERRNO(ENOSYS)",
            ),
            (
                in_allowlist(r#"{"names":["a b"],"action":"SCMP_ACT_ALLOW"}"#),
                3,
                "names: 'a b'",
            ),
            (
                in_allowlist(r#"{"names":["syscall_999"],"action":"SCMP_ACT_ALLOW"}"#),
                3,
                "names: syscall_999",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_LOG"}"#.to_owned(),
                0,
                "defaultAction: ",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":0}"#.to_owned(),
                0,
                "defaultAction: ",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#.to_owned(),
                0,
                "syscalls: an empty",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG"]}"#
                    .to_owned(),
                0,
                "flags: ",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_M68K"]}"#
                    .to_owned(),
                0,
                "architectures: ",
            ),
        ] {
            let error = write(&parse(&text)).unwrap_err();
            assert_eq!(error.at.line, line, "{text}");
            assert!(error.to_string().starts_with(want), "{text}: {error}");
        }
        let second = in_allowlist(r#"{"names":["clone3"],"action":"SCMP_ACT_KILL"}"#);
        let profile = parse(&second);
        assert_eq!(
            write(&profile).unwrap_err().rule(&profile).as_deref(),
            Some("syscalls[1]")
        );
    }

    #[test]
    fn assignments_add_up_as_in_systemd() {
        let allowed = |text: &str| {
            let unit = read(text, Arch::X86_64).expect(text);
            let profile = unit.profile;
            let rules = profile.rules.iter().filter(|rule| rule.comment.is_none());
            let names: Vec<Name> = rules.flat_map(|rule| rule.names.clone()).collect();
            (profile.default_action, names.join(" "))
        };
        for (text, action, names) in [
            (
                "SystemCallFilter=read write",
                Action::KillProcess,
                "read write",
            ),
            (
                "[Service]\nSystemCallFilter = write\\\n# no\n  read\nX=y\n",
                Action::KillProcess,
                "read write",
            ),
            (
                "SystemCallFilter=read write\nSystemCallFilter=~write",
                Action::KillProcess,
                "read",
            ),
            (
                "SystemCallFilter=read\nSystemCallFilter=\nSystemCallFilter=write",
                Action::KillProcess,
                "write",
            ),
            (
                "SystemCallFilter=read\nSystemCallErrorNumber=ENOSYS",
                Action::Errno(38),
                "read",
            ),
            (
                "SystemCallFilter=read\nSystemCallErrorNumber=12",
                Action::Errno(12),
                "read",
            ),
            (
                "SystemCallFilter=~mount bpf\nSystemCallFilter=bpf",
                Action::Allow,
                "mount",
            ),
        ] {
            assert_eq!(allowed(text), (action, names.to_owned()), "{text}");
        }
        let implied = |text: &str| {
            let profile = read(text, Arch::X86_64).unwrap().profile;
            let rule = profile.rules.iter().find(|rule| rule.comment.is_some());
            rule.unwrap().names.len()
        };
        assert_eq!(implied("SystemCallFilter=read"), IMPLIED.len());
        assert_eq!(
            implied("SystemCallFilter=time\nSystemCallFilter=~pause"),
            IMPLIED.len() - 2
        );
        let denied = read(
            "SystemCallErrorNumber=EIO\nSystemCallFilter=~a b:2 c:kill",
            Arch::X86_64,
        )
        .unwrap();
        let rules: Vec<_> = denied
            .profile
            .rules
            .iter()
            .map(|rule| (rule.action, rule.names.join(" ")))
            .collect();
        assert_eq!(
            rules,
            [
                (Action::Errno(5), "a".to_owned()),
                (Action::Errno(2), "b".to_owned()),
                (Action::KillProcess, "c".to_owned())
            ]
        );
    }

    #[test]
    fn units_without_architectures_mean_all_of_the_machine() {
        let arches = |text: &str, native| read(text, native).unwrap().profile.architectures;
        let filter = "SystemCallFilter=read\n";
        assert_eq!(
            arches(filter, Arch::X86_64),
            [Arch::X86_64, Arch::X86, Arch::X32]
        );
        let native = format!("{filter}SystemCallArchitectures=native arm");
        assert_eq!(arches(&native, Arch::Aarch64), [Arch::Aarch64, Arch::Arm]);
    }

    #[test]
    fn what_is_not_understood_is_said_with_its_line() {
        for (text, line, want) in [
            ("[Service]\nExecStart=x", 0, "no SystemCallFilter="),
            (
                "[Service]\nSystemCallFilter=@system-service",
                2,
                "the group '@system-service'",
            ),
            ("SystemCallFilter=read:EPERM", 1, "an errno belongs"),
            (
                "SystemCallFilter=read\nSystemCallFilter=~read:EPERM",
                2,
                "an errno belongs",
            ),
            ("SystemCallFilter=re-ad", 1, "'re-ad' is no name"),
            ("SystemCallErrorNumber=ENOPE", 1, "no errno 'ENOPE'"),
            ("SystemCallErrorNumber=4096", 1, "no errno '4096'"),
            ("SystemCallArchitectures=vax", 1, "no architecture 'vax'"),
            ("SystemCallLog=read", 1, "SystemCallLog="),
        ] {
            let error = read(text, Arch::X86_64).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.to_string().contains(want), "{text}: {error}");
        }
        let notes = read(
            "SystemCallFilter=~bpf\nRestrictNamespaces=yes\nProtectClock=no",
            Arch::X86_64,
        )
        .unwrap()
        .notes;
        assert_eq!(
            notes,
            ["RestrictNamespaces= filters syscalls too, and is not in the profile"]
        );
    }
}
