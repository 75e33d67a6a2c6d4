//! The tools: verbs that look at profiles and run nothing.

use clap::{Parser, Subcommand};

use super::{check, compile, convert, diff, explain, extras, merge, report, simulate};
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
    // For packagers, once: not in the everyday help.
    #[command(hide = true)]
    Extras(extras::Args),
    Merge(merge::Args),
    Report(report::Args),
    Simulate(simulate::Args),
}

/// Is this word the name of a verb?
pub(super) fn is_verb(word: &std::ffi::OsStr) -> bool {
    use clap::CommandFactory as _;
    // Making the commands takes its time, and a program may be waiting for its start.
    word.to_str().is_some_and(|word| {
        !word.starts_with('-') && Verbs::command().find_subcommand(word).is_some()
    })
}

impl Verbs {
    pub(super) fn run(&self) -> Result<Exit, Error> {
        match &self.verb {
            Verb::Check(args) => check::run(args),
            Verb::Compile(args) => compile::run(args),
            Verb::Convert(args) => convert::run(args),
            Verb::Diff(args) => diff::run(args),
            Verb::Explain(args) => explain::run(args),
            Verb::Extras(args) => extras::run(args),
            Verb::Merge(args) => merge::run(args),
            Verb::Report(args) => report::run(args),
            Verb::Simulate(args) => simulate::run(args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Args;

    #[test]
    fn the_help_names_every_verb() {
        let help = Args::command();
        let long = help.get_after_long_help().unwrap().to_string();
        let short = help.get_after_help().unwrap().to_string();
        Verbs::command().debug_assert();
        for verb in Verbs::command().get_subcommands() {
            let name = verb.get_name();
            let listed = long.contains(&format!("\n  {name} "));
            assert_eq!(listed, !verb.is_hide_set(), "{name}\n{long}");
            assert_eq!(short.contains(name), !verb.is_hide_set(), "{name}\n{short}");
        }
    }
}
