//! A name made ready to be looked up, and the hash of names.

use core::mem::MaybeUninit;

use crate::format::MAX_NAME;

/// A host name, folded to lower case, in words of eight bytes. Only as many words as the name needs are ever written:
/// clearing the others would cost more than the rest of a lookup's preparation.
#[derive(Clone)]
pub struct Query {
    words: [MaybeUninit<u64>; WORDS],
    len: usize,
}

/// Words a query has room for.
const WORDS: usize = CAPACITY / 8;

/// Bytes a query keeps, a multiple of eight.
const CAPACITY: usize = 256;

/// Folds the ASCII capitals among eight bytes; all other bytes stay.
#[inline]
pub(crate) const fn fold(bytes: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Per byte, without carries into the next: the high bit of `seven + (0x80 - c)` says whether the byte is ≥ c.
    let seven = bytes & (0x7f * ONES);
    let from_a = seven.wrapping_add((0x80 - 0x41) * ONES);
    let past_z = seven.wrapping_add((0x80 - 0x5b) * ONES);
    let capital = (from_a ^ past_z) & !bytes & (0x80 * ONES);
    bytes | (capital >> 2)
}

impl Query {
    /// An empty query, to be [set](Self::set). It matches nothing.
    #[inline]
    pub const fn empty() -> Self {
        Self { words: [const { MaybeUninit::uninit() }; WORDS], len: 0 }
    }

    /// A name as it was typed; see [`set`](Self::set).
    #[inline]
    pub fn new(name: &[u8]) -> Option<Self> {
        let mut query = Self::empty();
        query.set(name).then_some(query)
    }

    /// Takes a name as it was typed: one trailing dot is dropped, ASCII case is folded. False, and no query, if nothing is
    /// left, or more than 253 bytes: no table holds such a name.
    #[inline]
    pub fn set(&mut self, name: &[u8]) -> bool {
        let name = match name {
            [rest @ .., b'.'] => rest,
            all => all,
        };
        if name.is_empty() || name.len() > MAX_NAME {
            return false;
        }
        self.fill(name);
        true
    }

    #[inline(never)]
    fn fill(&mut self, name: &[u8]) {
        let (whole, rest) = name.as_chunks::<8>();
        let Some((words, after)) = self.words.split_at_mut_checked(whole.len()) else { return };
        self.len = name.len();
        for (bytes, word) in whole.iter().zip(words) {
            word.write(fold(u64::from_ne_bytes(*bytes)));
        }
        let last = if rest.is_empty() {
            0
        } else if let Some(end) = name.last_chunk::<8>() {
            // The last eight bytes at once, without those that came before.
            let unwanted = 8_u32.wrapping_mul(8_u32.wrapping_sub(u32::try_from(rest.len()).unwrap_or(8)));
            u64::from_le_bytes(*end).checked_shr(unwanted).unwrap_or(0)
        } else {
            rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        // One more, so that sixteen bytes can be taken at a time.
        let last = fold(u64::from_ne_bytes(last.to_le_bytes()));
        for (word, value) in after.iter_mut().zip([last, 0]) {
            word.write(value);
        }
    }

    /// The words that have been written and count: the name's, and zeros up to a multiple of sixteen bytes.
    #[inline]
    pub(crate) fn words(&self) -> &[u64] {
        let count = (self.len.wrapping_add(15) >> 4).wrapping_mul(2);
        let words = self.words.get(..count).unwrap_or_default();
        // SAFETY: `fill` has written a word for each whole eight bytes of the name and two more, which are at least
        // as many as these; an empty query has none.
        unsafe { &*(core::ptr::from_ref(words) as *const [u64]) }
    }

    /// Bytes in the name.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: an empty name is no query.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The folded byte at `at`; 0 behind the name.
    #[inline]
    pub(crate) fn byte(&self, at: usize) -> u8 {
        let word = self.words().get(at >> 3).copied().unwrap_or(0);
        word.to_ne_bytes().get(at & 7).copied().unwrap_or(0)
    }

    /// The name's folded bytes.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        (0..self.len).map(|at| self.byte(at))
    }

    /// The wildcard that covers this name with the label before the dot at `dot`: `*` and everything from that dot.
    pub(crate) fn wildcard(&self, dot: usize) -> Self {
        let mut bytes = [0; CAPACITY];
        let len = self.len.saturating_sub(dot);
        for (to, from) in bytes.iter_mut().skip(1).zip(self.bytes().skip(dot)) {
            *to = from;
        }
        if let Some(first) = bytes.first_mut() {
            *first = b'*';
        }
        let mut query = Self::empty();
        query.fill(bytes.get(..len.saturating_add(1)).unwrap_or(b"*"));
        query
    }

    /// Whether this is a host name: labels of 1 to 63 letters, digits, `-` and `_`.
    pub(crate) fn is_host_name(&self) -> bool {
        let mut label = 0_u32;
        for byte in self.bytes() {
            match byte {
                b'.' if label > 0 => label = 0,
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' if label < 63 => label = label.saturating_add(1),
                _ => return false,
            }
        }
        label > 0
    }

    /// The name's hash under the table's seed.
    ///
    /// Sixteen bytes a round, each a 64 × 64 bit product folded in half. The seed is secret and new with every
    /// publication, so nobody can choose names that share a bucket; the constants contain bytes that no name has, so
    /// no name turns a product to zero.
    #[inline]
    pub fn hash(&self, seed: u64) -> u64 {
        let mut hash = seed ^ (self.len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for [a, b] in self.words().as_chunks::<2>().0 {
            hash = multiply(a ^ hash, b ^ 0xe703_7ed1_a0b4_28db);
        }
        multiply(hash ^ 0x8ebc_6af0_9c88_c6e3, 0xa076_1d64_95b1_7f23)
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the two halves of a product are taken apart")]
fn multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::{Query, fold};

    #[test]
    fn folding_changes_capitals_only() {
        for byte in 0..=255_u8 {
            let folded = fold(u64::from_ne_bytes([byte, b'Z', byte, b'a', byte, 0xff, byte, 0]));
            let low = byte.to_ascii_lowercase();
            assert_eq!(folded.to_ne_bytes(), [low, b'z', low, b'a', low, 0xff, low, 0], "byte {byte:#x}");
        }
    }

    #[test]
    fn one_trailing_dot_is_dropped_and_lengths_are_bounded() {
        assert_eq!(Query::new(b"Earth.sol.").map(|q| q.bytes().collect::<Vec<_>>()).as_deref(), Some(&b"earth.sol"[..]));
        assert!(Query::new(b"").is_none());
        assert!(Query::new(b".").is_none());
        assert!(Query::new(&[b'a'; 253]).is_some());
        assert!(Query::new(&[b'a'; 254]).is_none());
        let mut dotted = [b'a'; 254];
        dotted[253] = b'.';
        assert!(Query::new(&dotted).is_some());
    }

    #[test]
    fn equal_names_have_equal_hashes_and_others_do_not() {
        let hash = |name: &[u8]| Query::new(name).expect("a name").hash(7);
        assert_eq!(hash(b"EARTH.sol"), hash(b"earth.Sol."));
        let mut seen = std::collections::HashSet::new();
        for len in 1..=253 {
            for fill in [b'a', b'b', b'0', 0xff] {
                assert!(seen.insert(hash(&vec![fill; len]) & 0xffff_ffff), "{len} × {fill}");
            }
        }
    }

    #[test]
    fn a_wildcard_replaces_everything_before_a_dot() {
        let query = Query::new(b"a.B.earth.sol").expect("a name");
        let wild = query.wildcard(3);
        assert_eq!(wild.bytes().collect::<Vec<_>>(), b"*.earth.sol");
        assert!(query.is_host_name());
        assert!(!wild.is_host_name());
        assert!(!Query::new(b"a..sol").expect("bytes").is_host_name());
        assert!(!Query::new(b"\xc3\xa4.sol").expect("bytes").is_host_name());
        assert!(!Query::new(&[b'a'; 64]).expect("bytes").is_host_name());
    }
}
