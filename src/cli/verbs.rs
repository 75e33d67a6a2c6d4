//! The tools: verbs that look at profiles and run nothing.

use clap::{Parser, Subcommand};

use super::{check, compile, convert, diff, explain, merge, simulate};
use crate::cli::error::Error;
use crate::exit::Exit;

/// Tools for profiles
#[derive(Debug, Parser)]
#[command(name = "seccomp-run", version, max_term_width = 100)]
pub(super) struct Verbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Args),
    Compile(compile::Args),
    Convert(convert::Args),
    Diff(diff::Args),
    Explain(explain::Args),
    Merge(merge::Args),
    Simulate(simulate::Args),
}

/// Is this word the name of a verb?
pub(super) fn is_verb(word: &std::ffi::OsStr) -> bool {
    use clap::CommandFactory as _;
    word.to_str()
        .is_some_and(|word| Verbs::command().find_subcommand(word).is_some())
}

impl Verbs {
    pub(super) fn run(&self) -> Result<Exit, Error> {
        match &self.verb {
            Verb::Check(args) => check::run(args),
            Verb::Compile(args) => compile::run(args),
            Verb::Convert(args) => convert::run(args),
            Verb::Diff(args) => diff::run(args),
            Verb::Explain(args) => explain::run(args),
            Verb::Merge(args) => merge::run(args),
            Verb::Simulate(args) => simulate::run(args),
        }
    }
}
