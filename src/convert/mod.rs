//! The same rules in other forms: what containers, orchestrators and systemd take, and what the logs of
//! strace and the kernel's audit and our own reports show.
//!
//! Pure functions, one file for each form: text to profile or recording, profile to text. What a form cannot
//! say is an error ([`Inexpressible`]), and so is a text that cannot be understood ([`Unreadable`]): a rule
//! that is dropped silently opens a filter, or breaks a program.

pub(crate) mod audit;
pub(crate) mod compose;
pub(crate) mod denied;
mod form;
pub(crate) mod kubernetes;
pub(crate) mod oci;
pub(crate) mod spo;
pub(crate) mod strace;
pub(crate) mod systemd;

pub(crate) use form::Form;

use crate::profile::{Dialect, Position, Profile};
use crate::syscall::{self, Name};

/// Something that a profile says and a form has no words for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", Field(field))]
pub(crate) struct Inexpressible {
    /// The rule, or [`Position::NOWHERE`] when it is about the profile as a whole.
    pub(crate) at: Position,
    /// The field of the rule or the profile; may be empty.
    field: &'static str,
    what: String,
}

struct Field<'a>(&'a str);

impl std::fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, "{}: ", self.0)
    }
}

impl Inexpressible {
    fn new(at: Position, field: &'static str, what: impl Into<String>) -> Self {
        Self {
            at,
            field,
            what: what.into(),
        }
    }

    fn whole(field: &'static str, what: impl Into<String>) -> Self {
        Self::new(Position::NOWHERE, field, what)
    }

    /// The way to the rule from the top of the profile, such as `syscalls[3]`; `None` when it is not about
    /// a rule that was read from a file.
    pub(crate) fn rule(&self, profile: &Profile) -> Option<String> {
        let at = |place: Position| (place.line, place.column);
        let mut rules = profile.rules.iter();
        let index = rules.position(|rule| self.at.line > 0 && at(rule.at) == at(self.at))?;
        Some(format!("syscalls[{index}]"))
    }
}

/// Why a text is not of the form that it should have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Unreadable {
    /// The line, from 1; 0 when it is about the text as a whole.
    pub(crate) line: usize,
    what: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Unreadable {
    fn new(line: usize, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Refuses `syscall_470`, which only this program reads as a number.
fn only_names(profile: &Profile) -> Result<(), Inexpressible> {
    for rule in &profile.rules {
        let unnamed = |name: &&Name| syscall::parse_unnamed(name).is_some();
        if let Some(name) = rule.names.iter().find(unnamed) {
            let what =
                format!("{name} is a number without a name, and other readers know names only");
            return Err(Inexpressible::new(rule.at, "names", what));
        }
    }
    Ok(())
}

/// Refuses what a reader of this dialect would pass over, so that the rules meant something else to it.
pub(crate) fn nothing_ignored(profile: &Profile, dialect: Dialect) -> Result<(), Inexpressible> {
    match dialect.ignored(profile).first() {
        Some(warning) => Err(Inexpressible::new(
            warning.at,
            "",
            warning.about.to_string(),
        )),
        None => Ok(()),
    }
}

/// A quoted piece of a text for a message: control characters replaced, cut when long.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 48;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.chars().take(SHOWN).map(plain).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    format!("'{shown}'")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arch::Arch;

    /// Words that lead the readers deep into their grammars.
    const WORDS: [&str; 26] = [
        "execve(",
        "read(",
        "clone(CLONE_THREAD",
        " = 0",
        "= -1",
        "<... ",
        "resumed>",
        "[pid 7] ",
        "7 ",
        "[ Process PID=7 runs in ",
        "32 bit mode. ]",
        "syscall_0x",
        "type=1326 ",
        "arch=",
        "c000003e ",
        "syscall=",
        "SystemCallFilter=",
        "~",
        "@default",
        ":EPERM",
        "SystemCallErrorNumber=",
        "\\\n",
        "[Service]\n",
        "\n",
        " ",
        "\u{1F600}",
    ];

    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let words = prop::collection::vec(0..WORDS.len(), 0..40);
        let words = words.prop_map(|at| {
            at.iter()
                .map(|&at| WORDS[at])
                .collect::<String>()
                .into_bytes()
        });
        let noise = prop::collection::vec(any::<u8>(), 0..300);
        prop_oneof![words, noise]
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in texts()) {
            let lossy = String::from_utf8_lossy(&text);
            let _ = Form::of(&lossy);
            let _ = audit::read(&lossy);
            let _ = denied::read(&lossy);
            for native in [Arch::X86_64, Arch::Aarch64, Arch::M68k] {
                let _ = strace::read(&lossy, native);
                let _ = systemd::read(&lossy, native);
            }
            let _ = Profile::parse_resource(&text, "p");
        }
    }

    #[test]
    fn numbers_without_a_name_are_no_bodys_but_ours() {
        let mut profile = Profile::learned([Arch::X86_64], [(vec!["read".to_owned()], None)]);
        assert_eq!(only_names(&profile), Ok(()));
        profile.rules[0].names.push("syscall_999".into());
        let error = only_names(&profile).unwrap_err();
        assert_eq!(error.rule(&profile), None);
        assert!(
            error
                .to_string()
                .starts_with("names: syscall_999 is a number"),
            "{error}"
        );
    }

    #[test]
    fn quoted_text_is_short_and_harmless() {
        assert_eq!(quoted("a\u{1b}[1mb"), "'a [1mb'");
        assert_eq!(quoted(&"x".repeat(60)), format!("'{}...'", "x".repeat(48)));
    }
}
