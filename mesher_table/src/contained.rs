//! The domains whose names go no further: a lookup that this table cannot answer ends there.

use core::sync::atomic::Ordering;

use crate::format::{D_CONTAIN, D_CONTAIN_LEN, MAX_CONTAIN, words_for};
use crate::query::Query;
use crate::snapshot::Snapshot;
use crate::table::Damage;

impl Snapshot<'_> {
    /// Whether a name this table does not hold ends the lookup: it is one of the contained domains, or below one.
    #[inline]
    pub fn contains(&self, query: &Query) -> Result<bool, Damage> {
        let count = self.word(D_CONTAIN_LEN);
        if count == 0 { Ok(false) } else { self.is_below(query, count) }
    }

    /// Each domain is a word with its length in bytes and then its folded bytes.
    #[cold]
    fn is_below(&self, query: &Query, count: u32) -> Result<bool, Damage> {
        let mut at = self.word(D_CONTAIN) as usize;
        for _ in 0..(count as usize).min(MAX_CONTAIN) {
            let len = self.load(at)? as usize & 0xff;
            at = at.wrapping_add(1);
            let words = self.arena.get(at..).and_then(|rest| rest.get(..words_for(len))).ok_or(Damage)?;
            at = at.wrapping_add(words.len());
            if let Some(before) = query.len().checked_sub(len) {
                let domain = words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes());
                let at_label = before == 0 || query.byte(before.wrapping_sub(1)) == b'.';
                if len > 0 && at_label && query.bytes().skip(before).eq(domain.take(len)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The contained domains, as bytes.
    #[cfg(feature = "std")]
    pub(crate) fn contained(&self) -> Result<Vec<Vec<u8>>, Damage> {
        let mut at = self.word(D_CONTAIN) as usize;
        let mut domains = Vec::new();
        for _ in 0..(self.word(D_CONTAIN_LEN) as usize).min(MAX_CONTAIN) {
            let len = self.load(at)? as usize & 0xff;
            let mut domain = Vec::new();
            for word in 0..words_for(len) {
                let bytes = self.load(at.wrapping_add(1).wrapping_add(word))?.to_ne_bytes();
                domain.extend_from_slice(&bytes);
            }
            domain.truncate(len);
            domains.push(domain);
            at = at.wrapping_add(1).wrapping_add(words_for(len));
        }
        Ok(domains)
    }
}
