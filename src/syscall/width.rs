//! How much of an argument's register the kernel reads: 32 bits of an `int`, all 64 of a `long`.
//!
//! On a 64-bit ABI a program can put anything into the upper half of a register whose argument is an `int`,
//! and the kernel does not look at it (`SYSCALL_DEFINEn` casts to the type of the prototype). A rule that
//! compares all 64 bits then misses calls that it means, which was a hole in more than one sandbox
//! (CVE-2019-7303 in snapd).
//!
//! The table is derived from the prototypes of Linux 6.1 and 6.12, which do not differ in it, and from 463
//! on those of mainline (`fs/xattr.c`, `fs/file_attr.c`, `fs/namespace.c`, `kernel/nstree.c`). The types that a
//! running Linux 6.18 shows (`events/syscalls/sys_enter_*/format` of tracefs, x86-64) agree in all of the 360
//! calls that it has. To make it anew, put in the place of the old one and format what this prints:
//!
//! ```text
//! tests/tools/syscall_widths.py LINUX-TREE...
//! ```
//!
//! 16-bit types (`umode_t`) count as 32 bits: of those, too, the upper half of the register is nothing.
//! What is not in the table is taken for 64 bits wide, as libseccomp takes everything.

use super::Sysno;
use super::table::{NAMES, NameId, index_of};
use crate::arch::Arch;

/// Does the kernel read only the lower 32 bits of this argument (0 to 5)?
///
/// Asked of 64-bit ABIs. It is `false` where that is not known, and always on the 32-bit ones, x32 and
/// MIPS n32 included: there, every comparison has 32 bits anyway.
///
/// ```
/// use seccomp_run::{arch::Arch, syscall::{self, Sysno}};
/// let ioctl = Sysno::parse(Arch::X86_64, "ioctl").unwrap();
/// assert!(syscall::is_32bit(ioctl, 1), "the command is an unsigned int");
/// assert!(!syscall::is_32bit(ioctl, 2), "its argument is a long");
/// ```
pub fn is_32bit(sysno: Sysno, arg: u8) -> bool {
    if !sysno.arch.is_64bit() || arg >= 6 {
        return false;
    }
    sysno
        .id()
        .is_some_and(|id| mask(sysno.arch, id) & (1 << arg) != 0)
}

/// One bit for each argument of 32 bits.
fn mask(arch: Arch, id: NameId) -> u8 {
    // The one prototype in which architectures differ: here, the persona is an unsigned long.
    if matches!(arch, Arch::Ppc64 | Arch::Ppc64le) && id.name() == Some("personality") {
        return 0;
    }
    id.of(&MASKS).unwrap_or_default()
}

/// The table by name, made by the compiler. A name that no architecture has stops the build.
static MASKS: [u8; NAMES] = masks();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a wrong index is a build error"
)]
const fn masks() -> [u8; NAMES] {
    let mut masks = [0; NAMES];
    let mut rows = NARROW;
    while let [(args, names), rest @ ..] = rows {
        let mask = mask_of(args);
        let mut names = names.as_bytes();
        while !names.is_empty() {
            let (name, others) = first_word(names);
            masks[index_of(name)] = mask;
            names = others;
        }
        rows = rest;
    }
    masks
}

const fn mask_of(mut args: &[u8]) -> u8 {
    let mut mask = 0;
    while let [arg, rest @ ..] = args {
        mask |= 1 << *arg;
        args = rest;
    }
    mask
}

/// The bytes before the first space, and those after it.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a wrong index is a build error"
)]
const fn first_word(text: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    while end < text.len() && text[end] != b' ' {
        end += 1;
    }
    let (word, rest) = text.split_at(end);
    match rest {
        [_, rest @ ..] => (word, rest),
        [] => (word, rest),
    }
}

/// The arguments of 32 bits, and the calls that have just these. Generated.
const NARROW: &[(&[u8], &str)] = &[
    (
        &[0],
        "_newselect accept alarm arch_prctl clock_adjtime clock_getres clock_gettime clock_settime \
         close dup epoll_create epoll_create1 eventfd exit exit_group fchdir fdatasync fgetxattr \
         flistxattr fremovexattr fstat fstatfs fstatfs64 fsync ftruncate futimesat get_robust_list \
         getgroups getitimer getpeername getpgid getrlimit getrusage getsid getsockname inotify_init1 \
         io_setup io_uring_setup iopl keyctl memfd_secret migrate_pages mlockall modify_ldt \
         mq_getsetattr mq_notify mq_timedreceive nice openat2 personality pkey_free prctl pread64 \
         process_vm_readv process_vm_writev pselect6 pwrite64 read readahead rt_sigaction \
         rt_sigprocmask s390_guarded_storage sched_get_priority_max sched_get_priority_min \
         sched_getparam sched_getscheduler sched_rr_get_interval sched_setparam select set_mempolicy \
         setfsgid setfsuid setgid setgroups setitimer setrlimit setuid sigaction signal signalfd \
         sigprocmask socketcall spu_run ssetmask syncfs sysfs timer_create timer_delete \
         timer_getoverrun timer_gettime timerfd_gettime ugetrlimit umask userfaultfd ustat write",
    ),
    (
        &[0, 1],
        "clock_nanosleep dup2 eventfd2 fallocate fanotify_init fchmod fcntl flock getpriority \
         inotify_rm_watch ioctl ioprio_get ipc kexec_file_load kill landlock_restrict_self listen \
         msgctl msgget pidfd_open prlimit64 process_mrelease rt_sigqueueinfo s390_runtime_instr \
         sched_getaffinity sched_setaffinity sched_setscheduler seccomp sendfile setns setpgid \
         setregid setreuid shmctl shutdown sync_file_range2 timer_settime timerfd_create \
         timerfd_settime tkill",
    ),
    (
        &[0, 1, 2],
        "close_range dup3 epoll_ctl fchown fsmount getsockopt ioprio_set kcmp membarrier pidfd_getfd \
         quotactl_fd reboot rt_tgsigqueueinfo semctl semget setpriority setresgid setresuid socket \
         socketpair tgkill",
    ),
    (&[0, 1, 2, 3], "io_uring_enter"),
    (&[0, 1, 2, 4], "setsockopt"),
    (
        &[0, 1, 3],
        "fanotify_mark io_uring_register landlock_add_rule pidfd_send_signal tee waitid",
    ),
    (&[0, 1, 4], "fsconfig"),
    (
        &[0, 2],
        "bind bpf connect epoll_pwait2 faccessat fchmodat finit_module fspick getdents getdents64 \
         getxattrat inotify_add_watch listxattrat lseek mkdirat mount_setattr open_by_handle_at \
         open_tree open_tree_attr quotactl recvmsg removexattrat renameat sched_setattr semop \
         semtimedop sendmsg setxattrat shmat shmget syslog unlinkat wait4 waitpid",
    ),
    (
        &[0, 2, 3],
        "epoll_pwait epoll_wait faccessat2 fchmodat2 lsm_set_self_attr mknodat openat recvmmsg \
         sched_getattr sendmmsg statx",
    ),
    (&[0, 2, 3, 4], "fchownat"),
    (&[0, 2, 4], "linkat move_mount renameat2"),
    (&[0, 2, 5], "copy_file_range splice"),
    (
        &[0, 3],
        "accept4 cachestat fadvise64 lsm_get_self_attr mq_timedsend msgsnd newfstatat readlinkat recv \
         recvfrom send signalfd4 sync_file_range utimensat vmsplice",
    ),
    (&[0, 3, 4], "process_madvise"),
    (&[0, 3, 5], "sendto"),
    (
        &[0, 4],
        "_llseek execveat file_getattr file_setattr fsetxattr msgrcv name_to_handle_at",
    ),
    (&[0, 5], "move_pages"),
    (
        &[1],
        "access chmod creat delete_module fsopen memfd_create mkdir pipe2 ppoll setdomainname \
         sethostname swapon symlinkat umount2",
    ),
    (&[1, 2], "cachectl chown lchown mknod mq_open open poll"),
    (&[1, 2, 3], "futex_requeue perf_event_open rseq spu_create"),
    (&[1, 2, 4], "futex_waitv"),
    (&[1, 2, 5], "futex"),
    (
        &[2],
        "cacheflush getrandom ioperm landlock_create_ruleset lsm_list_modules madvise \
         map_shadow_stack mlock2 msync readlink",
    ),
    (&[2, 3], "futex_wake"),
    (&[3], "listmount listns pkey_mprotect request_key statmount"),
    (&[3, 5], "futex_wait"),
    (&[4], "add_key lsetxattr riscv_hwprobe setxattr"),
    (&[5], "mbind preadv2 pwritev2"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::{all, has_table};

    /// The narrow arguments of a call, as their indices.
    fn narrow(arch: Arch, name: &str) -> Vec<u8> {
        let sysno = Sysno::parse(arch, name).expect(name);
        (0..=u8::MAX).filter(|&arg| is_32bit(sysno, arg)).collect()
    }

    #[test]
    fn widths_are_those_of_the_prototypes() {
        let cases: &[(Arch, &str, &[u8])] = &[
            (Arch::X86_64, "close", &[0]),
            (Arch::X86_64, "read", &[0]),
            // The descriptor of readv and mmap is an unsigned long.
            (Arch::X86_64, "readv", &[]),
            (Arch::X86_64, "mmap", &[]),
            (Arch::X86_64, "openat", &[0, 2, 3]),
            (Arch::X86_64, "socket", &[0, 1, 2]),
            (Arch::X86_64, "fcntl", &[0, 1]),
            (Arch::X86_64, "futex", &[1, 2, 5]),
            (Arch::X86_64, "prctl", &[0]),
            // clone has its arguments in another order elsewhere, but the flags are a long everywhere.
            (Arch::X86_64, "clone", &[]),
            // So are request and pid of ptrace.
            (Arch::X86_64, "ptrace", &[]),
            (Arch::X86_64, "fadvise64", &[0, 3]),
            (Arch::Aarch64, "fadvise64", &[0, 3]),
            (Arch::Ppc64le, "sync_file_range2", &[0, 1]),
            (Arch::X86_64, "personality", &[0]),
            (Arch::Ppc64le, "personality", &[]),
            (Arch::Mips64, "ioctl", &[0, 1]),
            // The name of a call that this architecture has not under it: 32-bit ARM's, in 32 bits.
            (Arch::Arm, "cacheflush", &[]),
            (Arch::X86, "ioctl", &[]),
            (Arch::X32, "ioctl", &[]),
            (Arch::X86_64, "syscall_9999", &[]),
        ];
        for &(arch, name, want) in cases {
            assert_eq!(narrow(arch, name), want, "{arch} {name}");
        }
    }

    #[test]
    fn every_name_of_the_table_is_there_once() {
        let mut seen = std::collections::BTreeSet::new();
        for &(args, names) in NARROW {
            assert!(!args.is_empty() && args.is_sorted(), "{args:?}");
            assert!(args.iter().all(|&arg| arg < 6), "{args:?}");
            for name in names.split(' ') {
                assert!(seen.insert(name), "{name} twice");
                let on_64_bits =
                    |arch: &Arch| arch.is_64bit() && Sysno::parse(*arch, name).is_some();
                assert!(Arch::ALL.iter().any(on_64_bits), "{name} is no 64-bit call");
            }
        }
    }

    #[test]
    fn only_64_bit_abis_have_narrow_arguments() {
        for arch in Arch::ALL {
            let some = all(arch).any(|(sysno, _)| (0..6).any(|arg| is_32bit(sysno, arg)));
            assert_eq!(some, arch.is_64bit() && has_table(arch), "{arch}");
        }
    }
}
