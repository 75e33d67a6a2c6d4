//! Cheap stops: a process that stops at every call is kept on the tracer's processor.
//!
//! A stop is two switches between tracer and tracee. On one processor they cost a few microseconds; on two, each
//! wakes a processor, and one that idles takes 20 to 80 us for it (measured on a virtual machine). So while a process
//! with one thread is warming up, it and the tracer share a processor.
//!
//! The program must not see it: before a call that could tell (its affinity, a file in `/proc`, a new task that
//! inherits) it gets its own affinity back. It must not cost anything either: one that has not stopped for some
//! milliseconds and computes is released by a watch. The kernel keeps an affinity that was set, while one that was
//! never set grows with the machine; giving back "all processors" amounts to the latter.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use crate::sys::{Errno, Tid, signal, threads};

/// How often the watch looks.
const TICK: Duration = Duration::from_millis(3);

/// After so many looks without a stop in between, one that sleeps is released, too.
const PATIENCE: u32 = 30;

/// Shared by the tracer and its watch.
#[derive(Debug)]
struct Held {
    tids: Mutex<HashMap<Tid, State>>,
    /// Somebody is held.
    some: Condvar,
    /// What is given back.
    own: CpuSet,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    /// Stops since the watch last looked.
    stops: u32,
    /// Looks without one.
    looks: u32,
}

/// The processor that tracer and tracees share.
#[derive(Debug)]
pub(super) struct Near {
    held: Arc<Held>,
    /// Those that look at their affinity.
    shy: HashSet<Tid>,
    /// What the launcher and all its descendants may use, unless they choose otherwise.
    inherited: CpuSet,
    /// The shared processor.
    here: CpuSet,
}

impl Near {
    /// For the calling thread, which stays on its processor from here on.
    ///
    /// # Errors
    /// The machine has too many processors for the C library's sets, or one that may not be chosen.
    pub(super) fn here() -> Result<Self, Errno> {
        let this = Pid::from_raw(0);
        let inherited = sched_getaffinity(this)?;
        let mut all = CpuSet::new();
        for cpu in 0..CpuSet::count() {
            all.set(cpu)?;
        }
        // May we use all that there are? Then so may the command, also when there will be more.
        sched_setaffinity(this, &all)?;
        let own = if sched_getaffinity(this)? == inherited {
            all
        } else {
            inherited
        };
        sched_setaffinity(this, &own)?;
        let held = Arc::new(Held {
            tids: Mutex::default(),
            some: Condvar::new(),
            own,
        });
        // The watch must not be kept from its work by whoever computes here: it is started before we stay.
        let watched = Arc::clone(&held);
        let started = threads::named("watch").spawn(move || watched.watch());
        started.map_err(|_| Errno::EAGAIN)?;
        let mut here = CpuSet::new();
        here.set(sched_getcpu()?)?;
        sched_setaffinity(this, &here)?;
        Ok(Self {
            held,
            shy: HashSet::new(),
            inherited,
            here,
        })
    }

    /// A task has stopped, and has a process for itself: keeps it here.
    pub(super) fn hold(&self, tid: Tid) {
        let mut tids = self.held.lock();
        if let Some(state) = tids.get_mut(&tid) {
            state.stops += 1;
            return;
        }
        let pid = Pid::from_raw(tid);
        // One that has chosen its processors keeps them.
        if !self.shy.contains(&tid)
            && sched_getaffinity(pid) == Ok(self.inherited)
            && sched_setaffinity(pid, &self.here).is_ok()
        {
            if tids.is_empty() {
                self.held.some.notify_one();
            }
            tids.insert(tid, State::default());
        }
    }

    /// Gives a task its own affinity back.
    pub(super) fn release(&self, tid: Tid) {
        self.held.release(&mut self.held.lock(), tid);
    }

    /// Gives it back for good: the program looks at it.
    pub(super) fn leave_alone(&mut self, tid: Tid) {
        self.release(tid);
        self.shy.insert(tid);
    }

    /// A task is gone, or its program is.
    pub(super) fn forget(&mut self, tid: Tid) {
        self.shy.remove(&tid);
    }

    /// A task has ended.
    pub(super) fn ended(&mut self, tid: Tid) {
        self.forget(tid);
        self.held.lock().remove(&tid);
    }
}

/// Does a call show the caller its affinity, or hand it on?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// Neither.
    No,
    /// Whoever is made by it inherits.
    HandsOn,
    /// It shows it, at once or later.
    Shows,
}

/// What a call of this name is about. `peek` reads a word of the caller's memory.
pub(super) fn telling(name: &str, args: &[u64; 6], peek: impl Fn(u64) -> Option<u64>) -> Telling {
    let [first, second, ..] = *args;
    let path = match name {
        "clone" | "clone3" | "fork" | "vfork" => return Telling::HandsOn,
        "sched_getaffinity" | "sched_setaffinity" | "sched_setattr" | "sched_setscheduler" => {
            return Telling::Shows;
        }
        "open" => first,
        "openat" | "openat2" => second,
        _ => return Telling::No,
    };
    if names_status(path, peek) {
        Telling::Shows
    } else {
        Telling::No
    }
}

/// Can this path be a `status` file of `proc_pid_status(5)`, which shows the affinity? What cannot be read can.
fn names_status(path: u64, peek: impl Fn(u64) -> Option<u64>) -> bool {
    const LONGEST: u64 = 256;
    const PROC: [u8; 5] = *b"/proc";
    let mut text = Vec::new();
    for offset in (0..LONGEST).step_by(8) {
        let Some(word) = peek(path.wrapping_add(offset)) else {
            return true;
        };
        let bytes = word.to_le_bytes();
        let end = bytes.iter().position(|&byte| byte == 0);
        text.extend(bytes.into_iter().take(end.unwrap_or(bytes.len())));
        // The usual case is decided by its first word.
        if text.first() == Some(&b'/') && !text.starts_with(&PROC) {
            return false;
        }
        if end.is_some() {
            return text.ends_with(b"status");
        }
    }
    true
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<Tid, State>> {
        self.tids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, tids: &mut HashMap<Tid, State>, tid: Tid) {
        if tids.remove(&tid).is_some() {
            // It fails when the task was killed.
            let _ = sched_setaffinity(Pid::from_raw(tid), &self.own);
        }
    }

    /// Releases those that do not stop.
    fn watch(&self) {
        // As the desk does: to start a thread, the C library opens two signals.
        let _ = signal::block_all();
        loop {
            let tids = self.lock();
            let waited = self.some.wait_while(tids, |tids| tids.is_empty());
            drop(waited);
            thread::sleep(TICK);
            let mut tids = self.lock();
            let mut late = Vec::new();
            for (&tid, state) in tids.iter_mut() {
                state.looks = if state.stops == 0 { state.looks + 1 } else { 0 };
                state.stops = 0;
                if state.looks > PATIENCE || state.looks > 0 && computes(tid) {
                    late.push(tid);
                }
            }
            for tid in late {
                self.release(&mut tids, tid);
            }
        }
    }
}

/// Is it running, or about to?
fn computes(tid: Tid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{tid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('R'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads words of a text that lies at address 4096, as a tracee's memory would be read.
    fn peek(text: &str) -> impl Fn(u64) -> Option<u64> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(8), 0xff);
        move |address| {
            let at = usize::try_from(address.checked_sub(4096)?).ok()?;
            let word = bytes.get(at..at + 8)?;
            Some(u64::from_le_bytes(word.try_into().ok()?))
        }
    }

    #[test]
    fn a_program_that_looks_at_its_affinity_is_noticed() {
        let cases = [
            ("/proc/self/status", true),
            ("/proc/17/task/17/status", true),
            ("status", true),
            ("self/status", true),
            ("/proc/self/maps", false),
            ("/var/lib/dpkg/status", false),
            ("/etc/passwd", false),
            ("a", false),
            ("", false),
        ];
        for (path, shows) in cases {
            let want = if shows { Telling::Shows } else { Telling::No };
            for (name, args) in [("open", [4096, 0]), ("openat", [0, 4096])] {
                let [first, second] = args;
                let args = [first, second, 0, 0, 0, 0];
                assert_eq!(telling(name, &args, peek(path)), want, "{name} {path}");
            }
        }
        let long = format!("/proc/{}", "x/".repeat(200));
        for (path, address) in [(long.as_str(), 4096), ("gone", 8)] {
            let args = [address, 0, 0, 0, 0, 0];
            assert_eq!(telling("open", &args, peek(path)), Telling::Shows, "{path}");
        }
        for (name, want) in [
            ("sched_getaffinity", Telling::Shows),
            ("vfork", Telling::HandsOn),
            ("read", Telling::No),
        ] {
            assert_eq!(telling(name, &[0; 6], |_| None), want, "{name}");
        }
    }
}
