//! One host's records and the age of the newest.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{AgedRecord, MAX_NAMES_PER_HOST, Merged};
use crate::keys::{HostKey, NodeId};
use crate::names::ClaimName;
use crate::record::{Body, CertificateBody, ClaimBody, HostBody, Record, Refusal, Signed, StatementBody};
use crate::time::{Age, Now};

/// All that is known of one host.
#[derive(Debug, Clone)]
pub struct HostEntry {
    id: NodeId,
    record: Option<Signed<HostBody>>,
    record_hash: u32,
    /// When the record's `seq` was first had by anyone, on this machine's CLOCK_BOOTTIME; before this boot it is negative.
    born_boot_ms: i64,
    /// Sticky: set when the age reached the TTL, cleared only by a higher `seq`.
    expired: bool,
    /// Its lease is over as far as this node can tell, which has not joined yet and may know an old TTL: not for good.
    over: bool,
    claims: BTreeMap<ClaimName, Signed<ClaimBody>>,
    certificate: Option<Signed<CertificateBody>>,
    statements: BTreeMap<(HostKey, ClaimName), Signed<StatementBody>>,
    /// Sum of the hashes of all records but the host record: equal on two nodes that have the same ones.
    fingerprint: u64,
    /// The part of it that the statements make up: they stand when their witness is dead.
    statements_fingerprint: u64,
}

impl HostEntry {
    pub(super) fn new(now: Now, host: HostKey) -> Self {
        Self {
            id: NodeId::from(host),
            record: None,
            record_hash: 0,
            born_boot_ms: now.boot_ms.cast_signed(),
            expired: false,
            over: false,
            claims: BTreeMap::new(),
            certificate: None,
            statements: BTreeMap::new(),
            fingerprint: 0,
            statements_fingerprint: 0,
        }
    }

    /// The newest host record. Claims may arrive before it; they count for nothing until it is there.
    pub fn record(&self) -> Option<&Signed<HostBody>> {
        self.record.as_ref()
    }

    /// All claims, withdrawn ones included.
    pub fn claims(&self) -> impl Iterator<Item = &Signed<ClaimBody>> {
        self.claims.values()
    }

    /// The claim on one name.
    pub fn claim(&self, name: &ClaimName) -> Option<&Signed<ClaimBody>> {
        self.claims.get(name)
    }

    /// The number of claims, withdrawn ones included.
    pub fn claim_count(&self) -> usize {
        self.claims.len()
    }

    /// The certificate with the highest serial.
    pub fn certificate(&self) -> Option<&Signed<CertificateBody>> {
        self.certificate.as_ref()
    }

    /// What this host stated as a witness.
    pub fn statements(&self) -> impl Iterator<Item = &Signed<StatementBody>> {
        self.statements.values()
    }

    /// What this host stated as a witness about one host's claim on one name.
    pub fn statement(&self, host: &HostKey, name: &ClaimName) -> Option<&Signed<StatementBody>> {
        self.statements.get(&(*host, name.clone()))
    }

    /// The age of the host record.
    pub fn age(&self, now: Now) -> Age {
        if self.expired { Age::Expired } else { Age::Fresh(self.age_ms(now)) }
    }

    /// Whether the host's claims count under this TTL.
    pub fn is_leased(&self, now: Now, claim_ttl_ms: u64) -> bool {
        self.record.is_some() && self.age(now).under(claim_ttl_ms) != Age::Expired
    }

    /// When the lease ends, on CLOCK_BOOTTIME in milliseconds.
    pub fn lease_end_boot_ms(&self, claim_ttl_ms: u64) -> u64 {
        let end = self.born_boot_ms.saturating_add_unsigned(claim_ttl_ms);
        u64::try_from(end).unwrap_or(0)
    }

    /// Whether the record has expired for good.
    pub fn is_expired(&self) -> bool {
        self.expired
    }

    pub(super) fn id(&self) -> NodeId {
        self.id
    }

    pub(super) fn record_hash(&self) -> u32 {
        self.record_hash
    }

    /// Of what goes out of this host besides its record, at that age.
    pub(super) fn fingerprint(&self, age: Age) -> u64 {
        if age == Age::Expired { self.statements_fingerprint } else { self.fingerprint }
    }

    pub(super) fn age_ms(&self, now: Now) -> u64 {
        u64::try_from(now.boot_ms.cast_signed().saturating_sub(self.born_boot_ms)).unwrap_or(0)
    }

    /// Whether its place may be given to another host when there is no room.
    pub(super) fn is_expendable(&self) -> bool {
        // What a witness stated stands when it is away, and many names may rest on it.
        (self.expired && self.statements.is_empty()) || self.record.is_none()
    }

    pub(super) fn merge_host(
        &mut self,
        now: Now,
        record: Signed<HostBody>,
        age: Age,
        ttl: Option<u64>,
        judges: bool,
    ) -> Merged {
        let order = self.record.as_ref().map(|have| record.seq.cmp(&have.seq));
        match order {
            Some(std::cmp::Ordering::Less) => Merged::Known,
            Some(std::cmp::Ordering::Equal) => {
                let raised = self.raise_age(now, age, ttl, judges);
                let greater = self.record.as_ref().is_some_and(|have| record.canonical_order(have).is_gt());
                if greater {
                    self.set_record(record);
                }
                if raised || greater { Merged::New } else { Merged::Known }
            }
            Some(std::cmp::Ordering::Greater) | None => {
                let alike = self.record.as_ref().is_some_and(|have| {
                    have.addresses == record.addresses
                        && have.since == record.since
                        && have.label == record.label
                });
                let was_leased = ttl.is_some_and(|ttl| self.is_leased(now, ttl));
                self.set_record(record);
                self.set_age(now, age, ttl, judges);
                let leased = ttl.is_some_and(|ttl| self.is_leased(now, ttl));
                if alike && leased == was_leased { Merged::Renewed } else { Merged::New }
            }
        }
    }

    pub(super) fn merge_claim(&mut self, record: Signed<ClaimBody>) -> Merged {
        if let Some(have) = self.claims.get(&record.name) {
            if record.seq.cmp(&have.seq).then_with(|| record.canonical_order(have)).is_le() {
                return Merged::Known;
            }
        } else if self.claims.len() >= MAX_NAMES_PER_HOST {
            let Some((last, _)) = self.claims.last_key_value() else { return Merged::Known };
            if record.name > *last {
                return Merged::Refused(Refusal::OverLimit("4,096 names a host"));
            }
            let last = last.clone();
            self.remove_claim(&last);
        }
        self.remove_claim(&record.name.clone());
        self.fingerprint = self.fingerprint.wrapping_add(hash(&record));
        self.claims.insert(record.name.clone(), record);
        Merged::New
    }

    pub(super) fn merge_certificate(&mut self, record: Signed<CertificateBody>) -> Merged {
        let (added, mut removed) = (hash(&record), 0);
        if let Some(have) = &self.certificate {
            if record.serial.cmp(&have.serial).then_with(|| record.canonical_order(have)).is_le() {
                return Merged::Known;
            }
            removed = hash(have);
        }
        self.certificate = Some(record);
        self.fingerprint = self.fingerprint.wrapping_sub(removed).wrapping_add(added);
        Merged::New
    }

    pub(super) fn merge_statement(&mut self, record: Signed<StatementBody>) -> Merged {
        let key = (record.host, record.name.clone());
        let (added, mut removed) = (hash(&record), 0);
        if let Some(have) = self.statements.get(&key) {
            if record.seq.cmp(&have.seq).then_with(|| record.canonical_order(have)).is_le() {
                return Merged::Known;
            }
            removed = hash(have);
        } else if self.statements.len() >= super::MAX_NAMES {
            return Merged::Refused(Refusal::OverLimit("100,000 statements a witness"));
        }
        self.statements.insert(key, record);
        self.fingerprint = self.fingerprint.wrapping_sub(removed).wrapping_add(added);
        self.statements_fingerprint = self.statements_fingerprint.wrapping_sub(removed).wrapping_add(added);
        Merged::New
    }

    /// For an equal `seq` the larger age wins. Returns whether the lease ended by it.
    pub(super) fn raise_age(&mut self, now: Now, age: Age, ttl: Option<u64>, judges: bool) -> bool {
        if age <= self.age(now) {
            return false;
        }
        // A lease that time alone has ended counts as running until a tick has marked it: the view may still show it.
        let ran = self.runs();
        self.set_age(now, age, ttl, judges);
        ran != self.runs()
    }

    fn set_record(&mut self, record: Signed<HostBody>) {
        let bytes = hash(&record).to_le_bytes();
        self.record_hash = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        self.record = Some(record);
    }

    fn set_age(&mut self, now: Now, age: Age, ttl: Option<u64>, judges: bool) {
        let now_ms = now.boot_ms.cast_signed();
        let ms = match age {
            Age::Fresh(ms) => ms,
            // Since when is not known; what is known is that the TTL is over.
            Age::Expired => self.age_ms(now).max(ttl.unwrap_or(0)),
        };
        let over = ttl.is_some_and(|ttl| ms >= ttl);
        self.expired = age == Age::Expired || (over && judges);
        self.over = over;
        self.born_boot_ms = now_ms.saturating_sub_unsigned(ms);
    }

    /// Marks the record as expired once its age has reached the TTL, for good if this node judges. Returns whether that is new.
    pub(super) fn expire(&mut self, now: Now, ttl: u64, judges: bool) -> bool {
        let over = self.record.is_some() && !self.expired && self.age_ms(now) >= ttl;
        let new = over && !self.over;
        self.over = over;
        self.expired |= over && judges;
        new
    }

    /// Another TTL counts: what only this node took for over is looked at again.
    pub(super) fn look_again(&mut self) {
        self.over = false;
    }

    /// Whether its lease may still end.
    pub(super) fn runs(&self) -> bool {
        self.record.is_some() && !self.expired && !self.over
    }

    /// Drops the claims at twice the TTL. Returns how many.
    pub(super) fn forget(&mut self, now: Now, ttl: u64) -> usize {
        if !self.expired || self.age_ms(now) < ttl.saturating_mul(2) || self.claims.is_empty() {
            return 0;
        }
        let names: Vec<ClaimName> = self.claims.keys().cloned().collect();
        names.iter().for_each(|name| self.remove_claim(name));
        names.len()
    }

    pub(super) fn records(&self, now: Now, ttl: Option<u64>, everything: bool) -> Vec<AgedRecord> {
        let age = match ttl {
            Some(ttl) => self.age(now).under(ttl),
            None => self.age(now),
        };
        let plain = |record| AgedRecord { record, age: Age::NEW };
        let mut records = Vec::new();
        // Of an expired host only its record goes out, as a stub, for its claims are over; but what it stated as a witness stands.
        if everything && age != Age::Expired {
            records.extend(self.certificate.iter().cloned().map(Record::Certificate).map(plain));
            records.extend(self.claims.values().cloned().map(Record::Claim).map(plain));
        }
        if everything {
            records.extend(self.statements.values().cloned().map(Record::Statement).map(plain));
        }
        // Last, so that a reader who got it most likely got what it renews.
        records.extend(
            self.record.iter().cloned().map(|record| AgedRecord { record: Record::Host(record), age }),
        );
        records
    }

    pub(super) fn restore_age(&mut self, born_boot_ms: i64, expired: bool) {
        self.born_boot_ms = born_boot_ms;
        self.expired = expired;
    }

    /// Drops the statements. Returns whether there were any.
    pub(super) fn drop_statements(&mut self) -> bool {
        let any = !self.statements.is_empty();
        for statement in std::mem::take(&mut self.statements).values() {
            self.fingerprint = self.fingerprint.wrapping_sub(hash(statement));
        }
        self.statements_fingerprint = 0;
        any
    }

    fn remove_claim(&mut self, name: &ClaimName) {
        if let Some(old) = self.claims.remove(name) {
            self.fingerprint = self.fingerprint.wrapping_sub(hash(&old));
        }
    }
}

fn hash<B: Body>(record: &Signed<B>) -> u64 {
    let hash: [u8; 32] = Sha256::new().chain_update(B::KIND).chain_update(record.encode()).finalize().into();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(first)
}
