//! Names as profiles have them.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use serde::{Serialize, Serializer};

use super::table::NameId;
use super::{Sysno, named, parse_unnamed, unnamed};
use crate::arch::Arch;

/// What a profile calls a syscall: a text, which need not be the name of any.
///
/// Those that are in the tables, which nearly all are, take no memory of their own and are looked up once for all
/// architectures.
///
/// ```
/// use seccomp_run::{arch::Arch, syscall::Name};
/// let name = Name::from("exit_group");
/// assert_eq!(name.on(Arch::X86_64).unwrap().nr, 231);
/// assert_eq!(name, "exit_group");
/// assert!(!Name::from("exit_gruop").is_known());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Name(Text);

/// A text that is in the tables is never the other kind.
#[derive(Clone, PartialEq, Eq)]
enum Text {
    InTables(NameId),
    Other(Box<str>),
}

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::InTables(id) => id.name().unwrap_or_default(),
            Text::Other(text) => text,
        }
    }

    /// The syscall of this name on this architecture, as of [`Sysno::parse`].
    pub fn on(&self, arch: Arch) -> Option<Sysno> {
        match &self.0 {
            Text::InTables(id) => named(*id, arch),
            Text::Other(text) => unnamed(text, arch),
        }
    }

    /// Which of the names in the tables it is, if it is one: a number below [`NAMES`](super::NAMES).
    pub fn index(&self) -> Option<usize> {
        match &self.0 {
            Text::InTables(id) => Some(id.index()),
            Text::Other(_) => None,
        }
    }

    /// Is it the name of a syscall on any architecture, or a number?
    pub fn is_known(&self) -> bool {
        match &self.0 {
            Text::InTables(_) => true,
            Text::Other(text) => parse_unnamed(text).is_some(),
        }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(NameId::find(text).map_or_else(|| Text::Other(text.into()), Text::InTables))
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Cow<'_, str>> for Name {
    fn from(text: Cow<'_, str>) -> Self {
        Self::from(&*text)
    }
}

impl From<&String> for Name {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

/// In the order of the texts.
impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_their_texts() {
        let texts = [
            "read",
            "",
            "syscall_999",
            "no_such_call",
            "mmap2",
            "accept",
            "accept4",
            "a\u{e9}",
        ];
        for text in texts {
            let name = Name::from(text);
            assert_eq!(name, text);
            assert_eq!(name.to_string(), text);
            assert_eq!(format!("{name:?}"), format!("{text:?}"));
            for other in texts {
                let other_name = Name::from(other);
                assert_eq!(name == other_name, text == other);
                assert_eq!(name.cmp(&other_name), text.cmp(other), "{text} {other}");
            }
            for arch in Arch::ALL {
                assert_eq!(name.on(arch), Sysno::parse(arch, text), "{arch} {text}");
            }
        }
        let known = texts.map(|text| Name::from(text).is_known());
        assert_eq!(known, [true, false, true, false, true, true, true, false]);
        let set: BTreeSet<Name> = texts.map(Name::from).into();
        assert!(texts.iter().all(|text| set.contains(*text)));
    }
}
