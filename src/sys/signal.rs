//! Signals as numbers, so that real-time ones exist, and waiting for them: `signal(7)`, `sigwaitinfo(2)`.
//!
//! The launcher handles no signal asynchronously: it blocks all and takes them one by one, with their
//! sender. That keeps every real-time signal (handlers that set a flag merge them) and needs no handler
//! in a process that forks.

use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::{Errno, Tid, check, check_int};

/// A signal number, 1 to 64, standard or real-time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

impl Signal {
    pub(crate) const HUP: Self = Self(libc::SIGHUP);
    pub(crate) const INT: Self = Self(libc::SIGINT);
    pub(crate) const QUIT: Self = Self(libc::SIGQUIT);
    pub(crate) const WINCH: Self = Self(libc::SIGWINCH);
    pub(crate) const USR1: Self = Self(libc::SIGUSR1);
    pub(crate) const KILL: Self = Self(libc::SIGKILL);
    pub(crate) const PIPE: Self = Self(libc::SIGPIPE);
    pub(crate) const TERM: Self = Self(libc::SIGTERM);
    pub(crate) const CHLD: Self = Self(libc::SIGCHLD);
    pub(crate) const CONT: Self = Self(libc::SIGCONT);
    pub(crate) const TSTP: Self = Self(libc::SIGTSTP);
    pub(crate) const TTIN: Self = Self(libc::SIGTTIN);
    pub(crate) const TTOU: Self = Self(libc::SIGTTOU);
    pub(crate) const URG: Self = Self(libc::SIGURG);
    pub(crate) const XFSZ: Self = Self(libc::SIGXFSZ);
    pub(crate) const SYS: Self = Self(libc::SIGSYS);

    /// The signal of a number that the kernel gave.
    pub(crate) const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Is it one of those that queue? The C library's own (32, 33) included.
    pub(crate) const fn is_realtime(self) -> bool {
        self.0 >= 32
    }
}

/// glibc's `SIGRTMIN`: it keeps the first two real-time signals. Other C libraries keep more, but one name is for one number.
const RTMIN: i32 = 34;

/// `SIGTERM`, or `SIGRTMIN+3` for the real-time signals as C programs number them.
impl fmt::Display for Signal {
    // In line it would bring the table of all names with it, wherever a signal is shown.
    #[inline(never)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signal_hook::low_level::signal_name(self.0) {
            Some(name) => f.write_str(name),
            None if self.0 >= RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// A set of signals as the kernel has it: bit n-1 is signal n.
///
/// Not the C library's, whose functions leave out signals 32 and 33 without a word: it uses them itself, but
/// they can be sent to us, and they would end us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Mask(u64);

impl Mask {
    /// No signal.
    pub(crate) const NONE: Self = Self(0);
    /// Every signal; the kernel leaves out those that cannot be blocked.
    pub(crate) const ALL: Self = Self(u64::MAX);

    const fn without(self, signal: Signal) -> Self {
        Self(self.0 & !(1 << (signal.0 - 1)))
    }

    /// Makes it this thread's mask, and returns the one before. Async-signal-safe.
    pub(crate) fn set(self) -> Result<Self, Errno> {
        let mut old = 0_u64;
        let (how, size) = (libc::SIG_SETMASK, size_of::<u64>());
        // SAFETY: both point to locals of the size that is given.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                how,
                &raw const self.0,
                &raw mut old,
                size,
            )
        };
        check(result).map(|_| Self(old))
    }
}

/// Blocks every signal in this thread and those it starts; returns the mask as it was.
pub(crate) fn block_all() -> Result<Mask, Errno> {
    Mask::ALL.set()
}

/// Is this signal's disposition "ignore"? Async-signal-safe.
pub(crate) fn is_ignored(signal: libc::c_int) -> Result<bool, Errno> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action only asks; the old one goes to a local of the right type.
    check_int(unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) })?;
    // SAFETY: sigaction succeeded, so it wrote the action.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

/// Sets this signal's disposition to "ignore" or to the default. Async-signal-safe.
pub(crate) fn set_ignored(signal: libc::c_int, ignored: bool) -> Result<(), Errno> {
    // SAFETY: all-zero is a valid sigaction: default handler, empty mask, no flags.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = if ignored {
        libc::SIG_IGN
    } else {
        libc::SIG_DFL
    };
    // SAFETY: the action is initialised and names no handler function; a null old action is allowed.
    check_int(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }).map(drop)
}

/// A signal that was taken, and who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) signal: Signal,
    /// Sent by the kernel itself: by the terminal to its foreground group, for example.
    pub(crate) by_kernel: bool,
    /// The process that sent it, where one did.
    pub(crate) sender: i32,
    /// What it says, where that is more than its number, and not the kernel's own word: `sigqueue(3)`, timers, message
    /// queues.
    pub(crate) words: Option<libc::siginfo_t>,
}

/// Waits for the next blocked signal, at most this long; without a limit, for ever.
///
/// `None` when the time is over, or when a stop and continue of this process interrupted the wait.
pub(crate) fn take(limit: Option<Duration>) -> Result<Option<Taken>, Errno> {
    take_from(Mask::ALL, limit)
}

/// A descriptor that is readable while a blocked signal waits to be taken. It is close-on-exec.
pub(crate) fn waiting_fd() -> Result<OwnedFd, Errno> {
    let (size, flags) = (size_of::<u64>(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
    let all = Mask::ALL;
    let set = &raw const all.0;
    // SAFETY: the set has the size that is given.
    let fd = check(unsafe { libc::syscall(libc::SYS_signalfd4, -1, set, size, flags) })?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits for the next blocked signal except `SIGCHLD`, for at most this long.
pub(crate) fn take_other_than_child(limit: Duration) -> Result<Option<Taken>, Errno> {
    take_from(Mask::ALL.without(Signal::CHLD), Some(limit))
}

/// `None` when the time is over, or when a stop and continue of this process interrupted the wait.
fn take_from(set: Mask, timeout: Option<Duration>) -> Result<Option<Taken>, Errno> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let limit = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i32::MAX.into()),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let size = size_of::<u64>();
    // SAFETY: the set has the size that is given, info is a local of the right type, and the limit is null
    // (wait for ever) or points to a local that outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const set.0,
            info.as_mut_ptr(),
            limit,
            size,
        )
    };
    let number = match check(result) {
        Ok(number) => number,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    // SAFETY: it was zeroed, which is a valid siginfo, and the call filled it in.
    let info = unsafe { info.assume_init() };
    // SAFETY: every kind of siginfo that names a sender keeps it where si_pid reads; the others give 0 or
    // a number that is compared, never used.
    let sender = unsafe { info.si_pid() };
    let by_kernel = info.si_code == libc::SI_KERNEL;
    let is_ours_to_say = info.si_code < 0 && info.si_code != libc::SI_TKILL;
    Ok(Some(Taken {
        // Signals go to 64.
        signal: Signal(i32::try_from(number).unwrap_or_default()),
        by_kernel,
        sender,
        words: is_ours_to_say.then_some(info),
    }))
}

/// Passes a signal on to the process behind a pidfd, with what it says.
pub(crate) fn pass_on(pidfd: BorrowedFd<'_>, taken: Taken) -> Result<(), Errno> {
    if let Some(words) = taken.words {
        // SAFETY: the siginfo is a local, and as the kernel gave it.
        match unsafe { send_info(pidfd, taken.signal, &raw const words) } {
            // Too many wait already: the number alone needs no room.
            Err(Errno::EAGAIN) => {}
            result => return result,
        }
    }
    send(pidfd, taken.signal)
}

/// Sends a signal to the process behind a pidfd, so that a recycled pid is never hit.
pub(crate) fn send(pidfd: BorrowedFd<'_>, signal: Signal) -> Result<(), Errno> {
    // SAFETY: a null siginfo asks the kernel to fill in that of kill(2).
    unsafe { send_info(pidfd, signal, std::ptr::null()) }
}

/// # Safety
/// `info` is null or points to a siginfo.
unsafe fn send_info(
    pidfd: BorrowedFd<'_>,
    signal: Signal,
    info: *const libc::siginfo_t,
) -> Result<(), Errno> {
    let (call, pidfd) = (libc::SYS_pidfd_send_signal, pidfd.as_raw_fd());
    // SAFETY: the kernel reads one siginfo at most, which our caller promises is there; flags must be 0.
    check(unsafe { libc::syscall(call, pidfd, signal.0, info, 0) }).map(drop)
}

/// Sends a signal to one thread. It must be known to be alive, as a stopped tracee is.
pub(crate) fn send_to_thread(process: Tid, tid: Tid, signal: Signal) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_tgkill, process, tid, signal.0) }).map(drop)
}

/// A call that is trapped: what the `SIGSYS` says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trapped {
    /// The instruction after the call.
    pub(crate) ip: u64,
    pub(crate) nr: u32,
    /// `AUDIT_ARCH_*`.
    pub(crate) audit: u32,
    /// Its thread takes signals in the form of 32-bit programs.
    pub(crate) narrow: bool,
}

/// `siginfo_t` as `sigaction(2)` describes it for `SIGSYS`, in the kernel's layout.
#[repr(C)]
struct TrapInfo {
    signo: i32,
    errno: i32,
    code: i32,
    padding: i32,
    call_addr: u64,
    syscall: u32,
    arch: u32,
    rest: [u64; 12],
}

/// Sends a thread the `SIGSYS` of a trapped call. All that the kernel says of such a call is in it, but for `si_code`: only
/// the kernel may say `SYS_SECCOMP`. It is `SI_TIMER`, because the kernel takes what comes with others for the sender's pid
/// and uid, and translates these for who is in another namespace.
pub(crate) fn send_trap(process: Tid, tid: Tid, trapped: Trapped) -> Result<(), Errno> {
    // The kernel hands them over as it does for SI_TIMER. To a 32-bit program these are si_timerid, si_overrun and si_value, of
    // 4 bytes each, which lie where it has si_call_addr, si_syscall and si_arch.
    let (call_addr, syscall, arch) = if trapped.narrow {
        (trapped.ip | u64::from(trapped.nr) << 32, trapped.audit, 0)
    } else {
        (trapped.ip, trapped.nr, trapped.audit)
    };
    let info = TrapInfo {
        signo: libc::SIGSYS,
        errno: 0,
        code: libc::SI_TIMER,
        padding: 0,
        call_addr,
        syscall,
        arch,
        rest: [0; 12],
    };
    const { assert!(size_of::<TrapInfo>() == size_of::<libc::siginfo_t>()) };
    let call = libc::SYS_rt_tgsigqueueinfo;
    // SAFETY: the kernel reads a siginfo_t from a local of that size and layout.
    let result = unsafe { libc::syscall(call, process, tid, libc::SIGSYS, &raw const info) };
    check(result).map(drop)
}

/// A descriptor that is readable when `SIGCHLD` has come, and never blocks.
pub(crate) fn child_fd() -> Result<SignalFd, Errno> {
    let mut set = SigSet::empty();
    set.add(nix::sys::signal::Signal::SIGCHLD);
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Does a stop of a child or tracee raise `SIGCHLD`, as an end does? A tracer's stops would raise it thousands of
/// times a second.
pub(crate) fn set_child_stops(raise: bool) -> Result<(), Errno> {
    // SAFETY: all-zero is a valid sigaction: default handler, empty mask, no flags.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_flags = if raise { 0 } else { libc::SA_NOCLDSTOP };
    // SAFETY: the action is initialised and names no handler function; a null old action is allowed.
    let result = unsafe { libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut()) };
    check_int(result).map(drop)
}

/// Sends this process a signal that means nothing, to wake the thread that takes signals.
pub(crate) fn wake_taker() {
    // SAFETY: takes and returns a number.
    let us = unsafe { libc::getpid() };
    // SAFETY: takes numbers only. SIGURG is ignored by default, and blocked here.
    unsafe { libc::kill(us, libc::SIGURG) };
}

/// Stops this process as job control does; returns when it was continued.
///
/// Not by `raise(3)`, which is another call in each C library.
pub(crate) fn stop_self() {
    // SAFETY: takes and returns a number.
    let us = unsafe { libc::getpid() };
    // SAFETY: as above.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) };
    // SAFETY: takes numbers only. SIGSTOP cannot be blocked.
    unsafe { libc::syscall(libc::SYS_tgkill, us, thread, libc::SIGSTOP) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_a_name() {
        let cases = [
            (15, "SIGTERM"),
            (31, "SIGSYS"),
            (34, "SIGRTMIN+0"),
            (64, "SIGRTMIN+30"),
        ];
        for (number, name) in cases {
            assert_eq!(Signal(number).to_string(), name);
        }
    }
}
