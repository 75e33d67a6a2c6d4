//! Syscalls in the groups that a person thinks in.
//!
//! Every name of every architecture's table is in exactly one group; a test holds the table to it. Pure.

use std::fmt;

/// What a syscall is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Group {
    /// To open, read, change and watch files, pipes and other descriptors.
    Files,
    /// To make and use sockets.
    Network,
    /// To start, end, schedule, watch and talk to processes and threads.
    Processes,
    /// To map, protect and share memory.
    Memory,
    /// To read and set clocks and timers, and to sleep.
    Time,
    /// To send, take and wait for signals.
    Signals,
    /// To see and change identities, capabilities, namespaces, mounts and keys.
    Privileges,
    /// To talk to devices, and to look into and change the kernel itself.
    Kernel,
}

impl Group {
    /// Every group, in the order in which they are shown.
    pub(crate) const ALL: [Self; 8] = [
        Self::Files,
        Self::Network,
        Self::Processes,
        Self::Memory,
        Self::Time,
        Self::Signals,
        Self::Privileges,
        Self::Kernel,
    ];

    /// The group of a syscall; `None` for what no table names.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let has = |group: &Self| group.names().any(|known| known == name);
        Self::ALL.into_iter().find(has)
    }

    /// What its syscalls are for.
    pub(crate) const fn purpose(self) -> &'static str {
        match self {
            Self::Files => "to open, read, change and watch files, pipes and other descriptors",
            Self::Network => "to make and use sockets",
            Self::Processes => "to start, end, schedule, watch and talk to processes and threads",
            Self::Memory => "to map, protect and share memory",
            Self::Time => "to read and set clocks and timers, and to sleep",
            Self::Signals => "to send, take and wait for signals",
            Self::Privileges => {
                "to see and change identities, capabilities, namespaces, mounts and keys"
            }
            Self::Kernel => "to talk to devices, and to look into and change the kernel itself",
        }
    }

    /// Its syscalls, sorted. Pointers to each would have to be set at every start of the program.
    fn names(self) -> impl Iterator<Item = &'static str> {
        let names = match self {
            Self::Files => FILES,
            Self::Network => NETWORK,
            Self::Processes => PROCESSES,
            Self::Memory => MEMORY,
            Self::Time => TIME,
            Self::Signals => SIGNALS,
            Self::Privileges => PRIVILEGES,
            Self::Kernel => KERNEL,
        };
        names.split(' ')
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Files => "files",
            Self::Network => "network",
            Self::Processes => "processes",
            Self::Memory => "memory",
            Self::Time => "time",
            Self::Signals => "signals",
            Self::Privileges => "privileges",
            Self::Kernel => "kernel",
        })
    }
}

const FILES: &str = "\
    _llseek _newselect access afs_syscall arm_fadvise64_64 arm_sync_file_range bdflush cachestat chdir \
    chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 \
    epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 \
    faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_init fanotify_mark fchdir fchmod \
    fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr file_getattr \
    file_setattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync \
    ftruncate ftruncate64 futimesat getcwd getdents getdents64 getpmsg getxattr getxattrat gtty \
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents \
    io_pgetevents io_pgetevents_time64 io_setup io_submit lchown lchown32 lgetxattr link linkat \
    listxattr listxattrat llistxattr lock lookup_dcookie lremovexattr lseek lsetxattr lstat lstat64 \
    mkdir mkdirat mknod mknodat name_to_handle_at newfstatat nfsservctl oldfstat oldlstat oldstat open \
    open_by_handle_at openat openat2 pipe pipe2 poll ppoll ppoll_time64 pread64 preadv preadv2 pselect6 \
    pselect6_time64 putpmsg pwrite64 pwritev pwritev2 quotactl quotactl_fd read readahead readdir \
    readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir select sendfile \
    sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx stty symlink symlinkat sync \
    sync_file_range sync_file_range2 syncfs tee truncate truncate64 umask unlink unlinkat ustat utime \
    utimensat utimensat_time64 utimes vmsplice write writev";

const NETWORK: &str = "\
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg \
    recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socket socketcall \
    socketpair";

const PROCESSES: &str = "\
    acct arch_prctl clone clone3 execve execveat exit exit_group fork futex futex_requeue futex_time64 \
    futex_wait futex_waitv futex_wake get_robust_list get_thread_area get_tls getcpu getpgid getpgrp \
    getpid getppid getpriority getrlimit getrusage getsid gettid idle ioprio_get ioprio_set ipc kcmp \
    membarrier mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend \
    mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd nice pidfd_getfd pidfd_open prctl \
    prlimit64 process_mrelease process_vm_readv process_vm_writev prof profil ptrace rseq \
    rseq_slice_yield sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr \
    sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 \
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield semctl semget semop \
    semtimedop semtimedop_time64 set_robust_list set_thread_area set_tid_address set_tls setpgid \
    setpriority setrlimit setsid spu_create spu_run swapcontext ugetrlimit ulimit vfork wait4 waitid \
    waitpid";

const MEMORY: &str = "\
    brk cachectl cacheflush get_mempolicy madvise map_shadow_stack mbind memfd_create memfd_secret \
    migrate_pages mincore mlock mlock2 mlockall mmap mmap2 modify_ldt move_pages mprotect mpx mremap \
    mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_madvise \
    remap_file_pages riscv_flush_icache set_mempolicy set_mempolicy_home_node shmat shmctl shmdt shmget \
    subpage_prot userfaultfd";

const TIME: &str = "\
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime \
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 clock_settime clock_settime64 ftime getitimer \
    gettimeofday nanosleep setitimer settimeofday stime time timer_create timer_delete timer_getoverrun \
    timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd timerfd_create timerfd_gettime \
    timerfd_gettime64 timerfd_settime timerfd_settime64 times";

const SIGNALS: &str = "\
    kill pause pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask \
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo \
    sgetmask sigaction sigaltstack signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend \
    ssetmask tgkill tkill";

const PRIVILEGES: &str = "\
    add_key capget capset chroot fsconfig fsmount fsopen fspick getegid getegid32 geteuid geteuid32 \
    getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid getresuid32 getuid getuid32 \
    keyctl landlock_add_rule landlock_create_ruleset landlock_restrict_self listmount listns \
    lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree \
    open_tree_attr personality pivot_root request_key seccomp security setdomainname setfsgid setfsgid32 \
    setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 sethostname setns setregid setregid32 \
    setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32 statmount umount \
    umount2 unshare vhangup vserver";

const KERNEL: &str = "\
    _sysctl bpf break breakpoint create_module delete_module finit_module get_kernel_syms getrandom \
    init_module io_uring_enter io_uring_register io_uring_setup ioctl ioperm iopl kexec_file_load \
    kexec_load multiplexer oldolduname olduname pciconfig_iobase pciconfig_read pciconfig_write \
    perf_event_open query_module reboot riscv_hwprobe rtas s390_guarded_storage s390_pci_mmio_read \
    s390_pci_mmio_write s390_runtime_instr s390_sthyi swapoff swapon switch_endian sys_debug_setcontext \
    syscall sysfs sysinfo syslog sysmips tuxcall uname uprobe uretprobe uselib usr26 usr32 vm86 vm86old";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::arch::Arch;
    use crate::syscall;

    #[test]
    fn every_named_syscall_is_in_exactly_one_group() {
        let named: BTreeSet<&str> = Arch::ALL
            .into_iter()
            .flat_map(|arch| syscall::all(arch).map(|(_, name)| name))
            .collect();
        let mut grouped = BTreeSet::new();
        for group in Group::ALL {
            assert!(group.names().is_sorted_by(|a, b| a < b), "{group}");
            for name in group.names() {
                assert!(grouped.insert(name), "{name} is in two groups");
                assert_eq!(Group::of(name), Some(group), "{name}");
            }
        }
        let missing: Vec<_> = named.difference(&grouped).collect();
        let unknown: Vec<_> = grouped.difference(&named).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "{missing:?} {unknown:?}"
        );
        assert_eq!(Group::of("syscall_999"), None);
    }
}
