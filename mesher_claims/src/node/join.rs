//! Joining: a node claims only after it has synchronised with one peer, or has waited in vain.
//!
//! Not every peer will do. One that is joining itself may know the settings and nobody yet, or what was true a week ago: who
//! claimed a name by that would hold, in its own eyes, what others have held all along. So whoever has something to claim anew
//! waits for a peer that has joined, or for `join_timeout`. Whoever only goes on renewing does with a peer that was a
//! member before: so a mesh whose machines all restart at once is back at once.

use std::collections::BTreeMap;

use super::{Node, Phase};
use crate::event::{BrokenBy, Event, JoinedBy};
use crate::message::Standing;
use crate::names::ClaimName;
use crate::record::{ClaimBody, ClaimState, Record, Signed};
use crate::time::{Age, Now};

/// A clock that was slow by more than this when claims were minted alone has them moved, once.
const RAISE_OVER_MS: i64 = 60_000;

impl Node {
    pub(super) fn tick_joining(&mut self, now: Now, until_boot_ms: u64) {
        let waited = now.boot_ms >= until_boot_ms;
        if self.settings().is_none() {
            if waited && !self.waiting_told {
                self.waiting_told = true;
                self.tell(Event::WaitingForSettings);
            }
        } else if waited {
            let how = match (self.config.has_peers, self.answered) {
                (false, _) => JoinedBy::Alone,
                (true, false) => JoinedBy::Timeout,
                (true, true) => JoinedBy::TimeoutAnswered,
            };
            self.finish_join(now, how);
        }
    }

    /// What this node says of itself when it answers a digest.
    pub(super) fn standing(&self) -> Standing {
        match self.phase {
            Phase::Joining { .. } if self.fresh => Standing::Newcomer,
            Phase::Joining { .. } => Standing::Returning,
            Phase::Running | Phase::Silenced => Standing::Joined,
        }
    }

    /// Whether to know what a peer of this standing knows is to be synchronised.
    pub(super) fn suffices(&self, now: Now, peer: Standing) -> bool {
        match peer {
            _ if !matches!(self.phase, Phase::Joining { .. }) => true,
            Standing::Newcomer => false,
            Standing::Returning => !self.has_to_mint(now),
            Standing::Joined => true,
        }
    }

    /// Whether joining now would claim anything anew.
    fn has_to_mint(&self, now: Now) -> bool {
        let broken = self.store.claim_ttl_ms().is_none_or(|ttl| self.broken_by(now, ttl).is_some());
        self.fresh || broken || self.config.names.keys().any(|name| self.unbroken_claim(name).is_none())
    }

    /// One peer's whole digest is satisfied, settings included.
    pub(super) fn synchronised(&mut self, now: Now) {
        self.wanted = None;
        self.asking.satisfied();
        let peers = self.peer_clocks(now);
        if !peers.is_empty() {
            let moved_ms = self.clock.correct(now, peers);
            self.clock_compared = true;
            // What was minted alone is judged at the first meeting with somebody who has a clock to show.
            // Who has yielded to a copy of its key signs nothing more, not even for its own store.
            let alone = match self.phase {
                Phase::Silenced => BTreeMap::new(),
                Phase::Joining { .. } | Phase::Running => self.own.take_minted_alone(),
            };
            if moved_ms > RAISE_OVER_MS && !alone.is_empty() {
                self.raise_epochs(now, &alone, moved_ms.unsigned_abs());
            }
        }
        if matches!(self.phase, Phase::Joining { .. }) {
            self.finish_join(now, JoinedBy::Synchronised);
        }
    }

    /// A node that lapsed while it ran joins again before it claims: meanwhile others may have claimed its names.
    pub(super) fn rejoin(&mut self, now: Now) {
        let wait_ms = if self.config.has_peers { self.config.join_timeout_ms } else { 0 };
        self.phase = Phase::Joining { until_boot_ms: now.boot_ms + wait_ms };
        self.asking.anew(now.boot_ms);
        self.wanted = None;
        self.answered = false;
        self.give_own_names_up(now);
    }

    /// What each live peer's wall clock shows now, by its last renewal and that renewal's age.
    fn peer_clocks(&self, now: Now) -> Vec<u64> {
        let ttl = self.store.claim_ttl_ms().unwrap_or(u64::MAX);
        let peers = self.store.hosts().filter(|(host, entry)| **host != self.me && entry.is_leased(now, ttl));
        let clocks = peers.filter_map(|(_, entry)| match (entry.record(), entry.age(now)) {
            (Some(record), Age::Fresh(age_ms)) => Some(record.renewed_at_ms.saturating_add(age_ms)),
            _ => None,
        });
        clocks.collect()
    }

    /// Decides whether the claims are broken, then announces what holds from now on.
    fn finish_join(&mut self, now: Now, how: JoinedBy) {
        let Some(ttl) = self.store.claim_ttl_ms() else { return };
        self.tell(Event::Joined { how });
        // Joining may have taken so long that the store forgot it: what has no host record is not kept for long.
        self.take_up_certificate(now);
        let adopted = self.fresh && self.adopt(now);
        if !adopted {
            let broken = self.broken_by(now, ttl);
            if broken.is_some() || self.own.last_renewal().is_none() {
                self.break_claims(now, broken);
            }
        }
        self.fresh = false;
        self.peer_said_expired = false;
        self.phase = Phase::Running;
        // What was awaited counts from now on.
        self.viewed_revision = None;
        self.store.judge(true);
        self.announce_all = true;
        self.reconcile(now);
    }

    /// With nothing on disk, takes up the own records that peers have kept, if they have not expired there.
    fn adopt(&mut self, now: Now) -> bool {
        let Some(entry) = self.store.host(&self.me) else { return false };
        let Some(record) = entry.record().cloned() else { return false };
        let alive = self.store.claim_ttl_ms().is_some_and(|ttl| entry.is_leased(now, ttl));
        let claims: Vec<Signed<ClaimBody>> = entry.claims().cloned().collect();
        let names = claims.iter().filter(|claim| claim.state == ClaimState::Held).count();
        self.own.see_record(&record);
        claims.into_iter().for_each(|claim| self.own.set_claim(claim));
        if alive {
            self.own.set_since(record.since);
            self.tell(Event::Adopted { names });
        }
        alive
    }

    /// Sets `since` above everything this host ever claimed with, so that no old claim of its can come back.
    fn break_claims(&mut self, now: Now, why: Option<BrokenBy>) {
        let held = self.own.claims().filter(|claim| claim.state == ClaimState::Held).count();
        let known = self.own.claims().map(|claim| claim.epoch).max();
        let since = self.mint(now, known);
        self.own.set_since(since);
        if let Some(why) = why
            && held > 0
        {
            self.tell(Event::ClaimsBroken { why, names: held });
        }
    }

    /// Moves claims that were minted by a clock that was slow by `by_ms` to when they were really minted. One that lay ahead of
    /// that clock already, because others' epochs or own former ones were known, is moved only if that is still earlier.
    fn raise_epochs(&mut self, now: Now, alone: &BTreeMap<ClaimName, u64>, by_ms: u64) {
        let minted_ms = |clock_ms: &u64| clock_ms.saturating_add(by_ms).min(crate::record::MAX_STAMP);
        let raised = alone.iter().filter_map(|(name, clock_ms)| {
            let claim = self.own.claim(name).filter(|claim| claim.state == ClaimState::Held)?;
            let epoch = minted_ms(clock_ms);
            (epoch > claim.epoch).then(|| ClaimBody { epoch, ..(**claim).clone() })
        });
        let raised: Vec<ClaimBody> = raised.collect();
        if raised.is_empty() {
            return;
        }
        for mut claim in raised {
            self.own.see_stamp(claim.epoch);
            claim.seq = self.own.next_seq();
            let claim = Signed::sign(&self.network, &self.key, claim);
            self.own.set_claim(claim.clone());
            self.store.merge(now, Record::Claim(claim), Age::NEW);
        }
        self.tell(Event::EpochsRaised { by_ms });
        self.announce_all = true;
        self.renew(now);
    }
}
