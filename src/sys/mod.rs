//! The kernel's calls that no crate gives us in the form we need. **The only module with `unsafe`.**
//!
//! It knows nothing of profiles, policies or messages: numbers and structures in, numbers or an
//! [`Errno`] out. Functions marked *async-signal-safe* may be called between fork and exec: they
//! allocate nothing, lock nothing, and report through their return value alone.
#![allow(
    unsafe_code,
    reason = "this is the one place where it is allowed; every block says why it is sound"
)]

pub(crate) mod caps;
pub(crate) mod file;
// With musl's own heap a start takes nearly twice the time.
#[cfg(any(target_env = "musl", test))]
pub(crate) mod heap;
pub(crate) mod inherited;
pub(crate) mod listener;
pub(crate) mod process;
pub(crate) mod ptrace;
pub(crate) mod registers;
pub(crate) mod seccomp;
pub(crate) mod shared;
pub(crate) mod signal;
pub(crate) mod spawn;
#[cfg(all(target_env = "musl", target_arch = "x86_64"))]
mod start;
pub(crate) mod threads;
pub(crate) mod wait;

pub(crate) use nix::errno::Errno;

/// A process or thread id.
pub(crate) type Tid = libc::pid_t;

/// Numbers for variadic calls, which take each argument as a whole register: a plain `0` would be an `int`.
const ZERO: libc::c_ulong = 0;
const ONE: libc::c_ulong = 1;

/// Turns the C convention "-1 and errno" into a `Result`. Async-signal-safe.
fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result == -1 {
        Err(Errno::last())
    } else {
        Ok(result)
    }
}

/// The same for the calls that return an `int`. Async-signal-safe.
fn check_int(result: libc::c_int) -> Result<libc::c_int, Errno> {
    if result == -1 {
        Err(Errno::last())
    } else {
        Ok(result)
    }
}
