//! What `/proc` says about a task.

use std::fs;
use std::io::Read as _;

use crate::sys::Tid;
use crate::sys::signal::Signal;

/// The name of a thread (`proc_pid_comm(5)`); empty where `/proc` does not tell.
pub(crate) fn thread_name(tid: Tid) -> String {
    let name = fs::read(format!("/proc/{tid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name)
        .trim_end_matches('\n')
        .to_owned()
}

/// Does `/proc` show our own pid namespace? `None`: there is none.
pub(crate) fn proc_is_ours() -> Option<bool> {
    let link = fs::read_link("/proc/self").ok()?;
    Some(link.to_str()?.parse() == Ok(std::process::id()))
}

/// Is a task sleeping so that only its end wakes it?
pub(crate) fn sleeps_deeply(tid: Tid) -> bool {
    let text = fs::read_to_string(format!("/proc/{tid}/stat")).unwrap_or_default();
    let state = text.rsplit_once(") ").map(|(_, rest)| rest);
    state.is_some_and(|rest| rest.starts_with('D'))
}

/// Is the program that a task executes one of 32-bit words? By what the kernel left for it (`getauxval(3)`), not by its
/// file: that may be one that keeps whoever reads it waiting.
pub(crate) fn is_narrow(tid: Tid) -> Option<bool> {
    let mut start = [0; 8];
    let mut vector = fs::File::open(format!("/proc/{tid}/auxv")).ok()?;
    vector.read_exact(&mut start).ok()?;
    // A small number, then an address or bits: the number has 64 bits, or the other begins here.
    let [first, second] = start.as_chunks::<4>().0 else {
        return None;
    };
    Some(*first != [0; 4] && *second != [0; 4])
}

/// The process that a thread belongs to, and what becomes of signals there (`proc_pid_status(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) process: Tid,
    /// Blocked or ignored. Bit n-1 is signal n.
    held_off: u64,
    /// It has a handler.
    caught: u64,
    /// It is the first process of its pid namespace, which signals without a handler do not end.
    is_init: bool,
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
            // Its pids from the outermost namespace to its own. Kernels before 4.1 do not say.
            is_init: field("NStgid:").is_some_and(|pids| pids.ends_with("\t1")),
        })
    }

    /// Would its default action happen?
    pub(crate) fn is_defenceless(&self, signal: Signal) -> bool {
        (self.held_off | self.caught) & Self::bit(signal) == 0 && !self.is_init
    }

    /// Does it have a handler that would run now?
    pub(crate) fn handles(&self, signal: Signal) -> bool {
        self.caught & !self.held_off & Self::bit(signal) != 0
    }

    const fn bit(signal: Signal) -> u64 {
        1 << (signal.as_raw() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::signal::block_all;
    use crate::sys::threads;

    #[test]
    fn a_thread_has_a_name_a_process_and_signals_that_wait() {
        let us = Tid::try_from(std::process::id()).unwrap();
        let named = threads::named("peeked");
        let of_thread = named.spawn(move || {
            let tid = nix::unistd::gettid().as_raw();
            let before = Status::of(tid).unwrap();
            block_all().unwrap();
            (thread_name(tid), before, Status::of(tid).unwrap())
        });
        let (name, before, after) = of_thread.unwrap().join().unwrap();
        assert_eq!((&*name, before.process, after.process), ("peeked", us, us));
        // SIGSEGV has the handler of the Rust runtime.
        let signals = [Signal::SYS, Signal::from_raw(libc::SIGSEGV)];
        let ends = |status: Status| signals.map(|signal| status.is_defenceless(signal));
        let handled = |status: Status| signals.map(|signal| status.handles(signal));
        assert_eq!(
            (ends(before), handled(before)),
            ([true, false], [false, true])
        );
        assert_eq!((ends(after), handled(after)), ([false; 2], [false; 2]));
        assert_eq!(thread_name(Tid::MAX), "");
        assert_eq!(Status::of(Tid::MAX), None);
        assert_eq!(proc_is_ours(), Some(true));
        assert!(!sleeps_deeply(us));
        assert_eq!(is_narrow(us), Some(cfg!(target_pointer_width = "32")));
        assert_eq!(is_narrow(Tid::MAX), None);
    }
}
