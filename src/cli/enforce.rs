//! `--enforce`: from the flags and the profile to a command under its filter.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::args::{Args, CapArg, ReportTo};
use super::error::Error;
use super::{denials, input, ui};
use crate::action::Action;
use crate::arch::Arch;
use crate::command::Command;
use crate::denials::Lines;
use crate::enforce::{self, Ended, Privileges, Reported, Request, Stay};
use crate::evidence::Evidence;
use crate::exit::Exit;
use crate::profile::{Capabilities, Host, KernelVersion, ReadError, read_profile};
use crate::sys::signal::Signal;
use crate::sys::wait::End;
use crate::syscall::Sysno;

/// Runs `command` under the profile in `file`.
pub(super) fn run(args: &Args, file: &Path, command: Command) -> Result<Exit, Error> {
    let name = file.to_string_lossy();
    let (profile, mut warnings) = read_profile(file).map_err(no_profile)?;
    let drop = dropped(&args.enforcing.cap_drop);
    let report = args.enforcing.report.as_ref();
    let privileges = Privileges::new(drop, args.allow_new_privs, report.is_some())?;
    let host = Host {
        native: Arch::NATIVE,
        kernel: input::running_kernel()?,
        // No entry asks for others, and each is a question to the kernel.
        caps: Capabilities::from_bits(privileges.reachable(profile.asked_caps().bits())?),
    };
    let default_override = args.enforcing.default_action();
    let reading = args.reading.reading(default_override);
    let resolved = input::resolve(&name, &profile, &host, reading)?;
    warnings.extend(resolved.warnings);
    input::tell(&name, &warnings, args.strict)?;
    if default_override == Some(Action::Log) {
        ui::warn(if report.is_some() {
            "--log enforces nothing: syscalls without a rule run"
        } else {
            "--log enforces nothing: syscalls without a rule run, and the kernel logs some of them (--report names them all)"
        });
    }

    let weights = weights(file, host.kernel);
    let file_of_report = report.and_then(ReportTo::file);
    let words = report.map(|_| command.words.clone()).unwrap_or_default();
    let stay = if args.enforcing.exec {
        Stay::No
    } else {
        Stay::Yes {
            linger: Duration::from_secs(args.enforcing.linger.unwrap_or(0).into()),
            report: match report {
                None => None,
                Some(_) => Some(Reported {
                    lines: file_of_report.map(open).transpose()?,
                }),
            },
        }
    };
    let Ended { end, report } = enforce::run(Request {
        command,
        policy: resolved.policy,
        flags: resolved.flags,
        weights,
        privileges,
        stay,
    })?;
    match &report {
        Some(report) => denials::tell(
            report,
            &denials::Context {
                profile: file,
                file: file_of_report,
                command: &words,
            },
        ),
        None if end == End::Killed(Signal::SYS) => ui::say(
            "a filter killed the command: it made a syscall that the profile does not allow (SIGSYS)\n\
             hint: --report names the syscall, --errno instead of --kill lets it run on, --learn --update adds what it needs",
        ),
        None => {}
    }
    Ok(Exit::from(end))
}

/// A profile that is not there: perhaps nothing was learned yet.
fn no_profile(error: ReadError) -> Error {
    let is_missing =
        matches!(&error, ReadError::Io { source, .. } if source.kind() == ErrorKind::NotFound);
    let shown = Error::from(error);
    if is_missing {
        shown.hint("--learn writes a profile of what a command does: seccomp-run --learn -o FILE -- COMMAND")
    } else {
        shown
    }
}

/// How often each syscall was made while learning: what was frequent gets a short way through the filter. Without it the
/// filter is as right, and no slower by more than a few instructions.
///
/// Only for kernels that run the filter for every call. Others answer what is allowed whatever its arguments from a
/// bitmap (`bpf::cache`), and reading the evidence would take longer than all the rest of a start.
fn weights(profile: &Path, kernel: KernelVersion) -> Option<BTreeMap<Sysno, u64>> {
    if kernel >= BITMAP_SINCE {
        return None;
    }
    let evidence = input::evidence(&Evidence::path_for(profile)).unwrap_or_else(|error| {
        log::debug!("evidence: {error:?}");
        None
    });
    evidence.map(|evidence| evidence.weights())
}

/// Linux 5.11: `seccomp_cache_prepare` in `kernel/seccomp.c`.
const BITMAP_SINCE: KernelVersion = KernelVersion {
    major: 5,
    minor: 11,
};

fn open(file: &Path) -> Result<Lines, Error> {
    Lines::open(file).map_err(|error| {
        let shown = Error::new(format!(
            "cannot write the report '{}': {error}",
            file.display()
        ));
        match error.raw_os_error() {
            Some(libc::ELOOP) => shown.hint("a link is not followed: name the file itself"),
            Some(libc::EEXIST) => {
                shown.hint("it holds something else than a report; name another file")
            }
            Some(libc::ENXIO) => shown.hint("nobody reads this pipe; start its reader first"),
            _ => shown,
        }
    })
}

/// The capabilities by their bits.
fn dropped(caps: &[CapArg]) -> u64 {
    let bits = caps.iter().map(|cap| match cap {
        CapArg::All => u64::MAX,
        CapArg::One(capability) => capability.bitmask(),
    });
    bits.fold(0, |all, bits| all | bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_for_kernels_that_run_the_filter_for_every_call() {
        let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/minimal.json");
        let has_weights = |release| {
            let kernel = KernelVersion::of_release(release).unwrap();
            weights(&profile, kernel).is_some_and(|weights| !weights.is_empty())
        };
        assert!(has_weights("5.10.0-28-amd64"));
        assert!(!has_weights("5.11.0") && !has_weights("6.1.0"));
        assert_eq!(
            weights(
                Path::new("/none.json"),
                KernelVersion { major: 5, minor: 9 }
            ),
            None
        );
    }
}
