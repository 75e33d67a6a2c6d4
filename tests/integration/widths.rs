//! The kernel of this machine agrees with the table of argument widths: where the table says 32 bits, it
//! makes no difference what the upper half of the register holds.
//!
//! The calls are such that a difference would show: with these arguments they succeed, or fail for a
//! reason that lies behind the check of arguments.

use std::fs::File;
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd};

use nix::errno::Errno;
use seccomp_run::arch::Arch;
use seccomp_run::syscall::{Sysno, is_32bit};

use crate::harness::Env;

/// What a register may hold above the 32 bits: a little, anything, a sign, all.
const JUNK: [u64; 4] = [1, 0x5a5a_5a5a, 0x8000_0000, 0xffff_ffff];

/// The call of this name, where this machine has it.
fn sysno(name: &str) -> Option<Sysno> {
    Sysno::parse(Arch::NATIVE, name)
}

fn make(sysno: Sysno, args: [u64; 6]) -> Result<i64, Errno> {
    let [a0, a1, a2, a3, a4, a5] = args.map(u64::cast_signed);
    // SAFETY: pointers in the tables below are null or to memory of `Things`, which is alive and larger
    // than what the call writes; any other argument the kernel checks.
    #[expect(unsafe_code, reason = "only a raw call can set a whole register")]
    let result = unsafe { libc::syscall(i64::from(sysno.nr), a0, a1, a2, a3, a4, a5) };
    Errno::result(result)
}

/// The descriptor that a call returned.
fn owned(fd: i64) -> OwnedFd {
    let fd = i32::try_from(fd).unwrap();
    // SAFETY: a call has just opened it, and nobody else knows of it.
    #[expect(unsafe_code, reason = "raw calls return raw descriptors")]
    unsafe {
        OwnedFd::from_raw_fd(fd)
    }
}

/// An `int` as the lower half of a register.
fn int(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

/// What the calls work on.
struct Things {
    file: File,
    other: File,
    dir: File,
    socket: OwnedFd,
    listener: OwnedFd,
    epoll: OwnedFd,
    timer: OwnedFd,
    inotify: OwnedFd,
    /// What calls write to.
    buffer: Vec<u64>,
    /// What calls only read.
    zeros: [u64; 16],
    /// The address of a socket that nobody listens at.
    nobody: [u8; 8],
}

/// A call that opens a descriptor returns another one each time.
#[derive(Clone, Copy, PartialEq)]
enum Gives {
    Value,
    Descriptor,
}
use Gives::{Descriptor, Value};

impl Things {
    fn new(env: &Env) -> Self {
        let path = env.write("x", [b'x'; 100]);
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let made = |name, args| owned(make(sysno(name).unwrap(), args).unwrap());
        let socket = |kind| made("socket", [int(libc::AF_UNIX), int(kind), 0, 0, 0, 0]);
        let [low, high] = u16::try_from(libc::AF_UNIX).unwrap().to_ne_bytes();
        let nobody = [low, high, 0, b'n', b'o', b'b', b'o', b'd'];
        let listener = socket(libc::SOCK_STREAM | libc::SOCK_NONBLOCK);
        // Nothing but the family: the kernel chooses a name.
        let bind = [
            int(listener.as_raw_fd()),
            nobody.as_ptr() as u64,
            2,
            0,
            0,
            0,
        ];
        make(sysno("bind").unwrap(), bind).unwrap();
        Self {
            file: open(),
            other: open(),
            dir: File::open(env.path(".")).unwrap(),
            socket: socket(libc::SOCK_STREAM),
            listener,
            epoll: made("epoll_create1", [0; 6]),
            timer: made("timerfd_create", [1, 0, 0, 0, 0, 0]),
            inotify: made("inotify_init1", [0; 6]),
            buffer: vec![0; 512],
            zeros: [0; 16],
            nobody,
        }
    }

    #[rustfmt::skip]
    fn calls(&mut self) -> Vec<(&'static str, Gives, Vec<u64>)> {
        let [file, other, dir] = [&self.file, &self.other, &self.dir].map(|f| int(f.as_raw_fd()));
        let [socket, listener, epoll, timer, inotify] =
            [&self.socket, &self.listener, &self.epoll, &self.timer, &self.inotify]
                .map(|f| int(f.as_raw_fd()));
        let buffer = self.buffer.as_mut_ptr() as u64;
        let zeros = self.zeros.as_ptr() as u64;
        let nobody = self.nobody.as_ptr() as u64;
        let (x, here) = (c"x".as_ptr() as u64, c".".as_ptr() as u64);
        let pid = u64::from(std::process::id());
        let uid = u64::from(nix::unistd::getuid().as_raw());
        let gid = u64::from(nix::unistd::getgid().as_raw());
        let (unix, stream) = (int(libc::AF_UNIX), int(libc::SOCK_STREAM));
        let cloexec = int(libc::O_CLOEXEC);
        let level = int(libc::SOL_SOCKET);
        vec![
            // Descriptors.
            ("dup", Descriptor, vec![file]),
            ("dup2", Value, vec![file, file]),
            ("lseek", Value, vec![other, 7, int(libc::SEEK_SET)]),
            ("fcntl", Value, vec![file, int(libc::F_GETFD), 0]),
            ("ioctl", Value, vec![file, 0x541b, buffer]),
            ("read", Value, vec![file, buffer, 0]),
            ("write", Value, vec![file, zeros, 0]),
            ("pread64", Value, vec![file, buffer, 8, 4]),
            ("pwrite64", Value, vec![file, zeros, 8, 4]),
            ("sendfile", Value, vec![other, file, 0, 0]),
            ("fstat", Value, vec![file, buffer]),
            ("fstatfs", Value, vec![file, buffer]),
            ("fsync", Value, vec![file]),
            ("fdatasync", Value, vec![file]),
            ("ftruncate", Value, vec![other, 100]),
            ("fallocate", Value, vec![other, 0, 0, 50]),
            ("flock", Value, vec![file, int(libc::LOCK_SH)]),
            ("fadvise64", Value, vec![file, 0, 0, 0]),
            ("sync_file_range", Value, vec![file, 0, 0, 0]),
            ("fchmod", Value, vec![file, 0o644]),
            ("fchown", Value, vec![file, uid, gid]),
            ("close_range", Value, vec![int(-1), int(-1), 0]),
            // Paths.
            ("openat", Descriptor, vec![dir, x, cloexec | int(libc::O_CREAT), 0o600]),
            ("faccessat", Value, vec![dir, x, int(libc::R_OK)]),
            ("fchmodat", Value, vec![dir, x, 0o644]),
            ("fchownat", Value, vec![dir, x, uid, gid, 0]),
            ("newfstatat", Value, vec![dir, x, buffer, 0]),
            ("statx", Value, vec![dir, x, 0, 0x7ff, buffer]),
            ("utimensat", Value, vec![dir, x, 0, 0]),
            ("mkdirat", Value, vec![dir, x, 0o700]),
            ("unlinkat", Value, vec![dir, x, int(libc::AT_REMOVEDIR)]),
            ("linkat", Value, vec![dir, x, dir, x, 0]),
            ("renameat2", Value, vec![dir, x, dir, x, 1]),
            // What is behind a descriptor.
            ("epoll_create1", Descriptor, vec![int(libc::EPOLL_CLOEXEC)]),
            ("epoll_ctl", Value, vec![epoll, int(libc::EPOLL_CTL_DEL), timer, zeros]),
            ("epoll_pwait", Value, vec![epoll, buffer, 1, 0, 0, 8]),
            ("eventfd2", Descriptor, vec![3, int(libc::EFD_CLOEXEC)]),
            ("timerfd_create", Descriptor, vec![1, int(libc::TFD_CLOEXEC)]),
            ("timerfd_gettime", Value, vec![timer, buffer]),
            ("timerfd_settime", Value, vec![timer, 0, zeros, buffer]),
            ("inotify_init1", Descriptor, vec![int(libc::IN_CLOEXEC)]),
            ("inotify_add_watch", Value, vec![inotify, here, 0x400]),
            ("memfd_create", Descriptor, vec![x, 1]),
            ("pidfd_open", Descriptor, vec![pid, 0]),
            // Sockets.
            ("socket", Descriptor, vec![unix, stream | cloexec, 0]),
            ("socketpair", Value, vec![unix, stream, 99, buffer]),
            ("listen", Value, vec![listener, 1]),
            ("accept", Value, vec![listener, 0, 0]),
            ("accept4", Value, vec![listener, 0, 0, cloexec]),
            ("connect", Value, vec![socket, nobody, 8]),
            ("shutdown", Value, vec![socket, 2]),
            ("sendto", Value, vec![socket, zeros, 1, int(libc::MSG_NOSIGNAL), 0, 0]),
            ("getpeername", Value, vec![socket, buffer, zeros]),
            ("setsockopt", Value, vec![socket, level, int(libc::SO_REUSEADDR), zeros, 4]),
            // Processes.
            ("kill", Value, vec![pid, 0]),
            ("tkill", Value, vec![pid, 0]),
            ("tgkill", Value, vec![pid, pid, 0]),
            ("wait4", Value, vec![pid, 0, 1, 0]),
            ("waitid", Value, vec![1, pid, 0, 5, 0]),
            ("getpgid", Value, vec![pid]),
            ("getsid", Value, vec![pid]),
            ("getpriority", Value, vec![0, pid]),
            ("sched_getscheduler", Value, vec![pid]),
            ("sched_getparam", Value, vec![pid, buffer]),
            ("sched_get_priority_max", Value, vec![1]),
            ("prlimit64", Value, vec![pid, 7, 0, buffer]),
            ("getrusage", Value, vec![0, buffer]),
            ("ioprio_get", Value, vec![1, pid]),
            ("prctl", Value, vec![int(libc::PR_GET_DUMPABLE), 0]),
            ("personality", Value, vec![int(-1)]),
            ("seccomp", Value, vec![2, 0, zeros]),
            // Time and memory.
            ("clock_gettime", Value, vec![1, buffer]),
            ("clock_getres", Value, vec![1, buffer]),
            ("clock_nanosleep", Value, vec![1, 0, zeros, 0]),
            ("getitimer", Value, vec![0, buffer]),
            ("getrandom", Value, vec![buffer, 8, 1]),
            ("madvise", Value, vec![0, 0, 4]),
            ("msync", Value, vec![0, 0, 1]),
            ("futex", Value, vec![zeros, 0x81, 1, 0, 0, 0]),
        ]
    }
}

fn outcome(sysno: Sysno, gives: Gives, args: [u64; 6]) -> Result<i64, Errno> {
    let result = make(sysno, args)?;
    if gives == Descriptor {
        drop(owned(result));
        return Ok(0);
    }
    Ok(result)
}

#[test]
fn the_kernel_ignores_the_upper_half_of_narrow_arguments() {
    let env = Env::new();
    let mut things = Things::new(&env);
    let mut arguments = 0;
    for (name, gives, mut args) in things.calls() {
        let Some(sysno) = sysno(name) else { continue };
        let given = u8::try_from(args.len()).unwrap();
        args.resize(6, 0);
        let plain: [u64; 6] = args.try_into().unwrap();
        let want = outcome(sysno, gives, plain);
        assert!(
            !matches!(want, Err(Errno::EINVAL | Errno::EBADF | Errno::EFAULT)),
            "{name} tells nothing: {want:?}"
        );
        for arg in (0..given).filter(|&arg| is_32bit(sysno, arg)) {
            arguments += 1;
            for junk in JUNK {
                let mut args = plain;
                args[usize::from(arg)] |= junk << 32;
                assert_eq!(outcome(sysno, gives, args), want, "{name} {arg} {junk:#x}");
            }
        }
    }
    assert!(arguments > 100, "only {arguments} arguments");
}

#[test]
fn close_ignores_the_upper_half_of_its_descriptor() {
    let close = sysno("close").unwrap();
    assert!(is_32bit(close, 0));
    for junk in JUNK {
        let fd = int(File::open("/dev/null").unwrap().into_raw_fd());
        assert_eq!(make(close, [fd | junk << 32, 0, 0, 0, 0, 0]), Ok(0));
    }
}

/// The test above can tell: where the table does not say 32 bits, the upper half matters.
#[test]
fn the_kernel_heeds_the_upper_half_of_wide_arguments() {
    let env = Env::new();
    let mut things = Things::new(&env);
    let file = int(things.file.as_raw_fd());
    let buffer = things.buffer.as_mut_ptr() as u64;
    let cases = [
        ("lseek", 1, [file, 7, 0, 0, 0, 0], Ok(7)),
        ("pread64", 3, [file, buffer, 8, 4, 0, 0], Ok(8)),
        ("fstat", 1, [file, buffer, 0, 0, 0, 0], Ok(0)),
        ("getrusage", 1, [0, buffer, 0, 0, 0, 0], Ok(0)),
    ];
    for (name, arg, plain, want) in cases {
        let sysno = sysno(name).unwrap();
        assert!(!is_32bit(sysno, arg), "{name} {arg}");
        assert_eq!(make(sysno, plain), want, "{name}");
        let mut args = plain;
        args[usize::from(arg)] |= 0x5a5a_5a5a << 32;
        assert_ne!(make(sysno, args), want, "{name} {arg}");
    }
}
