//! Lookups in one arena.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::format::{
    BUCKET_SLOTS, D_BUCKETS, D_CONTAIN, D_CONTAIN_LEN, D_GENERATION, D_INDEX, D_PROBE, D_RECORD_COUNT,
    D_RECORDS, D_RECORDS_END, D_SEAL, D_SEED,
    D_USED, D_WILD, DIRECTORY_WORDS, LINE_WORDS, MAX_ALIASES, MAX_CONTAIN, MAX_PROBE, SEAL, words_for,
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

/// What the table says of a name.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The record that answers.
    pub record: Record<'a>,
    /// If it is a wildcard's: how many bytes of the query stand before the wildcard's domain, its dot not counted.
    pub wildcard: Option<usize>,
}

/// What a search of the index found, small enough to be handed over in a register: records handed over in memory cost a
/// lookup more than finding them.
#[derive(Clone, Copy)]
struct Place {
    /// Where the record lies. 0 is none, because the directory lies there; [`u32::MAX`] lies outside every arena.
    at: u32,
    /// For a wildcard, how many bytes of the query stand before its domain.
    before: u32,
}

impl Place {
    const EXACT: u32 = u32::MAX;
    const NONE: Self = Self { at: 0, before: Self::EXACT };
    const DAMAGE: Self = Self { at: u32::MAX, before: Self::EXACT };
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
    fn two_words(&self, at: usize) -> u64 {
        u64::from(self.word(at)) | u64::from(self.word(at.wrapping_add(1))) << 32
    }

    #[inline]
    fn load(&self, at: usize) -> Result<u32, Damage> {
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

    /// Finds the record of exactly this name.
    pub fn find_exact(&self, query: &Query) -> Result<Option<Record<'a>>, Damage> {
        Ok(self.answer(self.place_of(query))?.map(|answer| answer.record))
    }

    /// Where the record of exactly this name lies.
    #[inline(never)]
    fn place_of(&self, query: &Query) -> Place {
        let buckets = self.word(D_BUCKETS);
        if buckets == 0 {
            return Place::NONE;
        }
        let (mut bucket, tag) = slot_of(query.hash(self.two_words(D_SEED)), buckets);
        let end = self.word(D_RECORDS_END) as usize;
        let Some(index) = self.arena.get(self.word(D_INDEX) as usize..) else { return Place::DAMAGE };
        for _ in 0..(self.word(D_PROBE) as usize).min(MAX_PROBE) {
            let start = (bucket as usize).wrapping_mul(LINE_WORDS);
            let Some(line) = index.get(start..).and_then(<[_]>::first_chunk::<LINE_WORDS>) else {
                return Place::DAMAGE;
            };
            let (tags, places) = line.split_at(BUCKET_SLOTS);
            // All eight at once: where in its bucket a name lies is chance, and a branch on it would be guessed wrong.
            let tags = tags.iter().map(|stored| stored.load(Ordering::Relaxed));
            let (mut equal, mut last) = (0_u32, 0);
            for (slot, stored) in (0..).zip(tags) {
                equal |= u32::from(stored == tag) << slot;
                last = stored;
            }
            while let Some(place) = places.get(equal.trailing_zeros() as usize) {
                let at = place.load(Ordering::Relaxed);
                match Record::is_named(self.arena, at as usize, end, query) {
                    Ok(true) => return Place { at, before: Place::EXACT },
                    Ok(false) => equal &= equal.wrapping_sub(1),
                    Err(Damage) => return Place::DAMAGE,
                }
            }
            if last == 0 {
                return Place::NONE;
            }
            bucket = bucket.wrapping_add(1);
            if bucket >= buckets {
                bucket = 0;
            }
        }
        Place::NONE
    }

    /// Reads the record at a place.
    #[inline]
    fn answer(&self, place: Place) -> Result<Option<Answer<'a>>, Damage> {
        match place.at {
            0 => Ok(None),
            at => {
                let wildcard = (place.before != Place::EXACT).then_some(place.before as usize);
                Ok(Some(Answer { record: self.record(at)?, wildcard }))
            }
        }
    }

    /// Finds what answers a name: its own record, or else the wildcard with the longest domain above it.
    #[inline]
    pub fn find(&self, query: &Query) -> Result<Option<Answer<'a>>, Damage> {
        let mut place = self.place_of(query);
        if place.at == 0 && self.word(D_WILD) != 0 {
            place = self.wildcard_of(query);
        }
        let answer = self.answer(place)?;
        // The wildcard itself is not a host's name.
        Ok(answer.filter(|answer| answer.wildcard.is_some() || !answer.record.is_wildcard()))
    }

    #[cold]
    #[inline(never)]
    fn wildcard_of(&self, query: &Query) -> Place {
        if !query.is_host_name() {
            return Place::NONE;
        }
        let [fewest, most, ..] = self.word(D_WILD).to_le_bytes();
        let mut labels_left = query.bytes().filter(|byte| *byte == b'.').count();
        for (at, before) in (0..query.len()).zip(0_u32..).filter(|(at, _)| query.byte(*at) == b'.') {
            if (usize::from(fewest)..=usize::from(most)).contains(&labels_left) {
                let place = self.place_of(&query.wildcard(at));
                if place.at != 0 {
                    return Place { before, ..place };
                }
            }
            labels_left = labels_left.saturating_sub(1);
        }
        Place::NONE
    }

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

/// A hash's bucket and tag. The bucket comes from the upper half, by multiplication, so that any number of buckets
/// is filled evenly; the tag is the lower half, and never 0.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the two halves of the hash are taken apart")]
pub(crate) fn slot_of(hash: u64, buckets: u32) -> (u32, u32) {
    let bucket = (hash >> 32).wrapping_mul(u64::from(buckets)) >> 32;
    (bucket as u32, (hash as u32).max(1))
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use core::sync::atomic::AtomicU32;

    use super::Snapshot;
    use crate::arena::Arena;
    use crate::contents::{Contents, Entry};
    use crate::format::{BUCKET_SLOTS, D_BUCKETS, D_INDEX, LINE_WORDS};
    use crate::query::Query;

    fn entry(name: &str) -> Entry {
        Entry { name: name.into(), v4: vec![[10, 0, 0, 1].into()], ..Entry::default() }
    }

    /// Two names in one bucket whose tags are equal, which chance makes once in 2^32 pairs: each is found all the same.
    #[test]
    fn equal_tags() {
        let entries: Vec<Entry> = (0..200).map(|n| entry(&format!("host-{n}.sol"))).collect();
        let mut arena =
            Arena::build(&Contents { entries, contain: Vec::new() }, 7).expect("contents without a fault");
        let mut words = arena.numbered(1, 1).to_vec();
        let (index, buckets) = (words[D_INDEX] as usize, words[D_BUCKETS] as usize);
        let line = (0..buckets)
            .map(|bucket| index + bucket * LINE_WORDS)
            .find(|line| words[line + 1] != 0)
            .expect("a bucket with two names");
        let names: Vec<Vec<u8>> = [0, 1]
            .map(|slot| {
                // The length is the record's first byte as a number, the name starts after two words.
                let at = words[line + BUCKET_SLOTS + slot] as usize;
                let len = words[at] as usize & 0xff;
                let bytes = words[at + 2..].iter().flat_map(|word| word.to_ne_bytes());
                bytes.take(len).collect()
            })
            .into();
        words[line] = words[line + 1];
        let shared: Vec<AtomicU32> = words.into_iter().map(AtomicU32::new).collect();
        let snapshot = Snapshot::new(&shared, 1).expect("a sealed arena");
        let query = Query::new(&names[1]).expect("a name");
        let found = snapshot.find_exact(&query).expect("no damage").expect("found behind its double");
        assert_eq!(found.name().bytes().collect::<Vec<_>>(), names[1]);
    }
}
