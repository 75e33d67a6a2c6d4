//! What the arguments of syscalls are, for people: which is a path, which is flags, and the flags' names.
//!
//! Only for display: `decode` shows what is not listed here as plain numbers. The prototypes are those of the manual pages
//! (section 2), the numbers those of `libc`, which are the same for the 32-bit callers of this machine where they matter.
#![expect(
    clippy::cast_sign_loss,
    reason = "the constants have several types, and of each the low half counts"
)]

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
    Flags(&'static Names),
    /// A number with a name.
    One(&'static Names),
    /// A number with a name, and bits with names above it.
    OneAnd(&'static Names, &'static Names),
}

/// Names and their numbers.
///
/// The names are one text: a pointer to each would have to be set at every start of the program, for the few that
/// come to name a call.
#[derive(Debug)]
pub(super) struct Names {
    text: &'static str,
    numbers: &'static [u64],
}

impl Names {
    /// Each name and its number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.text.split(' ').zip(self.numbers.iter().copied())
    }

    /// The name of a number.
    pub(super) fn of(&self, number: u64) -> Option<&'static str> {
        let found = self.iter().find(|&(_, known)| known == number);
        found.map(|(name, _)| name)
    }
}

/// The arguments of a syscall, if it is listed.
pub(super) fn of(name: &str) -> Option<&'static [Kind]> {
    let found = LIST
        .iter()
        .find(|(names, _)| names.split(' ').any(|known| known == name));
    found.map(|&(_, kinds)| kinds)
}

/// `names!(A = 1, B = 2)`; `names!(A, B)`: constants of `libc`.
macro_rules! names {
    ($first:ident = $least:expr $(, $name:ident = $number:expr)* $(,)?) => {
        &Names {
            text: concat!(stringify!($first) $(, " ", stringify!($name))*),
            numbers: &[$least $(, $number)*],
        }
    };
    ($($name:ident),* $(,)?) => { names!($($name = low(constant::$name as u64)),*) };
}

/// Those of `libc`, and those of the kernel that not every C library has.
mod constant {
    pub(super) use libc::*;

    pub(super) const PR_GET_SPECULATION_CTRL: c_int = 52;
    pub(super) const PR_SET_SPECULATION_CTRL: c_int = 53;
}

/// A constant as the kernel sees it in an argument of 32 bits.
const fn low(constant: u64) -> u64 {
    constant & 0xffff_ffff
}

const DOMAINS: &Names = names!(
    AF_UNSPEC,
    AF_UNIX,
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    AF_PACKET,
    AF_ALG,
    AF_VSOCK,
    AF_BLUETOOTH,
    AF_CAN,
    AF_KEY,
    AF_RDS,
    AF_TIPC,
    AF_XDP,
    AF_X25,
    AF_AX25,
    AF_APPLETALK
);
const SOCKETS: &Names = names!(SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_RDM);
const SOCKET_FLAGS: &Names = names!(SOCK_CLOEXEC, SOCK_NONBLOCK);
const ACCESS: &Names = names!(O_RDONLY, O_WRONLY, O_RDWR);
const OPEN: &Names = names!(
    O_CREAT,
    O_EXCL,
    O_NOCTTY,
    O_TRUNC,
    O_APPEND,
    O_NONBLOCK,
    O_DIRECTORY,
    O_NOFOLLOW,
    O_CLOEXEC,
    O_PATH,
    O_DIRECT,
    O_NOATIME,
    O_SYNC,
    O_TMPFILE
);
const PROTECTION: &Names = names!(PROT_READ, PROT_WRITE, PROT_EXEC);
const MAPPING: &Names = names!(
    MAP_SHARED,
    MAP_PRIVATE,
    MAP_FIXED,
    MAP_ANONYMOUS,
    MAP_NORESERVE,
    MAP_STACK,
    MAP_POPULATE,
    MAP_LOCKED,
    MAP_HUGETLB,
    MAP_GROWSDOWN,
    MAP_FIXED_NOREPLACE
);
const CLONE: &Names = names!(
    CLONE_VM,
    CLONE_FS,
    CLONE_FILES,
    CLONE_SIGHAND,
    CLONE_PIDFD,
    CLONE_PTRACE,
    CLONE_VFORK,
    CLONE_PARENT,
    CLONE_THREAD,
    CLONE_NEWNS,
    CLONE_SYSVSEM,
    CLONE_SETTLS,
    CLONE_PARENT_SETTID,
    CLONE_CHILD_CLEARTID,
    CLONE_DETACHED,
    CLONE_UNTRACED,
    CLONE_CHILD_SETTID,
    CLONE_NEWCGROUP,
    CLONE_NEWUTS,
    CLONE_NEWIPC,
    CLONE_NEWUSER,
    CLONE_NEWPID,
    CLONE_NEWNET,
    CLONE_IO
);
const AT: &Names = names!(
    AT_SYMLINK_NOFOLLOW,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    AT_NO_AUTOMOUNT,
    AT_EMPTY_PATH
);
const ACCESS_MODE: &Names = names!(R_OK, W_OK, X_OK);
const MOUNT: &Names = names!(
    MS_RDONLY,
    MS_NOSUID,
    MS_NODEV,
    MS_NOEXEC,
    MS_SYNCHRONOUS,
    MS_REMOUNT,
    MS_NOATIME,
    MS_BIND,
    MS_MOVE,
    MS_REC,
    MS_SILENT,
    MS_UNBINDABLE,
    MS_PRIVATE,
    MS_SLAVE,
    MS_SHARED,
    MS_RELATIME
);
const UNMOUNT: &Names = names!(MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW);
const PRCTL: &Names = names!(
    PR_SET_PDEATHSIG,
    PR_GET_PDEATHSIG,
    PR_GET_DUMPABLE,
    PR_SET_DUMPABLE,
    PR_GET_KEEPCAPS,
    PR_SET_KEEPCAPS,
    PR_SET_TIMING,
    PR_SET_NAME,
    PR_GET_NAME,
    PR_GET_SECCOMP,
    PR_SET_SECCOMP,
    PR_CAPBSET_READ,
    PR_CAPBSET_DROP,
    PR_GET_TSC,
    PR_SET_TSC,
    PR_GET_SECUREBITS,
    PR_SET_SECUREBITS,
    PR_SET_TIMERSLACK,
    PR_GET_TIMERSLACK,
    PR_MCE_KILL,
    PR_SET_MM,
    PR_SET_CHILD_SUBREAPER,
    PR_GET_CHILD_SUBREAPER,
    PR_SET_NO_NEW_PRIVS,
    PR_GET_NO_NEW_PRIVS,
    PR_SET_THP_DISABLE,
    PR_GET_THP_DISABLE,
    PR_CAP_AMBIENT,
    PR_GET_SPECULATION_CTRL,
    PR_SET_SPECULATION_CTRL,
    PR_SET_VMA,
    PR_SET_PTRACER
);
const FCNTL: &Names = names!(
    F_DUPFD,
    F_GETFD,
    F_SETFD,
    F_GETFL,
    F_SETFL,
    F_GETLK,
    F_SETLK,
    F_SETLKW,
    F_SETOWN,
    F_GETOWN,
    F_DUPFD_CLOEXEC,
    F_SETPIPE_SZ,
    F_GETPIPE_SZ,
    F_ADD_SEALS,
    F_GET_SEALS,
    F_OFD_GETLK,
    F_OFD_SETLK,
    F_OFD_SETLKW
);
const IOCTL: &Names = names!(
    TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCSCTTY, TIOCGPGRP, TIOCSPGRP, TIOCSTI, TIOCGWINSZ,
    TIOCSWINSZ, TIOCNOTTY, TIOCLINUX, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, FICLONE
);
const PTRACE: &Names = names!(
    PTRACE_TRACEME,
    PTRACE_PEEKTEXT,
    PTRACE_PEEKDATA,
    PTRACE_PEEKUSER,
    PTRACE_POKETEXT,
    PTRACE_POKEDATA,
    PTRACE_POKEUSER,
    PTRACE_CONT,
    PTRACE_KILL,
    PTRACE_SINGLESTEP,
    PTRACE_ATTACH,
    PTRACE_DETACH,
    PTRACE_SYSCALL,
    PTRACE_SETOPTIONS,
    PTRACE_GETEVENTMSG,
    PTRACE_GETREGSET,
    PTRACE_SETREGSET,
    PTRACE_SEIZE,
    PTRACE_INTERRUPT,
    PTRACE_LISTEN
);
const SECCOMP: &Names = names!(
    SECCOMP_SET_MODE_STRICT = 0,
    SECCOMP_SET_MODE_FILTER = 1,
    SECCOMP_GET_ACTION_AVAIL = 2,
    SECCOMP_GET_NOTIF_SIZES = 3,
);
const SECCOMP_FLAGS: &Names = names!(
    SECCOMP_FILTER_FLAG_TSYNC = 1,
    SECCOMP_FILTER_FLAG_LOG = 2,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4,
    SECCOMP_FILTER_FLAG_NEW_LISTENER = 8,
    SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 16,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32,
);
const CLOCKS: &Names = names!(
    CLOCK_REALTIME,
    CLOCK_MONOTONIC,
    CLOCK_PROCESS_CPUTIME_ID,
    CLOCK_THREAD_CPUTIME_ID,
    CLOCK_MONOTONIC_RAW,
    CLOCK_REALTIME_COARSE,
    CLOCK_MONOTONIC_COARSE,
    CLOCK_BOOTTIME
);
const SOCKET_LEVELS: &Names = names!(
    SOL_SOCKET,
    IPPROTO_IP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPPROTO_IPV6
);
const MEMFD: &Names = names!(MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_HUGETLB);
const ADVICE: &Names = names!(
    MADV_NORMAL,
    MADV_RANDOM,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_REMOVE,
    MADV_DONTFORK,
    MADV_DOFORK,
    MADV_MERGEABLE,
    MADV_HUGEPAGE,
    MADV_NOHUGEPAGE,
    MADV_DONTDUMP
);
/// `SYS_*` of `linux/net.h`.
const SOCKETCALL: &Names = names!(
    socket = 1,
    bind = 2,
    connect = 3,
    listen = 4,
    accept = 5,
    getsockname = 6,
    getpeername = 7,
    socketpair = 8,
    send = 9,
    recv = 10,
    sendto = 11,
    recvfrom = 12,
    shutdown = 13,
    setsockopt = 14,
    getsockopt = 15,
    sendmsg = 16,
    recvmsg = 17,
    accept4 = 18,
    recvmmsg = 19,
    sendmmsg = 20,
);
/// `linux/keyctl.h`.
const KEYCTL: &Names = names!(
    KEYCTL_GET_KEYRING_ID = 0,
    KEYCTL_JOIN_SESSION_KEYRING = 1,
    KEYCTL_UPDATE = 2,
    KEYCTL_REVOKE = 3,
    KEYCTL_CHOWN = 4,
    KEYCTL_SETPERM = 5,
    KEYCTL_DESCRIBE = 6,
    KEYCTL_CLEAR = 7,
    KEYCTL_LINK = 8,
    KEYCTL_UNLINK = 9,
    KEYCTL_SEARCH = 10,
    KEYCTL_READ = 11,
);

use Kind::{Dir, Flags, Hex, Int, Mode, One, OneAnd, Path, Signal, Size};

const STAT: &[Kind] = &[Path, Hex];
const ONE_PATH: &[Kind] = &[Path];
const TWO_PATHS: &[Kind] = &[Path, Path];
const PATH_MODE: &[Kind] = &[Path, Mode];
const FD: &[Kind] = &[Int];
const BUFFER: &[Kind] = &[Int, Hex, Size];
const ADDRESS: &[Kind] = &[Int, Hex, Int];
const NOTHING: &[Kind] = &[];

#[rustfmt::skip]
const LIST: &[(&str, &[Kind])] = &[
    // Files.
    ("open", &[Path, OneAnd(ACCESS, OPEN), Mode]),
    ("openat", &[Dir, Path, OneAnd(ACCESS, OPEN), Mode]),
    ("openat2", &[Dir, Path, Hex, Size]),
    ("creat mkdir chmod", PATH_MODE),
    ("mkdirat fchmodat", &[Dir, Path, Mode]),
    ("fchmodat2", &[Dir, Path, Mode, Flags(AT)]),
    ("mknod", &[Path, Mode, Hex]),
    ("mknodat", &[Dir, Path, Mode, Hex]),
    ("access", &[Path, Flags(ACCESS_MODE)]),
    ("faccessat", &[Dir, Path, Flags(ACCESS_MODE)]),
    ("faccessat2", &[Dir, Path, Flags(ACCESS_MODE), Flags(AT)]),
    ("stat lstat stat64 lstat64 statfs", STAT),
    ("newfstatat fstatat64", &[Dir, Path, Hex, Flags(AT)]),
    ("statx", &[Dir, Path, Flags(AT), Hex, Hex]),
    ("fstat fstat64 fstatfs", &[Int, Hex]),
    ("unlink rmdir chdir chroot swapoff acct uselib", ONE_PATH),
    ("unlinkat", &[Dir, Path, Flags(AT)]),
    ("rename link symlink pivot_root", TWO_PATHS),
    ("renameat", &[Dir, Path, Dir, Path]),
    ("renameat2", &[Dir, Path, Dir, Path, Hex]),
    ("linkat", &[Dir, Path, Dir, Path, Flags(AT)]),
    ("symlinkat", &[Path, Dir, Path]),
    ("readlink", &[Path, Hex, Size]),
    ("readlinkat", &[Dir, Path, Hex, Size]),
    ("chown lchown", &[Path, Int, Int]),
    ("fchown", &[Int, Int, Int]),
    ("fchmod", &[Int, Mode]),
    ("fchownat", &[Dir, Path, Int, Int, Flags(AT)]),
    ("truncate", &[Path, Size]),
    ("ftruncate", &[Int, Size]),
    ("utimensat", &[Dir, Path, Hex, Flags(AT)]),
    ("utime utimes", STAT),
    ("setxattr lsetxattr", &[Path, Path, Hex, Size, Int]),
    ("getxattr lgetxattr", &[Path, Path, Hex, Size]),
    ("removexattr lremovexattr", TWO_PATHS),
    ("listxattr llistxattr", &[Path, Hex, Size]),
    ("inotify_add_watch", &[Int, Path, Hex]),
    ("open_by_handle_at", &[Int, Hex, OneAnd(ACCESS, OPEN)]),
    ("name_to_handle_at", &[Dir, Path, Hex, Hex, Flags(AT)]),
    ("memfd_create", &[Path, Flags(MEMFD)]),
    ("read write pread64 pwrite64 getdents getdents64", BUFFER),
    ("readv writev preadv pwritev", &[Int, Hex, Int]),
    ("close dup fsync fdatasync fchdir epoll_create eventfd syncfs", FD),
    ("dup2", &[Int, Int]),
    ("dup3", &[Int, Int, Flags(OPEN)]),
    ("close_range", &[Int, Int, Hex]),
    ("pipe", &[Hex]),
    ("pipe2", &[Hex, Flags(OPEN)]),
    ("lseek", &[Int, Hex, Int]),
    ("fcntl fcntl64", &[Int, One(FCNTL), Hex]),
    ("ioctl", &[Int, One(IOCTL), Hex]),
    ("epoll_create1", &[Flags(OPEN)]),
    ("flock", &[Int, Int]),
    ("sendfile", &[Int, Int, Hex, Size]),
    ("umask", &[Mode]),
    ("getcwd", &[Hex, Size]),
    ("epoll_ctl", &[Int, Int, Int, Hex]),
    ("epoll_wait", &[Int, Hex, Int, Int]),
    ("epoll_pwait", &[Int, Hex, Int, Int, Hex, Size]),
    ("poll", &[Hex, Size, Int]),
    ("ppoll", &[Hex, Size, Hex, Hex, Size]),
    ("select", &[Int, Hex, Hex, Hex, Hex]),
    ("eventfd2 signalfd4", &[Int, Hex]),
    ("inotify_init1", &[Flags(OPEN)]),
    ("fadvise64", &[Int, Hex, Size, Int]),
    ("fallocate", &[Int, Int, Hex, Size]),
    ("copy_file_range splice", &[Int, Hex, Int, Hex, Size, Hex]),
    // Mounts and namespaces.
    ("mount", &[Path, Path, Path, Flags(MOUNT), Hex]),
    ("umount2", &[Path, Flags(UNMOUNT)]),
    ("unshare", &[Flags(CLONE)]),
    ("setns", &[Int, Flags(CLONE)]),
    ("sethostname setdomainname", &[Path, Size]),
    // Network.
    ("socket", &[One(DOMAINS), OneAnd(SOCKETS, SOCKET_FLAGS), Int]),
    ("socketpair", &[One(DOMAINS), OneAnd(SOCKETS, SOCKET_FLAGS), Int, Hex]),
    ("bind connect", ADDRESS),
    ("listen shutdown", &[Int, Int]),
    ("accept getsockname getpeername", &[Int, Hex, Hex]),
    ("accept4", &[Int, Hex, Hex, Flags(SOCKET_FLAGS)]),
    ("sendto recvfrom", &[Int, Hex, Size, Hex, Hex, Int]),
    ("sendmsg recvmsg", &[Int, Hex, Hex]),
    ("setsockopt getsockopt", &[Int, One(SOCKET_LEVELS), Int, Hex, Hex]),
    ("socketcall", &[One(SOCKETCALL), Hex]),
    // Processes.
    ("execve", &[Path, Hex, Hex]),
    ("execveat", &[Dir, Path, Hex, Hex, Flags(AT)]),
    ("clone", &[Flags(CLONE), Hex, Hex, Hex, Hex]),
    ("clone3", &[Hex, Size]),
    ("kill", &[Int, Signal]),
    ("tkill", &[Int, Signal]),
    ("tgkill", &[Int, Int, Signal]),
    ("rt_sigqueueinfo", &[Int, Signal, Hex]),
    ("pidfd_send_signal", &[Int, Signal, Hex, Hex]),
    ("pidfd_open", &[Int, Hex]),
    ("pidfd_getfd", &[Int, Int, Hex]),
    ("ptrace", &[One(PTRACE), Int, Hex, Hex]),
    ("process_vm_readv process_vm_writev", &[Int, Hex, Size, Hex, Size, Hex]),
    ("kcmp", &[Int, Int, Int, Hex, Hex]),
    ("prctl", &[One(PRCTL), Hex, Hex, Hex, Hex]),
    ("personality", &[Hex]),
    ("setuid setgid setfsuid setfsgid getpgid getsid setuid32 setgid32", FD),
    ("setreuid setregid setpgid getpriority", &[Int, Int]),
    ("setresuid setresgid setpriority", &[Int, Int, Int]),
    ("setgroups getgroups", &[Int, Hex]),
    ("capget capset", &[Hex, Hex]),
    ("seccomp", &[One(SECCOMP), Flags(SECCOMP_FLAGS), Hex]),
    ("sched_setaffinity sched_getaffinity", &[Int, Size, Hex]),
    ("sched_setscheduler", &[Int, Int, Hex]),
    ("prlimit64", &[Int, Int, Hex, Hex]),
    ("setrlimit getrlimit getrusage", &[Int, Hex]),
    ("wait4", &[Int, Hex, Hex, Hex]),
    ("waitid", &[Int, Int, Hex, Hex, Hex]),
    ("rt_sigaction", &[Signal, Hex, Hex, Size]),
    ("rt_sigprocmask", &[Int, Hex, Hex, Size]),
    ("rt_sigsuspend rt_sigpending", &[Hex, Size]),
    ("sigaltstack", &[Hex, Hex]),
    ("rt_sigtimedwait", &[Hex, Hex, Hex, Size]),
    ("futex", &[Hex, Hex, Int, Hex, Hex, Int]),
    ("membarrier", &[Hex, Hex]),
    ("rseq", &[Hex, Size, Hex, Hex]),
    ("set_robust_list", &[Hex, Size]),
    ("set_tid_address", &[Hex]),
    ("arch_prctl", &[Hex, Hex]),
    ("setitimer getitimer", &[Int, Hex, Hex]),
    ("alarm exit exit_group", FD),
    ("getppid getpid gettid getuid geteuid getgid getegid getpgrp setsid fork vfork sync munlockall \
      sched_yield pause inotify_init vhangup", NOTHING),
    ("uname sysinfo times time", &[Hex]),
    // Memory.
    ("mmap mmap2", &[Hex, Size, Flags(PROTECTION), Flags(MAPPING), Int, Hex]),
    ("mprotect", &[Hex, Size, Flags(PROTECTION)]),
    ("munmap mlock munlock", &[Hex, Size]),
    ("mremap", &[Hex, Size, Size, Hex, Hex]),
    ("madvise", &[Hex, Size, One(ADVICE)]),
    ("mlockall", &[Hex]),
    ("brk", &[Hex]),
    // Time.
    ("clock_settime clock_gettime clock_getres", &[One(CLOCKS), Hex]),
    ("clock_nanosleep", &[One(CLOCKS), Hex, Hex, Hex]),
    ("timer_create", &[One(CLOCKS), Hex, Hex]),
    ("timerfd_create", &[One(CLOCKS), Hex]),
    ("settimeofday gettimeofday nanosleep", &[Hex, Hex]),
    ("adjtimex", &[Hex]),
    // The kernel.
    ("bpf", &[Int, Hex, Size]),
    ("perf_event_open", &[Hex, Int, Int, Int, Hex]),
    ("init_module", &[Hex, Size, Path]),
    ("finit_module", &[Int, Path, Hex]),
    ("delete_module", &[Path, Hex]),
    ("reboot", &[Hex, Hex, Hex, Hex]),
    ("keyctl", &[One(KEYCTL), Hex, Hex, Hex, Hex]),
    ("add_key request_key", &[Path, Path, Hex, Hex, Int]),
    ("userfaultfd", &[Hex]),
    ("io_uring_setup", &[Size, Hex]),
    ("io_uring_enter", &[Int, Size, Size, Hex, Hex, Size]),
    ("syslog", &[Int, Hex, Int]),
    ("getrandom", &[Hex, Size, Hex]),
    ("swapon", &[Path, Hex]),
    ("quotactl", &[Hex, Path, Int, Hex]),
    ("iopl", FD),
    ("ioperm", &[Size, Size, Int]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::syscall::Sysno;

    #[test]
    fn every_listed_name_is_a_syscall_and_is_listed_once() {
        let mut seen = std::collections::BTreeSet::new();
        for name in LIST.iter().flat_map(|(names, _)| names.split_whitespace()) {
            let known = [Arch::X86_64, Arch::X86].map(|arch| Sysno::parse(arch, name));
            assert_ne!(known, [None, None], "{name}");
            assert!(seen.insert(name), "{name} twice");
        }
    }

    #[test]
    fn no_name_stands_for_two_numbers() {
        for (_, kinds) in LIST {
            for kind in *kinds {
                let (Flags(names) | One(names) | OneAnd(names, _)) = kind else {
                    continue;
                };
                let mut seen = std::collections::BTreeSet::new();
                for (name, value) in names.iter() {
                    assert!(seen.insert(value), "{name} = {value:#x} twice");
                }
            }
        }
    }
}
