//! Lookups of an address: the sorted pairs of each family.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::format::{D_REVERSE_V4, D_REVERSE_V4_LEN, D_REVERSE_V6, D_REVERSE_V6_LEN};
use crate::record::{Family, Record};
use crate::snapshot::Snapshot;
use crate::table::Damage;

/// The records that have an address.
#[derive(Clone)]
pub struct AddressRecords<'a> {
    snapshot: Snapshot<'a>,
    family: Family,
    wanted: u128,
    /// The pairs not looked at yet.
    pairs: &'a [[AtomicU32; 2]],
}

impl AddressRecords<'_> {
    /// A pair's address as a number.
    fn key(&self, pair: &[AtomicU32; 2]) -> Result<u128, Damage> {
        let [key, _] = pair.each_ref().map(|word| word.load(Ordering::Relaxed));
        match self.family {
            Family::V4 => Ok(key.into()),
            Family::V6 => self.snapshot.v6_at(key as usize),
        }
    }
}

impl<'a> Iterator for AddressRecords<'a> {
    type Item = Result<Record<'a>, Damage>;

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        let (pair, rest) = self.pairs.split_first()?;
        match self.key(pair) {
            Ok(found) if found == self.wanted => {
                self.pairs = rest;
                let [_, place] = pair.each_ref().map(|word| word.load(Ordering::Relaxed));
                Some(self.snapshot.record(place))
            }
            Ok(_) => None,
            Err(damage) => {
                self.pairs = &[];
                Some(Err(damage))
            }
        }
    }
}

impl<'a> Snapshot<'a> {
    /// The records with this address, in the order the writer gave: canonical names before aliases.
    ///
    /// `address` holds the address's bytes, four or sixteen.
    pub fn find_address(&self, family: Family, address: &[u8]) -> Result<AddressRecords<'a>, Damage> {
        let (start, count) = match family {
            Family::V4 => (D_REVERSE_V4, D_REVERSE_V4_LEN),
            Family::V6 => (D_REVERSE_V6, D_REVERSE_V6_LEN),
        };
        let pairs = self.arena.get(self.word(start) as usize..).ok_or(Damage)?.as_chunks::<2>().0;
        let pairs = pairs.get(..self.word(count) as usize).ok_or(Damage)?;
        let mut found = AddressRecords { snapshot: *self, family, wanted: number(address), pairs };
        let (mut low, mut high) = (0_usize, pairs.len());
        while low < high {
            let middle = low.wrapping_add(high.wrapping_sub(low) >> 1);
            if found.key(pairs.get(middle).ok_or(Damage)?)? < found.wanted {
                low = middle.wrapping_add(1);
            } else {
                high = middle;
            }
        }
        found.pairs = pairs.get(low..).unwrap_or_default();
        Ok(found)
    }

    fn v6_at(&self, at: usize) -> Result<u128, Damage> {
        let words = self.arena.get(at..).and_then(<[_]>::first_chunk::<4>).ok_or(Damage)?;
        let word_bytes = words.each_ref().map(|word| word.load(Ordering::Relaxed).to_ne_bytes());
        Ok(number(word_bytes.as_flattened()))
    }
}

/// An address as a number: its first byte is the most significant.
pub(crate) fn number(address: &[u8]) -> u128 {
    address.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}
