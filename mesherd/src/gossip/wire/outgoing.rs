//! Messages on their way out: cut into pieces, and kept for a while, so that pieces can be sent again.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::datagram::{Channel, MAX_PIECE};
use super::reassembly::MAX_MESSAGE;

/// How long sent messages can be repeated, and how many bytes and messages are kept for that.
const SENT_FOR: Duration = Duration::from_secs(2);
const MAX_SENT: usize = 4 * MAX_MESSAGE;
const MAX_SENT_MESSAGES: usize = 1024;

/// A message on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) channel: Channel,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) since: Instant,
}

impl Outgoing {
    /// How many pieces it is sent in.
    pub(crate) fn pieces(&self) -> usize {
        self.bytes.len().div_ceil(MAX_PIECE).max(1)
    }

    /// One of them.
    pub(crate) fn piece(&self, index: usize) -> &[u8] {
        let start = index * MAX_PIECE;
        &self.bytes[start..(start + MAX_PIECE).min(self.bytes.len())]
    }
}

struct Sent {
    to: SocketAddr,
    id: u32,
    message: Outgoing,
    /// Pieces sent again, so that a member cannot make us repeat ourselves for ever.
    repeated: usize,
}

/// The messages sent lately.
#[derive(Default)]
pub(crate) struct SentMessages {
    messages: VecDeque<Sent>,
    bytes: usize,
}

impl SentMessages {
    /// Keeps a message that was just sent; the oldest make room.
    pub(crate) fn keep(&mut self, to: SocketAddr, id: u32, message: Outgoing) {
        self.bytes += message.bytes.len();
        self.messages.push_back(Sent { to, id, message, repeated: 0 });
        while self.bytes > MAX_SENT || self.messages.len() > MAX_SENT_MESSAGES {
            self.forget_oldest();
        }
    }

    /// Forgets what was sent to one address. What is not too old of it is to be sent again, as new messages.
    pub(crate) fn take_back(&mut self, now: Instant, to: SocketAddr) -> Vec<Outgoing> {
        let again = self
            .messages
            .iter()
            .filter(|sent| sent.to == to && now.saturating_duration_since(sent.message.since) < SENT_FOR)
            .map(|sent| sent.message.clone())
            .collect();
        self.messages.retain(|sent| sent.to != to);
        self.bytes = self.messages.iter().map(|sent| sent.message.bytes.len()).sum();
        again
    }

    /// The pieces of a message that a peer misses, by its bits; each message's pieces at most twice over.
    pub(crate) fn missed(
        &mut self,
        by: SocketAddr,
        id: u32,
        missing: &[u8],
    ) -> Option<(Outgoing, Vec<usize>)> {
        let sent = self.messages.iter_mut().find(|sent| sent.to == by && sent.id == id)?;
        let count = sent.message.pieces();
        let wanted: Vec<usize> = (0..count)
            .filter(|index| missing.get(index / 8).is_some_and(|bits| bits & (1 << (index % 8)) != 0))
            .take((2 * count).saturating_sub(sent.repeated))
            .collect();
        sent.repeated += wanted.len();
        Some((sent.message.clone(), wanted))
    }

    /// Forgets what is too old to be repeated.
    pub(crate) fn expire(&mut self, now: Instant) {
        while self
            .messages
            .front()
            .is_some_and(|sent| now.saturating_duration_since(sent.message.since) >= SENT_FOR)
        {
            self.forget_oldest();
        }
    }

    /// By when [`Self::expire`] should be called, where much is kept.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        // A few kilobytes may stay until the next tick: a quiet daemon need not wake for them.
        (self.bytes > 64 * 1024).then_some(now + SENT_FOR)
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn forget_oldest(&mut self) {
        if let Some(sent) = self.messages.pop_front() {
            self.bytes -= sent.message.bytes.len();
        }
    }
}
