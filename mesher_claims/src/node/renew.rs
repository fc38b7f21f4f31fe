//! Claiming, withdrawing and renewing: what a running host signs.

use super::{Effect, Node, Phase};
use crate::names::ClaimName;
use crate::record::{ClaimBody, ClaimState, HostBody, MAX_STAMP, Record, Signed};
use crate::store::{AgedRecord, MAX_NAMES_PER_HOST};
use crate::time::{Age, Now, renewal_interval_ms};

/// An epoch further ahead of mesh time than this gives no precedence over newcomers: otherwise one absurd epoch could push
/// the stamps of everybody who claims that name to the end of the range. Fifty years, in milliseconds.
pub(super) const MAX_LEAD_MS: u64 = 50 * 366 * 86_400_000;

impl Node {
    pub(super) fn tick_running(&mut self, now: Now) {
        if !self.gives_up_if_broken(now) && now.boot_ms >= self.next_renewal_boot_ms {
            self.reconcile(now);
            self.ask_for_missed_renewals(now);
        }
    }

    /// Before a name is given away because nothing was heard of its holder, a peer is asked: the renewals may only have got lost.
    fn ask_for_missed_renewals(&mut self, now: Now) {
        let Some(ttl) = self.store.lease_ttl_ms(now) else { return };
        let missed = self.store.hosts().any(|(host, entry)| {
            *host != self.me
                && matches!(entry.age(now), Age::Fresh(age_ms) if age_ms / 9 >= ttl / 20 && age_ms < ttl)
        });
        if missed {
            self.synchronise_soon(now);
        }
    }

    /// Brings the own claims into line with the configuration, and signs a new host record, which renews every claim.
    pub(super) fn reconcile(&mut self, now: Now) {
        let mut changed = Vec::new();
        for (name, addresses) in self.config.names.clone() {
            let unsettled = self.unsettled.remove(&name).is_some();
            let epoch = match self.unbroken_claim(&name) {
                Some(claim)
                    if !unsettled && claim.addresses == addresses && claim.name.as_str() == name.as_str() =>
                {
                    continue;
                }
                Some(claim) => claim.epoch,
                None => {
                    if !self.clock_compared {
                        self.own.add_minted_alone(name.clone(), self.clock.at(now));
                    }
                    self.mint(now, self.store.largest_epoch(&name))
                }
            };
            changed.push(ClaimBody {
                host: self.me,
                name,
                epoch,
                state: ClaimState::Held,
                addresses,
                seq: 0,
            });
        }
        changed.extend(self.withdrawals());
        let mut records = Vec::new();
        for mut claim in changed {
            claim.seq = self.own.next_seq();
            let claim = Signed::sign(&self.network, &self.key, claim);
            self.own.set_claim(claim.clone());
            self.store.merge(now, Record::Claim(claim.clone()), Age::NEW);
            records.push(Record::Claim(claim));
        }
        self.announce(now, records);
    }

    /// The own claim on a name, if it goes on as it is.
    pub(super) fn unbroken_claim(&self, name: &ClaimName) -> Option<&ClaimBody> {
        let claim = self.own.claim(name)?;
        let unbroken = claim.state == ClaimState::Held && claim.epoch >= self.own.since();
        (unbroken && !self.is_voided(claim)).then_some(claim)
    }

    /// Signs a new host record.
    pub(super) fn renew(&mut self, now: Now) {
        self.announce(now, Vec::new());
    }

    /// To be called before anything is changed that a save may fail to keep.
    pub(super) fn note_renewal_before_saving(&mut self) {
        if !self.effects.contains(&Effect::SaveOwn) {
            self.renewal_before = (self.own.last_renewal(), self.renewed_in_this_run);
        }
    }

    /// A stamp above mesh time or what is `known`, and above every stamp this host ever used.
    pub(super) fn mint(&mut self, now: Now, known: Option<u64>) -> u64 {
        let mesh_ms = self.clock.at(now);
        let known = known.filter(|epoch| *epoch <= mesh_ms.saturating_add(MAX_LEAD_MS));
        let above = known.map_or(0, |epoch| epoch + 1).max(self.own.last_stamp() + 1);
        let stamp = mesh_ms.max(above).max(self.own.since()).min(MAX_STAMP);
        self.own.see_stamp(stamp);
        stamp
    }

    /// What is claimed and no longer wanted, and what others hold of this host that it does not know.
    fn withdrawals(&mut self) -> Vec<ClaimBody> {
        let unsettled = std::mem::take(&mut self.unsettled);
        let wanted = &self.config.names;
        let given_up = self.own.claims().filter(|claim| {
            !wanted.contains_key(&claim.name)
                && (claim.state == ClaimState::Held || unsettled.contains_key(&claim.name))
        });
        let foreign = unsettled.values().filter(|claim| self.own.claim(&claim.name).is_none());
        let withdrawn: Vec<ClaimBody> = given_up
            .chain(foreign)
            .map(|claim| ClaimBody { state: ClaimState::Withdrawn, addresses: None, ..(**claim).clone() })
            .collect();
        self.make_room(withdrawn.len());
        withdrawn
    }

    /// Withdrawals are remembered, for a peer that was away may still bring the claim back, but not without end.
    fn make_room(&mut self, more: usize) {
        let mut withdrawn: Vec<(u64, ClaimName)> = self
            .own
            .claims()
            .filter(|claim| claim.state == ClaimState::Withdrawn)
            .map(|claim| (claim.seq, claim.name.clone()))
            .collect();
        withdrawn.sort_unstable();
        let over = (self.own.claims().count() + more).saturating_sub(MAX_NAMES_PER_HOST);
        withdrawn.into_iter().take(over).for_each(|(_, name)| self.own.forget_claim(&name));
    }

    /// Signs the host record, then saves, then lets the records out.
    fn announce(&mut self, now: Now, mut changed: Vec<Record>) {
        let Some(ttl) = self.store.claim_ttl_ms() else { return };
        if self.phase != Phase::Running {
            return;
        }
        if std::mem::take(&mut self.announce_all) {
            changed = self.own.claims().cloned().map(Record::Claim).collect();
            // The store has forgotten them if this host was away for long.
            for claim in &changed {
                self.store.merge(now, claim.clone(), Age::NEW);
            }
            changed.extend(self.own.statements().cloned().map(Record::Statement));
            changed.extend(
                self.store.host(&self.me).and_then(|e| e.certificate()).cloned().map(Record::Certificate),
            );
        }
        let record = HostBody {
            host: self.me,
            label: self.config.label.clone(),
            addresses: self.config.addresses.clone(),
            since: self.own.since(),
            instance: self.instance,
            renewed_at_ms: now.wall_ms.min(MAX_STAMP),
            seq: self.own.next_seq(),
        };
        let record = Signed::sign(&self.network, &self.key, record);
        self.note_renewal_before_saving();
        self.own.set_record(record.clone(), now);
        self.renewed_in_this_run = true;
        self.unsaved = false;
        self.store.merge(now, Record::Host(record.clone()), Age::NEW);
        self.next_renewal_boot_ms = now.boot_ms + renewal_interval_ms(ttl);
        // The claims go first: a host record that outruns them would let peers count the host without its names.
        changed.push(Record::Host(record));
        self.effects.push(Effect::SaveOwn);
        self.effects.push(Effect::Carry(changed.clone()));
        let aged = changed.into_iter().map(|record| AgedRecord { record, age: Age::NEW });
        self.effects.push(Effect::Push(aged.collect()));
    }
}
