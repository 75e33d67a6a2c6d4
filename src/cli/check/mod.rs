//! `check`: finds mistakes in profiles before they bite.

mod forms;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::args::InstallerArg;
use super::compile::put;
use super::error::Error;
use super::target::HostArgs;
use super::{input, ui};
use crate::check::{Finding, Repair, Severity, Subject, Unfit, check, repaired};
use crate::evidence::Evidence;
use crate::exit::Exit;
use crate::output::{Existing, Output};
use crate::profile::{Places, Profile, ReadError, Warning, read_profile_text};

const AFTER: &str = "\
Examples:
  seccomp-run check app.json
        what is wrong with it, where, why, and what to do
  seccomp-run check --fix app.json
        the same after the safe part was done
  seccomp-run check --max-unseen 5% --severity error app.json
        a gate: enough learning runs, and no errors
  seccomp-run check --format github profiles/*.json
        annotations on a pull request; --format sarif for code scanning

Exit codes:
  0       nothing was found (of --severity or worse)
  1       something was found
  125     a profile cannot be opened";

/// Find mistakes in profiles before they bite
///
/// Calls without which programs hang, actions that were not meant, conditions that do not bind, dangerous
/// grants, names that do not exist, fields that other readers ignore, too few learning runs: each with its
/// place, the reason, and what to do. A name in brackets stays the same in every version. Where the evidence
/// of a profile lies beside it, it is used.
///
/// With --fix, what is safe is done: calls that no program can do without and that no rule names are allowed
/// (exit, exit_group, rt_sigreturn, restart_syscall, on x86 sigreturn); what libc tries first and is denied is
/// denied with ENOSYS; entries that deny by SCMP_CMP_EQ on an int compare its 32 bits for every runtime. The file
/// is then written anew in canonical form: keys that no runtime reads ($schema, x-...) are not kept, and
/// SCMP_ACT_KILL is written as SCMP_ACT_KILL_PROCESS, which it means here.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
#[expect(
    clippy::doc_markdown,
    reason = "the comments on flags are the help text"
)]
pub(in crate::cli) struct Args {
    /// The profiles
    #[arg(value_name = "PROFILE", required = true)]
    profiles: Vec<PathBuf>,

    /// Do what is safe, and tell what is left
    #[arg(long)]
    fix: bool,

    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,

    /// From which severity on findings count for the exit code
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Warning)]
    severity: Level,

    /// The chance, at most, that another run needs something new: 0.05, or 5%
    ///
    /// Estimated from the runs in the evidence; without evidence, or after one run, nothing is known, which is
    /// too much.
    #[arg(long, value_name = "P", value_parser = chance)]
    max_unseen: Option<f64>,

    /// Who will install the filter
    ///
    /// entrypoint: this program. runtime: a container runtime, which makes calls of its own under it.
    #[arg(long = "for", value_enum, default_value_t)]
    installer: InstallerArg,

    #[command(flatten)]
    host: HostArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    Text,
    Json,
    Github,
    Sarif,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Level {
    Note,
    Warning,
    Error,
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Note => Self::Note,
            Level::Warning => Self::Warning,
            Level::Error => Self::Error,
        }
    }
}

/// A part of 1, or a percentage.
fn chance(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent
            .trim_end()
            .parse()
            .map(|percent: f64| percent / 100.0),
        None => text.parse(),
    };
    number
        .ok()
        .filter(|chance| (0.0..=1.0).contains(chance))
        .ok_or_else(|| "write a number from 0 to 1, or a percentage: 0.05, 5%".to_owned())
}

/// A file, and what was found in it.
pub(super) struct Checked {
    name: String,
    findings: Vec<Finding>,
}

pub(in crate::cli) fn run(args: &Args) -> Result<Exit, Error> {
    let mut all = Vec::with_capacity(args.profiles.len());
    // A shell's `profiles/*.json` names the evidence beside the profiles too.
    let evidence = args.profiles.iter().map(|path| Evidence::path_for(path));
    let evidence: BTreeSet<PathBuf> = evidence.collect();
    let profiles = args
        .profiles
        .iter()
        .filter(|path| !evidence.contains(*path));
    for path in profiles {
        let mut findings = look(args, path)?;
        if args.fix && fix(path, &findings)? {
            findings = look(args, path)?;
        }
        all.push(Checked {
            name: path.display().to_string(),
            findings,
        });
    }
    let text = match args.format {
        Form::Text => forms::text(&all),
        Form::Json => forms::json(&all),
        Form::Github => forms::github(&all),
        Form::Sarif => forms::sarif(&all),
    };
    put(text.as_bytes(), None)?;
    let threshold = Severity::from(args.severity);
    let counts = |finding: &Finding| match finding.kind.severity {
        Severity::Warning if args.host.strict => Severity::Error >= threshold,
        severity => severity >= threshold,
    };
    let found = all.iter().flat_map(|checked| &checked.findings).any(counts);
    Ok(if found { Exit::FOUND } else { Exit::SUCCESS })
}

/// What is found in one file.
fn look(args: &Args, path: &Path) -> Result<Vec<Finding>, Error> {
    let (mut profile, warnings, text) = match read_profile_text(path) {
        Ok(read) => read,
        Err(ReadError::Parse(error)) => return Ok(vec![Unfit::Parse(&error).finding()]),
        Err(error) => return Err(error.into()),
    };
    args.host.narrow(&mut profile);
    let evidence = input::evidence(&Evidence::path_for(path))?;
    let found = check(&Subject {
        profile: &profile,
        places: &Places::of(&text),
        warnings: &warnings,
        host: &args.host.host()?,
        reading: args.host.reading.reading(args.host.default_action),
        evidence: evidence.as_ref(),
        for_runtime: args.installer == InstallerArg::Runtime,
        max_unseen: args.max_unseen,
    });
    Ok(found.unwrap_or_else(|error| vec![Unfit::Resolve(&error).finding()]))
}

/// Does what is safe. Was there anything to do?
fn fix(path: &Path, findings: &[Finding]) -> Result<bool, Error> {
    let repairs: Vec<Repair> = findings
        .iter()
        .filter_map(|finding| finding.repair.clone())
        .collect();
    if repairs.is_empty() {
        return Ok(false);
    }
    // Read anew: what was looked at may have been given other architectures.
    let (profile, _): (Profile, Vec<Warning>) = input::read(path)?;
    let fixed = repaired(&profile, &repairs);
    Output::claim(path, Existing::Replace)?.write(fixed.to_json())?;
    let kinds: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.repair.is_some())
        .map(|finding| finding.kind.id)
        .collect();
    ui::say(&format!("{}: fixed {}", path.display(), kinds.join(" ")));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_parts_or_percentages() {
        let cases = [
            ("0", Some(0.0)),
            ("0.05", Some(0.05)),
            ("5%", Some(0.05)),
            ("100 %", Some(1.0)),
            ("1.1", None),
            ("-1", None),
            ("NaN", None),
            ("few", None),
            ("%", None),
        ];
        for (text, want) in cases {
            assert_eq!(chance(text).ok(), want, "{text}");
        }
    }
}
