//! The tracer: seizes a command, records every syscall of it and all its descendants, and soon gets out of
//! their way.
//!
//! ```text
//! tree      which tasks there are, whatever the order of events      stop    what a stop means
//! record    what a stop says about the command                       unhide  children that hide
//! late      from two stops a call to none: when, how                 image   when a process is ready
//! inject    a filter's way into a process                            known   what is in it
//! desk      unknown calls of processes that are not traced any more  near    cheap stops
//! live      what other threads see of it                             place   where a call was made
//! crowd     waiting for one of many
//! ```
//!
//! ptrace requests belong to the thread that seized, and `PTRACE_O_EXITKILL` fires when that thread ends:
//! [`Tracer`] lives on one thread, which forks, seizes and loops. What it learns is in [`Live`], which
//! another thread reads.
//!
//! Calls are recorded at *entry*, because `exit_group` and `rt_sigreturn` never return, and keyed by the
//! architecture that the kernel reports for each call: 64-bit code can make 32-bit calls.

mod crowd;
mod desk;
mod image;
mod inject;
mod known;
mod late;
mod live;
mod near;
mod record;
mod stop;
mod tree;
mod unhide;

use std::os::fd::AsFd as _;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::crowd::Crowd;
use self::late::{Late, Step};
use self::live::Seen;
use self::record::Recorder;
use self::stop::{Made, Stop};
use self::tree::{Kin, News, Process, Reaction, Tree, Watch};
use crate::descendants;
use crate::recording::{Fate, Note};
use crate::sys::ptrace::{self, Resume, Stopped};
use crate::sys::registers::Registers;
use crate::sys::signal;
use crate::sys::wait::{self, Block, Change, RawStop};
use crate::sys::{Errno, Tid, process};

pub(crate) use self::desk::Desk;
pub(crate) use self::image::{COVERED, Pace};
pub(crate) use self::known::{Known, Unknown};
pub(crate) use self::late::{Knowledge, Manner, compile, listening_flags};
pub(crate) use self::live::Live;

/// Why tracing is not possible here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TraceError {
    /// `PTRACE_SEIZE` failed.
    #[error("cannot trace the command (PTRACE_SEIZE)")]
    Seize(#[source] Errno),
    /// The kernel does not describe syscall-stops.
    #[error("cannot read the command's syscalls (PTRACE_GET_SYSCALL_INFO)")]
    SyscallInfo(#[source] Errno),
    /// `SIGCHLD` cannot be had.
    #[error("cannot take signals of children")]
    Signals(#[source] Errno),
    /// `wait4` failed.
    #[error("cannot wait for the command (wait4)")]
    Wait(#[source] Errno),
}

/// Traces one command. Stays on the thread that made it.
pub(crate) struct Tracer<'a> {
    tree: Tree,
    live: &'a Live,
    recorder: Recorder,
    late: Late,
    desk: Option<Arc<Desk>>,
    crowd: Crowd,
    /// A task has ended since stale ones were last looked for.
    unswept: bool,
}

impl<'a> Tracer<'a> {
    /// Seizes a child that waits behind its gate. `desk`: where unknown calls can be heard.
    pub(crate) fn seize(
        main: Tid,
        live: &'a Live,
        (knowledge, manner): (Knowledge, Manner),
        desk: Option<Arc<Desk>>,
    ) -> Result<Self, TraceError> {
        ptrace::seize(main).map_err(TraceError::Seize)?;
        signal::set_child_stops(false).map_err(TraceError::Signals)?;
        begin(live);
        Ok(Self {
            tree: Tree::new(main),
            live,
            recorder: Recorder::default(),
            late: Late::new(knowledge, manner, desk.clone()),
            desk,
            crowd: Crowd::default(),
            unswept: false,
        })
    }

    /// Looks after a child that got its filter, and its listener at this desk, before its exec.
    pub(crate) fn beside(main: Tid, live: &'a Live, desk: Arc<Desk>) -> Self {
        begin(live);
        live.runs_free();
        let exe = live.executable(main);
        live.recording().fate(exe, Fate::FilterBeforeExec, 0);
        Self {
            tree: Tree::untraced(main),
            live,
            recorder: Recorder::default(),
            late: Late::idle(),
            desk: Some(desk),
            crowd: Crowd::default(),
            unswept: false,
        }
    }

    /// Runs until the last descendant has ended. [`Live::main_end`] tells how the command itself did.
    pub(crate) fn run(mut self) -> Result<(), TraceError> {
        self.trace()?;
        self.outlast()
    }

    /// Until nobody is traced any more.
    fn trace(&mut self) -> Result<(), TraceError> {
        loop {
            match self.next() {
                Ok(Some((tid, change))) => self.handle(tid, change)?,
                Ok(None) if !self.tree.is_over() => {}
                // A child whose parent was killed before its event has announced itself to nobody yet.
                Ok(None) if descendants::is_any_child_traced() => process::pause(),
                // Left are children that were never traced: our caller's, or orphans that PID 1 inherits; and
                // those that were let go.
                Ok(None) | Err(Errno::ECHILD) => return Ok(()),
                Err(errno) => return Err(TraceError::Wait(errno)),
            }
        }
    }

    /// Until the last listener has hung up.
    fn outlast(&mut self) -> Result<(), TraceError> {
        let Some(desk) = self.desk.clone() else {
            return Ok(());
        };
        let ends = signal::child_fd().map_err(TraceError::Signals)?;
        // Nothing stops any more but by job control, which is passed on.
        signal::set_child_stops(true).map_err(TraceError::Signals)?;
        loop {
            loop {
                match wait::next(-1, Block::No) {
                    Ok(Some((tid, change))) => self.handle(tid, change)?,
                    Ok(None) | Err(Errno::ECHILD) => break,
                    Err(errno) => return Err(TraceError::Wait(errno)),
                }
            }
            // A listener hangs up a little before its last process can be reaped.
            if desk.listeners() == 0 && self.tree.main_end().is_some() {
                return Ok(());
            }
            let fds = [ends.as_fd(), desk.quiet().as_fd()];
            let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(TraceError::Wait(errno)),
            }
            // One end may stand for many: all that there are will be looked for. And whoever was quiet once would
            // keep us awake for good.
            let _ = ends.read_signal();
            let _ = desk.quiet().read();
        }
    }

    /// The next change. `None`: there was none, and waiting for one may be in vain.
    fn next(&mut self) -> Result<Option<(Tid, Change)>, Errno> {
        let may_be_stale = self.unswept && self.tree.main_end().is_some();
        if !self.tree.is_over() && !may_be_stale {
            return self.crowd.next(&self.tree);
        }
        let next = wait::next(-1, Block::No)?;
        if next.is_none() && may_be_stale {
            self.unswept = false;
            return self.sweep();
        }
        Ok(next)
    }

    /// Forgets tasks that the kernel does not know. A thread that is killed while it calls exec can vanish
    /// without a word, and while the main process lives that does not matter.
    fn sweep(&mut self) -> Result<Option<(Tid, Change)>, Errno> {
        for tid in self.tree.alive() {
            match wait::next(tid, Block::No) {
                Ok(None) => {}
                Ok(found) => {
                    self.unswept = true;
                    return Ok(found);
                }
                Err(Errno::ECHILD) => self.forget(tid),
                Err(errno) => return Err(errno),
            }
        }
        Ok(None)
    }

    /// A task is not traced any more.
    fn forget(&mut self, tid: Tid) {
        self.recorder.ended(tid);
        self.late.ended(tid);
        if let Some(process) = self.tree.let_go(tid) {
            self.is_over(&process);
        }
    }

    /// A process has ended, or has nothing more to be seen at stops.
    fn is_over(&mut self, process: &Process) {
        self.late.left(process);
        let fate = match process.watch {
            Watch::Listener => Fate::LateFilter,
            Watch::Filter => Fate::TracedFilter,
            _ => Fate::Stops,
        };
        if let Some(exe) = process.exe {
            self.live.recording().fate(exe, fate, process.calls);
        }
    }

    fn handle(&mut self, tid: Tid, change: Change) -> Result<(), TraceError> {
        match change {
            Change::Ended(end) => {
                self.recorder.ended(tid);
                self.late.ended(tid);
                if let Some(process) = self.tree.ended(tid, end) {
                    self.is_over(&process);
                }
                self.unswept = true;
                self.live.set_main_end(self.tree.main_end());
                self.unpark()
            }
            // A task of ours that is not traced: job control stops it, and nobody waits for us to do anything.
            Change::Stopped(raw) if raw.event == 0 && !self.tree.has(tid) => {
                self.tell_of_stop(tid, raw.signal);
                Ok(())
            }
            Change::Stopped(raw) => self.stopped(tid, raw),
        }
    }

    fn stopped(&mut self, tid: Tid, raw: RawStop) -> Result<(), TraceError> {
        self.live.count_stop();
        let stop = match Stop::read(&raw) {
            Ok(stop) => stop,
            // SIGKILL ended the stop; its end will be reported.
            Err(Errno::ESRCH) => Stop::Other,
            Err(errno) if !self.tree.executed() => return Err(TraceError::SyscallInfo(errno)),
            Err(_) => {
                self.live.recording().notes.insert(Note::Unread);
                Stop::Other
            }
        };
        let world = (&mut self.tree, self.live);
        let injection = self.late.proceed(tid, &stop, &raw.tracee, world);
        match injection {
            Ok(Step::None) => {}
            Ok(Step::Borrowed) => {
                let signal = match stop {
                    Stop::Signal(signal) => Some(signal),
                    _ => None,
                };
                let reaction = Reaction {
                    signal,
                    ..Reaction::GO_ON
                };
                return self.resume(tid, reaction, raw.tracee);
            }
            Ok(Step::Returned) => {
                self.go_on(tid, &stop, Reaction::GO_ON, raw)?;
                return self.unpark();
            }
            // It was killed; its end will be reported.
            Err(_) => return Ok(()),
        }
        self.late.settle(tid, &mut self.tree);
        let executed = self.tree.executed();
        let reaction = self.learn(tid, &stop);
        if executed {
            if self.take_down(tid, &stop, &raw.tracee) {
                return self.resume(tid, Reaction::GO_ON, raw.tracee);
            }
        } else if self.tree.executed() {
            // No instruction of the command has run yet: the last moment to find that this kernel does
            // not describe syscalls.
            match raw.tracee.syscall() {
                Ok(_) | Err(Errno::ESRCH) => self.live.set_executed(),
                Err(errno) => return Err(TraceError::SyscallInfo(errno)),
            }
        }
        self.go_on(tid, &stop, reaction, raw)
    }

    /// What a stop says about the tree.
    fn learn(&mut self, tid: Tid, stop: &Stop) -> Reaction {
        if let Stop::Born { child, birth } = *stop {
            let kin = self.recorder.born(tid, birth, self.live);
            let (reaction, news) = self.tree.born(tid, child, kin);
            if reaction.confirm.is_none() {
                self.announced(news, kin);
            }
            return reaction;
        }
        let reaction = self.tree.stopped(tid, stop);
        if let Stop::Exec { former } = *stop {
            self.recorder.executed(tid, former);
            if let Some(process) = self.tree.process_mut(tid) {
                process.image = self.late.executed(tid, process.image);
                process.exe = Some(self.live.executable(tid));
            }
        }
        reaction
    }

    fn announced(&mut self, news: Option<News>, kin: Kin) {
        self.late.hears(news);
        let mut recording = self.live.recording();
        recording.tasks = self.tree.tasks;
        recording.processes += u64::from(kin != Kin::Thread);
    }

    /// Takes down what a stop says about the command. True: the task has been made to call something else.
    fn take_down(&mut self, tid: Tid, stop: &Stop, tracee: &Stopped) -> bool {
        match *stop {
            Stop::Exit { result } => {
                self.recorder.exit(tid, result, tracee, self.live);
                false
            }
            Stop::Entry(made) if !self.late.is_replay(tid) => {
                let seen = self.enter(&made, tracee);
                let recorder = &self.recorder;
                let branching = |tid| recorder.is_branching(tid);
                let world = (
                    &mut self.tree,
                    self.live,
                    &branching as &dyn Fn(Tid) -> bool,
                );
                self.late.at_entry(&made, seen, tracee, world)
            }
            Stop::Foreign(made) => {
                // With two stops a call it was taken down at its entry.
                if self.watch(tid) == Some(Watch::Filter) {
                    self.enter(&made, tracee);
                }
                // What the kernel answers when there is no tracer. It fails when the tracee was killed.
                let _ = Registers::refuse(tracee, Errno::ENOSYS);
                false
            }
            _ => false,
        }
    }

    /// A call is entered.
    fn enter(&mut self, made: &Made, tracee: &Stopped) -> Seen {
        // One that was not announced yet is asked what it is.
        let exe = self.tree.process(made.tid).and_then(|process| process.exe);
        let exe = exe.unwrap_or_else(|| self.live.executable(made.tid));
        self.recorder.entry(made, exe, tracee, self.live)
    }

    fn watch(&self, tid: Tid) -> Option<Watch> {
        self.tree.process(tid).map(|process| process.watch)
    }

    /// Resumes a task of the command's, or lets it go when nothing more is to be seen of it.
    fn go_on(
        &mut self,
        tid: Tid,
        stop: &Stop,
        reaction: Reaction,
        raw: RawStop,
    ) -> Result<(), TraceError> {
        if reaction.resume == Resume::Listen {
            self.tell_of_stop(tid, raw.signal);
        }
        let watch = self.watch(tid);
        let waits = self.recorder.waits_for(tid);
        let resume = match (watch, reaction.resume) {
            (Some(Watch::Listener), _) if !waits => {
                return self.let_go(tid, reaction, raw.tracee);
            }
            (Some(Watch::Injecting), _) if self.recorder.is_branching(tid) => {
                self.late.park(raw.tracee);
                return Ok(());
            }
            // Its return must be seen, which is a stop that its filter does not ask for.
            (_, Resume::ToEvent) if waits => Resume::ToSyscall,
            (_, resume) => resume,
        };
        let process = self.tree.process(tid);
        self.late.place(tid, stop, &raw.tracee, process);
        self.resume(tid, Reaction { resume, ..reaction }, raw.tracee)
    }

    fn let_go(&mut self, tid: Tid, reaction: Reaction, tracee: Stopped) -> Result<(), TraceError> {
        self.late.release(tid);
        gone_is_fine(tracee.detach(reaction.signal))?;
        self.confirm(tid, reaction)?;
        self.forget(tid);
        Ok(())
    }

    fn resume(&mut self, tid: Tid, reaction: Reaction, tracee: Stopped) -> Result<(), TraceError> {
        gone_is_fine(tracee.resume(reaction.resume, reaction.signal))?;
        self.confirm(tid, reaction)
    }

    /// Looks for a child whose number was another's.
    fn confirm(&mut self, parent: Tid, reaction: Reaction) -> Result<(), TraceError> {
        let Some((child, kin)) = reaction.confirm else {
            return Ok(());
        };
        let Ok(found) = wait::next(child, Block::No) else {
            self.tree.denied(child);
            self.announced(None, kin);
            return Ok(());
        };
        let news = self.tree.confirmed(parent, child, kin);
        self.announced(news, kin);
        found.map_or(Ok(()), |(tid, change)| self.handle(tid, change))
    }

    fn unpark(&mut self) -> Result<(), TraceError> {
        for tracee in self.late.unpark() {
            gone_is_fine(tracee.resume(Resume::ToSyscall, None))?;
        }
        Ok(())
    }

    /// Job control has stopped a task.
    fn tell_of_stop(&self, tid: Tid, signal: i32) {
        if self.tree.is_main(tid) {
            self.live.set_stop(signal);
        }
    }
}

/// A recording with the main process in it.
fn begin(live: &Live) {
    let mut recording = live.recording();
    recording.tasks = 1;
    recording.processes = 1;
}

/// `ESRCH`: `SIGKILL` came between, and the end will be reported. Anything else would leave a tracee stopped for ever.
fn gone_is_fine(resumed: Result<(), Errno>) -> Result<(), TraceError> {
    match resumed {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(TraceError::Wait(errno)),
    }
}
