//! Carrying out what the node decides: first the disk, then the network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mesher_claims::event::{Event, Holder};
use mesher_claims::keys::HostKey;
use mesher_claims::message::Message;
use mesher_claims::node::{Effect, Phase};
use mesher_claims::record::Record;
use mesher_claims::store::AgedRecord;

use super::Daemon;
use super::clock;
use super::traffic::Purpose;
use super::words::Speaker;
use crate::gossip::{self, NodeId};
use crate::systemd::{events, journal};

/// Up to so many peers are pushed to directly; beyond, those who hear of it pass it on.
const PUSH_TO: usize = 8;
/// How many peers news is passed on to, where whoever sent it did not reach everybody.
/// With three, each told once, a fifteenth of a large network would have to wait for the carrier's rounds; with four, a fiftieth.
const FORWARD_TO: usize = 4;
/// While joining, so many of each are asked at a time: bootstrap nodes, peers remembered, and peers at hand. Each answers with
/// all that this node lacks, and the next attempt asks others.
const ASKED_WHILE_JOINING: usize = 4;

impl Daemon {
    /// Brings everything into line with what the node has come to: view, disk, network, table, status line.
    pub(super) async fn settle(&mut self) {
        loop {
            self.node.refresh_view(clock::now());
            let effects = self.node.take_effects();
            if effects.is_empty() {
                break;
            }
            self.carry_out(effects).await;
        }
        self.introduce_peers();
        self.judge_own_claims();
        self.look_for_doubles();
        self.publish();
        self.show_status();
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) {
        // All of it goes to the disk at once, and before anything else is done.
        let saves = effects.contains(&Effect::SaveOwn);
        let unsaved = saves && !self.save_own().await;
        self.store_dirty |= saves;
        for effect in effects {
            match effect {
                Effect::SaveOwn => {}
                // Nothing goes out that is not on disk: it will be signed anew.
                Effect::Carry(_) | Effect::Push(_) if unsaved => {}
                Effect::Carry(records) => self.carry(&records),
                Effect::Push(records) => self.push(records),
                Effect::Forward(records) => self.forward(records),
                Effect::Synchronise => self.synchronise(),
                // As often as a member likes to send it: told once for each host and reason, with a count.
                Effect::Tell(Event::Refused { host, kind, refusal }) => {
                    let host = host.map_or_else(|| "an unknown host".to_owned(), |host| host.to_string());
                    self.refused(&format!("{host}, {kind}"), &refusal.to_string());
                }
                Effect::Tell(event) => self.tell(&event),
            }
        }
        if unsaved {
            self.node.save_failed(clock::now());
        }
    }

    /// Writes to the journal what happened. While nothing can be saved it happens anew with every attempt, and is told once.
    fn tell(&mut self, event: &Event) {
        if self.saving_failed && !self.told_unsaved.insert(what_a_retry_repeats(event, &self.node.me())) {
            return;
        }
        let domain = self.node.settings().map(|settings| settings.domain.clone());
        Speaker { me: &self.node.me(), domain: domain.as_ref() }.say(event);
    }

    async fn save_own(&mut self) -> bool {
        let (state, own) = (Arc::clone(&self.state), self.node.own().to_saved());
        let saved = tokio::task::spawn_blocking(move || state.save_own(&own)).await;
        let saved = saved.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        match &saved {
            Err(error) if !self.saving_failed => journal::event(events::STATE_WRITE_FAILED).log(format_args!(
                "{}: the state could not be saved: {error}; nothing new is announced before it can be. Trying again every second",
                self.options.state_dir.display()
            )),
            Ok(()) if self.saving_failed => log::info!("the state is saved again"),
            _ => {}
        }
        self.saving_failed = saved.is_err();
        if !self.saving_failed {
            self.told_unsaved.clear();
        }
        saved.is_ok()
    }

    fn carry(&self, records: &[Record]) {
        let records = records.iter().map(|record| (record.carrier_key(), record.carrier_value())).collect();
        if let Err(error) = self.gossip.set_all(records) {
            log::error!("a record of this machine's own cannot be carried: {error}");
        }
    }

    fn push(&mut self, records: Vec<AgedRecord>) {
        let mut peers = self.contacts.reachable(Instant::now());
        shuffle_front(&mut peers, PUSH_TO);
        peers.truncate(PUSH_TO);
        self.send_records(&peers, records, Purpose::Push);
    }

    fn forward(&mut self, records: Vec<AgedRecord>) {
        let mut peers = self.contacts.reachable(Instant::now());
        if peers.len() <= PUSH_TO {
            // Whoever signed it has pushed it to everybody.
            return;
        }
        shuffle_front(&mut peers, FORWARD_TO);
        peers.truncate(FORWARD_TO);
        self.send_records(&peers, records, Purpose::Forward);
    }

    fn send_records(&mut self, peers: &[(NodeId, SocketAddr)], records: Vec<AgedRecord>, purpose: Purpose) {
        if peers.is_empty() {
            return;
        }
        for message in Message::records(true, records) {
            let bytes: Arc<[u8]> = message.encode().into();
            for (node, address) in peers {
                self.traffic.sent(purpose, bytes.len());
                if let Err(error) = self.gossip.send_to_node(*node, *address, Arc::clone(&bytes)) {
                    log::debug!("not pushed to {address}: {error}");
                }
            }
        }
    }

    /// While joining, several who might answer are asked; later one peer at random.
    pub(super) fn synchronise(&mut self) {
        let digest: Arc<[u8]> = self.node.digest(clock::now()).encode().into();
        let mut peers = self.contacts.reachable(Instant::now());
        let joining = matches!(self.node.phase(), Phase::Joining { .. });
        if joining || peers.is_empty() {
            for address in self.addresses_to_try() {
                self.traffic.sent(Purpose::Question, digest.len());
                if let Err(error) = self.gossip.send(address, Arc::clone(&digest)) {
                    log::debug!("{address} not asked: {error}");
                }
            }
        }
        let asked = if joining { ASKED_WHILE_JOINING } else { 1 };
        shuffle_front(&mut peers, asked);
        peers.truncate(asked);
        for (node, address) in peers {
            self.traffic.sent(Purpose::Question, digest.len());
            if let Err(error) = self.gossip.send_to_node(node, address, Arc::clone(&digest)) {
                log::debug!("{address} not asked: {error}");
            }
        }
    }

    /// Some bootstrap nodes and some remembered peers, without this machine itself. Names among the bootstrap nodes are looked up
    /// and tried by gossip; once a node behind one was heard, it is a contact.
    pub(super) fn addresses_to_try(&self) -> Vec<SocketAddr> {
        let nodes = super::addresses::bootstrap(&self.config.cluster.bootstrap_nodes);
        let bootstrap = nodes.into_iter().filter_map(|node| match node {
            gossip::BootstrapNode::Addr(address) => Some(address),
            gossip::BootstrapNode::Name(..) => None,
        });
        let others = |address: &SocketAddr| !super::addresses::is_self(*address, self.bound, &self.snapshot);
        let some = |mut addresses: Vec<SocketAddr>| {
            addresses.retain(others);
            shuffle_front(&mut addresses, ASKED_WHILE_JOINING);
            addresses.truncate(ASKED_WHILE_JOINING);
            addresses
        };
        let mut addresses = some(bootstrap.collect());
        addresses.extend(some(self.contacts.remembered()));
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}

/// An event without what differs between two attempts to save: the time of a claim that nobody but this machine ever saw.
fn what_a_retry_repeats(event: &Event, me: &HostKey) -> String {
    let without_epoch = |holder: &Holder| match holder.host == *me {
        true => Holder { epoch: 0, ..holder.clone() },
        false => holder.clone(),
    };
    let event = match event.clone() {
        Event::HolderChanged { name, before, after } => Event::HolderChanged {
            name,
            before: before.as_ref().map(without_epoch),
            after: after.as_ref().map(without_epoch),
        },
        Event::Waiting { name, holder, .. } => Event::Waiting { name, holder, epoch: 0 },
        other => other,
    };
    format!("{event:?}")
}

/// Puts `count` random elements to the front (Fisher and Yates).
fn shuffle_front<T>(items: &mut [T], count: usize) {
    for at in 0..count.min(items.len()) {
        let other = fastrand::usize(at..items.len());
        items.swap(at, other);
    }
}
