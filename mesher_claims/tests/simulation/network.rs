//! What is between the machines: links that lose, delay, duplicate and reorder, and the carrier's gossip on top of them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use mesher_claims::keys::HostKey;
use mesher_claims::message::Message;
use mesher_claims::record::Record;

use super::rng::Rng;

/// Something under way.
#[derive(Debug, Clone)]
pub struct Flight {
    pub from: usize,
    pub to: usize,
    pub sent_at_ms: u64,
    pub what: Freight,
}

#[derive(Debug, Clone)]
pub enum Freight {
    Message {
        message: Rc<Message>,
        /// For each host record or digest entry in it: how late its age may rightly be.
        lateness: Rc<Vec<(HostKey, u64, u64)>>,
    },
    Gossip(Rc<Vec<Replica>>),
}

/// One host's part of the carrier, as one node has it.
#[derive(Debug, Clone)]
pub struct Replica {
    pub host: usize,
    pub heartbeat: u64,
    pub state: Rc<Carried>,
}

#[derive(Debug, Clone, Default)]
pub struct Carried {
    pub generation: u64,
    pub version: u64,
    pub records: BTreeMap<String, (u64, Record)>,
}

/// What one node's carrier knows.
#[derive(Debug, Clone, Default)]
pub struct Carrier {
    pub heartbeat: u64,
    pub own: Rc<Carried>,
    pub others: BTreeMap<usize, Known>,
}

#[derive(Debug, Clone)]
pub struct Known {
    pub replica: Replica,
    pub beat_at_ms: u64,
    pub beaten: bool,
}

pub struct Network {
    seed: u64,
    pub loss_percent: u64,
    pub delay_ms: (u64, u64),
    cut: BTreeSet<(usize, usize)>,
    sent: u64,
}

impl Network {
    pub fn new(seed: u64, loss_percent: u64, delay_ms: (u64, u64)) -> Self {
        Self { seed, loss_percent, delay_ms, cut: BTreeSet::new(), sent: 0 }
    }

    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// When what is sent now arrives: never, once, or twice.
    pub fn arrivals(&mut self, from: usize, to: usize, now_ms: u64) -> Vec<u64> {
        self.sent += 1;
        let mut rng = Rng::of(&[self.seed, self.sent]);
        if self.cut.contains(&(from, to)) || rng.percent(self.loss_percent) {
            return Vec::new();
        }
        let (low, high) = self.delay_ms;
        let mut at = vec![now_ms + rng.between(low, high)];
        if rng.percent(2) {
            at.push(now_ms + rng.between(low, high * 2));
        }
        at
    }
}

impl Carried {
    pub fn put(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            self.version += 1;
            self.records.insert(record.carrier_key(), (self.version, record));
        }
    }
}

impl Carrier {
    /// Starts anew under a generation.
    pub fn start(generation: u64, records: Vec<Record>) -> Self {
        let mut own = Carried { generation, ..Carried::default() };
        own.put(records);
        Self { heartbeat: 0, own: Rc::new(own), others: BTreeMap::new() }
    }

    /// All that this node knows, to be gossiped.
    pub fn replicas(&mut self, me: usize) -> Vec<Replica> {
        self.heartbeat += 1;
        let own = Replica { host: me, heartbeat: self.heartbeat, state: Rc::clone(&self.own) };
        std::iter::once(own).chain(self.others.values().map(|known| known.replica.clone())).collect()
    }

    /// Takes in a peer's replica. Returns the records that changed, and whether their host is thought to be alive.
    pub fn hear(&mut self, now_ms: u64, round_ms: u64, heard: &Replica) -> (Vec<Record>, bool) {
        let stamp = |replica: &Replica| (replica.state.generation, replica.state.version);
        let Some(known) = self.others.get_mut(&heard.host) else {
            let known = Known { replica: heard.clone(), beat_at_ms: now_ms, beaten: false };
            let records = heard.state.records.values().map(|(_, record)| record.clone()).collect();
            self.others.insert(heard.host, known);
            return (records, false);
        };
        let generation = known.replica.state.generation;
        let renewed = heard.state.generation > generation;
        if renewed || (heard.state.generation == generation && heard.heartbeat > known.replica.heartbeat) {
            known.replica.heartbeat = heard.heartbeat;
            known.beat_at_ms = now_ms;
            known.beaten = !renewed;
        }
        let alive = known.beaten && now_ms - known.beat_at_ms < 8 * round_ms;
        if stamp(heard) <= stamp(&known.replica) {
            return (Vec::new(), alive);
        }
        let since = if renewed { 0 } else { known.replica.state.version };
        let changed = heard.state.records.values().filter(|(version, _)| *version > since);
        let records = changed.map(|(_, record)| record.clone()).collect();
        known.replica.state = Rc::clone(&heard.state);
        (records, alive)
    }
}
