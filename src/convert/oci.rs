//! The `linux.seccomp` object of an OCI runtime's `config.json` (runtime-spec, `config-linux.md`).

use super::{Inexpressible, only_names};
use crate::profile::Profile;

/// The object that says what this profile says; it must be plain ([`Profile::plain`]).
///
/// Comments are left out: runtime-spec has none.
pub(crate) fn write(plain: &Profile) -> Result<String, Inexpressible> {
    Ok(stripped(plain)?.to_json())
}

/// The profile in the fields of runtime-spec alone.
pub(super) fn stripped(plain: &Profile) -> Result<Profile, Inexpressible> {
    only_names(plain)?;
    let mut profile = plain.clone();
    profile.comment = None;
    for rule in &mut profile.rules {
        rule.comment = None;
    }
    profile.rules.retain(|rule| !rule.names.is_empty());
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;

    #[test]
    fn the_object_holds_the_fields_of_runtime_spec_alone() {
        let groups = [
            (vec!["read".to_owned()], None),
            (vec!["exit".to_owned()], Some("added: why".to_owned())),
        ];
        let text = write(&Profile::learned([Arch::X86_64], groups)).unwrap();
        assert!(
            !text.contains("comment") && text.contains("\"exit\""),
            "{text}"
        );
        let unnamed = Profile::learned([Arch::X86_64], [(vec!["syscall_999".to_owned()], None)]);
        assert!(write(&unnamed).is_err());
    }
}
