//! Listeners: `SECCOMP_RET_USER_NOTIF` of `seccomp_unotify(2)`.
//!
//! A filter can hand calls to whoever holds its listener. The caller sleeps until it is answered. A listener that learns
//! lets every call go on; one that reports gives the answer that the filter would have given.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::{Errno, Tid, ZERO, check, check_int};

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` of `linux/seccomp.h` (Linux 6.6): caller and listener take turns on
/// one processor, instead of waking another one each time.
const SYNC_WAKE_UP: u64 = 1;

/// What a listener is asked by `ioctl(2)`: to receive, to answer, and whether a call still waits.
pub(crate) const REQUESTS: [u64; 3] = [
    request(libc::SECCOMP_IOCTL_NOTIF_RECV),
    request(libc::SECCOMP_IOCTL_NOTIF_SEND),
    request(libc::SECCOMP_IOCTL_NOTIF_ID_VALID),
];

/// As the kernel sees it, which looks at 32 bits, whatever the C library has it in.
#[expect(
    clippy::unnecessary_cast,
    reason = "an unsigned long here, an int there"
)]
const fn request(number: libc::Ioctl) -> u64 {
    number as u64 & 0xffff_ffff
}

/// The receiving end of a filter.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

/// A call that waits to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Notification {
    id: u64,
    /// The thread that calls; 0 where our pid namespace does not show it.
    pub(crate) tid: Tid,
    /// `AUDIT_ARCH_*` of the caller.
    pub(crate) audit: u32,
    /// The number.
    pub(crate) nr: u32,
    /// Where the call was made.
    pub(crate) ip: u64,
    /// The argument registers.
    pub(crate) args: [u64; 6],
}

/// What a call gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It runs (`SECCOMP_USER_NOTIF_FLAG_CONTINUE`, Linux 5.5).
    GoOn,
    /// It fails with this errno, and does not run. 0: it seems to succeed.
    Fail(u16),
    /// It does not run, and leaves its own number where its result would be, as a trapped call does.
    RollBack,
}

/// Room for what the kernel hands over, which may have grown since our headers were written.
#[derive(Debug)]
pub(crate) struct Buffer {
    notification: Vec<u64>,
    answer: Vec<u64>,
}

impl Buffer {
    /// Room as this kernel wants it.
    ///
    /// # Errors
    /// `EINVAL`: the kernel has no listeners (before 5.0).
    pub(crate) fn new() -> Result<Self, Errno> {
        let mut sizes = libc::seccomp_notif_sizes {
            seccomp_notif: 0,
            seccomp_notif_resp: 0,
            seccomp_data: 0,
        };
        let operation = libc::SECCOMP_GET_NOTIF_SIZES;
        // SAFETY: the kernel writes one structure of sizes to a local of that type.
        check(unsafe { libc::syscall(libc::SYS_seccomp, operation, ZERO, &raw mut sizes) })?;
        let room = |kernel: u16, ours: usize| vec![0; usize::from(kernel).max(ours).div_ceil(8)];
        Ok(Self {
            notification: room(sizes.seccomp_notif, size_of::<libc::seccomp_notif>()),
            answer: room(
                sizes.seccomp_notif_resp,
                size_of::<libc::seccomp_notif_resp>(),
            ),
        })
    }
}

/// The message that hands a descriptor over: one byte, and the descriptor (`SCM_RIGHTS` of `unix(7)`).
#[repr(C)]
struct Parcel {
    header: libc::cmsghdr,
    fd: i32,
    padding: i32,
}

/// Sends the listener of this number through a socket. The `secret` goes into the arguments that `sendmsg` ignores.
/// Async-signal-safe.
pub(super) fn send(socket: i32, listener: i32, [a, b, c]: [u64; 3]) -> Result<(), Errno> {
    // SAFETY: all-zero is a valid cmsghdr.
    let mut header: libc::cmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.cmsg_level = libc::SOL_SOCKET;
    header.cmsg_type = libc::SCM_RIGHTS;
    let length = size_of::<libc::cmsghdr>() + size_of::<i32>();
    // The type of the field depends on the C library; the value is 20.
    header.cmsg_len = length as _;
    let mut parcel = Parcel {
        header,
        fd: listener,
        padding: 0,
    };
    let mut byte = 1_u8;
    let mut content = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    // SAFETY: all-zero is a valid msghdr: no name, no content.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut content;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut parcel).cast();
    message.msg_controllen = size_of::<Parcel>() as _;
    let (call, message) = (libc::SYS_sendmsg, &raw const message);
    // SAFETY: the message and all that it leads to are locals. The three further arguments are numbers that sendmsg
    // ignores.
    check(unsafe { libc::syscall(call, socket, message, libc::MSG_NOSIGNAL, a, b, c) }).map(drop)
}

impl Listener {
    /// Receives a listener that [`send`] sent. Ours is close-on-exec. `None`: the other end is closed, and nothing came.
    pub(super) fn accept(socket: BorrowedFd<'_>) -> Result<Option<Self>, Errno> {
        let mut byte = [0];
        let mut content = [IoSliceMut::new(&mut byte)];
        let mut control = nix::cmsg_space!(RawFd);
        let (socket, flags) = (socket.as_raw_fd(), MsgFlags::MSG_CMSG_CLOEXEC);
        let message = recvmsg::<()>(socket, &mut content, Some(&mut control), flags)?;
        let received = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        match (received, message.bytes) {
            (Some(fd), _) => {
                // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
                let listener = Self(unsafe { OwnedFd::from_raw_fd(fd) });
                listener.wake_synchronously();
                Ok(Some(listener))
            }
            (None, 0) => Ok(None),
            // Where there are too many open files, the byte comes alone.
            (None, _) => Err(Errno::EMFILE),
        }
    }

    /// Takes a listener out of another process, by its number there (`pidfd_getfd(2)`, Linux 5.6). Ours is
    /// close-on-exec. Needs the right to trace that process.
    pub(crate) fn take(process: BorrowedFd<'_>, number: i32) -> Result<Self, Errno> {
        let process = process.as_raw_fd();
        // SAFETY: takes numbers only; flags must be 0.
        let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, number, 0) })?;
        let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
        // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
        let listener = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        listener.wake_synchronously();
        Ok(listener)
    }

    /// Asks for turns on one processor. An older kernel cannot; then answers take longer, nothing else.
    fn wake_synchronously(&self) {
        let request = libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS;
        // SAFETY: this request takes its flags by value.
        let _ = unsafe { libc::ioctl(self.0.as_raw_fd(), request, SYNC_WAKE_UP) };
    }

    /// The next call that waits. Blocks while there is none.
    ///
    /// # Errors
    /// `ENOENT`: the caller was killed, or went away to handle a signal, meanwhile.
    pub(crate) fn receive(&self, buffer: &mut Buffer) -> Result<Notification, Errno> {
        // The kernel wants it empty.
        buffer.notification.fill(0);
        let to = buffer.notification.as_mut_ptr();
        // SAFETY: the kernel writes one notification, and `Buffer::new` made room for as much as it says.
        check_int(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, to) })?;
        // SAFETY: the buffer is as large as the structure and aligned for it; any bits are valid.
        let raw = unsafe { to.cast::<libc::seccomp_notif>().read() };
        Ok(Notification {
            id: raw.id,
            tid: Tid::try_from(raw.pid).unwrap_or(0),
            audit: raw.data.arch,
            nr: raw.data.nr.cast_unsigned(),
            ip: raw.data.instruction_pointer,
            args: raw.data.args,
        })
    }

    /// Answers a call.
    ///
    /// # Errors
    /// `ENOENT`: the caller was killed, or went away to handle a signal, meanwhile.
    pub(crate) fn answer(
        &self,
        notification: &Notification,
        answer: Answer,
        buffer: &mut Buffer,
    ) -> Result<(), Errno> {
        let (val, error, flags) = match answer {
            // The flag is bit 0.
            Answer::GoOn => (0, 0, 1),
            Answer::Fail(errno) => (0, -i32::from(errno), 0),
            Answer::RollBack => (i64::from(notification.nr), 0, 0),
        };
        let answer = libc::seccomp_notif_resp {
            id: notification.id,
            val,
            error,
            flags,
        };
        buffer.answer.fill(0);
        let from = buffer.answer.as_mut_ptr();
        // SAFETY: the buffer is as large as the structure, and aligned for it.
        unsafe { from.cast::<libc::seccomp_notif_resp>().write(answer) };
        // SAFETY: the kernel reads one answer, and `Buffer::new` made room for as much as it says.
        let send =
            || unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, from) };
        // A stop of this process interrupts it, and a call that got no answer would wait for ever.
        not_interrupted(send).map(drop)
    }
}

impl Listener {
    /// Does the call still wait? While it does, the id of its thread is nobody else's.
    pub(crate) fn waits(&self, notification: &Notification) -> bool {
        let request = libc::SECCOMP_IOCTL_NOTIF_ID_VALID;
        let id = &raw const notification.id;
        // SAFETY: the kernel reads one u64 from a local.
        not_interrupted(|| unsafe { libc::ioctl(self.0.as_raw_fd(), request, id) }).is_ok()
    }
}

/// Makes a call until nothing interrupts it. Even where all signals are blocked, `SIGSTOP` does.
fn not_interrupted(call: impl Fn() -> libc::c_int) -> Result<libc::c_int, Errno> {
    loop {
        match check_int(call()) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
