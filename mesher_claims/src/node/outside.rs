//! The own records as others show them: newer than what is known here, or equal but unlike.
//!
//! That happens when this host's state was lost or set back, or when another machine runs with a copy of its key.

use super::{Node, Phase};
use crate::event::Event;
use crate::record::{ClaimBody, HostBody, Record, Signed};
use crate::time::{Age, Now};

/// So often in one run another instance must overtake this one before it is taken for a copy: a single time may be this
/// host's own past, before it lost its state.
const OVERTAKEN_BY_A_COPY: u32 = 3;
/// So long after a foreign claim of this host was seen, this host's own word on it goes out.
const SETTLE_MS: u64 = 200;

impl Node {
    /// Takes a record of this very host that came from outside.
    pub(super) fn own_from_outside(&mut self, now: Now, record: Record, age: Age) {
        if self.phase == Phase::Silenced || (self.fresh && matches!(self.phase, Phase::Joining { .. })) {
            // Nothing is known here, or another machine speaks for this key: what peers have kept is all there is.
            self.note_seq(&record);
            self.store.merge(now, record, age);
            return;
        }
        match record {
            Record::Host(record) => self.own_host_record(now, &record, age),
            Record::Claim(claim) => self.own_claim(now, claim),
            record @ (Record::Certificate(_) | Record::Settings(_) | Record::Statement(_)) => {
                self.store.merge(now, record, age);
            }
        }
    }

    /// A peer's digest shows this host's latest record as expired: for the mesh this host was away too long.
    pub(super) fn own_age_from_outside(&mut self, now: Now, seq: u64, age: Age) {
        let latest = self.own.record().is_some_and(|record| record.seq == seq);
        // If the power went between saving and sending, the one before was the last that anybody saw.
        let latest = latest || (!self.renewed_in_this_run && seq == self.own.record_before());
        if age != Age::Expired || !latest || self.unsaved {
            return;
        }
        let by_boot = self.own.last_renewal().map_or(0, |last| now.boot_ms.saturating_sub(last.boot_ms));
        if self.renewed_in_this_run && self.shorter_ttl_ms.is_some_and(|ttl| by_boot >= ttl) {
            // The peer had not heard in time that the TTL was raised, and by the new one nothing is broken.
            self.next_renewal_boot_ms = now.boot_ms;
        } else {
            self.peer_said_expired = true;
        }
    }

    fn own_host_record(&mut self, now: Now, seen: &Signed<HostBody>, age: Age) {
        self.own_age_from_outside(now, seen.seq, age);
        let known = self.own.record().is_some_and(|own| own == seen || own.seq > seen.seq);
        if known {
            return;
        }
        self.own.see_record(seen);
        if self.phase != Phase::Running {
            // Signed anew on joining, above this one; until then nothing is lacking here that a peer could give.
            if seen.seq > self.own_record_seen {
                self.own_record_seen = seen.seq;
                self.tell(Event::OwnRecordAhead { seen: seen.seq });
            }
            return;
        }
        if seen.instance != self.instance && self.overtaken_by(seen.instance) {
            self.yield_to_copy(now, seen, age);
            return;
        }
        self.tell(Event::OwnRecordAhead { seen: seen.seq });
        self.reconcile(now);
    }

    fn own_claim(&mut self, now: Now, seen: Signed<ClaimBody>) {
        let own = self.own.claim(&seen.name);
        if own.is_some_and(|own| *own == seen || own.seq > seen.seq) {
            return;
        }
        self.own.see_seq(seen.seq);
        self.unsettled.insert(seen.name.clone(), seen);
        // Not at once: the host record it was announced with is on its way, and tells whether a copy of this host signed it.
        self.next_renewal_boot_ms = self.next_renewal_boot_ms.min(now.boot_ms + SETTLE_MS);
    }

    /// Counts how often another instance overtook this one. Returns whether this instance has stopped announcing for it.
    fn overtaken_by(&mut self, other: u64) -> bool {
        self.overtaken += 1;
        // One of the two must stop, and both must come to the same answer alone. The two overtake each other by turns: whoever is to
        // stop goes on for one time more, or the other might never have been overtaken often enough to know.
        let silenced = self.instance > other;
        if self.overtaken < OVERTAKEN_BY_A_COPY + u32::from(silenced) {
            return false;
        }
        if !self.copy_reported {
            self.copy_reported = true;
            self.tell(Event::KeyCopied { silenced });
        }
        if silenced {
            self.phase = Phase::Silenced;
        }
        silenced
    }

    /// From now on the other one speaks for this key: this machine's own table must not go on with what it said itself.
    fn yield_to_copy(&mut self, now: Now, seen: &Signed<HostBody>, age: Age) {
        // Nor may it keep the store from taking in the other's word: what only this machine signed may have the higher seq.
        self.store.forget(&self.me);
        self.store.merge(now, Record::Host(seen.clone()), age);
        for claim in std::mem::take(&mut self.unsettled).into_values() {
            self.store.merge(now, Record::Claim(claim), Age::NEW);
        }
        self.synchronise_soon(now);
    }

    fn note_seq(&mut self, record: &Record) {
        match record {
            Record::Host(record) => self.own.see_record(record),
            Record::Claim(claim) => self.own.see_seq(claim.seq),
            _ => {}
        }
    }
}
