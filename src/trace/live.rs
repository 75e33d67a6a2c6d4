//! What a running tracer shows to other threads, and where stops and notifications alike are taken down.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use crate::recording::{ExeId, Note, Place, Recording, Sighting};
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
}

/// A call as a stop or a notification shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    /// `AUDIT_ARCH_*` of the caller.
    pub(super) audit: u32,
    /// The number.
    pub(super) nr: u32,
    /// The argument registers.
    pub(super) args: [u64; 6],
    /// The instruction after the one that made it.
    pub(super) ip: u64,
    /// The thread.
    pub(super) tid: Tid,
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
        self.recording().executable(&path)
    }

    /// Takes a call down. `heard`: by a listener, which the program's own could not have.
    pub(super) fn saw(&self, made: &Made, exe: ExeId, heard: bool) -> Seen {
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
        let new = {
            let mut recording = self.recording();
            recording.notifications += u64::from(heard);
            recording.saw(&sighting, at.unwrap_or_default())
        };
        if new && let Some(place) = place(made) {
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

/// The mapped file that a call was made from.
fn place(made: &Made) -> Option<Place> {
    /// How many bytes the instruction has that makes a call.
    const INSTRUCTION: u64 = if cfg!(target_arch = "x86_64") { 2 } else { 4 };
    let ip = made.ip.checked_sub(INSTRUCTION)?;
    let maps = fs::read_to_string(format!("/proc/{}/maps", made.tid)).ok()?;
    maps.lines().find_map(|line| {
        // ADDRESSES PERMISSIONS OFFSET DEVICE INODE FILE, with spaces before the file.
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = (hex(start)?, hex(end)?);
        if !(start..end).contains(&ip) {
            return None;
        }
        let offset = hex(fields.nth(1)?)?;
        let library = fields.nth(2)?.trim_start();
        (!library.is_empty()).then(|| Place {
            library: library.to_owned(),
            offset: ip - start + offset,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_and_an_offset_in_it() {
        let made = |ip: usize| Made {
            audit: 0,
            nr: 0,
            args: [0; 6],
            ip: ip as u64 + 4,
            tid: Tid::try_from(std::process::id()).unwrap(),
        };
        let here = place(&made(place as fn(&Made) -> Option<Place> as usize)).unwrap();
        let file = std::env::current_exe().unwrap();
        assert_eq!(here.library, file.to_str().unwrap());
        assert!(here.offset < fs::metadata(file).unwrap().len());
        assert_eq!(place(&made(8)), None);
    }

    #[test]
    fn restrictions_are_told_from_questions() {
        let cases = [
            ("seccomp", [0, 0], Some(Note::OwnFilter)),
            ("seccomp", [1, 0], Some(Note::OwnFilter)),
            ("seccomp", [1, 8], Some(Note::OwnListener)),
            ("seccomp", [2, 0], None),
            ("prctl", [22, 2], Some(Note::OwnFilter)),
            ("prctl", [22 | 1 << 32, 2], Some(Note::OwnFilter)),
            ("prctl", [38, 1], None),
            ("read", [1, 0], None),
        ];
        for (name, [first, second], want) in cases {
            let args = [first, second, 0, 0, 0, 0];
            assert_eq!(restricts(Some(name), &args), want, "{name} {args:?}");
        }
    }
}
