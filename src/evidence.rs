//! The evidence of a profile: what each learning run saw. It lies beside the profile, which stays plain
//! Docker/OCI JSON.
//!
//! # Format, version 2
//!
//! A JSON object in `NAME.evidence.json` beside `NAME.json`. Readers ignore fields that they do not know. Fields
//! that are absent are empty, 0 or not known; those marked 2 are always absent in version 1.
//!
//! | field | | meaning |
//! |---|---|---|
//! | `version` | | 2 |
//! | `runs[]` | | the learning runs, oldest first |
//! | `runs[].command[]` | | the words of the command, as text (bytes that are no UTF-8 are replaced) |
//! | `runs[].started` | | when, in seconds since 1970 |
//! | `runs[].seconds` | | how long, to the end of the last descendant |
//! | `runs[].kernel` | | the kernel's release |
//! | `runs[].arch` | 2 | the machine's architecture: `x86_64`, `aarch64` ... |
//! | `runs[].libc` | 2 | the C library that the command used, where it can be told |
//! | `runs[].end` | | `exited N`, `killed by SIGNAL`, or `running` when the file was written before the end |
//! | `runs[].tasks` | | how many processes and threads were traced |
//! | `runs[].processes` | 2 | how many of them were processes |
//! | `runs[].stops` | 2 | how often a task was stopped |
//! | `runs[].injections` | 2 | how often a filter was put into a process that ran |
//! | `runs[].notifications` | 2 | how many calls a seccomp listener was asked about |
//! | `runs[].filtered` | | whether an outer seccomp filter was in force |
//! | `runs[].complete` | | whether nothing was lost |
//! | `runs[].ran_free` | 2 | whether some calls ran without being counted, because they were known: counts, errnos and callers say "at least" then |
//! | `runs[].notes[]` | | what limits the recording, as text |
//! | `runs[].executables[]` | 2 | what was executed |
//! | `runs[].executables[].path` | 2 | its file; `(others)` stands for all after the first 4096 |
//! | `runs[].executables[].calls` | 2 | how many calls it was seen to make |
//! | `runs[].executables[].fates` | 2 | what became of its processes: an object whose keys are `stops` (stopped at every call, to the end), `late filter` (got the learner's filter and was let go), `traced filter` (got one whose unknown calls stop), `filter before exec` (ran under one from the beginning) |
//! | `runs[].executables[].fates.*.processes` | 2 | how many |
//! | `runs[].executables[].fates.*.calls` | 2 | how many calls they were seen to make before it |
//! | `runs[].calls[]` | | each syscall that was made, by architecture and number |
//! | `runs[].calls[].arch` | | `x86_64`, `x86`, `x32` ... |
//! | `runs[].calls[].nr` | | the kernel's number, with the x32 bit on x32 |
//! | `runs[].calls[].name` | | its name; absent where our tables have none |
//! | `runs[].calls[].count` | | how often it was seen |
//! | `runs[].calls[].first` | 2 | the first time: `ms` after the exec of the command, `executable`, `tid` |
//! | `runs[].calls[].executables[]` | 2 | the files that made it, at most 16 |
//! | `runs[].calls[].errnos` | 2 | how often it failed with which errno, among the calls whose return was seen: `{"ENOENT": 3}` |
//! | `runs[].calls[].args[]` | 2 | at most three sets of arguments: the six registers, also those that the syscall does not use, as `"0x3, 0x7ffd0, 0x400, 0x0, 0x0, 0x0"` |
//! | `runs[].calls[].library` | 2 | the mapped file that made the first one |
//! | `runs[].calls[].offset` | 2 | the offset of its instruction in that file, as `"0x11f3b0"` |
//! | `runs[].added[]` | 2 | what the profile allows besides: `name`, and the `reason` that the profile gives |

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::recording::{self, Call, Note, Recording};
use crate::sys::Errno;
use crate::syscall::Sysno;

/// The version of the format that is written.
const VERSION: u32 = 2;

/// What the learning runs of a profile saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    version: u32,
    /// The runs, oldest first.
    pub runs: Vec<Run>,
}

/// One learning run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The words of the command.
    pub command: Vec<String>,
    /// When it began, in seconds since 1970.
    pub started: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The kernel's release.
    pub kernel: String,
    /// The machine's architecture, by its short name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub arch: String,
    /// The C library, where it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libc: Option<String>,
    /// How the command ended.
    pub end: String,
    /// How many processes and threads were traced.
    pub tasks: u64,
    /// How many of them were processes.
    #[serde(default)]
    pub processes: u64,
    /// How often a task was stopped.
    #[serde(default)]
    pub stops: u64,
    /// How often a filter was put into a process that ran.
    #[serde(default)]
    pub injections: u64,
    /// How many calls a seccomp listener was asked about.
    #[serde(default)]
    pub notifications: u64,
    /// Was an outer seccomp filter in force?
    pub filtered: bool,
    /// Was nothing lost?
    pub complete: bool,
    /// Did calls run without being counted, so that counts say "at least"?
    #[serde(default)]
    pub ran_free: bool,
    /// What limits the recording.
    pub notes: Vec<String>,
    /// What was executed.
    #[serde(default)]
    pub executables: Vec<Executable>,
    /// Each syscall that was made.
    pub calls: Vec<Seen>,
    /// What the profile allows besides.
    #[serde(default)]
    pub added: Vec<Added>,
}

/// A program that a run executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executable {
    /// Its file.
    pub path: String,
    /// How many calls it was seen to make.
    pub calls: u64,
    /// What became of its processes, by [`recording::Fate`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fates: BTreeMap<String, Shared>,
}

/// Processes of one executable that shared a fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// How many.
    pub processes: u64,
    /// How many calls they were seen to make before it.
    pub calls: u64,
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
    /// The first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<First>,
    /// Which files made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub executables: Vec<String>,
    /// How often it failed, by the errno's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errnos: BTreeMap<String, u64>,
    /// A few sets of arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The mapped file that made the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// The offset of its instruction there, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
}

/// The first time that a syscall was made in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// Milliseconds after the exec of the command.
    pub ms: u64,
    /// The file that made it.
    pub executable: String,
    /// The thread that made it.
    pub tid: i32,
}

/// A syscall that the profile allows although no run made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What every version has.
#[derive(Deserialize)]
struct Head {
    version: u32,
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
    /// Where the evidence of a profile lies: `nginx.json` has `nginx.evidence.json`. Of a symbolic link, beside the file that
    /// it leads to: that is the one which learning replaces.
    pub fn path_for(profile: &Path) -> PathBuf {
        let target = || fs::canonicalize(profile).ok();
        let target = profile.is_symlink().then(target).flatten();
        let profile = target.as_deref().unwrap_or(profile);
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
        // The version first: a newer file may differ in everything else.
        let Head { version } = serde_json::from_slice(text).map_err(wrong)?;
        match version {
            1..=VERSION => Ok(Self {
                version: VERSION,
                ..serde_json::from_slice(text).map_err(wrong)?
            }),
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
            if let Some(sysno) = seen.sysno() {
                let weight = weights.entry(sysno).or_insert(0_u64);
                *weight = weight.saturating_add(seen.count);
            }
        }
        weights
    }

    /// Every syscall that a run made.
    pub fn known(&self) -> BTreeSet<Sysno> {
        self.runs.iter().flat_map(Run::syscalls).collect()
    }

    /// How many calls this executable was seen to make, in all runs together. 0: it was never learned.
    pub fn covers(&self, executable: &str) -> u64 {
        let all = self.runs.iter().flat_map(|run| &run.executables);
        all.filter(|known| known.path == executable)
            .fold(0, |calls, known| calls.saturating_add(known.calls))
    }
}

impl Run {
    /// What a recording says of a run; the rest is the caller's to fill in.
    pub fn of(recording: &Recording) -> Self {
        let executables = recording.executables().iter().map(Executable::of);
        let calls = recording.calls().into_iter();
        Self {
            arch: Arch::NATIVE.to_string(),
            tasks: recording.tasks,
            processes: recording.processes,
            stops: recording.stops,
            injections: recording.injections,
            notifications: recording.notifications,
            complete: !recording.notes.iter().any(Note::is_loss),
            ran_free: recording.ran_free,
            notes: recording.notes.iter().map(ToString::to_string).collect(),
            executables: executables.collect(),
            calls: calls
                .map(|(sysno, call)| Seen::of(recording, sysno, call))
                .collect(),
            ..Self::default()
        }
    }

    /// The syscalls that it made.
    pub fn syscalls(&self) -> BTreeSet<Sysno> {
        self.calls.iter().filter_map(Seen::sysno).collect()
    }
}

impl Executable {
    fn of(executable: &recording::Executable) -> Self {
        let fates = executable.fates.iter().map(|(fate, shared)| {
            let &recording::Shared { processes, calls } = shared;
            (fate.to_string(), Shared { processes, calls })
        });
        Self {
            path: executable.path.clone(),
            calls: executable.calls,
            fates: fates.collect(),
        }
    }
}

impl Seen {
    /// The syscall; `None` on an architecture that this program does not know.
    pub fn sysno(&self) -> Option<Sysno> {
        let arch = Arch::from_short_name(&self.arch)?;
        Some(Sysno { arch, nr: self.nr })
    }

    fn of(recording: &Recording, sysno: Sysno, call: &Call) -> Self {
        let path = |&exe| recording.path(exe).to_owned();
        let place = call.place.as_ref();
        Self {
            arch: sysno.arch.to_string(),
            nr: sysno.nr,
            name: sysno.name().map(str::to_owned),
            count: call.count,
            first: Some(First {
                ms: u64::try_from(call.first.at.as_millis()).unwrap_or(u64::MAX),
                executable: path(&call.first.exe),
                tid: call.first.tid,
            }),
            executables: call.executables.iter().map(path).collect(),
            errnos: call
                .errnos
                .iter()
                .map(|(&errno, &count)| (errno_name(errno), count))
                .collect(),
            args: call
                .args
                .iter()
                .map(|args| args.map(|arg| format!("{arg:#x}")).join(", "))
                .collect(),
            library: place.map(|place| place.library.clone()),
            offset: place.map(|place| format!("{:#x}", place.offset)),
        }
    }
}

/// `ENOENT`, or the number where it has no name.
fn errno_name(number: u16) -> String {
    match Errno::from_raw(number.into()) {
        Errno::UnknownErrno => number.to_string(),
        errno => format!("{errno:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::recording::{Fate, Place, Sighting};

    const READ: Sysno = Sysno {
        arch: Arch::X86_64,
        nr: 0,
    };
    const UNNAMED: Sysno = Sysno {
        arch: Arch::X86_64,
        nr: 999,
    };
    const GETPID_32: Sysno = Sysno {
        arch: Arch::X86,
        nr: 20,
    };

    /// A run in which each of these calls was made so often, by this executable.
    fn run(path: &str, calls: &[(Sysno, u64)]) -> Run {
        let mut recording = Recording::default();
        let exe = recording.executable(path);
        for &(sysno, count) in calls {
            let sighting = Sighting {
                sysno,
                args: [3, u64::MAX, 0x400, 0, 0, 0],
                tid: 7,
                exe,
            };
            for _ in 0..count {
                recording.saw(&sighting, Duration::from_micros(1500));
            }
            recording.returned(sysno, -2);
            recording.returned(sysno, -3000);
        }
        recording.placed(
            READ,
            Place {
                library: "/lib/libc.so.6".into(),
                offset: 0x11_f3b0,
            },
        );
        recording.fate(exe, Fate::LateFilter, 400);
        recording.notes.insert(Note::OwnFilter);
        recording.stops = 9;
        Run {
            command: vec!["app".into(), "-x".into()],
            started: 1_790_000_000,
            seconds: 1.5,
            kernel: "6.1.0".into(),
            end: "exited 0".into(),
            added: vec![Added {
                name: "futex".into(),
                reason: "added: why".into(),
            }],
            ..Run::of(&recording)
        }
    }

    fn evidence(runs: Vec<Run>) -> Evidence {
        Evidence {
            runs,
            ..Evidence::default()
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let evidence = evidence(vec![
            run("/bin/app", &[(READ, 3), (UNNAMED, 1)]),
            run("/bin/app", &[(GETPID_32, 2)]),
        ]);
        let text = evidence.to_json();
        assert_eq!(Evidence::parse(text.as_bytes(), "e").unwrap(), evidence);
        assert!(
            text.contains("\"nr\": 999,\n"),
            "numbers without a name are kept\n{text}"
        );
        let weights = evidence.weights();
        assert_eq!((weights[&READ], weights[&GETPID_32]), (3, 2));
        assert_eq!(evidence.known(), [READ, UNNAMED, GETPID_32].into());
    }

    #[test]
    fn a_recording_becomes_a_run() {
        let run = run("/bin/app", &[(READ, 3)]);
        let text = evidence(vec![run.clone()]).to_json();
        for part in [
            r#""version": 2,"#,
            r#""arch": "x86_64","#,
            r#""ENOENT": 1"#,
            r#""3000": 1"#,
            r#""0x3, 0xffffffffffffffff, 0x400, 0x0, 0x0, 0x0""#,
            r#""library": "/lib/libc.so.6""#,
            r#""offset": "0x11f3b0""#,
            r#""ms": 1,"#,
            r#""late filter": {"#,
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("libc\": null"), "{text}");
        assert_eq!((run.complete, run.notes.len(), run.stops), (true, 1, 9));
        let mut lossy = Recording::default();
        lossy.notes.insert(Note::OwnListener);
        assert!(!Run::of(&lossy).complete);
    }

    #[test]
    fn coverage_is_by_executable_and_over_all_runs() {
        let runs = vec![
            run("/bin/app", &[(READ, 3), (UNNAMED, 1)]),
            run("/bin/other", &[(READ, 5)]),
            run("/bin/app", &[(GETPID_32, 2)]),
        ];
        let evidence = evidence(runs);
        for (path, calls) in [("/bin/app", 6), ("/bin/other", 5), ("/bin/ap", 0), ("", 0)] {
            assert_eq!(evidence.covers(path), calls, "{path}");
        }
        assert_eq!(Evidence::default().covers("/bin/app"), 0);
    }

    #[test]
    fn version_1_is_read_and_written_back_as_2() {
        let text = r#"{"version": 1, "runs": [{"command": ["ls"], "started": 1, "seconds": 0.5,
            "kernel": "6.1", "end": "exited 0", "tasks": 1, "filtered": false, "complete": true, "notes": [],
            "calls": [{"arch": "x86_64", "nr": 0, "name": "read", "count": 2}]}]}"#;
        let evidence = Evidence::parse(text.as_bytes(), "e").unwrap();
        assert_eq!(evidence.weights(), [(READ, 2)].into());
        assert_eq!(evidence.runs[0].calls[0].first, None);
        assert_eq!(evidence.covers("/bin/ls"), 0);
        let again = evidence.to_json();
        assert!(again.contains("\"version\": 2,"), "{again}");
        assert_eq!(Evidence::parse(again.as_bytes(), "e").unwrap(), evidence);
    }

    #[test]
    fn fields_of_a_later_program_do_no_harm() {
        let text = evidence(vec![run("/bin/app", &[(READ, 1)])]).to_json();
        let later = text
            .replace("\"tid\":", "\"cpu\": [1], \"tid\":")
            .replace("\"kernel\":", "\"weather\": {\"sun\": true}, \"kernel\":")
            .replace("\"runs\":", "\"more\": null, \"runs\":")
            .replace(
                "\"arch\": \"x86_64\",\n          \"nr\"",
                "\"arch\": \"vax\", \"nr\"",
            );
        let evidence = Evidence::parse(later.as_bytes(), "e").unwrap();
        assert_eq!(evidence.covers("/bin/app"), 1);
        assert!(evidence.known().is_empty(), "vax is not known\n{later}");
    }

    #[test]
    fn what_is_no_evidence_is_refused_with_its_place() {
        for (text, want) in [
            ("{", "EOF while parsing"),
            ("{\n\"version\": 1}", "line 2 column 13"),
            ("{\n\"version\": 2,\n\"runs\": [{}]}", "line 3 column 11"),
            ("{\n\"version\": -1}", "line 2 column 13"),
            ("[]", "invalid"),
        ] {
            let error = Evidence::parse(text.as_bytes(), "e").unwrap_err();
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains(want), "{text}: {source}");
        }
        for (newer, number) in [
            (r#"{"version": 3, "runs": []}"#, 3),
            (r#"{"version": 4, "pages": {}}"#, 4),
            (r#"{"version": 0, "runs": []}"#, 0),
        ] {
            match Evidence::parse(newer.as_bytes(), "e") {
                Err(EvidenceError::Version { version, .. }) => assert_eq!(version, number),
                other => panic!("{newer}: {other:?}"),
            }
        }
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
