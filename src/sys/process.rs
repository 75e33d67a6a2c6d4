//! Attributes of this process: `prctl(2)`, its environment, its terminal.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd};

use super::signal::Signal;
use super::{Errno, ONE, Tid, ZERO, check, check_int};

/// Sets `no_new_privs`: from here on, no exec gains privileges. Async-signal-safe.
pub(crate) fn set_no_new_privs() -> Result<(), Errno> {
    // SAFETY: takes numbers only; the unused ones must be 0.
    check_int(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, ONE, ZERO, ZERO, ZERO) }).map(drop)
}

/// Makes this process undumpable: no other process of the same user can trace it, read or write its
/// memory, or take its descriptors.
pub(crate) fn set_undumpable() -> Result<(), Errno> {
    // SAFETY: takes a number only.
    check_int(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, ZERO, ZERO, ZERO, ZERO) }).map(drop)
}

/// A secret: 192 random bits. Async-signal-safe.
pub(crate) fn secret() -> Result<[u64; 3], Errno> {
    let mut secret = [0_u64; 3];
    let size = size_of_val(&secret);
    // SAFETY: writes at most `size` bytes to a local of that size.
    let got = unsafe { libc::syscall(libc::SYS_getrandom, secret.as_mut_ptr(), size, 0) };
    if usize::try_from(check(got)?) == Ok(size) {
        Ok(secret)
    } else {
        Err(Errno::EIO)
    }
}

/// The signal that this process gets when its parent ends; `None`: none.
pub(crate) fn parent_death_signal() -> Result<Option<Signal>, Errno> {
    let mut number: libc::c_int = 0;
    let to = &raw mut number;
    // SAFETY: writes an int to a local; the unused arguments must be 0.
    check_int(unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, to, ZERO, ZERO, ZERO) })?;
    Ok((number != 0).then_some(Signal::from_raw(number)))
}

/// Has this process get a signal when the thread that forked it ends. `parent` is the pid of that thread's process: when
/// it has ended already, nothing would happen any more. Async-signal-safe.
pub(crate) fn die_with(parent: Tid, signal: Signal) -> Result<(), Errno> {
    let number = libc::c_ulong::from(signal.as_raw().unsigned_abs());
    // SAFETY: takes numbers only.
    check_int(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, number, ZERO, ZERO, ZERO) })?;
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::getppid() } == parent {
        Ok(())
    } else {
        Err(Errno::ESRCH)
    }
}

/// A process that [`fork`] made.
#[derive(Debug)]
pub(crate) struct Forked {
    /// Its id, until it is waited for.
    pub(crate) pid: Tid,
    /// What stands for it. It is close-on-exec.
    pub(crate) pidfd: OwnedFd,
}

/// The flags that [`fork`] hands to `clone`.
pub(crate) const FORK_FLAGS: libc::c_int = libc::CLONE_PIDFD | libc::SIGCHLD;

/// Forks, by one `clone` that a filter can tell from any other by its first number. `None`: this is the new process.
///
/// The C library does not hear of it. So this process must have one thread, and the new one must not raise a signal by
/// `raise(3)`, start threads, or return to where a destructor frees what it shares; it leaves by [`leave`].
pub(crate) fn fork() -> Result<Option<Forked>, Errno> {
    let mut pidfd: libc::c_int = -1;
    // The stack is the first argument there.
    #[cfg(target_arch = "s390x")]
    let (first, second) = (0, libc::c_long::from(FORK_FLAGS));
    #[cfg(not(target_arch = "s390x"))]
    let (first, second) = (libc::c_long::from(FORK_FLAGS), 0);
    let to = &raw mut pidfd;
    // SAFETY: without a stack of its own, and without CLONE_VM, the new process goes on here on a copy of everything. The
    // kernel writes an int to a local.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, first, second, to, ZERO, ZERO) })?;
    if pid == 0 {
        return Ok(None);
    }
    let pid = Tid::try_from(pid).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Some(Forked { pid, pidfd }))
}

/// Ends this process, and runs nothing of what a program does at its end.
pub(crate) fn leave() -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(0) }
}

/// The id of this process. Unlike the standard library's it has the type of all others.
pub(crate) fn own_id() -> Tid {
    // SAFETY: takes nothing, and cannot fail.
    unsafe { libc::getpid() }
}

/// Is a child of ours in our process group? `false` where an outer filter forbids to ask.
pub(crate) fn is_in_our_group(child: Tid) -> bool {
    // SAFETY: takes and returns numbers only.
    let group = |pid| check_int(unsafe { libc::getpgid(pid) });
    group(child).is_ok_and(|theirs| group(0) == Ok(theirs))
}

/// Makes this process the first of a process group of its own.
pub(crate) fn leave_group() -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    check_int(unsafe { libc::setpgid(0, 0) }).map(drop)
}

/// Closes every descriptor.
pub(crate) fn close_all() -> Result<(), Errno> {
    close_range(0, i32::MAX)
}

/// Names this process's thread, for who looks at it.
pub(crate) fn set_name(name: &CStr) -> Result<(), Errno> {
    // SAFETY: takes a C string; the unused arguments must be 0.
    check_int(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), ZERO, ZERO, ZERO) }).map(drop)
}

/// Makes orphaned descendants our children, so that we reap them.
pub(crate) fn become_subreaper() -> Result<(), Errno> {
    // SAFETY: takes a number only.
    check_int(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, ONE, ZERO, ZERO, ZERO) }).map(drop)
}

/// A descriptor that stands for a child of ours. It is close-on-exec.
pub(crate) fn pidfd_open(pid: Tid) -> Result<OwnedFd, Errno> {
    pidfd(pid, 0)
}

/// A descriptor that stands for a thread of another process. Before Linux 6.9 only for its first one.
pub(crate) fn pidfd_of_thread(tid: Tid) -> Result<OwnedFd, Errno> {
    // PIDFD_THREAD
    pidfd(tid, libc::O_EXCL).or_else(|_| pidfd(tid, 0))
}

fn pidfd(tid: Tid, flags: libc::c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: takes numbers only.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, tid, flags) })?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The environment, byte for byte: entries without `=` included, which `std::env` would drop. It stays as it is: see
/// `clippy.toml`.
pub(crate) fn environment() -> Vec<&'static CStr> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: reading the pointer itself; nothing in this program changes the environment.
    let mut at = unsafe { environ };
    while !at.is_null() {
        // SAFETY: environ is an array that a null pointer ends, and `at` has not passed it.
        let entry = unsafe { *at };
        if entry.is_null() {
            break;
        }
        // SAFETY: each entry is a C string that lives as long as the process.
        entries.push(unsafe { CStr::from_ptr(entry) });
        // SAFETY: the entry was not the ending null, so there is another element.
        at = unsafe { at.add(1) };
    }
    entries
}

/// Lets go of the command's files: replaces standard input and output by the ends of a pipe that nobody
/// else has, and closes everything above 2 except `keep`. Whoever reads what the command writes would
/// otherwise wait for us to close it too.
pub(crate) fn release_files(mut keep: Vec<i32>) -> Result<(), Errno> {
    keep.sort_unstable();
    let mut from = 3;
    for fd in keep.into_iter().filter(|&fd| fd > 2).chain([i32::MAX]) {
        if from < fd {
            close_range(from, fd - 1)?;
        }
        from = fd.saturating_add(1);
    }
    // One after the other, each closed before: there may be no room for another descriptor.
    close_range(0, 1)?;
    let (reader, writer) = std::io::pipe().map_err(|_| Errno::EMFILE)?;
    // The lowest that are free: these two, and nothing here owns what is in their place.
    match (reader.into_raw_fd(), writer.into_raw_fd()) {
        (0, 1) => Ok(()),
        _ => Err(Errno::EBADF),
    }
}

/// Goes to the root: who stays behind should keep no file system busy.
pub(crate) fn leave_directory() {
    // Where that is refused, nothing is lost but that.
    let _ = std::env::set_current_dir("/");
}

fn close_range(first: i32, last: i32) -> Result<(), Errno> {
    // SAFETY: takes numbers only. Nothing of this program owns a descriptor that its caller passed.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Closes a descriptor and puts a copy of another, close-on-exec, in its place.
pub(crate) fn put_in_place_of(old: OwnedFd, new: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let (new, place) = (new.as_raw_fd(), old.as_raw_fd());
    // SAFETY: takes numbers only; the place is ours, and stays it.
    check_int(unsafe { libc::dup3(new, place, libc::O_CLOEXEC) })?;
    Ok(old)
}

/// Gives back memory that is not needed while this process only waits: what is free in the heap, and the pages of the
/// program's own file, which come back from there as they are used.
pub(crate) fn give_memory_back() {
    unsafe extern "C" {
        static __executable_start: libc::c_void;
        static etext: libc::c_void;
    }
    // SAFETY: takes a number, and only lets go of memory that nothing uses.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
    #[cfg(target_env = "musl")]
    super::heap::trim();
    let (start, end) = (&raw const __executable_start, &raw const etext);
    let length = end.addr().saturating_sub(start.addr());
    // SAFETY: from the start of the program to the end of its code all pages are read-only mappings of its file. What
    // was written when the program was loaded comes behind.
    let _ = unsafe { libc::madvise(start.cast_mut(), length, libc::MADV_DONTNEED) };
}

/// Is this process the leader of its session?
pub(crate) fn leads_session() -> bool {
    // SAFETY: takes and returns numbers only.
    let session = unsafe { libc::getsid(0) };
    u32::try_from(session) == Ok(std::process::id())
}

/// What a task executes, as text; empty where `/proc` does not tell.
pub(crate) fn executable(tid: Tid) -> String {
    let file = std::fs::read_link(format!("/proc/{tid}/exe")).unwrap_or_default();
    file.to_string_lossy().into_owned()
}

/// Lets others run for a moment.
pub(crate) fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(1));
}

/// How many seccomp filters are in force for a task (0: this process). `None` where the kernel does not tell (before
/// 5.9), or there is no such task.
pub(crate) fn filters(tid: Tid) -> Option<u32> {
    let of = if tid == 0 {
        "self".to_owned()
    } else {
        tid.to_string()
    };
    let status = std::fs::read_to_string(format!("/proc/{of}/status")).ok()?;
    let field = |name: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    field("Seccomp_filters:").or_else(|| field("Seccomp:").filter(|&mode| mode == 0))
}

/// Is a seccomp filter in force for this process already? `false` where `/proc` does not tell.
pub(crate) fn is_filtered() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line == "Seccomp:\t2")
}
