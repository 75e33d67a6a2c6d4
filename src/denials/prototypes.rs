//! What the arguments of syscalls are, for people: which is a path, which is flags.
//!
//! Only for display: `decode` shows what is not listed here as plain numbers. The prototypes are those of the manual
//! pages (section 2).

use crate::constants::Set;

/// How an argument is shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A signed number of 32 bits.
    Int,
    /// An unsigned number.
    Size,
    /// An address, or bits.
    Hex,
    /// A file descriptor that a path starts from, or `AT_FDCWD`.
    Dir,
    /// The address of a text.
    Path,
    /// Permission bits.
    Mode,
    /// A signal.
    Signal,
    /// Bits with names.
    Flags(Set),
    /// A number with a name.
    One(Set),
    /// A number with a name, and bits with names above it.
    OneAnd(Set, Set),
}

/// What a syscall takes, in order.
pub(super) type Arguments = [Option<Kind>; 6];

/// The arguments of a syscall, if it is listed.
pub(super) fn of(name: &str) -> Option<Arguments> {
    let mut all = NAMES.lines();
    let at = all.position(|names| names.split(' ').any(|known| known == name))?;
    ARGUMENTS.get(at).copied()
}

/// `prototypes! { "read write": [Int, Hex, Size]; }`. Without pointers, as [`Set`] is.
macro_rules! prototypes {
    ($($names:literal: [$($kind:expr),*];)*) => {
        /// Syscalls: on each line those that take the same.
        const NAMES: &str = concat!($($names, "\n"),*);

        /// What those of each line take.
        const ARGUMENTS: &[Arguments] = &[$(arguments(&[$($kind),*])),*];
    };
}

#[expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it, and refuses a syscall of seven arguments"
)]
const fn arguments(kinds: &[Kind]) -> Arguments {
    let mut all = [None; 6];
    let mut at = 0;
    while at < kinds.len() {
        all[at] = Some(kinds[at]);
        at += 1;
    }
    all
}

use Kind::{Dir, Flags, Hex, Int, Mode, One, OneAnd, Path, Signal, Size};

#[rustfmt::skip]
prototypes! {
    // Files.
    "open": [Path, OneAnd(Set::Access, Set::Open), Mode];
    "openat": [Dir, Path, OneAnd(Set::Access, Set::Open), Mode];
    "openat2": [Dir, Path, Hex, Size];
    "creat mkdir chmod": [Path, Mode];
    "mkdirat fchmodat": [Dir, Path, Mode];
    "fchmodat2": [Dir, Path, Mode, Flags(Set::At)];
    "mknod": [Path, Mode, Hex];
    "mknodat": [Dir, Path, Mode, Hex];
    "access": [Path, Flags(Set::Permission)];
    "faccessat": [Dir, Path, Flags(Set::Permission)];
    "faccessat2": [Dir, Path, Flags(Set::Permission), Flags(Set::At)];
    "stat lstat stat64 lstat64 statfs": [Path, Hex];
    "newfstatat fstatat64": [Dir, Path, Hex, Flags(Set::At)];
    "statx": [Dir, Path, Flags(Set::At), Hex, Hex];
    "fstat fstat64 fstatfs": [Int, Hex];
    "unlink rmdir chdir chroot swapoff acct uselib": [Path];
    "unlinkat": [Dir, Path, Flags(Set::At)];
    "rename link symlink pivot_root": [Path, Path];
    "renameat": [Dir, Path, Dir, Path];
    "renameat2": [Dir, Path, Dir, Path, Hex];
    "linkat": [Dir, Path, Dir, Path, Flags(Set::At)];
    "symlinkat": [Path, Dir, Path];
    "readlink": [Path, Hex, Size];
    "readlinkat": [Dir, Path, Hex, Size];
    "chown lchown": [Path, Int, Int];
    "fchown": [Int, Int, Int];
    "fchmod": [Int, Mode];
    "fchownat": [Dir, Path, Int, Int, Flags(Set::At)];
    "truncate": [Path, Size];
    "ftruncate": [Int, Size];
    "utimensat": [Dir, Path, Hex, Flags(Set::At)];
    "utime utimes": [Path, Hex];
    "setxattr lsetxattr": [Path, Path, Hex, Size, Int];
    "getxattr lgetxattr": [Path, Path, Hex, Size];
    "removexattr lremovexattr": [Path, Path];
    "listxattr llistxattr": [Path, Hex, Size];
    "inotify_add_watch": [Int, Path, Hex];
    "open_by_handle_at": [Int, Hex, OneAnd(Set::Access, Set::Open)];
    "name_to_handle_at": [Dir, Path, Hex, Hex, Flags(Set::At)];
    "memfd_create": [Path, Flags(Set::Memfd)];
    "read write pread64 pwrite64 getdents getdents64": [Int, Hex, Size];
    "readv writev preadv pwritev": [Int, Hex, Int];
    "close dup fsync fdatasync fchdir epoll_create eventfd syncfs": [Int];
    "dup2": [Int, Int];
    "dup3": [Int, Int, Flags(Set::Open)];
    "close_range": [Int, Int, Hex];
    "pipe": [Hex];
    "pipe2": [Hex, Flags(Set::Open)];
    "lseek": [Int, Hex, Int];
    "fcntl fcntl64": [Int, One(Set::Fcntl), Hex];
    "ioctl": [Int, One(Set::Ioctl), Hex];
    "epoll_create1": [Flags(Set::Open)];
    "flock": [Int, Int];
    "sendfile": [Int, Int, Hex, Size];
    "umask": [Mode];
    "getcwd": [Hex, Size];
    "epoll_ctl": [Int, Int, Int, Hex];
    "epoll_wait": [Int, Hex, Int, Int];
    "epoll_pwait": [Int, Hex, Int, Int, Hex, Size];
    "poll": [Hex, Size, Int];
    "ppoll": [Hex, Size, Hex, Hex, Size];
    "select": [Int, Hex, Hex, Hex, Hex];
    "eventfd2 signalfd4": [Int, Hex];
    "inotify_init1": [Flags(Set::Open)];
    "fadvise64": [Int, Hex, Size, Int];
    "fallocate": [Int, Int, Hex, Size];
    "copy_file_range splice": [Int, Hex, Int, Hex, Size, Hex];
    // Mounts and namespaces.
    "mount": [Path, Path, Path, Flags(Set::Mount), Hex];
    "umount2": [Path, Flags(Set::Unmount)];
    "unshare": [Flags(Set::Namespace)];
    "setns": [Int, Flags(Set::Namespace)];
    "sethostname setdomainname": [Path, Size];
    // Network.
    "socket": [One(Set::Domain), OneAnd(Set::SocketType, Set::SocketFlag), Int];
    "socketpair": [One(Set::Domain), OneAnd(Set::SocketType, Set::SocketFlag), Int, Hex];
    "bind connect": [Int, Hex, Int];
    "listen shutdown": [Int, Int];
    "accept getsockname getpeername": [Int, Hex, Hex];
    "accept4": [Int, Hex, Hex, Flags(Set::SocketFlag)];
    "sendto recvfrom": [Int, Hex, Size, Hex, Hex, Int];
    "sendmsg recvmsg": [Int, Hex, Hex];
    "setsockopt getsockopt": [Int, One(Set::SocketLevel), Int, Hex, Hex];
    "socketcall": [One(Set::Socketcall), Hex];
    "ipc": [One(Set::Ipc), Int, Hex, Hex, Hex, Hex];
    // Processes.
    "execve": [Path, Hex, Hex];
    "execveat": [Dir, Path, Hex, Hex, Flags(Set::At)];
    "clone": [Flags(Set::Clone), Hex, Hex, Hex, Hex];
    "clone3": [Hex, Size];
    "kill": [Int, Signal];
    "tkill": [Int, Signal];
    "tgkill": [Int, Int, Signal];
    "rt_sigqueueinfo": [Int, Signal, Hex];
    "pidfd_send_signal": [Int, Signal, Hex, Hex];
    "pidfd_open": [Int, Hex];
    "pidfd_getfd": [Int, Int, Hex];
    "ptrace": [One(Set::Ptrace), Int, Hex, Hex];
    "process_vm_readv process_vm_writev": [Int, Hex, Size, Hex, Size, Hex];
    "kcmp": [Int, Int, Int, Hex, Hex];
    "prctl": [One(Set::Prctl), Hex, Hex, Hex, Hex];
    "personality": [Hex];
    "setuid setgid setfsuid setfsgid getpgid getsid setuid32 setgid32": [Int];
    "setreuid setregid setpgid getpriority": [Int, Int];
    "setresuid setresgid setpriority": [Int, Int, Int];
    "setgroups getgroups": [Int, Hex];
    "capget capset": [Hex, Hex];
    "seccomp": [One(Set::Seccomp), Flags(Set::SeccompFlag), Hex];
    "sched_setaffinity sched_getaffinity": [Int, Size, Hex];
    "sched_setscheduler": [Int, Int, Hex];
    "prlimit64": [Int, Int, Hex, Hex];
    "setrlimit getrlimit getrusage": [Int, Hex];
    "wait4": [Int, Hex, Hex, Hex];
    "waitid": [Int, Int, Hex, Hex, Hex];
    "rt_sigaction": [Signal, Hex, Hex, Size];
    "rt_sigprocmask": [Int, Hex, Hex, Size];
    "rt_sigsuspend rt_sigpending": [Hex, Size];
    "sigaltstack": [Hex, Hex];
    "rt_sigtimedwait": [Hex, Hex, Hex, Size];
    "futex": [Hex, Hex, Int, Hex, Hex, Int];
    "membarrier": [Hex, Hex];
    "rseq": [Hex, Size, Hex, Hex];
    "set_robust_list": [Hex, Size];
    "set_tid_address": [Hex];
    "arch_prctl": [Hex, Hex];
    "setitimer getitimer": [Int, Hex, Hex];
    "alarm exit exit_group": [Int];
    "getppid getpid gettid getuid geteuid getgid getegid getpgrp setsid fork vfork sync munlockall \
      sched_yield pause inotify_init vhangup": [];
    "uname sysinfo times time": [Hex];
    // Memory.
    "mmap mmap2": [Hex, Size, Flags(Set::Protection), Flags(Set::Mapping), Int, Hex];
    "mprotect": [Hex, Size, Flags(Set::Protection)];
    "munmap mlock munlock": [Hex, Size];
    "mremap": [Hex, Size, Size, Hex, Hex];
    "madvise": [Hex, Size, One(Set::Advice)];
    "mlockall": [Hex];
    "brk": [Hex];
    // Time.
    "clock_settime clock_gettime clock_getres": [One(Set::Clock), Hex];
    "clock_nanosleep": [One(Set::Clock), Hex, Hex, Hex];
    "timer_create": [One(Set::Clock), Hex, Hex];
    "timerfd_create": [One(Set::Clock), Hex];
    "settimeofday gettimeofday nanosleep": [Hex, Hex];
    "adjtimex": [Hex];
    // The kernel.
    "bpf": [Int, Hex, Size];
    "perf_event_open": [Hex, Int, Int, Int, Hex];
    "init_module": [Hex, Size, Path];
    "finit_module": [Int, Path, Hex];
    "delete_module": [Path, Hex];
    "reboot": [Hex, Hex, Hex, Hex];
    "keyctl": [One(Set::Keyctl), Hex, Hex, Hex, Hex];
    "add_key request_key": [Path, Path, Hex, Hex, Int];
    "userfaultfd": [Hex];
    "io_uring_setup": [Size, Hex];
    "io_uring_enter": [Int, Size, Size, Hex, Hex, Size];
    "syslog": [Int, Hex, Int];
    "getrandom": [Hex, Size, Hex];
    "swapon": [Path, Hex];
    "quotactl": [Hex, Path, Int, Hex];
    "iopl": [Int];
    "ioperm": [Size, Size, Int];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::syscall::Sysno;

    #[test]
    fn every_listed_name_is_a_syscall_and_is_listed_once() {
        let mut seen = std::collections::BTreeSet::new();
        for name in NAMES.lines().flat_map(|names| names.split(' ')) {
            let known = [Arch::X86_64, Arch::X86].map(|arch| Sysno::parse(arch, name));
            assert_ne!(known, [None, None], "{name}");
            assert!(seen.insert(name), "{name} twice");
            assert!(of(name).is_some(), "{name}");
        }
        assert_eq!(NAMES.lines().count(), ARGUMENTS.len());
        assert!(of("no_such_call").is_none());
    }
}
