//! Children that hide: `CLONE_UNTRACED` keeps a child from its parent's tracer.
//!
//! `LeakSanitizer` uses the flag, and a hostile program may. It is taken out of the call at the entry-stop, so
//! that the child is traced like any other, and put back when the call returns, so that the program finds
//! its registers and its memory as they were.

use std::collections::HashMap;

use crate::sys::ptrace::Stopped;
use crate::sys::{Errno, Tid};
use crate::syscall::Sysno;

/// `CLONE_UNTRACED` of `linux/sched.h`.
const UNTRACED: u64 = 0x0080_0000;

/// The calls that were altered and have not returned.
#[derive(Debug, Default)]
pub(super) struct Unhider {
    altered: HashMap<Tid, Flags>,
}

/// Where a call has its flags, and what they were.
#[derive(Debug, Clone, Copy)]
enum Flags {
    /// clone: in its first argument.
    Argument { sysno: Sysno, value: u64 },
    /// clone3: in the first word of the structure that its first argument points to.
    Memory { address: u64, value: u64 },
}

impl Flags {
    fn find(sysno: Sysno, first: u64, tracee: &Stopped) -> Result<Option<Self>, Errno> {
        Ok(match sysno.name() {
            Some("clone") => Some(Self::Argument {
                sysno,
                value: first,
            }),
            Some("clone3") => Some(Self::Memory {
                address: first,
                value: tracee.peek(first)?,
            }),
            _ => None,
        })
    }

    const fn value(self) -> u64 {
        match self {
            Self::Argument { value, .. } | Self::Memory { value, .. } => value,
        }
    }

    fn set(self, value: u64, tracee: &Stopped) -> Result<(), Errno> {
        match self {
            Self::Argument { sysno, .. } => tracee.set_first_argument(sysno.arch.is_64bit(), value),
            Self::Memory { address, .. } => tracee.poke(address, value),
        }
    }
}

impl Unhider {
    /// A call that makes a task is entered: takes the flag out. Returns the call's flags.
    ///
    /// # Errors
    /// The flag could not be looked for or taken out: the child may escape. That another thread writes the
    /// flags of clone3 between our look and the kernel's cannot be seen here.
    pub(super) fn entered(
        &mut self,
        tid: Tid,
        sysno: Sysno,
        first: u64,
        tracee: &Stopped,
    ) -> Result<Option<u64>, Errno> {
        let Some(flags) = Flags::find(sysno, first, tracee)? else {
            // fork and vfork have none, and do what these say.
            let none = u64::from(libc::SIGCHLD.cast_unsigned());
            return Ok(Some(none));
        };
        if flags.value() & UNTRACED != 0 {
            flags.set(flags.value() & !UNTRACED, tracee)?;
            self.altered.insert(tid, flags);
        }
        Ok(Some(flags.value()))
    }

    /// A call has returned: puts the flag back.
    pub(super) fn returned(&mut self, tid: Tid, tracee: &Stopped) {
        if self.altered.is_empty() {
            return;
        }
        if let Some(flags) = self.altered.remove(&tid) {
            // It fails only when the tracee was killed meanwhile, or has unmapped the memory.
            let _ = flags.set(flags.value(), tracee);
        }
    }

    /// Has this task a flag to be put back?
    pub(super) fn has_altered(&self, tid: Tid) -> bool {
        self.altered.contains_key(&tid)
    }

    /// A task has ended.
    pub(super) fn ended(&mut self, tid: Tid) {
        self.altered.remove(&tid);
    }
}
