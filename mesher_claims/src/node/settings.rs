//! The network's settings, as they come and change.

use super::{Effect, Node, Phase};
use crate::event::Event;
use crate::record::{Record, SettingsBody, Signed};
use crate::store::{AgedRecord, Merged};
use crate::time::{Age, Now};

impl Node {
    /// Brings in settings from this machine's own file. They spread if they are newer than what the network has.
    pub fn bring_settings(&mut self, now: Now, settings: Signed<SettingsBody>) {
        self.gives_up_if_broken(now);
        self.take_settings(now, settings);
    }

    pub(super) fn take_settings(&mut self, now: Now, settings: Signed<SettingsBody>) -> Merged {
        let ttl_before = self.store.claim_ttl_ms();
        let merged = self.store.merge(now, Record::Settings(settings.clone()), Age::NEW);
        if merged == Merged::New {
            if let Some((_, lacking)) = &mut self.wanted {
                // What hosts' records say of them depends on the settings.
                self.store.strike_out_all(now, lacking);
            }
            self.ttl_changed(now, ttl_before, settings.claim_ttl_ms);
            self.tell(Event::SettingsChanged {
                revision: settings.revision,
                domain: settings.domain.to_string(),
                claim_ttl_ms: settings.claim_ttl_ms,
            });
            let record = Record::Settings(settings);
            self.effects.push(Effect::Carry(vec![record.clone()]));
            self.effects.push(Effect::Push(vec![AgedRecord { record, age: Age::NEW }]));
        }
        merged
    }

    /// A host that is up renews at once by a changed TTL, so that neither it nor its peers judge an old renewal by a new TTL.
    fn ttl_changed(&mut self, now: Now, before: Option<u64>, after: u64) {
        let Some(before) = before.filter(|before| *before != after) else { return };
        let shortest = self.shorter_ttl_ms.unwrap_or(before).min(before);
        self.shorter_ttl_ms = (shortest < after).then_some(shortest);
        self.announce_all |= self.phase == Phase::Running;
        self.renew(now);
    }
}
