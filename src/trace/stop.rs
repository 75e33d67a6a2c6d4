//! Stops, in the words of `ptrace(2)`: what a raw wait status and a few questions to the kernel mean.

use crate::sys::ptrace::{Stopped, SyscallStop};
use crate::sys::signal::Signal;
use crate::sys::wait::RawStop;
use crate::sys::{Errno, Tid};

/// Why a tracee is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Syscall-entry-stop.
    Entry { audit: u32, nr: u32, args: [u64; 6] },
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
    Born { child: Tid, thread: bool },
    /// Any other event, or a syscall-stop that could not be read.
    Other,
}

impl Stop {
    /// The meaning of a raw stop. An error is that of a question to the kernel: `ESRCH` when `SIGKILL`
    /// ended the stop.
    pub(crate) fn read(raw: &RawStop) -> Result<Self, Errno> {
        let message = |tracee: &Stopped| tracee.event_message();
        Ok(match raw.event {
            0 if raw.signal == libc::SIGTRAP | 0x80 => match raw.tracee.syscall()? {
                // The kernel uses the low half of the register only.
                SyscallStop::Entry { audit, nr, args } => Self::Entry {
                    audit,
                    nr: (nr & 0xffff_ffff) as u32,
                    args,
                },
                SyscallStop::Exit { result } => Self::Exit { result },
                SyscallStop::None => Self::Other,
            },
            0 => Self::Signal(Signal::from_raw(raw.signal)),
            libc::PTRACE_EVENT_STOP if raw.signal == libc::SIGTRAP => Self::Halt,
            libc::PTRACE_EVENT_STOP => Self::Group,
            libc::PTRACE_EVENT_EXEC => Self::Exec {
                former: message(&raw.tracee)?,
            },
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK => Self::Born {
                child: message(&raw.tracee)?,
                thread: false,
            },
            // A clone whose exit signal is not SIGCHLD: a thread, but for very few programs.
            libc::PTRACE_EVENT_CLONE => Self::Born {
                child: message(&raw.tracee)?,
                thread: true,
            },
            _ => Self::Other,
        })
    }
}
