//! Sealed messages between addresses, without sockets or clocks: datagrams and the time go in, datagrams and whole
//! messages come out. `port` gives it a socket.

mod complaints;
pub(crate) mod datagram;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub(crate) mod limiter;
mod links;
mod outgoing;
mod reassembly;
mod seal;
mod sender;
mod sessions;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use complaints::{Complaint, Complaints};
use datagram::{Body, Channel, Header, MAX_DATAGRAM, TOKEN_DATAGRAM};
use limiter::{Limiter, Rate};
pub(crate) use reassembly::MAX_MESSAGE;
use reassembly::{Outcome, Reassembly};
use seal::OpenError;
pub use seal::{KeyId, Secrets};
use sender::Sender;
use sessions::{Admission, Sessions};

use super::counters::Counters;
use super::node_id::NodeId;

/// Datagrams taken from one host. A message of the largest size is 238 of them.
const DATAGRAMS: Rate = Rate { per_second: 2000, burst: 4000 };

/// chitchat's messages taken from one host: each may cause an answer of tens of kilobytes.
const CARRIER_MESSAGES: Rate = Rate { per_second: 50, burst: 200 };

/// Tokens given to one host: each costs a datagram no larger than the question.
const TOKENS: Rate = Rate { per_second: 20, burst: 100 };

/// Datagrams that may wait to be sent before no more tokens are given: questions may come faster than answers can go.
const MAX_WAITING: usize = 1024;

/// How long after it was last heard from an address a node is still sought there.
const ROUTE_FOR: Duration = Duration::from_secs(180);

/// Where random bytes come from. Must be a cryptographic generator.
pub(crate) type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// A whole message from a member that has shown to be there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inbound {
    pub(crate) from: SocketAddr,
    /// Who the sender says it is.
    pub(crate) node: NodeId,
    pub(crate) channel: Channel,
    pub(crate) bytes: Vec<u8>,
}

/// A member heard, for the status.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    pub(crate) node: NodeId,
    pub(crate) addr: SocketAddr,
    pub(crate) key: KeyId,
    pub(crate) at: Instant,
}

/// The state machine: what is taken of what comes in. What goes out is the [`Sender`]'s.
pub(crate) struct Wire {
    sender: Sender,
    sessions: Sessions,
    reassembly: Reassembly,
    datagrams: Limiter,
    carrier_messages: Limiter,
    tokens_given: Limiter,
    housekeeping: Instant,
    complaints: Complaints,
    counters: Arc<Counters>,
}

impl Wire {
    /// A wire with a new session. `network` keeps networks apart that share a secret by mistake.
    pub(crate) fn new(
        now: Instant,
        node: NodeId,
        network: &[u8],
        secrets: Secrets,
        random: Random,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            sender: Sender::new(now, node, network, secrets, random, Arc::clone(&counters)),
            sessions: Sessions::new(),
            reassembly: Reassembly::new(),
            datagrams: Limiter::new(DATAGRAMS),
            carrier_messages: Limiter::new(CARRIER_MESSAGES),
            tokens_given: Limiter::new(TOKENS),
            housekeeping: now,
            complaints: Complaints::default(),
            counters,
        }
    }

    /// Seals with the first of `secrets` and opens with all of them from now on.
    pub(crate) fn set_secrets(&mut self, secrets: Secrets) {
        self.sender.sealer.set_secrets(secrets);
    }

    /// The next datagram to put on the network.
    pub(crate) fn transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.sender.transmit()
    }

    /// Every member heard in the last twenty minutes, by the addresses it was heard from.
    pub(crate) fn heard(&self) -> impl Iterator<Item = Heard> {
        self.sessions.iter().map(|(addr, session)| Heard {
            node: session.node,
            addr,
            key: session.key,
            at: session.last_heard,
        })
    }

    /// The address at which `node` can be reached: `announced`, if it has answered there, else one that the node
    /// has been heard from lately. So nodes reach each other that have only IPv4 or only IPv6 in common, and nodes
    /// that announce an address which is of no use here.
    pub(crate) fn route(&self, now: Instant, announced: SocketAddr, node: Option<NodeId>) -> SocketAddr {
        let Some(node) = node else { return announced };
        if self.sender.has_token_for(announced) {
            return announced;
        }
        let latest = self.heard().filter(|heard| heard.node == node).max_by_key(|heard| heard.at);
        match latest {
            Some(heard) if now.saturating_duration_since(heard.at) < ROUTE_FOR => heard.addr,
            _ => announced,
        }
    }

    /// Sends a message, or asks the peer for a token first and sends it then. Best effort: nothing tells whether
    /// it arrived.
    pub(crate) fn send(&mut self, now: Instant, to: SocketAddr, channel: Channel, bytes: Arc<[u8]>) {
        self.sender.send(now, to, channel, bytes);
    }

    /// Takes a datagram off the network. What it asks to be sent is in [`Self::transmit`].
    pub(crate) fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8]) -> Option<Inbound> {
        let len = datagram.len();
        if len > MAX_DATAGRAM {
            self.dropped(now, from, Complaint::NotOurs);
            return None;
        }
        let (key, plain) = match self.sender.sealer.open(datagram) {
            Ok(opened) => opened,
            Err(why) => {
                let complaint = match why {
                    OpenError::NotOurs => Complaint::NotOurs,
                    OpenError::UnknownKey => {
                        self.counters.unknown_key_peers.add(u64::from(self.sender.has_link(from)));
                        Complaint::UnknownKey
                    }
                    OpenError::Forged => Complaint::Forged,
                };
                self.dropped(now, from, complaint);
                return None;
            }
        };
        if !self.datagrams.allow(now, from.ip()) {
            self.dropped(now, from, Complaint::RateLimited);
            return None;
        }
        let Ok((header, body)) = datagram::decode(plain) else {
            self.dropped(now, from, Complaint::Malformed);
            return None;
        };
        if header.session == self.sender.session {
            // Our own datagram came back: a bootstrap list may contain this machine. Nothing is concluded from it,
            // for a stranger on the link can send us back anything we sent.
            self.counters.own_echoes.add(1);
            return None;
        }
        if let Body::Token { echo } = body {
            if let Err(complaint) = self.sender.take_token(now, from, &header, echo) {
                self.dropped(now, from, complaint);
            }
            return None;
        }
        if !self.sender.tokens.accepts(header.token, header.session, from) {
            self.challenge(now, from, &header, len, matches!(body, Body::Hello));
            return None;
        }
        match self.sessions.admit(now, header.node, key, header.session, header.counter, from) {
            Admission::Fresh => {}
            Admission::Replayed => {
                self.dropped(now, from, Complaint::Replayed);
                return None;
            }
            Admission::Crowded => {
                self.dropped(now, from, Complaint::RateLimited);
                return None;
            }
        }
        self.sender.take_grant(now, from, &header);
        self.take_body(now, from, &header, body)
    }

    /// Counts a datagram that goes no further, and tells the journal now and then.
    fn dropped(&mut self, now: Instant, from: SocketAddr, complaint: Complaint) {
        let counter = match complaint {
            Complaint::NotOurs => &self.counters.not_ours,
            Complaint::UnknownKey => &self.counters.unknown_key,
            Complaint::Forged => &self.counters.forged,
            Complaint::Malformed => &self.counters.malformed,
            Complaint::Replayed => &self.counters.replayed,
            Complaint::RateLimited => &self.counters.rate_limited,
        };
        counter.add(1);
        self.complaints.tell(now, complaint, from);
    }

    /// Gives a token to a sender that has none, in a datagram no larger than its own. Its message is not looked at.
    fn challenge(&mut self, now: Instant, from: SocketAddr, header: &Header, len: usize, hello: bool) {
        if !hello {
            self.counters.unproven.add(1);
        }
        let room = self.sender.waiting() < MAX_WAITING;
        if len < TOKEN_DATAGRAM || !room || !self.tokens_given.allow(now, from.ip()) {
            self.dropped(now, from, Complaint::RateLimited);
            return;
        }
        self.sender.give_token(from, header);
    }

    fn take_body(
        &mut self,
        now: Instant,
        from: SocketAddr,
        header: &Header,
        body: Body<'_>,
    ) -> Option<Inbound> {
        let (channel, bytes) = match body {
            Body::Hello | Body::Token { .. } => return None,
            Body::Repeat { id, missing } => {
                self.sender.repeat(now, from, id, missing);
                return None;
            }
            Body::Piece { channel, index: 0, count: 1, bytes, .. } => (channel, bytes.to_vec()),
            Body::Piece { channel, id, index, count, bytes } => {
                match self.reassembly.add(now, (header.session, from, id), channel, (index, count), bytes) {
                    Outcome::Whole(channel, bytes) => (channel, bytes),
                    Outcome::Wanting => return None,
                    Outcome::Malformed => {
                        self.dropped(now, from, Complaint::Malformed);
                        return None;
                    }
                    Outcome::NoRoom => {
                        self.counters.no_room.add(1);
                        return None;
                    }
                }
            }
        };
        if channel == Channel::Carrier && !self.carrier_messages.allow(now, from.ip()) {
            self.dropped(now, from, Complaint::RateLimited);
            return None;
        }
        Some(Inbound { from, node: header.node, channel, bytes })
    }

    /// What time brings: hellos again, missing pieces asked for, old state dropped. To be called at
    /// [`Self::deadline`] or later.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.sender.tick(now);
        let expired = self.reassembly.expire(now);
        self.counters.unfinished.add(expired as u64);
        for ((_, from, id), missing) in self.reassembly.stalled(now) {
            self.sender.ask_to_repeat(now, from, id, &missing);
        }
        if now.saturating_duration_since(self.housekeeping) >= Duration::from_secs(60) {
            self.housekeeping = now;
            self.sender.rotate_tokens(now);
            self.sessions.expire(now);
            self.datagrams.expire(now);
            self.carrier_messages.expire(now);
            self.tokens_given.expire(now);
        }
    }

    /// When [`Self::tick`] is due, if nothing happens before.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        let busy = self.sender.waits_for_tokens() || !self.reassembly.is_empty();
        let kept = self.sender.sent.due(now);
        let housekeeping = self.housekeeping + Duration::from_secs(60);
        let soon = busy.then(|| now + reassembly::REPEAT_AFTER);
        [kept, soon].into_iter().flatten().fold(housekeeping, Instant::min)
    }
}
