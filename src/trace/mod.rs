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

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::stop::Stop;
use self::tree::{Reaction, Tree};
use self::unhide::Unhider;
use crate::recording::{ExeId, Note, Recording, Sighting};
use crate::sys::ptrace::{Resume, Stopped, seize};
use crate::sys::signal::{self, Signal};
use crate::sys::wait::{self, Block, Change, End, RawStop};
use crate::sys::{Errno, Tid, process};
use crate::syscall::Sysno;

/// What a running tracer shows to other threads.
#[derive(Debug, Default)]
pub(crate) struct Live {
    recording: Mutex<Recording>,
    executed: AtomicBool,
    main_end: Mutex<Option<End>>,
    /// The signal of the main process's last group-stop, until it is asked for.
    stopped: AtomicI32,
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

    /// How the command itself ended, when only descendants are left.
    pub(crate) fn main_end(&self) -> Option<End> {
        *self.main_end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The signal by which job control has stopped the command since the last call.
    pub(crate) fn take_stop(&self) -> Option<Signal> {
        match self.stopped.swap(0, Ordering::AcqRel) {
            0 => None,
            number => Some(Signal::from_raw(number)),
        }
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
    /// When the command was executed, and as what. Everything is booked under its first executable.
    begun: Option<Instant>,
    exe: Option<ExeId>,
    /// The calls whose return matters, while they are under way.
    entered: HashMap<Tid, Entered>,
    unhider: Unhider,
    /// A task has ended since stale ones were last looked for.
    unswept: bool,
}

/// A call whose return is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entered {
    /// Wants a tracer or a tracee.
    Ptrace,
    /// Makes a task, which has not been announced.
    Fork,
}

impl<'a> Tracer<'a> {
    /// Seizes a child that waits behind its gate.
    pub(crate) fn seize(main: Tid, live: &'a Live) -> Result<Self, TraceError> {
        seize(main).map_err(TraceError::Seize)?;
        let mut recording = live.recording();
        recording.tasks = 1;
        recording.processes = 1;
        drop(recording);
        Ok(Self {
            tree: Tree::new(main),
            live,
            begun: None,
            exe: None,
            entered: HashMap::new(),
            unhider: Unhider::default(),
            unswept: false,
        })
    }

    /// Runs until the last descendant has ended. [`Live::main_end`] tells how the command itself did.
    pub(crate) fn run(mut self) -> Result<(), TraceError> {
        loop {
            match self.next() {
                Ok(Some((tid, change))) => self.handle(tid, change)?,
                Ok(None) if !self.tree.is_over() => {}
                // A child whose parent was killed before its event has announced itself to nobody yet.
                Ok(None) if process::has_traced_children() => process::pause(),
                // Left are children that were never traced: our caller's, or orphans that PID 1 inherits.
                Ok(None) | Err(Errno::ECHILD) => return Ok(()),
                Err(errno) => return Err(TraceError::Wait(errno)),
            }
        }
    }

    /// The next change. `None`: there was none, and waiting for one may be in vain.
    fn next(&mut self) -> Result<Option<(Tid, Change)>, Errno> {
        let may_be_stale = self.unswept && self.tree.main_end().is_some();
        if !self.tree.is_over() && !may_be_stale {
            return wait::next(-1, Block::Yes);
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
                Err(Errno::ECHILD) => self.tree.forget(tid),
                Err(errno) => return Err(errno),
            }
        }
        Ok(None)
    }

    fn handle(&mut self, tid: Tid, change: Change) -> Result<(), TraceError> {
        match change {
            Change::Ended(end) => {
                self.tree.ended(tid, end);
                self.unhider.ended(tid);
                self.entered.remove(&tid);
                self.unswept = true;
                *self
                    .live
                    .main_end
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = self.tree.main_end();
                Ok(())
            }
            Change::Stopped(raw) => self.stopped(tid, raw),
        }
    }

    fn stopped(&mut self, tid: Tid, raw: RawStop) -> Result<(), TraceError> {
        self.live.recording().stops += 1;
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
        match raw.tracee.resume(reaction.resume, reaction.signal) {
            // SIGKILL came between; the end will be reported.
            Ok(()) | Err(Errno::ESRCH) => {}
            // Anything else would leave the tracee stopped for ever.
            Err(errno) => return Err(TraceError::Wait(errno)),
        }
        if reaction.resume == Resume::Listen && self.tree.is_main(tid) {
            self.live.stopped.store(raw.signal, Ordering::Release);
            signal::wake_taker();
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
                let note = match self.entered.remove(&tid) {
                    Some(Entered::Ptrace) if result == -i64::from(libc::EPERM) => {
                        Note::PtraceRefused
                    }
                    // A child was made, and no event told of it: it is not traced.
                    Some(Entered::Fork) if result > 0 => Note::Untraced,
                    _ => return,
                };
                self.live.recording().notes.insert(note);
            }
            Stop::Born { thread, .. } => {
                self.entered.remove(&tid);
                let mut recording = self.live.recording();
                recording.threads |= thread;
                recording.processes += u64::from(!thread);
                recording.tasks = self.tree.tasks;
            }
            _ => {}
        }
    }

    fn record_entry(&mut self, tid: Tid, audit: u32, nr: u32, args: &[u64; 6], tracee: &Stopped) {
        let sysno = Sysno::of_call(audit, nr).filter(|sysno| sysno.is_expressible());
        let mut recording = self.live.recording();
        let Some(sysno) = sysno else {
            recording.inexpressible(audit, nr);
            return;
        };
        let begun = *self.begun.get_or_insert_with(Instant::now);
        let exe = *self
            .exe
            .get_or_insert_with(|| recording.executable(&process::executable(tid)));
        let sighting = Sighting {
            sysno,
            args: *args,
            tid,
            exe,
        };
        recording.saw(&sighting, begun.elapsed());
        match sysno.name() {
            Some("clone" | "clone3" | "fork" | "vfork") => {
                self.entered.insert(tid, Entered::Fork);
                // Where the flag cannot be taken out, the return will show whether a child escaped.
                let _ = self.unhider.entered(tid, sysno, args[0], tracee);
            }
            Some("ptrace") if asks_for_tracing(args[0]) => {
                self.entered.insert(tid, Entered::Ptrace);
            }
            _ => {}
        }
    }
}

/// Is this ptrace request one that makes a tracer and a tracee?
fn asks_for_tracing(request: u64) -> bool {
    [
        libc::PTRACE_TRACEME,
        libc::PTRACE_ATTACH,
        libc::PTRACE_SEIZE,
    ]
    .into_iter()
    .any(|known| u64::from(known) == request)
}
