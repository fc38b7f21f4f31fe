//! Sealed messages between addresses, without sockets or clocks: datagrams and the time go in, datagrams and whole
//! messages come out. `port` gives it a socket.

mod complaints;
pub(crate) mod datagram;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub(crate) mod limiter;
mod links;
mod reassembly;
mod seal;
mod sessions;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use complaints::{Complaint, Complaints};
use datagram::{Body, Channel, Header, MAX_DATAGRAM, MAX_PIECE, TOKEN_DATAGRAM};
use limiter::{Limiter, Rate};
use links::{Links, Outgoing};
pub(crate) use reassembly::MAX_MESSAGE;
use reassembly::{Outcome, Reassembly};
pub use seal::{KeyId, Secrets};
use seal::{OpenError, Sealer};
use sessions::{Admission, Sessions, TokenKeys};

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

/// How long sent messages can be repeated, and how many bytes and messages are kept for that.
const SENT_FOR: Duration = Duration::from_secs(2);
const MAX_SENT: usize = 4 * MAX_MESSAGE;
const MAX_SENT_MESSAGES: usize = 1024;

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

struct Sent {
    to: SocketAddr,
    id: u32,
    message: Outgoing,
    /// Pieces sent again, so that a member cannot make us repeat ourselves for ever.
    repeated: usize,
}

/// The state machine.
pub(crate) struct Wire {
    node: NodeId,
    session: u64,
    counter: u64,
    message_id: u32,
    sealer: Sealer,
    random: Random,
    tokens: TokenKeys,
    sessions: Sessions,
    links: Links,
    reassembly: Reassembly,
    sent: VecDeque<Sent>,
    sent_bytes: usize,
    datagrams: Limiter,
    carrier_messages: Limiter,
    tokens_given: Limiter,
    out: VecDeque<(SocketAddr, Vec<u8>)>,
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
        mut random: Random,
        counters: Arc<Counters>,
    ) -> Self {
        let mut session = [0; 8];
        random(&mut session);
        let tokens = TokenKeys::new(now, &mut random);
        Self {
            node,
            session: u64::from_le_bytes(session),
            counter: 0,
            message_id: 0,
            sealer: Sealer::new(secrets, network),
            random,
            tokens,
            sessions: Sessions::new(),
            links: Links::new(),
            reassembly: Reassembly::new(),
            sent: VecDeque::new(),
            sent_bytes: 0,
            datagrams: Limiter::new(DATAGRAMS),
            carrier_messages: Limiter::new(CARRIER_MESSAGES),
            tokens_given: Limiter::new(TOKENS),
            out: VecDeque::new(),
            housekeeping: now,
            complaints: Complaints::default(),
            counters,
        }
    }

    /// Seals with the first of `secrets` and opens with all of them from now on.
    pub(crate) fn set_secrets(&mut self, secrets: Secrets) {
        self.sealer.set_secrets(secrets);
    }

    /// The next datagram to put on the network.
    pub(crate) fn transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.out.pop_front()
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
        if self.links.get(announced).is_some_and(|link| link.token != 0) {
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
        if bytes.len() > MAX_MESSAGE {
            self.counters.send_dropped.add(1);
            return;
        }
        let message = Outgoing { channel, bytes, since: now };
        let link = self.links.get_or_make(now, to);
        if link.token != 0 {
            return self.send_pieces(now, to, message);
        }
        let dropped = link.queue(message);
        self.counters.send_dropped.add(dropped as u64);
        if link.hello_due(now) {
            self.send_datagram(now, to, 0, &Body::Hello);
        }
    }

    fn send_pieces(&mut self, now: Instant, to: SocketAddr, message: Outgoing) {
        self.message_id = self.message_id.wrapping_add(1);
        let id = self.message_id;
        let count = message.bytes.len().div_ceil(MAX_PIECE).max(1);
        for index in 0..count {
            self.send_piece(now, to, id, index, &message);
        }
        self.sent_bytes += message.bytes.len();
        self.sent.push_back(Sent { to, id, message, repeated: 0 });
        while self.sent_bytes > MAX_SENT || self.sent.len() > MAX_SENT_MESSAGES {
            self.forget_oldest_sent();
        }
    }

    fn forget_oldest_sent(&mut self) {
        if let Some(sent) = self.sent.pop_front() {
            self.sent_bytes -= sent.message.bytes.len();
        }
    }

    fn send_piece(&mut self, now: Instant, to: SocketAddr, id: u32, index: usize, message: &Outgoing) {
        let count = message.bytes.len().div_ceil(MAX_PIECE).max(1);
        let start = index * MAX_PIECE;
        let bytes = &message.bytes[start..(start + MAX_PIECE).min(message.bytes.len())];
        let token = self.links.get(to).map_or(0, |link| link.token);
        let body =
            Body::Piece { channel: message.channel, id, index: index as u16, count: count as u16, bytes };
        self.send_datagram(now, to, token, &body);
    }

    fn send_datagram(&mut self, now: Instant, to: SocketAddr, token: u64, body: &Body<'_>) {
        self.counter += 1;
        let counter = self.counter;
        let link = self.links.get_or_make(now, to);
        let grant = match (body, link.peer) {
            (Body::Token { .. }, _) => self.tokens.token(token, to),
            (_, Some((session, source))) => self.tokens.token(session, source),
            (_, None) => 0,
        };
        if !matches!(body, Body::Token { .. }) {
            link.note_sent(now, counter);
        }
        let header = Header { node: self.node, session: self.session, counter, token, grant };
        self.seal_and_queue(to, &datagram::encode(&header, body));
    }

    fn seal_and_queue(&mut self, to: SocketAddr, plain: &[u8]) {
        let mut nonce = [0; 24];
        (self.random)(&mut nonce);
        self.out.push_back((to, self.sealer.seal(nonce, plain)));
    }

    /// Takes a datagram off the network. What it asks to be sent is in [`Self::transmit`].
    pub(crate) fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8]) -> Option<Inbound> {
        let len = datagram.len();
        if len > MAX_DATAGRAM {
            self.dropped(now, from, Complaint::NotOurs);
            return None;
        }
        let (key, plain) = match self.sealer.open(datagram) {
            Ok(opened) => opened,
            Err(why) => {
                let complaint = match why {
                    OpenError::NotOurs => Complaint::NotOurs,
                    OpenError::UnknownKey => {
                        self.counters.unknown_key_peers.add(u64::from(self.links.get(from).is_some()));
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
        if header.session == self.session {
            // Our own datagram came back: a bootstrap list may contain this machine. Nothing is concluded from it,
            // for a stranger on the link can send us back anything we sent.
            self.counters.own_echoes.add(1);
            return None;
        }
        if let Body::Token { echo } = body {
            self.take_token(now, from, &header, echo);
            return None;
        }
        if !self.tokens.accepts(header.token, header.session, from) {
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
        self.take_grant(now, from, &header);
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
        let room = self.out.len() < MAX_WAITING;
        if len < TOKEN_DATAGRAM || !room || !self.tokens_given.allow(now, from.ip()) {
            self.dropped(now, from, Complaint::RateLimited);
            return;
        }
        // Written without a link: a stranger's question costs no memory.
        self.counter += 1;
        let answer = Header {
            node: self.node,
            session: self.session,
            counter: self.counter,
            token: header.session,
            grant: self.tokens.token(header.session, from),
        };
        self.seal_and_queue(from, &datagram::encode(&answer, &Body::Token { echo: header.counter }));
    }

    /// Takes a token that answers something we sent just now, and sends what waited for it.
    fn take_token(&mut self, now: Instant, from: SocketAddr, header: &Header, echo: u64) {
        if header.token != self.session || header.grant == 0 {
            self.counters.unproven.add(1);
            return;
        }
        let Some(to) = self.links.expecting(now, from, echo) else {
            self.dropped(now, from, Complaint::Replayed);
            return;
        };
        let Some(link) = self.links.get_mut(to) else { return };
        if link.token == header.grant {
            // The answer to another piece of the same message.
            return;
        }
        let replaces = link.token != 0;
        link.token = header.grant;
        link.peer = Some((header.session, from));
        link.hello_answered();
        let pending: Vec<Outgoing> = link.pending.drain(..).collect();
        if replaces {
            // The peer did not take what we sent last, for want of a good token: send it again.
            let again: Vec<Outgoing> = self
                .sent
                .iter()
                .filter(|sent| sent.to == to && now.saturating_duration_since(sent.message.since) < SENT_FOR)
                .map(|sent| sent.message.clone())
                .collect();
            self.sent.retain(|sent| sent.to != to);
            self.sent_bytes = self.sent.iter().map(|sent| sent.message.bytes.len()).sum();
            for message in again {
                self.send_pieces(now, to, message);
            }
        }
        for message in pending {
            self.send_pieces(now, to, message);
        }
    }

    /// The peer's datagrams carry a token for our answers.
    fn take_grant(&mut self, now: Instant, from: SocketAddr, header: &Header) {
        let link = self.links.get_or_make(now, from);
        link.peer = Some((header.session, from));
        if header.grant == 0 {
            return;
        }
        link.token = header.grant;
        link.hello_answered();
        let pending: Vec<Outgoing> = link.pending.drain(..).collect();
        for message in pending {
            self.send_pieces(now, from, message);
        }
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
                self.repeat(now, from, id, missing);
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

    /// Sends pieces again that a peer misses; each message's pieces at most twice over.
    fn repeat(&mut self, now: Instant, from: SocketAddr, id: u32, missing: &[u8]) {
        let Some(sent) = self.sent.iter_mut().find(|sent| sent.to == from && sent.id == id) else { return };
        let message = sent.message.clone();
        let count = message.bytes.len().div_ceil(MAX_PIECE).max(1);
        let wanted: Vec<usize> = (0..count)
            .filter(|index| missing.get(index / 8).is_some_and(|bits| bits & (1 << (index % 8)) != 0))
            .take((2 * count).saturating_sub(sent.repeated))
            .collect();
        sent.repeated += wanted.len();
        self.counters.pieces_repeated.add(wanted.len() as u64);
        for index in wanted {
            self.send_piece(now, from, id, index, &message);
        }
    }

    /// What time brings: hellos again, missing pieces asked for, old state dropped. To be called at
    /// [`Self::deadline`] or later.
    pub(crate) fn tick(&mut self, now: Instant) {
        let (dropped, hello) = self.links.expire(now);
        self.counters.send_dropped.add(dropped as u64);
        for to in hello {
            self.send_datagram(now, to, 0, &Body::Hello);
        }
        let expired = self.reassembly.expire(now);
        self.counters.unfinished.add(expired as u64);
        for ((_, from, id), missing) in self.reassembly.stalled(now) {
            let token = self.links.get(from).map_or(0, |link| link.token);
            if token != 0 {
                self.send_datagram(now, from, token, &Body::Repeat { id, missing: &missing });
            }
        }
        while self
            .sent
            .front()
            .is_some_and(|sent| now.saturating_duration_since(sent.message.since) >= SENT_FOR)
        {
            self.forget_oldest_sent();
        }
        if now.saturating_duration_since(self.housekeeping) >= Duration::from_secs(60) {
            self.housekeeping = now;
            self.tokens.rotate(now, &mut self.random);
            self.sessions.expire(now);
            self.datagrams.expire(now);
            self.carrier_messages.expire(now);
            self.tokens_given.expire(now);
        }
    }

    /// When [`Self::tick`] is due, if nothing happens before.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        let busy = self.links.waiting() || !self.reassembly.is_empty();
        // A few kilobytes may stay until the next tick: a quiet daemon need not wake for them.
        let kept = (self.sent_bytes > 64 * 1024).then_some(now + SENT_FOR);
        let housekeeping = self.housekeeping + Duration::from_secs(60);
        let soon = busy.then(|| now + reassembly::REPEAT_AFTER);
        [kept, soon].into_iter().flatten().fold(housekeeping, Instant::min)
    }
}

/// The IPv4 address inside an IPv4-mapped IPv6 address: a dual-stack socket shows IPv4 peers so. Scope and flow
/// label are dropped from all but link-local addresses.
pub(crate) fn normalise(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, addr.port())),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => addr,
        IpAddr::V6(ip) => SocketAddr::from((ip, addr.port())),
    }
}
