//! The report of a run (`--report=FILE`) as a profile: what allows the calls that were denied, and no others.
//!
//! A line is a JSON object; the fields that count are `arch`, `nr` and `looked_at`. A call that was denied for its
//! arguments is allowed with just these: the profile's rules say which arguments matter. What a rule denies is meant to be
//! denied, and left out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Unreadable;
use crate::arch::Arch;
use crate::denials::Denial;
use crate::policy::{Op, Reason};
use crate::profile::{Condition, Profile, Rule};
use crate::syscall::{Sysno, is_32bit};

/// A call that was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    sysno: Sysno,
    /// The arguments that rules look at; none: the call as such.
    looked_at: Vec<(u8, u64)>,
}

impl Call {
    /// The calls of a kind; `None` when no profile can hold them.
    pub(crate) fn of(denial: &Denial) -> Option<Self> {
        Some(Self {
            sysno: denial.sysno().filter(|sysno| {
                let no_rule = !matches!(denial.reason(), Reason::BadArch | Reason::Rule(_));
                sysno.is_expressible() && no_rule
            })?,
            looked_at: denial.looked_at().to_vec(),
        })
    }
}

/// So many different sets of arguments are allowed one by one. Who needs more needs another rule.
const MOST_KINDS: usize = 1024;

/// The profile that allows these calls; `None` when there are none, or too many that differ in their arguments.
pub(crate) fn profile(calls: impl IntoIterator<Item = Call>) -> Option<Profile> {
    let mut kinds: BTreeMap<Vec<Condition>, BTreeSet<String>> = BTreeMap::new();
    let mut arches = BTreeSet::new();
    for call in calls {
        let condition = |&(index, value): &(u8, u64)| Condition {
            index,
            // Whoever else reads the profile must not stumble over the upper half of an int.
            op: if is_32bit(call.sysno, index) {
                Op::MaskedEq(0xffff_ffff)
            } else {
                Op::Eq
            },
            value,
        };
        let conditions = call.looked_at.iter().map(condition).collect();
        let names = kinds.entry(conditions).or_default();
        names.insert(call.sysno.to_string());
        arches.insert(call.sysno.arch);
    }
    if kinds.len() > MOST_KINDS {
        return None;
    }
    let mut profile = Profile::learned(arches, []);
    for (conditions, names) in kinds {
        profile.rules.push(Rule {
            conditions,
            ..Rule::allow(names)
        });
    }
    profile.canonicalize();
    (!profile.rules.is_empty()).then_some(profile)
}

#[derive(Deserialize)]
struct Line {
    arch: Option<String>,
    nr: u32,
    #[serde(default)]
    because: String,
    #[serde(default)]
    looked_at: Vec<Looked>,
}

#[derive(Deserialize)]
struct Looked {
    index: u8,
    value: u64,
}

/// What a report says.
#[derive(Debug)]
pub(crate) struct Reported {
    /// What allows the calls that it lists.
    pub(crate) profile: Profile,
    /// Architectures that are left out: their calls were denied because the profile does not list them, and to list one
    /// allows all that its rules allow.
    pub(crate) left_out: BTreeSet<String>,
    /// Calls that are left out, because rules answer them: the call, and the rule.
    pub(crate) ruled: BTreeSet<(String, String)>,
}

/// The profile that allows what a report lists.
///
/// # Errors
/// When a line cannot be understood, or none names a call that a profile can hold.
pub(crate) fn read(text: &str) -> Result<Reported, Unreadable> {
    let mut calls = Vec::new();
    let (mut left_out, mut ruled) = (BTreeSet::new(), BTreeSet::new());
    for (at, line) in text.lines().enumerate() {
        let wrong = |what: String| Unreadable::new(at + 1, what);
        let line: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        // The architecture of a call may be one that nobody knows.
        let Some(arch) = line.arch else {
            continue;
        };
        let arch = Arch::from_short_name(&arch)
            .ok_or_else(|| wrong(format!("no architecture {}", super::quoted(&arch))))?;
        let mut indices = BTreeSet::new();
        for looked in &line.looked_at {
            if looked.index > 5 || !indices.insert(looked.index) {
                return Err(wrong(format!("no argument {}", looked.index)));
            }
        }
        if line.because == Reason::BadArch.to_string() {
            left_out.insert(arch.to_string());
            continue;
        }
        let sysno = Sysno { arch, nr: line.nr };
        if line.because.starts_with("syscalls[") {
            ruled.insert((sysno.to_string(), line.because));
            continue;
        }
        if sysno.is_expressible() {
            let looked_at = line.looked_at.iter();
            calls.push(Call {
                sysno,
                looked_at: looked_at.map(|l| (l.index, l.value)).collect(),
            });
        }
    }
    let profile = profile(calls).ok_or_else(|| {
        let why = if ruled.is_empty() {
            "no call in it that a profile can allow, or too many"
        } else {
            "no call in it but those that rules of the profile deny: take such a rule out by hand"
        };
        Unreadable::new(0, why)
    })?;
    Ok(Reported {
        profile,
        left_out,
        ruled,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denials::is_report;

    #[test]
    fn a_report_becomes_what_allows_its_calls() {
        let text = r#"{"event":"denied","arch":"x86_64","nr":41,"looked_at":[],"call":"socket()"}
{"event":"denied","arch":"x86_64","nr":16,"looked_at":[{"index":1,"value":21522}]}
{"event":"denied","nr":7}
{"event":"total","arch":"x86","nr":20,"looked_at":[]}
"#;
        assert!(is_report(text));
        let profile = read(text).unwrap().profile;
        assert_eq!(profile.architectures, [Arch::X86_64, Arch::X86]);
        let rules: Vec<_> = profile
            .rules
            .iter()
            .map(|rule| (rule.names.join(" "), rule.conditions.clone()))
            .collect();
        let masked = Condition {
            index: 1,
            op: Op::MaskedEq(0xffff_ffff),
            value: 21522,
        };
        assert!(
            rules.contains(&("getpid socket".to_owned(), vec![])),
            "{rules:?}"
        );
        assert!(
            rules.contains(&("ioctl".to_owned(), vec![masked])),
            "{rules:?}"
        );
    }

    #[test]
    fn what_is_no_report_is_refused_with_its_line() {
        for (text, want) in [
            ("", "no call"),
            ("{\"event\":\"denied\",\"nr\":7}", "no call"),
            ("{}", "missing field `nr`"),
            ("{\"arch\":\"pdp11\",\"nr\":1}", "no architecture 'pdp11'"),
            (
                "{\"arch\":\"x86\",\"nr\":1,\"looked_at\":[{\"index\":2,\"value\":1},{\"index\":2,\"value\":2}]}",
                "no argument 2",
            ),
            (
                "{\"arch\":\"x86\",\"nr\":1,\"looked_at\":[{\"index\":6,\"value\":1}]}",
                "no argument 6",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().contains(want), "{text}: {error}");
        }
        let foreign = "{\"event\":\"denied\",\"arch\":\"x86\",\"nr\":20,\"because\":\"its architecture is not listed\"}\n\
                       {\"event\":\"denied\",\"arch\":\"x86_64\",\"nr\":41}";
        let reported = read(foreign).unwrap();
        assert_eq!(reported.profile.architectures, [Arch::X86_64]);
        assert_eq!(reported.left_out, ["x86".to_owned()].into());
        let ruled =
            "{\"event\":\"total\",\"arch\":\"x86_64\",\"nr\":39,\"because\":\"syscalls[2]\"}\n";
        let reported = read(&format!("{foreign}\n{ruled}")).unwrap();
        assert_eq!(reported.profile.rules[0].names, ["socket"]);
        let pair = ("getpid".to_owned(), "syscalls[2]".to_owned());
        assert_eq!(reported.ruled, [pair].into());
        let error = read(ruled).unwrap_err();
        assert!(error.to_string().contains("by hand"), "{error}");
        assert!(!is_report("{\"defaultAction\": \"SCMP_ACT_ERRNO\"}"));
    }
}
