//! `report`: the evidence as a page.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use super::compile::put;
use super::error::Error;
use crate::evidence::Evidence;
use crate::exit::Exit;
use crate::output::{Existing, Output, OutputError};
use crate::report;

const AFTER: &str = "\
Examples:
  seccomp-run report nginx.evidence.json -o nginx.html
        what nginx used when, which of its programs did, and whether it was watched enough
  seccomp-run report nginx.evidence.json -o nginx.html --force
        after another learning run: the page is made anew
  seccomp-run report nginx.evidence.json -o - | gzip > nginx.html.gz
        to standard output";

/// Show the evidence of learning runs as a page
///
/// One page of HTML that needs nothing else: how syscalls were discovered over time and over the runs, which program made which,
/// what came at the start and what later, how sure that makes a profile, what was added for which reason, what is
/// dangerous, and all syscalls in a table to search and sort.
///
/// EVIDENCE is what --learn writes beside the profile: NAME.evidence.json beside NAME.json.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Args {
    /// The evidence
    #[arg(value_name = "EVIDENCE")]
    evidence: PathBuf,

    /// Where the page goes; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Replace FILE
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Error> {
    let name = args.evidence.display().to_string();
    let evidence = read(&args.evidence, &name)?;
    let page = || report::page(&evidence, &name);
    if args.output == Path::new("-") {
        if std::io::stdout().is_terminal() {
            return Err(Error::new("standard output is a terminal").hint("-o FILE writes the page"));
        }
        put(page()?.as_bytes(), None)?;
        return Ok(Exit::SUCCESS);
    }
    let existing = if args.force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    let refused = |error: OutputError| match &error {
        OutputError::Exists { .. } => Error::new(error.to_string()).hint("--force replaces it"),
        _ => error.into(),
    };
    let mut output = Output::claim(&args.output, existing).map_err(refused)?;
    output.write(page()?).map_err(refused)?;
    Ok(Exit::SUCCESS)
}

fn read(path: &Path, name: &str) -> Result<Evidence, Error> {
    let beside = Evidence::path_for(path);
    let hint = |error: Error| {
        if beside.exists() {
            error.hint(format!("the evidence of it is '{}'", beside.display()))
        } else {
            error
        }
    };
    let text = std::fs::read(path)
        .map_err(|error| hint(Error::new(format!("cannot read '{name}': {error}"))))?;
    // The hints of learning do not fit here.
    Evidence::parse(&text, name).map_err(|error| hint(Error::of(&error)))
}
