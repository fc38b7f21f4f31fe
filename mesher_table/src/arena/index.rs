//! Filling the name index.

use super::{Arena, set_two_words, word};
use crate::contents::{ContentsError, Entry};
use crate::format::{BUCKET_SLOTS, D_BUCKETS, D_INDEX, D_PROBE, D_SEED, LINE_WORDS, MAX_PROBE};
use crate::index::slot_of;
use crate::query::Query;

impl Arena {
    /// Fills the name index, with other seeds until no probe sequence is too long.
    pub(super) fn build_index(
        &mut self,
        entries: &[Entry],
        places: &[u32],
        seed: u64,
    ) -> Result<(), ContentsError> {
        let index = self.words[D_INDEX] as usize;
        let buckets = self.words[D_BUCKETS];
        let mut seed = seed;
        loop {
            self.words[index..index + buckets as usize * LINE_WORDS].fill(0);
            let mut probe = 1;
            for (entry, place) in entries.iter().zip(places) {
                probe = probe.max(self.insert(entry, *place, entries, places, seed)?);
            }
            if probe <= MAX_PROBE {
                set_two_words(&mut self.words, D_SEED, seed);
                self.words[D_PROBE] = word(probe)?;
                return Ok(());
            }
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        }
    }

    /// Inserts one name; returns how many buckets were probed.
    fn insert(
        &mut self,
        entry: &Entry,
        place: u32,
        entries: &[Entry],
        places: &[u32],
        seed: u64,
    ) -> Result<usize, ContentsError> {
        let query = Query::new(entry.name.as_bytes()).ok_or(ContentsError::BadName(entry.name.clone()))?;
        let index = self.words[D_INDEX] as usize;
        let buckets = self.words[D_BUCKETS];
        let (mut bucket, tag) = slot_of(query.hash(seed), buckets);
        for probe in 1.. {
            let line = index + bucket as usize * LINE_WORDS;
            for slot in line..line + BUCKET_SLOTS {
                if self.words[slot] == 0 {
                    self.words[slot] = tag;
                    self.words[slot + BUCKET_SLOTS] = place;
                    return Ok(probe);
                }
                if self.words[slot] == tag {
                    // Equal tags are equal names or, once in billions, chance.
                    let other = self.words[slot + BUCKET_SLOTS];
                    let other = places.iter().position(|place| *place == other).map(|at| &entries[at]);
                    if other.is_some_and(|other| other.name.eq_ignore_ascii_case(&entry.name)) {
                        return Err(ContentsError::Duplicate(entry.name.clone()));
                    }
                }
            }
            bucket = (bucket + 1) % buckets;
        }
        Err(ContentsError::TooLarge)
    }
}
