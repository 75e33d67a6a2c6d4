//! Learning: runs a command under the tracer and writes the profile of what it did.
//!
//! Two threads. The tracer's forks, seizes and loops, since ptrace belongs to a thread. The caller's takes
//! signals, and writes the profile so far at most once a second, so that a learner that is killed loses no
//! more than that.

mod c_library;
mod start;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) use self::start::Start;
use self::start::Traced;
use crate::arch::Arch;
use crate::closure::{self, Installer, Siblings};
use crate::command::Command;
use crate::descendants;
use crate::estimate::Estimate;
use crate::evidence::{Added, Evidence, Run};
use crate::launch::{LaunchError, setup};
use crate::output::{Output, OutputError};
use crate::peek::Status;
use crate::profile::Profile;
use crate::recording::Recording;
use crate::supervise::{self, JobControl};
use crate::sys::signal::{self, Signal, Taken};
use crate::sys::wait::End;
use crate::syscall::Sysno;
use crate::trace::{Live, TraceError};

/// How often the profile so far is written.
const CHECKPOINT: Duration = Duration::from_secs(1);

/// How long after the first `SIGTERM` another one means it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is to come of it.
pub(crate) struct Request {
    /// Where the profile goes.
    pub(crate) output: Output,
    /// What is known already: the result allows it too.
    pub(crate) base: Option<Profile>,
    /// Allow also what another C library or kernel would use instead.
    pub(crate) portable: bool,
    /// Who will install the profile's filter.
    pub(crate) installer: Installer,
    /// Where the evidence goes, and what earlier runs saw; `None`: it is not wanted.
    pub(crate) evidence: Option<(Output, Evidence)>,
    /// Where the run takes place.
    pub(crate) setting: Setting,
    /// Is told about once a second how far learning has come.
    pub(crate) ticks: Option<Tick>,
    /// Is told when `SIGUSR1` asks.
    pub(crate) asked: fn(&SoFar),
}

/// Is called now and then.
pub(crate) type Tick = Box<dyn FnMut(&SoFar)>;

/// How far learning has come.
pub(crate) struct SoFar {
    /// How many different syscalls were made.
    pub(crate) syscalls: usize,
    /// How long ago the last of them was new.
    pub(crate) newest: Duration,
    /// How many processes were traced.
    pub(crate) processes: u64,
    /// The chance that another run needs more, 0 to 1, where it can be told.
    pub(crate) chance: Option<f64>,
}

/// What the evidence says about the place of a run.
pub(crate) struct Setting {
    /// The kernel's release.
    pub(crate) kernel: String,
    /// Is an outer seccomp filter in force?
    pub(crate) filtered: bool,
}

/// What came of it.
pub(crate) struct Learned {
    /// How the command itself ended; `None` when learning was ended first.
    pub(crate) end: Option<End>,
    /// Learning was ended while somebody was still running.
    pub(crate) cut_short: bool,
    /// Who was killed for it and is not gone yet: the pid and the name.
    pub(crate) left: Vec<(i32, String)>,
    /// What it did.
    pub(crate) recording: Recording,
    /// What was written; `None` when the command never ran.
    pub(crate) profile: Option<Profile>,
    /// The syscalls that the base denies by a rule and the command made: they are allowed now.
    pub(crate) overruled: BTreeSet<String>,
    /// All runs so far, this one included; `None` when evidence is not wanted.
    pub(crate) evidence: Option<Evidence>,
    /// From exec to the end of the last descendant.
    pub(crate) took: Duration,
}

/// Why nothing could be learned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LearnError {
    /// The command was not started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// It cannot be traced.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The profile cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// What was learned contradicts the base.
    #[error(transparent)]
    Merge(#[from] crate::profile::MergeError),
}

/// Runs the command to the end of its last descendant, recording, and writes the profile.
pub(crate) fn run(mut start: Start, request: Request) -> Result<Learned, LearnError> {
    start.kept.extend(request.output.lock_fd());
    // A tracer without privileges keeps its tracees from gaining any.
    let may_gain = start.allow_new_privs && nix::unistd::Uid::effective().is_root();
    let live = Arc::new(Live::new(may_gain));
    let command = start.command.clone();
    let strangers = descendants::children();
    let traced = start::start(start, &live)?;
    let mut session = Session {
        command,
        request,
        live,
        traced,
        begun: Instant::now(),
        started: SystemTime::now(),
        written: 0,
        overruled: BTreeSet::new(),
        libc: None,
        termed: None,
        jobs: JobControl::default(),
    };
    let ended = session.watch();
    let mut left = Vec::new();
    if matches!(ended, Ok(Watched::ToldToEnd) | Err(_)) {
        left = descendants::kill_all_but(&strangers);
    }
    if let Some(failure) = session.traced.child.failure() {
        return Err(LaunchError::of(failure, &session.command).into());
    }
    // What was recorded is written even when recording broke off: that is said afterwards.
    let end = session.live.main_end();
    let written = if session.live.executed() {
        Some(session.write(end)?)
    } else {
        None
    };
    let cut_short = ended? == Watched::ToldToEnd;
    let (profile, recording, evidence) = match written {
        Some(Written {
            profile,
            recording,
            evidence,
        }) => (Some(profile), recording, evidence),
        None => (None, Recording::default(), None),
    };
    Ok(Learned {
        end,
        cut_short,
        left,
        recording,
        profile,
        evidence,
        overruled: session.overruled,
        took: session.begun.elapsed(),
    })
}

/// The caller's side of a run.
struct Session {
    command: Command,
    request: Request,
    live: Arc<Live>,
    traced: Traced,
    begun: Instant,
    started: SystemTime,
    /// How many different syscalls the last checkpoint held.
    written: usize,
    /// What the base denies and the command made.
    overruled: BTreeSet<String>,
    /// The C library, once it is known.
    libc: Option<String>,
    /// When the first `SIGTERM` came.
    termed: Option<Instant>,
    jobs: JobControl,
}

/// What was written, and the recording it came from.
struct Written {
    profile: Profile,
    recording: Recording,
    evidence: Option<Evidence>,
}

/// Why watching is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    /// Everybody has ended.
    AllEnded,
    /// A signal asked for it.
    ToldToEnd,
}

impl Session {
    /// Takes signals and writes checkpoints until tracing is over, or is asked to be.
    fn watch(&mut self) -> Result<Watched, LearnError> {
        let mut last = Instant::now();
        loop {
            if let Ok(outcome) = self.traced.outcome.try_recv() {
                outcome?;
                return Ok(Watched::AllEnded);
            }
            let taken = signal::take_other_than_child(CHECKPOINT).map_err(setup("take signals"))?;
            if let Some(taken) = taken {
                if taken.signal == Signal::USR1 {
                    (self.request.asked)(&self.so_far());
                }
                if self.is_told_to_end(taken) {
                    return Ok(Watched::ToldToEnd);
                }
                self.jobs.taken(taken.signal);
            }
            if let Some(signal) = self.live.take_stop() {
                self.jobs.stopped(signal);
            }
            if last.elapsed() >= CHECKPOINT {
                self.checkpoint();
                self.tick();
                last = Instant::now();
            }
        }
    }

    fn tick(&mut self) {
        if self.live.executed() && self.request.ticks.is_some() {
            let so_far = self.so_far();
            self.request.ticks.iter_mut().for_each(|tick| tick(&so_far));
        }
    }

    fn so_far(&self) -> SoFar {
        // Nothing is worked out while the tracer waits for the recording.
        let (syscalls, ran_free, newest, processes) = {
            let recording = self.live.recording();
            let calls = recording.calls();
            let syscalls: BTreeSet<Sysno> = calls.iter().map(|&(sysno, _)| sysno).collect();
            (
                syscalls,
                recording.ran_free,
                recording.newest(),
                recording.processes,
            )
        };
        SoFar {
            syscalls: syscalls.len(),
            newest: self
                .begun
                .elapsed()
                .saturating_sub(newest.unwrap_or_default()),
            processes,
            chance: self
                .request
                .evidence
                .as_ref()
                .and_then(|(_, earlier)| Estimate::with(earlier, syscalls, ran_free).chance()),
        }
    }

    /// Passes a signal on. A second `SIGTERM`, or any request to end once only descendants are left, ends
    /// learning.
    fn is_told_to_end(&mut self, taken: Taken) -> bool {
        let asks = matches!(
            taken.signal,
            Signal::TERM | Signal::INT | Signal::HUP | Signal::QUIT
        );
        if asks && self.live.main_end().is_some() {
            return true;
        }
        // It asks us how far we are. A command that does not expect it would end by the question.
        let child = &self.traced.child;
        let only_asks = taken.signal == Signal::USR1
            && Status::of(child.pid()).is_some_and(|status| status.is_defenceless(Signal::USR1));
        if !only_asks {
            supervise::forward(child, taken);
        }
        if taken.signal != Signal::TERM {
            return false;
        }
        // timeout(1) sends two at once: to its child, and to the group.
        let first = *self.termed.get_or_insert_with(Instant::now);
        first.elapsed() >= PATIENCE
    }

    fn checkpoint(&mut self) {
        let distinct = self.live.recording().distinct();
        if self.live.executed() && distinct > self.written {
            match self.write(None) {
                Ok(_) => self.written = distinct,
                // The last write will fail as well, and say so.
                Err(error) => log::debug!("checkpoint: {error}"),
            }
        }
    }

    /// Writes what is known by now: the profile, then its evidence.
    fn write(&mut self, end: Option<End>) -> Result<Written, LearnError> {
        let recording = self.live.snapshot();
        let siblings = if self.request.portable {
            Siblings::Added(self.request.base.as_ref())
        } else {
            Siblings::Left
        };
        let learned =
            closure::profile_of(&recording, Arch::NATIVE, siblings, self.request.installer);
        let added = closure::added(&learned);
        let profile = match self.request.base.clone() {
            Some(mut base) => {
                self.overruled = closure::overrule(&mut base, &learned);
                Profile::union(&[base, learned])?
            }
            None => learned,
        };
        self.request.output.write(profile.to_json())?;
        if self.libc.is_none() {
            self.libc = c_library::of(&recording);
        }
        let run = self.run(&recording, end, added);
        let mut evidence = None;
        if let Some((output, earlier)) = &mut self.request.evidence {
            let all = evidence.insert(earlier.clone());
            all.runs.push(run);
            output.write(all.to_json())?;
        }
        Ok(Written {
            profile,
            recording,
            evidence,
        })
    }

    /// This run, as the evidence tells it.
    fn run(&self, recording: &Recording, end: Option<End>, added: Vec<Added>) -> Run {
        let setting = &self.request.setting;
        let words = self
            .command
            .words
            .iter()
            .map(|word| word.to_string_lossy().into_owned());
        let since_1970 = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        Run {
            command: words.collect(),
            started: since_1970.as_secs(),
            seconds: self.begun.elapsed().as_secs_f64(),
            kernel: setting.kernel.clone(),
            end: end.map_or_else(|| "running".to_owned(), |end| end.to_string()),
            filtered: setting.filtered,
            libc: self.libc.clone(),
            added,
            ..Run::of(recording)
        }
    }
}

fn errno_of(error: &std::io::Error) -> crate::sys::Errno {
    crate::sys::Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN))
}
