//! Which host a profile is looked at for: by default this one.

use std::path::{Path, PathBuf};

use caps::Capability;

use super::args::{CapArg, ReadingArgs, action, capability};
use super::error::Error;
use super::input;
use crate::action::Action;
use crate::arch::Arch;
use crate::enforce::Privileges;
use crate::profile::{Capabilities, Host, KernelVersion, Profile, Resolved, Warning};

/// A profile, and the host to look at it for.
#[derive(Debug, clap::Args)]
pub(super) struct TargetArgs {
    /// The profile
    #[arg(value_name = "PROFILE")]
    pub(super) profile: PathBuf,

    #[command(flatten)]
    pub(super) host: HostArgs,
}

/// The host that a profile is looked at for, and how it is read.
#[derive(Debug, clap::Args)]
pub(super) struct HostArgs {
    /// The architectures, the native one first [default: this machine's and those that the profile lists]
    #[arg(long, value_name = "ARCH", value_delimiter = ',', value_parser = arch, help_heading = "For another host")]
    pub(super) arch: Vec<Arch>,

    /// The capabilities that includes and excludes are held against, or ALL, or NONE [default: ours]
    #[arg(long, value_name = "CAP|ALL|NONE", value_delimiter = ',', value_parser = some_capability, help_heading = "For another host")]
    pub(super) caps: Vec<SomeCap>,

    /// The kernel that minKernel is held against [default: the running one]
    #[arg(long, value_name = "X.Y", value_parser = kernel, help_heading = "For another host")]
    pub(super) kernel: Option<KernelVersion>,

    /// Replaces the profile's default action: ALLOW, LOG, ERRNO, KILL ...
    #[arg(long, value_name = "ACTION", value_parser = action)]
    pub(super) default_action: Option<Action>,

    /// Warnings are errors
    #[arg(long)]
    pub(super) strict: bool,

    #[command(flatten)]
    pub(super) reading: ReadingArgs,
}

/// An element of `--caps`.
#[derive(Debug, Clone, Copy)]
pub(super) enum SomeCap {
    None,
    Some(CapArg),
}

impl TargetArgs {
    /// Reads and resolves the profile, and tells what is odd about it.
    pub(super) fn resolve(&self) -> Result<Resolved, Error> {
        self.host.resolve_file(&self.profile)
    }

    /// The architecture of the machine that the profile is looked at for.
    pub(super) fn native(&self) -> Arch {
        self.host.native()
    }
}

impl HostArgs {
    /// Gives the profile the architectures that were asked for.
    pub(super) fn narrow(&self, profile: &mut Profile) {
        if !self.arch.is_empty() {
            profile.architectures.clone_from(&self.arch);
            profile.arch_map.clear();
        }
    }

    /// Reads and resolves the profile in a file, and tells what is odd about it.
    pub(super) fn resolve_file(&self, path: &Path) -> Result<Resolved, Error> {
        let (mut profile, warnings) = input::read(path)?;
        self.narrow(&mut profile);
        self.resolve(&path.display().to_string(), &profile, warnings)
    }

    /// Resolves a profile that was read from `name`, and tells what is odd about it.
    pub(super) fn resolve(
        &self,
        name: &str,
        profile: &Profile,
        mut warnings: Vec<Warning>,
    ) -> Result<Resolved, Error> {
        let reading = self.reading.reading(self.default_action);
        let resolved = input::resolve(name, profile, &self.host()?, reading)?;
        warnings.extend(resolved.warnings.iter().cloned());
        input::tell(name, &warnings, self.strict)?;
        Ok(resolved)
    }

    /// The host itself.
    pub(super) fn host(&self) -> Result<Host, Error> {
        Ok(Host {
            native: self.native(),
            kernel: self.kernel.map_or_else(input::running_kernel, Ok)?,
            caps: self.capabilities()?,
        })
    }

    /// The architecture of the machine that the profile is looked at for.
    pub(super) fn native(&self) -> Arch {
        self.arch.first().copied().unwrap_or(Arch::NATIVE)
    }

    fn capabilities(&self) -> Result<Capabilities, Error> {
        if self.caps.is_empty() {
            let ours = Privileges::new(0, false, false)?;
            return Ok(Capabilities::from_bits(ours.reachable(u64::MAX)?));
        }
        if self
            .caps
            .iter()
            .any(|cap| matches!(cap, SomeCap::Some(CapArg::All)))
        {
            return Ok(Capabilities::ALL);
        }
        let one = |cap: &SomeCap| match cap {
            SomeCap::Some(CapArg::One(capability)) => Some(*capability),
            _ => None::<Capability>,
        };
        Ok(self.caps.iter().filter_map(one).collect())
    }
}

fn arch(text: &str) -> Result<Arch, String> {
    Arch::from_short_name(text)
        .or_else(|| Arch::from_scmp_name(text))
        .ok_or_else(|| {
            let all: Vec<String> = Arch::ALL.iter().map(ToString::to_string).collect();
            format!("no such architecture; one of {}", all.join(" "))
        })
}

fn kernel(text: &str) -> Result<KernelVersion, String> {
    KernelVersion::of_release(text).ok_or_else(|| "write two numbers, such as 6.1".to_owned())
}

fn some_capability(text: &str) -> Result<SomeCap, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(SomeCap::None);
    }
    capability(text).map(SomeCap::Some)
}
