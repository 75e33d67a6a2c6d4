//! The `SeccompProfile` resource of Kubernetes' security-profiles-operator, version v1beta1.
//!
//! Its `spec` has runtime-spec's fields, but no `defaultErrnoRet`, and an `errnoRet` of 0 is the same there
//! as none. It is written as JSON, which Kubernetes takes like YAML.

use serde_json::{Value, json};

use super::kubernetes::object_name;
use super::{Inexpressible, Unreadable, nothing_ignored, oci};
use crate::action::{Action, DEFAULT_ERRNO};
use crate::arch::Arch;
use crate::profile::{Dialect, Profile};

/// The resource that says what this profile says; it must be plain ([`Profile::plain`]). `stem` is the name
/// of its file, of which the resource's is made.
pub(crate) fn write(plain: &Profile, stem: &str) -> Result<String, Inexpressible> {
    if let Action::Errno(data) | Action::Trace(data) = plain.default_action
        && data != DEFAULT_ERRNO
    {
        let what = format!(
            "the resource has no such field, and {} is not what it means without",
            plain.default_action
        );
        return Err(Inexpressible::whole("defaultErrnoRet", what));
    }
    for arch in &plain.architectures {
        if matches!(arch, Arch::Loongarch64 | Arch::M68k | Arch::Sh | Arch::Sheb) {
            let what = format!("the resource does not know {}", arch.scmp_name());
            return Err(Inexpressible::whole("architectures", what));
        }
    }
    for rule in &plain.rules {
        if let Action::Errno(0) | Action::Trace(0) = rule.action {
            let what = "the resource takes 0 as no errno, which means EPERM";
            return Err(Inexpressible::new(rule.at, "errnoRet", what));
        }
    }
    let json = oci::stripped(plain)?.to_json();
    // What we wrote ourselves is JSON.
    let mut spec: Value = serde_json::from_str(&json).unwrap_or_default();
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("defaultErrnoRet");
    }
    let resource = json!({
        "apiVersion": "security-profiles-operator.x-k8s.io/v1beta1",
        "kind": "SeccompProfile",
        "metadata": { "name": object_name(stem) },
        "spec": spec,
    });
    Ok(format!("{resource:#}\n"))
}

/// Refuses a resource with fields that the operator does not know.
pub(crate) fn check(profile: &Profile) -> Result<(), Unreadable> {
    nothing_ignored(profile, Dialect::Oci).map_err(|error| {
        let line = usize::try_from(error.at.line).unwrap_or(0);
        Unreadable::new(line, "the rule has a field that a SeccompProfile has not")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Profile {
        Profile::parse(text.as_bytes(), "p").expect(text).0
    }

    #[test]
    fn what_is_written_is_read() {
        let profile = parse(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"flags":["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},{"names":["socket"],"action":"SCMP_ACT_ERRNO",
            "errnoRet":38,"args":[{"index":0,"value":18446744073709551615,"valueTwo":3,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#,
        );
        let text = write(&profile, "My App").unwrap();
        assert!(
            text.contains("\"name\": \"my-app\"") && !text.contains("defaultErrnoRet"),
            "{text}"
        );
        let (read, warnings) = Profile::parse_resource(text.as_bytes(), "r").unwrap();
        assert_eq!((read, warnings), (profile, vec![]));
    }

    #[test]
    fn what_the_resource_has_no_words_for_is_refused() {
        for (text, want) in [
            (
                r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38}"#,
                "defaultErrnoRet: ",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_LOONGARCH64"]}"#,
                "architectures: ",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ERRNO","errnoRet":0}]}"#,
                "errnoRet: ",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["syscall_999"],"action":"SCMP_ACT_ALLOW"}]}"#,
                "names: ",
            ),
        ] {
            let error = write(&parse(text), "p").unwrap_err().to_string();
            assert!(error.starts_with(want), "{text}: {error}");
        }
    }

    #[test]
    fn other_resources_are_refused_with_their_place() {
        for (text, want) in [
            (
                r#"{"kind":"Pod","spec":{}}"#,
                "1:9: kind: 'Pod' is not 'SeccompProfile'",
            ),
            (r#"{"kind":"SeccompProfile"}"#, "'spec' is missing"),
            (
                r#"{"spec":{"defaultAction":"SCMP_ACT_LOG"}}"#,
                "'kind' is missing",
            ),
            (
                r#"{"kind":"SeccompProfile","spec":{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1}}"#,
                "unknown key 'defaultErrnoRet'",
            ),
            (
                r#"{"kind":"SeccompProfile","spec":{"defaultAction":"SCMP_ACT_ERRNO","baseProfileName":"runc"}}"#,
                "baseProfileName: ",
            ),
            (
                r#"{"kind":"SeccompProfile","spec":{"defaultAction":"SCMP_ACT_EROR"}}"#,
                "spec.defaultAction: unknown action",
            ),
        ] {
            let error = Profile::parse_resource(text.as_bytes(), "r")
                .unwrap_err()
                .to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
        let foreign = r#"{"kind":"SeccompProfile","spec":{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_BPF"]}}]}}"#;
        let (profile, _) = Profile::parse_resource(foreign.as_bytes(), "r").unwrap();
        assert_eq!(check(&profile).unwrap_err().line, 2);
    }
}
