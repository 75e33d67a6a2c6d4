//! The constants that syscalls take, by their names: for what people read.
//!
//! The numbers are those of `libc`, which are the same for the 32-bit callers of this machine where they matter.
#![expect(
    clippy::cast_sign_loss,
    clippy::cast_lossless,
    reason = "the constants have several types, and of each the low half counts"
)]

/// `sets!(Access: O_RDONLY, O_WRONLY; Keyctl: KEYCTL_UPDATE = 2;)`: constants of `libc`, or with their numbers.
///
/// The names of a set are one text. A pointer to each would have to be set at every start of the program, for the few
/// that come to name a call.
macro_rules! sets {
    ($($(#[$about:meta])* $set:ident: $($name:tt $(= $number:literal)?),*;)*) => {
        /// Constants of which an argument holds one, or several as bits.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Set {
            $($(#[$about])* $set,)*
        }

        #[cfg(test)]
        const ALL: &[Set] = &[$(Set::$set),*];

        impl Set {
            /// The names, a line for each, and their numbers.
            fn table(self) -> (&'static str, &'static [u64]) {
                match self {
                    $(Self::$set => (
                        concat!($(name!($name), "\n"),*),
                        &[$(number!($name $(= $number)?)),*],
                    ),)*
                }
            }
        }
    };
}

macro_rules! name {
    ($name:ident) => {
        stringify!($name)
    };
    ($name:literal) => {
        $name
    };
}

macro_rules! number {
    ($name:ident) => {
        constant::$name as u64 & 0xffff_ffff
    };
    ($name:tt = $number:literal) => {
        $number
    };
}

/// Those of `libc`, and those of the kernel that not every C library has.
mod constant {
    pub(super) use libc::*;

    pub(super) const PR_GET_SPECULATION_CTRL: c_int = 52;
    pub(super) const PR_SET_SPECULATION_CTRL: c_int = 53;
}

impl Set {
    /// Each name and its number.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'static str, u64)> {
        let (names, numbers) = self.table();
        names.lines().zip(numbers.iter().copied())
    }

    /// The name of a number.
    pub(crate) fn of(self, number: u64) -> Option<&'static str> {
        let mut all = self.iter();
        all.find_map(|(name, known)| (known == number).then_some(name))
    }

    /// The names of the bits that are set, and the bits that have none.
    pub(crate) fn of_bits(self, bits: u64) -> (Vec<&'static str>, u64) {
        let mut sorted: Vec<_> = self.iter().collect();
        // Names of several bits come first, since they contain others.
        sorted.sort_by_key(|(_, mask)| std::cmp::Reverse(mask.count_ones()));
        let mut left = bits;
        let mut names = Vec::new();
        for (name, mask) in sorted {
            if mask != 0 && left & mask == mask {
                names.push(name);
                left &= !mask;
            }
        }
        (names, left)
    }
}

#[rustfmt::skip]
sets! {
    /// How a file is opened.
    Access: O_RDONLY, O_WRONLY, O_RDWR;
    /// What else opening a file takes, and calls that make descriptors.
    Open: O_CREAT, O_EXCL, O_NOCTTY, O_TRUNC, O_APPEND, O_NONBLOCK, O_DIRECTORY, O_NOFOLLOW, O_CLOEXEC, O_PATH,
        O_DIRECT, O_NOATIME, O_SYNC, O_TMPFILE;
    /// What `access(2)` asks.
    Permission: R_OK, W_OK, X_OK;
    /// How a path is looked up.
    At: AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_NO_AUTOMOUNT, AT_EMPTY_PATH;
    Fcntl: F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_SETOWN, F_GETOWN,
        F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW;
    Ioctl: TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCSCTTY, TIOCGPGRP, TIOCSPGRP, TIOCSTI, TIOCGWINSZ, TIOCSWINSZ,
        TIOCNOTTY, TIOCLINUX, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, FICLONE;
    Memfd: MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_HUGETLB;
    Protection: PROT_READ, PROT_WRITE, PROT_EXEC;
    Mapping: MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE, MAP_STACK, MAP_POPULATE, MAP_LOCKED,
        MAP_HUGETLB, MAP_GROWSDOWN, MAP_FIXED_NOREPLACE;
    /// What `madvise(2)` is told.
    Advice: MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE, MADV_REMOVE,
        MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP;
    Mount: MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS, MS_REMOUNT, MS_NOATIME, MS_BIND, MS_MOVE,
        MS_REC, MS_SILENT, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_RELATIME;
    Unmount: MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW;
    /// What `clone(2)` shares, and makes. The lowest eight bits of its flags are a signal.
    Clone: CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND, CLONE_PIDFD, CLONE_PTRACE, CLONE_VFORK, CLONE_PARENT,
        CLONE_THREAD, CLONE_NEWNS, CLONE_SYSVSEM, CLONE_SETTLS, CLONE_PARENT_SETTID, CLONE_CHILD_CLEARTID,
        CLONE_DETACHED, CLONE_UNTRACED, CLONE_CHILD_SETTID, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
        CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_IO;
    /// What `unshare(2)` and `setns(2)` take.
    Namespace: CLONE_NEWTIME = 0x80, CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND, CLONE_THREAD, CLONE_NEWNS,
        CLONE_SYSVSEM, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET;
    Domain: AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK, AF_BLUETOOTH, AF_CAN,
        AF_KEY, AF_RDS, AF_TIPC, AF_XDP, AF_X25, AF_AX25, AF_APPLETALK, AF_IPX = 4, AF_NFC = 39, AF_KCM = 41,
        AF_QIPCRTR = 42, AF_SMC = 43;
    SocketType: SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_RDM;
    SocketFlag: SOCK_CLOEXEC, SOCK_NONBLOCK;
    SocketLevel: SOL_SOCKET, IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_IPV6;
    /// `SYS_*` of `linux/net.h`.
    Socketcall: socket = 1, bind = 2, connect = 3, listen = 4, accept = 5, getsockname = 6, getpeername = 7,
        socketpair = 8, send = 9, recv = 10, sendto = 11, recvfrom = 12, shutdown = 13, setsockopt = 14,
        getsockopt = 15, sendmsg = 16, recvmsg = 17, accept4 = 18, recvmmsg = 19, sendmmsg = 20;
    /// `linux/ipc.h`.
    Ipc: semop = 1, semget = 2, semctl = 3, semtimedop = 4, msgsnd = 11, msgrcv = 12, msgget = 13, msgctl = 14,
        shmat = 21, shmdt = 22, shmget = 23, shmctl = 24;
    Prctl: PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_GET_KEEPCAPS, PR_SET_KEEPCAPS,
        PR_SET_TIMING, PR_SET_NAME, PR_GET_NAME, PR_GET_SECCOMP, PR_SET_SECCOMP, PR_CAPBSET_READ, PR_CAPBSET_DROP,
        PR_GET_TSC, PR_SET_TSC, PR_GET_SECUREBITS, PR_SET_SECUREBITS, PR_SET_TIMERSLACK, PR_GET_TIMERSLACK,
        PR_MCE_KILL, PR_SET_MM, PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS,
        PR_GET_NO_NEW_PRIVS, PR_SET_THP_DISABLE, PR_GET_THP_DISABLE, PR_CAP_AMBIENT, PR_GET_SPECULATION_CTRL,
        PR_SET_SPECULATION_CTRL, PR_SET_VMA, PR_SET_PTRACER;
    /// `linux/personality.h`.
    Persona: PER_LINUX = 0, PER_LINUX32 = 8, UNAME26 = 0x2_0000, "PER_LINUX32 with UNAME26" = 0x2_0008,
        ADDR_NO_RANDOMIZE = 0x4_0000, "the question for the present one" = 0xffff_ffff;
    Ptrace: PTRACE_TRACEME, PTRACE_PEEKTEXT, PTRACE_PEEKDATA, PTRACE_PEEKUSER, PTRACE_POKETEXT, PTRACE_POKEDATA,
        PTRACE_POKEUSER, PTRACE_CONT, PTRACE_KILL, PTRACE_SINGLESTEP, PTRACE_ATTACH, PTRACE_DETACH, PTRACE_SYSCALL,
        PTRACE_SETOPTIONS, PTRACE_GETEVENTMSG, PTRACE_GETREGSET, PTRACE_SETREGSET, PTRACE_SEIZE, PTRACE_INTERRUPT,
        PTRACE_LISTEN;
    Seccomp: SECCOMP_SET_MODE_STRICT = 0, SECCOMP_SET_MODE_FILTER = 1, SECCOMP_GET_ACTION_AVAIL = 2,
        SECCOMP_GET_NOTIF_SIZES = 3;
    SeccompFlag: SECCOMP_FILTER_FLAG_TSYNC = 1, SECCOMP_FILTER_FLAG_LOG = 2, SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4,
        SECCOMP_FILTER_FLAG_NEW_LISTENER = 8, SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 16,
        SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32;
    Clock: CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW,
        CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME;
    /// `linux/keyctl.h`.
    Keyctl: KEYCTL_GET_KEYRING_ID = 0, KEYCTL_JOIN_SESSION_KEYRING = 1, KEYCTL_UPDATE = 2, KEYCTL_REVOKE = 3,
        KEYCTL_CHOWN = 4, KEYCTL_SETPERM = 5, KEYCTL_DESCRIBE = 6, KEYCTL_CLEAR = 7, KEYCTL_LINK = 8,
        KEYCTL_UNLINK = 9, KEYCTL_SEARCH = 10, KEYCTL_READ = 11;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_number_and_no_number_two_names() {
        for &set in ALL {
            let (names, numbers) = set.table();
            assert_eq!(names.lines().count(), numbers.len(), "{set:?}");
            let mut seen = std::collections::BTreeSet::new();
            for (name, number) in set.iter() {
                assert!(seen.insert(number), "{name} = {number:#x} twice");
                assert_eq!(set.of(number), Some(name));
            }
        }
    }

    #[test]
    fn bits_have_the_names_that_say_most() {
        let open = |bits| Set::Open.of_bits(bits);
        assert_eq!(open(0), (vec![], 0));
        // O_SYNC contains another bit, and O_TMPFILE is more than O_DIRECTORY.
        assert_eq!(open(0x10_1000), (vec!["O_SYNC"], 0));
        assert_eq!(open(0x10_0001), (vec![], 0x10_0001));
        assert_eq!(open(0x41_0040), (vec!["O_TMPFILE", "O_CREAT"], 0));
        assert_eq!(open(0x1_0000), (vec!["O_DIRECTORY"], 0));
    }

    #[test]
    fn numbers_are_those_that_the_kernel_sees() {
        assert_eq!(Set::Ioctl.of(0x5412), Some("TIOCSTI"));
        assert_eq!(Set::Open.of(0x10000), Some("O_DIRECTORY"));
        assert_eq!(Set::Domain.of(38), Some("AF_ALG"));
        assert_eq!(Set::Namespace.of(0x1000_0000), Some("CLONE_NEWUSER"));
        assert_eq!(Set::Prctl.of(0x5356_4d41), Some("PR_SET_VMA"));
        assert_eq!(Set::Persona.of(0x4_0000), Some("ADDR_NO_RANDOMIZE"));
        assert_eq!(Set::Keyctl.of(12), None);
    }
}
