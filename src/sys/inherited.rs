//! What this process was started with, before the Rust runtime changed it.
//!
//! Before `main`, Rust opens `/dev/null` on closed standard streams and ignores `SIGPIPE`. Both are good
//! for the launcher and wrong for the command, which must get what our caller gave us. So a function in
//! `.init_array`, which the C start-up code runs before the Rust runtime, writes down how it was.

use std::sync::atomic::{AtomicU8, Ordering};

use super::signal;

/// Bits 0 to 2: the standard stream of that number was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);
/// Was `SIGPIPE` ignored?
static PIPE_IGNORED: AtomicU8 = AtomicU8::new(0);

extern "C" fn remember() {
    for fd in 0..3 {
        // SAFETY: F_GETFD reads a flag of a descriptor and takes no pointer.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << fd, Ordering::Relaxed);
        }
    }
    let ignored = signal::is_ignored(libc::SIGPIPE).unwrap_or(false);
    PIPE_IGNORED.store(u8::from(ignored), Ordering::Relaxed);
}

// SAFETY: the section holds pointers to functions that C start-up code calls with (argc, argv, envp);
// `remember` ignores its arguments, and needs nothing that the Rust runtime sets up.
#[unsafe(link_section = ".init_array")]
#[used]
static REMEMBER: extern "C" fn() = remember;

/// Was this standard stream (0 to 2) closed when we were started?
pub(crate) fn was_closed(fd: i32) -> bool {
    (0..3).contains(&fd) && CLOSED.load(Ordering::Relaxed) & (1 << fd) != 0
}

/// Was `SIGPIPE` ignored when we were started?
pub(crate) fn pipe_was_ignored() -> bool {
    PIPE_IGNORED.load(Ordering::Relaxed) != 0
}
