//! What this node sends: messages in, sealed datagrams out. It asks peers for the tokens that prove it is there, shows them,
//! and gives peers theirs.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::super::counters::Counters;
use super::super::node_id::NodeId;
use super::Random;
use super::complaints::Complaint;
use super::datagram::{self, Body, Channel, Header};
use super::links::Links;
use super::outgoing::{Outgoing, SentMessages};
use super::reassembly::MAX_MESSAGE;
use super::seal::{Sealer, Secrets};
use super::sessions::TokenKeys;

/// The sending half.
pub(super) struct Sender {
    node: NodeId,
    pub(super) session: u64,
    counter: u64,
    message_id: u32,
    pub(super) sealer: Sealer,
    random: Random,
    pub(super) tokens: TokenKeys,
    links: Links,
    pub(super) sent: SentMessages,
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    counters: Arc<Counters>,
}

impl Sender {
    /// A sender with a new session.
    pub(super) fn new(
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
            links: Links::new(),
            sent: SentMessages::default(),
            out: VecDeque::new(),
            counters,
        }
    }

    /// The next datagram to put on the network.
    pub(super) fn transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.out.pop_front()
    }

    /// How many datagrams wait to be put there.
    pub(super) fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Whether anything was sent to `addr`, or taken from it, lately.
    pub(super) fn has_link(&self, addr: SocketAddr) -> bool {
        self.links.get(addr).is_some()
    }

    /// What proves to the peer at `addr` that we are there; 0 if there is none.
    fn token_for(&self, addr: SocketAddr) -> u64 {
        self.links.get(addr).map_or(0, |link| link.token)
    }

    /// Whether the peer at `addr` has given us a token.
    pub(super) fn has_token_for(&self, addr: SocketAddr) -> bool {
        self.token_for(addr) != 0
    }

    /// Sends a message, or asks the peer for a token first and sends it then.
    pub(super) fn send(&mut self, now: Instant, to: SocketAddr, channel: Channel, bytes: Arc<[u8]>) {
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
        for index in 0..message.pieces() {
            self.send_piece(now, to, id, index, &message);
        }
        self.sent.keep(to, id, message);
    }

    fn send_piece(&mut self, now: Instant, to: SocketAddr, id: u32, index: usize, message: &Outgoing) {
        let (index, count, bytes) = (index as u16, message.pieces() as u16, message.piece(index));
        let body = Body::Piece { channel: message.channel, id, index, count, bytes };
        self.send_datagram(now, to, self.token_for(to), &body);
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

    /// Gives a token to whoever sent `header` from `to`.
    pub(super) fn give_token(&mut self, to: SocketAddr, header: &Header) {
        // Written without a link: a stranger's question costs no memory.
        self.counter += 1;
        let answer = Header {
            node: self.node,
            session: self.session,
            counter: self.counter,
            token: header.session,
            grant: self.tokens.token(header.session, to),
        };
        self.seal_and_queue(to, &datagram::encode(&answer, &Body::Token { echo: header.counter }));
    }

    /// Takes a token that answers something we sent just now, and sends what waited for it. Complains of an answer to nothing.
    pub(super) fn take_token(
        &mut self,
        now: Instant,
        from: SocketAddr,
        header: &Header,
        echo: u64,
    ) -> Result<(), Complaint> {
        if header.token != self.session || header.grant == 0 {
            self.counters.unproven.add(1);
            return Ok(());
        }
        let to = self.links.expecting(now, from, echo).ok_or(Complaint::Replayed)?;
        let Some(link) = self.links.get_mut(to) else { return Ok(()) };
        if link.token == header.grant {
            // The answer to another piece of the same message.
            return Ok(());
        }
        let replaces = link.token != 0;
        link.token = header.grant;
        link.peer = Some((header.session, from));
        link.hello_answered();
        let pending: Vec<Outgoing> = link.pending.drain(..).collect();
        if replaces {
            // The peer did not take what we sent last, for want of a good token: send it again.
            for message in self.sent.take_back(now, to) {
                self.send_pieces(now, to, message);
            }
        }
        for message in pending {
            self.send_pieces(now, to, message);
        }
        Ok(())
    }

    /// The peer's datagrams carry a token for our answers.
    pub(super) fn take_grant(&mut self, now: Instant, from: SocketAddr, header: &Header) {
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

    /// Sends pieces again that a peer misses.
    pub(super) fn repeat(&mut self, now: Instant, to: SocketAddr, id: u32, missing: &[u8]) {
        let Some((message, wanted)) = self.sent.missed(to, id, missing) else { return };
        self.counters.pieces_repeated.add(wanted.len() as u64);
        for index in wanted {
            self.send_piece(now, to, id, index, &message);
        }
    }

    /// Asks for pieces of the peer's that we miss.
    pub(super) fn ask_to_repeat(&mut self, now: Instant, to: SocketAddr, id: u32, missing: &[u8]) {
        let token = self.token_for(to);
        if token != 0 {
            self.send_datagram(now, to, token, &Body::Repeat { id, missing });
        }
    }

    /// Says hello again where messages wait, and drops what waited or was kept for too long.
    pub(super) fn tick(&mut self, now: Instant) {
        let (dropped, hello) = self.links.expire(now);
        self.counters.send_dropped.add(dropped as u64);
        for to in hello {
            self.send_datagram(now, to, 0, &Body::Hello);
        }
        self.sent.expire(now);
    }

    /// Changes the key that makes tokens, if its time has come.
    pub(super) fn rotate_tokens(&mut self, now: Instant) {
        self.tokens.rotate(now, &mut self.random);
    }

    /// Whether messages wait for a token.
    pub(super) fn waits_for_tokens(&self) -> bool {
        self.links.waiting()
    }
}
