//! `--enforce`: from the flags and the profile to a command under its filter.

use std::path::Path;

use super::args::{Args, CapArg};
use super::error::Error;
use super::{input, ui};
use crate::action::Action;
use crate::arch::Arch;
use crate::command::Command;
use crate::enforce::{self, CapsDropped, Privileges, Request};
use crate::evidence::Evidence;
use crate::exit::Exit;
use crate::profile::{Capabilities, Host};
use crate::sys::signal::Signal;
use crate::sys::wait::End;

/// Runs `command` under the profile in `file`.
pub(super) fn run(args: &Args, file: &Path, command: Command) -> Result<Exit, Error> {
    let name = file.display().to_string();
    let (profile, mut warnings) = input::read(file)?;
    let drop = dropped(&args.enforcing.cap_drop);
    let privileges = Privileges::new(&drop, args.allow_new_privs)?;
    let host = Host {
        native: Arch::NATIVE,
        kernel: input::running_kernel()?,
        caps: Capabilities::from_bits(privileges.reachable()),
    };
    let default_override = args.enforcing.default_action();
    let reading = args.reading.reading(default_override);
    let resolved = input::resolve(&name, &profile, &host, reading)?;
    warnings.extend(resolved.warnings);
    input::tell(&name, &warnings, args.strict)?;
    if default_override == Some(Action::Log) {
        ui::warn(
            "--log enforces nothing: syscalls without a rule run, and the kernel logs some of them",
        );
    }

    // What was frequent while learning gets short ways. Without it the filter is as right, and no slower by
    // more than a few instructions.
    let weights = input::evidence(&Evidence::path_for(file)).unwrap_or_else(|error| {
        log::debug!("evidence: {error:?}");
        None
    });
    let in_place = args.enforcing.exec;
    let end = enforce::run(Request {
        command,
        policy: resolved.policy,
        flags: resolved.flags,
        weights: weights.map(|evidence| evidence.weights()),
        privileges,
        in_place,
    })?;
    if end == End::Killed(Signal::SYS) {
        ui::say(
            "a filter killed the command: it made a syscall that the profile does not allow (SIGSYS)\n\
             hint: --errno instead of --kill lets it run on, --learn --update adds what it needs",
        );
    }
    Ok(Exit::from(end))
}

fn dropped(caps: &[CapArg]) -> CapsDropped {
    if caps.contains(&CapArg::All) {
        return CapsDropped::All;
    }
    let one = |cap: &CapArg| match cap {
        CapArg::All => None,
        CapArg::One(capability) => Some(*capability),
    };
    CapsDropped::These(caps.iter().filter_map(one).collect())
}
