//! What this process was started with, and what the launcher changes about it for itself.
//!
//! A file that is opened must not become a standard stream, so `/dev/null` takes the place of closed ones; and a reader
//! that has gone is an error to report, so `SIGPIPE` is ignored. Both are wrong for the command, which must get what our
//! caller gave us. The Rust runtime does both without a word of how it was, and not in our binary, which starts without
//! it. So a function in `.init_array`, which the C start-up code runs before any runtime, writes down how it was and
//! does both.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use std::{ptr, slice};

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

// SAFETY: the section holds pointers to functions that C start-up code calls, with arguments or without. `settle` uses
// none, and needs nothing that the Rust runtime sets up.
#[unsafe(link_section = ".init_array")]
#[used]
static SETTLE: extern "C" fn() = settle;

/// How many arguments there are, and where; none before [`Arguments::of_main`].
static COUNT: AtomicUsize = AtomicUsize::new(0);
static FIRST: AtomicPtr<*mut c_char> = AtomicPtr::new(ptr::null_mut());

/// The arguments of this process. The Rust runtime would know them.
#[derive(Debug)]
pub struct Arguments(&'static [*mut c_char]);

impl Arguments {
    /// Those that `main` gets.
    ///
    /// # Safety
    /// They are those: an array of C strings that the kernel laid out, and nobody changes.
    pub unsafe fn of_main(count: c_int, first: *mut *mut c_char) -> Self {
        COUNT.store(usize::try_from(count).unwrap_or(0), Ordering::Relaxed);
        FIRST.store(first, Ordering::Relaxed);
        Self(pointers())
    }

    /// The words, the program's own name among them.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let words = self.0.iter().map(|&word| {
            // SAFETY: a C string, by the promise to `of_main`.
            let word = unsafe { CStr::from_ptr(word) };
            OsStr::from_bytes(word.to_bytes()).to_owned()
        });
        words.collect()
    }
}

fn pointers() -> &'static [*mut c_char] {
    let first = FIRST.load(Ordering::Relaxed);
    if first.is_null() {
        return &[];
    }
    // SAFETY: there are so many, by the promise to `of_main`.
    unsafe { slice::from_raw_parts(first, COUNT.load(Ordering::Relaxed)) }
}

/// Writes a title over the arguments, where others look for them (`ps -f`), as far as there is room.
///
/// Nobody may ask for the arguments any more.
pub(crate) fn set_title(title: &[u8]) {
    let (Some(&first), Some(&last)) = (pointers().first(), pointers().last()) else {
        return;
    };
    // SAFETY: a C string.
    let end = last.addr() + unsafe { libc::strlen(last) };
    let room = end.saturating_sub(first.addr());
    // SAFETY: the kernel puts one after the other. So from the first to the end of the last is one piece of the stack,
    // which this process may write, and which nothing reads any more.
    let room = unsafe { slice::from_raw_parts_mut(first.cast::<u8>(), room) };
    room.fill(0);
    for (to, from) in room.iter_mut().zip(title) {
        *to = *from;
    }
}

/// Was this standard stream (0 to 2) closed when we were started?
pub(crate) fn was_closed(fd: i32) -> bool {
    (0..3).contains(&fd) && CLOSED.load(Ordering::Relaxed) & (1 << fd) != 0
}

/// Was `SIGPIPE` ignored when we were started?
pub(crate) fn pipe_was_ignored() -> bool {
    PIPE_IGNORED.load(Ordering::Relaxed) != 0
}
