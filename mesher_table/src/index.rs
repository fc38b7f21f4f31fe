//! Finding a name's record: the index of names, and the wildcards.

use core::sync::atomic::Ordering;

use crate::format::{
    BUCKET_SLOTS, D_BUCKETS, D_INDEX, D_PROBE, D_RECORDS_END, D_SEED, D_WILD, LINE_WORDS, MAX_PROBE,
};
use crate::query::Query;
use crate::record::Record;
use crate::snapshot::Snapshot;
use crate::table::Damage;

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

impl<'a> Snapshot<'a> {
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

    use crate::arena::Arena;
    use crate::contents::{Contents, Entry};
    use crate::format::{BUCKET_SLOTS, D_BUCKETS, D_INDEX, LINE_WORDS};
    use crate::query::Query;
    use crate::snapshot::Snapshot;

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
