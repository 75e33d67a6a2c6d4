//! The edge: arguments in, messages and an exit code out. Only this module prints, and only it reads the
//! environment.

mod args;
mod check;
mod compile;
mod convert;
mod denials;
mod diff;
mod enforce;
mod environment;
mod error;
mod explain;
mod extras;
mod input;
mod learn;
mod merge;
mod plain;
mod progress;
mod replica;
mod report;
mod simulate;
mod target;
mod ui;
mod verbs;

use std::io::Write as _;

use clap::Parser as _;
use clap::error::ErrorKind;

use self::args::Args;
use self::environment::Mode;
use self::error::Error;
use self::verbs::Verbs;
use crate::command::Command;
use crate::exit::Exit;
use crate::launch;
#[cfg(any(target_env = "musl", test))]
pub use crate::sys::heap::Heap;
pub use crate::sys::inherited::Arguments;

/// Runs the program: what `main` is.
///
/// A verb is the first word or none: after `--learn` and `--enforce` every word is the command's.
pub fn main(arguments: &Arguments) -> Exit {
    let words = arguments.words();
    let ran = if words.get(1).is_some_and(|word| verbs::is_verb(word)) {
        Verbs::try_parse_from(words).map(|verbs| verbs.run())
    } else {
        let plain = plain::args(words.iter().skip(1).cloned());
        let args = plain.map_or_else(|| Args::try_parse_from(words), Ok);
        args.map(run)
    };
    let exit = match ran {
        Ok(result) => result.unwrap_or_else(|error| error.report()),
        Err(error) => usage(&error),
    };
    // The Rust runtime would do it, and as little say that it failed. Our binary starts and ends without it.
    let _ = std::io::stdout().flush();
    exit
}

fn run(mut args: Args) -> Result<Exit, Error> {
    start_log(args.verbose);
    let mode = environment::settle(&mut args, |name| std::env::var_os(name))?;
    let command = Command::find(args.command.clone(), std::env::var_os("PATH").as_deref())?;
    match mode {
        Mode::Learn => learn::run(&args, command),
        Mode::Enforce(profile) => enforce::run(&args, &profile, command),
        Mode::Off => {
            ui::warn("SECCOMP_RUN_MODE=off: the command runs without a filter");
            Err(launch::become_command(&command).into())
        }
    }
}

/// Help and version are what was asked for; everything else is a mistake, and 125 like all our failures.
fn usage(error: &clap::Error) -> Exit {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        // Where nobody reads it there is nothing to do about that.
        let _ = error.print();
        return Exit::SUCCESS;
    }
    let rendered = error.render().to_string();
    let lines = rendered.lines().filter(|line| !line.trim().is_empty());
    let lines = lines.map(|line| match line.trim_start().split_once(": ") {
        Some(("tip", tip)) => format!("hint: {tip}"),
        _ if line.starts_with("For more information") => {
            "hint: for more information, try '--help'".into()
        }
        _ => line.to_owned(),
    });
    ui::say(&lines.collect::<Vec<_>>().join("\n"));
    Exit::FAILURE
}

/// Our own debug output, off unless asked for.
fn start_log(verbose: bool) {
    if verbose || std::env::var_os("SECCOMP_RUN_DEBUG").is_some() {
        env_logger::Builder::new()
            .filter_level(log::LevelFilter::Debug)
            .init();
    }
}
