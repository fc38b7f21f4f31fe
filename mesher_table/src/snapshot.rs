//! One arena as a reader finds it, and the records in it in order.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::format::{
    D_GENERATION, D_RECORD_COUNT, D_RECORDS, D_RECORDS_END, D_SEAL, D_USED, DIRECTORY_WORDS, MAX_ALIASES,
    SEAL,
};
use crate::query::Query;
use crate::record::Record;
use crate::table::Damage;

/// One arena as a reader finds it; valid only inside [`Table::read`](crate::Table::read).
#[derive(Clone, Copy)]
pub struct Snapshot<'a> {
    pub(crate) arena: &'a [AtomicU32],
    directory: &'a [AtomicU32; DIRECTORY_WORDS],
    publication: u32,
}

/// Records one after the other, in order: by canonical name, each followed by its aliases.
#[derive(Clone)]
pub struct Records<'a> {
    arena: &'a [AtomicU32],
    at: usize,
    end: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Damage>;

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let record = Record::parse(self.arena, self.at, self.end);
        // A record is never empty, so this ends; after damage nothing can be said about the rest.
        self.at = record.as_ref().map_or(self.end, Record::next);
        Some(record)
    }
}

impl<'a> Snapshot<'a> {
    #[inline]
    pub(crate) fn new(arena: &'a [AtomicU32], publication: u32) -> Result<Self, Damage> {
        let directory = arena.first_chunk::<DIRECTORY_WORDS>().ok_or(Damage)?;
        let this = Self { arena, directory, publication };
        if this.word(D_SEAL) ^ SEAL == publication { Ok(this) } else { Err(Damage) }
    }

    #[inline]
    pub(crate) fn word(&self, at: usize) -> u32 {
        self.directory.get(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn two_words(&self, at: usize) -> u64 {
        u64::from(self.word(at)) | u64::from(self.word(at.wrapping_add(1))) << 32
    }

    #[inline]
    pub(crate) fn load(&self, at: usize) -> Result<u32, Damage> {
        self.arena.get(at).map(|word| word.load(Ordering::Relaxed)).ok_or(Damage)
    }

    #[inline]
    pub(crate) fn record(&self, at: u32) -> Result<Record<'a>, Damage> {
        Record::parse(self.arena, at as usize, self.word(D_RECORDS_END) as usize)
    }

    /// The publication looked at.
    pub fn publication(&self) -> u32 {
        self.publication
    }

    /// How many times the table's contents were published, over all files.
    pub fn generation(&self) -> u64 {
        self.two_words(D_GENERATION)
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> usize {
        (self.word(D_USED) as usize).saturating_mul(4)
    }

    /// Words of the arena, used or not.
    pub fn len_words(&self) -> usize {
        self.arena.len()
    }

    /// How many records there are.
    pub fn record_count(&self) -> usize {
        self.word(D_RECORD_COUNT) as usize
    }

    /// All records, in order.
    pub fn records(&self) -> Records<'a> {
        self.records_from(self.word(D_RECORDS) as usize)
    }

    /// The records from this place on, in order; the place is one that [`Record::at`] gave for this publication.
    pub fn records_from(&self, at: usize) -> Records<'a> {
        // A foreign place gives damage or nonsense, never a wild read.
        Records { arena: self.arena, at, end: self.word(D_RECORDS_END) as usize }
    }

    /// The record of this name, which lay at `at` when it was last seen.
    pub fn record_named(&self, at: usize, query: &Query) -> Result<Option<Record<'a>>, Damage> {
        match self.records_from(at).next() {
            Some(Ok(record)) if record.name().is(query) => Ok(Some(record)),
            _ => self.find_exact(query),
        }
    }

    /// The records after this one.
    pub fn records_after(&self, record: &Record<'a>) -> Records<'a> {
        self.records_from(record.next())
    }

    /// The aliases of a canonical name's record.
    #[inline]
    pub fn aliases(&self, record: &Record<'a>) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let mut records = self.records_after(record);
        if !record.aliases_follow() {
            records.at = records.end;
        }
        records.map_while(Result::ok).take_while(Record::is_alias).take(MAX_ALIASES)
    }
}
