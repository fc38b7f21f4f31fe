//! What a host remembers of itself: what it signed last, so that it never contradicts it.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::keys::HostKey;
use crate::names::ClaimName;
use crate::record::{ClaimBody, HostBody, Refusal, Signed, StatementBody};
use crate::time::Now;

/// The own state. All of it is on disk before the first datagram that carries any of it.
#[derive(Debug, Clone, Default)]
pub struct OwnState {
    seq: u64,
    since: u64,
    last_stamp: u64,
    last_renewal: Option<Now>,
    /// The host record before the last: the last may have been saved and never sent.
    record_before: u64,
    /// Names whose claims were minted before this host's clock had been held against a peer's, each with what the clock said
    /// then, in milliseconds since 1970.
    minted_alone: BTreeMap<ClaimName, u64>,
    /// Names that this host held when it last ran.
    held: BTreeSet<ClaimName>,
    record: Option<Signed<HostBody>>,
    claims: BTreeMap<ClaimName, Signed<ClaimBody>>,
    /// What this host stated as a witness, by claimant and name.
    statements: BTreeMap<(HostKey, ClaimName), Signed<StatementBody>>,
}

/// The own state in the form in which it is saved.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct SavedOwn {
    seq: u64,
    since: u64,
    last_stamp: u64,
    last_renewal: Option<Now>,
    /// The host record before the last: the last may have been saved and never sent.
    record_before: u64,
    minted_alone: Vec<(ClaimName, u64)>,
    held: Vec<ClaimName>,
    record: Option<Vec<u8>>,
    claims: Vec<Vec<u8>>,
    statements: Vec<Vec<u8>>,
}

impl OwnState {
    /// The last host record signed.
    pub fn record(&self) -> Option<&Signed<HostBody>> {
        self.record.as_ref()
    }

    /// The last record signed for each name ever claimed, withdrawn ones included.
    pub fn claims(&self) -> impl Iterator<Item = &Signed<ClaimBody>> {
        self.claims.values()
    }

    /// The last record signed for one name.
    pub fn claim(&self, name: &ClaimName) -> Option<&Signed<ClaimBody>> {
        self.claims.get(name)
    }

    /// Both clocks at the last renewal.
    pub fn last_renewal(&self) -> Option<Now> {
        self.last_renewal
    }

    /// The `seq` of the host record before the last.
    pub(super) fn record_before(&self) -> u64 {
        self.record_before
    }

    /// The largest `seq` used or seen.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The largest epoch or `since` ever minted.
    pub fn last_stamp(&self) -> u64 {
        self.last_stamp
    }

    /// No claim below this epoch is announced as held.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// Whether claims were minted before this host's clock had been held against a peer's.
    pub fn minted_alone(&self) -> bool {
        !self.minted_alone.is_empty()
    }

    /// The names that this host held when it last ran, as it saw it.
    pub fn held(&self) -> &BTreeSet<ClaimName> {
        &self.held
    }

    /// What this host stated as a witness.
    pub fn statements(&self) -> impl Iterator<Item = &Signed<StatementBody>> {
        self.statements.values()
    }

    /// What this host stated as a witness about one host's claim on one name.
    pub fn statement(&self, host: &HostKey, name: &ClaimName) -> Option<&Signed<StatementBody>> {
        self.statements.get(&(*host, name.clone()))
    }

    /// The form in which it is saved.
    pub fn to_saved(&self) -> SavedOwn {
        SavedOwn {
            seq: self.seq,
            since: self.since,
            last_stamp: self.last_stamp,
            last_renewal: self.last_renewal,
            record_before: self.record_before,
            minted_alone: self
                .minted_alone
                .iter()
                .map(|(name, clock_ms)| (name.clone(), *clock_ms))
                .collect(),
            held: self.held.iter().cloned().collect(),
            record: self.record.as_ref().map(Signed::encode),
            claims: self.claims.values().map(Signed::encode).collect(),
            statements: self.statements.values().map(Signed::encode).collect(),
        }
    }

    /// The state as it was saved.
    ///
    /// # Errors
    /// When a record in it cannot be decoded.
    pub fn from_saved(saved: SavedOwn) -> Result<Self, Refusal> {
        let claims = saved.claims.iter().map(|bytes| {
            let claim = Signed::<ClaimBody>::decode_trusted(bytes)?;
            Ok((claim.name.clone(), claim))
        });
        let statements = saved.statements.iter().map(|bytes| {
            let statement = Signed::<StatementBody>::decode_trusted(bytes)?;
            Ok(((statement.host, statement.name.clone()), statement))
        });
        Ok(Self {
            seq: saved.seq,
            since: saved.since,
            last_stamp: saved.last_stamp,
            last_renewal: saved.last_renewal,
            record_before: saved.record_before,
            minted_alone: saved.minted_alone.into_iter().collect(),
            held: saved.held.into_iter().collect(),
            record: saved.record.as_deref().map(Signed::decode_trusted).transpose()?,
            claims: claims.collect::<Result<_, _>>()?,
            statements: statements.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub(super) fn see_seq(&mut self, seen: u64) {
        self.seq = self.seq.max(seen);
    }

    pub(super) fn see_stamp(&mut self, stamp: u64) {
        self.last_stamp = self.last_stamp.max(stamp);
    }

    pub(super) fn add_minted_alone(&mut self, name: ClaimName, clock_ms: u64) {
        self.minted_alone.insert(name, clock_ms);
    }

    pub(super) fn take_minted_alone(&mut self) -> BTreeMap<ClaimName, u64> {
        std::mem::take(&mut self.minted_alone)
    }

    pub(super) fn set_held(&mut self, held: BTreeSet<ClaimName>) {
        self.held = held;
    }

    /// The last renewal never left this machine.
    pub(super) fn take_renewal_back(&mut self, before: Option<Now>) {
        self.last_renewal = before;
    }

    /// Keeps a statement if it is newer than what is known.
    pub(super) fn set_statement(&mut self, statement: Signed<StatementBody>) {
        self.see_seq(statement.seq);
        let key = (statement.host, statement.name.clone());
        if self.statements.get(&key).is_none_or(|have| have.seq < statement.seq) {
            self.statements.insert(key, statement);
        }
    }

    /// Takes note of a statement of this very host that came from outside: of before it lost its state, or had it set back. Of two
    /// on one host and name the one about the later claim stands, and of two about one claim the one signed last. Returns whether
    /// others may have it otherwise than this host.
    pub(super) fn see_statement(&mut self, seen: &Signed<StatementBody>) -> bool {
        self.see_seq(seen.seq);
        let key = (seen.host, seen.name.clone());
        if let Some(own) = self.statements.get(&key) {
            if own == seen || own.seq > seen.seq {
                return false;
            }
            let stands = (own.epoch, own.seq).cmp(&(seen.epoch, seen.seq)).then(own.canonical_order(seen));
            if stands.is_gt() {
                return true;
            }
        }
        self.statements.insert(key, seen.clone());
        true
    }

    pub(super) fn set_record(&mut self, record: Signed<HostBody>, at: Now) {
        self.record_before = self.record.as_ref().map_or(0, |record| record.seq);
        self.record = Some(record);
        self.last_renewal = Some(at);
    }

    pub(super) fn set_since(&mut self, since: u64) {
        self.since = since;
        self.see_stamp(since);
    }

    /// Takes note of a host record that this very host signed, and has forgotten. Its `since` stands: what it made void once
    /// must not come back.
    pub(super) fn see_record(&mut self, record: &HostBody) {
        self.see_seq(record.seq);
        self.set_since(self.since.max(record.since));
    }

    pub(super) fn set_claim(&mut self, claim: Signed<ClaimBody>) {
        self.see_seq(claim.seq);
        self.see_stamp(claim.epoch);
        self.claims.insert(claim.name.clone(), claim);
    }

    pub(super) fn forget_claim(&mut self, name: &ClaimName) {
        self.claims.remove(name);
    }
}
