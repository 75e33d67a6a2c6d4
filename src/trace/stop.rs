//! Stops, in the words of `ptrace(2)`: what a raw wait status and a few questions to the kernel mean.

use crate::sys::ptrace::{Stopped, SyscallStop};
use crate::sys::signal::Signal;
use crate::sys::wait::RawStop;
use crate::sys::{Errno, Tid};

/// Why a tracee is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Syscall-entry-stop, or a seccomp-stop: a filter answered `TRACE`.
    Entry {
        audit: u32,
        nr: u32,
        args: [u64; 6],
        /// Where the call was made.
        ip: u64,
    },
    /// Syscall-exit-stop; a negative result is an errno.
    Exit { result: i64 },
    /// Signal-delivery-stop.
    Signal(Signal),
    /// Group-stop: job control stops the whole process.
    Group,
    /// The first stop of a new tracee, or the end of a group-stop.
    Halt,
    /// Exec. The message is the tid that the calling thread had before it became the leader.
    Exec { former: Tid },
    /// A child was made; 0 where our pid namespace does not show it.
    Born { child: Tid, birth: Birth },
    /// Any other event, or a syscall-stop that could not be read.
    Other,
}

/// Which event told of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Birth {
    /// `PTRACE_EVENT_FORK`: a child that ends with `SIGCHLD`.
    Fork,
    /// `PTRACE_EVENT_VFORK`: its parent sleeps until it execs or ends.
    Vfork,
    /// `PTRACE_EVENT_CLONE`: a thread, but for very few programs.
    Clone,
}

impl Stop {
    fn of_syscall(raw: &RawStop) -> Result<Self, Errno> {
        Ok(match raw.tracee.syscall()? {
            SyscallStop::Entry {
                audit,
                nr,
                args,
                ip,
            } => Self::Entry {
                audit,
                // The kernel uses the low half of the register only.
                nr: (nr & 0xffff_ffff) as u32,
                args,
                ip,
            },
            SyscallStop::Exit { result } => Self::Exit { result },
            SyscallStop::None => Self::Other,
        })
    }

    /// The meaning of a raw stop. An error is that of a question to the kernel: `ESRCH` when `SIGKILL`
    /// ended the stop.
    pub(crate) fn read(raw: &RawStop) -> Result<Self, Errno> {
        let born = |tracee: &Stopped, birth| {
            let child = tracee.event_message()?;
            Ok(Self::Born { child, birth })
        };
        Ok(match raw.event {
            0 if raw.signal == libc::SIGTRAP | 0x80 => Self::of_syscall(raw)?,
            libc::PTRACE_EVENT_SECCOMP => Self::of_syscall(raw)?,
            0 => Self::Signal(Signal::from_raw(raw.signal)),
            libc::PTRACE_EVENT_STOP if raw.signal == libc::SIGTRAP => Self::Halt,
            libc::PTRACE_EVENT_STOP => Self::Group,
            libc::PTRACE_EVENT_EXEC => Self::Exec {
                former: raw.tracee.event_message()?,
            },
            libc::PTRACE_EVENT_FORK => born(&raw.tracee, Birth::Fork)?,
            libc::PTRACE_EVENT_VFORK => born(&raw.tracee, Birth::Vfork)?,
            libc::PTRACE_EVENT_CLONE => born(&raw.tracee, Birth::Clone)?,
            _ => Self::Other,
        })
    }
}
