//! Bytes in the shared file, which another process may be writing.

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::query::{Query, fold};

/// Bytes in the shared file: a name or a list of addresses.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    words: &'a [AtomicU32],
    /// Bytes before the first one that counts.
    skip: usize,
    len: usize,
}

impl<'a> Shared<'a> {
    /// The first `len` bytes of these words.
    #[inline]
    pub(crate) fn new(words: &'a [AtomicU32], len: usize) -> Self {
        Self { words, skip: 0, len }
    }

    /// How many bytes there are.
    #[inline]
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The bytes, in order.
    pub fn bytes(self) -> impl Iterator<Item = u8> + 'a {
        let bytes = self.words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes());
        bytes.skip(self.skip).take(self.len)
    }

    /// Everything but the first byte: the domain of a wildcard with its dot. The bytes then start inside a word, so only
    /// [`bytes`](Self::bytes) and [`copy_to`](Self::copy_to) serve it.
    pub fn skip_first(self) -> Self {
        Self { skip: 1, len: self.len.saturating_sub(1), ..self }
    }

    /// Copies the bytes out, as many as fit.
    #[inline]
    pub fn copy_to(self, to: &mut [MaybeUninit<u8>]) {
        let len = self.len.min(to.len());
        let Some(to) = to.get_mut(..len) else { return };
        if self.skip != 0 {
            return self.copy_bytes(to);
        }
        let (whole, rest) = to.as_chunks_mut::<4>();
        let (words, last) = self.words.split_at_checked(whole.len()).unwrap_or((self.words, &[]));
        for (to, word) in whole.iter_mut().zip(words) {
            *to = word.load(Ordering::Relaxed).to_ne_bytes().map(MaybeUninit::new);
        }
        if let Some(word) = last.first() {
            for (to, byte) in rest.iter_mut().zip(word.load(Ordering::Relaxed).to_ne_bytes()) {
                *to = MaybeUninit::new(byte);
            }
        }
    }

    #[cold]
    fn copy_bytes(self, to: &mut [MaybeUninit<u8>]) {
        for (to, byte) in to.iter_mut().zip(self.bytes()) {
            *to = MaybeUninit::new(byte);
        }
    }

    /// As [`copy_to`](Self::copy_to), over bytes that have a value already.
    pub fn copy_into(self, to: &mut [u8]) {
        // SAFETY: the two types have the same layout, and `copy_to` only writes initialised bytes.
        self.copy_to(unsafe { &mut *(core::ptr::from_mut(to) as *mut [MaybeUninit<u8>]) });
    }

    /// Whether these bytes are the query's name, but for case.
    #[inline]
    pub(crate) fn is(self, query: &Query) -> bool {
        if self.len != query.len() {
            return false;
        }
        let (pairs, rest) = self.words.as_chunks::<2>();
        let Some((asked, after)) = query.words().split_at_checked(pairs.len()) else { return false };
        let equal = |[a, b]: [u32; 2], asked: &u64| {
            let word = u64::from_ne_bytes(
                *[a.to_ne_bytes(), b.to_ne_bytes()].as_flattened().first_chunk().unwrap_or(&[0; 8]),
            );
            // Most names are spelt as they are asked for.
            word == *asked || fold(word) == *asked
        };
        for (pair, asked) in pairs.iter().zip(asked) {
            if !equal(pair.each_ref().map(|word| word.load(Ordering::Relaxed)), asked) {
                return false;
            }
        }
        match (rest.first(), after.first()) {
            (Some(last), Some(asked)) => equal([last.load(Ordering::Relaxed), 0], asked),
            (last, _) => last.is_none(),
        }
    }
}
