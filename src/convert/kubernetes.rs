//! A Pod of Kubernetes that asks for a profile on its node.
//!
//! Kubernetes holds no rules: a Pod names a file below the kubelet's directory of profiles, and the node's
//! container runtime reads it. containerd reads runtime-spec's fields and passes over all others.

use serde_json::json;

use super::{Inexpressible, nothing_ignored, only_names};
use crate::profile::{Dialect, Profile};

/// Where the kubelet looks for profiles, unless it is told otherwise (`--root-dir`).
pub(crate) const DIRECTORY: &str = "/var/lib/kubelet/seccomp";

/// The part of a Pod that puts it under the profile in this file of the node's [`DIRECTORY`].
///
/// # Errors
/// When the profile means something else to containerd.
pub(crate) fn pod(profile: &Profile, file: &str) -> Result<String, Inexpressible> {
    nothing_ignored(profile, Dialect::Oci)?;
    only_names(profile)?;
    let name = object_name(file.trim_end_matches(".json"));
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "securityContext": {
                "seccompProfile": { "type": "Localhost", "localhostProfile": file },
            },
            "containers": [{ "name": name, "image": "IMAGE" }],
        },
    });
    Ok(format!("{pod:#}\n"))
}

/// A name that Kubernetes takes (RFC 1123: lower-case letters, digits and hyphens, 63 at most).
pub(super) fn object_name(text: &str) -> String {
    let plain = |c: char| {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_alphanumeric() { c } else { '-' }
    };
    let name: String = text.chars().map(plain).take(63).collect();
    match name.trim_matches('-') {
        "" => "profile".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_containerd_reads_otherwise_is_refused() {
        let parse = |text: &str| Profile::parse(text.as_bytes(), "p").expect(text).0;
        let plain = parse(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#,
        );
        let text = pod(&plain, "My app.json").unwrap();
        assert!(
            text.contains("\"localhostProfile\": \"My app.json\"") && text.contains("\"my-app\""),
            "{text}"
        );
        for text in [
            r#"{"defaultAction":"SCMP_ACT_ERRNO","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":[]}]}"#,
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW"}]}"#,
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW",
                "includes":{"caps":["CAP_BPF"]}}]}"#,
        ] {
            assert!(pod(&parse(text), "p.json").is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_what_kubernetes_takes() {
        for (text, want) in [
            ("nginx", "nginx"),
            ("My App_2", "my-app-2"),
            ("..x..", "x"),
            ("\u{e9}", "profile"),
            ("", "profile"),
        ] {
            assert_eq!(object_name(text), want, "{text}");
        }
        assert_eq!(object_name(&"a".repeat(99)).len(), 63);
    }
}
