//! The registers of a tracee, as far as making it call something needs them.
//!
//! Only on x86-64 so far. Elsewhere every request is `ENOSYS`, and a learner stops at every call instead.

use super::Errno;
use super::ptrace::Stopped;

/// The audit value of the calls that [`Registers`] can make.
#[cfg(target_arch = "x86_64")]
const AUDIT: Option<u32> = Some(0xc000_003e);
#[cfg(not(target_arch = "x86_64"))]
const AUDIT: Option<u32> = None;

/// The registers of a tracee in a syscall-stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registers(
    #[cfg(target_arch = "x86_64")] libc::user_regs_struct,
    #[cfg(not(target_arch = "x86_64"))] std::convert::Infallible,
);

/// A syscall to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) nr: libc::c_long,
    pub(crate) args: [u64; 6],
}

impl Call {
    /// A call with up to six arguments; the others are 0.
    pub(crate) fn new<const N: usize>(nr: libc::c_long, given: [u64; N]) -> Self {
        let mut args = [0; 6];
        for (arg, given) in args.iter_mut().zip(given) {
            *arg = given;
        }
        Self { nr, args }
    }
}

impl Registers {
    /// Can tracees that make calls of this architecture (`AUDIT_ARCH_*`) be made to call something?
    pub(crate) fn can_call(audit: u32) -> bool {
        AUDIT == Some(audit)
    }
}

#[cfg(target_arch = "x86_64")]
impl Registers {
    /// How many bytes the `syscall` instruction has.
    const INSTRUCTION: u64 = 2;
    /// `syscall`, as a little-endian number.
    const SYSCALL: u64 = 0x050f;

    /// The registers of a tracee that enters a syscall by the instruction before its instruction pointer.
    ///
    /// # Errors
    /// `ENOEXEC`: it was another instruction.
    pub(crate) fn at_entry(tracee: &Stopped) -> Result<Self, Errno> {
        let registers = Self(tracee.registers()?);
        let word = tracee.peek(registers.0.rip.wrapping_sub(Self::INSTRUCTION))?;
        if word & 0xffff == Self::SYSCALL {
            Ok(registers)
        } else {
            Err(Errno::ENOEXEC)
        }
    }

    /// The stack pointer.
    pub(crate) const fn stack_pointer(&self) -> u64 {
        self.0.rsp
    }

    /// Lets the tracee, which is entering a syscall, enter this one instead.
    pub(crate) fn replace(&self, call: &Call, tracee: &Stopped) -> Result<(), Errno> {
        let mut registers = self.0;
        registers.orig_rax = call.nr.cast_unsigned();
        set_args(&mut registers, call);
        tracee.set_registers(&registers)
    }

    /// Lets the tracee, which has left a syscall, make this one next.
    pub(crate) fn call(&self, call: &Call, tracee: &Stopped) -> Result<(), Errno> {
        let mut registers = self.before();
        registers.rax = call.nr.cast_unsigned();
        set_args(&mut registers, call);
        tracee.set_registers(&registers)
    }

    /// Lets the call that a tracee is about to make fail with `errno` instead.
    pub(crate) fn refuse(tracee: &Stopped, errno: Errno) -> Result<(), Errno> {
        let mut registers = tracee.registers()?;
        // No call has this number: none is made, and what is in the register is its result.
        registers.orig_rax = u64::MAX;
        registers.rax = (-i64::from(errno as i32)).cast_unsigned();
        tracee.set_registers(&registers)
    }

    /// Puts the tracee back before the instruction with which it entered its own syscall.
    pub(crate) fn restore(&self, tracee: &Stopped) -> Result<(), Errno> {
        let mut registers = self.before();
        registers.rax = self.0.orig_rax;
        tracee.set_registers(&registers)
    }

    /// As they were, at the syscall instruction. No call is under way that a signal could restart.
    const fn before(&self) -> libc::user_regs_struct {
        let mut registers = self.0;
        registers.rip = registers.rip.wrapping_sub(Self::INSTRUCTION);
        registers.orig_rax = u64::MAX;
        registers
    }
}

#[cfg(target_arch = "x86_64")]
const fn set_args(registers: &mut libc::user_regs_struct, call: &Call) {
    [
        registers.rdi,
        registers.rsi,
        registers.rdx,
        registers.r10,
        registers.r8,
        registers.r9,
    ] = call.args;
}

#[cfg(not(target_arch = "x86_64"))]
impl Registers {
    pub(crate) fn at_entry(_: &Stopped) -> Result<Self, Errno> {
        Err(Errno::ENOSYS)
    }

    pub(crate) const fn stack_pointer(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) fn replace(&self, _: &Call, _: &Stopped) -> Result<(), Errno> {
        match self.0 {}
    }

    pub(crate) fn call(&self, _: &Call, _: &Stopped) -> Result<(), Errno> {
        match self.0 {}
    }

    pub(crate) fn restore(&self, _: &Stopped) -> Result<(), Errno> {
        match self.0 {}
    }

    pub(crate) fn refuse(_: &Stopped, _: Errno) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }
}
