//! How much a peer is answered: a digest of forty bytes may ask for all that this node knows.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::gossip::{Limiter, Rate};

/// The processor's time that one host may cost with its digests, in microseconds. To tell a newcomer a network of 1,000 names takes
/// some 10 ms; whoever was told more than it had left is told the rest when that is made up for.
const ANSWERS: Rate = Rate { per_second: 60_000, burst: 600_000 };
/// What sealing and sending come to, which other tasks do: so many bytes a microsecond.
const SENT: usize = 50;

/// What is left to each host that asks.
pub(super) struct Answers(Limiter);

impl Answers {
    pub(super) fn new() -> Self {
        Self(Limiter::new(ANSWERS))
    }

    /// Whether a digest from there is looked at.
    pub(super) fn may_ask(&mut self, now: Instant, from: IpAddr) -> bool {
        self.0.has_left(now, from)
    }

    /// A digest was looked at: that and the answers took so long, and the answers have so many bytes.
    pub(super) fn charge(&mut self, now: Instant, from: IpAddr, used: Duration, bytes: usize) {
        let cost = used.as_micros() + (bytes / SENT) as u128;
        self.0.charge(now, from, u32::try_from(cost).unwrap_or(u32::MAX));
    }

    /// Forgets hosts that have been quiet for long.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.expire(now);
    }
}
