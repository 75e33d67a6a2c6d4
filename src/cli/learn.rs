//! `--learn`: checks what was asked for, runs, and tells what was learned.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::args::Args;
use super::error::Error;
use super::ui::count;
use super::{input, progress, replica, ui};
use crate::action::Action;
use crate::arch::Arch;
use crate::command::Command;
use crate::estimate::Estimate;
use crate::evidence::Evidence;
use crate::exit::Exit;
use crate::learn::{self, Learned, Request, Setting, Start};
use crate::output::{Existing, Output};
use crate::profile::Profile;
use crate::recording::{Note, Recording};
use crate::sys::process;
use crate::syscall::Sysno;
use crate::trace::{COVERED, Knowledge, Known, Pace};

/// Where the profile goes when `-o` does not say.
const DEFAULT_OUTPUT: &str = "profile.json";

/// Learns what `command` does.
pub(super) fn run(args: &Args, command: Command) -> Result<Exit, Error> {
    let output = args.learning.output.as_deref();
    let output = output.unwrap_or(Path::new(DEFAULT_OUTPUT));
    let path = &replica::file(output);
    let again = if path == output {
        "learn again with --update".to_owned()
    } else {
        format!(
            "learn again, and merge the directory '{}'",
            output.display()
        )
    };
    if args.reading.is_given() {
        return Err(Error::new(
            "--dialect, --arg-width and --unknown say how a profile is enforced, not learned",
        )
        .hint("leave them out"));
    }
    if path == Path::new("-") {
        return Err(
            Error::new("the profile cannot go to standard output, which is the command's")
                .hint("name a file with -o FILE"),
        );
    }
    let output = Output::claim(path, existing(args, path))?;
    let base = base(args, path)?;
    let evidence = if args.learning.no_evidence {
        None
    } else {
        Some(evidence(args, path)?)
    };
    let setting = Setting {
        kernel: input::kernel_release(),
        filtered: process::is_filtered(),
    };
    if setting.filtered {
        ui::warn(
            "a seccomp filter is already in force here (a container's?): \
             what it denies shapes what the command does, and so what is learned",
        );
    }

    let known = base.as_ref().map(allowed).unwrap_or_default();
    let earlier = evidence.as_ref().map(|(_, evidence)| evidence);
    let start = start(args, command, base.as_ref(), earlier);
    let request = Request {
        output,
        base,
        portable: args.learning.portable,
        installer: args.learning.installer.unwrap_or_default().into(),
        evidence,
        setting,
        ticks: progress::ticks(args.learning.progress),
        asked: progress::asked,
    };
    let shown = path.display().to_string();
    let learned = learn::run(start, request)?;
    let lossy = tell(&learned, &known, &shown, &again);
    let exit = learned.end.map_or(Exit::TERMINATED, Exit::from);
    Ok(if lossy && args.strict {
        Exit::FAILURE
    } else {
        exit
    })
}

/// A profile that allows so many syscalls covers most programs' work.
const RICH: usize = 150;

/// How to start the command, with what is known about it.
fn start(
    args: &Args,
    command: Command,
    base: Option<&Profile>,
    evidence: Option<&Evidence>,
) -> Start {
    let calls = base.map(free).unwrap_or_default();
    let manner = args.learning.manner();
    let covered = evidence.map(covered).unwrap_or_default();
    let word = command.words.first().map(|word| word.to_string_lossy());
    let has_run = |evidence: &Evidence| {
        // A script runs as its interpreter: its name is all that both runs have in common.
        let mut words = evidence.runs.iter().map(|run| run.command.first());
        words.any(|first| first.map(String::as_str) == word.as_deref())
    };
    let is_covered = evidence.is_some_and(has_run)
        || std::fs::canonicalize(&command.file).is_ok_and(|file| covered.contains(&file));
    Start {
        filter_first: manner.pace == Pace::Auto
            && manner.may_inject()
            && (is_covered || calls.len() >= RICH),
        command,
        kept: Vec::new(),
        allow_new_privs: args.allow_new_privs,
        knowledge: Knowledge {
            base: Known {
                calls,
                threads: false,
            },
            covered,
        },
        manner,
    }
}

/// The programs that earlier runs have seen enough of.
fn covered(evidence: &Evidence) -> HashSet<PathBuf> {
    let executables = evidence.runs.iter().flat_map(|run| &run.executables);
    let paths: BTreeSet<&str> = executables.map(|known| known.path.as_str()).collect();
    let enough = paths
        .into_iter()
        .filter(|path| evidence.covers(path) >= COVERED);
    enough.map(PathBuf::from).collect()
}

/// The calls that a profile allows whatever their arguments, on every host.
fn free(profile: &Profile) -> BTreeSet<Sysno> {
    let names = profile.names_always_allowed();
    let archs = profile.architectures.iter().copied().chain([Arch::NATIVE]);
    archs
        .flat_map(|arch| {
            names
                .iter()
                .filter_map(move |name| Sysno::parse(arch, name))
        })
        .collect()
}

/// What is known before: the files of `--base`, and with `--update` the output file.
fn base(args: &Args, output: &Path) -> Result<Option<Profile>, Error> {
    let update = (args.learning.update && output.exists()).then_some(output);
    let files = args
        .learning
        .base
        .iter()
        .map(PathBuf::as_path)
        .chain(update);
    let mut all = None;
    for file in files {
        let name = file.display().to_string();
        let (profile, warnings) = input::read(file)?;
        input::tell(&name, &warnings, args.strict)?;
        // What is learned is added to it in the end. That this works is found out now, not after the run.
        let known = all
            .take()
            .unwrap_or_else(|| Profile::learned([Arch::NATIVE], []));
        let joined = Profile::union(&[known, profile]);
        all = Some(joined.map_err(|error| Error::from(error).about(&name))?);
    }
    Ok(all)
}

/// The names that a profile allows.
fn allowed(profile: &Profile) -> BTreeSet<String> {
    let rules = profile
        .rules
        .iter()
        .filter(|rule| rule.action == Action::Allow);
    rules
        .flat_map(|rule| &rule.names)
        .map(ToString::to_string)
        .collect()
}

/// Where the evidence goes, and with `--update` what is in it.
fn evidence(args: &Args, profile: &Path) -> Result<(Output, Evidence), Error> {
    let path = Evidence::path_for(profile);
    let output = Output::claim_beside(&path, existing(args, &path))?;
    let earlier = if args.learning.update {
        input::evidence(&path)?
    } else {
        None
    };
    Ok((output, earlier.unwrap_or_default()))
}

/// May this output file exist? What is to be updated and is not there yet must not come from elsewhere meanwhile.
fn existing(args: &Args, path: &Path) -> Existing {
    if args.learning.force || args.learning.update && path.exists() {
        Existing::Replace
    } else {
        Existing::Keep
    }
}

/// Says what came of it. Returns whether the recording has gaps.
fn tell(learned: &Learned, known: &BTreeSet<String>, path: &str, again: &str) -> bool {
    let Learned {
        recording,
        profile,
        took,
        ..
    } = learned;
    let Some(profile) = profile else {
        ui::warn("the command ended before it was executed; no profile was written");
        return false;
    };
    let observed: BTreeSet<String> = recording
        .calls()
        .into_iter()
        .map(|(sysno, _)| sysno.to_string())
        .collect();
    let new: Vec<&str> = observed.difference(known).map(String::as_str).collect();
    let all = allowed(profile);
    let seconds = took.as_secs_f64();
    if observed.is_empty() && recording.ran_free {
        ui::say(&format!(
            "learned nothing new in {seconds:.1} s: every syscall that was made was known, and ran free"
        ));
    } else {
        ui::say(&format!(
            "learned {} ({} new) from {}{} of {} in {seconds:.1} s",
            count(observed.len(), "syscall", "syscalls"),
            new.len(),
            // What is known is not counted where it runs free.
            if recording.ran_free { "at least " } else { "" },
            count(recording.total(), "call", "calls"),
            count(recording.tasks, "process", "processes and threads"),
        ));
    }
    if !new.is_empty() {
        ui::say(&format!("new: {}", new.join(" ")));
    }
    tell_refused(recording);
    ui::say(&format!(
        "wrote {path}: {}, {} of them known before or added for a reason that the profile states",
        count(all.len(), "syscall", "syscalls"),
        all.len().saturating_sub(observed.len()),
    ));
    if learned.cut_short {
        ui::warn(
            "learning was ended before the last process was; what it would have done since is not in the profile",
        );
    }
    if !learned.left.is_empty() {
        // A name is the process's choice.
        let left = learned.left.iter();
        let left: Vec<String> = left
            .map(|(pid, name)| format!("{pid} ({})", name.escape_debug()))
            .collect();
        ui::warn(&format!(
            "killed, but not gone yet, being frozen or in a system call that no signal interrupts: {}",
            left.join(", ")
        ));
    }
    if !learned.overruled.is_empty() {
        let names: Vec<&str> = learned.overruled.iter().map(String::as_str).collect();
        ui::warn(&format!(
            "the command made syscalls that the base denies by a rule; they are allowed now: {}",
            names.join(" ")
        ));
    }
    tell_architectures(recording);
    for note in &recording.notes {
        ui::warn(&note.to_string());
    }
    if recording.has_name("io_uring_setup") {
        ui::warn(
            "the command uses io_uring: operations in its rings are no syscalls, and no filter sees them",
        );
    }
    tell_sureness(learned.evidence.as_ref(), again);
    recording.notes.iter().any(Note::is_loss)
}

/// Says which calls never worked here: they are in the profile, and somewhere else they may do something.
fn tell_refused(recording: &Recording) {
    let refused = recording.refused();
    if refused.is_empty() {
        return;
    }
    let named = refused.iter().map(|(sysno, errnos)| {
        let errnos: Vec<String> = errnos.iter().map(|errno| format!("{errno:?}")).collect();
        format!("{sysno} ({})", errnos.join(", "))
    });
    ui::say(&format!(
        "refused each time, by the kernel or a filter, and in the profile all the same: {}",
        named.collect::<Vec<_>>().join(", ")
    ));
}

/// Says what the runs so far tell about the next one.
fn tell_sureness(evidence: Option<&Evidence>, again: &str) {
    let Some(evidence) = evidence else {
        ui::say("without evidence of the runs nothing can be said about the next");
        return;
    };
    let estimate = Estimate::of(evidence);
    let runs = estimate.runs();
    ui::say(&if runs > 1 {
        let syscalls = count(estimate.distinct, "syscall", "syscalls");
        format!("{syscalls} in {runs} runs; {estimate}")
    } else {
        format!("{estimate}: {again}")
    });
}

fn tell_architectures(recording: &Recording) {
    for arch in Arch::ALL.into_iter().filter(|&arch| arch != Arch::NATIVE) {
        if recording.has_arch(arch) {
            ui::warn(&format!(
                "{arch} calls were made, so the profile opens that architecture too: every syscall it allows by \
                 name is allowed there as well"
            ));
        }
    }
}
