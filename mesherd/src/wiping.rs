//! The program's allocator: the system's, but what is given back is wiped first.
//!
//! Secrets pass through buffers that are not ours to wipe: a parser's scratch space, a vector that grew and left its former
//! place behind. None of them stays in memory beyond its use, whoever's it was.

use std::alloc::{GlobalAlloc, Layout, System};

/// Wipes every block before the system gets it back.
pub(crate) struct Wiping;

// SAFETY: every block comes from the system's allocator and goes back to it with the layout it was made with; wiping touches
// the block's own bytes alone, before it goes back.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives up a block of this size, which nobody uses any more. Unlike a plain write before a release,
        // this one is never optimised away.
        unsafe { libc::explicit_bzero(block.cast(), layout.size()) };
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(block, layout) }
    }

    // `realloc` is the trait's own: a new block, a copy, and the former one is wiped.
}
