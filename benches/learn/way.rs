//! The ways to run a command: natively, under ours, under others'.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::Outcome;
use crate::running::{LIMIT, Running};

/// Counts the calls of the whole machine, by number.
const BPFTRACE: &str = "mount -t tracefs none /sys/kernel/tracing 2>/dev/null; exec bpftrace -B line -e '\
    BEGIN { printf(\"ready\\n\"); } tracepoint:raw_syscalls:sys_enter { @[args->id] = count(); }'";

/// A filter that lets everything run but a call that nobody makes here.
const FILTER: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"names": ["swapoff"], "action": "SCMP_ACT_ERRNO"}
]}"#;

/// How a command is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Native,
    /// Under ours, untimed: what a second run starts from.
    Teach,
    First,
    Second,
    /// Under ours, with a filter and nobody who looks.
    Filter,
    Strace,
    StraceExec,
    Bpftrace,
    Perf,
}

impl Way {
    pub(crate) const COLUMNS: [Self; 8] = [
        Self::Native,
        Self::First,
        Self::Second,
        Self::Filter,
        Self::Strace,
        Self::StraceExec,
        Self::Bpftrace,
        Self::Perf,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Teach => "learning before",
            Self::First => "first run",
            Self::Second => "second run",
            Self::Filter => "filter only",
            Self::Strace => "strace -f",
            Self::StraceExec => "strace exec*",
            Self::Bpftrace => "bpftrace",
            Self::Perf => "perf trace",
        }
    }

    /// What stands before the command.
    const fn words(self) -> &'static [&'static str] {
        const OURS: &str = match option_env!("SECCOMP_RUN_BINARY") {
            Some(binary) => binary,
            None => env!("CARGO_BIN_EXE_seccomp-run"),
        };
        match self {
            Self::Native | Self::Bpftrace => &[],
            Self::Teach => &[OURS, "--learn", "--force", "-o", "taught.json", "--"],
            Self::First => &[OURS, "--learn", "--force", "-o", "first.json", "--"],
            Self::Second => &[OURS, "--learn", "--update", "-o", "second.json", "--"],
            Self::Filter => &[OURS, "--enforce", "filter.json", "--"],
            Self::Strace => &["strace", "-f", "-o", "/dev/null", "--"],
            Self::StraceExec => &[
                "strace",
                "-f",
                "--seccomp-bpf",
                "-e",
                "trace=execve",
                "-o",
                "/dev/null",
                "--",
            ],
            Self::Perf => &["perf", "trace", "-s", "-o", "/dev/null", "--"],
        }
    }

    /// Whether it costs so much a call that a row of very many calls does a part for it.
    pub(crate) const fn is_slow(self) -> bool {
        matches!(self, Self::Strace | Self::Perf)
    }

    /// Whether it learns, and is quick with very many tasks.
    pub(crate) const fn has_many_tasks(self) -> bool {
        matches!(self, Self::First | Self::Second | Self::StraceExec)
    }

    /// Whether it works here at all.
    pub(crate) fn try_out(self, dir: &Path) -> Outcome<()> {
        let scene = Scene {
            dir,
            way: self,
            part: 1,
        };
        scene.time(&["true"]).map(drop)
    }
}

/// One measurement: where and how.
pub(crate) struct Scene<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) way: Way,
    /// Of a row of very many calls, one in so many is to be made.
    pub(crate) part: u32,
}

impl Scene<'_> {
    /// Starts a command this way. `ours`: its standard input and output.
    pub(crate) fn launch(&self, command: &[&str], ours: bool) -> Outcome<Launched> {
        if self.way == Way::Second {
            // A true second run each time: not the third.
            for end in ["json", "evidence.json"] {
                let [from, to] = ["taught", "second"].map(|s| self.dir.join(format!("{s}.{end}")));
                fs::copy(from, to)?;
            }
        }
        if self.way == Way::Filter {
            fs::write(self.dir.join("filter.json"), FILTER)?;
        }
        let watcher = match self.way {
            Way::Bpftrace => Some(watch(self.dir)?),
            _ => None,
        };
        let words = [self.way.words(), command].concat();
        let command = Running::start(&words, self.dir, ours, LIMIT)?;
        Ok(Launched { command, watcher })
    }

    /// The seconds from start to end of a command.
    pub(crate) fn time(&self, command: &[&str]) -> Outcome<f64> {
        let took = self.launch(command, false)?.end()?;
        Ok(took.as_secs_f64())
    }
}

fn watch(dir: &Path) -> Outcome<Running> {
    let words = ["unshare", "-m", "sh", "-c", BPFTRACE];
    let mut watcher = Running::start(&words, dir, true, LIMIT * 3)?;
    while watcher.line()? != "ready" {}
    Ok(watcher)
}

/// A command, under what the way wants.
pub(crate) struct Launched {
    pub(crate) command: Running,
    watcher: Option<Running>,
}

impl Launched {
    /// Who learns.
    pub(crate) fn launcher(&self) -> u32 {
        self.watcher.as_ref().unwrap_or(&self.command).pid()
    }

    /// Waits for the end of the command, which must be a success.
    pub(crate) fn end(self) -> Outcome<Duration> {
        let took = self.command.end()?;
        if self.watcher.is_some_and(|mut watcher| watcher.is_over()) {
            return Err("bpftrace ended before the command".into());
        }
        Ok(took)
    }
}
