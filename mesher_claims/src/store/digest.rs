//! Comparing two stores by digest, so that two nodes find out cheaply what each lacks.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest as _, Sha256};

use super::{HostEntry, Store};
use crate::keys::{HostKey, NodeId};
use crate::time::{Age, Now};

/// One host in a digest: at most 37 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DigestEntry {
    /// Whose.
    pub host: NodeId,
    /// The host record's `seq`.
    pub seq: u64,
    /// Its age.
    pub age: Age,
    /// Of the host record: two nodes may have been given different ones with one `seq`.
    pub record_hash: u32,
    /// Equal on two nodes that have the same claims, certificate and statements of this host; of an expired host, the same
    /// statements.
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
    /// Whether the peer lacks the settings, or has others of the same revision.
    pub peer_lacks_settings: bool,
    /// Ages that the peer reports for a `seq` that this node has too.
    pub ages: Vec<(HostKey, u64, Age)>,
}

/// What remains of a peer's digest when all that a store has is taken out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    own: NodeId,
    settings: (u64, u64),
    hosts: BTreeMap<NodeId, DigestEntry>,
}

impl Store {
    /// The digest of this store.
    pub fn digest(&self, now: Now) -> Digest {
        let hosts = self.hosts.values().filter_map(|entry| self.digest_entry(now, entry));
        Digest { settings: self.settings_stamp(), hosts: hosts.collect() }
    }

    /// Compares a peer's digest with this store.
    pub fn compare(&self, now: Now, peer: &Digest) -> Comparison {
        let theirs: BTreeMap<NodeId, &DigestEntry> =
            peer.hosts.iter().map(|entry| (entry.host, entry)).collect();
        let settings = self.settings_stamp();
        let mut comparison = Comparison {
            peer_lacks_settings: settings.0 >= peer.settings.0 && settings != peer.settings,
            ..Comparison::default()
        };
        for (host, entry) in &self.hosts {
            let Some(our) = self.digest_entry(now, entry) else { continue };
            let Some(their) = theirs.get(&our.host) else {
                comparison.peer_lacks.push((*host, true));
                continue;
            };
            if their.seq == our.seq {
                comparison.ages.push((*host, their.seq, their.age));
            }
            let unlike = their.fingerprint != our.fingerprint;
            if our.seq > their.seq || (our.seq == their.seq && our.is_unlike(their)) {
                comparison.peer_lacks.push((*host, unlike));
            }
        }
        comparison
    }

    /// What this store lacks of what a peer's digest shows. Nobody knows the claims of `own`, this node's host, better than
    /// itself; but a newer record of it, or one where it knows of none, is lacking too.
    pub fn lacking(&self, now: Now, own: &HostKey, peer: Digest) -> Lacking {
        let hosts = peer.hosts.into_iter().map(|their| (their.host, their)).collect();
        let mut lacking = Lacking { own: NodeId::from(*own), settings: peer.settings, hosts };
        self.strike_out_all(now, &mut lacking);
        lacking
    }

    /// Takes out of what was lacking all that this store has by now.
    pub fn strike_out_all(&self, now: Now, lacking: &mut Lacking) {
        let hosts: Vec<NodeId> = lacking.hosts.keys().copied().collect();
        self.strike_out(now, lacking, hosts);
    }

    /// The same where only these hosts' records can have come. Whoever looked at all of them with each message would let a peer
    /// that shows thousands of hosts, and never sends them, slow down everything that arrives after.
    pub fn strike_out(&self, now: Now, lacking: &mut Lacking, hosts: impl IntoIterator<Item = NodeId>) {
        let own = lacking.own;
        for host in hosts {
            #[cfg(test)]
            LOOKED_AT.with(|count| count.set(count.get() + 1));
            let Some(their) = lacking.hosts.get(&host) else { continue };
            let ours = self.ids.get(&host).and_then(|host| self.hosts.get(host));
            let Some(our) = ours.and_then(|entry| self.digest_entry(now, entry)) else { continue };
            let unlike = their.seq == our.seq && host != own && our.is_unlike(their);
            if their.seq <= our.seq && !unlike {
                lacking.hosts.remove(&host);
            }
        }
        let settings = self.settings_stamp();
        if settings == lacking.settings || settings.0 > lacking.settings.0 {
            lacking.settings = (0, 0);
        }
    }

    /// The settings' revision and hash, as in a digest.
    pub fn settings_stamp(&self) -> (u64, u64) {
        self.settings_stamp
    }

    fn digest_entry(&self, now: Now, entry: &HostEntry) -> Option<DigestEntry> {
        let record = entry.record()?;
        let age = self.judging_ttl_ms(now).map_or(entry.age(now), |ttl| entry.age(now).under(ttl));
        Some(DigestEntry {
            host: entry.id(),
            seq: record.seq,
            age,
            record_hash: entry.record_hash(),
            fingerprint: entry.fingerprint(age),
        })
    }
}

impl Lacking {
    /// A host record of this node's own host with this `seq` has been seen, wherever it is kept.
    pub fn has_own(&mut self, seq: u64) {
        if self.hosts.get(&self.own).is_some_and(|own| own.seq <= seq) {
            self.hosts.remove(&self.own);
        }
    }

    /// Whether nothing remains.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.settings == (0, 0)
    }
}

impl DigestEntry {
    /// Whether two entries of one `seq` differ in more than age. Where only one side counts the host as expired, what it has
    /// besides is nobody's lack: ages are settled first.
    fn is_unlike(&self, other: &Self) -> bool {
        let settled = (self.age == Age::Expired) == (other.age == Age::Expired);
        self.record_hash != other.record_hash || (self.fingerprint != other.fingerprint && settled)
    }
}

pub(super) fn settings_stamp(revision: u64, encoded: &[u8]) -> (u64, u64) {
    let hash: [u8; 32] = Sha256::digest(encoded).into();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    (revision, u64::from_le_bytes(first))
}

#[cfg(test)]
thread_local! {
    /// How many hosts [`Store::strike_out`] has looked at.
    pub(crate) static LOOKED_AT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}
