//! Comparing two stores by digest, so that two nodes find out cheaply what each lacks.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest as _, Sha256};

use super::Store;
use crate::keys::{HostKey, NodeId};
use crate::time::{Age, Now};

/// One host in a digest: 33 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DigestEntry {
    /// Whose.
    pub host: NodeId,
    /// The host record's `seq`.
    pub seq: u64,
    /// Its age.
    pub age: Age,
    /// Equal on two nodes that have the same claims, certificate and statements of this host; 0 for an expired host.
    pub fingerprint: u64,
}

/// What a node has, of hosts present and absent.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Digest {
    /// The settings' revision and a hash of them, 0 and 0 while they are unknown.
    pub settings: (u64, u64),
    /// The hosts whose record the node has.
    pub hosts: Vec<DigestEntry>,
}

/// What comparing a peer's digest with the own store shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Hosts of which the peer lacks something, and whether it lacks more than the host record.
    pub peer_lacks: Vec<(HostKey, bool)>,
    /// Whether the peer lacks the settings.
    pub peer_lacks_settings: bool,
    /// Whether this node lacks something that the peer has.
    pub lacking: bool,
    /// Ages that the peer reports for a `seq` that this node has too.
    pub ages: Vec<(HostKey, u64, Age)>,
}

impl Store {
    /// The digest of this store.
    pub fn digest(&self, now: Now) -> Digest {
        let ttl = self.claim_ttl_ms();
        let hosts = self.hosts.iter().filter_map(|(host, entry)| {
            let record = entry.record()?;
            let age = ttl.map_or(entry.age(now), |ttl| entry.age(now).under(ttl));
            let fingerprint = if age == Age::Expired { 0 } else { entry.fingerprint() };
            Some(DigestEntry { host: NodeId::from(*host), seq: record.seq, age, fingerprint })
        });
        Digest { settings: self.settings_stamp(), hosts: hosts.collect() }
    }

    /// Compares a peer's digest with this store. `own` is the node's own host, about which nobody else knows better.
    pub fn compare(&self, now: Now, own: &HostKey, peer: &Digest) -> Comparison {
        let ours = self.digest(now);
        let mut theirs: BTreeMap<NodeId, &DigestEntry> =
            peer.hosts.iter().map(|entry| (entry.host, entry)).collect();
        let mut comparison = Comparison {
            peer_lacks_settings: ours.settings > peer.settings,
            lacking: ours.settings < peer.settings,
            ..Comparison::default()
        };
        let known = self.hosts.iter().filter(|(_, entry)| entry.record().is_some());
        for ((host, _), our) in known.zip(&ours.hosts) {
            let Some(their) = theirs.remove(&our.host) else {
                comparison.peer_lacks.push((*host, true));
                continue;
            };
            if their.seq == our.seq {
                comparison.ages.push((*host, their.seq, their.age));
            }
            let unlike = their.fingerprint != our.fingerprint;
            // Where one side counts the host as expired, claims are nobody's lack: ages are settled first.
            let both_fresh = their.age != Age::Expired && our.age != Age::Expired;
            if our.seq > their.seq || (our.seq == their.seq && unlike && both_fresh) {
                comparison.peer_lacks.push((*host, unlike));
            }
            if host != own && (their.seq > our.seq || (their.seq == our.seq && unlike && both_fresh)) {
                comparison.lacking = true;
            }
        }
        comparison.lacking |= theirs.keys().any(|host| *host != NodeId::from(*own));
        comparison
    }

    fn settings_stamp(&self) -> (u64, u64) {
        let Some(settings) = self.settings() else { return (0, 0) };
        let hash: [u8; 32] = Sha256::digest(settings.encode()).into();
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        (settings.revision, u64::from_le_bytes(first))
    }
}
