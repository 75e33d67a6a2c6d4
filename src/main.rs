//! The binary: everything is in the library.
//!
//! It starts without the Rust runtime. That looks for the bounds of the stack and makes one for signals, to explain an
//! overflow, which is 0.04 ms that a command waits for. What else of it counts is in `sys::inherited` and at the end of
//! `cli::main`.
#![no_main]

use std::ffi::{c_char, c_int};

use seccomp_run::cli::{self, Arguments};

#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: cli::Heap = cli::Heap;

#[expect(unsafe_code, reason = "the one symbol that C start-up code calls")]
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, first: *mut *mut c_char) -> c_int {
    // SAFETY: C start-up code hands over the arguments of the process.
    let arguments = unsafe { Arguments::of_main(count, first) };
    cli::main(&arguments).code().into()
}
