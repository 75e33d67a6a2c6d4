//! `extras`: manual pages and shell completions, made from the definition of the command line.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::args::Args as Modes;
use super::error::Error;
use super::ui;
use super::verbs::Verbs;
use crate::exit::Exit;
use crate::output::{Existing, Output};

const NAME: &str = "seccomp-run";

/// Where each shell looks below a `share` directory. All three look in `/usr/local/share` and `/usr/share`.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions/seccomp-run"),
    (Shell::Zsh, "zsh/site-functions/_seccomp-run"),
    (Shell::Fish, "fish/vendor_completions.d/seccomp-run.fish"),
];

/// What help has no place for.
const FILES: &str = "\
Files:
  profile.json         the profile that --learn writes, where -o names no other
  NAME.evidence.json   beside the profile NAME.json: what each learning run saw; --update adds a run. compile, explain, \
check, merge and report read it";

/// The order of a page's sections after its options, as man-pages(7) has it.
const ORDER: [&str; 4] = ["EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES"];

/// Write manual pages and shell completions
///
/// Below DIR, such as /usr/local/share: man/man1, bash-completion/completions, zsh/site-functions and
/// fish/vendor_completions.d. Directories are made, and older files replaced.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "the comment is the help text")]
pub(super) struct Args {
    /// The directory, which may be that of an image or a package
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Exit, Error> {
    let mut count = 0_usize;
    for (name, content) in files()? {
        put(&args.dir.join(name), &content)?;
        count += 1;
    }
    let files = ui::count(count, "file", "files");
    ui::say(&format!("wrote {files} below {}", args.dir.display()));
    Ok(Exit::SUCCESS)
}

fn put(path: &Path, content: &[u8]) -> Result<(), Error> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|error| {
            Error::new(format!(
                "cannot make directory '{}': {error}",
                dir.display()
            ))
        })?;
    }
    Ok(Output::claim(path, Existing::Replace)?.write(content)?)
}

/// The whole command line as one: the modes, and the verbs that stand in their place.
fn whole() -> Command {
    let verbs = Verbs::command();
    let shown = verbs.get_subcommands().filter(|verb| !verb.is_hide_set());
    let mut whole = Modes::command()
        .subcommands(shown.cloned())
        .subcommand_help_heading("TOOLS")
        .disable_help_subcommand(true);
    whole.build();
    whole
}

/// The same without what is hidden: `clap_complete` does not leave it out.
fn shown() -> Command {
    let whole = whole();
    let is_clap_s = |arg: &clap::Arg| ["help", "version"].contains(&arg.get_id().as_str());
    let arguments = whole
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !is_clap_s(arg));
    Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .args(arguments.cloned())
        .subcommands(whole.get_subcommands().cloned())
        .disable_help_subcommand(true)
}

/// All files: where below the directory, and what is in them.
fn files() -> Result<Vec<(PathBuf, Vec<u8>)>, Error> {
    let mut files = Vec::new();
    let main = whole();
    for verb in main.get_subcommands() {
        let page = format!("{NAME}-{}", verb.get_name());
        files.push((man(&page), page_of(verb, &page)?));
    }
    files.push((man(NAME), page_of(&main, NAME)?));
    for (shell, place) in COMPLETIONS {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut shown(), NAME, &mut script);
        // clap#6421: two spellings of a name with a hyphen, and no verb's flags are completed.
        let script = String::from_utf8_lossy(&script);
        let script = script.replace("seccomp__subcmd__run", "seccomp__run");
        files.push((place.into(), script.into_bytes()));
    }
    Ok(files)
}

fn man(page: &str) -> PathBuf {
    format!("man/man1/{page}.1").into()
}

/// A page: what clap knows, then the sections that are text of the help.
fn page_of(command: &Command, name: &str) -> Result<Vec<u8>, Error> {
    let page = Man::new(command.clone());
    // Not clap's: an empty date would let what follows move up.
    let mut text = format!(
        ".TH {} 1 \"\" \"{NAME} {}\" \"User Commands\"\n",
        name.to_uppercase(),
        env!("CARGO_PKG_VERSION")
    )
    .into_bytes();
    let has_verbs = command.has_subcommands();
    let help = command.get_after_long_help();
    let help = help.map(ToString::to_string).unwrap_or_default();
    let files = if has_verbs { FILES } else { "" };
    let written = page
        .render_name_section(&mut text)
        .and_then(|()| page.render_synopsis_section(&mut text))
        .and_then(|()| page.render_description_section(&mut text))
        .and_then(|()| page.render_options_section(&mut text))
        .and_then(|()| {
            if has_verbs {
                page.render_subcommands_section(&mut text)?;
            }
            Ok(())
        })
        .and_then(|()| sections(&format!("{help}\n{files}"), name).to_writer(&mut text));
    // Writing to memory does not fail.
    written.map_err(|error| Error::new(format!("cannot make the page {name}: {error}")))?;
    Ok(paragraphs(&text))
}

/// One entry of a section: what it is about, and the words on it.
struct Entry<'a> {
    term: &'a str,
    words: Vec<&'a str>,
}

/// A part of the help that has a heading.
struct Section<'a> {
    title: String,
    /// What the heading says besides.
    lead: Option<&'a str>,
    entries: Vec<Entry<'a>>,
}

/// The parts of the help after the options: a heading ends with a colon and is not set in; an entry is, and
/// its words follow after more than one blank or on lines that are set in further.
fn parts(help: &str) -> Vec<Section<'_>> {
    let mut parts: Vec<Section<'_>> = Vec::new();
    for line in help.lines().filter(|line| !line.trim().is_empty()) {
        let inside = line.trim_start();
        let entries = parts.last_mut().map(|section| &mut section.entries);
        match (line.len() - inside.len(), entries) {
            (0, _) => {
                let heading = line.trim_end_matches(':');
                let (title, lead) = match heading.split_once(", ") {
                    Some((title, lead)) => (title, Some(lead)),
                    None => (heading, None),
                };
                parts.push(Section {
                    title: title.replace("Exit codes", "Exit status").to_uppercase(),
                    lead,
                    entries: Vec::new(),
                });
            }
            (1..=2, Some(entries)) => {
                let (term, words) = inside.split_once("  ").unwrap_or((inside, ""));
                let words = Some(words.trim_start()).filter(|words| !words.is_empty());
                entries.push(Entry {
                    term,
                    words: words.into_iter().collect(),
                });
            }
            (_, Some(entries)) => {
                if let Some(entry) = entries.last_mut() {
                    entry.words.push(inside);
                }
            }
            (_, None) => {}
        }
    }
    parts
}

fn sections(help: &str, name: &str) -> Roff {
    let mut roff = Roff::new();
    let parts = parts(help);
    for section in ORDER
        .iter()
        .flat_map(|title| parts.iter().filter(move |part| part.title == *title))
    {
        roff.control("SH", [section.title.as_str()]);
        if let Some(lead) = section.lead {
            roff.text([roman(format!("{}:", capitalised(lead)))]);
        }
        for entry in &section.entries {
            roff.control("TP", []);
            roff.text([bold(entry.term)]);
            roff.text([roman(entry.words.join(" "))]);
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    let others = if name == NAME {
        "seccomp(2), ptrace(2), capabilities(7)"
    } else {
        "seccomp-run(1)"
    };
    roff.text([roman(others)]);
    roff
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

/// What mandoc(1) complains about in what clap writes: blank lines between paragraphs, which are a macro in roff,
/// and breaks after breaks.
fn paragraphs(page: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(page);
    let mut lines = text.lines().peekable();
    let mut out = String::new();
    while let Some(line) = lines.next() {
        match line {
            "" if lines.peek().is_none_or(|next| next.starts_with('.')) => {}
            ".br" if out.ends_with("\n.br\n") => {}
            "" => out.push_str(".sp\n"),
            line => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str) -> String {
        let files = files().unwrap();
        let found = files.iter().find(|(path, _)| *path == man(name));
        String::from_utf8(found.unwrap().1.clone()).unwrap()
    }

    #[test]
    fn every_flag_is_in_its_page() {
        let main = whole();
        let mut checked = 0;
        let pages = main
            .get_subcommands()
            .map(|verb| (format!("{NAME}-{}", verb.get_name()), verb))
            .chain([(NAME.to_owned(), &main)]);
        for (name, command) in pages {
            let page = page(&name);
            let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
            for long in shown.filter_map(clap::Arg::get_long) {
                let item = format!("\\fB\\-\\-{}\\fR", long.replace('-', "\\-"));
                let listed = page.lines().any(|line| line.contains(&item));
                assert!(listed, "{name} lacks --{long}\n{page}");
                checked += 1;
            }
            assert!(
                !page.contains("inject"),
                "{name} has what is for tests only"
            );
        }
        assert!(checked > 60, "{checked}");
    }

    #[test]
    fn scripts_complete_what_is_for_people() {
        for (path, content) in files().unwrap() {
            let text = String::from_utf8(content).unwrap();
            assert!(!text.contains("inject"), "{}", path.display());
            if COMPLETIONS
                .iter()
                .any(|(_, place)| path == Path::new(place))
            {
                for word in ["transparent", "report", "severity", "help", "version"] {
                    assert!(text.contains(word), "{} lacks {word}", path.display());
                }
            }
        }
    }

    #[test]
    fn the_sections_of_the_help_are_the_pages() {
        let page = page(NAME);
        let mut at = 0;
        for part in [
            ".SH NAME",
            ".SH SYNOPSIS",
            ".SH OPTIONS",
            ".SH LEARNING",
            ".SH TOOLS",
            "seccomp\\-run\\-merge(1)",
            ".SH \"EXIT STATUS\"",
            "\\fB125\\fR",
            ".SH ENVIRONMENT",
            "\\fBSECCOMP_RUN_MODE\\fR",
            ".SH FILES",
            "NAME.evidence.json",
            ".SH EXAMPLES",
            ".SH \"SEE ALSO\"",
        ] {
            let found = page[at..].find(part);
            assert!(found.is_some(), "{part} is not in its place\n{page}");
            at += found.unwrap();
        }
    }

    #[test]
    fn help_is_taken_apart() {
        let help =
            "Files, of ours:\n  a   one\n      two\n  b\nExit codes:\n  0 to 9\n        all\n";
        let found: Vec<_> = parts(help)
            .into_iter()
            .map(|part| {
                let entries = part.entries.iter();
                let entries: Vec<_> = entries.map(|e| (e.term, e.words.join(" "))).collect();
                (part.title, part.lead, entries)
            })
            .collect();
        let entry = |term, words: &str| (term, words.to_owned());
        assert_eq!(
            found,
            [
                (
                    "FILES".to_owned(),
                    Some("of ours"),
                    vec![entry("a", "one two"), entry("b", "")]
                ),
                ("EXIT STATUS".to_owned(), None, vec![entry("0 to 9", "all")]),
            ]
        );
    }
}
