//! Where in its file each part of a profile stands.

use std::collections::HashMap;

use super::json::Reader;
use super::model::Position;

/// Line and column of everything in a profile, by its path: `defaultAction`, `syscalls[3].names[0]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(HashMap<String, Position>);

impl Places {
    /// The places in this text. Of a text that is no JSON, those up to the mistake.
    ///
    /// ```
    /// use seccomp_run::profile::Places;
    /// let places = Places::of("{\n  \"syscalls\": [{\"names\": [\"read\"]}]\n}");
    /// assert_eq!(places.find("syscalls[0].names[0]").to_string(), "2:27");
    /// assert_eq!(places.find("flags").line, 0);
    /// ```
    pub fn of(text: &str) -> Self {
        let mut places = HashMap::new();
        // A mistake was told when the text was read as a profile.
        let _ = Reader::new(text).visit("", &mut |path, at| {
            places.insert(path.to_ascii_lowercase(), at);
        });
        Self(places)
    }

    /// The place of the value with this path; [`Position::NOWHERE`] where there is none.
    pub fn find(&self, path: &str) -> Position {
        // Keys are written in any case, as Go reads them.
        let found = self.0.get(&path.to_ascii_lowercase());
        found.copied().unwrap_or(Position::NOWHERE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_found_where_it_stands() {
        let text = r#"{
  "DefaultAction": "SCMP_ACT_ERRNO",
  "syscalls": [
    { "names": ["read",
        "write"], "args": [{"index": 0}] },
    { "names": null }
  ]
}"#;
        let places = Places::of(text);
        let cases = [
            ("", "1:1"),
            ("defaultAction", "2:20"),
            ("syscalls", "3:15"),
            ("syscalls[0]", "4:5"),
            ("syscalls[0].names[1]", "5:9"),
            ("syscalls[0].args[0].index", "5:38"),
            ("syscalls[1].names", "6:16"),
            ("syscalls[2]", "0:0"),
        ];
        for (path, want) in cases {
            assert_eq!(places.find(path).to_string(), want, "{path}");
        }
        assert_eq!(Places::of("{\"a\": 1, ").find("a").to_string(), "1:7");
        assert_eq!(Places::of("\u{1}").find("a").line, 0);
    }
}
