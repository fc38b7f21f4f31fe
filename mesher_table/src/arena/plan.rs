//! In which order records lie, and where.

use super::word;
use crate::contents::{ContentsError, Entry};

/// Where everything goes: records in order of canonical names, each followed by its aliases by name, all in lower case.
pub(super) struct Plan {
    /// Where each entry's record lies.
    pub(super) places: Vec<u32>,
    /// Each entry's host: itself, or for an alias its canonical entry.
    pub(super) hosts: Vec<usize>,
    pub(super) has_aliases: Vec<bool>,
    /// Where the records end.
    pub(super) end: usize,
    /// [`D_WILD`](crate::format::D_WILD).
    pub(super) wild_labels: u32,
}

impl Plan {
    pub(super) fn of(entries: &[Entry], start: usize) -> Result<Self, ContentsError> {
        // Comparing strings misses the cache twice a comparison, so the first 16 bytes are kept beside the number.
        let mut keys = Vec::with_capacity(entries.len());
        let mut sizes = Vec::with_capacity(entries.len());
        let (mut fewest, mut most) = (u8::MAX, 0);
        for (at, entry) in entries.iter().enumerate() {
            entry.check()?;
            let host = entry.canonical.as_ref().unwrap_or(&entry.name).as_bytes();
            let mut prefix = [0; 16];
            for (to, from) in prefix.iter_mut().zip(host) {
                *to = from.to_ascii_lowercase();
            }
            keys.push((u128::from_be_bytes(prefix), at));
            sizes.push(entry.len_words());
            if entry.is_wildcard() {
                let labels = u8::try_from(entry.name.split('.').count() - 1).unwrap_or(u8::MAX);
                (fewest, most) = (fewest.min(labels), most.max(labels));
            }
        }
        keys.sort_unstable_by(|(a_prefix, a), (b_prefix, b)| {
            a_prefix.cmp(b_prefix).then_with(|| full_key(&entries[*a]).cmp(full_key(&entries[*b])))
        });
        let wild_labels = if most == 0 { 0 } else { 1 << 16 | u32::from(most) << 8 | u32::from(fewest) };
        let count = entries.len();
        let mut plan = Self {
            places: vec![0; count],
            hosts: vec![0; count],
            has_aliases: vec![false; count],
            end: start,
            wild_labels,
        };
        let mut canonical: Option<usize> = None;
        for (_, at) in keys {
            plan.places[at] = word(plan.end)?;
            plan.end += sizes[at];
            plan.hosts[at] = match (&entries[at].canonical, canonical) {
                (None, _) => at,
                (Some(name), Some(host)) if entries[host].name.eq_ignore_ascii_case(name) => {
                    plan.has_aliases[host] = true;
                    host
                }
                (Some(canonical), _) => {
                    let (name, canonical) = (entries[at].name.clone(), canonical.clone());
                    return Err(ContentsError::NoCanonical { name, canonical });
                }
            };
            canonical = Some(plan.hosts[at]);
        }
        word(plan.end).map(|_| plan)
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
