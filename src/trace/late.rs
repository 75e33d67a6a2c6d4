//! The adaptive engine: from two stops a call to none.
//!
//! A process starts with two stops a call. When it is ready (`image` says when), it is made to install a filter
//! (`inject`) that lets what is known run free (`known`), and its threads are let go, each at its next stop: no
//! thread is interrupted, since an interruption can end a call with `EINTR`. What is unknown then comes to the
//! `desk`. Where there can be no listener, the filter stops the process at unknown calls instead, and it stays
//! traced; where nothing can be installed, it goes on with two stops. Slower, never wrong.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::desk::Desk;
use super::image::{File, Images, Pace};
use super::inject::{Injection, Outcome, Progress};
use super::known::{self, Known, Unknown};
use super::live::{Live, Seen, restricts};
use super::near::{Near, Telling, telling};
use super::stop::{Made, Stop};
use super::tree::{News, Process, Tree, Watch};
use crate::filter::{Filter, Launch, Options};
use crate::recording::Note;
use crate::sys::ptrace::Stopped;
use crate::sys::registers::Registers;
use crate::sys::{Errno, Tid, process, seccomp};
use crate::syscall::Sysno;

/// So many listeners may be open at once: each is a descriptor of ours.
const LISTENERS: usize = 512;

/// What is known before a run.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    /// Calls that need not be seen.
    pub(crate) base: Known,
    /// The programs that earlier runs have learned.
    pub(crate) covered: HashSet<PathBuf>,
}

/// How to go about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// When to inject.
    pub(crate) pace: Pace,
    /// Change nothing about the program, not even where it runs.
    pub(crate) transparent: bool,
}

impl Manner {
    /// May anything be installed in the program?
    pub(crate) fn may_inject(self) -> bool {
        self.pace != Pace::Never && !self.transparent
    }
}

/// The engine's state.
#[derive(Debug)]
pub(super) struct Late {
    knowledge: Knowledge,
    images: Images,
    /// `None`: nothing is injected.
    means: Option<Means>,
    near: Option<Near>,
    under_way: HashMap<Tid, Box<Injection>>,
    /// Tasks that wait for an injection into their process before they execute a program or make a task: that would
    /// close its listener, or hand it on.
    parked: Vec<Stopped>,
    /// Tasks whose next entry-stop is one that was seen already.
    replays: HashSet<Tid>,
    /// The filter of what was known when it was made.
    ready_made: Option<ReadyMade>,
    /// The filters of whoever is not injected into: those from outside. `None`: the kernel does not count.
    filters: Option<u32>,
}

/// How a filter can be put into a process here.
#[derive(Debug)]
struct Means {
    flags: libc::c_ulong,
    /// `None`: there can be no listener.
    desk: Option<Arc<Desk>>,
}

#[derive(Debug)]
struct ReadyMade {
    /// How many calls were known, whether there were threads, and how the rest comes to us.
    state: (usize, bool, Unknown),
    filter: Filter,
}

/// What the engine did at a stop.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing: the tracer goes on as it would.
    None,
    /// The task runs on into a call that is not its own, or is stopped by the signal of this stop.
    Borrowed,
    /// The task is before its own call again.
    Returned,
}

/// The flags of a filter with a listener, the best first.
const LISTENING: [libc::c_ulong; 2] = [
    COMMON
        | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER
        | libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH
        | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    COMMON | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
];
/// All threads get it; and the learner shall not slow the program down by mitigations that nobody asked for.
const COMMON: libc::c_ulong =
    libc::SECCOMP_FILTER_FLAG_TSYNC | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;

/// The flags for a filter with a listener here.
pub(crate) fn listening_flags() -> Option<libc::c_ulong> {
    let available = |flags: &libc::c_ulong| seccomp::flags_available(*flags).is_ok();
    LISTENING.into_iter().find(available)
}

/// A learner's filter.
///
/// # Errors
/// Only by a mistake of the compiler: then nothing is injected.
pub(crate) fn compile(known: &Known, unknown: Unknown, launch: Launch) -> Option<Filter> {
    let options = Options {
        launch,
        weights: None,
    };
    Filter::compile(&known::policy(known, unknown), &options)
        .inspect_err(|error| log::debug!("the learner's filter: {error}"))
        .ok()
}

impl Late {
    /// The engine for the calling thread. `desk`: where notifications arrive.
    pub(super) fn new(knowledge: Knowledge, manner: Manner, desk: Option<Arc<Desk>>) -> Self {
        let means = manner.may_inject().then(|| Means::find(desk)).flatten();
        let near = if manner.transparent {
            None
        } else {
            Near::here()
                .inspect_err(|errno| log::debug!("stops across processors: {errno}"))
                .ok()
        };
        Self {
            knowledge,
            images: Images::new(manner.pace),
            means,
            near,
            ..Self::idle()
        }
    }

    /// An engine for who has nothing to trace.
    pub(super) fn idle() -> Self {
        Self {
            knowledge: Knowledge::default(),
            images: Images::new(Pace::Never),
            means: None,
            near: None,
            under_way: HashMap::new(),
            parked: Vec::new(),
            replays: HashSet::new(),
            ready_made: None,
            filters: process::filters(0),
        }
    }

    /// A stop that belongs to an injection, if there is one under way here.
    pub(super) fn proceed(
        &mut self,
        tid: Tid,
        stop: &Stop,
        tracee: &Stopped,
        (tree, live): (&mut Tree, &Live),
    ) -> Result<Step, Errno> {
        let Some(injection) = self.under_way.remove(&tid) else {
            return Ok(Step::None);
        };
        match injection.advance(stop, tracee)? {
            Progress::UnderWay(injection) => {
                self.under_way.insert(tid, injection);
                Ok(Step::Borrowed)
            }
            Progress::Over(outcome) => {
                self.injected(tid, outcome, (tree, live));
                Ok(Step::Returned)
            }
        }
    }

    fn injected(&mut self, tid: Tid, outcome: Outcome, (tree, live): (&mut Tree, &Live)) {
        let Some(process) = tree.process_mut(tid) else {
            return;
        };
        log::debug!("task {tid}: {outcome:?}");
        if !matches!(outcome, Outcome::Refused(_)) {
            live.runs_free();
            live.recording().injections += 1;
        }
        process.watch = match outcome {
            Outcome::Listening(listener) => {
                if let Some(desk) = self.means.as_ref().and_then(|means| means.desk.as_ref()) {
                    desk.add(listener);
                }
                Watch::Listener
            }
            Outcome::Deaf => {
                live.recording().notes.insert(Note::Unread);
                Watch::Listener
            }
            Outcome::Installed => Watch::Filter,
            Outcome::Refused(errno) => {
                self.replays.insert(tid);
                // A listener is there already, somebody else's: try without one.
                let again = errno == Errno::EBUSY && !process.has_foreign_listener;
                process.has_foreign_listener |= again;
                if again {
                    Watch::Stops
                } else {
                    Watch::StopsOnly
                }
            }
        };
    }

    /// The tasks that had to wait, when no injection is under way any more.
    pub(super) fn unpark(&mut self) -> Vec<Stopped> {
        if self.under_way.is_empty() {
            std::mem::take(&mut self.parked)
        } else {
            Vec::new()
        }
    }

    /// Keeps a task from executing another program, or making a task, while its process is being injected into.
    pub(super) fn park(&mut self, tracee: Stopped) {
        self.parked.push(tracee);
    }

    /// Asks the kernel about a process that was born while its parent got a filter.
    pub(super) fn settle(&self, tid: Tid, tree: &mut Tree) {
        let Some(process) = tree.process_mut(tid) else {
            return;
        };
        let filters = match process.watch {
            Watch::Doubtful | Watch::Stranger => process::filters(tid),
            _ => return,
        };
        process.watch = match filters {
            Some(count) if Some(count) == self.filters => Watch::Stops,
            Some(_) if process.watch == Watch::Doubtful => Watch::Listener,
            // Whose filter it is, or whether there is one, is unknown: two stops a call are right in any case.
            _ => Watch::StopsOnly,
        };
    }

    /// Was this entry seen already?
    pub(super) fn is_replay(&mut self, tid: Tid) -> bool {
        !self.replays.is_empty() && self.replays.remove(&tid)
    }

    /// A task has executed a file. Returns the number of its image.
    pub(super) fn executed(&mut self, tid: Tid, before: u64) -> u64 {
        if let Some(near) = &mut self.near {
            near.forget(tid);
        }
        let link = format!("/proc/{tid}/exe");
        let file: Option<File> = fs::metadata(&link)
            .ok()
            .map(|meta| (meta.dev(), meta.ino()));
        let covered = !self.knowledge.covered.is_empty()
            && fs::read_link(link).is_ok_and(|path| self.knowledge.covered.contains(&path));
        self.images.executed(before, file, covered)
    }

    /// A process has a child.
    pub(super) fn hears(&mut self, news: Option<News>) {
        match news {
            Some(News::Forked { image }) => self.images.forked(image),
            Some(News::Started { by }) => self.images.started(by),
            None => {}
        }
    }

    /// A process is not traced any more.
    pub(super) fn left(&mut self, process: &Process) {
        self.images.left(process.image);
    }

    /// A task has ended.
    pub(super) fn ended(&mut self, tid: Tid) {
        self.under_way.remove(&tid);
        self.replays.remove(&tid);
        self.parked.retain(|parked| parked.tid() != tid);
        if let Some(near) = &mut self.near {
            near.ended(tid);
        }
    }

    /// A task is let go.
    pub(super) fn release(&mut self, tid: Tid) {
        if let Some(near) = &mut self.near {
            near.release(tid);
        }
    }

    /// A task is about to be resumed: where it runs until its next stop.
    pub(super) fn place(
        &mut self,
        tid: Tid,
        stop: &Stop,
        tracee: &Stopped,
        process: Option<&Process>,
    ) {
        let Some(near) = &mut self.near else {
            return;
        };
        let told = match *stop {
            Stop::Entry(made) => {
                let name = Sysno::of_call(made.audit, made.nr).and_then(Sysno::name);
                let peek = |address| tracee.peek(address).ok();
                name.map_or(Telling::No, |name| telling(name, &made.args, peek))
            }
            _ => Telling::No,
        };
        let stops = process.is_some_and(|process| {
            process.tasks() == 1 && matches!(process.watch, Watch::Stops | Watch::StopsOnly)
        });
        match told {
            Telling::Shows => near.leave_alone(tid),
            Telling::No if stops => near.hold(tid),
            Telling::No | Telling::HandsOn => near.release(tid),
        }
    }

    /// A call was taken down: begins an injection where the process is ready for it. True: it has begun.
    pub(super) fn at_entry(
        &mut self,
        made: &Made,
        seen: Seen,
        tracee: &Stopped,
        (tree, live, branching): (&mut Tree, &Live, &dyn Fn(Tid) -> bool),
    ) -> bool {
        let &Made {
            tid, audit, args, ..
        } = made;
        let name = seen.sysno.and_then(Sysno::name);
        let Some(process) = tree.process_mut(tid) else {
            return false;
        };
        process.calls += 1;
        process.has_filters |= restricts(name, &args).is_some();
        let image = process.image;
        let process = *process;
        self.images.calls(image, name, args[0], seen.new);
        let plain = name.is_some_and(Stop::is_plain) && Registers::can_call(audit);
        let may = process.watch == Watch::Stops && !process.has_filters;
        let alone = process.is_alone();
        if !plain || !may || !self.images.is_ready(image) {
            return false;
        }
        if !alone {
            // Another's memory may be in use by who knows whom.
            if process.shares_memory || tree.threads(tid).into_iter().any(branching) {
                return false;
            }
        }
        let begun = self.begin(tracee, &process, alone, live);
        if let Some(process) = tree.process_mut(tid) {
            process.watch = if begun {
                Watch::Injecting
            } else {
                Watch::StopsOnly
            };
        }
        begun
    }

    fn begin(&mut self, tracee: &Stopped, process: &Process, alone: bool, live: &Live) -> bool {
        let Some(means) = &self.means else {
            return false;
        };
        let desk = means.desk.as_ref();
        let listens =
            desk.is_some_and(|desk| desk.listeners() < LISTENERS) && !process.has_foreign_listener;
        let (unknown, flags) = if listens {
            (Unknown::Notify, means.flags)
        } else {
            (Unknown::Stop, COMMON)
        };
        let Some(filter) = self.filter(unknown, live) else {
            return false;
        };
        match Injection::begin(tracee, filter, flags, alone) {
            Ok(injection) => {
                self.under_way.insert(tracee.tid(), injection);
                true
            }
            Err(errno) => {
                log::debug!("task {}: nothing can be injected: {errno}", tracee.tid());
                false
            }
        }
    }

    /// The filter for what is known by now.
    fn filter(&mut self, unknown: Unknown, live: &Live) -> Option<&Filter> {
        let recording = live.recording();
        let state = (recording.distinct(), recording.threads, unknown);
        let made = self.ready_made.take().filter(|made| made.state == state);
        let made = if let Some(made) = made {
            made
        } else {
            let mut known = self.knowledge.base.clone();
            let calls = recording.calls().into_iter().map(|(sysno, _)| sysno);
            known.calls.extend(calls);
            known.threads |= recording.threads;
            // Nobody shall wait for the recording while we compile.
            drop(recording);
            let filter = compile(&known, unknown, Launch::Late)?;
            ReadyMade { state, filter }
        };
        Some(&self.ready_made.insert(made).filter)
    }
}

impl Means {
    fn find(desk: Option<Arc<Desk>>) -> Option<Self> {
        if let (Some(desk), Some(flags)) = (desk, listening_flags()) {
            let desk = Some(desk);
            return Some(Self { flags, desk });
        }
        let flags = COMMON;
        seccomp::flags_available(flags).ok()?;
        Some(Self { flags, desk: None })
    }
}
