//! What `/proc` says about a task.

use std::fs;

use crate::sys::Tid;
use crate::sys::signal::Signal;

/// The name of a thread (`proc_pid_comm(5)`); empty where `/proc` does not tell.
pub(crate) fn thread_name(tid: Tid) -> String {
    let name = fs::read(format!("/proc/{tid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name)
        .trim_end_matches('\n')
        .to_owned()
}

/// The process that a thread belongs to, and what becomes of signals there (`proc_pid_status(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) process: Tid,
    /// Blocked or ignored. Bit n-1 is signal n.
    held_off: u64,
    /// It has a handler.
    caught: u64,
}

impl Status {
    /// `None` where `/proc` does not tell.
    pub(crate) fn of(tid: Tid) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
        let field = |name| {
            let mut lines = text.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.trim()))
        };
        let mask = |name| u64::from_str_radix(field(name)?, 16).ok();
        Some(Self {
            process: field("Tgid:")?.parse().ok()?,
            held_off: mask("SigBlk:")? | mask("SigIgn:")?,
            caught: mask("SigCgt:")?,
        })
    }

    /// Is this signal blocked by the thread, or ignored?
    pub(crate) fn holds_off(&self, signal: Signal) -> bool {
        self.held_off & Self::bit(signal) != 0
    }

    /// Would its default action happen?
    pub(crate) fn is_defenceless(&self, signal: Signal) -> bool {
        (self.held_off | self.caught) & Self::bit(signal) == 0
    }

    const fn bit(signal: Signal) -> u64 {
        1 << (signal.as_raw() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::signal::block_all;

    #[test]
    fn a_thread_has_a_name_a_process_and_signals_that_wait() {
        let us = Tid::try_from(std::process::id()).unwrap();
        let named = std::thread::Builder::new().name("peeked".into());
        let of_thread = named.spawn(move || {
            let tid = nix::unistd::gettid().as_raw();
            let before = Status::of(tid).unwrap();
            block_all().unwrap();
            (thread_name(tid), before, Status::of(tid).unwrap())
        });
        let (name, before, after) = of_thread.unwrap().join().unwrap();
        assert_eq!((&*name, before.process, after.process), ("peeked", us, us));
        let held_off = |status: Status| [Signal::SYS, Signal::KILL].map(|s| status.holds_off(s));
        assert_eq!(held_off(before), [false, false]);
        assert_eq!(held_off(after), [true, false]);
        assert_eq!(thread_name(Tid::MAX), "");
        assert_eq!(Status::of(Tid::MAX), None);
    }
}
