//! What a host that starts takes up of its former run.

use super::Node;
use crate::record::Record;
use crate::time::{Age, Now};

impl Node {
    /// Puts the saved own records into the store, with the age they have by now.
    pub(super) fn take_up_saved_records(&mut self, now: Now) {
        // The store may have been saved with what could not be saved here.
        if let Some(entry) = self.store.host(&self.me).filter(|_| !self.fresh) {
            let (record, claims): (_, Vec<_>) = (entry.record().cloned(), entry.claims().cloned().collect());
            record.iter().for_each(|record| self.own.see_record(record));
            // Or it has the word of a copy of this machine's key, to which this one had yielded when it last ran.
            for claim in claims {
                let own = self.own.claim(&claim.name);
                if own.is_none_or(|own| *own != claim && own.seq <= claim.seq) {
                    self.own.see_seq(claim.seq);
                    self.unsettled.insert(claim.name.clone(), claim);
                }
            }
        }
        // What it stated stands, be it that only the store remembers: it states nothing twice.
        for statement in self.store.host(&self.me).iter().flat_map(|entry| entry.statements()) {
            self.own.see_statement(statement);
        }
        for statement in self.own.statements().cloned().collect::<Vec<_>>() {
            self.store.merge(now, Record::Statement(statement), Age::NEW);
        }
        let Some(record) = self.own.record().cloned() else { return };
        let age_ms = self.own.last_renewal().map_or(u64::MAX, |at| now.passed_since(at));
        for claim in self.own.claims().cloned().collect::<Vec<_>>() {
            self.store.merge(now, Record::Claim(claim), Age::NEW);
        }
        self.store.merge(now, Record::Host(record), Age::Fresh(age_ms.min(i64::MAX as u64)));
        if self.store.claim_ttl_ms().is_some_and(|ttl| self.lapsed(now, ttl)) {
            self.give_own_names_up(now);
        }
    }
}
