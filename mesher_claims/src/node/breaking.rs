//! When this host's claims are broken: it has not renewed them for nearly the TTL, or a peer says so.

use super::{Node, Phase};
use crate::event::BrokenBy;
use crate::time::{Age, Now, broken_after_ms};

impl Node {
    /// A running host whose claims are broken joins again before it signs anything more. To be asked before anything else is
    /// done with what comes in: whatever came first after a suspension could otherwise renew what others have given away.
    pub(super) fn gives_up_if_broken(&mut self, now: Now) -> bool {
        // While nothing can be saved, nothing is announced either, and each attempt looks anew.
        let retrying = self.unsaved && now.boot_ms < self.next_renewal_boot_ms;
        let Some(ttl) = self.store.claim_ttl_ms().filter(|_| self.phase == Phase::Running && !retrying)
        else {
            return false;
        };
        let Some(why) = self.broken_by(now, ttl) else { return false };
        self.peer_said_expired = why == BrokenBy::Peer;
        self.rejoin(now);
        true
    }

    /// Whether nearly the TTL has gone by without a renewal of this host's own.
    pub(super) fn lapsed(&self, now: Now, claim_ttl_ms: u64) -> bool {
        let Some(last) = self.own.last_renewal() else { return true };
        // While running, a jump of the wall clock says nothing.
        let passed_ms = match self.renewed_in_this_run {
            true => now.boot_ms.saturating_sub(last.boot_ms),
            false => now.passed_since(last),
        };
        passed_ms >= broken_after_ms(claim_ttl_ms)
    }

    /// This host's claims are broken: in its own view too, nobody is to find it by them.
    pub(super) fn give_own_names_up(&mut self, now: Now) {
        if let Some(seq) = self.own.record().map(|record| record.seq) {
            self.store.raise_age(now, &self.me, seq, Age::Expired);
        }
    }

    pub(super) fn broken_by(&self, now: Now, claim_ttl_ms: u64) -> Option<BrokenBy> {
        if self.own.record().is_none() {
            None
        } else if self.peer_said_expired {
            Some(BrokenBy::Peer)
        } else if self.lapsed(now, claim_ttl_ms) {
            Some(BrokenBy::Lapse)
        } else {
            None
        }
    }
}
