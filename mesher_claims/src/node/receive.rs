//! What comes from peers: records by push, by synchronisation and through the carrier, and digests.

use super::{Effect, Node, Phase};
use crate::event::Event;
use crate::keys::NodeId;
use crate::message::{Message, Purpose};
use crate::record::{HostBody, Record, Signed};
use crate::store::{AgedRecord, Digest, Merged};
use crate::time::{Age, Now};

/// A clock further off than this is reported.
const SKEW_MS: u64 = 60_000;
/// Once per host and this long.
const SKEW_EVERY_MS: u64 = 3_600_000;

/// How a record came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Pushed by a peer, with an age: news goes on to others.
    Push,
    /// In answer to a digest, with an age.
    Sync,
    /// Through the carrier, without an age.
    Carrier {
        /// Whether the carrier says that the record's host is alive now.
        alive: bool,
    },
}

impl Node {
    /// Takes in verified records.
    pub fn receive(&mut self, now: Now, records: Vec<AgedRecord>, via: Via) {
        self.gives_up_if_broken(now);
        let mut new = Vec::new();
        let hosts: Vec<NodeId> = match &self.wanted {
            Some(_) => records.iter().filter_map(|aged| aged.record.host()).map(NodeId::from).collect(),
            None => Vec::new(),
        };
        for AgedRecord { record, age } in records {
            let own = record.host() == Some(self.me);
            if own && matches!(record, Record::Host(_) | Record::Claim(_)) {
                self.own_from_outside(now, record, age);
                continue;
            }
            let age = match via {
                Via::Push | Via::Sync => age,
                Via::Carrier { alive: true } => Age::NEW,
                // Nobody knows how old it is: a synchronisation will tell.
                Via::Carrier { alive: false } if matches!(record, Record::Host(_)) => continue,
                Via::Carrier { alive: false } => Age::NEW,
            };
            let missed = via != Via::Sync && self.is_back(&record);
            let news = self.take(now, &record, age);
            let host_news = news && matches!(record, Record::Host(_));
            let joining = matches!(self.phase, Phase::Joining { .. });
            if (news && missed) || (host_news && matches!(via, Via::Carrier { .. })) || (host_news && joining)
            {
                self.synchronise_soon(now);
            }
            // Of itself a host says nothing that it has not saved: what came back to it stays with those who had it.
            let own_word = own && matches!(record, Record::Statement(_));
            if news && via == Via::Push && !own_word {
                let age = self.age_to_pass_on(now, &record, age);
                new.push(AgedRecord { record, age });
            }
        }
        if !new.is_empty() {
            self.effects.push(Effect::Forward(new));
        }
        if let Some((_, lacking)) = &mut self.wanted {
            self.store.strike_out(now, lacking, hosts);
            self.check_synchronised(now);
        }
    }

    /// Takes in a peer's digest. Returns the messages to send back to that peer.
    pub fn receive_digest(&mut self, now: Now, digest: Digest, purpose: Purpose) -> Vec<Message> {
        self.gives_up_if_broken(now);
        let comparison = self.store.compare(now, &digest);
        let same_settings = self.store.settings_stamp() == digest.settings;
        for (host, seq, age) in comparison.ages {
            // What has expired by other settings is nobody's word here.
            let others = host != self.me || self.phase == Phase::Silenced;
            if others && (same_settings || age != Age::Expired) {
                self.store.raise_age(now, &host, seq, age);
            }
        }
        if matches!(purpose, Purpose::Answer(_)) {
            self.sync_answered();
        }
        let me = NodeId::from(self.me);
        if let Some(own) = digest.hosts.iter().find(|entry| entry.host == me)
            && same_settings
        {
            self.own_age_from_outside(now, own.seq, own.age);
        }
        let mut records: Vec<AgedRecord> = Vec::new();
        if comparison.peer_lacks_settings {
            records.extend(
                self.settings().cloned().map(|s| AgedRecord { record: Record::Settings(s), age: Age::NEW }),
            );
        }
        for (host, everything) in comparison.peer_lacks {
            if host != self.me || self.may_speak_of_its_key() {
                records.extend(self.store.records_of(now, &host, everything));
            }
        }
        let mut messages = Message::records(false, records);
        match purpose {
            Purpose::Question => {
                let mut digest = self.own_digest(now);
                if matches!(self.phase, Phase::Joining { .. }) {
                    // It says nothing of itself yet: whoever waited to hear what it has not said would wait in vain.
                    digest.hosts.retain(|entry| entry.host != me);
                }
                messages.push(Message::Digest { purpose: Purpose::Answer(self.standing()), digest });
            }
            // An answer that does not count must not take the place of one that does and is not satisfied yet.
            Purpose::Answer(standing) if digest.settings.0 > 0 && self.suffices(now, standing) => {
                self.wanted = Some((standing, self.store.lacking(now, &self.me, digest)));
                self.check_synchronised(now);
            }
            Purpose::Answer(_) => {}
        }
        messages
    }

    /// The digest to send on [`Effect::Synchronise`].
    pub fn digest(&self, now: Now) -> Message {
        Message::Digest { purpose: Purpose::Question, digest: self.own_digest(now) }
    }

    fn own_digest(&self, now: Now) -> Digest {
        let mut digest = self.store.digest(now);
        let me = NodeId::from(self.me);
        match self.phase {
            Phase::Running | Phase::Joining { .. } if self.unsaved => {
                digest.hosts.retain(|entry| entry.host != me);
            }
            Phase::Joining { .. } => {
                if let Some(own) = digest.hosts.iter_mut().find(|entry| entry.host == me) {
                    // Whether this host was away for too long is not settled before it has joined: it may not know the TTL in force.
                    own.age = Age::NEW;
                }
            }
            Phase::Running | Phase::Silenced => {}
        }
        digest
    }

    /// Whether what the store has of this host's key may go out: not while it is joining, nor what it could not save. Who has
    /// yielded to a copy has there what the copy signed, and withholds that as little as anybody's.
    fn may_speak_of_its_key(&self) -> bool {
        match self.phase {
            Phase::Joining { .. } => false,
            Phase::Running => !self.unsaved,
            Phase::Silenced => true,
        }
    }

    pub(super) fn check_synchronised(&mut self, now: Now) {
        let Some((standing, lacking)) = &mut self.wanted else { return };
        lacking.has_own(self.own_record_seen);
        let standing = *standing;
        // A peer that knows no settings knows nothing that this node could be up to date with.
        if lacking.is_empty() && self.settings().is_some() && self.suffices(now, standing) {
            self.synchronised(now);
        }
    }

    /// The age that a record which was news goes on with. Another record of this `seq` may have been here for longer: of two
    /// truths that one host signed with one `seq`, the second must not make the first younger.
    fn age_to_pass_on(&self, now: Now, record: &Record, received: Age) -> Age {
        let Record::Host(record) = record else { return received };
        self.store.host(&record.host).map_or(received, |entry| entry.age(now).max(received))
    }

    /// Whether a host record shows that its host was away, or is new here: then more than this record was missed.
    fn is_back(&self, record: &Record) -> bool {
        let Record::Host(record) = record else { return false };
        let entry = self.store.host(&record.host);
        entry.is_none_or(|entry| entry.is_expired() || entry.record().is_none() && entry.claim_count() == 0)
    }

    /// Merges a record of somebody else. Returns whether it was news.
    fn take(&mut self, now: Now, record: &Record, age: Age) -> bool {
        if let Record::Settings(settings) = record {
            // Spreads by itself.
            self.take_settings(now, settings.clone());
            return false;
        }
        match record {
            Record::Host(host) => self.watch_clock(now, host, age),
            Record::Statement(statement) => self.statement_from_outside(now, statement),
            _ => {}
        }
        let seq_before = record.host().and_then(|host| Some(self.store.host(&host)?.record()?.seq));
        match self.store.merge(now, record.clone(), age) {
            Merged::New => true,
            Merged::Renewed => {
                let seq = record.host().and_then(|host| Some(self.store.host(&host)?.record()?.seq));
                seq != seq_before
            }
            Merged::Known => false,
            Merged::Refused(refusal) => {
                self.tell(Event::Refused { host: record.host(), kind: record.kind(), refusal });
                false
            }
        }
    }

    fn watch_clock(&mut self, now: Now, record: &Signed<HostBody>, age: Age) {
        let Age::Fresh(age_ms) = age else { return };
        let theirs = record.renewed_at_ms.saturating_add(age_ms);
        let ours = self.clock.at(now);
        if theirs.abs_diff(ours) <= SKEW_MS {
            return;
        }
        let told = self.skew_told.get(&record.host).copied();
        if told.is_some_and(|at| now.boot_ms < at + SKEW_EVERY_MS) {
            return;
        }
        self.skew_told.retain(|_, at| now.boot_ms < *at + SKEW_EVERY_MS);
        self.skew_told.insert(record.host, now.boot_ms);
        let ahead_ms = theirs.cast_signed().saturating_sub(ours.cast_signed());
        self.tell(Event::ClockSkew { host: record.host, label: record.label.clone(), ahead_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Addresses;
    use crate::keys::SecretKey;
    use crate::message::Standing;
    use crate::node::NodeConfig;
    use crate::record::SettingsBody;
    use crate::store::{DigestEntry, LOOKED_AT, Store};

    const NOW: Now = Now { boot_ms: 1_000, wall_ms: 1_700_000_000_000 };

    fn running() -> (SecretKey, Node) {
        let network = SecretKey::from_seed(&[1; 32]);
        let config = NodeConfig {
            label: "alpha".parse().unwrap(),
            names: [("earth".parse().unwrap(), None)].into(),
            addresses: Addresses::default(),
            join_timeout_ms: 0,
            has_peers: false,
            certificate: None,
        };
        let id = network.network_id();
        let mut node =
            Node::start(id, SecretKey::from_seed(&[2; 32]), 7, config, Store::default(), None, NOW);
        let settings =
            SettingsBody { allow_loopback: true, ..SettingsBody::new("sol".parse().unwrap(), 600_000) };
        node.bring_settings(NOW, Signed::sign(&id, &network, settings));
        node.tick(NOW);
        assert_eq!(node.phase(), Phase::Running);
        (network, node)
    }

    fn host(network: &SecretKey, number: u32, seq: u64) -> Record {
        let mut seed = [0xaa; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        let key = SecretKey::from_seed(&seed);
        let body = HostBody {
            host: key.host_key(),
            label: "legion".parse().unwrap(),
            addresses: Addresses::default(),
            since: 0,
            instance: 1,
            renewed_at_ms: NOW.wall_ms,
            seq,
        };
        Record::Host(Signed::sign(&network.network_id(), &key, body))
    }

    /// A peer that shows thousands of hosts and never sends them made every message that came later cost a look at them all.
    #[test]
    fn hosts_that_a_peer_shows_and_never_sends_cost_later_messages_nothing() {
        let looks = |shown: u32| {
            let (network, mut node) = running();
            let entry = |number: u32| {
                let Record::Host(record) = host(&network, number, 1) else { unreachable!() };
                let (host, age) = (NodeId::from(record.host), Age::NEW);
                DigestEntry { host, seq: record.seq, age, record_hash: 0, fingerprint: 0 }
            };
            let digest = Digest { settings: (2, 2), hosts: (0..shown).map(entry).collect() };
            LOOKED_AT.set(0);
            node.receive_digest(NOW, digest, Purpose::Answer(Standing::Joined));
            let shown_to = LOOKED_AT.replace(0);
            for seq in 1..=100 {
                let record = host(&network, 1_000_000, seq);
                node.receive(NOW, vec![AgedRecord { record, age: Age::NEW }], Via::Push);
                node.tick(NOW);
            }
            (shown_to, LOOKED_AT.get())
        };
        assert_eq!(looks(50), (50, 100));
        assert_eq!(looks(2_000), (2_000, 100));
    }
}
