//! How many bits of an argument the kernel looks at.
//!
//! Most arguments are `int`s: the kernel drops the upper half of their registers, a filter does not. A rule
//! that denies `ioctl(_, TIOCSTI)` by a 64-bit comparison is evaded by a bit in the upper half, which was a
//! hole in snapd (CVE-2019-7303) and in Flatpak.

use crate::policy::{Op, Width};
use crate::syscall::Sysno;

/// The arguments that have 32 bits or fewer on 64-bit architectures (`i`), by prototype; the others, and
/// those beyond the end, have 64.
///
/// Made from the prototypes that Linux 6.18 publishes of itself
/// (`/sys/kernel/tracing/events/syscalls/sys_enter_*/format`, x86-64), with a few that it was built without.
/// The generic prototypes are the same on all 64-bit architectures; where an architecture has its own under
/// the same name (`mmap`, `clone`, `ptrace`), all its arguments are `long`s. `umode_t`, which has 16 bits,
/// counts as 32.
const PROTOTYPES: &[(&str, &str)] = &[
    (
        "i",
        "accept alarm arch_prctl clock_adjtime clock_getres clock_gettime clock_settime close \
         dup epoll_create epoll_create1 eventfd exit exit_group fchdir fdatasync fgetxattr \
         flistxattr fremovexattr fstat fstatfs fsync ftruncate futimesat get_robust_list \
         getgroups getitimer getpeername getpgid getrlimit getrusage getsid getsockname \
         inotify_init1 io_setup io_uring_setup iopl keyctl memfd_secret migrate_pages \
         mlockall modify_ldt mq_getsetattr mq_notify mq_timedreceive openat2 personality \
         pkey_free prctl pread64 process_vm_readv process_vm_writev pselect6 pwrite64 read \
         readahead rt_sigaction rt_sigprocmask sched_get_priority_max sched_get_priority_min \
         sched_getparam sched_getscheduler sched_rr_get_interval sched_setparam select \
         set_mempolicy setfsgid setfsuid setgid setgroups setitimer setrlimit setuid signalfd \
         socketcall syncfs sysfs timer_create timer_delete timer_getoverrun timer_gettime \
         timerfd_gettime umask userfaultfd ustat write",
    ),
    ("i....i", "move_pages"),
    (
        "i...i",
        "execveat file_getattr file_setattr fsetxattr msgrcv name_to_handle_at",
    ),
    (
        "i..i",
        "accept4 cachestat fadvise64 lsm_get_self_attr mq_timedsend msgsnd newfstatat \
         readlinkat recvfrom signalfd4 sync_file_range utimensat vmsplice",
    ),
    ("i..i.i", "sendto"),
    ("i..ii", "process_madvise"),
    (
        "i.i",
        "bind bpf connect epoll_pwait2 faccessat fchmodat finit_module fspick getdents \
         getdents64 getxattrat inotify_add_watch listxattrat lseek mkdirat mount_setattr \
         open_by_handle_at open_tree open_tree_attr quotactl recvmsg removexattrat renameat \
         sched_setattr semop semtimedop sendmsg setxattrat shmat shmget syslog unlinkat wait4",
    ),
    ("i.i..i", "copy_file_range splice"),
    ("i.i.i", "linkat move_mount renameat2"),
    (
        "i.ii",
        "epoll_pwait epoll_wait faccessat2 fchmodat2 lsm_set_self_attr mknodat openat \
         recvmmsg sched_getattr sendmmsg statx",
    ),
    ("i.iii", "fchownat"),
    (
        "ii",
        "clock_nanosleep dup2 eventfd2 fallocate fanotify_init fchmod fcntl flock getpriority \
         inotify_rm_watch ioctl ioprio_get ipc kexec_file_load kill landlock_restrict_self \
         listen msgctl msgget pidfd_open prlimit64 process_mrelease rt_sigqueueinfo \
         sched_getaffinity sched_setaffinity sched_setscheduler seccomp sendfile setns \
         setpgid setregid setreuid shmctl shutdown sync_file_range2 timer_settime \
         timerfd_create timerfd_settime tkill",
    ),
    ("ii..i", "fsconfig"),
    (
        "ii.i",
        "fanotify_mark io_uring_register landlock_add_rule pidfd_send_signal tee waitid",
    ),
    (
        "iii",
        "close_range dup3 epoll_ctl fchown fsmount getsockopt ioprio_set kcmp membarrier \
         pidfd_getfd quotactl_fd reboot rt_tgsigqueueinfo semctl semget setpriority setresgid \
         setresuid socket socketpair tgkill",
    ),
    ("iii.i", "setsockopt"),
    ("iiii", "io_uring_enter"),
    (
        ".i",
        "access chmod creat delete_module fsopen memfd_create mkdir pipe2 ppoll setdomainname \
         sethostname swapon symlinkat umount2",
    ),
    (".ii", "chown lchown mknod mq_open open poll"),
    (".ii..i", "futex"),
    (".ii.i", "futex_waitv"),
    (".iii", "futex_requeue perf_event_open rseq"),
    (
        "..i",
        "getrandom ioperm landlock_create_ruleset lsm_list_modules madvise map_shadow_stack \
         mlock2 msync readlink",
    ),
    ("..ii", "futex_wake"),
    ("...i", "listmount pkey_mprotect request_key statmount"),
    ("...i.i", "futex_wait"),
    ("....i", "add_key lsetxattr setxattr"),
    (".....i", "mbind preadv2 pwritev2"),
];

/// How much of argument `index` the kernel uses on a 64-bit architecture.
pub(super) fn width_of(sysno: Sysno, index: u8) -> Width {
    let Some(name) = sysno.name() else {
        return Width::W64;
    };
    let (prototype, _) = PROTOTYPES
        .iter()
        .find(|(_, names)| names.split(' ').any(|known| known == name))
        .unwrap_or(&("", ""));
    match prototype.as_bytes().get(usize::from(index)) {
        Some(b'i') => Width::W32,
        _ => Width::W64,
    }
}

/// Can a 32-bit argument have the value that the comparison is with? Either as it stands, or as a negative
/// `int` that was extended to 64 bits.
pub(super) const fn fits(op: Op, value: u64) -> bool {
    const fn narrow(value: u64) -> bool {
        value <= 0xffff_ffff || value >= 0xffff_ffff_8000_0000
    }
    match op {
        Op::MaskedEq(mask) => narrow(mask) && narrow(value & mask),
        _ => narrow(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::syscall;

    #[test]
    fn arguments_have_the_width_of_the_prototype() {
        use Width::{W32, W64};
        let cases = [
            ("socket", [W32, W32, W32, W64, W64, W64]),
            ("ioctl", [W32, W32, W64, W64, W64, W64]),
            ("personality", [W32, W64, W64, W64, W64, W64]),
            ("clone", [W64; 6]),
            ("mmap", [W64; 6]),
            ("ptrace", [W64; 6]),
            ("prctl", [W32, W64, W64, W64, W64, W64]),
            ("openat", [W32, W64, W32, W32, W64, W64]),
            ("futex", [W64, W32, W32, W64, W64, W32]),
            ("lseek", [W32, W64, W32, W64, W64, W64]),
            ("kill", [W32, W32, W64, W64, W64, W64]),
            ("mprotect", [W64; 6]),
            ("read", [W32, W64, W64, W64, W64, W64]),
            ("syscall_999", [W64; 6]),
        ];
        for (name, want) in cases {
            let sysno = Sysno::parse(Arch::X86_64, name).unwrap();
            for (index, want) in (0..).zip(want) {
                assert_eq!(width_of(sysno, index), want, "{name} {index}");
            }
        }
    }

    #[test]
    fn the_table_is_sound() {
        let mut all = std::collections::BTreeSet::new();
        for (prototype, names) in PROTOTYPES {
            assert!(
                prototype.ends_with('i') && prototype.len() <= 6,
                "{prototype}"
            );
            assert!(prototype.bytes().all(|arg| matches!(arg, b'i' | b'.')));
            for name in names.split(' ') {
                assert!(all.insert(name), "{name} twice");
                assert!(syscall::is_known(name), "{name}");
            }
        }
        assert!(all.len() > 200);
    }

    #[test]
    fn constants_fit_as_themselves_or_sign_extended() {
        let cases = [
            (Op::Eq, 0xffff_ffff, true),
            (Op::Eq, 0x1_0000_0000, false),
            (Op::Lt, u64::MAX, true),
            (Op::Gt, 0xffff_ffff_8000_0000, true),
            (Op::Gt, 0xffff_ffff_7fff_ffff, false),
            (Op::MaskedEq(0xff), 0x1_0000_0001, true),
            (Op::MaskedEq(!3), 4, true),
            (Op::MaskedEq(1 << 40), 0, false),
            (Op::MaskedEq(u64::MAX), 0x1_0000_0000, false),
        ];
        for (op, value, want) in cases {
            assert_eq!(fits(op, value), want, "{op:?} {value:#x}");
        }
    }
}
