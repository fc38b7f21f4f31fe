//! Building an arena: contents in, words out.

use std::hash::{BuildHasher, RandomState};

use crate::contents::{Contents, ContentsError, Entry, is_host_name};
use crate::format::{
    BUCKET_SLOTS, COUNT_BITS, D_BUCKETS, D_CONTAIN, D_CONTAIN_LEN, D_GENERATION, D_INDEX, D_PROBE,
    D_RECORD_COUNT, D_RECORDS, D_RECORDS_END, D_REVERSE_V4, D_REVERSE_V4_LEN, D_REVERSE_V6, D_REVERSE_V6_LEN,
    D_SEAL, D_SEED, D_USED, D_WILD, DIRECTORY_WORDS, F_ALIASES_FOLLOW, F_SCOPED, F_WILDCARD, LINE_WORDS,
    MAX_CONTAIN, MAX_PROBE, SEAL,
};
use crate::query::Query;
use crate::snapshot::slot_of;

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
    pub(crate) fn build(contents: &Contents, seed: u64) -> Result<Self, ContentsError> {
        if contents.contain.len() > MAX_CONTAIN {
            return Err(ContentsError::TooManyContained(contents.contain.len()));
        }
        let order = Order::of(&contents.entries)?;
        let mut arena = Self { words: vec![0; DIRECTORY_WORDS] };
        // Five names to eight slots: then thirteen buckets in a hundred are full, and a miss reads one line.
        let buckets = contents.entries.len().div_ceil(5);
        let index = arena.words.len();
        arena.words.resize(index + buckets * LINE_WORDS, 0);

        let records = arena.words.len();
        let places = arena.push_records(&contents.entries, &order)?;
        let records_end = arena.words.len();
        let v4 = arena.words.len();
        let v4_len = arena.push_reverse_v4(&contents.entries, &places);
        let v6 = arena.words.len();
        let v6_len = arena.push_reverse_v6(&contents.entries, &places);
        let contain = arena.words.len();
        arena.push_contained(&contents.contain)?;

        let used = word(arena.words.len())?;
        for (at, value) in [
            (D_USED, used),
            (D_BUCKETS, word(buckets)?),
            (D_INDEX, word(index)?),
            (D_RECORDS, word(records)?),
            (D_RECORDS_END, word(records_end)?),
            (D_REVERSE_V4, word(v4)?),
            (D_REVERSE_V4_LEN, word(v4_len)?),
            (D_REVERSE_V6, word(v6)?),
            (D_REVERSE_V6_LEN, word(v6_len)?),
            (D_CONTAIN, word(contain)?),
            (D_CONTAIN_LEN, word(contents.contain.len())?),
            (D_WILD, wild_labels(&contents.entries)),
            (D_RECORD_COUNT, word(contents.entries.len())?),
        ] {
            arena.words[at] = value;
        }
        arena.build_index(&contents.entries, &places, seed)?;
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

    /// Appends the records in order; returns where each entry's lies.
    fn push_records(&mut self, entries: &[Entry], order: &Order) -> Result<Vec<u32>, ContentsError> {
        let mut places = vec![0; entries.len()];
        let mut canonical: Option<(&Entry, usize)> = None;
        for &at in &order.0 {
            let entry = &entries[at];
            let place = self.words.len();
            places[at] = word(place)?;
            let host = match (&entry.canonical, canonical) {
                (None, _) => {
                    canonical = Some((entry, place));
                    ""
                }
                (Some(name), Some((host, host_place))) if host.name.eq_ignore_ascii_case(name) => {
                    self.words[host_place + 1] |= F_ALIASES_FOLLOW;
                    &host.name
                }
                (Some(canonical), _) => {
                    return Err(ContentsError::NoCanonical {
                        name: entry.name.clone(),
                        canonical: canonical.clone(),
                    });
                }
            };
            self.push_record(entry, host)?;
        }
        Ok(places)
    }

    fn push_record(&mut self, entry: &Entry, canonical: &str) -> Result<(), ContentsError> {
        let scoped = entry.v6.iter().any(|address| address.scope != 0);
        let ttl_s = u16::try_from(entry.ttl_s).unwrap_or(u16::MAX);
        let name_len = word(entry.name.len())?;
        self.words.push(name_len | word(canonical.len())? << 8 | u32::from(ttl_s) << 16);
        self.words.push(
            word(entry.v4.len())?
                | word(entry.v6.len())? << COUNT_BITS
                | if scoped { F_SCOPED } else { 0 }
                | if entry.is_wildcard() { F_WILDCARD } else { 0 },
        );
        self.push_bytes(entry.name.as_bytes());
        self.push_bytes(canonical.as_bytes());
        self.words.extend(entry.v4.iter().map(|address| u32::from_ne_bytes(address.octets())));
        for address in &entry.v6 {
            self.push_bytes(&address.address.octets());
        }
        if scoped {
            self.words.extend(entry.v6.iter().map(|address| address.scope));
        }
        Ok(())
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<4>();
        self.words.extend(whole.iter().map(|bytes| u32::from_ne_bytes(*bytes)));
        if !rest.is_empty() {
            let mut last = [0; 4];
            last[..rest.len()].copy_from_slice(rest);
            self.words.push(u32::from_ne_bytes(last));
        }
    }

    fn push_reverse_v4(&mut self, entries: &[Entry], places: &[u32]) -> usize {
        // The key orders by address, then canonical names first, then by the entries' own order.
        let mut pairs: Vec<(u32, bool, u32)> = Vec::new();
        for (entry, at) in entries.iter().zip(0..).filter(|(entry, _)| !entry.is_wildcard()) {
            pairs.extend(entry.v4.iter().map(|address| (address.to_bits(), entry.canonical.is_some(), at)));
        }
        pairs.sort_unstable();
        pairs.dedup();
        self.words.extend(pairs.iter().flat_map(|(address, _, at)| [*address, places[*at as usize]]));
        pairs.len()
    }

    fn push_reverse_v6(&mut self, entries: &[Entry], places: &[u32]) -> usize {
        let mut pairs: Vec<(u128, bool, u32, u32)> = Vec::new();
        for (entry, at) in entries.iter().zip(0..).filter(|(entry, _)| !entry.is_wildcard()) {
            let alias = entry.canonical.is_some();
            pairs.extend(entry.v6.iter().zip(0..).map(|(v6, nth)| (v6.address.to_bits(), alias, at, nth)));
        }
        pairs.sort_unstable();
        pairs.dedup_by_key(|pair| (pair.0, pair.2));
        for (_, _, at, nth) in &pairs {
            let place = places[*at as usize];
            let head = self.words[place as usize].to_le_bytes();
            let names = u32::from(head[0]).div_ceil(4) + u32::from(head[1]).div_ceil(4);
            let v4_count = u32::try_from(entries[*at as usize].v4.len()).unwrap_or(0);
            self.words.extend([place + 2 + names + v4_count + nth * 4, place]);
        }
        pairs.len()
    }

    fn push_contained(&mut self, domains: &[String]) -> Result<(), ContentsError> {
        for domain in domains {
            if !is_host_name(domain) {
                return Err(ContentsError::BadName(domain.clone()));
            }
            self.words.push(word(domain.len())?);
            self.push_bytes(domain.to_ascii_lowercase().as_bytes());
        }
        Ok(())
    }

    /// Fills the name index, with other seeds until no probe sequence is too long.
    fn build_index(&mut self, entries: &[Entry], places: &[u32], seed: u64) -> Result<(), ContentsError> {
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

/// The entries' order in the arena: by canonical name, each followed by its aliases by name, all in lower case.
struct Order(Vec<usize>);

impl Order {
    fn of(entries: &[Entry]) -> Result<Self, ContentsError> {
        // Comparing strings misses the cache twice a comparison, so the first 16 bytes are kept beside the number.
        let mut keys = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            entry.check()?;
            let host = entry.canonical.as_ref().unwrap_or(&entry.name).as_bytes();
            let mut prefix = [0; 16];
            for (to, from) in prefix.iter_mut().zip(host) {
                *to = from.to_ascii_lowercase();
            }
            keys.push((u128::from_be_bytes(prefix), at));
        }
        keys.sort_unstable_by(|(a_prefix, a), (b_prefix, b)| {
            a_prefix.cmp(b_prefix).then_with(|| full_key(&entries[*a]).cmp(full_key(&entries[*b])))
        });
        Ok(Self(keys.into_iter().map(|(_, at)| at).collect()))
    }
}

/// The whole key: canonical name, then nothing for the canonical entry or the alias's name behind a byte that no name has.
fn full_key(entry: &Entry) -> impl Iterator<Item = u8> + '_ {
    let (host, alias) = match &entry.canonical {
        None => (entry.name.as_bytes(), &[][..]),
        Some(canonical) => (canonical.as_bytes(), entry.name.as_bytes()),
    };
    let lower = |bytes: &'_ [u8]| bytes.iter().map(u8::to_ascii_lowercase).collect::<Vec<_>>().into_iter();
    lower(host).chain([0]).chain(lower(alias))
}

/// [`D_WILD`] for these entries.
fn wild_labels(entries: &[Entry]) -> u32 {
    let labels = entries
        .iter()
        .filter(|entry| entry.is_wildcard())
        .map(|entry| u8::try_from(entry.name.split('.').count() - 1).unwrap_or(u8::MAX));
    match (labels.clone().min(), labels.max()) {
        (Some(fewest), Some(most)) => 1 << 16 | u32::from(most) << 8 | u32::from(fewest),
        _ => 0,
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
