//! A daemon's turn: it is called for something, and what it then wants is carried out.

use std::rc::Rc;

use mesher_claims::event::Event;
use mesher_claims::keys::{HostKey, NodeId};
use mesher_claims::message::Message;
use mesher_claims::node::{Effect, Phase, Via};
use mesher_claims::record::{Record, SettingsBody, Signed};
use mesher_claims::store::AgedRecord;
use mesher_claims::time::Age;

use super::oracle::{Checked, violation};
use super::world::World;

/// What a daemon is called for.
pub enum Input {
    Wake,
    Message { from: usize, message: Rc<Message>, lateness: Rc<Vec<(HostKey, u64, u64)>>, transit_ms: u64 },
    Carried { records: Vec<Record>, alive: bool },
    Settings(Signed<SettingsBody>),
    Config,
}

impl World {
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
                    let joining = matches!(node.phase(), Phase::Joining { .. });
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

    /// To how many peers news is pushed: a few, where a carrier brings it to the rest.
    fn push_to(&self) -> usize {
        if self.plan.carrier_ms.is_some() { 3 } else { usize::MAX }
    }
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
