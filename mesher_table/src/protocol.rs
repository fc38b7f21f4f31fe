//! The publication protocol: who writes which word in which order.
//!
//! The file has two arenas. Publication *n* lies in arena `n & 1`. Two words of the header count publications:
//! `seq` those begun, `active` those finished. So at rest both are equal, and while a publication is written, or
//! after its writer was killed, `seq` is one ahead.
//!
//! The writer begins publication `active + 1` by storing it in `seq`, then writes the arena that is not active, then
//! stores it in `active`. A reader loads `active`, reads that arena, and then loads `seq`: publication `active + 1`
//! goes to the other arena and harms nobody; `active + 2` is the first to overwrite what was read. So the answer is
//! whole exactly if `seq - active` is still below two. The fences make that true on every machine: a reader that saw one
//! word of publication `active + 2` also sees its `seq`.
//!
//! One look at a counter decides, a reader never waits for a writer, and a writer killed at any instruction leaves
//! the active arena whole. A reader that sleeps through exactly 2^32 publications is fooled; at a thousand a second
//! those take 49 days.
//!
//! The functions are written over [`Memory`], so that the model checker runs the very code the daemon and the module run.

use core::sync::atomic::{AtomicU32, Ordering, fence};

use crate::format::{H_ACTIVE, H_SEQ, HEADER_WORDS};

/// Words shared between one writer and its readers. A word outside the memory reads as 0 and swallows stores; the
/// callers check sizes before they come here.
pub trait Memory {
    /// Relaxed load.
    fn load(&self, word: usize) -> u32;
    /// Relaxed store. Only the writer calls it.
    fn store(&self, word: usize, value: u32);
    /// Acquire fence.
    fn acquire(&self);
    /// Release fence.
    fn release(&self);
}

/// The header alone, as a reader has it: every place in it is known to be there when the code is compiled.
impl Memory for [AtomicU32; HEADER_WORDS] {
    #[inline]
    fn load(&self, word: usize) -> u32 {
        self.as_slice().load(word)
    }

    #[inline]
    fn store(&self, word: usize, value: u32) {
        self.as_slice().store(word, value);
    }

    #[inline]
    fn acquire(&self) {
        self.as_slice().acquire();
    }

    #[inline]
    fn release(&self) {
        self.as_slice().release();
    }
}

impl Memory for [AtomicU32] {
    #[inline]
    fn load(&self, word: usize) -> u32 {
        self.get(word).map_or(0, |shared| shared.load(Ordering::Relaxed))
    }

    #[inline]
    fn store(&self, word: usize, value: u32) {
        if let Some(shared) = self.get(word) {
            shared.store(value, Ordering::Relaxed);
        }
    }

    #[inline]
    fn acquire(&self) {
        fence(Ordering::Acquire);
    }

    #[inline]
    fn release(&self) {
        fence(Ordering::Release);
    }
}

/// Attempts a reader makes before it answers that the table is busy. Each failure means that at least one more publication
/// was begun since the attempt before.
pub const ATTEMPTS: u32 = 16;

/// Whether a publication lies in the first arena.
#[inline]
pub fn is_even(publication: u32) -> bool {
    publication & 1 == 0
}

/// Where a publication's arena starts.
#[inline]
pub fn arena_of(publication: u32, arena_words: usize) -> usize {
    if is_even(publication) { HEADER_WORDS } else { HEADER_WORDS.wrapping_add(arena_words) }
}

/// Runs `look` with the active publication's number, until it ran on an arena that nobody overwrote meanwhile.
/// What `look` returned on a torn arena is dropped unseen. `None` after [`ATTEMPTS`] attempts.
#[inline]
pub fn read<M: Memory + ?Sized, R>(memory: &M, mut look: impl FnMut(u32) -> R) -> Option<R> {
    for _ in 0..ATTEMPTS {
        let active = memory.load(H_ACTIVE);
        memory.acquire();
        let found = look(active);
        memory.acquire();
        if memory.load(H_SEQ).wrapping_sub(active) < 2 {
            return Some(found);
        }
        // With the writer's first fence: having seen a later `seq`, the next attempt also sees the `active` before it.
        memory.acquire();
        core::hint::spin_loop();
    }
    None
}

/// Publishes: `write` gets the publication's number and fills its arena. Returns the number.
///
/// A publication begun by a writer that was killed is begun again under the same number: its arena was never active.
pub fn publish<M: Memory + ?Sized>(memory: &M, write: impl FnOnce(u32)) -> u32 {
    let publication = memory.load(H_ACTIVE).wrapping_add(1);
    memory.release();
    memory.store(H_SEQ, publication);
    memory.release();
    write(publication);
    memory.release();
    memory.store(H_ACTIVE, publication);
    publication
}
