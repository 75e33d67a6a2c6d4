//! The binary: everything is in the library.
//!
//! With glibc, which hands the arguments to every function in `.init_array`, it starts without the Rust runtime. That
//! looks for the bounds of the stack in `/proc/self/maps`, to explain an overflow, which is 0.04 ms that a command waits
//! for. What else of it counts is in `sys::inherited` and at the end of `cli::main`.
#![cfg_attr(target_env = "gnu", no_main)]

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the one symbol that C start-up code calls")]
#[unsafe(no_mangle)]
extern "C" fn main(
    _argc: std::ffi::c_int,
    _argv: *const *const std::ffi::c_char,
) -> std::ffi::c_int {
    seccomp_run::cli::main().code().into()
}

#[cfg(not(target_env = "gnu"))]
fn main() -> seccomp_run::exit::Exit {
    seccomp_run::cli::main()
}
