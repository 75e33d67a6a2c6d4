//! What puts a service of Docker Compose under a profile. JSON, which is YAML too.

use serde_json::json;

use super::kubernetes::object_name;
use super::{Inexpressible, nothing_ignored, only_names};
use crate::profile::{Dialect, Profile};

/// The part of a Compose file that names the profile at this path.
///
/// # Errors
/// When the profile means something else to Docker.
pub(crate) fn snippet(profile: &Profile, path: &str) -> Result<String, Inexpressible> {
    nothing_ignored(profile, Dialect::Docker)?;
    only_names(profile)?;
    if path.contains('$') {
        return Err(Inexpressible::whole(
            "",
            "Compose takes the '$' in the file's name for a variable",
        ));
    }
    let file = path.rsplit('/').next().unwrap_or(path);
    let service = object_name(file.trim_end_matches(".json"));
    let snippet =
        json!({ "services": { service: { "security_opt": [format!("seccomp:{path}")] } } });
    Ok(format!("{snippet:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_named_by_its_path() {
        let profile = Profile::learned([], [(vec!["read".to_owned()], None)]);
        let text = snippet(&profile, "/etc/app.json").unwrap();
        assert!(
            text.contains("\"seccomp:/etc/app.json\"") && text.contains("\"app\""),
            "{text}"
        );
        assert!(snippet(&profile, "a$b.json").is_err());
        let podman = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS"}"#;
        let (podman, _) = Profile::parse(podman.as_bytes(), "p").unwrap();
        assert!(snippet(&podman, "p.json").is_err());
    }
}
