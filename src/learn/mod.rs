//! Learning: runs a command under the tracer and writes the profile of what it did.
//!
//! Two threads. The tracer's forks, seizes and loops, since ptrace belongs to a thread. The caller's takes
//! signals, and writes the profile so far at most once a second, so that a learner that is killed loses no
//! more than that.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::arch::Arch;
use crate::closure;
use crate::command::Command;
use crate::evidence::{Evidence, Run, Seen};
use crate::launch::{self, LaunchError, setup};
use crate::output::{Output, OutputError};
use crate::profile::Profile;
use crate::recording::{Note, Recording};
use crate::supervise::{self, JobControl};
use crate::sys::signal::{self, Signal, Taken};
use crate::sys::spawn::{Child, Plan};
use crate::sys::wait::End;
use crate::trace::{Live, TraceError, Tracer};

/// How often the profile so far is written.
const CHECKPOINT: Duration = Duration::from_secs(1);

/// How long after the first `SIGTERM` another one means it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What to learn, and from where.
pub(crate) struct Request {
    /// What to run.
    pub(crate) command: Command,
    /// Where the profile goes.
    pub(crate) output: Output,
    /// What is known already: the result allows it too.
    pub(crate) base: Option<Profile>,
    /// Leave `no_new_privs` unset.
    pub(crate) allow_new_privs: bool,
    /// Where the evidence goes, and what earlier runs saw; `None`: it is not wanted.
    pub(crate) evidence: Option<(Output, Evidence)>,
    /// Where the run takes place.
    pub(crate) setting: Setting,
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
    /// What it did.
    pub(crate) recording: Recording,
    /// What was written; `None` when the command never ran.
    pub(crate) profile: Option<Profile>,
    /// The syscalls that the base denies by a rule and the command made: they are allowed now.
    pub(crate) overruled: BTreeSet<String>,
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
pub(crate) fn run(request: Request) -> Result<Learned, LearnError> {
    let mut plan = launch::plan(&request.command)?;
    if request.allow_new_privs {
        plan.allow_new_privs();
    }
    let live = Arc::new(Live::default());
    let traced = start(plan, &live)?;
    let mut session = Session {
        request,
        live,
        traced,
        begun: Instant::now(),
        started: SystemTime::now(),
        written: 0,
        overruled: BTreeSet::new(),
        termed: None,
        jobs: JobControl::default(),
    };
    let ended = session.watch();
    if let Some(failure) = session.traced.child.failure() {
        return Err(LaunchError::of(failure, &session.request.command).into());
    }
    // What was recorded is written even when recording broke off: that is said afterwards.
    let end = session.live.main_end();
    let written = if session.live.executed() {
        Some(session.write(end)?)
    } else {
        None
    };
    let cut_short = ended? == Watched::ToldToEnd;
    let (profile, recording) = written.unzip();
    Ok(Learned {
        end,
        cut_short,
        recording: recording.unwrap_or_default(),
        profile,
        overruled: session.overruled,
        took: session.begun.elapsed(),
    })
}

/// A command whose tracer runs.
struct Traced {
    child: Arc<Child>,
    /// Receives once, when tracing is over.
    outcome: Receiver<Result<(), TraceError>>,
}

/// Starts the tracer's thread, which starts the command.
fn start(plan: Plan, live: &Arc<Live>) -> Result<Traced, LearnError> {
    let (started, start) = mpsc::channel();
    let (over, outcome) = mpsc::channel();
    let live = Arc::clone(live);
    let body = move || match seize(plan, &live) {
        Ok((child, tracer)) => {
            // Nobody listens only when the other thread is gone, and the process with it.
            let _ = started.send(Ok(child));
            let _ = over.send(tracer.run());
            signal::wake_taker();
        }
        Err(error) => {
            let _ = started.send(Err(error));
        }
    };
    let spawned = thread::Builder::new().name("tracer".into()).spawn(body);
    spawned.map_err(|error| setup("start the tracer's thread")(errno_of(&error)))?;
    block_signals()?;
    let child = start
        .recv()
        .map_err(|_| setup("start the tracer")(crate::sys::Errno::ECHILD))??;
    Ok(Traced { child, outcome })
}

/// Once more, in both threads: to start one, the C library opens two signals that it uses itself.
fn block_signals() -> Result<(), LaunchError> {
    signal::block_all()
        .map(drop)
        .map_err(setup("block signals"))
}

/// Forks, seizes, settles, and lets the command go.
fn seize(plan: Plan, live: &Live) -> Result<(Arc<Child>, Tracer<'_>), LearnError> {
    block_signals()?;
    let mut child = plan.spawn().map_err(LaunchError::from)?;
    let ready = Tracer::seize(child.pid(), live).map_err(LearnError::from);
    let ready = ready.and_then(|tracer| {
        signal::no_child_stops().map_err(setup("set signal dispositions"))?;
        launch::settle(&child)?;
        child.open_gate().map_err(setup("let the command go"))?;
        Ok(tracer)
    });
    match ready {
        Ok(tracer) => Ok((Arc::new(child), tracer)),
        Err(error) => {
            child.abandon();
            Err(error)
        }
    }
}

/// The caller's side of a run.
struct Session {
    request: Request,
    live: Arc<Live>,
    traced: Traced,
    begun: Instant,
    started: SystemTime,
    /// How many different syscalls the last checkpoint held.
    written: usize,
    /// What the base denies and the command made.
    overruled: BTreeSet<String>,
    /// When the first `SIGTERM` came.
    termed: Option<Instant>,
    jobs: JobControl,
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
                if self.is_told_to_end(taken) {
                    // The tracees die with this process (PTRACE_O_EXITKILL).
                    return Ok(Watched::ToldToEnd);
                }
                self.jobs.taken(taken.signal);
            }
            if let Some(signal) = self.live.take_stop() {
                self.jobs.stopped(signal);
            }
            if last.elapsed() >= CHECKPOINT {
                self.checkpoint();
                last = Instant::now();
            }
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
        supervise::forward(&self.traced.child, taken);
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
    fn write(&mut self, end: Option<End>) -> Result<(Profile, Recording), LearnError> {
        let recording = self.live.recording().clone();
        let learned = closure::profile_of(&recording, Arch::NATIVE);
        let profile = match self.request.base.clone() {
            Some(mut base) => {
                self.overruled = closure::overrule(&mut base, &learned);
                Profile::union(&[base, learned])?
            }
            None => learned,
        };
        self.request.output.write(profile.to_json())?;
        let run = self.run(&recording, end);
        if let Some((output, earlier)) = &mut self.request.evidence {
            let mut evidence = earlier.clone();
            evidence.runs.push(run);
            output.write(evidence.to_json())?;
        }
        Ok((profile, recording))
    }

    /// This run, as the evidence tells it.
    fn run(&self, recording: &Recording, end: Option<End>) -> Run {
        let Request {
            command, setting, ..
        } = &self.request;
        let words = command
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
            tasks: recording.tasks,
            filtered: setting.filtered,
            complete: !recording.notes.iter().any(Note::is_loss),
            notes: recording.notes.iter().map(ToString::to_string).collect(),
            calls: Seen::of(recording),
        }
    }
}

fn errno_of(error: &std::io::Error) -> crate::sys::Errno {
    crate::sys::Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN))
}
