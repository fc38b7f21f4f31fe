//! Building an arena: contents in, words out.

mod index;
mod plan;
mod record_writer;

use std::hash::{BuildHasher, RandomState};

use crate::contents::{Contents, ContentsError, Entry, is_host_name};
use crate::format::{
    D_BUCKETS, D_CONTAIN, D_CONTAIN_LEN, D_GENERATION, D_INDEX, D_RECORD_COUNT, D_RECORDS, D_RECORDS_END,
    D_REVERSE_V4, D_REVERSE_V4_LEN, D_REVERSE_V6, D_REVERSE_V6_LEN, D_SEAL, D_USED, D_WILD, DIRECTORY_WORDS,
    LINE_WORDS, MAX_CONTAIN, SEAL, words_for,
};
use plan::Plan;
use record_writer::RecordWriter;

/// An arena's words, complete but for its publication number and generation.
pub(crate) struct Arena {
    words: Vec<u32>,
}

/// A fresh seed for the hash: the standard library's own source of unpredictable keys.
pub(crate) fn random_seed() -> u64 {
    RandomState::new().hash_one(0_u8)
}

impl Arena {
    /// Lays the contents out. The seed only decides who shares a bucket with whom; another one is derived from it
    /// should too many names do.
    ///
    /// Entries are strewn over the heap, so they are visited in their own order, and only numbers are sorted: with
    /// 100,000 names, visiting them in the table's order would take longer than everything else together.
    pub(crate) fn build(contents: &Contents, seed: u64) -> Result<Self, ContentsError> {
        if contents.contain.len() > MAX_CONTAIN {
            return Err(ContentsError::TooManyContained(contents.contain.len()));
        }
        let entries = &contents.entries;
        // Five names to eight slots: then thirteen buckets in a hundred are full, and a miss reads one line.
        let buckets = entries.len().div_ceil(5);
        let index = DIRECTORY_WORDS;
        let records = index + buckets * LINE_WORDS;
        let plan = Plan::of(entries, records)?;
        let mut arena = Self { words: vec![0; plan.end] };
        let (v4_pairs, v6_pairs) = arena.write_records(entries, &plan)?;

        let v4 = arena.words.len();
        let v4_len = arena.push_reverse_v4(v4_pairs, &plan);
        let v6 = arena.words.len();
        let v6_len = arena.push_reverse_v6(v6_pairs, &plan);
        let contain = arena.words.len();
        arena.push_contained(&contents.contain)?;

        let used = word(arena.words.len())?;
        for (at, value) in [
            (D_USED, used),
            (D_BUCKETS, word(buckets)?),
            (D_INDEX, word(index)?),
            (D_RECORDS, word(records)?),
            (D_RECORDS_END, word(plan.end)?),
            (D_REVERSE_V4, word(v4)?),
            (D_REVERSE_V4_LEN, word(v4_len)?),
            (D_REVERSE_V6, word(v6)?),
            (D_REVERSE_V6_LEN, word(v6_len)?),
            (D_CONTAIN, word(contain)?),
            (D_CONTAIN_LEN, word(contents.contain.len())?),
            (D_WILD, plan.wild_labels),
            (D_RECORD_COUNT, word(entries.len())?),
        ] {
            arena.words[at] = value;
        }
        arena.build_index(entries, &plan.places, seed)?;
        Ok(arena)
    }

    /// Numbers the arena and hands its words over.
    pub(crate) fn numbered(&mut self, publication: u32, generation: u64) -> &[u32] {
        self.words[D_SEAL] = publication ^ SEAL;
        set_two_words(&mut self.words, D_GENERATION, generation);
        &self.words
    }

    pub(crate) fn len_words(&self) -> usize {
        self.words.len()
    }

    /// Writes every record into its place; returns the pairs of the reverse indexes, unsorted.
    fn write_records(
        &mut self,
        entries: &[Entry],
        plan: &Plan,
    ) -> Result<(Vec<u64>, Vec<V6Pair>), ContentsError> {
        let mut v4_pairs = Vec::with_capacity(entries.len());
        let mut v6_pairs = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let host = plan.hosts[at];
            let canonical = if host == at { "" } else { &entries[host].name };
            let rank = Rank::new(at, host != at)?;
            let mut record = RecordWriter { words: &mut self.words, at: plan.places[at] as usize };
            record.head(entry, canonical, host == at && plan.has_aliases[at])?;
            record.bytes(entry.name.as_bytes());
            record.bytes(canonical.as_bytes());
            for address in &entry.v4 {
                record.word(u32::from_ne_bytes(address.octets()));
            }
            for v6 in &entry.v6 {
                if !entry.is_wildcard() {
                    v6_pairs.push(V6Pair { address: v6.address.to_bits(), rank, place: word(record.at)? });
                }
                record.bytes(&v6.address.octets());
            }
            if entry.is_scoped() {
                entry.v6.iter().for_each(|v6| record.word(v6.scope));
            }
            if !entry.is_wildcard() {
                v4_pairs.extend(entry.v4.iter().map(|v4| u64::from(v4.to_bits()) << 32 | u64::from(rank.0)));
            }
        }
        Ok((v4_pairs, v6_pairs))
    }

    fn push_reverse_v4(&mut self, mut pairs: Vec<u64>, plan: &Plan) -> usize {
        pairs.sort_unstable();
        pairs.dedup();
        self.words.reserve(pairs.len() * 4);
        for pair in &pairs {
            let [a, b, c, d, e, f, g, h] = pair.to_be_bytes();
            let rank = Rank(u32::from_be_bytes([e, f, g, h]));
            self.words.extend([u32::from_be_bytes([a, b, c, d]), plan.places[rank.entry()]]);
        }
        pairs.len()
    }

    fn push_reverse_v6(&mut self, mut pairs: Vec<V6Pair>, plan: &Plan) -> usize {
        pairs.sort_unstable();
        pairs.dedup_by_key(|pair| (pair.address, pair.rank));
        for pair in &pairs {
            self.words.extend([pair.place, plan.places[pair.rank.entry()]]);
        }
        pairs.len()
    }

    fn push_contained(&mut self, domains: &[String]) -> Result<(), ContentsError> {
        for domain in domains {
            if !is_host_name(domain) {
                return Err(ContentsError::BadName(domain.clone()));
            }
            let at = self.words.len();
            self.words.resize(at + 1 + words_for(domain.len()), 0);
            let mut writer = RecordWriter { words: &mut self.words, at };
            writer.word(word(domain.len())?);
            writer.bytes(domain.to_ascii_lowercase().as_bytes());
        }
        Ok(())
    }
}

/// An IPv6 address and who has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct V6Pair {
    address: u128,
    rank: Rank,
    /// Where the address lies.
    place: u32,
}

/// An entry's turn among those that share an address: canonical names before aliases, then the entries' own order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u32);

impl Rank {
    const ALIAS: u32 = 1 << 31;

    fn new(entry: usize, alias: bool) -> Result<Self, ContentsError> {
        let entry = word(entry)?;
        if entry >= Self::ALIAS {
            return Err(ContentsError::TooLarge);
        }
        Ok(Self(if alias { entry | Self::ALIAS } else { entry }))
    }

    fn entry(self) -> usize {
        (self.0 & !Self::ALIAS) as usize
    }
}

fn word(number: usize) -> Result<u32, ContentsError> {
    u32::try_from(number).map_err(|_| ContentsError::TooLarge)
}

fn set_two_words(words: &mut [u32], at: usize, value: u64) {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    words[at] = u32::from_le_bytes([a, b, c, d]);
    words[at + 1] = u32::from_le_bytes([e, f, g, h]);
}
