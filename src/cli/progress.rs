//! How far learning has come: one line on the terminal, rewritten in place, and the same line for whoever asks.
//!
//! The line goes to the controlling terminal itself, not to a stream of the command, and only while we are in its
//! foreground. By itself it appears only where nothing that the command writes can end up on that terminal:
//! when its standard output and error are regular files or `/dev/null`. A pipe may lead back to the terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};

use nix::unistd::{getpgrp, tcgetpgrp};

use super::ui::{self, count};
use crate::learn::{SoFar, Tick};

/// Where there is no telling how wide the terminal is.
const USUAL_WIDTH: usize = 80;

/// What is to be called about once a second, if anything. `asked_for`: by `--progress`.
///
/// To be asked before the command is started, which changes what our standard output is.
pub(super) fn ticks(asked_for: bool) -> Option<Tick> {
    let there = terminal().is_some();
    if asked_for && !there {
        ui::warn("--progress: there is no terminal; send SIGUSR1 to see the line once");
    }
    let elsewhere = || goes_elsewhere(io::stdout()) && goes_elsewhere(io::stderr());
    if !there || !(asked_for || elsewhere()) {
        return None;
    }
    let mut line = Line::default();
    Some(Box::new(move |so_far| line.show(&text(so_far))))
}

/// Somebody wants to know, now.
pub(super) fn asked(so_far: &SoFar) {
    ui::say(&text(so_far));
}

fn text(so_far: &SoFar) -> String {
    let SoFar {
        syscalls,
        newest,
        processes,
        chance,
    } = so_far;
    let chance = match chance {
        // No chance is certainly none.
        Some(chance) if *chance <= 0.0 => "low".to_owned(),
        Some(chance) => format!("{:.0} %", (chance * 100.0).ceil()),
        None => "?".to_owned(),
    };
    format!(
        "{}, newest {} s ago, {}, chance of more: {chance}",
        count(*syscalls, "syscall", "syscalls"),
        newest.as_secs(),
        count(*processes, "process", "processes"),
    )
}

/// The controlling terminal, in a way that never makes us wait for it.
fn terminal() -> Option<File> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
    let mut options = OpenOptions::new();
    let opened = options.write(true).custom_flags(flags).open("/dev/tty");
    opened.ok()
}

/// Is it sure that what is written there does not end up on a terminal?
fn goes_elsewhere(stream: impl AsFd) -> bool {
    let meta = stream
        .as_fd()
        .try_clone_to_owned()
        .and_then(|fd| File::from(fd).metadata());
    meta.is_ok_and(|meta| {
        let null = || std::fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == meta.rdev());
        meta.is_file() || (meta.file_type().is_char_device() && null())
    })
}

/// The line as it stands on the terminal; it is erased in the end.
#[derive(Default)]
struct Line {
    /// Opened when it is first needed: what was open when the command started is closed.
    terminal: Option<File>,
    /// How many columns are written.
    columns: usize,
}

impl Line {
    fn show(&mut self, text: &str) {
        if self.terminal.is_none() {
            self.terminal = terminal();
        }
        let Some(terminal) = &self.terminal else {
            return;
        };
        let width = terminal_size::terminal_size_of(terminal)
            .map_or(USUAL_WIDTH, |(width, _)| usize::from(width.0));
        // The last column would break the line.
        let shown: String = format!("seccomp-run: {text}")
            .chars()
            .take(width.saturating_sub(1))
            .collect();
        if self.put(&shown) {
            self.columns = shown.chars().count();
        }
    }

    /// Writes over what is there, and goes back to the first column: what somebody else may write begins there.
    fn put(&self, text: &str) -> bool {
        let Some(mut terminal) = self.terminal.as_ref() else {
            return false;
        };
        let in_foreground = tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp());
        let line = format!("\r{text:columns$}\r", columns = self.columns);
        // A terminal that takes nothing now gets the next line.
        in_foreground && terminal.write_all(line.as_bytes()).is_ok()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.columns > 0 {
            self.put("");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_line_fits_on_a_usual_terminal() {
        let line = |chance| {
            let so_far = SoFar {
                syscalls: 128,
                newest: Duration::from_millis(999_999),
                processes: 99,
                chance,
            };
            format!("seccomp-run: {}", text(&so_far))
        };
        let want =
            "seccomp-run: 128 syscalls, newest 999 s ago, 99 processes, chance of more: 34 %";
        assert_eq!(line(Some(0.333)), want);
        assert!(want.len() < USUAL_WIDTH, "{}", want.len());
        assert!(line(None).ends_with(": ?") && line(Some(0.0)).ends_with(": low"));
    }

    #[test]
    fn only_files_and_nothing_are_elsewhere() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert!(!goes_elsewhere(&writer), "it may lead back");
        assert!(goes_elsewhere(File::open("/dev/null").unwrap()));
        assert!(!goes_elsewhere(File::open("/dev/zero").unwrap()));
        assert!(goes_elsewhere(tempfile::tempfile().unwrap()));
    }
}
