//! `merge`: several profiles in one, and their evidence.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};

use super::error::Error;
use super::{input, ui};
use crate::convert::denied;
use crate::evidence::Evidence;
use crate::exit::Exit;
use crate::output::{Existing, Output, OutputError};
use crate::profile::{Profile, Warning};
use crate::sys::threads;

const AFTER: &str = "\
Examples:
  seccomp-run merge monday.json tuesday.json -o app.json
        what the program needed on either day, and the evidence of both
  seccomp-run merge learned/ -o app.json
        every machine has learned its part, and they were collected in one directory
  seccomp-run merge app.json denied.jsonl --force -o app.json
        what --report=denied.jsonl listed is allowed from now on";

/// Merge profiles into one that allows what any of them allows
///
/// Rules, argument conditions and architectures are put together; the result is canonical, and the same for
/// every order of the profiles. It goes to FILE, or to standard output.
///
/// Where profiles contradict each other, what allows wins; of two denials, and of two default actions, the
/// milder one (KILL < TRAP < ERRNO < TRACE < LOG). A message on standard error says what was decided. A
/// denial that no other profile speaks against stays.
///
/// With -o, the evidence that lies beside the profiles (NAME.evidence.json beside NAME.json) is put
/// together too, beside FILE: every run once, by the time that it began.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Args {
    /// The profiles; evidence beside them is left out, and read with them; of a directory, every *.json
    #[arg(value_name = "PROFILE|DIR", required = true)]
    profiles: Vec<PathBuf>,

    /// Where the merged profile goes; its evidence goes beside it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace FILE, and the evidence beside it
    #[arg(long, requires = "output")]
    force: bool,

    /// Warnings are errors, and so are contradictions between the profiles
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Error> {
    let files = files(&args.profiles)?;
    let mut profiles = Vec::with_capacity(files.len());
    for (file, read) in files.iter().zip(read_all(&files)) {
        let (profile, warnings) = read?;
        input::tell(&file.display().to_string(), &warnings, args.strict)?;
        profiles.push(profile);
    }
    let (merged, conflicts) = Profile::merge(profiles)?;
    for conflict in &conflicts {
        ui::warn(&conflict.to_string());
    }
    if args.strict && !conflicts.is_empty() {
        let count = conflicts.len();
        return Err(Error::new(format!(
            "{count} contradiction(s) between the profiles, and --strict makes them errors"
        )));
    }
    let text = merged.to_json();
    match &args.output {
        Some(output) => write(args, output, &files, &text)?,
        None => io::stdout()
            .write_all(text.as_bytes())
            .map_err(|error| Error::new(format!("cannot write to standard output: {error}")))?,
    }
    Ok(Exit::SUCCESS)
}

/// Reads the files, on all processors: with many, reading is most of the work.
fn read_all(files: &[PathBuf]) -> Vec<Result<(Profile, Vec<Warning>), Error>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = files.len().div_ceil(threads).max(1);
    let read = |files: &[PathBuf]| -> Vec<_> { files.iter().map(|file| read_one(file)).collect() };
    thread::scope(|scope| {
        let shares: Vec<_> = files
            .chunks(share)
            .map(|files| {
                let started = threads::named("read").spawn_scoped(scope, move || read(files));
                (files, started)
            })
            .collect();
        let join = |(files, started): (_, io::Result<ScopedJoinHandle<Vec<_>>>)| {
            // Where there can be no thread, this one does it.
            let share = started.ok().and_then(|thread| thread.join().ok());
            share.unwrap_or_else(|| read(files))
        };
        shares.into_iter().flat_map(join).collect()
    })
}

/// Reads a profile, or the report of a run: what allows the calls that it lists.
fn read_one(file: &Path) -> Result<(Profile, Vec<Warning>), Error> {
    // What tells it is at the beginning of its first line.
    let mut start = [0; 64];
    let opened = std::fs::File::open(file).and_then(|mut file| file.read(&mut start));
    let start = opened.ok().and_then(|got| start.get(..got));
    if !start.is_some_and(|start| crate::denials::is_report(&String::from_utf8_lossy(start))) {
        return input::read(file);
    }
    let name = file.display().to_string();
    let text = std::fs::read(file)
        .map_err(|error| Error::new(format!("cannot read '{name}': {error}")))?;
    let reported = denied::read(&String::from_utf8_lossy(&text))
        .map_err(|error| super::convert::unreadable(&name, &error))?;
    super::convert::tell_left_out(&name, &reported);
    Ok((reported.profile, Vec::new()))
}

/// The files that are meant, directories unfolded. Of `*.json`, the evidence of profiles is left out: it is read with them.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let evidence: BTreeSet<_> = named.iter().map(|path| Evidence::path_for(path)).collect();
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            if !evidence.contains(path) {
                files.push(path.clone());
            }
            continue;
        }
        let failed = |error| {
            Error::new(format!(
                "cannot read directory '{}': {error}",
                path.display()
            ))
        };
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if is_profile(&file) && file.is_file() {
                inside.push(file);
            }
        }
        if inside.is_empty() {
            let message = format!("there is no profile in the directory '{}'", path.display());
            return Err(Error::new(message).hint("profiles in it are named NAME.json"));
        }
        inside.sort();
        files.append(&mut inside);
    }
    Ok(files)
}

fn is_profile(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".json") && !name.ends_with(".evidence.json") && !name.starts_with('.')
}

/// Writes profile and evidence; where one cannot be written, neither is.
fn write(args: &Args, output: &Path, files: &[PathBuf], text: &str) -> Result<(), Error> {
    let existing = if args.force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    let claim = |path: &Path| Output::claim(path, existing).map_err(refused);
    let mut profile = claim(output)?;
    let beside = Evidence::path_for(output);
    let evidence = match evidence(files)? {
        Some(evidence) => Some((claim(&beside)?, evidence)),
        None => None,
    };
    profile.write(text).map_err(refused)?;
    match evidence {
        Some((mut file, evidence)) => file.write(evidence.to_json()).map_err(refused)?,
        None if beside.exists() => ui::warn(&format!(
            "'{}' is not of this profile: none of those that were merged has evidence",
            beside.display()
        )),
        None => {}
    }
    Ok(())
}

/// The hints of learning do not fit here.
fn refused(error: OutputError) -> Error {
    match &error {
        OutputError::Exists { .. } => Error::new(error.to_string()).hint("--force replaces it"),
        _ => error.into(),
    }
}

/// The runs of all profiles that have evidence, each once, oldest first.
fn evidence(files: &[PathBuf]) -> Result<Option<Evidence>, Error> {
    let mut merged: Option<Evidence> = None;
    for file in files {
        if let Some(evidence) = input::evidence(&Evidence::path_for(file))? {
            let merged = merged.get_or_insert_default();
            merged.runs.extend(evidence.runs);
        }
    }
    if let Some(evidence) = &mut merged {
        // What began in the same second is put in some order that does not depend on the files'.
        evidence
            .runs
            .sort_by_cached_key(|run| (run.started, format!("{run:?}")));
        evidence.runs.dedup();
    }
    Ok(merged)
}
