//! What this process was started with, and what the launcher changes about it for itself.
//!
//! A file that is opened must not become a standard stream, so `/dev/null` takes the place of closed ones; and a reader
//! that has gone is an error to report, so `SIGPIPE` is ignored. Both are wrong for the command, which must get what our
//! caller gave us. The Rust runtime does both without a word of how it was, and not in our binary, which starts without
//! it. So a function in `.init_array`, which the C start-up code runs before any runtime, writes down how it was and
//! does both.

use std::sync::atomic::{AtomicU8, Ordering};

use super::signal;

/// Bits 0 to 2: the standard stream of that number was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);
/// Was `SIGPIPE` ignored?
static PIPE_IGNORED: AtomicU8 = AtomicU8::new(0);

extern "C" fn settle() {
    for fd in 0..3 {
        // SAFETY: F_GETFD reads a flag of a descriptor and takes no pointer.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << fd, Ordering::Relaxed);
            // SAFETY: the path is a C string. The lowest number that is free is this one.
            if unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } == -1 {
                std::process::abort();
            }
        }
    }
    let ignored = signal::is_ignored(libc::SIGPIPE).unwrap_or(false);
    PIPE_IGNORED.store(u8::from(ignored), Ordering::Relaxed);
    // Of a signal that exists it cannot fail.
    let _ = signal::set_ignored(libc::SIGPIPE, true);
}

// SAFETY: the section holds pointers to functions that C start-up code calls with (argc, argv, envp);
// `settle` ignores its arguments, and needs nothing that the Rust runtime sets up.
#[unsafe(link_section = ".init_array")]
#[used]
static SETTLE: extern "C" fn() = settle;

/// Was this standard stream (0 to 2) closed when we were started?
pub(crate) fn was_closed(fd: i32) -> bool {
    (0..3).contains(&fd) && CLOSED.load(Ordering::Relaxed) & (1 << fd) != 0
}

/// Was `SIGPIPE` ignored when we were started?
pub(crate) fn pipe_was_ignored() -> bool {
    PIPE_IGNORED.load(Ordering::Relaxed) != 0
}
