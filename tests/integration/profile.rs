//! Profiles as a test sees them: read, picked apart, changed, written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// A set of syscall names.
pub(crate) type Names = BTreeSet<String>;

/// A profile that was learned.
pub(crate) struct Profile {
    pub(crate) json: Value,
}

impl Profile {
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let json = serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{}: {e}\n{text}", path.display()));
        Self { json }
    }

    fn rules(&self) -> impl Iterator<Item = &Value> {
        self.json["syscalls"].as_array().unwrap().iter()
    }

    fn names_where(&self, wanted: impl Fn(&Value) -> bool) -> Names {
        self.rules()
            .filter(|rule| wanted(rule))
            .flat_map(|rule| rule["names"].as_array().unwrap())
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    /// Everything it allows.
    pub(crate) fn names(&self) -> Names {
        self.names_where(|_| true)
    }

    /// What the program was seen to do: rules without a comment.
    pub(crate) fn observed(&self) -> Names {
        self.names_where(|rule| rule.get("comment").is_none())
    }

    /// What was added for a reason: rules with a comment.
    pub(crate) fn added(&self) -> Names {
        self.names_where(|rule| rule.get("comment").is_some())
    }

    pub(crate) fn architectures(&self) -> BTreeSet<&str> {
        self.json["architectures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| a.as_str().unwrap())
            .collect()
    }

    #[track_caller]
    pub(crate) fn has(&self, names: &[&str]) -> &Self {
        for name in names {
            assert!(
                self.observed().contains(*name),
                "{name} was not observed: {:?}",
                self.observed()
            );
        }
        self
    }

    #[track_caller]
    pub(crate) fn lacks(&self, names: &[&str]) -> &Self {
        for name in names {
            assert!(
                !self.names().contains(*name),
                "{name} is there: {:?}",
                self.names()
            );
        }
        self
    }
}

/// A profile that allows everything but what `denied` gives another action.
pub(crate) fn all_but(denied: &[(&str, &str)]) -> String {
    let rules: Vec<Value> = denied
        .iter()
        .map(|(name, action)| json!({"names": [name], "action": action}))
        .collect();
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}).to_string()
}

/// A profile that allows these and denies the rest with EPERM.
pub(crate) fn only(names: &Names) -> String {
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    })
    .to_string()
}

/// The names of `strace -f -o FILE`'s output, without the execve that started the program, by process.
pub(crate) fn strace_names(text: &str) -> Names {
    let mut names = Names::new();
    let mut launched = false;
    for line in text.lines() {
        let call = line
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start();
        let Some((name, _)) = call.split_once('(') else {
            continue;
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        if name == "execve" && !launched {
            launched = true;
            continue;
        }
        names.insert(name.to_owned());
    }
    names
}

/// `NAME: VALUE` lines.
pub(crate) fn fields(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}
