//! Threads, of which the heap must know before they are started.

use std::thread;

/// A thread to be started. There is no other way to one: see `clippy.toml`.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that may, because it announces them"
)]
pub(crate) fn named(name: &str) -> thread::Builder {
    #[cfg(target_env = "musl")]
    super::heap::share();
    thread::Builder::new().name(name.into())
}
