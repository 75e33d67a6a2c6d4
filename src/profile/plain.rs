//! A profile without conditions on the host: only the fields of runtime-spec, which every reader knows.

use super::dialect::{Dialect, Host};
use super::findings::ResolveError;
use super::model::{Profile, Rule, Scope};

impl Profile {
    /// What this profile says on this host, to a reader of this dialect: the rules that count there, and
    /// the architectures, the native one first.
    ///
    /// The rules keep their order and their places in the file. The result means the same in every dialect.
    ///
    /// # Errors
    ///
    /// When architectures of both byte orders are listed.
    ///
    /// ```
    /// use seccomp_run::{arch::Arch, profile::{Capabilities, Dialect, Host, KernelVersion, Profile}};
    /// let text = br#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
    ///     {"name": "read", "action": "SCMP_ACT_ALLOW"},
    ///     {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}}]}"#;
    /// let (profile, _) = Profile::parse(text, "p").unwrap();
    /// let kernel = KernelVersion { major: 6, minor: 1 };
    /// let host = Host { native: Arch::Aarch64, kernel, caps: Capabilities::NONE };
    /// let plain = profile.plain(&host, Dialect::Docker).unwrap();
    /// assert_eq!(plain.architectures, [Arch::Aarch64]);
    /// assert_eq!(plain.rules.len(), 1);
    /// ```
    pub fn plain(&self, host: &Host, dialect: Dialect) -> Result<Self, ResolveError> {
        let plain_rule = |rule: &Rule| Rule {
            action: dialect.action(rule),
            errno: None,
            old_name_field: false,
            includes: Scope::default(),
            excludes: Scope::default(),
            ..rule.clone()
        };
        let counting = self.rules.iter().filter(|rule| dialect.counts(rule, host));
        Ok(Self {
            default_action: dialect.default_action(self),
            default_errno: None,
            architectures: self.architectures_on(host.native, dialect)?,
            arch_map: Vec::new(),
            flags: self.flags.clone(),
            listener_path: self.listener_path.clone(),
            listener_metadata: self.listener_metadata.clone(),
            comment: self.comment.clone(),
            rules: counting.map(plain_rule).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::profile::{Capabilities, KernelVersion, Reading};

    #[test]
    fn the_plain_profile_is_the_same_policy_in_every_dialect() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS","archMap":[
            {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]},
            {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}],"syscalls":[
            {"name":"read","action":"SCMP_ACT_ALLOW"},
            {"names":["socket"],"action":"SCMP_ACT_ERRNO","errno":"EINVAL","args":[
                {"index":0,"value":16,"op":"SCMP_CMP_EQ"},{"index":2,"value":9,"op":"SCMP_CMP_EQ"}]},
            {"names":["socket"],"action":"SCMP_ACT_ALLOW"},
            {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
            {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
            {"names":["clone"],"action":"SCMP_ACT_ALLOW","excludes":{"arches":["amd64"]},"args":[
                {"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#;
        let profile = Profile::parse(text.as_bytes(), "p").unwrap().0;
        for native in [Arch::X86_64, Arch::Aarch64, Arch::Riscv64] {
            for caps in [Capabilities::NONE, Capabilities::ALL] {
                for kernel in [(4, 7), (6, 1)] {
                    let kernel = KernelVersion {
                        major: kernel.0,
                        minor: kernel.1,
                    };
                    let host = Host {
                        native,
                        kernel,
                        caps,
                    };
                    for dialect in [Dialect::Docker, Dialect::Podman, Dialect::Oci] {
                        let reading = |dialect| Reading {
                            dialect,
                            ..Reading::default()
                        };
                        // Where rules are left out, those that follow have other places in the list.
                        let policy = |profile: &Profile, dialect| {
                            let resolved = profile.resolve(&host, &reading(dialect)).unwrap();
                            let mut policy = resolved.policy;
                            for abi in &mut policy.abis {
                                let rules = abi.syscalls.all_mut().iter_mut();
                                rules.for_each(|rule| rule.origin = 0);
                            }
                            policy
                        };
                        let want = policy(&profile, dialect);
                        let plain = profile.plain(&host, dialect).unwrap();
                        for reader in [Dialect::Docker, Dialect::Podman, Dialect::Oci] {
                            assert_eq!(policy(&plain, reader), want, "{native} {dialect} {reader}");
                            assert_eq!(reader.ignored(&plain), []);
                        }
                    }
                }
            }
        }
    }
}
