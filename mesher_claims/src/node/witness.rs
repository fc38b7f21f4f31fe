//! What a witness does: it states when it first saw a claim, and takes that back when it saw the claimant's lease run out.
//!
//! A statement is about exactly one host, name and epoch, and a witness makes one for each claim, never a second: who lost its
//! statement claims anew. It keeps its statements in its own state, for it must not make another after losing the store.

use super::{Effect, Node, Phase};
use crate::keys::HostKey;
use crate::names::ClaimName;
use crate::record::{ClaimBody, MAX_STAMP, Record, Signed, StatementBody};
use crate::store::{AgedRecord, Merged};
use crate::time::{Age, Now};

use super::renew::MAX_LEAD_MS;

/// So long after a statement on an own claim was taken back, the claim is made anew.
const SETTLE_MS: u64 = 200;

impl Node {
    /// Signs what is due of this host as a witness. Returns whether it signed anything.
    pub(super) fn witness(&mut self, now: Now) -> bool {
        if self.phase != Phase::Running || self.witnessed_revision == Some(self.store.revision()) {
            return false;
        }
        self.witnessed_revision = Some(self.store.revision());
        if !self.settings().is_some_and(|settings| settings.witnesses.contains(&self.me)) {
            return false;
        }
        let mut records = self.say_again(now);
        records.extend(self.take_back(now));
        for (name, host, epoch) in self.unstated() {
            let at = self.witness_time(now, &name);
            let body = StatementBody { witness: self.me, host, name, epoch, at, void: false, seq: 0 };
            records.push(self.state(now, body));
        }
        if records.is_empty() {
            return false;
        }
        self.witnessed_revision = Some(self.store.revision());
        self.note_renewal_before_saving();
        self.effects.push(Effect::SaveOwn);
        self.effects.push(Effect::Carry(records.clone()));
        let aged = records.into_iter().map(|record| AgedRecord { record, age: Age::NEW });
        self.effects.push(Effect::Push(aged.collect()));
        true
    }

    /// A statement came: one of this very host from before it lost its state, or one on its own claims.
    pub(super) fn statement_from_outside(&mut self, now: Now, statement: &Signed<StatementBody>) {
        if statement.witness == self.me && self.own.see_statement(statement) {
            // To be held against what the store makes of it.
            self.witnessed_revision = None;
        }
        if statement.host == self.me && statement.void {
            self.next_renewal_boot_ms = self.next_renewal_boot_ms.min(now.boot_ms + SETTLE_MS);
        }
    }

    /// Whether witnesses saw the lease of an own claim run out, and none stands by it.
    pub(super) fn is_voided(&self, claim: &ClaimBody) -> bool {
        let Some(settings) = self.settings().filter(|settings| !settings.witnesses.is_empty()) else {
            return false;
        };
        let witnesses = settings.witnesses.iter().chain(&settings.former_witnesses);
        let mut stated = witnesses
            .filter_map(|witness| self.store.host(witness)?.statement(&self.me, &claim.name))
            .filter(|statement| statement.epoch == claim.epoch)
            .peekable();
        stated.peek().is_some() && stated.all(|statement| statement.void)
    }

    /// The claims in view that this witness has not stated anything about yet, each name's in the order of the view.
    fn unstated(&self) -> Vec<(ClaimName, HostKey, u64)> {
        let mut unstated = Vec::new();
        for (name, standing) in self.view.names() {
            for claimant in standing.claimants.iter().chain(&standing.unwitnessed) {
                let stated = self.own.statement(&claimant.host, name);
                if stated.is_none_or(|statement| statement.epoch != claimant.epoch) {
                    unstated.push((name.clone(), claimant.host, claimant.epoch));
                }
            }
        }
        unstated
    }

    /// Says again what the store has otherwise, or not at all.
    ///
    /// A witness that lost its state may have used a `seq` twice: its peers then keep the one or the other, and a claim that it means to
    /// have stated would count for nobody. It signs anew; the time stays what it was. And while the settings did not name it, everybody
    /// forgot what it had stated, this host's store too: that goes out as it was.
    fn say_again(&mut self, now: Now) -> Vec<Record> {
        let seen = |own: &StatementBody| self.store.host(&self.me)?.statement(&own.host, &own.name);
        let (mut otherwise, mut forgotten) = (Vec::new(), Vec::new());
        for own in self.own.statements() {
            match seen(own) {
                None => forgotten.push(Record::Statement(own.clone())),
                Some(seen) if seen != own => otherwise.push((**own).clone()),
                Some(_) => {}
            }
        }
        forgotten.retain(|record| self.store.merge(now, record.clone(), Age::NEW) == Merged::New);
        forgotten.extend(otherwise.into_iter().map(|body| self.state(now, body)));
        forgotten
    }

    /// Takes back the statements on hosts whose lease has run out, unless this witness sees nobody: then it is the one away.
    fn take_back(&mut self, now: Now) -> Vec<Record> {
        let leased = |host: &HostKey| {
            let ttl = self.store.lease_ttl_ms(now).unwrap_or(0);
            self.store.host(host).is_some_and(|entry| entry.is_leased(now, ttl))
        };
        if !self.store.hosts().any(|(host, _)| *host != self.me && leased(host)) {
            return Vec::new();
        }
        let over = self.own.statements().filter(|statement| !statement.void);
        let over = over.filter(|statement| {
            statement.host != self.me
                && self.store.host(&statement.host).is_some()
                && !leased(&statement.host)
        });
        let bodies: Vec<StatementBody> =
            over.map(|statement| StatementBody { void: true, ..(**statement).clone() }).collect();
        bodies.into_iter().map(|body| self.state(now, body)).collect()
    }

    fn witness_time(&self, now: Now, name: &ClaimName) -> u64 {
        let mesh_ms = self.clock.at(now);
        let known = self.store.largest_witness_time(name);
        // One absurd time of a lying witness must not push everybody's to the end of the range.
        let known = known.filter(|at| *at <= mesh_ms.saturating_add(MAX_LEAD_MS));
        mesh_ms.max(known.map_or(0, |at| at + 1)).min(MAX_STAMP)
    }

    fn state(&mut self, now: Now, mut body: StatementBody) -> Record {
        body.seq = self.own.next_seq();
        let statement = Signed::sign(&self.network, &self.key, body);
        self.own.set_statement(statement.clone());
        let record = Record::Statement(statement);
        self.store.merge(now, record.clone(), Age::NEW);
        record
    }
}
