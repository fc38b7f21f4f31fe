//! From whole messages to chitchat and the daemon: one task decodes, asks the gate, and passes on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::super::wire::Inbound;
use super::super::wire::datagram::Channel;
use super::super::{Event, NodeId};
use super::filter::{Filter, Passed};
use super::message::Message;
use super::run::InboxSender;
use super::socket::{Shared, lock};
use super::supervisor::Signal;
use super::translate;

/// Where chitchat's present run takes its messages from; another with every run.
pub(crate) type Inbox = Arc<Mutex<Option<InboxSender>>>;

/// The task's parts.
pub(crate) struct Intake {
    pub(crate) inbound: mpsc::Receiver<Inbound>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) filter: Filter,
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Inbox,
    pub(crate) signals: mpsc::Sender<Signal>,
}

impl Intake {
    /// Runs until the port ends.
    pub(crate) async fn run(mut self) {
        while let Some(message) = self.inbound.recv().await {
            match message.channel {
                Channel::Carrier => self.carrier(message.from, message.node, &message.bytes),
                Channel::Application => {
                    let event =
                        Event::Message { from: message.from, node: message.node, bytes: message.bytes };
                    if self.events.try_send(event).is_err() {
                        self.shared.counters.events_full.add(1);
                    }
                }
            }
        }
    }

    fn carrier(&mut self, from: SocketAddr, sender: NodeId, bytes: &[u8]) {
        let counters = &self.shared.counters;
        let Ok(message) = Message::decode(bytes) else {
            counters.malformed.add(1);
            return;
        };
        if !matches!(message, Message::Syn { .. }) {
            self.shared.note_answer(from);
        }
        let more = message.delta().iter().map(|delta| delta.records.len()).sum::<usize>()
            >= super::message::MAX_RECORDS
            || bytes.len() > super::message::MAX_DELTA / 2 && !message.delta().is_empty();
        let filtered = self.filter.apply(sender, message, self.shared.own_run());
        if let Some((heartbeat, version)) = filtered.overstated {
            // Full: the supervisor has enough of them already.
            let _ = self.signals.try_send(Signal::Overstated { heartbeat, version });
        }
        // All events or none, and chitchat only after them: what the store could not take, chitchat must not know,
        // or it would never be offered again.
        let Ok(permits) = self.events.try_reserve_many(filtered.records.len()) else {
            counters.events_full.add(1);
            return;
        };
        for (permit, Passed { node, key, value, alive }) in permits.zip(filtered.records) {
            permit.send(Event::Record { node, key, value, alive });
        }
        let Some(message) = filtered.message else { return };
        let Ok(message) = translate::to_chitchat(&message) else {
            counters.malformed.add(1);
            return;
        };
        let inbox = lock(&self.inbox).clone();
        if inbox.is_none_or(|inbox| inbox.try_send((from, message)).is_err()) {
            counters.events_full.add(1);
        }
        if filtered.met {
            let _ = self.signals.try_send(Signal::Met);
        }
        if more {
            let _ = self.signals.try_send(Signal::More(from));
        }
    }
}
