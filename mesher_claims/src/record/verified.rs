//! Remembers which texts were verified, so that a record that comes from many peers costs one signature's check.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::{Record, Refusal};
use crate::keys::NetworkId;

/// Texts remembered in each of two generations, 32 bytes each: when the young one is full, it takes the old one's place.
const REMEMBERED: usize = 4_096;

/// Decodes records of one network. A text that verified once is decoded without a look at its signature when it comes again: gossip
/// brings every record several times, and the signature is nearly all of what a record costs.
#[derive(Debug)]
pub struct Verifier {
    network: NetworkId,
    young: BTreeSet<[u8; 32]>,
    old: BTreeSet<[u8; 32]>,
}

impl Verifier {
    /// A verifier that remembers nothing yet.
    pub fn new(network: NetworkId) -> Self {
        Self { network, young: BTreeSet::new(), old: BTreeSet::new() }
    }

    /// As [`Record::from_carrier`].
    ///
    /// # Errors
    /// As there.
    pub fn record(&mut self, key: &str, value: &str) -> Result<Record, Refusal> {
        let hash = hash(key, value);
        if self.young.contains(&hash) {
            return Record::decode(None, key, value);
        }
        let record = match self.old.contains(&hash) {
            true => Record::decode(None, key, value)?,
            false => Record::from_carrier(&self.network, key, value)?,
        };
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash);
        Ok(record)
    }
}

/// Of all that the signature's check looks at, and of where one text ends and the other begins.
fn hash(key: &str, value: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((key.len() as u64).to_le_bytes());
    hash.update(key);
    hash.update(value);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SecretKey;
    use crate::record::{ClaimBody, ClaimState, Signed};

    fn key() -> SecretKey {
        SecretKey::from_seed(&[1; 32])
    }

    fn claim(network: &NetworkId, seq: u64) -> (String, String) {
        let (host, name) = (key().host_key(), "earth".parse().unwrap());
        let body = ClaimBody { host, name, epoch: 7, state: ClaimState::Held, addresses: None, seq };
        let record = Record::Claim(Signed::sign(network, &key(), body));
        (record.carrier_key(), record.carrier_value())
    }

    #[test]
    fn a_text_is_known_as_a_whole_only() {
        let network = SecretKey::from_seed(&[2; 32]).network_id();
        let mut verifier = Verifier::new(network);
        let (key, value) = claim(&network, 1);
        let record = Record::from_carrier(&network, &key, &value);
        assert_eq!(verifier.record(&key, &value), record);
        assert_eq!(verifier.record(&key, &value), record, "known by now");
        for at in 1..value.len() {
            let mut changed = value.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let refused = verifier.record(&key, &changed);
            assert!(refused.is_err(), "character {at}: {refused:?}");
            assert_eq!(refused, verifier.record(&key, &changed), "what was refused is refused again");
        }
        assert_eq!(verifier.record("c/mars", &value), Err(Refusal::Misfiled));
        let other = SecretKey::from_seed(&[3; 32]).network_id();
        let (key, foreign) = claim(&other, 1);
        assert_eq!(verifier.record(&key, &foreign), Err(Refusal::BadSignature));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_latest_is_known() {
        let network = SecretKey::from_seed(&[2; 32]).network_id();
        let mut verifier = Verifier::new(network);
        let (key, value) = claim(&network, 1);
        verifier.record(&key, &value).unwrap();
        // As if so many others had come since.
        let others = (0..REMEMBERED as u64 * 3).map(|n| hash(&n.to_string(), ""));
        for other in others {
            if verifier.young.len() >= REMEMBERED {
                verifier.old = std::mem::take(&mut verifier.young);
            }
            verifier.young.insert(other);
        }
        assert!(!verifier.old.contains(&hash(&key, &value)) && !verifier.young.contains(&hash(&key, &value)));
        verifier.record(&key, &value).unwrap();
        assert!(verifier.young.len() + verifier.old.len() <= 2 * REMEMBERED);
        assert!(verifier.young.contains(&hash(&key, &value)));
    }
}
