//! The heap of a program with musl: dlmalloc, which takes no lock as long as there is one thread.
//!
//! A start asks for memory a thousand times and ends soon after. What a lock costs, though nobody else is there, and
//! what each new page costs that is first written, a command waits for.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::{Allocator, Dlmalloc};

/// The heap of the process, as its allocator: for a binary, not for tests, whose threads nobody announces.
pub struct Heap;

static BLOCKS: Blocks = Blocks::new();

/// From here on threads that are started by the one that calls this may use the heap, too.
pub(super) fn share() {
    BLOCKS.share();
}

/// Gives back the pages that nobody uses.
pub(super) fn trim() {
    BLOCKS.trim();
}

// Each once: a program has thousands of places that ask for memory.
// SAFETY: what the blocks do.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { BLOCKS.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { BLOCKS.alloc_zeroed(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { BLOCKS.dealloc(block, layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { BLOCKS.realloc(block, layout, size) }
    }
}

/// The blocks of one thread, or of several that were announced.
struct Blocks {
    all: UnsafeCell<Dlmalloc<Pages>>,
    /// The one thread, by an address that no other has.
    owner: AtomicPtr<u8>,
    is_shared: AtomicBool,
    lock: Mutex<()>,
}

// SAFETY: the blocks are touched by `with` alone: by one thread, or under the lock.
unsafe impl Sync for Blocks {}

impl Blocks {
    const fn new() -> Self {
        Self {
            all: UnsafeCell::new(Dlmalloc::new_with_allocator(Pages)),
            owner: AtomicPtr::new(ptr::null_mut()),
            is_shared: AtomicBool::new(false),
            lock: Mutex::new(()),
        }
    }

    fn share(&self) {
        // Who may not use it may not share it either.
        self.with(|_| ());
        self.is_shared.store(true, Ordering::Relaxed);
    }

    fn trim(&self) {
        // SAFETY: what is in use stays.
        self.with(|blocks| unsafe { blocks.trim(0) });
    }

    /// Apart from what one thread does alone, so that it is not in its way.
    #[cold]
    fn locked(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the heap. A thread that was not announced ends the process: what it would break cannot be told.
    fn with<R>(&self, work: impl FnOnce(&mut Dlmalloc<Pages>) -> R) -> R {
        let is_shared = self.is_shared.load(Ordering::Relaxed);
        let _guard = is_shared.then(|| self.locked());
        if !is_shared {
            let this = this_thread();
            match self.owner.load(Ordering::Relaxed) {
                owner if owner == this => {}
                owner if owner.is_null() => self.owner.store(this, Ordering::Relaxed),
                _ => process::abort(),
            }
        }
        // SAFETY: nobody else is here. Who shares it has the lock; otherwise this is the only thread. `work` calls nothing
        // that comes back: `Pages` asks the kernel alone. (dlmalloc panics over a heap that is broken already.)
        work(unsafe { &mut *self.all.get() })
    }
}

/// An address that is this thread's own while it lives.
fn this_thread() -> *mut u8 {
    thread_local!(static PLACE: UnsafeCell<u8> = const { UnsafeCell::new(0) });
    PLACE.with(UnsafeCell::get)
}

// SAFETY: dlmalloc's methods ask for and promise the same as these, with the layout as size and alignment.
unsafe impl GlobalAlloc for Blocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.with(|blocks| unsafe { blocks.malloc(layout.size(), layout.align()) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.with(|blocks| unsafe { blocks.calloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        self.with(|blocks| unsafe { blocks.free(block, layout.size(), layout.align()) });
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.with(|blocks| unsafe { blocks.realloc(block, layout.size(), layout.align(), size) })
    }
}

/// Where the heap has its pages from: `mmap(2)`.
struct Pages;

/// What dlmalloc asks for at least, and what a start needs with a profile as Docker's own: nearly all of it. Mapped at once it
/// costs half of what it does page by page.
const USUAL: usize = 64 * 1024;

// SAFETY: new mappings are nobody else's, and each answer tells what the kernel did.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let at_once = if size <= USUAL { libc::MAP_POPULATE } else { 0 };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | at_once;
        // SAFETY: asks for new memory, wherever there is room.
        let pages = unsafe { libc::mmap(ptr::null_mut(), size, access, flags, -1, 0) };
        if pages == libc::MAP_FAILED {
            (ptr::null_mut(), 0, 0)
        } else {
            (pages.cast(), size, 0)
        }
    }

    fn remap(&self, pages: *mut u8, old: usize, new: usize, can_move: bool) -> *mut u8 {
        let flags = if can_move { libc::MREMAP_MAYMOVE } else { 0 };
        // SAFETY: dlmalloc's own pages, of which it knows where they are.
        let pages = unsafe { libc::mremap(pages.cast(), old, new, flags) };
        if pages == libc::MAP_FAILED {
            ptr::null_mut()
        } else {
            pages.cast()
        }
    }

    fn free_part(&self, pages: *mut u8, old: usize, new: usize) -> bool {
        self.free(pages.wrapping_add(new), old - new)
    }

    fn free(&self, pages: *mut u8, size: usize) -> bool {
        // SAFETY: dlmalloc's own pages, which it does not use any more.
        unsafe { libc::munmap(pages.cast(), size) == 0 }
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        4096
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::threads;
    use nix::sys::signal::Signal;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    /// A block with its layout, all of whose bytes are the mark.
    struct Block<'h, H: GlobalAlloc> {
        heap: &'h H,
        at: *mut u8,
        layout: Layout,
        mark: u8,
    }

    impl<'h, H: GlobalAlloc> Block<'h, H> {
        fn new(heap: &'h H, layout: Layout, mark: u8) -> Self {
            // SAFETY: the size is not 0.
            let at = unsafe { heap.alloc_zeroed(layout) };
            assert!(!at.is_null() && at.addr().is_multiple_of(layout.align()));
            let mut block = Self {
                heap,
                at,
                layout,
                mark: 0,
            };
            block.check();
            block.mark = mark;
            block.bytes().fill(mark);
            block
        }

        fn bytes(&mut self) -> &mut [u8] {
            // SAFETY: the block is initialised, as long as that, and known to nobody else.
            unsafe { std::slice::from_raw_parts_mut(self.at, self.layout.size()) }
        }

        fn check(&mut self) {
            let mark = self.mark;
            assert!(self.bytes().iter().all(|&byte| byte == mark));
        }

        /// Makes it as long as that, which is not longer.
        fn shrink(&mut self, size: usize) {
            // SAFETY: a block of this heap with its layout, and not 0.
            self.at = unsafe { self.heap.realloc(self.at, self.layout, size) };
            self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
            self.check();
        }

        /// Makes it longer.
        fn grow(&mut self, size: usize) {
            let old = self.layout.size();
            // SAFETY: a block of this heap with its layout, and not 0.
            self.at = unsafe { self.heap.realloc(self.at, self.layout, size) };
            self.check();
            self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
            let (at, mark) = (self.at, self.mark);
            // SAFETY: inside of the block, which is as long as that now.
            unsafe { at.wrapping_add(old).write_bytes(mark, size - old) };
        }
    }

    impl<H: GlobalAlloc> Drop for Block<'_, H> {
        fn drop(&mut self) {
            self.check();
            // SAFETY: a block of this heap with its layout.
            unsafe { self.heap.dealloc(self.at, self.layout) };
        }
    }

    /// Some thousand blocks of all sizes, kept, grown, shrunk and given back in turns, each found as it was left.
    fn churn(heap: &impl GlobalAlloc, mut seed: u64) {
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(seed >> 33).unwrap() % below
        };
        let mut blocks = Vec::new();
        for turn in 0_u16..4000 {
            let size = 1 + random(if turn % 50 == 0 { 100_000 } else { 300 });
            let layout = Layout::from_size_align(size, 1 << random(8)).unwrap();
            let [_, mark] = turn.to_be_bytes();
            blocks.push(Block::new(heap, layout, mark));
            if blocks.len() > 100 {
                let mut block = blocks.swap_remove(random(100));
                let size = block.layout.size();
                block.grow(size + 1 + random(size));
                block.shrink(1 + random(size));
                blocks.push(block);
                blocks.swap_remove(random(100));
            }
        }
    }

    #[test]
    fn blocks_stay_as_they_were_left_by_one_thread_and_by_several() {
        churn(&Blocks::new(), 1);
        share();
        std::thread::scope(|scope| {
            let churns = [2, 3, 4].map(|seed| {
                let started = threads::named("churn").spawn_scoped(scope, move || {
                    churn(&Heap, seed);
                    trim();
                });
                started.unwrap()
            });
            for thread in churns {
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn blocks_from_before_are_given_back_by_another_thread() {
        let blocks = Blocks::new();
        let layout = Layout::from_size_align(300, 8).unwrap();
        let before: Vec<usize> = (0..100)
            // SAFETY: the size is not 0.
            .map(|_| unsafe { blocks.alloc(layout) }.expose_provenance())
            .collect();
        blocks.share();
        std::thread::scope(|scope| {
            let other = threads::named("other").spawn_scoped(scope, || {
                for at in before {
                    // SAFETY: a block of this heap with its layout, which nobody else has.
                    unsafe { blocks.dealloc(ptr::with_exposed_provenance_mut(at), layout) };
                }
                churn(&blocks, 6);
            });
            churn(&blocks, 7);
            other.unwrap().join().unwrap();
        });
    }

    #[test]
    fn a_thread_that_was_not_announced_ends_the_process() {
        for work in [Blocks::trim, Blocks::share] {
            let blocks = Blocks::new();
            blocks.trim();
            // SAFETY: the child touches these blocks alone, whose lock nobody has, and ends.
            let ForkResult::Parent { child } = unsafe { fork() }.unwrap() else {
                // Another thread's place.
                blocks.owner.store(ptr::dangling_mut(), Ordering::Relaxed);
                work(&blocks);
                // SAFETY: ends the process.
                unsafe { libc::_exit(0) }
            };
            let ended = waitpid(child, None).unwrap();
            assert!(matches!(ended, WaitStatus::Signaled(_, Signal::SIGABRT, _)));
        }
    }
}
