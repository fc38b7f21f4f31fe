//! How much a peer is answered: a digest of forty bytes may ask for all that this node knows.

use std::net::IpAddr;
use std::time::Instant;

use crate::gossip::{Limiter, Rate};

/// Bytes of answers to one host. A network of 1,000 names is 300 KB, so who joins gets all of it several times over; the largest
/// one is answered once, and then again when its 30 MB are made up for.
const ANSWERS: Rate = Rate { per_second: 2 << 20, burst: 4 << 20 };
/// What a digest costs besides its own length and that of the answers: it is compared with all that is known.
const COMPARING: usize = 16 << 10;

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

    /// A digest was looked at, and it and what was said to it came to so many bytes.
    pub(super) fn charge(&mut self, now: Instant, from: IpAddr, bytes: usize) {
        self.0.charge(now, from, u32::try_from(COMPARING + bytes).unwrap_or(u32::MAX));
    }

    /// Forgets hosts that have been quiet for long.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.expire(now);
    }
}
