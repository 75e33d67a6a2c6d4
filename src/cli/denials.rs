//! What a report says at the end: the denied calls as a table, and what to do about them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::ui::{self, count};
use crate::action::Action;
use crate::arch::Arch;
use crate::convert::denied;
use crate::denials::{Denial, Hides, Report};
use crate::policy::Reason;
use crate::profile::Profile;

/// So many kinds of calls are shown.
const ROWS: usize = 40;

/// What the next step needs to know.
pub(super) struct Context<'a> {
    /// The profile's file.
    pub(super) profile: &'a Path,
    /// The report's file, if there is one.
    pub(super) file: Option<&'a Path>,
    /// The words of the command.
    pub(super) command: &'a [OsString],
}

/// Tells it.
pub(super) fn tell(report: &Report, context: &Context<'_>) {
    ui::say(&text(report, context));
}

fn text(report: &Report, context: &Context<'_>) -> String {
    let kinds = report.ledger.sorted();
    let mut lines = Vec::new();
    if kinds.is_empty() {
        lines.push("report: nothing was denied".to_owned());
    } else {
        lines.push(summary(report, &kinds));
        lines.append(&mut table(&kinds));
        if report.ledger.others > 0 {
            let calls = count(report.ledger.others, "call", "calls");
            lines.push(format!(
                "  and {calls} of more kinds than can be kept apart"
            ));
        }
        lines.append(&mut next_steps(&kinds, context));
    }
    for (hides, executable) in &report.ledger.unseen {
        lines.push(format!("note: {}", hidden(*hides, executable)));
    }
    if report.spared > 0 {
        let calls = count(report.spared, "call", "calls");
        lines.push(format!(
            "warning: {calls} failed with EPERM, because their process could not be killed as the profile wants"
        ));
    }
    if report.lines_lost > 0 {
        let lost = count(report.lines_lost, "line", "lines");
        lines.push(format!(
            "warning: {lost} of the report could not be written"
        ));
    }
    lines.join("\n")
}

/// How many calls of which kind of answer.
fn summary(report: &Report, kinds: &[&Denial]) -> String {
    let total = count(report.ledger.total(), "call", "calls");
    let (mut ran, mut denied) = (BTreeSet::new(), BTreeSet::new());
    for kind in kinds {
        let names = if kind.action().runs() {
            &mut ran
        } else {
            &mut denied
        };
        names.insert(name(kind));
    }
    let of = |names: &BTreeSet<String>| count(names.len(), "syscall", "syscalls");
    match (denied.is_empty(), ran.is_empty()) {
        (false, true) => format!("report: {total} of {} denied", of(&denied)),
        (true, _) => format!("report: {total} of {} would have been denied", of(&ran)),
        (false, false) => format!(
            "report: {total}: {} denied, {} would have been denied",
            of(&denied),
            of(&ran)
        ),
    }
}

fn table(kinds: &[&Denial]) -> Vec<String> {
    let head = ["TIMES", "CALL", "ANSWER", "RULE", "BY", "AT"].map(str::to_owned);
    let row = |kind: &&Denial| {
        let place = kind.place.as_ref();
        [
            kind.count.to_string(),
            kind.call.clone(),
            kind.action().to_string(),
            kind.reason().to_string(),
            by(kind),
            place.map_or(String::new(), |place| {
                let file = Path::new(&place.library).file_name().unwrap_or_default();
                let file: String = file.to_string_lossy().chars().map(plain).collect();
                format!("{file}+{:#x}", place.offset)
            }),
        ]
    };
    let shown = kinds.iter().take(ROWS).map(row);
    let rows: Vec<[String; 6]> = [head].into_iter().chain(shown).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            line.push_str("  ");
            // Numbers to the right. Writing to a string cannot fail.
            if at == 0 {
                let _ = write!(line, "{cell:>width$}");
            } else {
                let _ = write!(line, "{cell:<width$}");
            }
        }
        line.trim_end().to_owned()
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    if kinds.len() > ROWS {
        let more = count(kinds.len() - ROWS, "more kind", "more kinds");
        lines.push(format!("  and {more} of calls; --report=FILE has them all"));
    }
    lines
}

fn name(kind: &Denial) -> String {
    match kind.sysno() {
        Some(sysno) if sysno.arch == Arch::NATIVE => sysno.to_string(),
        Some(sysno) => format!("{}:{sysno}", sysno.arch),
        None => format!("syscall_{}", kind.nr()),
    }
}

/// The executable and, where it has a name of its own, the thread. Programs choose both.
fn by(kind: &Denial) -> String {
    let plain = |text: &str| -> String { text.chars().map(plain).collect() };
    let executable = plain(kind.executable());
    let thread = plain(&kind.thread);
    let file = executable.rsplit('/').next().unwrap_or_default();
    // The kernel cuts names to 15 bytes.
    let own = !thread.is_empty() && !file.starts_with(&thread);
    match (executable.is_empty(), own) {
        (true, _) => thread,
        (false, true) => format!("{executable} ({thread})"),
        (false, false) => executable,
    }
}

/// A control character would reach the terminal.
fn plain(c: char) -> char {
    if c.is_control() { '?' } else { c }
}

fn next_steps(kinds: &[&Denial], context: &Context<'_>) -> Vec<String> {
    // Control characters are ours to keep from the terminal, not ours to name.
    let shown = |path: &Path| -> String {
        let word = quoted(path.as_os_str().as_bytes());
        word.chars().map(plain).collect()
    };
    let profile = shown(context.profile);
    let command = command(context.command);
    let (ruled, others): (Vec<&Denial>, Vec<&Denial>) = kinds
        .iter()
        .partition(|kind| matches!(kind.reason(), Reason::Rule(_)));
    let mut lines = Vec::new();
    if !ruled.is_empty() {
        lines.push("what a rule (syscalls[...]) answers is meant so; should it run, take it out of that rule by hand".to_owned());
    }
    if !others.is_empty() {
        lines.push("to allow what the program needs, learn it in another run:".to_owned());
        lines.push(format!(
            "  seccomp-run --learn --update -o {profile} -- {command}"
        ));
        let all = if ruled.is_empty() {
            "all of the above"
        } else {
            "what no rule answers"
        };
        if let Some(file) = context.file {
            lines.push(format!("or take over {all}:"));
            let file = shown(file);
            lines.push(format!(
                "  seccomp-run merge {profile} {file} --force -o {profile}"
            ));
        } else if let Some(patch) = denied::profile(others.into_iter().filter_map(denied::Call::of))
        {
            lines.push(format!(
                "or add {all} (--report=FILE writes what merge takes):"
            ));
            lines.extend(rules(&patch).map(|rule| format!("  {rule}")));
        }
    }
    if kinds.iter().any(|kind| kind.action() == Action::Log) {
        lines.push("--log let these calls run: nothing is enforced yet".to_owned());
    }
    lines
}

/// The command as the shell takes it, or its beginning where it is long.
fn command(words: &[OsString]) -> String {
    const SHOWN: usize = 200;
    let words: Vec<String> = words.iter().map(|word| quoted(word.as_bytes())).collect();
    let whole = words.join(" ");
    if whole.len() <= SHOWN && !whole.contains(char::is_control) {
        return whole;
    }
    let first = words.into_iter().next().unwrap_or_default();
    if first.len() > SHOWN || first.contains(char::is_control) {
        return "...".to_owned();
    }
    format!("{first} ...")
}

/// The rules of a profile, each as one line of JSON.
fn rules(profile: &Profile) -> impl Iterator<Item = String> {
    let json: serde_json::Value = serde_json::from_str(&profile.to_json()).unwrap_or_default();
    let rules = json
        .get("syscalls")
        .and_then(|rules| rules.as_array().cloned());
    rules
        .unwrap_or_default()
        .into_iter()
        .map(|rule| rule.to_string())
}

/// A word for the shell.
fn quoted(word: &[u8]) -> String {
    let quoted = shlex::bytes::try_quote(word).map(Cow::into_owned);
    // Only a null byte cannot be quoted, and no word of a command line has one.
    String::from_utf8_lossy(&quoted.unwrap_or_default()).into_owned()
}

fn hidden(hides: Hides, executable: &str) -> String {
    let executable: String = executable.chars().map(plain).collect();
    match hides {
        Hides::Ring => format!(
            "{executable} made an io_uring: operations in it are no syscalls, and neither filtered nor reported"
        ),
        Hides::OwnFilter => format!(
            "{executable} installed a seccomp filter of its own: what that one denies is not reported"
        ),
    }
}
