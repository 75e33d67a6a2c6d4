//! Profiles as input: read, and their oddities told.

use std::path::Path;

use super::error::Error;
use super::ui;
use crate::evidence::Evidence;
use crate::profile::{Host, KernelVersion, Profile, Reading, Resolved, Warning, read_profile};

/// Reads a profile. What is odd about it is returned, to be told once all of it is known.
pub(super) fn read(file: &Path) -> Result<(Profile, Vec<Warning>), Error> {
    Ok(read_profile(file)?)
}

/// Tells the warnings. Under `--strict` there must be none.
pub(super) fn tell(name: &str, warnings: &[Warning], strict: bool) -> Result<(), Error> {
    for warning in warnings {
        ui::warn(&warning.in_file(name));
    }
    if strict && !warnings.is_empty() {
        let count = warnings.len();
        return Err(Error::new(format!(
            "{name}: {count} warning(s), and --strict makes them errors"
        )));
    }
    Ok(())
}

/// Resolves a profile that was read from `name`.
pub(super) fn resolve(
    name: &str,
    profile: &Profile,
    host: &Host,
    reading: Reading,
) -> Result<Resolved, Error> {
    profile
        .resolve(host, &reading)
        .map_err(|error| Error::in_file(name, &error))
}

/// The version of the kernel that runs.
pub(super) fn running_kernel() -> Result<KernelVersion, Error> {
    let release = kernel_release();
    KernelVersion::of_release(&release)
        .ok_or_else(|| Error::new(format!("cannot tell the kernel's version from '{release}'")))
}

/// The release of the kernel that runs.
pub(super) fn kernel_release() -> String {
    let uname = nix::sys::utsname::uname();
    uname
        .map(|uname| uname.release().to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Reads the evidence in this file, if there is any.
pub(super) fn evidence(path: &Path) -> Result<Option<Evidence>, Error> {
    let name = path.to_string_lossy();
    match std::fs::read(path) {
        Ok(text) => Ok(Some(Evidence::parse(&text, &name)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(format!("cannot read '{name}': {error}"))),
    }
}
