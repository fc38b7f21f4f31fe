//! The store: every verified record this node has, whoever carried it.
//!
//! Merging is commutative, associative and idempotent: per (host, kind, name) the highest `seq` wins, at equal `seq` the
//! greater canonical encoding. Nothing here looks at signatures (a [`Signed`] value has been verified) or decides who
//! holds a name (see [`crate::view`]).

mod digest;
mod entry;
mod limits;
mod saved;

use std::collections::BTreeMap;

#[cfg(test)]
pub(crate) use digest::LOOKED_AT;
pub use digest::{Comparison, Digest, DigestEntry, Lacking};
pub use entry::HostEntry;
pub use limits::{MAX_HOSTS, MAX_NAMES, MAX_NAMES_PER_HOST};
pub use saved::SavedStore;

use crate::keys::{HostKey, NodeId};
use crate::names::ClaimName;
use crate::record::{
    CertificateBody, ClaimBody, HostBody, Record, Refusal, SettingsBody, Signed, StatementBody,
};
use crate::time::{Age, Now};

/// A record as it is passed on, with the age of its host's newest record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgedRecord {
    /// The record.
    pub record: Record,
    /// For a host record, its age; for the other kinds of no meaning and [`Age::NEW`].
    pub age: Age,
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// Nothing new.
    Known,
    /// Only the age moved, or a renewal that changes nothing else.
    Renewed,
    /// Something new that may change the view.
    New,
    /// No room, or not to be believed.
    Refused(Refusal),
}

/// All records, by host.
#[derive(Debug, Clone, Default)]
pub struct Store {
    hosts: BTreeMap<HostKey, HostEntry>,
    ids: BTreeMap<NodeId, HostKey>,
    settings: Option<Signed<SettingsBody>>,
    settings_stamp: (u64, u64),
    /// The longer TTL of before, and until when (CLOCK_BOOTTIME, milliseconds) it still counts for leases.
    longer_ttl: Option<(u64, u64)>,
    /// Whether this node says of a record that it has expired for good: not before it has joined, for its settings may be old.
    judges: bool,
    claims: usize,
    revision: u64,
}

impl Store {
    /// The network's settings, once known.
    pub fn settings(&self) -> Option<&Signed<SettingsBody>> {
        self.settings.as_ref()
    }

    /// One host's entry.
    pub fn host(&self, host: &HostKey) -> Option<&HostEntry> {
        self.hosts.get(host)
    }

    /// The host that goes by this id, if it is known.
    pub fn host_by_id(&self, id: NodeId) -> Option<&HostEntry> {
        self.hosts.get(self.ids.get(&id)?)
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = (&HostKey, &HostEntry)> {
        self.hosts.iter()
    }

    /// The number of claims held in the store, withdrawn ones included.
    pub fn claims(&self) -> usize {
        self.claims
    }

    /// Goes up whenever something changed that may change the view.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The TTL of the settings in force, or none while they are unknown.
    pub fn claim_ttl_ms(&self) -> Option<u64> {
        self.settings.as_ref().map(|settings| settings.claim_ttl_ms)
    }

    /// The TTL that leases are held against now. A TTL that was lowered comes into force one new TTL after this node learnt of
    /// it: until then every host that is alive has learnt of it too, and renews at the new pace.
    pub fn lease_ttl_ms(&self, now: Now) -> Option<u64> {
        match self.longer_ttl {
            Some((ttl, until_boot_ms)) if now.boot_ms < until_boot_ms => Some(ttl),
            _ => self.claim_ttl_ms(),
        }
    }

    /// This node has joined: from now on a record whose age reaches the TTL has expired for good.
    pub fn judge(&mut self, judges: bool) {
        self.judges = judges;
    }

    /// The TTL by which this node calls a record expired to others.
    fn judging_ttl_ms(&self, now: Now) -> Option<u64> {
        self.lease_ttl_ms(now).filter(|_| self.judges)
    }

    /// Takes in a record. `age` is the age it was passed with, and matters for host records only.
    pub fn merge(&mut self, now: Now, record: Record, age: Age) -> Merged {
        let merged = match record {
            Record::Host(record) => self.merge_host(now, record, age),
            Record::Claim(record) => self.merge_claim(now, record),
            Record::Settings(record) => self.merge_settings(now, record),
            Record::Certificate(record) => self.merge_certificate(now, record),
            Record::Statement(record) => self.merge_statement(now, record),
        };
        if merged == Merged::New {
            self.revision += 1;
        }
        merged
    }

    /// Raises the age of a host's record, when somebody knew this very `seq` for longer. Returns whether it had an effect.
    pub fn raise_age(&mut self, now: Now, host: &HostKey, seq: u64, age: Age) -> bool {
        let (ttl, judges) = (self.lease_ttl_ms(now), self.judges);
        let Some(entry) = self.hosts.get_mut(host) else { return false };
        if entry.record().is_none_or(|record| record.seq != seq) {
            return false;
        }
        let raised = entry.raise_age(now, age, ttl, judges);
        self.revision += u64::from(raised);
        raised
    }

    /// Forgets all of a host.
    pub(crate) fn forget(&mut self, host: &HostKey) {
        if let Some(entry) = self.hosts.remove(host) {
            self.claims -= entry.claim_count();
            self.ids.remove(&entry.id());
            self.revision += 1;
        }
    }

    /// Marks what has come to its end: expired records for good, and at twice the TTL a host's claims are dropped.
    /// Returns the hosts that have just expired.
    pub fn expire(&mut self, now: Now) -> Vec<HostKey> {
        let Some(ttl) = self.lease_ttl_ms(now) else { return Vec::new() };
        if self.longer_ttl.is_some_and(|(_, until)| now.boot_ms >= until) {
            self.longer_ttl = None;
            self.revision += 1;
        }
        let mut expired = Vec::new();
        for (host, entry) in &mut self.hosts {
            if entry.expire(now, ttl, self.judges) {
                expired.push(*host);
                self.revision += 1;
            }
            self.claims -= entry.forget(now, ttl);
        }
        // Entries that never had a host record hold nothing worth keeping.
        self.hosts.retain(|_, entry| {
            let keep = entry.record().is_some() || entry.age_ms(now) < 2 * ttl;
            if !keep {
                self.claims -= entry.claim_count();
                self.ids.remove(&entry.id());
            }
            keep
        });
        expired
    }

    /// When the next lease ends, or the TTL that leases are held against changes, on CLOCK_BOOTTIME in milliseconds.
    pub fn next_lease_end_boot_ms(&self) -> Option<u64> {
        let ttl = self.longer_ttl.map(|(ttl, _)| ttl).or(self.claim_ttl_ms())?;
        let running = self.hosts.values().filter(|entry| entry.runs());
        let lease = running.map(|entry| entry.lease_end_boot_ms(ttl)).min();
        lease.into_iter().chain(self.longer_ttl.map(|(_, until)| until)).min()
    }

    /// The largest epoch any host ever claimed `name` with, as far as this node knows.
    pub fn largest_epoch(&self, name: &ClaimName) -> Option<u64> {
        self.hosts.values().filter_map(|entry| entry.claim(name)).map(|claim| claim.epoch).max()
    }

    /// The largest witness's time known for `name`.
    pub fn largest_witness_time(&self, name: &ClaimName) -> Option<u64> {
        let settings = self.settings()?;
        let witnesses = settings.witnesses.iter().chain(&settings.former_witnesses);
        let witnesses: Vec<&HostEntry> = witnesses.filter_map(|witness| self.hosts.get(witness)).collect();
        let claimants = self.hosts.iter().filter(|(_, entry)| entry.claim(name).is_some());
        let stated = claimants.flat_map(|(host, _)| witnesses.iter().filter_map(|w| w.statement(host, name)));
        stated.map(|statement| statement.at).max()
    }

    /// What to send of a host to a peer that lacks it: everything, or only the host record and its age.
    pub fn records_of(&self, now: Now, host: &HostKey, everything: bool) -> Vec<AgedRecord> {
        let Some(entry) = self.hosts.get(host) else { return Vec::new() };
        entry.records(now, self.judging_ttl_ms(now), everything)
    }

    fn merge_host(&mut self, now: Now, record: Signed<HostBody>, age: Age) -> Merged {
        let (ttl, judges) = (self.lease_ttl_ms(now), self.judges);
        let host = record.host;
        match self.entry(now, host) {
            Ok(entry) => entry.merge_host(now, record, age, ttl, judges),
            Err(refusal) => Merged::Refused(refusal),
        }
    }

    fn merge_claim(&mut self, now: Now, record: Signed<ClaimBody>) -> Merged {
        let full = self.claims >= MAX_NAMES;
        let entry = match self.entry(now, record.host) {
            Ok(entry) => entry,
            Err(refusal) => return Merged::Refused(refusal),
        };
        if full && entry.claim(&record.name).is_none() {
            return Merged::Refused(Refusal::OverLimit("100,000 names in the network"));
        }
        let before = entry.claim_count();
        let merged = entry.merge_claim(record);
        let after = entry.claim_count();
        self.claims = self.claims + after - before;
        merged
    }

    fn merge_settings(&mut self, now: Now, record: Signed<SettingsBody>) -> Merged {
        let newer = self.settings.as_ref().is_none_or(|have| {
            record.revision.cmp(&have.revision).then_with(|| record.canonical_order(have)).is_gt()
        });
        if !newer {
            return Merged::Known;
        }
        let before = self.lease_ttl_ms(now).filter(|ttl| *ttl > record.claim_ttl_ms);
        self.longer_ttl = before.map(|ttl| (ttl, now.boot_ms.saturating_add(record.claim_ttl_ms)));
        self.set_settings(record);
        Merged::New
    }

    fn set_settings(&mut self, record: Signed<SettingsBody>) {
        self.settings_stamp = digest::settings_stamp(record.revision, &record.encode());
        for (host, entry) in &mut self.hosts {
            entry.look_again();
            if !is_witness(&record, host) {
                entry.drop_statements();
            }
        }
        self.settings = Some(record);
    }

    fn merge_certificate(&mut self, now: Now, record: Signed<CertificateBody>) -> Merged {
        match self.entry(now, record.host) {
            Ok(entry) => entry.merge_certificate(record),
            Err(refusal) => Merged::Refused(refusal),
        }
    }

    fn merge_statement(&mut self, now: Now, record: Signed<StatementBody>) -> Merged {
        // Whose statements nobody asks for could fill the memory with them. If settings name it later, a synchronisation
        // brings them again.
        if self.settings().is_none_or(|settings| !is_witness(settings, &record.witness)) {
            return Merged::Known;
        }
        match self.entry(now, record.witness) {
            Ok(entry) => entry.merge_statement(record),
            Err(refusal) => Merged::Refused(refusal),
        }
    }

    /// The entry of a host, made if there is room. The room of the host that expired longest ago is taken if need be.
    fn entry(&mut self, now: Now, host: HostKey) -> Result<&mut HostEntry, Refusal> {
        if !self.hosts.contains_key(&host) && self.hosts.len() >= MAX_HOSTS {
            let settings = self.settings.as_deref();
            let witness = |host| settings.is_some_and(|settings| is_witness(settings, host));
            // What a witness stated stands, be it dead.
            let oldest = self.hosts.iter().filter(|(host, entry)| entry.is_expendable() && !witness(host));
            let Some(oldest) = oldest.max_by_key(|(_, entry)| entry.age_ms(now)).map(|(host, _)| *host)
            else {
                return Err(Refusal::OverLimit("4,096 hosts in the network"));
            };
            if let Some(entry) = self.hosts.remove(&oldest) {
                self.claims -= entry.claim_count();
                self.ids.remove(&entry.id());
            }
        }
        let ids = &mut self.ids;
        Ok(self.hosts.entry(host).or_insert_with(|| {
            let entry = HostEntry::new(now, host);
            ids.insert(entry.id(), host);
            entry
        }))
    }
}

fn is_witness(settings: &SettingsBody, host: &HostKey) -> bool {
    settings.witnesses.contains(host) || settings.former_witnesses.contains(host)
}
