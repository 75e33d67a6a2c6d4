//! `wait4(2)` with a status that can be trusted.
//!
//! Our own decoding, because nix cannot represent real-time signals: its `waitpid` answers `EINVAL` for a
//! tracee stopped by one, and the stop is consumed.

use std::mem::MaybeUninit;

use super::ptrace::Stopped;
use super::signal::Signal;
use super::{Errno, Tid, check_int};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It exited with this status, 0 to 255.
    Exited(u8),
    /// A signal killed it.
    Killed(Signal),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited {code}"),
            Self::Killed(signal) => write!(f, "killed by {signal}"),
        }
    }
}

/// What `wait4` tells about one process or thread.
#[derive(Debug)]
pub(crate) enum Change {
    /// It ended, and its id is free again.
    Ended(End),
    /// It is in a ptrace-stop or, without ptrace, stopped by job control.
    Stopped(RawStop),
}

/// A stop as the status word shows it.
#[derive(Debug)]
pub(crate) struct RawStop {
    /// The token that allows ptrace requests.
    pub(crate) tracee: Stopped,
    /// `WSTOPSIG`: the signal, with bit 7 set for syscall-stops (`PTRACE_O_TRACESYSGOOD`).
    pub(crate) signal: i32,
    /// The `PTRACE_EVENT_*` of an event-stop; 0 for the other kinds.
    pub(crate) event: i32,
}

/// Which changes to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// Sleep until there is one.
    Yes,
    /// Only what is there already.
    No,
}

/// The next change of `who` (-1: of any child or tracee), threads included. `Ok(None)`: nothing yet.
///
/// Stops are those of tracees, and those of children that job control stops.
///
/// # Errors
/// `ECHILD` when there is nobody left to wait for.
pub(crate) fn next(who: Tid, block: Block) -> Result<Option<(Tid, Change)>, Errno> {
    let hang = match block {
        Block::Yes => 0,
        Block::No => libc::WNOHANG,
    };
    let flags = hang | libc::WUNTRACED | libc::__WALL;
    loop {
        let mut status = 0;
        // SAFETY: status is a local of the right type; a null rusage is allowed.
        let result = unsafe { libc::wait4(who, &raw mut status, flags, std::ptr::null_mut()) };
        match check_int(result) {
            Ok(0) => return Ok(None),
            Ok(tid) => {
                if let Some(change) = decode(tid, status) {
                    return Ok(Some((tid, change)));
                }
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Was this child continued since this was last asked? That it was is known from the moment that the `SIGCONT` was
/// sent; it need not have run yet. It must not be a tracee: any wait takes a tracee's stops.
pub(crate) fn was_continued(child: Tid) -> bool {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WCONTINUED | libc::WNOHANG;
    let id = libc::id_t::from(child.unsigned_abs());
    // SAFETY: info is a local of the right type.
    let result = unsafe { libc::waitid(libc::P_PID, id, info.as_mut_ptr(), flags) };
    // SAFETY: it was zeroed, which is a valid siginfo; the call filled it in, or left it.
    let info = unsafe { info.assume_init() };
    result == 0 && info.si_signo == libc::SIGCHLD
}

/// A status word, as `wait(2)`'s macros read it. `None` for what we do not ask for (`WIFCONTINUED`).
fn decode(tid: Tid, status: libc::c_int) -> Option<Change> {
    if libc::WIFEXITED(status) {
        // The macro gives 0 to 255.
        let code = u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX);
        Some(Change::Ended(End::Exited(code)))
    } else if libc::WIFSIGNALED(status) {
        Some(Change::Ended(End::Killed(Signal::from_raw(
            libc::WTERMSIG(status),
        ))))
    } else if libc::WIFSTOPPED(status) {
        let tracee = Stopped::after_wait(tid);
        Some(Change::Stopped(RawStop {
            tracee,
            signal: libc::WSTOPSIG(status),
            event: status >> 16,
        }))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn end_of(script: &str) -> End {
        #[expect(clippy::zombie_processes, reason = "reaped by what is tested")]
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let pid = Tid::try_from(child.id()).unwrap();
        match next(pid, Block::Yes).unwrap() {
            Some((tid, Change::Ended(end))) if tid == pid => end,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ends_are_told_apart() {
        let cases = [
            ("exit 0", End::Exited(0)),
            ("exit 255", End::Exited(255)),
            ("kill -TERM $$", End::Killed(Signal::TERM)),
            ("kill -34 $$", End::Killed(Signal::from_raw(34))),
            ("kill -64 $$", End::Killed(Signal::from_raw(64))),
        ];
        for (script, want) in cases {
            assert_eq!(end_of(script), want, "{script}");
        }
    }

    #[test]
    fn stops_keep_realtime_signals_and_events() {
        let cases = [
            (0x227f, 34, 0),
            (0x857f, 0x85, 0),
            (0x0080_137f, 19, 128),
            (0x0004_057f, 5, 4),
        ];
        for (status, signal, event) in cases {
            match decode(1, status) {
                Some(Change::Stopped(stop)) => {
                    assert_eq!((stop.signal, stop.event), (signal, event), "{status:#x}");
                }
                other => panic!("{status:#x}: {other:?}"),
            }
        }
        assert!(decode(1, 0xffff).is_none(), "continued");
    }

    #[test]
    fn a_childs_going_on_is_told_once() {
        #[expect(clippy::zombie_processes, reason = "reaped by what is tested")]
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Tid::try_from(child.id()).unwrap();
        let send = |signal: &str| {
            let status = Command::new("kill")
                .args([signal, pid.to_string().as_str()])
                .status();
            assert!(status.unwrap().success());
        };
        assert!(!was_continued(pid));
        send("-STOP");
        assert!(matches!(
            next(pid, Block::Yes).unwrap(),
            Some((_, Change::Stopped(_)))
        ));
        assert!(!was_continued(pid));
        send("-CONT");
        assert!(was_continued(pid));
        assert!(!was_continued(pid), "told already");
        send("-CONT");
        assert!(!was_continued(pid), "it was not stopped");
        send("-KILL");
        next(pid, Block::Yes).unwrap();
        assert!(!was_continued(pid), "there is none");
    }

    #[test]
    fn nobody_left_is_echild() {
        assert_eq!(next(Tid::MAX, Block::No).unwrap_err(), Errno::ECHILD);
    }
}
