//! What goes from machine to machine: messages, and the carrier's rounds.

use std::rc::Rc;

use mesher_claims::keys::{HostKey, NodeId};
use mesher_claims::message::Message;
use mesher_claims::node::Phase;
use mesher_claims::record::Record;
use mesher_claims::store::DigestEntry;

use super::administrator::network_key;
use super::daemon::Input;
use super::network::{Carrier, Flight, Freight, Replica};
use super::oracle::{Checked, Violation};
use super::world::{Due, World};

impl World {
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
    pub fn watch(&mut self, from: usize, message: &Message) -> Checked {
        let node = self.machines[from].node.as_ref();
        // Who has yielded to a copy of its key passes on what that one signed.
        let silent = node.is_some_and(|node| node.phase() == Phase::Silenced);
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

    fn over_the_wire(&self, message: &Message) -> Result<Rc<Message>, Violation> {
        let network = network_key().network_id();
        let decoded = Message::decode(&network, &message.encode());
        match decoded {
            Ok(decoded) if decoded.refused.is_empty() && decoded.message == *message => {
                Ok(Rc::new(decoded.message))
            }
            _ => Err(Violation {
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

    pub fn gossip(&mut self, m: usize) {
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
}
