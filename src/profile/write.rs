//! [`Profile`] to canonical JSON: made to be diffed.

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::model::{ArchMap, Condition, Flag, Profile, Rule, Scope};
use crate::action::Action;
use crate::arch::Arch;
use crate::policy::Op;
use crate::syscall::Name;

impl Profile {
    /// The profile as JSON: fixed order of fields, names sorted, one name per line, a newline at the end.
    ///
    /// The order of rules is kept, because it can matter ([`Profile::canonicalize`] sorts them where it does
    /// not). What is written reads back as the same profile, once that is canonical.
    pub fn to_json(&self) -> String {
        let mut canonical = self.clone();
        canonical.sort_lists();
        let mut json = Vec::new();
        let formatter = PrettyFormatter::with_indent(b"    ");
        let mut serializer = Serializer::with_formatter(&mut json, formatter);
        #[expect(
            clippy::expect_used,
            clippy::missing_panics_doc,
            reason = "writing to memory cannot fail, and the keys are strings"
        )]
        ProfileJson::from(&canonical)
            .serialize(&mut serializer)
            .expect("a profile is representable in JSON");
        json.push(b'\n');
        String::from_utf8_lossy(&json).into_owned()
    }

    /// Sorts what is a set: names, conditions, architectures, flags.
    pub(super) fn sort_lists(&mut self) {
        self.architectures.sort_unstable();
        self.architectures.dedup();
        for entry in &mut self.arch_map {
            entry.sub_architectures.sort_unstable();
            entry.sub_architectures.dedup();
        }
        if let Some(flags) = &mut self.flags {
            flags.sort_unstable();
            flags.dedup();
        }
        for rule in &mut self.rules {
            rule.names.sort_unstable();
            rule.names.dedup();
            // Not deduplicated: an argument that is tested twice changes what all the conditions mean.
            rule.conditions.sort_unstable();
            for scope in [&mut rule.includes, &mut rule.excludes] {
                scope.arches.sort_unstable();
                scope.arches.dedup();
            }
        }
    }

    /// Brings the profile into the one form that is written for all profiles that say the same: lists
    /// sorted, and the rules too, unless their order matters.
    pub fn canonicalize(&mut self) {
        self.sort_lists();
        self.rules.retain(|rule| !rule.names.is_empty());
        if !self.order_matters() {
            self.rules.sort_by_cached_key(Rule::sort_key);
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProfileJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    default_action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_errno_ret: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_errno: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    architectures: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    arch_map: Vec<ArchMapJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener_metadata: Option<&'a str>,
    syscalls: Vec<RuleJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArchMapJson {
    architecture: &'static str,
    sub_architectures: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<&'a [Name]>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_ret: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<ConditionJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    includes: Option<ScopeJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    excludes: Option<ScopeJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConditionJson {
    index: u8,
    value: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_two: Option<u64>,
    op: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeJson {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    caps: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    arches: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_kernel: Option<String>,
}

fn scmp_names(arches: &[Arch]) -> Vec<&'static str> {
    arches.iter().map(|arch| arch.scmp_name()).collect()
}

const fn data(action: Action) -> Option<u16> {
    match action {
        Action::Errno(data) | Action::Trace(data) => Some(data),
        _ => None,
    }
}

/// An errno's name, where it has one; else its number.
pub(crate) fn errno_name(errno: u16) -> String {
    use nix::errno::Errno;
    match Errno::from_raw(i32::from(errno)) {
        Errno::UnknownErrno => errno.to_string(),
        known => format!("{known:?}"),
    }
}

impl<'a> From<&'a Profile> for ProfileJson<'a> {
    fn from(profile: &'a Profile) -> Self {
        Self {
            comment: profile.comment.as_deref(),
            default_action: profile.default_action.scmp_name(),
            default_errno_ret: data(profile.default_action),
            default_errno: profile.default_errno.map(errno_name),
            architectures: scmp_names(&profile.architectures),
            arch_map: profile.arch_map.iter().map(Into::into).collect(),
            flags: profile
                .flags
                .as_ref()
                .map(|flags| flags.iter().copied().map(Flag::name).collect()),
            listener_path: profile.listener_path.as_deref(),
            listener_metadata: profile.listener_metadata.as_deref(),
            syscalls: profile.rules.iter().map(Into::into).collect(),
        }
    }
}

impl From<&ArchMap> for ArchMapJson {
    fn from(entry: &ArchMap) -> Self {
        Self {
            architecture: entry.architecture.scmp_name(),
            sub_architectures: scmp_names(&entry.sub_architectures),
        }
    }
}

impl<'a> From<&'a Rule> for RuleJson<'a> {
    fn from(rule: &'a Rule) -> Self {
        let old_name = match rule.names.as_slice() {
            [name] if rule.old_name_field => Some(name),
            _ => None,
        };
        Self {
            name: old_name.map(Name::as_str),
            names: old_name.is_none().then_some(&rule.names),
            action: rule.action.scmp_name(),
            errno_ret: data(rule.action),
            errno: rule.errno.map(errno_name),
            args: rule.conditions.iter().map(Into::into).collect(),
            comment: rule.comment.as_deref(),
            includes: (!rule.includes.is_empty()).then(|| (&rule.includes).into()),
            excludes: (!rule.excludes.is_empty()).then(|| (&rule.excludes).into()),
        }
    }
}

impl From<&Condition> for ConditionJson {
    fn from(condition: &Condition) -> Self {
        let Condition { index, op, value } = *condition;
        let (op, value, value_two) = match op {
            Op::Ne => ("SCMP_CMP_NE", value, None),
            Op::Lt => ("SCMP_CMP_LT", value, None),
            Op::Le => ("SCMP_CMP_LE", value, None),
            Op::Eq => ("SCMP_CMP_EQ", value, None),
            Op::Ge => ("SCMP_CMP_GE", value, None),
            Op::Gt => ("SCMP_CMP_GT", value, None),
            Op::MaskedEq(mask) => ("SCMP_CMP_MASKED_EQ", mask, Some(value)),
        };
        Self {
            index,
            value,
            value_two,
            op,
        }
    }
}

impl From<&Scope> for ScopeJson {
    fn from(scope: &Scope) -> Self {
        Self {
            caps: scope.caps.names().collect(),
            arches: scope.arches.iter().map(|arch| arch.go_name()).collect(),
            min_kernel: scope.min_kernel.map(|version| version.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_canonical() {
        let groups = [
            (
                vec!["exit_group".to_owned()],
                Some("implicit: \"every\" program ends".to_owned()),
            ),
            (vec!["write".to_owned(), "read".to_owned()], None),
        ];
        let mut profile = Profile::learned([Arch::X86, Arch::X86_64, Arch::X86], groups);
        profile.rules.push(Rule {
            conditions: vec![Condition {
                index: 0,
                op: Op::MaskedEq(0xffff_ffff),
                value: 2,
            }],
            ..Rule::allow(["socket"])
        });
        let want = r#"{
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "architectures": [
        "SCMP_ARCH_X86_64",
        "SCMP_ARCH_X86"
    ],
    "syscalls": [
        {
            "names": [
                "read",
                "write"
            ],
            "action": "SCMP_ACT_ALLOW"
        },
        {
            "names": [
                "exit_group"
            ],
            "action": "SCMP_ACT_ALLOW",
            "comment": "implicit: \"every\" program ends"
        },
        {
            "names": [
                "socket"
            ],
            "action": "SCMP_ACT_ALLOW",
            "args": [
                {
                    "index": 0,
                    "value": 4294967295,
                    "valueTwo": 2,
                    "op": "SCMP_CMP_MASKED_EQ"
                }
            ]
        }
    ]
}
"#;
        assert_eq!(profile.to_json(), want);
    }

    #[test]
    fn every_field_is_written() {
        let text = r#"{"comment":"c","defaultAction":"SCMP_ACT_TRACE","defaultErrnoRet":7,"defaultErrno":"ENOSYS",
            "archMap":[{"architecture":"SCMP_ARCH_ARM","subArchitectures":[]}],"flags":[],
            "listenerPath":"/l","listenerMetadata":"m","syscalls":[{"name":"b","action":"SCMP_ACT_ERRNO",
            "errnoRet":0,"errno":"4000","includes":{"caps":["CAP_BPF"]},"excludes":
            {"arches":["arm"],"minKernel":"5.1"}}]}"#;
        let json = Profile::parse(text.as_bytes(), "p").unwrap().0.to_json();
        let compact = |text: &str| text.replace([' ', '\n'], "");
        assert_eq!(compact(&json), compact(text));
    }
}
