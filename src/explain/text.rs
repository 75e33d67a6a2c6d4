//! The explanation for people.

use std::fmt;

use super::{Explanation, Place, Seen, Share};

/// Lists are broken before this column.
const WIDTH: usize = 100;

/// How far lists are set in.
const INDENT: usize = 4;

/// A longer list than this of what another profile has tells a person nothing.
const LISTED: usize = 60;

/// So many of the most frequent calls are shown.
const FREQUENT: usize = 12;

/// So many programs are told apart.
const PROGRAMS: usize = 10;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.groups(f)?;
        self.conditions(f)?;
        self.dangers(f)?;
        self.origins(f)?;
        self.runs(f)?;
        self.other(f)
    }
}

impl Explanation {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arches: Vec<String> = self.arches.iter().map(ToString::to_string).collect();
        let (allowed, total) = (self.allowed(), self.total());
        let percent = allowed.saturating_mul(100).checked_div(total).unwrap_or(0);
        writeln!(
            f,
            "{}: allows {allowed} of the {total} syscalls of {} ({percent} %); all others get {}",
            self.name,
            arches.join(", "),
            self.default
        )?;
        if let Some(action) = self.newer {
            writeln!(f, "Numbers newer than every call it names get {action}.")?;
        }
        writeln!(f, "Calls of any other architecture get {}.", self.bad_arch)?;
        if self.default.runs() {
            writeln!(f, "This is a denylist: what it does not name runs.")?;
        }
        if !self.unnamed.is_empty() {
            writeln!(
                f,
                "Calls without a name are allowed too: {}",
                self.unnamed.join(" ")
            )?;
        }
        Ok(())
    }

    fn groups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(beside) = &self.beside {
            writeln!(
                f,
                "\nIn brackets: what {} allows ({}).",
                beside.name, beside.allowed
            )?;
        }
        for share in &self.groups {
            let allowed = share.always.len() + share.sometimes.len();
            let beside = share
                .beside
                .map_or_else(String::new, |count| format!(" [{count}]"));
            writeln!(
                f,
                "\n{} ({}): {allowed} of {}{beside}",
                share.group,
                share.group.purpose(),
                share.total()
            )?;
            share.list(f)?;
        }
        let sometimes = self.groups.iter().any(|share| !share.sometimes.is_empty());
        if sometimes {
            writeln!(f, "\n* with some arguments only")?;
        }
        Ok(())
    }

    fn conditions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.conditions.is_empty() {
            writeln!(f, "\nDepends on arguments:")?;
        }
        for rule in &self.conditions {
            writeln!(
                f,
                "    {}: {} when {}{}",
                plain(&rule.names.join(" ")),
                rule.action,
                rule.when,
                rule.place
            )?;
        }
        if !self.answers.is_empty() {
            writeln!(f, "\nAnswered in another way:")?;
        }
        for rule in &self.answers {
            writeln!(
                f,
                "    {}: {}{}",
                plain(&rule.names.join(" ")),
                rule.action,
                rule.place
            )?;
        }
        Ok(())
    }

    fn dangers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dangers.is_empty() {
            writeln!(f, "\nNothing that it grants is known to be dangerous.")?;
        } else {
            writeln!(f, "\nDangerous, if it is not needed:")?;
        }
        for danger in &self.dangers {
            let value = danger
                .value
                .map_or_else(String::new, |value| format!(" with {value}"));
            // With a value it is said already that arguments decide.
            let star = if danger.sometimes && danger.value.is_none() {
                "*"
            } else {
                ""
            };
            writeln!(
                f,
                "    {}{star}{value}: {}",
                danger.names.join(" "),
                danger.why
            )?;
        }
        if !self.notes.is_empty() {
            writeln!(f, "\nWorth knowing:")?;
        }
        for note in &self.notes {
            writeln!(f, "    {note}")?;
        }
        Ok(())
    }

    fn origins(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.added.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\nWithout a comment, as what was observed: {}. With one:",
            self.observed
        )?;
        for added in &self.added {
            writeln!(f, "    {}", plain(&added.reason))?;
            list(f, &added.names, 2 * INDENT)?;
        }
        Ok(())
    }

    fn runs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(seen) = &self.evidence else {
            return Ok(());
        };
        writeln!(f, "\nLearned from {} run(s):", seen.runs.len())?;
        for run in &seen.runs {
            let loss = if run.complete { "" } else { "; incomplete" };
            let free = if run.free {
                "; known calls ran free"
            } else {
                ""
            };
            writeln!(
                f,
                "    {} calls of {} syscalls seen, {} task(s), Linux {}{loss}{free}: {}",
                run.calls,
                run.distinct,
                run.tasks,
                plain(&run.kernel),
                plain(&run.command)
            )?;
        }
        certainty(f, seen)?;
        let shown = |need: &super::Need| {
            let runs = if seen.runs.len() > 1 {
                format!(", {}", need.runs)
            } else {
                String::new()
            };
            format!("{} ({}{runs})", need.name, need.count)
        };
        let frequent: Vec<String> = seen.needs.iter().take(FREQUENT).map(shown).collect();
        let what = if seen.runs.len() > 1 {
            "calls seen, runs"
        } else {
            "calls seen"
        };
        writeln!(f, "  most often ({what}):")?;
        list(f, &frequent, INDENT)?;
        // A run in which known calls ran free may have made any of them.
        if seen.runs.len() > 1 && seen.estimate.shared.is_some() {
            let once = seen.needs.iter().filter(|need| need.runs == 1);
            let once: Vec<String> = once.map(|need| need.name.clone()).collect();
            if !once.is_empty() {
                writeln!(f, "  in one run only:")?;
                list(f, &once, INDENT)?;
            }
        }
        programs(f, seen)?;
        if !seen.unseen.is_empty() {
            writeln!(f, "  allowed without a comment, and made by no run:")?;
            list(f, &seen.unseen, INDENT)?;
        }
        if !seen.denied.is_empty() {
            writeln!(f, "  made by a run, and not allowed:")?;
            list(f, &seen.denied, INDENT)?;
        }
        Ok(())
    }

    fn other(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(beside) = &self.beside else {
            return Ok(());
        };
        for (names, whose) in [
            (
                &beside.only_here,
                format!("\nNot allowed by {}", beside.name),
            ),
            (
                &beside.only_there,
                format!("\nAllowed by {} only", beside.name),
            ),
        ] {
            if names.len() > LISTED {
                let count = names.len();
                writeln!(f, "{whose}: {count}, which --format json lists")?;
                continue;
            }
            writeln!(f, "{whose}: {}", names.len())?;
            list(f, names, INDENT)?;
        }
        Ok(())
    }
}

fn certainty(f: &mut fmt::Formatter<'_>, seen: &Seen) -> fmt::Result {
    let estimate = &seen.estimate;
    writeln!(
        f,
        "  how sure: {} syscalls in {} run(s); {estimate}",
        estimate.distinct,
        estimate.runs()
    )?;
    if let Some(missing) = estimate.missing().filter(|&missing| missing >= 0.5) {
        writeln!(
            f,
            "    at least {missing:.0} more would show in further runs (Chao2)"
        )?;
    }
    Ok(())
}

/// Which program needed what: all of one, or what tells several apart.
fn programs(f: &mut fmt::Formatter<'_>, seen: &Seen) -> fmt::Result {
    if let [only] = seen.programs.as_slice() {
        return writeln!(f, "  all made by {}", plain(&only.path));
    }
    if !seen.programs.is_empty() {
        writeln!(f, "  by program (syscalls), and what no other made:")?;
    }
    for program in seen.programs.iter().take(PROGRAMS) {
        writeln!(f, "    {} ({})", plain(&program.path), program.calls)?;
        list(f, &program.alone, 2 * INDENT)?;
    }
    match seen.programs.len().checked_sub(PROGRAMS) {
        Some(more) if more > 0 => writeln!(f, "    {more} more, which --format json lists"),
        _ => Ok(()),
    }
}

impl Share {
    /// The names, or where that is much shorter those that are missing.
    fn list(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let starred = self.sometimes.iter().map(|name| format!("{name}*"));
        let few_are_missing = self.never.len() * 4 < self.always.len();
        if !few_are_missing {
            let mut names: Vec<String> = self.always.iter().cloned().chain(starred).collect();
            names.sort_unstable();
            return list(f, &names, INDENT);
        }
        if self.never.is_empty() && self.sometimes.is_empty() {
            return writeln!(f, "    all");
        }
        if !self.never.is_empty() {
            writeln!(f, "    all but:")?;
            list(f, &self.never, 2 * INDENT)?;
        }
        let starred: Vec<String> = starred.collect();
        list(f, &starred, INDENT)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, " ({path}, line {})", self.at.line),
            None => Ok(()),
        }
    }
}

/// A text of the profile or the evidence, which must not write to the terminal by itself.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).collect()
}

/// Words in lines.
fn list(f: &mut fmt::Formatter<'_>, words: &[impl AsRef<str>], indent: usize) -> fmt::Result {
    let mut column = 0;
    for word in words {
        let word = plain(word.as_ref());
        if column > 0 && column + 1 + word.len() > WIDTH {
            writeln!(f)?;
            column = 0;
        }
        if column == 0 {
            write!(f, "{:indent$}{word}", "")?;
            column = indent + word.len();
        } else {
            write!(f, " {word}")?;
            column += 1 + word.len();
        }
    }
    if column > 0 { writeln!(f) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_holds_cannot_write_to_the_terminal() {
        assert_eq!(plain("a\u{1b}[2J\nb"), "a [2J b");
        assert_eq!(plain("plain \u{e9}"), "plain \u{e9}");
    }
}
