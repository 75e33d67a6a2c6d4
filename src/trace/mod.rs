//! The tracer: seizes a command, stops at every syscall of it and all its descendants, and records.
//!
//! ptrace requests belong to the thread that seized, and `PTRACE_O_EXITKILL` fires when that thread ends:
//! [`Tracer`] lives on one thread, which forks, seizes and loops. What it learns is in [`Live`], which
//! another thread reads.
//!
//! Calls are recorded at *entry*, because `exit_group` and `rt_sigreturn` never return, and keyed by the
//! architecture that the kernel reports for each call: 64-bit code can make 32-bit calls.

mod stop;
mod tree;
mod unhide;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::stop::Stop;
use self::tree::{Reaction, Tree};
use self::unhide::Unhider;
use crate::recording::{Note, Recording};
use crate::sys::ptrace::{Resume, Stopped, seize};
use crate::sys::signal::Signal;
use crate::sys::wait::{self, Block, Change, End, RawStop, Tid};
use crate::sys::{Errno, process};
use crate::syscall::Sysno;

/// What a running tracer shows to other threads.
#[derive(Debug, Default)]
pub(crate) struct Live {
    recording: Mutex<Recording>,
    executed: AtomicBool,
    main_ended: AtomicBool,
}

impl Live {
    /// The recording so far.
    pub(crate) fn recording(&self) -> MutexGuard<'_, Recording> {
        // A recording is whole between any two statements, so a panicked writer leaves it usable.
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the command been executed? Before that there is nothing to write.
    pub(crate) fn executed(&self) -> bool {
        self.executed.load(Ordering::Acquire)
    }

    /// Has the command itself ended, so that only descendants are left?
    pub(crate) fn main_ended(&self) -> bool {
        self.main_ended.load(Ordering::Acquire)
    }
}

/// Why tracing is not possible here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TraceError {
    /// `PTRACE_SEIZE` failed.
    #[error("cannot trace the command (PTRACE_SEIZE)")]
    Seize(#[source] Errno),
    /// The kernel does not describe syscall-stops.
    #[error("cannot read the command's syscalls (PTRACE_GET_SYSCALL_INFO)")]
    SyscallInfo(#[source] Errno),
    /// `wait4` failed.
    #[error("cannot wait for the command (wait4)")]
    Wait(#[source] Errno),
}

/// Traces one command. Stays on the thread that made it.
pub(crate) struct Tracer<'a> {
    tree: Tree,
    live: &'a Live,
    on_group_stop: fn(Signal),
    /// The call that each task entered last is needed for one question only, so only that is kept.
    asking_ptrace: HashSet<Tid>,
    unhider: Unhider,
}

impl<'a> Tracer<'a> {
    /// Seizes a child that waits behind its gate. `on_group_stop` hears when job control stops the command.
    pub(crate) fn seize(
        main: Tid,
        live: &'a Live,
        on_group_stop: fn(Signal),
    ) -> Result<Self, TraceError> {
        seize(main).map_err(TraceError::Seize)?;
        live.recording().tasks = 1;
        let asking_ptrace = HashSet::new();
        Ok(Self {
            tree: Tree::new(main),
            live,
            on_group_stop,
            asking_ptrace,
            unhider: Unhider::default(),
        })
    }

    /// Runs until the last descendant has ended. Returns how the command itself ended.
    pub(crate) fn run(mut self) -> Result<Option<End>, TraceError> {
        loop {
            // With nobody left in the tree, look once more: a child whose parent was killed before its
            // event has announced itself to nobody yet.
            let block = if self.tree.is_over() {
                Block::No
            } else {
                Block::Yes
            };
            match wait::next(-1, block) {
                Ok(Some((tid, change))) => self.handle(tid, change)?,
                Ok(None) if process::has_traced_children() => process::pause(),
                // Children that were never traced: our caller's, or orphans that PID 1 inherits.
                Ok(None) | Err(Errno::ECHILD) => break,
                Err(errno) => return Err(TraceError::Wait(errno)),
            }
        }
        if !self.tree.is_over() {
            self.live.recording().notes.insert(Note::Unaccounted);
        }
        Ok(self.tree.main_end())
    }

    fn handle(&mut self, tid: Tid, change: Change) -> Result<(), TraceError> {
        match change {
            Change::Ended(end) => {
                self.tree.ended(tid, end);
                self.unhider.ended(tid);
                if self.tree.main_end().is_some() {
                    self.live.main_ended.store(true, Ordering::Release);
                }
                Ok(())
            }
            Change::Stopped(raw) => self.stopped(tid, raw),
        }
    }

    fn stopped(&mut self, tid: Tid, raw: RawStop) -> Result<(), TraceError> {
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
        let before = self.tree.executed();
        let reaction = self.tree.stopped(tid, &stop);
        if before {
            self.record(tid, &stop, &raw.tracee);
        } else if self.tree.executed() {
            // No instruction of the command has run yet: the last moment to find that this kernel does
            // not describe syscalls.
            match raw.tracee.syscall() {
                Ok(_) | Err(Errno::ESRCH) => self.live.executed.store(true, Ordering::Release),
                Err(errno) => return Err(TraceError::SyscallInfo(errno)),
            }
        }
        self.react(tid, reaction, raw)
    }

    fn react(&mut self, tid: Tid, reaction: Reaction, raw: RawStop) -> Result<(), TraceError> {
        let signal = Signal::from_raw(raw.signal);
        match raw.tracee.resume(reaction.resume, reaction.signal) {
            // SIGKILL came between; the end will be reported.
            Ok(()) | Err(Errno::ESRCH) => {}
            // Anything else would leave the tracee stopped for ever.
            Err(errno) => return Err(TraceError::Wait(errno)),
        }
        if reaction.resume == Resume::Listen && self.tree.is_main(tid) {
            (self.on_group_stop)(signal);
        }
        if let Some(child) = reaction.confirm {
            match wait::next(child, Block::No) {
                Ok(Some((tid, change))) => {
                    self.tree.confirmed(child);
                    return self.handle(tid, change);
                }
                Ok(None) => self.tree.confirmed(child),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Takes down what a stop says about the command.
    fn record(&mut self, tid: Tid, stop: &Stop, tracee: &Stopped) {
        match *stop {
            Stop::Entry { audit, nr, args } => self.record_entry(tid, audit, nr, &args, tracee),
            Stop::Exit { result } => {
                self.unhider.returned(tid, tracee);
                let refused = result == -i64::from(libc::EPERM);
                if self.asking_ptrace.remove(&tid) && refused {
                    self.live.recording().notes.insert(Note::PtraceRefused);
                }
            }
            Stop::Born { thread, .. } => {
                let mut recording = self.live.recording();
                recording.threads |= thread;
                recording.tasks = self.tree.tasks;
            }
            _ => {}
        }
    }

    fn record_entry(&mut self, tid: Tid, audit: u32, nr: u32, args: &[u64; 6], tracee: &Stopped) {
        let sysno = Sysno::of_call(audit, nr).filter(|sysno| sysno.is_expressible());
        let mut recording = self.live.recording();
        let Some(sysno) = sysno else {
            recording.notes.insert(Note::Inexpressible { audit, nr });
            return;
        };
        recording.count(sysno);
        if sysno.name() == Some("ptrace") {
            self.asking_ptrace.insert(tid);
        }
        if self.unhider.entered(tid, sysno, args[0], tracee).is_err() {
            recording.notes.insert(Note::Untraced);
        }
    }
}
