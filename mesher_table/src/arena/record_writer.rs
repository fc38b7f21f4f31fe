//! Writing one record.

use super::word;
use crate::contents::{ContentsError, Entry};
use crate::format::{COUNT_BITS, F_ALIASES_FOLLOW, F_SCOPED, F_WILDCARD};

/// Writes words one after the other.
pub(super) struct RecordWriter<'a> {
    pub(super) words: &'a mut [u32],
    /// Where the next word goes.
    pub(super) at: usize,
}

impl RecordWriter<'_> {
    pub(super) fn head(
        &mut self,
        entry: &Entry,
        canonical: &str,
        aliases_follow: bool,
    ) -> Result<(), ContentsError> {
        let ttl_s = u16::try_from(entry.ttl_s).unwrap_or(u16::MAX);
        self.word(word(entry.name.len())? | word(canonical.len())? << 8 | u32::from(ttl_s) << 16);
        let flag = |set, flag| if set { flag } else { 0 };
        self.word(
            word(entry.v4.len())?
                | word(entry.v6.len())? << COUNT_BITS
                | flag(entry.is_scoped(), F_SCOPED)
                | flag(aliases_follow, F_ALIASES_FOLLOW)
                | flag(entry.is_wildcard(), F_WILDCARD),
        );
        Ok(())
    }

    pub(super) fn word(&mut self, value: u32) {
        self.words[self.at] = value;
        self.at += 1;
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<4>();
        whole.iter().for_each(|bytes| self.word(u32::from_ne_bytes(*bytes)));
        if !rest.is_empty() {
            let mut last = [0; 4];
            last[..rest.len()].copy_from_slice(rest);
            self.word(u32::from_ne_bytes(last));
        }
    }
}
