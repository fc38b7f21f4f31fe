//! What is known of the addresses this node sends to.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::outgoing::Outgoing;

/// Addresses remembered.
const MAX_LINKS: usize = 4096;

/// A link is forgotten when nothing was sent or heard for so long; the token it holds is stale by then.
const FORGET_AFTER: Duration = Duration::from_secs(1200);

/// Bytes of messages that wait for a token, for each address.
const MAX_PENDING: usize = 512 * 1024;

/// How long a message waits for a token.
const PENDING_FOR: Duration = Duration::from_secs(3);

/// When to say hello again while messages wait. Beyond the last, the messages' own time runs out.
const HELLO_AGAIN: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(500), Duration::from_millis(1000)];

/// One address this node sends to.
#[derive(Debug)]
pub(crate) struct Link {
    /// What proves to the peer that we are there now; 0 if it must be asked for.
    pub(crate) token: u64,
    /// The peer's session, and the address it was last heard from under it.
    pub(crate) peer: Option<(u64, SocketAddr)>,
    /// Messages that wait for the token.
    pub(crate) pending: VecDeque<Outgoing>,
    /// The first and last counter of what was sent in the last while: what a token may answer.
    pub(crate) sent: Option<(u64, u64, Instant)>,
    hello: Option<(Instant, usize)>,
    used: Instant,
}

impl Link {
    fn new(now: Instant) -> Self {
        Self { token: 0, peer: None, pending: VecDeque::new(), sent: None, hello: None, used: now }
    }

    /// Notes that a datagram with this counter went out.
    pub(crate) fn note_sent(&mut self, now: Instant, counter: u64) {
        self.used = now;
        self.sent = match self.sent {
            // What was sent long ago is not answered any more.
            Some((first, _, since)) if now.saturating_duration_since(since) < Duration::from_secs(5) => {
                Some((first, counter, since))
            }
            _ => Some((counter, counter, now)),
        };
    }

    /// Whether a token that answers the datagram `echo` may be for this link.
    pub(crate) fn expects(&self, now: Instant, echo: u64) -> bool {
        self.sent.is_some_and(|(first, last, since)| {
            (first..=last).contains(&echo) && now.saturating_duration_since(since) < Duration::from_secs(15)
        })
    }

    /// Queues a message until the peer's token is here; the oldest make room. Says how many were dropped.
    pub(crate) fn queue(&mut self, message: Outgoing) -> usize {
        self.pending.push_back(message);
        let mut dropped = 0;
        while self.pending.iter().map(|message| message.bytes.len()).sum::<usize>() > MAX_PENDING {
            self.pending.pop_front();
            dropped += 1;
        }
        dropped
    }

    /// Whether it is time to ask for a token; notes that it is done.
    pub(crate) fn hello_due(&mut self, now: Instant) -> bool {
        let due = self.next_hello().is_none_or(|at| at <= now);
        if due {
            let times = self.hello.map_or(0, |(_, times)| times + 1);
            self.hello = Some((now, times));
        }
        due
    }

    fn next_hello(&self) -> Option<Instant> {
        let (at, times) = self.hello?;
        Some(at + HELLO_AGAIN[times.min(HELLO_AGAIN.len() - 1)])
    }

    /// The peer answered: the next time a token is wanted, it is asked for at once.
    pub(crate) fn hello_answered(&mut self) {
        self.hello = None;
    }
}

/// All links.
pub(crate) struct Links {
    by_addr: HashMap<SocketAddr, Link>,
}

impl Links {
    pub(crate) fn new() -> Self {
        Self { by_addr: HashMap::new() }
    }

    /// The link to `addr`, made if need be. At the bound the one unused for longest makes room.
    pub(crate) fn get_or_make(&mut self, now: Instant, addr: SocketAddr) -> &mut Link {
        if self.by_addr.len() >= MAX_LINKS
            && !self.by_addr.contains_key(&addr)
            && let Some(oldest) = self.by_addr.iter().min_by_key(|(_, link)| link.used).map(|(addr, _)| *addr)
        {
            self.by_addr.remove(&oldest);
        }
        let link = self.by_addr.entry(addr).or_insert_with(|| Link::new(now));
        link.used = now;
        link
    }

    pub(crate) fn get_mut(&mut self, addr: SocketAddr) -> Option<&mut Link> {
        self.by_addr.get_mut(&addr)
    }

    pub(crate) fn get(&self, addr: SocketAddr) -> Option<&Link> {
        self.by_addr.get(&addr)
    }

    /// The link a token for the datagram `echo` belongs to: the one to the address it came from, or the one
    /// `echo` went to, if the peer answers from another of its addresses.
    pub(crate) fn expecting(&mut self, now: Instant, from: SocketAddr, echo: u64) -> Option<SocketAddr> {
        if self.by_addr.get(&from).is_some_and(|link| link.expects(now, echo)) {
            return Some(from);
        }
        self.by_addr
            .iter()
            .find(|(_, link)| link.token == 0 && link.expects(now, echo))
            .map(|(addr, _)| *addr)
    }

    /// Drops messages that waited too long and links unused for long. Says how many messages, and where it is
    /// time for another hello.
    pub(crate) fn expire(&mut self, now: Instant) -> (usize, Vec<SocketAddr>) {
        let (mut dropped, mut hello) = (0, Vec::new());
        self.by_addr.retain(|addr, link| {
            let waiting = link.pending.len();
            link.pending.retain(|message| now.saturating_duration_since(message.since) < PENDING_FOR);
            dropped += waiting - link.pending.len();
            if !link.pending.is_empty() && link.hello_due(now) {
                hello.push(*addr);
            }
            !link.pending.is_empty() || now.saturating_duration_since(link.used) < FORGET_AFTER
        });
        (dropped, hello)
    }

    /// Whether messages wait somewhere.
    pub(crate) fn waiting(&self) -> bool {
        self.by_addr.values().any(|link| !link.pending.is_empty())
    }
}
