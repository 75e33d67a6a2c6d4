//! `convert`: the same rules for another consumer, and from others' records.
#![expect(
    clippy::doc_markdown,
    reason = "the comments on flags are the help text"
)]

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::target::HostArgs;
use super::{compile, input, ui};
use crate::closure::{self, Installer, Siblings};
use crate::convert::{
    Form, Inexpressible, Unreadable, audit, compose, denied, kubernetes, nothing_ignored, oci, spo,
    strace, systemd,
};
use crate::evidence::Evidence;
use crate::exit::Exit;
use crate::profile::{Dialect, Profile, Warning};

const AFTER: &str = "\
Examples:
  seccomp-run convert app.json --to oci -o seccomp.json
        for an OCI bundle: jq --slurpfile s seccomp.json '.linux.seccomp = $s[0]' config.json
  seccomp-run convert app.json --to systemd -o /etc/systemd/system/app.service.d/seccomp.conf
        for a service; conditions on arguments are more than systemd knows, and an error
  seccomp-run convert app.json --to kubernetes
        for a Pod: what names the file app.json below /var/lib/kubelet/seccomp on each node
  seccomp-run convert app.json --to spo | kubectl apply -f -
        for the security-profiles-operator
  strace -f -o app.log -- ./app; seccomp-run convert app.log --to docker -o app.json
        what --learn would have written
  ausearch -m SECCOMP -c app > denied.log; seccomp-run convert denied.log --to docker
        what was denied or logged, as a profile to merge into the program's own";

/// Write the same rules in another form, or make a profile of a log
///
/// INPUT is a profile, a log of strace -f, records of the kernel's audit (ausearch, dmesg, the journal), a report of
/// --report=FILE, a systemd unit, or a SeccompProfile resource as JSON. Whatever a form has no words for is an error that
/// names the rule; nothing is dropped.
///
/// A log of strace becomes the profile that --learn would have written. Records of the audit and reports become what
/// allows just these calls. Of a unit, SystemCallFilter=, SystemCallErrorNumber= and
/// SystemCallArchitectures= are read.
///
/// oci, spo, systemd and bpf are for one host: archMap, includes and excludes are settled for the one that
/// the flags below describe. docker, kubernetes and compose leave the rules as they are.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Args {
    /// What to convert
    #[arg(value_name = "INPUT")]
    input: PathBuf,

    /// The form that is wanted
    #[arg(long, value_enum, value_name = "FORM")]
    to: To,

    /// The form of INPUT
    #[arg(long, value_enum, value_name = "FORM", default_value_t = From::Auto)]
    from: From,

    /// Where the result goes [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    host: HostArgs,
}

/// The forms that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum To {
    /// A profile for docker run --security-opt seccomp=FILE, Podman, and this program
    Docker,
    /// The object linux.seccomp of an OCI runtime's config.json
    Oci,
    /// A Pod that names the profile
    Kubernetes,
    /// A SeccompProfile of the security-profiles-operator (v1beta1)
    Spo,
    /// A service of Docker Compose that names the profile
    Compose,
    /// A drop-in for a systemd service
    Systemd,
    /// The BPF program, as compile writes it
    Bpf,
}

/// The forms that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum From {
    /// What it looks like
    Auto,
    /// A Docker/OCI profile
    Profile,
    /// A log of strace -f
    Strace,
    /// Records of the kernel's audit
    Audit,
    /// What --report=FILE wrote
    Report,
    /// A systemd unit or drop-in
    Systemd,
    /// A SeccompProfile resource, as JSON
    Spo,
}

pub(super) fn run(args: &Args) -> Result<Exit, Error> {
    let name = args.input.display().to_string();
    let source = Source::read(args, &name)?;
    let output = args.output.as_deref();
    let profile = &source.profile;
    let inexpressible = |error: Inexpressible| inexpressible(&name, profile, &error);
    let text = match args.to {
        To::Bpf => {
            let mut profile = profile.clone();
            args.host.narrow(&mut profile);
            let resolved = args.host.resolve(&name, &profile, source.warnings)?;
            let evidence = match source.form {
                Form::Profile => input::evidence(&Evidence::path_for(&args.input))?,
                _ => None,
            };
            let filter = compile::filter(&resolved, evidence.as_ref())?;
            compile::put_program(&filter, args.host.native().endian(), output)?;
            return Ok(Exit::SUCCESS);
        }
        To::Docker => {
            input::tell(&name, &source.warnings, args.host.strict)?;
            nothing_ignored(profile, Dialect::Docker).map_err(inexpressible)?;
            profile.to_json()
        }
        To::Kubernetes | To::Compose => {
            let file = source.file(&args.input, args.to)?;
            input::tell(&name, &source.warnings, args.host.strict)?;
            if args.to == To::Compose {
                compose::snippet(profile, &name).map_err(inexpressible)?
            } else {
                let pod = kubernetes::pod(profile, &file).map_err(inexpressible)?;
                let directory = kubernetes::DIRECTORY;
                ui::say(&format!(
                    "copy {name} to {directory}/{file} on every node; IMAGE stands for the container's image"
                ));
                pod
            }
        }
        To::Oci | To::Spo | To::Systemd => {
            if args.host.default_action.is_some() {
                return Err(Error::new(
                    "--default-action is for --to bpf alone: the other forms keep the rules as they are",
                ));
            }
            let mut profile = profile.clone();
            args.host.narrow(&mut profile);
            let resolved = args.host.resolve(&name, &profile, source.warnings)?;
            // What cannot be resolved was complained about; what is written must mean the same.
            drop(resolved);
            let dialect = args.host.reading.reading(None).dialect;
            let plain = profile
                .plain(&args.host.host()?, dialect)
                .map_err(|error| Error::in_file(&name, &error))?;
            let stem = args.input.file_stem().unwrap_or_default().to_string_lossy();
            let written = match args.to {
                To::Oci => oci::write(&plain),
                To::Spo => spo::write(&plain, &stem),
                _ => systemd::write(&plain),
            };
            written.map_err(inexpressible)?
        }
    };
    compile::put(text.as_bytes(), output)?;
    Ok(Exit::SUCCESS)
}

/// What was read.
struct Source {
    form: Form,
    profile: Profile,
    warnings: Vec<Warning>,
}

impl Source {
    fn read(args: &Args, name: &str) -> Result<Self, Error> {
        let form = match args.from {
            From::Profile => Form::Profile,
            From::Strace => Form::Strace,
            From::Audit => Form::Audit,
            From::Report => Form::Report,
            From::Systemd => Form::Systemd,
            From::Spo => Form::Spo,
            From::Auto => {
                let text = text(&args.input, name)?;
                let form = Form::of(&String::from_utf8_lossy(&text)).ok_or_else(|| {
                    Error::new(format!(
                        "{name}: neither a profile, nor a log of strace or the audit, nor a unit"
                    ))
                    .hint("--from FORM says what it is")
                })?;
                return Self::of(form, args, name, Some(text));
            }
        };
        Self::of(form, args, name, None)
    }

    fn of(form: Form, args: &Args, name: &str, text: Option<Vec<u8>>) -> Result<Self, Error> {
        if form == Form::Profile {
            // Who may decide what a program does is asked there.
            let (profile, warnings) = input::read(&args.input)?;
            return Ok(Self {
                form,
                profile,
                warnings,
            });
        }
        let bytes = text.map_or_else(|| self::text(&args.input, name), Ok)?;
        let lossy = String::from_utf8_lossy(&bytes);
        let native = args.host.native();
        let unreadable = |error: Unreadable| unreadable(name, &error);
        let mut warnings = Vec::new();
        let profile = match form {
            Form::Strace => {
                let recording = strace::read(&lossy, native).map_err(unreadable)?;
                tell_notes(name, &recording.notes, args.host.strict)?;
                closure::profile_of(&recording, native, Siblings::Left, Installer::Entrypoint)
            }
            Form::Audit => {
                let logged = audit::read(&lossy).map_err(unreadable)?;
                for (program, records) in &logged.programs {
                    ui::say(&format!("{name}: {records} record(s) of {program}"));
                }
                logged.profile
            }
            Form::Report => {
                let reported = denied::read(&lossy).map_err(unreadable)?;
                tell_left_out(name, &reported);
                reported.profile
            }
            Form::Systemd => {
                let unit = systemd::read(&lossy, native).map_err(unreadable)?;
                tell_notes(name, &unit.notes, args.host.strict)?;
                unit.profile
            }
            Form::Spo | Form::Profile => {
                let (profile, odd) = Profile::parse_resource(&bytes, name)
                    .map_err(|error| Error::from(crate::profile::ReadError::Parse(error)))?;
                spo::check(&profile).map_err(unreadable)?;
                warnings = odd;
                profile
            }
        };
        Ok(Self {
            form,
            profile,
            warnings,
        })
    }

    /// The name of the file that others are told to read: only a profile can be read by them.
    fn file(&self, path: &Path, to: To) -> Result<String, Error> {
        let file = path.file_name().and_then(|name| name.to_str());
        match (self.form, file) {
            (Form::Profile, Some(file)) => Ok(file.to_owned()),
            _ => Err(
                Error::new("this form names the file of a profile, and the input is none").hint(
                    format!(
                        "convert it --to docker -o FILE.json first, then FILE.json --to {}",
                        if to == To::Compose {
                            "compose"
                        } else {
                            "kubernetes"
                        }
                    ),
                ),
            ),
        }
    }
}

/// Tells what of a report is not taken over.
pub(super) fn tell_left_out(name: &str, reported: &denied::Reported) {
    for arch in &reported.left_out {
        ui::warn(&format!(
            "{name}: calls of {arch} are left out: the profile does not list that architecture, and to list it would \
             allow there what all its rules allow"
        ));
    }
    for (call, rule) in &reported.ruled {
        ui::warn(&format!(
            "{name}: {call} is left out: {rule} of the profile answers it; should it run, take it out of that rule"
        ));
    }
}

/// Tells what limits the meaning of an input. Under `--strict` there must be nothing.
fn tell_notes<'n, N: Display + 'n>(
    name: &str,
    notes: impl IntoIterator<Item = &'n N>,
    strict: bool,
) -> Result<(), Error> {
    let mut count = 0;
    for note in notes {
        ui::warn(&format!("{name}: {note}"));
        count += 1;
    }
    if strict && count > 0 {
        return Err(Error::new(format!(
            "{name}: {count} warning(s), and --strict makes them errors"
        )));
    }
    Ok(())
}

fn text(path: &Path, name: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| Error::new(format!("cannot read '{name}': {error}")))
}

pub(super) fn unreadable(name: &str, error: &Unreadable) -> Error {
    let place = match error.line {
        0 => name.to_owned(),
        line => format!("{name}:{line}"),
    };
    let shown = Error::new(format!("{place}: {error}"));
    match &error.hint {
        Some(hint) => shown.hint(hint),
        None => shown,
    }
}

fn inexpressible(name: &str, profile: &Profile, error: &Inexpressible) -> Error {
    let message = match error.rule(profile) {
        Some(rule) => format!("{name}:{}: {rule}: {error}", error.at),
        None => format!("{name}: {error}"),
    };
    Error::new(message).hint("nothing was written: the result would not mean the same")
}
