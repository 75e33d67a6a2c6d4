//! Memory that a process shares with those that it forks, and waiting for a word of it: `mmap(2)`, `futex(2)`.

use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::{Errno, check};

/// A value in memory that a fork does not copy. It stays until the process ends.
#[derive(Debug)]
pub(crate) struct Shared<T: Sync + 'static>(&'static T);

impl<T: Sync> Shared<T> {
    /// Moves a value there.
    pub(crate) fn new(value: T) -> Result<Self, Errno> {
        const { assert!(align_of::<T>() <= 4096, "a mapping begins at a page") }
        let (access, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        );
        // SAFETY: asks for new memory, wherever there is room.
        let at = unsafe { libc::mmap(ptr::null_mut(), size_of::<T>(), access, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let at = NonNull::new(at.cast::<T>()).ok_or(Errno::ENOMEM)?;
        // SAFETY: new memory that is large enough, aligned to a page, and nobody else's.
        unsafe { at.write(value) };
        // SAFETY: it was initialised just now, is only ever shared, and never unmapped.
        Ok(Self(unsafe { at.as_ref() }))
    }
}

impl<T: Sync> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}

/// Waits until a word in shared memory is `value`. Returns whether it is, when the time is over.
pub(crate) fn wait_for(word: &AtomicU32, value: u32, by: Instant) -> bool {
    loop {
        let now = word.load(Ordering::Acquire);
        let left = by.saturating_duration_since(Instant::now());
        if now == value || left.is_zero() {
            return now == value;
        }
        let limit = libc::timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i32::MAX.into()),
            tv_nsec: left.subsec_nanos().into(),
        };
        // SAFETY: the word and the limit outlive the call. Whatever it returns, the word is read again.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAIT,
                now,
                &raw const limit,
            )
        };
    }
}

/// Sets a word in shared memory, and wakes who waits for it.
pub(crate) fn announce(word: &AtomicU32, value: u32) -> Result<(), Errno> {
    word.store(value, Ordering::Release);
    // SAFETY: the word outlives the call, which only looks for sleepers by its address.
    check(unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::threads;
    use std::time::Duration;

    #[test]
    fn a_word_is_waited_for_and_not_longer_than_it_may_take() {
        let word = Shared::new(AtomicU32::new(1)).unwrap();
        let soon = || Instant::now() + Duration::from_millis(20);
        assert!(wait_for(&word, 1, Instant::now()));
        assert!(!wait_for(&word, 2, soon()));
        std::thread::scope(|scope| {
            let announcing = threads::named("announcing").spawn_scoped(scope, || {
                std::thread::sleep(Duration::from_millis(20));
                announce(&word, 2).unwrap();
            });
            announcing.unwrap();
            assert!(wait_for(&word, 2, Instant::now() + Duration::from_secs(60)));
        });
    }
}
