//! A small world of nodes: a clock, a network with a delay, and machines that can be switched off and on. No randomness.
//!
//! In every world, and at every message, it is checked that no host signs two things with one `seq`.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of tests has no outside")]

pub mod planets;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mesher_claims::address::Addresses;
use mesher_claims::event::Event;
use mesher_claims::keys::{HostKey, NetworkId, SecretKey};
use mesher_claims::message::Message;
use mesher_claims::names::ClaimName;
use mesher_claims::node::{Effect, Node, NodeConfig, OwnState, SavedOwn, Via};
use mesher_claims::record::{Admission, CertificateBody, Record, SettingsBody, Signed};
use mesher_claims::store::{SavedStore, Store};
use mesher_claims::time::Now;

pub const TTL_MS: u64 = 10_000;
const DELAY_MS: u64 = 5;
pub const EPOCH_2026: u64 = 1_767_225_600_000;

pub struct Machine {
    pub name: &'static str,
    pub seed: u8,
    number: u8,
    pub names: Vec<&'static str>,
    pub addresses: Addresses,
    pub node: Option<Node>,
    /// What is on its disk.
    pub own: Option<SavedOwn>,
    pub store: Option<SavedStore>,
    pub events: Vec<Event>,
    /// Its wall clock is this far off.
    pub clock_off_ms: i64,
    pub disk_full: bool,
    /// Its power goes at the next save: before the new state is in place, or after.
    pub cut_at_save: Option<bool>,
    booted_at_ms: u64,
    pub starts: u64,
}

pub struct World {
    pub time_ms: u64,
    pub machines: BTreeMap<&'static str, Machine>,
    pub cut: BTreeSet<(&'static str, &'static str)>,
    pub admission: Admission,
    pub witnesses: Vec<&'static str>,
    pub ttl_ms: u64,
    /// Two machines have one key, or a state was lost: one `seq` may have two meanings.
    pub seq_may_repeat: bool,
    signed: BTreeMap<(HostKey, String, u64), Record>,
    pub join_timeout_ms: u64,
    /// How often each machine has asked for a synchronisation.
    pub questions: BTreeMap<&'static str, u64>,
    flying: VecDeque<(u64, &'static str, &'static str, Vec<u8>)>,
    network_key: SecretKey,
}

impl World {
    pub fn new(machines: &[(&'static str, &[&'static str])]) -> Self {
        let machines = machines.iter().enumerate().map(|(i, (name, names))| {
            let number = u8::try_from(i + 1).unwrap();
            let addresses = [format!("192.168.1.{number}"), format!("2001:db8:1::{number}")];
            let machine = Machine {
                name,
                seed: number,
                number,
                names: names.to_vec(),
                addresses: Addresses::new(addresses.iter().map(|a| a.parse().unwrap())).unwrap(),
                node: None,
                own: None,
                store: None,
                events: Vec::new(),
                clock_off_ms: 0,
                disk_full: false,
                cut_at_save: None,
                booted_at_ms: 0,
                starts: 0,
            };
            (*name, machine)
        });
        Self {
            time_ms: 100_000,
            machines: machines.collect(),
            cut: BTreeSet::new(),
            admission: Admission::Open,
            witnesses: Vec::new(),
            ttl_ms: TTL_MS,
            seq_may_repeat: false,
            signed: BTreeMap::new(),
            join_timeout_ms: 5_000,
            questions: BTreeMap::new(),
            flying: VecDeque::new(),
            network_key: SecretKey::from_seed(&[200; 32]),
        }
    }

    pub fn network(&self) -> NetworkId {
        self.network_key.network_id()
    }

    pub fn settings(&self, revision: u64, claim_ttl_ms: u64) -> Signed<SettingsBody> {
        let body = SettingsBody {
            revision,
            admission: self.admission,
            witnesses: self.witnesses.iter().map(|name| self.key(name).host_key()).collect(),
            ..SettingsBody::new("sol".parse().unwrap(), claim_ttl_ms)
        };
        Signed::sign(&self.network(), &self.network_key, body)
    }

    pub fn now(&self, name: &str) -> Now {
        let machine = &self.machines[name];
        Now {
            boot_ms: self.time_ms - machine.booted_at_ms,
            wall_ms: (EPOCH_2026 + self.time_ms).checked_add_signed(machine.clock_off_ms).unwrap(),
        }
    }

    pub fn config(&self, name: &str) -> NodeConfig {
        let machine = &self.machines[name];
        NodeConfig {
            label: machine.name.parse().unwrap(),
            names: machine.names.iter().map(|name| (name.parse().unwrap(), None)).collect(),
            addresses: machine.addresses.clone(),
            join_timeout_ms: self.join_timeout_ms,
            has_peers: true,
            certificate: (self.admission == Admission::Certified).then(|| self.certificate(name)),
        }
    }

    pub fn key(&self, name: &str) -> SecretKey {
        SecretKey::from_seed(&[self.machines[name].seed; 32])
    }

    fn certificate(&self, name: &str) -> Signed<CertificateBody> {
        let machine = &self.machines[name];
        let body = CertificateBody {
            host: self.key(name).host_key(),
            label: machine.name.parse().unwrap(),
            patterns: machine.names.iter().map(|name| name.parse().unwrap()).collect(),
            not_before_ms: 0,
            not_after_ms: 1 << 47,
            serial: 1,
        };
        Signed::sign(&self.network(), &self.network_key, body)
    }

    /// Boots a machine and starts its daemon; the first boot of a founder brings the settings.
    pub fn boot(&mut self, name: &'static str) {
        let time_ms = self.time_ms;
        self.machines.get_mut(name).unwrap().booted_at_ms = time_ms.saturating_sub(1_000);
        self.start(name);
    }

    pub fn boot_founder(&mut self, name: &'static str) {
        self.boot(name);
        let (now, settings) = (self.now(name), self.settings(1, self.ttl_ms));
        self.machines.get_mut(name).unwrap().node.as_mut().unwrap().bring_settings(now, settings);
    }

    /// Starts the daemon on a machine that is up.
    pub fn start(&mut self, name: &'static str) {
        let (now, network, config) = (self.now(name), self.network(), self.config(name));
        let machine = self.machines.get_mut(name).unwrap();
        machine.starts += 1;
        let store = machine.store.as_ref().map_or_else(Store::default, |s| Store::restore(s, now).unwrap());
        let own = machine.own.clone().map(|own| OwnState::from_saved(own).unwrap());
        let key = SecretKey::from_seed(&[machine.seed; 32]);
        let instance = machine.starts * 1_000 + u64::from(machine.number);
        machine.node = Some(Node::start(network, key, instance, config, store, own, now));
    }

    /// Stops the daemon; the store is saved as on a clean stop.
    pub fn stop(&mut self, name: &'static str) {
        let now = self.now(name);
        let machine = self.machines.get_mut(name).unwrap();
        machine.store = machine.node.take().map(|node| node.store().save(now));
    }

    /// Cuts the power: what was not saved is lost.
    pub fn cut_power(&mut self, name: &'static str) {
        self.machines.get_mut(name).unwrap().node = None;
    }

    /// Saves the store, as the daemon does now and then.
    pub fn save_store(&mut self, name: &'static str) {
        let now = self.now(name);
        let machine = self.machines.get_mut(name).unwrap();
        machine.store = machine.node.as_ref().map(|node| node.store().save(now));
    }

    /// Takes new names into a running machine's configuration.
    pub fn claim(&mut self, name: &'static str, names: &[&'static str]) {
        self.machines.get_mut(name).unwrap().names = names.to_vec();
        let (now, config) = (self.now(name), self.config(name));
        self.node(name).set_config(now, config);
    }

    /// Takes the daemon off the processor, as a suspension does; to be put back with [`World::resume`].
    pub fn suspend(&mut self, name: &'static str) -> Node {
        self.machines.get_mut(name).unwrap().node.take().unwrap()
    }

    pub fn resume(&mut self, name: &'static str, node: Node) {
        self.machines.get_mut(name).unwrap().node = Some(node);
    }

    /// Nothing passes between this machine and any other.
    pub fn isolate(&mut self, name: &'static str) {
        let others: Vec<_> = self.machines.keys().copied().filter(|other| *other != name).collect();
        self.cut.extend(others.into_iter().map(|other| (name, other)));
    }

    /// Lets time pass, from one thing that happens to the next.
    pub fn run(&mut self, ms: u64) {
        let end = self.time_ms + ms;
        while self.time_ms < end {
            let arrival = self.flying.front().map_or(end, |(at, ..)| *at);
            let wakes = self.machines.values().filter_map(|machine| {
                let due = machine.node.as_ref()?.next_tick_boot_ms();
                Some(due.saturating_add(machine.booted_at_ms))
            });
            let next = wakes.min().unwrap_or(end).min(arrival);
            self.time_ms = next.clamp(self.time_ms + 1, end);
            self.deliver();
            self.wake();
        }
    }

    fn wake(&mut self) {
        let names: Vec<_> = self.machines.keys().copied().collect();
        for name in names {
            let now = self.now(name);
            let Some(node) = self.machines.get_mut(name).unwrap().node.as_mut() else { continue };
            if now.boot_ms >= node.next_tick_boot_ms() {
                node.tick(now);
            }
            node.refresh_view(now);
            let effects = node.take_effects();
            self.carry_out(name, effects);
        }
    }

    /// The holder's label and first address of a name, as one machine sees it.
    pub fn lookup(&self, on: &str, name: &str) -> Option<String> {
        let name: ClaimName = name.parse().unwrap();
        let node = self.machines[on].node.as_ref()?;
        node.view().holder(&name).map(|holder| holder.label.to_string())
    }

    pub fn node(&mut self, name: &str) -> &mut Node {
        self.machines.get_mut(name).unwrap().node.as_mut().unwrap()
    }

    fn deliver(&mut self) {
        while self.flying.front().is_some_and(|(at, ..)| *at <= self.time_ms) {
            let (_, from, to, bytes) = self.flying.pop_front().unwrap();
            if self.cut.contains(&(from, to)) || self.cut.contains(&(to, from)) {
                continue;
            }
            let (now, network) = (self.now(to), self.network());
            let Some(node) = self.machines.get_mut(to).unwrap().node.as_mut() else { continue };
            let decoded = Message::decode(&network, &bytes).unwrap();
            assert!(decoded.refused.is_empty(), "{:?}", decoded.refused);
            match decoded.message {
                Message::Digest { purpose, digest } => {
                    for answer in node.receive_digest(now, digest, purpose) {
                        self.send(to, from, &answer);
                    }
                }
                Message::Records { pushed, records } => {
                    node.receive(now, records, if pushed { Via::Push } else { Via::Sync });
                }
            }
        }
    }

    fn carry_out(&mut self, name: &'static str, effects: Vec<Effect>) {
        let others: Vec<_> = self.machines.keys().copied().filter(|other| *other != name).collect();
        for effect in effects {
            match effect {
                Effect::SaveOwn => {
                    let now = self.now(name);
                    let machine = self.machines.get_mut(name).unwrap();
                    if machine.disk_full {
                        machine.node.as_mut().unwrap().save_failed(now);
                        return;
                    }
                    let cut = machine.cut_at_save.take();
                    if cut != Some(false) {
                        machine.own = machine.node.as_ref().map(|node| node.own().to_saved());
                    }
                    if cut.is_some() {
                        machine.node = None;
                        return;
                    }
                }
                Effect::Carry(_) | Effect::Forward(_) => {}
                Effect::Push(records) => {
                    for message in Message::records(true, records) {
                        others.iter().for_each(|other| self.send(name, other, &message));
                    }
                }
                Effect::Synchronise => {
                    *self.questions.entry(name).or_default() += 1;
                    let digest = self.machines[name].node.as_ref().unwrap().digest(self.now(name));
                    others.iter().for_each(|other| self.send(name, other, &digest));
                }
                Effect::Tell(event) => self.machines.get_mut(name).unwrap().events.push(event),
            }
        }
    }

    /// Durability: nobody signs two things with one `seq`.
    fn watch(&mut self, record: &Record) {
        let (host, seq) = match record {
            Record::Host(record) => (record.host, record.seq),
            Record::Claim(claim) => (claim.host, claim.seq),
            Record::Statement(statement) => (statement.witness, statement.seq),
            _ => return,
        };
        let before = self.signed.entry((host, record.carrier_key(), seq)).or_insert_with(|| record.clone());
        assert_eq!(before, record, "two things signed with one seq");
    }

    fn send(&mut self, from: &'static str, to: &'static str, message: &Message) {
        if let (Message::Records { records, .. }, false) = (message, self.seq_may_repeat) {
            records.iter().for_each(|aged| self.watch(&aged.record));
        }
        self.flying.push_back((self.time_ms + DELAY_MS, from, to, message.encode()));
    }
}
