//! The late filter: makes a process install the learner's filter on itself, and leaves no other trace in it.
//!
//! It begins at the entry-stop of a plain syscall of the program. That call is replaced by `seccomp`, the
//! descriptor that it returns is taken out of the process and closed there, and the program is put back
//! before the instruction with which it entered its call: it makes it now, under the filter.
//!
//! Signals are blocked meanwhile, so that no handler sees a half-way state. `SIGSTOP` cannot be: it stops the process as
//! job control means it, at once, since a `SIGCONT` that comes next could not undo a stop that was put off. What was
//! begun is brought to its end all the same, by a thread that is stopped again when it has been.
//!
//! The program for the kernel must lie in the process's memory for a moment: in a process with one thread, on its
//! stack, over bytes that are put back (never below the stack pointer, where other things than stack may be); where
//! other threads might look, in a page of its own that is mapped and unmapped.

use std::os::fd::{AsFd as _, OwnedFd};

use super::stop::Stop;
use crate::bpf::Insn;
use crate::filter::{Filter, arm};
use crate::peek::Memory;
use crate::sys::listener::Listener;
use crate::sys::ptrace::Stopped;
use crate::sys::registers::{Call, Registers};
use crate::sys::signal::Mask;
use crate::sys::{Errno, process};

/// A filter on its way into a process.
#[derive(Debug)]
pub(super) struct Injection {
    registers: Registers,
    mask: Mask,
    memory: Memory,
    /// To take the listener by.
    process: OwnedFd,
    /// Keeps a place for it among our descriptors.
    spare: Option<OwnedFd>,
    /// What the process shall install, and the flags for it.
    program: Vec<u8>,
    flags: libc::c_ulong,
    /// What lets its calls on our behalf through.
    secret: [u64; 3],
    place: Place,
    step: Step,
    outcome: Outcome,
    /// Job control has stopped the process meanwhile.
    halted: bool,
}

/// Where the program lies in the process.
#[derive(Debug)]
enum Place {
    /// Over these bytes.
    Over { address: u64, bytes: Vec<u8> },
    /// In pages of its own, once they are mapped.
    Mapped { address: u64, length: u64 },
}

/// What the process has been made to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Map,
    Install,
    Close,
    Unmap,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The filter is in, and this hears of what it does not know.
    Listening(Listener),
    /// The filter is in; it has no listener.
    Installed,
    /// The filter is in and its listener is lost: what it does not know fails with `ENOSYS`.
    Deaf,
    /// The kernel refused, and nothing has changed.
    Refused(Errno),
}

/// How far it is.
#[derive(Debug)]
pub(super) enum Progress {
    /// Resume the process to its next syscall-stop, delivering the signal of this stop.
    UnderWay(Box<Injection>),
    /// The process is as it was, before the instruction that makes its call.
    Over(Outcome),
}

impl Injection {
    /// Begins at an entry-stop. `alone`: the process has one thread, and shares its memory with no other.
    ///
    /// # Errors
    /// Nothing was changed.
    pub(super) fn begin(
        tracee: &Stopped,
        filter: &Filter,
        flags: libc::c_ulong,
        alone: bool,
    ) -> Result<Box<Self>, Errno> {
        let registers = Registers::at_entry(tracee)?;
        let secret = process::secret()?;
        let mut program = filter.program().to_vec();
        if let Some(slots) = filter.launch_slots()
            && !arm(&mut program, &slots, secret)
        {
            return Err(Errno::EINVAL);
        }
        let process = process::pidfd_of_thread(tracee.tid())?;
        // There is no such descriptor; that it is looked for shows that one could be taken.
        match Listener::take(process.as_fd(), i32::MAX) {
            Err(Errno::EBADF) => {}
            Err(errno) => return Err(errno),
            Ok(_) => return Err(Errno::EMFILE),
        }
        let spare = process
            .try_clone()
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EMFILE)))?;
        let memory = Memory::open(tracee.tid())?;
        let mut injection = Box::new(Self {
            mask: tracee.signal_mask()?,
            registers,
            memory,
            process,
            spare: Some(spare),
            program: program.iter().copied().flat_map(bytes).collect(),
            flags,
            secret,
            place: Place::Mapped {
                address: 0,
                length: 0,
            },
            step: Step::Map,
            outcome: Outcome::Refused(Errno::EFAULT),
            halted: false,
        });
        let begun = injection.start(tracee, alone);
        if begun.is_err() {
            // The tracee was killed, or it is one that cannot be written to, and then nothing was.
            let _ = injection.put_back(tracee);
        }
        begun.map(|()| injection)
    }

    fn start(&mut self, tracee: &Stopped, alone: bool) -> Result<(), Errno> {
        tracee.set_signal_mask(Mask::ALL)?;
        let length = HEADER + self.program.len();
        if alone {
            let address = self.registers.stack_pointer().next_multiple_of(8);
            // Where the stack ends too soon, pages of its own will do.
            if let Ok(bytes) = self.memory.read(address, length) {
                self.place = Place::Over { address, bytes };
                self.step = Step::Install;
                let install = self.install(address)?;
                return self.registers.replace(&install, tracee);
            }
        }
        let length = length as u64;
        self.place = Place::Mapped { address: 0, length };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let [access, flags] = [access, flags].map(|bits| u64::from(bits.cast_unsigned()));
        let map = Call::new(libc::SYS_mmap, [0, length, access, flags, u64::MAX, 0]);
        self.registers.replace(&map, tracee)
    }

    /// Puts the program at `address`, and returns the call that installs it.
    fn install(&self, address: u64) -> Result<Call, Errno> {
        let count = self.program.len() / size_of::<Insn>();
        let at = address + HEADER as u64;
        // struct sock_fprog: how many instructions, and where.
        let mut header = (count as u64).to_le_bytes().to_vec();
        header.extend(at.to_le_bytes());
        self.memory.write(address, &header)?;
        self.memory.write(at, &self.program)?;
        let operation = u64::from(libc::SECCOMP_SET_MODE_FILTER);
        Ok(Call::new(
            libc::SYS_seccomp,
            [operation, self.flags, address],
        ))
    }

    /// The tracee has stopped.
    ///
    /// # Errors
    /// It was killed.
    pub(super) fn advance(
        mut self: Box<Self>,
        why: &Stop,
        tracee: &Stopped,
    ) -> Result<Progress, Errno> {
        let result = match *why {
            Stop::Exit { result } => result,
            Stop::Group => {
                self.halted = true;
                return Ok(Progress::UnderWay(self));
            }
            // It enters the call that it was made to make, or SIGSTOP comes.
            _ => return Ok(Progress::UnderWay(self)),
        };
        let next = match self.step {
            Step::Map => self.mapped(result),
            Step::Install => self.installed(result),
            Step::Close => self.unmap(),
            Step::Unmap => None,
        };
        let Some((step, call)) = next else {
            self.put_back(tracee)?;
            if self.halted {
                tracee.interrupt()?;
            }
            return Ok(Progress::Over(self.outcome));
        };
        self.step = step;
        self.registers.call(&call, tracee)?;
        Ok(Progress::UnderWay(self))
    }

    fn mapped(&mut self, result: i64) -> Option<(Step, Call)> {
        if let Err(errno) = checked(result) {
            self.outcome = Outcome::Refused(errno);
            return None;
        }
        let address = result.cast_unsigned();
        if let Place::Mapped { address: at, .. } = &mut self.place {
            *at = address;
        }
        match self.install(address) {
            Ok(install) => Some((Step::Install, install)),
            Err(errno) => {
                self.outcome = Outcome::Refused(errno);
                self.unmap()
            }
        }
    }

    fn installed(&mut self, result: i64) -> Option<(Step, Call)> {
        let fd = match checked(result) {
            Ok(fd) => fd,
            Err(errno) => {
                self.outcome = Outcome::Refused(errno);
                return self.unmap();
            }
        };
        if self.flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
            self.outcome = match fd {
                0 => Outcome::Installed,
                // The number of a thread that has a filter of its own, so that nobody got ours.
                _ => Outcome::Refused(Errno::ESRCH),
            };
            return self.unmap();
        }
        let number = i32::try_from(fd).unwrap_or(-1);
        self.spare = None;
        self.outcome =
            Listener::take(self.process.as_fd(), number).map_or(Outcome::Deaf, Outcome::Listening);
        Some((Step::Close, self.secretly(libc::SYS_close, [fd, 0, 0])))
    }

    fn unmap(&self) -> Option<(Step, Call)> {
        match self.place {
            Place::Mapped { address, length } => {
                let call = self.secretly(libc::SYS_munmap, [address, length, 0]);
                Some((Step::Unmap, call))
            }
            Place::Over { .. } => None,
        }
    }

    /// A call of at most three arguments that the filter takes for ours.
    fn secretly(&self, nr: libc::c_long, own: [u64; 3]) -> Call {
        let mut call = Call::new(nr, own);
        for (arg, secret) in call.args.iter_mut().skip(own.len()).zip(self.secret) {
            *arg = secret;
        }
        call
    }

    /// Everything as it was, before the instruction that makes the program's own call.
    fn put_back(&self, tracee: &Stopped) -> Result<(), Errno> {
        if let Place::Over { address, bytes } = &self.place {
            self.memory.write(*address, bytes)?;
        }
        tracee.set_signal_mask(self.mask)?;
        self.registers.restore(tracee)
    }
}

/// The size of `struct sock_fprog`.
const HEADER: usize = 16;

/// An instruction as it lies in memory.
fn bytes(insn: Insn) -> Vec<u8> {
    let Insn { code, jt, jf, k } = insn;
    [&code.to_ne_bytes()[..], &[jt, jf], &k.to_ne_bytes()].concat()
}

/// What a syscall returned, negative errnos told apart.
fn checked(result: i64) -> Result<u64, Errno> {
    if (-4095..0).contains(&result) {
        let number = i32::try_from(-result).unwrap_or(libc::EINVAL);
        Err(Errno::from_raw(number))
    } else {
        Ok(result.cast_unsigned())
    }
}
