//! Programs that run: each in a process group of its own, with a time limit.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::Outcome;

/// How often things are measured: what `SECCOMP_RUN_ROUNDS` says, or so many times.
pub(crate) fn rounds(usual: usize) -> Outcome<usize> {
    match env::var("SECCOMP_RUN_ROUNDS") {
        Ok(rounds) => {
            let rounds = rounds.parse::<NonZeroUsize>();
            Ok(rounds
                .map_err(|error| format!("SECCOMP_RUN_ROUNDS: {error}"))?
                .get())
        }
        Err(_) => Ok(usual),
    }
}

/// How long a program may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Where programs are looked for.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The process groups that run.
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn groups() -> MutexGuard<'static, BTreeSet<i32>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, nothing of what runs or lies in `dir` outlives Ctrl-C.
pub(crate) fn end_on_interrupt(dir: &Path) -> Outcome<()> {
    let (mut ours, theirs) = UnixStream::pair()?;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        signal_hook::low_level::pipe::register(signal, theirs.try_clone()?)?;
    }
    let dir = dir.to_owned();
    thread::spawn(move || {
        if ours.read_exact(&mut [0]).is_ok() {
            // Held to the end, so that nothing more is started.
            let groups = groups();
            for &group in groups.iter() {
                let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            let _ = fs::remove_dir_all(dir);
            #[expect(clippy::exit, reason = "the main thread waits for what was killed")]
            std::process::exit(130);
        }
    });
    Ok(())
}

/// Whether `program` can be found.
pub(crate) fn installed(program: &str) -> bool {
    PATH.split(':')
        .any(|dir| Path::new(dir).join(program).exists())
}

/// A program, which is killed with its process group when this goes.
pub(crate) struct Running {
    child: Child,
    begun: Instant,
    name: String,
    stderr: PathBuf,
    said: Option<BufReader<ChildStdout>>,
    /// `None` after the end.
    watchdog: Option<Watchdog>,
}

impl Running {
    /// Starts a program in `dir` whose standard input and output are `ours`, or nobody's.
    pub(crate) fn start(words: &[&str], dir: &Path, ours: bool, limit: Duration) -> Outcome<Self> {
        let [program, args @ ..] = words else {
            return Err("no command".into());
        };
        let name = Path::new(program).file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let stderr = dir.join(format!("{name}.stderr"));
        let pipe = || if ours { Stdio::piped() } else { Stdio::null() };
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(dir)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .env("HOME", dir)
            .stdin(pipe())
            .stdout(pipe())
            .stderr(File::create(&stderr)?)
            .process_group(0);
        let mut groups = groups();
        let begun = Instant::now();
        let mut child = command
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let group = child.id().cast_signed();
        groups.insert(group);
        drop(groups);
        Ok(Self {
            said: child.stdout.take().map(BufReader::new),
            child,
            begun,
            name,
            stderr,
            watchdog: Some(Watchdog::over(Pid::from_raw(group), limit)),
        })
    }

    /// What a program prints until it ends.
    pub(crate) fn output(words: &[&str], dir: &Path) -> Outcome<String> {
        let mut running = Self::start(words, dir, true, LIMIT)?;
        let mut said = String::new();
        if let Some(stdout) = &mut running.said {
            stdout.read_to_string(&mut said)?;
        }
        running.end()?;
        Ok(said)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints, if it is `ours`.
    pub(crate) fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if let Some(said) = &mut self.said {
            said.read_line(&mut line)?;
        }
        if line.is_empty() {
            return Err(self.failure("ended too early"));
        }
        Ok(line.trim().to_owned())
    }

    /// Closes its standard input.
    pub(crate) fn hang_up(&mut self) {
        self.child.stdin = None;
    }

    /// Has it ended?
    pub(crate) fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end, which must be a success. How long it took.
    pub(crate) fn end(mut self) -> Outcome<Duration> {
        let pid = Id::Pid(Pid::from_raw(self.child.id().cast_signed()));
        // It keeps its number until it is reaped, so the watchdog cannot kill another.
        waitid(pid, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
        let took = self.begun.elapsed();
        let late = self.stop();
        let status = self.child.wait()?;
        if late {
            Err(self.failure("took too long"))
        } else if status.success() {
            Ok(took)
        } else {
            let how = status.signal().map_or_else(
                || status.to_string(),
                |number| format!("killed by signal {number}"),
            );
            Err(self.failure(&how))
        }
    }

    /// Kills what is left of the group. Was it over its limit?
    fn stop(&mut self) -> bool {
        let Some(watchdog) = self.watchdog.take() else {
            return false;
        };
        let late = watchdog.leave();
        let group = self.child.id().cast_signed();
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        groups().remove(&group);
        late
    }

    fn failure(&self, how: &str) -> Box<dyn std::error::Error> {
        let said = fs::read_to_string(&self.stderr).unwrap_or_default();
        let last = said.lines().rfind(|line| !line.trim().is_empty());
        let last = last.map(|line| format!(": {line}")).unwrap_or_default();
        format!("{} {how}{last}", self.name).into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        let _ = self.child.wait();
    }
}

/// A thread that kills a process group unless told in time to leave it alone.
struct Watchdog {
    tell: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    fn over(group: Pid, limit: Duration) -> Self {
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let late = told.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if late {
                let _ = killpg(group, Signal::SIGKILL);
            }
            late
        });
        Self { tell, thread }
    }

    /// Did it kill?
    fn leave(self) -> bool {
        drop(self.tell);
        self.thread.join().unwrap_or(true)
    }
}
