//! `ptrace(2)`, as far as a tracer needs it that seizes and never attaches.
//!
//! Requests exist only on [`Stopped`], a token that `wait` hands out and that resuming uses up: a request
//! to a running tracee does not compile. `ESRCH` on a stopped tracee means that `SIGKILL` came between;
//! `wait` will tell, so callers treat it as "gone".

use std::mem::MaybeUninit;

use super::signal::{Mask, Signal};
use super::{Errno, Tid, ZERO, check};

/// What C libraries take requests for.
#[cfg(target_env = "musl")]
type Request = libc::c_int;
#[cfg(not(target_env = "musl"))]
type Request = libc::c_uint;

// Of `linux/ptrace.h`. Not every C library has them.
const GET_SYSCALL_INFO: Request = 0x420e;
const GETSIGMASK: Request = 0x420a;
const SETSIGMASK: Request = 0x420b;
const SYSCALL_INFO_ENTRY: u8 = 1;
const SYSCALL_INFO_EXIT: u8 = 2;
const SYSCALL_INFO_SECCOMP: u8 = 3;

/// A tracee in a ptrace-stop.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped(Tid);

/// How to go on after a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resume {
    /// Run to the next syscall-entry or -exit.
    ToSyscall,
    /// Run to the next event or signal; of syscalls only to those that a filter answers with `TRACE`.
    ToEvent,
    /// Stay stopped, as job control wants it, and tell when that ends (`PTRACE_LISTEN`).
    Listen,
}

/// What `PTRACE_GET_SYSCALL_INFO` says, on every architecture alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyscallStop {
    /// About to enter a syscall: `AUDIT_ARCH_*`, number, arguments.
    Entry {
        audit: u32,
        nr: u64,
        args: [u64; 6],
        /// Where the call was made.
        ip: u64,
    },
    /// Back from one, with its result (negative: an errno).
    Exit { result: i64 },
    /// Not a syscall-stop.
    None,
}

/// `struct ptrace_syscall_info` of `linux/ptrace.h` (the entry member of its union, which is the largest
/// that we read).
#[repr(C)]
struct RawSyscallInfo {
    op: u8,
    reserved: u8,
    flags: u16,
    arch: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
    /// Entry: number and six arguments. Exit: result and a flag.
    union: [u64; 8],
}

/// Descendants are traced from birth; syscall-stops can be told from `SIGTRAP`; exec and what a filter
/// answers with `TRACE` are announced; and when the tracer dies, however it dies, no tracee runs on.
const OPTIONS: libc::c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | TRACE_SECCOMP
    | libc::PTRACE_O_EXITKILL;

/// Only where calls can be refused (`registers`): without the option, what a filter of the program's own answers with
/// `TRACE` fails by itself, as it does without a tracer.
const TRACE_SECCOMP: libc::c_int = if cfg!(target_arch = "x86_64") {
    libc::PTRACE_O_TRACESECCOMP
} else {
    0
};

/// Starts to trace a running process. `PTRACE_SEIZE` sets the options in the same step, and unlike
/// `PTRACE_ATTACH` sends no `SIGSTOP` that could be taken for the program's own.
pub(crate) fn seize(tid: Tid) -> Result<(), Errno> {
    let options = libc::c_long::from(OPTIONS);
    // SAFETY: SEIZE takes a tid, a null address and options by value.
    check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, tid, ZERO, options) }).map(drop)
}

/// Is this request, the first argument of a `ptrace`, one that makes a tracer and a tracee?
pub(crate) fn begins(request: u64) -> bool {
    let all = [
        libc::PTRACE_TRACEME,
        libc::PTRACE_ATTACH,
        libc::PTRACE_SEIZE,
    ];
    Request::try_from(request).is_ok_and(|request| all.contains(&request))
}

impl Stopped {
    /// The token for a stop that `wait4` just reported.
    pub(super) const fn after_wait(tid: Tid) -> Self {
        Self(tid)
    }

    /// Resumes the tracee, delivering `signal`. With the signal of a signal-delivery-stop its siginfo is
    /// kept as it was.
    pub(crate) fn resume(self, how: Resume, signal: Option<Signal>) -> Result<(), Errno> {
        let request = match how {
            Resume::ToSyscall => libc::PTRACE_SYSCALL,
            Resume::ToEvent => libc::PTRACE_CONT,
            Resume::Listen => libc::PTRACE_LISTEN,
        };
        let signal = libc::c_long::from(signal.map_or(0, Signal::as_raw));
        // SAFETY: both requests take a tid and a number; the address is ignored.
        check(unsafe { libc::ptrace(request, self.0, ZERO, signal) }).map(drop)
    }

    /// Lets go of the tracee for good, delivering `signal`.
    pub(crate) fn detach(self, signal: Option<Signal>) -> Result<(), Errno> {
        let signal = libc::c_long::from(signal.map_or(0, Signal::as_raw));
        // SAFETY: takes a tid and a number; the address is ignored.
        check(unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, ZERO, signal) }).map(drop)
    }

    /// Once it is resumed it stops again before its next instruction, in a group-stop while job control keeps its
    /// process stopped. One that is let go instead does not.
    pub(crate) fn interrupt(&self) -> Result<(), Errno> {
        // SAFETY: takes a tid; address and data are ignored.
        check(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, self.0, ZERO, ZERO) }).map(drop)
    }

    /// Its tid.
    pub(crate) const fn tid(&self) -> Tid {
        self.0
    }

    /// What syscall this stop is about.
    pub(crate) fn syscall(&self) -> Result<SyscallStop, Errno> {
        let mut info = MaybeUninit::<RawSyscallInfo>::zeroed();
        let size = size_of::<RawSyscallInfo>();
        // SAFETY: the kernel writes at most `size` bytes to a local of that size.
        check(unsafe { libc::ptrace(GET_SYSCALL_INFO, self.0, size, info.as_mut_ptr()) })?;
        // SAFETY: it was zeroed, and every bit pattern is a valid value of the structure.
        let info = unsafe { info.assume_init() };
        let [first, rest @ .., _] = info.union;
        Ok(match info.op {
            SYSCALL_INFO_ENTRY | SYSCALL_INFO_SECCOMP => SyscallStop::Entry {
                audit: info.arch,
                nr: first,
                args: rest,
                ip: info.instruction_pointer,
            },
            SYSCALL_INFO_EXIT => SyscallStop::Exit {
                result: first.cast_signed(),
            },
            _ => SyscallStop::None,
        })
    }

    /// The message of an event-stop: the new tid, or an exec's former tid.
    pub(crate) fn event_message(&self) -> Result<Tid, Errno> {
        let mut message: libc::c_ulong = 0;
        // SAFETY: the kernel writes one unsigned long to a local of that type.
        check(unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, self.0, ZERO, &raw mut message) })?;
        // 0 is nobody, and what the kernel says for a task that our pid namespace does not show.
        Ok(Tid::try_from(message).unwrap_or(0))
    }

    /// The signals that the tracee blocks.
    pub(crate) fn signal_mask(&self) -> Result<Mask, Errno> {
        let mut mask = Mask::NONE;
        let size = size_of::<Mask>();
        let to = &raw mut mask;
        // SAFETY: the kernel writes a set of the size that is given to a local of that size.
        check(unsafe { libc::ptrace(GETSIGMASK, self.0, size, to) })?;
        Ok(mask)
    }

    /// Changes the signals that the tracee blocks.
    pub(crate) fn set_signal_mask(&self, mask: Mask) -> Result<(), Errno> {
        let size = size_of::<Mask>();
        let from = &raw const mask;
        // SAFETY: the kernel reads a set of the size that is given from a local of that size.
        check(unsafe { libc::ptrace(SETSIGMASK, self.0, size, from) }).map(drop)
    }

    /// All general registers.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn registers(&self) -> Result<libc::user_regs_struct, Errno> {
        let mut registers = MaybeUninit::<libc::user_regs_struct>::zeroed();
        let to = registers.as_mut_ptr();
        // SAFETY: the kernel writes one structure of registers to a local of that type.
        check(unsafe { libc::ptrace(libc::PTRACE_GETREGS, self.0, ZERO, to) })?;
        // SAFETY: it was zeroed, and every bit pattern is a valid value of the structure.
        Ok(unsafe { registers.assume_init() })
    }

    /// Changes all general registers.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn set_registers(&self, registers: &libc::user_regs_struct) -> Result<(), Errno> {
        let from = std::ptr::from_ref(registers);
        // SAFETY: the kernel reads one structure of registers.
        check(unsafe { libc::ptrace(libc::PTRACE_SETREGS, self.0, ZERO, from) }).map(drop)
    }

    /// One word of the tracee's memory. Fails where the tracee is undumpable and we are not privileged.
    pub(crate) fn peek(&self, address: u64) -> Result<u64, Errno> {
        Errno::clear();
        // SAFETY: PEEKDATA reads the tracee's memory, never ours; the C library's wrapper returns the word.
        let word = unsafe { libc::ptrace(libc::PTRACE_PEEKDATA, self.0, address, ZERO) };
        if word == -1 && Errno::last_raw() != 0 {
            return Err(Errno::last());
        }
        Ok(word.cast_unsigned())
    }

    /// Changes one word of the tracee's memory.
    pub(crate) fn poke(&self, address: u64, word: u64) -> Result<(), Errno> {
        // SAFETY: POKEDATA writes the tracee's memory, never ours.
        check(unsafe { libc::ptrace(libc::PTRACE_POKEDATA, self.0, address, word) }).map(drop)
    }

    /// Changes the first argument of the syscall that the tracee is entering.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn set_first_argument(&self, is_64bit: bool, value: u64) -> Result<(), Errno> {
        use std::mem::offset_of;
        let register = if is_64bit {
            offset_of!(libc::user_regs_struct, rdi)
        } else {
            offset_of!(libc::user_regs_struct, rbx)
        };
        // SAFETY: POKEUSER writes a saved register of the tracee, never our memory.
        check(unsafe { libc::ptrace(libc::PTRACE_POKEUSER, self.0, register, value) }).map(drop)
    }

    /// Changes the first argument of the syscall that the tracee is entering.
    ///
    /// # Errors
    /// `ENOSYS`: not done on this architecture yet.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn set_first_argument(&self, _is_64bit: bool, _value: u64) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }
}
