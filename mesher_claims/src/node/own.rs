//! What a host remembers of itself: what it signed last, so that it never contradicts it.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::names::ClaimName;
use crate::record::{ClaimBody, HostBody, Refusal, Signed};
use crate::time::Now;

/// The own state. All of it is on disk before the first datagram that carries any of it.
#[derive(Debug, Clone, Default)]
pub struct OwnState {
    seq: u64,
    since: u64,
    last_stamp: u64,
    last_renewal: Option<Now>,
    minted_alone: bool,
    record: Option<Signed<HostBody>>,
    claims: BTreeMap<ClaimName, Signed<ClaimBody>>,
}

/// The own state in the form in which it is saved.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct SavedOwn {
    seq: u64,
    since: u64,
    last_stamp: u64,
    last_renewal: Option<Now>,
    minted_alone: bool,
    record: Option<Vec<u8>>,
    claims: Vec<Vec<u8>>,
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

    /// Whether claims were minted before this host had ever synchronised with a peer.
    pub fn minted_alone(&self) -> bool {
        self.minted_alone
    }

    /// The form in which it is saved.
    pub fn to_saved(&self) -> SavedOwn {
        SavedOwn {
            seq: self.seq,
            since: self.since,
            last_stamp: self.last_stamp,
            last_renewal: self.last_renewal,
            minted_alone: self.minted_alone,
            record: self.record.as_ref().map(Signed::encode),
            claims: self.claims.values().map(Signed::encode).collect(),
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
        Ok(Self {
            seq: saved.seq,
            since: saved.since,
            last_stamp: saved.last_stamp,
            last_renewal: saved.last_renewal,
            minted_alone: saved.minted_alone,
            record: saved.record.as_deref().map(Signed::decode_trusted).transpose()?,
            claims: claims.collect::<Result<_, _>>()?,
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

    pub(super) fn set_minted_alone(&mut self, alone: bool) {
        self.minted_alone = alone;
    }

    pub(super) fn set_record(&mut self, record: Signed<HostBody>, at: Now) {
        self.record = Some(record);
        self.last_renewal = Some(at);
    }

    pub(super) fn set_since(&mut self, since: u64) {
        self.since = since;
        self.see_stamp(since);
    }

    pub(super) fn see_record(&mut self, record: &HostBody) {
        self.see_seq(record.seq);
        self.see_stamp(record.since);
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
