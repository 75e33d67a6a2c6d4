//! What a running tracer shows to other threads, and where stops and notifications alike are taken down.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::stop::Made;
use crate::peek::Maps;
use crate::recording::{ExeId, Note, Recording, Sighting};
use crate::sys::Tid;
use crate::sys::process;
use crate::sys::signal::{self, Signal};
use crate::sys::wait::End;
use crate::syscall::Sysno;

/// What is known by now.
#[derive(Debug, Default)]
pub(crate) struct Live {
    recording: Mutex<Recording>,
    /// When the command was executed.
    executed: OnceLock<Instant>,
    main_end: Mutex<Option<End>>,
    /// The signal of the main process's last group-stop, until it is asked for.
    stopped: AtomicI32,
    /// Counted apart from the recording, which not every stop needs.
    stops: AtomicU64,
    /// The program is free to restrict itself; that is worth a note only where a filter of ours is in.
    filtered: AtomicBool,
    /// Programs get the privileges that their files give.
    may_gain: bool,
}

/// A call that was taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Which; `None` for what no profile can hold.
    pub(super) sysno: Option<Sysno>,
    /// Nobody has made it before.
    pub(super) new: bool,
}

impl Live {
    /// `may_gain`: programs get the privileges that their files give.
    pub(crate) fn new(may_gain: bool) -> Self {
        Self {
            may_gain,
            ..Self::default()
        }
    }

    /// The recording so far.
    pub(crate) fn recording(&self) -> MutexGuard<'_, Recording> {
        // A recording is whole between any two statements, so a panicked writer leaves it usable.
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of it, with everything that was counted.
    pub(crate) fn snapshot(&self) -> Recording {
        let mut recording = self.recording().clone();
        recording.stops = self.stops.load(Ordering::Relaxed);
        recording
    }

    /// Has the command been executed? Before that there is nothing to write.
    pub(crate) fn executed(&self) -> bool {
        self.executed.get().is_some()
    }

    /// The command was executed.
    pub(crate) fn set_executed(&self) {
        // A second exec of the same process changes nothing.
        let _ = self.executed.set(Instant::now());
    }

    /// How the command itself ended, when only descendants are left.
    pub(crate) fn main_end(&self) -> Option<End> {
        *self.main_end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_main_end(&self, end: Option<End>) {
        *self.main_end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }

    /// The signal by which job control has stopped the command since the last call.
    pub(crate) fn take_stop(&self) -> Option<Signal> {
        match self.stopped.swap(0, Ordering::AcqRel) {
            0 => None,
            number => Some(Signal::from_raw(number)),
        }
    }

    /// Job control has stopped the command.
    pub(super) fn set_stop(&self, signal: i32) {
        self.stopped.store(signal, Ordering::Release);
        signal::wake_taker();
    }

    pub(super) fn count_stop(&self) {
        self.stops.fetch_add(1, Ordering::Relaxed);
    }

    /// A filter of ours is in some process: what it knows runs without being seen.
    pub(super) fn runs_free(&self) {
        self.filtered.store(true, Ordering::Relaxed);
        self.recording().ran_free = true;
    }

    /// What a task executes.
    pub(super) fn executable(&self, tid: Tid) -> ExeId {
        let path = process::executable(tid);
        let mut recording = self.recording();
        let before = recording.executables().len();
        let exe = recording.executable(&path);
        if recording.executables().len() > before && !self.may_gain && would_gain(tid) {
            recording.privilege_lost(&path);
        }
        exe
    }

    /// Takes a call down. `maps`: what is mapped in the caller, as far as it is known.
    pub(super) fn saw(&self, made: &Made, exe: ExeId, maps: &mut Maps) -> Seen {
        let sysno = Sysno::of_call(made.audit, made.nr).filter(|sysno| sysno.is_expressible());
        let Some(sysno) = sysno else {
            self.recording().inexpressible(made.audit, made.nr);
            return Seen { sysno, new: false };
        };
        let at = self.executed.get().map(Instant::elapsed);
        let sighting = Sighting {
            sysno,
            args: made.args,
            tid: made.tid,
            exe,
        };
        let new = self.recording().saw(&sighting, at.unwrap_or_default());
        if new && let Some(place) = maps.place(made.tid, made.ip) {
            self.recording().placed(sysno, place);
        }
        let note = restricts(sysno.name(), &made.args);
        if let Some(note) = note.filter(|_| self.filtered.load(Ordering::Relaxed)) {
            self.recording().notes.insert(note);
        }
        Seen {
            sysno: Some(sysno),
            new,
        }
    }
}

/// Does a call install a filter of the program's own, or ask for a listener?
pub(super) fn restricts(name: Option<&str>, args: &[u64; 6]) -> Option<Note> {
    let [first, second, ..] = *args;
    let operation = first & 0xffff_ffff;
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    match name? {
        "seccomp" if operation == u64::from(libc::SECCOMP_SET_MODE_STRICT) => Some(Note::OwnFilter),
        "seccomp" if operation == u64::from(libc::SECCOMP_SET_MODE_FILTER) => {
            Some(if second & listener == 0 {
                Note::OwnFilter
            } else {
                Note::OwnListener
            })
        }
        "prctl" if operation == u64::from(libc::PR_SET_SECCOMP.cast_unsigned()) => {
            Some(Note::OwnFilter)
        }
        _ => None,
    }
}

/// Would a task be another user or group by what it executes, if it could?
fn would_gain(tid: Tid) -> bool {
    // A process's directory belongs to its effective user and group.
    let task = fs::metadata(format!("/proc/{tid}"));
    let file = fs::metadata(format!("/proc/{tid}/exe"));
    let (Ok(task), Ok(file)) = (task, file) else {
        return false;
    };
    let (user, group) = (libc::S_ISUID, libc::S_ISGID | libc::S_IXGRP);
    file.mode() & user == user && file.uid() != task.uid()
        || file.mode() & group == group && file.gid() != task.gid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restrictions_are_told_from_questions() {
        let cases = [
            ("seccomp", [0, 0], Some(Note::OwnFilter)),
            ("seccomp", [1, 0], Some(Note::OwnFilter)),
            ("seccomp", [1, 8], Some(Note::OwnListener)),
            ("seccomp", [2, 0], None),
            ("prctl", [22, 2], Some(Note::OwnFilter)),
            ("prctl", [0x1_0000_0016, 2], Some(Note::OwnFilter)),
            ("prctl", [38, 1], None),
            ("read", [1, 0], None),
        ];
        for (name, [first, second], want) in cases {
            let args = [first, second, 0, 0, 0, 0];
            assert_eq!(restricts(Some(name), &args), want, "{name} {args:?}");
        }
    }
}
