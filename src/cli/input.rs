//! Profiles as input: read, and their oddities told.

use std::path::Path;

use super::error::Error;
use super::ui;
use crate::profile::{Profile, Warning, read_profile};

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
