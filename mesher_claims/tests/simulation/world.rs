//! The simulated world: true time, machines, a network, and an oracle that watches.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use mesher_claims::event::Event;
use mesher_claims::keys::{HostKey, NodeId};
use mesher_claims::message::Message;
use mesher_claims::node::{Effect, Node, Via};
use mesher_claims::record::{Admission, Record, SettingsBody, Signed};
use mesher_claims::store::{AgedRecord, DigestEntry};
use mesher_claims::time::{Age, Now};

use super::machine::{Machine, certificate, network_key};
use super::network::{Carrier, Flight, Freight, Network, Replica};
use super::oracle::{Checked, Oracle, violation};
use super::plan::Plan;
use super::rng::Rng;

pub struct World {
    pub plan: Plan,
    pub time_ms: u64,
    pub machines: Vec<Machine>,
    pub network: Network,
    pub carriers: Vec<Carrier>,
    pub oracle: Oracle,
    pub rng: Rng,
    /// Everything the daemons told, with its true time.
    pub told: Vec<(u64, usize, Event)>,
    pub keep_told: bool,
    pub settings: Signed<SettingsBody>,
    pub malice_seq: u64,
    /// Messages sent, in all.
    pub messages: u64,
    /// Everything that happened, in all: deliveries, wakes, gossip rounds, operations.
    pub happened: u64,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    due: Vec<Option<Due>>,
    free: Vec<usize>,
    serial: u64,
}

/// A run of more events than this has a storm in it. Fifty machines that push each renewal to all for a quarter of an hour, at
/// a TTL of 20 s, make a million.
const MOST_EVENTS: u64 = 3_000_000;

enum Due {
    Wake(usize, u64),
    Arrival(Flight),
    Gossip(usize),
    SaveStore(usize),
}

/// What a daemon is called for.
pub enum Input {
    Wake,
    Message { from: usize, message: Rc<Message>, lateness: Rc<Vec<(HostKey, u64, u64)>>, transit_ms: u64 },
    Carried { records: Vec<Record>, alive: bool },
    Settings(Signed<SettingsBody>),
    Config,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        let mut rng = Rng::of(&[plan.seed, 2]);
        let machines = (0..plan.machines).map(|number| {
            let skew = match rng.below(if plan.wild_clocks { 4 } else { 2 }) {
                0 => 0,
                1 => i64::try_from(rng.between(0, 40_000)).unwrap() - 20_000,
                2 => i64::try_from(rng.between(0, 40 * 86_400_000)).unwrap() - 20 * 86_400_000,
                _ => -i64::try_from(super::machine::EPOCH_2026_MS).unwrap(),
            };
            let ppm = i64::try_from(rng.between(0, plan.drift_ppm * 2)).unwrap();
            Machine::new(number, skew, ppm - i64::try_from(plan.drift_ppm).unwrap())
        });
        let mut machines: Vec<Machine> = machines.collect();
        if plan.cloned {
            let original = plan.machines - 2;
            let wall_off_ms = machines[original].wall_off_ms;
            machines[original + 1].be_copy_of(original, wall_off_ms);
        }
        for machine in &mut machines {
            machine.config.certificate = plan.certified.then(|| certificate(machine));
        }
        let settings = sign_settings(&plan, &machines, 1, plan.ttl_ms, plan.witnesses, &[]);
        let mut world = Self {
            time_ms: 0,
            carriers: vec![Carrier::default(); machines.len()],
            network: Network::new(plan.seed, plan.loss_percent, plan.delay_ms),
            oracle: Oracle::new(&plan),
            told: Vec::new(),
            keep_told: false,
            settings,
            malice_seq: 0,
            messages: 0,
            happened: 0,
            queue: BinaryHeap::new(),
            due: Vec::new(),
            free: Vec::new(),
            serial: 0,
            machines,
            rng,
            plan,
        };
        if world.plan.cloned {
            // What one of two copies signed the other may sign again in another way.
            for number in [world.plan.machines - 2, world.plan.machines - 1] {
                world.oracle.forgets(&world.machines[number]);
            }
        }
        for number in 0..world.machines.len() {
            world.later(world.time_ms + 500 + 37 * number as u64, Due::Gossip(number));
            world.later(world.time_ms + 10_000 + 371 * number as u64, Due::SaveStore(number));
        }
        world
    }

    /// Lets true time pass.
    pub fn run(&mut self, ms: u64) -> Checked {
        self.run_until(self.time_ms + ms)
    }

    pub fn run_until(&mut self, end_ms: u64) -> Checked {
        while let Some(Reverse((at, _, slot))) = self.queue.peek().copied() {
            if at > end_ms {
                break;
            }
            self.queue.pop();
            self.time_ms = at;
            self.free.push(slot);
            let Some(due) = self.due[slot].take() else { continue };
            self.happened += 1;
            if self.happened > MOST_EVENTS {
                return violation("bounds: a run ends", format!("{MOST_EVENTS} events by {at} ms"));
            }
            match due {
                Due::Wake(m, number) if self.machines[m].wake == number => {
                    self.machines[m].wake_at_ms = u64::MAX;
                    self.drive(m, Input::Wake)?;
                }
                Due::Wake(..) => self.happened -= 1,
                Due::Arrival(flight) => self.arrive(flight)?,
                Due::Gossip(m) => self.gossip(m),
                Due::SaveStore(m) => self.save_store_now_and_then(m),
            }
        }
        self.time_ms = end_ms;
        Ok(())
    }

    pub fn now(&self, m: usize) -> Now {
        self.machines[m].now(self.time_ms)
    }

    /// Calls a daemon, then carries out what it wants.
    pub fn drive(&mut self, m: usize, input: Input) -> Checked {
        let (now, time_ms) = (self.now(m), self.time_ms);
        let machine = &mut self.machines[m];
        let start = machine.starts;
        let Some(node) = machine.node.as_mut() else { return Ok(()) };
        let mut answers = Vec::new();
        match &input {
            Input::Wake => {}
            Input::Config => node.set_config(now, machine.config.clone()),
            Input::Settings(settings) => node.bring_settings(now, settings.clone()),
            Input::Carried { records, alive } => {
                let aged = records.iter().map(|r| AgedRecord { record: r.clone(), age: Age::NEW });
                node.receive(now, aged.collect(), Via::Carrier { alive: *alive });
            }
            Input::Message { message, .. } => match message.as_ref() {
                Message::Digest { purpose, digest } => {
                    answers = node.receive_digest(now, digest.clone(), *purpose);
                }
                Message::Records { pushed, records } => {
                    node.receive(now, records.clone(), if *pushed { Via::Push } else { Via::Sync });
                }
            },
        }
        let generation = node.view_generation();
        node.refresh_view(now);
        let mut ticks = 0;
        while now.boot_ms >= node.next_tick_boot_ms() {
            node.tick(now);
            node.refresh_view(now);
            ticks += 1;
            if ticks > 5 {
                let text = format!("host{m} asks for a tick at once, again and again: {:?}", node.phase());
                return violation("bounds: no busy loop", text);
            }
        }
        if let Some(record) = node.own().record() {
            self.oracle.signed_own(m, record, time_ms);
            node.own().claims().for_each(|c| self.oracle.claimed_own(m, start, c));
        }
        self.report_ages(m, &input);
        let node = self.machines[m].node.as_ref().unwrap();
        self.oracle.check(m, node, now, time_ms)?;
        if node.view_generation() != generation {
            self.oracle.check_view(m, node, now)?;
        }
        if let Input::Message { from, .. } = input {
            for answer in answers {
                self.send(m, from, Rc::new(answer))?;
            }
        }
        self.carry_out(m)?;
        self.schedule_wake(m);
        Ok(())
    }

    fn report_ages(&mut self, m: usize, input: &Input) {
        let node = self.machines[m].node.as_ref().unwrap();
        match input {
            Input::Message { message, lateness, transit_ms, .. } => {
                // What has expired by other settings is nobody's word.
                let unheard = |host: &HostKey| match message.as_ref() {
                    Message::Digest { digest, .. } if digest.settings != node.store().settings_stamp() => {
                        digest
                            .hosts
                            .iter()
                            .any(|entry| entry.host == NodeId::from(*host) && entry.age == Age::Expired)
                    }
                    _ => false,
                };
                for (host, seq, late) in lateness.iter().filter(|(host, ..)| !unheard(host)) {
                    // Clocks that drift are read in whole milliseconds on both ends: each hop may lose one.
                    let rounding_ms = u64::from(self.plan.drift_ppm > 0);
                    self.oracle.reported(m, node, *host, *seq, late + transit_ms + rounding_ms);
                }
            }
            Input::Carried { records, alive: true } => {
                for record in records {
                    let Record::Host(record) = record else { continue };
                    let signed = self.oracle.signed_at.get(&(record.host, record.seq));
                    let late = signed.map_or(0, |at| self.time_ms - at);
                    self.oracle.reported(m, node, record.host, record.seq, late);
                }
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, m: usize) -> Checked {
        let effects = self.machines[m].node.as_mut().unwrap().take_effects();
        let mut failed = false;
        for effect in effects {
            if failed {
                if let Effect::Tell(event) = effect {
                    self.tell(m, event)?;
                }
                continue;
            }
            match effect {
                Effect::SaveOwn if self.machines[m].disk.full => failed = true,
                Effect::SaveOwn => {
                    let cut = self.machines[m].cut_at_save.take();
                    if cut != Some(false) {
                        self.save_own(m);
                    }
                    if cut == Some(true) {
                        let node = self.machines[m].node.as_ref().unwrap();
                        self.oracle.saved_unsent(m, node, self.time_ms);
                    }
                    if cut.is_some() {
                        self.power_cut(m);
                        return Ok(());
                    }
                }
                Effect::Carry(records) => {
                    for record in &records {
                        self.oracle.sent(&self.machines[m], record, self.time_ms)?;
                    }
                    Rc::make_mut(&mut self.carriers[m].own).put(records);
                }
                Effect::Push(records) => self.spread(m, records, self.push_to())?,
                Effect::Forward(records) => self.spread(m, records, 2)?,
                Effect::Synchronise => {
                    let node = self.machines[m].node.as_ref().unwrap();
                    let joining = matches!(node.phase(), mesher_claims::node::Phase::Joining { .. });
                    let digest = Rc::new(node.digest(self.now(m)));
                    for to in self.peers(m, if joining { usize::MAX } else { 1 }) {
                        self.send(m, to, Rc::clone(&digest))?;
                    }
                }
                Effect::Tell(event) => self.tell(m, event)?,
            }
        }
        if failed {
            let now = self.now(m);
            self.machines[m].node.as_mut().unwrap().save_failed(now);
        }
        Ok(())
    }

    fn tell(&mut self, m: usize, event: Event) -> Checked {
        if let Event::Refused { host: Some(host), refusal, .. } = &event
            && self.machines.iter().any(|other| other.me == *host && !self.is_malicious(other.number))
        {
            return violation("safety: honest records are taken", format!("host{m} of {host}: {refusal}"));
        }
        if let Event::EpochsRaised { .. } = event {
            self.oracle.raised(m);
        }
        if self.keep_told {
            self.told.push((self.time_ms, m, event));
        }
        Ok(())
    }

    pub fn save_own(&mut self, m: usize) {
        let machine = &mut self.machines[m];
        let Some(node) = machine.node.as_ref() else { return };
        machine.disk.own = Some(node.own().to_saved());
        machine.disk.own_seq = node.own().seq();
    }

    fn spread(&mut self, m: usize, records: Vec<AgedRecord>, count: usize) -> Checked {
        // A witness's statements may leave before a renewal that is signed already.
        let newest = records.iter().map(|aged| own_seq(&aged.record, self.machines[m].me)).max().unwrap_or(0);
        let peers = self.peers(m, count);
        for message in Message::records(true, records) {
            let message = Rc::new(message);
            self.watch(m, &message)?;
            for to in &peers {
                self.send(m, *to, Rc::clone(&message))?;
            }
        }
        self.oracle.announced(m, newest.min(self.machines[m].disk.own_seq));
        Ok(())
    }

    /// A few others at random, or all.
    pub fn peers(&mut self, m: usize, count: usize) -> Vec<usize> {
        let mut others: Vec<usize> = (0..self.machines.len()).filter(|other| *other != m).collect();
        while others.len() > count {
            let at = self.rng.index(others.len());
            others.swap_remove(at);
        }
        others
    }

    /// Own records that leave are held to what was promised.
    fn watch(&mut self, from: usize, message: &Message) -> Checked {
        let node = self.machines[from].node.as_ref();
        // Who has yielded to a copy of its key passes on what that one signed.
        let silent = node.is_some_and(|node| node.phase() == mesher_claims::node::Phase::Silenced);
        if silent || self.is_malicious(from) {
            return Ok(());
        }
        if let Message::Records { records, .. } = message {
            for record in records {
                self.oracle.sent(&self.machines[from], &record.record, self.time_ms)?;
            }
        }
        Ok(())
    }

    pub fn send(&mut self, from: usize, to: usize, message: Rc<Message>) -> Checked {
        self.messages += 1;
        self.watch(from, &message)?;
        let lateness = Rc::new(self.lateness_in(from, &message));
        let message = if self.plan.wire { self.over_the_wire(&message)? } else { message };
        let what = Freight::Message { message, lateness };
        self.fly(Flight { from, to, sent_at_ms: self.time_ms, what });
        Ok(())
    }

    fn over_the_wire(&self, message: &Message) -> Result<Rc<Message>, super::oracle::Violation> {
        let network = network_key().network_id();
        let decoded = Message::decode(&network, &message.encode());
        match decoded {
            Ok(decoded) if decoded.refused.is_empty() && decoded.message == *message => {
                Ok(Rc::new(decoded.message))
            }
            _ => Err(super::oracle::Violation {
                promise: "safety: what is sent is what arrives",
                text: format!("{message:?}"),
            }),
        }
    }

    fn lateness_in(&self, from: usize, message: &Message) -> Vec<(HostKey, u64, u64)> {
        let of = |host: HostKey, seq| (host, seq, self.oracle.lateness_of(from, host, seq));
        match message {
            Message::Records { records, .. } => records
                .iter()
                .filter_map(|aged| match &aged.record {
                    Record::Host(record) => Some(of(record.host, record.seq)),
                    _ => None,
                })
                .collect(),
            Message::Digest { digest, .. } => {
                let host = |entry: &DigestEntry| {
                    let found = self.machines.iter().find(|m| NodeId::from(m.me) == entry.host)?;
                    Some(of(found.me, entry.seq))
                };
                // Of itself a joining host says no age.
                let me = NodeId::from(self.machines[from].me);
                digest.hosts.iter().filter(|entry| entry.host != me).filter_map(host).collect()
            }
        }
    }

    fn fly(&mut self, flight: Flight) {
        for at in self.network.arrivals(flight.from, flight.to, self.time_ms) {
            self.later(at, Due::Arrival(flight.clone()));
        }
    }

    pub fn arrive(&mut self, flight: Flight) -> Checked {
        let machine = &mut self.machines[flight.to];
        if machine.node.is_none() {
            return Ok(());
        }
        if machine.suspended {
            if machine.inbox.len() < 20 {
                machine.inbox.push(flight);
            }
            return Ok(());
        }
        match flight.what {
            Freight::Message { message, lateness } => {
                let transit_ms = self.time_ms - flight.sent_at_ms;
                self.drive(flight.to, Input::Message { from: flight.from, message, lateness, transit_ms })
            }
            Freight::Gossip(replicas) => self.hear(flight.to, &replicas),
        }
    }

    fn hear(&mut self, m: usize, replicas: &[Replica]) -> Checked {
        let round_ms = self.plan.carrier_ms.unwrap_or(1_000);
        for replica in replicas.iter().filter(|replica| replica.host != m) {
            let (records, alive) = self.carriers[m].hear(self.time_ms, round_ms, replica);
            if !records.is_empty() {
                self.drive(m, Input::Carried { records, alive })?;
            }
        }
        Ok(())
    }

    fn gossip(&mut self, m: usize) {
        let Some(round_ms) = self.plan.carrier_ms else { return };
        self.later(self.time_ms + round_ms, Due::Gossip(m));
        if !self.machines[m].runs() {
            return;
        }
        let replicas = Rc::new(self.carriers[m].replicas(m));
        for to in self.peers(m, 3) {
            let what = Freight::Gossip(Rc::clone(&replicas));
            self.fly(Flight { from: m, to, sent_at_ms: self.time_ms, what });
        }
    }

    /// The carrier starts under a generation above all before: the daemon keeps it beside the node's own state.
    pub fn start_carrier(&mut self, m: usize) -> Checked {
        let Some(node) = self.machines[m].node.as_ref() else { return Ok(()) };
        let records = node.own_records();
        for record in &records {
            self.oracle.sent(&self.machines[m], record, self.time_ms)?;
        }
        self.carriers[m] = Carrier::start(self.time_ms + 1, records);
        Ok(())
    }

    fn save_store_now_and_then(&mut self, m: usize) {
        let pause = self.rng.between(5_000, 60_000);
        self.later(self.time_ms + pause, Due::SaveStore(m));
        if self.machines[m].runs() && !self.machines[m].disk.full {
            self.save_store(m);
        }
    }

    pub fn save_store(&mut self, m: usize) {
        let now = self.now(m);
        let machine = &mut self.machines[m];
        let Some(node) = machine.node.as_ref() else { return };
        machine.disk.store = Some(node.store().save(now));
        machine.disk.saved = Some(super::machine::StoreSaved {
            at_ms: self.time_ms,
            clocks: now,
            lateness: self.oracle.lateness[m].clone(),
        });
    }

    pub fn schedule_wake(&mut self, m: usize) {
        let machine = &mut self.machines[m];
        let Some(node) = machine.node.as_ref().filter(|_| !machine.suspended) else { return };
        let at = machine.true_ms_at(node.next_tick_boot_ms(), self.time_ms).max(self.time_ms + 1);
        if at < machine.wake_at_ms || machine.wake_at_ms <= self.time_ms {
            machine.wake += 1;
            machine.wake_at_ms = at;
            let wake = machine.wake;
            self.later(at, Due::Wake(m, wake));
        }
    }

    fn later(&mut self, at_ms: u64, due: Due) {
        let slot = self.free.pop().unwrap_or(self.due.len());
        if slot == self.due.len() {
            self.due.push(None);
        }
        self.due[slot] = Some(due);
        self.serial += 1;
        self.queue.push(Reverse((at_ms, self.serial, slot)));
    }

    /// To how many peers news is pushed: a few, where a carrier brings it to the rest.
    fn push_to(&self) -> usize {
        if self.plan.carrier_ms.is_some() { 3 } else { usize::MAX }
    }

    pub fn is_malicious(&self, m: usize) -> bool {
        self.plan.malice && m + 1 == self.machines.len()
    }

    /// Whether another machine has the same key.
    pub fn is_copied(&self, m: usize) -> bool {
        self.plan.cloned && m + 2 >= self.machines.len()
    }

    pub fn node(&self, m: usize) -> &Node {
        self.machines[m].node.as_ref().expect("it runs")
    }
}

/// Settings as the administrator signs them: the first machines are the witnesses.
pub fn sign_settings(
    plan: &Plan,
    machines: &[Machine],
    revision: u64,
    claim_ttl_ms: u64,
    witnesses: usize,
    former: &[HostKey],
) -> Signed<SettingsBody> {
    let witnesses: Vec<HostKey> = machines.iter().map(|machine| machine.me).take(witnesses).collect();
    let body = SettingsBody {
        revision,
        domain: "sol".parse().unwrap(),
        claim_ttl_ms,
        admission: if plan.certified { Admission::Certified } else { Admission::Open },
        former_witnesses: former.iter().copied().filter(|host| !witnesses.contains(host)).collect(),
        witnesses,
        revoked: vec![],
        allow_loopback: false,
        allow_public_domain: false,
    };
    let network = network_key();
    Signed::sign(&network.network_id(), &network, body)
}

/// The `seq` of a record that this host signed; 0 of any other.
fn own_seq(record: &Record, me: HostKey) -> u64 {
    match record {
        Record::Host(record) if record.host == me => record.seq,
        Record::Claim(claim) if claim.host == me => claim.seq,
        Record::Statement(statement) if statement.witness == me => statement.seq,
        _ => 0,
    }
}
