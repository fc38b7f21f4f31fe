//! The store as it is kept on disk between two runs.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{HostEntry, Store};
use crate::keys::HostKey;
use crate::record::{Body, Refusal, Signed};
use crate::time::{Age, Now};

/// The store at one moment. Ages are kept as they were then, together with the wall clock.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct SavedStore {
    saved_at: Now,
    settings: Option<Vec<u8>>,
    hosts: Vec<SavedHost>,
}

#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
struct SavedHost {
    host: HostKey,
    record: Option<Vec<u8>>,
    age_ms: u64,
    expired: bool,
    claims: Vec<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    statements: Vec<Vec<u8>>,
}

impl Store {
    /// The store's content, for saving.
    pub fn save(&self, now: Now) -> SavedStore {
        let hosts = self.hosts.iter().map(|(host, entry)| SavedHost {
            host: *host,
            record: entry.record().map(Signed::encode),
            age_ms: entry.age_ms(now),
            expired: entry.is_expired(),
            claims: entry.claims().map(Signed::encode).collect(),
            certificate: entry.certificate().map(Signed::encode),
            statements: entry.statements().map(Signed::encode).collect(),
        });
        SavedStore { saved_at: now, settings: self.settings().map(Signed::encode), hosts: hosts.collect() }
    }

    /// Makes a store of what was saved. Every age has grown by what this machine's clocks say has passed since, the larger of
    /// the two: see [`Now::passed_since`].
    ///
    /// # Errors
    /// When a record cannot be decoded; the caller sets the file aside.
    pub fn restore(saved: &SavedStore, now: Now) -> Result<Self, Refusal> {
        let mut store = Self::default();
        if let Some(bytes) = &saved.settings {
            store.set_settings(Signed::decode_trusted(bytes)?);
        }
        let passed_ms = now.passed_since(saved.saved_at);
        for host in &saved.hosts {
            store.restore_host(host, passed_ms, now)?;
        }
        Ok(store)
    }

    fn restore_host(&mut self, saved: &SavedHost, passed_ms: u64, now: Now) -> Result<(), Refusal> {
        let record = saved.record.as_deref().map(Signed::decode_trusted).transpose()?;
        let certificate = saved.certificate.as_deref().map(Signed::decode_trusted).transpose()?;
        let claims = decode_all(&saved.claims)?;
        let statements = decode_all(&saved.statements)?;
        let mut entry = HostEntry::new(now, saved.host);
        record.map(|record| entry.merge_host(now, record, Age::NEW, None, false));
        certificate.map(|certificate| entry.merge_certificate(certificate));
        claims.into_iter().for_each(|claim| drop(entry.merge_claim(claim)));
        statements.into_iter().for_each(|statement| drop(entry.merge_statement(statement)));
        let age_ms = saved.age_ms.saturating_add(passed_ms);
        entry.restore_age(now.boot_ms.cast_signed().saturating_sub_unsigned(age_ms), saved.expired);
        self.claims += entry.claim_count();
        self.ids.insert(entry.id(), saved.host);
        self.hosts.insert(saved.host, entry);
        Ok(())
    }
}

fn decode_all<B: Body>(all: &[Vec<u8>]) -> Result<Vec<Signed<B>>, Refusal> {
    all.iter().map(|bytes| Signed::decode_trusted(bytes)).collect()
}
