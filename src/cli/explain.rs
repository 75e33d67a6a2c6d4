//! `explain`: what a profile lets a program do.

use std::path::PathBuf;

use super::compile::{Format, put};
use super::error::Error;
use super::input;
use super::target::TargetArgs;
use crate::evidence::Evidence;
use crate::exit::Exit;
use crate::explain::{Explanation, Subject};

const AFTER: &str = "\
Examples:
  seccomp-run explain app.json
        the groups of syscalls, the dangerous ones, what was observed and what was added
  seccomp-run explain app.json --beside docker-default.json
        how much less that is than another profile; Docker's default is seccomp/default.json of moby/profiles
  seccomp-run explain docker-default.json --caps none
        what a container without capabilities may do
  seccomp-run explain app.json --format json | jq -r '.dangerous[] | .syscalls[]'
        for a script";

/// Say what a profile lets a program do
///
/// The syscalls in groups (files, network, processes ...), conditions in words, dangerous grants with the
/// reason for each, and which rules have a reason of their own (comments). Where the profile's evidence lies
/// beside it, also what the learning runs made of it.
///
/// What is said holds on one host: this one, unless the flags below describe another.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// Another profile to hold it against, such as Docker's default
    #[arg(long, value_name = "FILE")]
    beside: Option<PathBuf>,

    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<Exit, Error> {
    let (path, host) = (&args.target.profile, &args.target.host);
    let name = path.display().to_string();
    let (mut whole, warnings) = input::read(path)?;
    host.narrow(&mut whole);
    let resolved = host.resolve(&name, &whole, warnings)?;
    let here = host.host()?;
    let dialect = host.reading.reading(None).dialect;
    let plain = whole
        .plain(&here, dialect)
        .map_err(|error| Error::in_file(&name, &error))?;
    let evidence = input::evidence(&Evidence::path_for(path))?;
    let beside = match &args.beside {
        Some(path) => {
            let name = path.display().to_string();
            let (mut profile, _) = input::read(path)?;
            host.narrow(&mut profile);
            let resolved = input::resolve(&name, &profile, &here, host.reading.reading(None))?;
            Some((name, resolved.policy))
        }
        None => None,
    };
    let explanation = Explanation::of(&Subject {
        name: &name,
        plain: &plain,
        whole: &whole,
        policy: &resolved.policy,
        notes: &resolved.notes,
        evidence: evidence.as_ref(),
        beside: beside
            .as_ref()
            .map(|(name, policy)| (name.as_str(), policy)),
    });
    let text = match args.format {
        Format::Text => explanation.to_string(),
        Format::Json => explanation.to_json(),
    };
    put(text.as_bytes(), None)?;
    Ok(Exit::SUCCESS)
}
