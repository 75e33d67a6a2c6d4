//! The evidence of a profile: what each learning run saw. It lies beside the profile, which stays plain
//! Docker/OCI JSON.
//!
//! # Format, version 1
//!
//! A JSON object in `NAME.evidence.json` beside `NAME.json`:
//!
//! | field | meaning |
//! |---|---|
//! | `version` | 1 |
//! | `runs[]` | the learning runs, oldest first |
//! | `runs[].command` | the words of the command, as text (bytes that are no UTF-8 are replaced) |
//! | `runs[].started` | when, in seconds since 1970 |
//! | `runs[].seconds` | how long, to the end of the last descendant |
//! | `runs[].kernel` | the kernel's release |
//! | `runs[].end` | `exited N`, `killed by SIGNAL`, or `running` when the file was written before the end |
//! | `runs[].tasks` | how many processes and threads were traced |
//! | `runs[].filtered` | whether an outer seccomp filter was in force |
//! | `runs[].complete` | whether nothing was lost |
//! | `runs[].notes[]` | what limits the recording, as text |
//! | `runs[].calls[]` | each syscall that was made, by architecture and number |
//! | `runs[].calls[].arch` | `x86_64`, `x86`, `x32` ... |
//! | `runs[].calls[].nr` | the kernel's number, with the x32 bit on x32 |
//! | `runs[].calls[].name` | its name; absent where our tables have none |
//! | `runs[].calls[].count` | how often it was seen |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::recording::{Call, Recording};
use crate::syscall::Sysno;

/// The version of the format that is written.
const VERSION: u32 = 1;

/// What the learning runs of a profile saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    version: u32,
    /// The runs, oldest first.
    pub runs: Vec<Run>,
}

/// One learning run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The words of the command.
    pub command: Vec<String>,
    /// When it began, in seconds since 1970.
    pub started: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The kernel's release.
    pub kernel: String,
    /// How the command ended.
    pub end: String,
    /// How many processes and threads were traced.
    pub tasks: u64,
    /// Was an outer seccomp filter in force?
    pub filtered: bool,
    /// Was nothing lost?
    pub complete: bool,
    /// What limits the recording.
    pub notes: Vec<String>,
    /// Each syscall that was made.
    pub calls: Vec<Seen>,
}

/// A syscall that a run made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The architecture's short name.
    pub arch: String,
    /// The kernel's number.
    pub nr: u32,
    /// The name, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How often it was seen.
    pub count: u64,
}

/// Why a file is no evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// It is no JSON, or not of the format.
    #[error("{name}: not an evidence file")]
    Format {
        /// The file.
        name: String,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// It was written by a newer version of this program.
    #[error("{name}: evidence of version {version}, and this program knows version {VERSION}")]
    Version {
        /// The file.
        name: String,
        /// Its version.
        version: u32,
    },
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            version: VERSION,
            runs: Vec::new(),
        }
    }
}

impl Evidence {
    /// Where the evidence of a profile lies: `nginx.json` has `nginx.evidence.json`.
    pub fn path_for(profile: &Path) -> PathBuf {
        let stem = match profile.extension() {
            Some(extension) if extension == "json" => profile.with_extension(""),
            _ => profile.to_owned(),
        };
        let mut name = stem.into_os_string();
        name.push(".evidence.json");
        name.into()
    }

    /// Reads evidence from text; `name` is the file's, for messages.
    ///
    /// # Errors
    /// When it is none, or newer than we are.
    pub fn parse(text: &[u8], name: &str) -> Result<Self, EvidenceError> {
        let wrong = |source| EvidenceError::Format {
            name: name.to_owned(),
            source,
        };
        let evidence: Self = serde_json::from_slice(text).map_err(wrong)?;
        match evidence.version {
            1..=VERSION => Ok(evidence),
            version => Err(EvidenceError::Version {
                name: name.to_owned(),
                version,
            }),
        }
    }

    /// The text of the file.
    pub fn to_json(&self) -> String {
        // The types have nothing that JSON cannot hold; were it otherwise, an empty file would be refused.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// How often each syscall was seen, in all runs together: the weights of a compiler.
    pub fn weights(&self) -> BTreeMap<Sysno, u64> {
        let mut weights = BTreeMap::new();
        for seen in self.runs.iter().flat_map(|run| &run.calls) {
            if let Some(arch) = Arch::from_short_name(&seen.arch) {
                let weight = weights.entry(Sysno { arch, nr: seen.nr }).or_insert(0_u64);
                *weight = weight.saturating_add(seen.count);
            }
        }
        weights
    }
}

impl Seen {
    /// The calls of a recording.
    pub fn of(recording: &Recording) -> Vec<Self> {
        let seen = |(sysno, call): (Sysno, &Call)| Self {
            arch: sysno.arch.to_string(),
            nr: sysno.nr,
            name: sysno.name().map(str::to_owned),
            count: call.count,
        };
        recording.calls().into_iter().map(seen).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Sighting;

    fn run(calls: &[(Arch, u32, u64)]) -> Run {
        let mut recording = Recording::default();
        for &(arch, nr, count) in calls {
            let sighting = Sighting {
                sysno: Sysno { arch, nr },
                args: [0; 6],
                tid: 1,
                exe: recording.executable("/bin/app"),
            };
            for _ in 0..count {
                recording.saw(&sighting, std::time::Duration::ZERO);
            }
        }
        Run {
            command: vec!["app".into(), "-x".into()],
            started: 1_790_000_000,
            seconds: 1.5,
            kernel: "6.1.0".into(),
            end: "exited 0".into(),
            tasks: 2,
            filtered: false,
            complete: true,
            notes: Vec::new(),
            calls: Seen::of(&recording),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let runs = vec![
            run(&[(Arch::X86_64, 0, 3), (Arch::X86_64, 999, 1)]),
            run(&[(Arch::X86, 20, 2)]),
        ];
        let evidence = Evidence {
            version: VERSION,
            runs,
        };
        let text = evidence.to_json();
        assert_eq!(Evidence::parse(text.as_bytes(), "e").unwrap(), evidence);
        assert!(
            text.contains("\"nr\": 999,\n"),
            "numbers without a name are kept\n{text}"
        );
        let weights = evidence.weights();
        assert_eq!(
            weights[&Sysno {
                arch: Arch::X86_64,
                nr: 0
            }],
            3
        );
        assert_eq!(
            weights[&Sysno {
                arch: Arch::X86,
                nr: 20
            }],
            2
        );
    }

    #[test]
    fn what_is_no_evidence_is_refused_with_its_place() {
        for (text, want) in [
            ("{", "EOF while parsing"),
            ("{\n\"version\": 1}", "line 2 column 13"),
            ("[]", "invalid"),
        ] {
            let error = Evidence::parse(text.as_bytes(), "e").unwrap_err();
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains(want), "{text}: {source}");
        }
        let newer = r#"{"version": 2, "runs": []}"#;
        assert!(matches!(
            Evidence::parse(newer.as_bytes(), "e"),
            Err(EvidenceError::Version { version: 2, .. })
        ));
    }

    #[test]
    fn evidence_lies_beside_the_profile() {
        for (profile, want) in [
            ("nginx.json", "nginx.evidence.json"),
            ("/etc/app", "/etc/app.evidence.json"),
            ("a.b/x.profile", "a.b/x.profile.evidence.json"),
        ] {
            assert_eq!(Evidence::path_for(Path::new(profile)), Path::new(want));
        }
    }
}
