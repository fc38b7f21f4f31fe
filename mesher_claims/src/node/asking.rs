//! When a host asks a peer for what it lacks: quickly while joining, then rarely; sooner where something was missed, and again
//! where no answer came.

use super::{Effect, Node, Phase};
use crate::time::Now;

/// Between two synchronisations of a node that runs, in a small network.
const SYNC_INTERVAL_MS: u64 = 30_000;
/// And for every host known, so that a large network's digests stay a small part of its traffic.
const SYNC_INTERVAL_PER_HOST_MS: u64 = 300;
/// A synchronisation asked for by what was missed comes after this long, so that what is under way can arrive,
const SYNC_SOON_MS: u64 = 500;
/// and not sooner after the one before.
const SYNC_SOON_EVERY_MS: u64 = 5_000;
/// A question that was not answered is asked again, of a peer at random, after this long; and after twice as long each time, until
/// the next one is due anyway.
const SYNC_UNANSWERED_MS: u64 = 4_000;
/// A node that is joining asks again at the news of a host, for a host that is news has joined; this long after it asked last,
/// and each time longer by as much: where many join at once, everybody is news.
const SYNC_AT_NEWS_MS: u64 = 150;

/// The questions of one host. All times are on CLOCK_BOOTTIME, in milliseconds.
#[derive(Debug)]
pub(super) struct Asking {
    next_boot_ms: u64,
    last_boot_ms: u64,
    answer_due_boot_ms: Option<u64>,
    attempts: u32,
}

impl Asking {
    /// A host that starts asks at once.
    pub(super) fn begin(boot_ms: u64) -> Self {
        Self { next_boot_ms: boot_ms, last_boot_ms: 0, answer_due_boot_ms: None, attempts: 0 }
    }

    /// So does one that joins again.
    pub(super) fn anew(&mut self, boot_ms: u64) {
        self.attempts = 0;
        self.next_boot_ms = boot_ms;
    }

    /// When the next question is due: at its time, or because the last one was not answered.
    pub(super) fn due_boot_ms(&self) -> u64 {
        self.next_boot_ms.min(self.answer_due_boot_ms.unwrap_or(u64::MAX))
    }

    /// A question goes out: decides when the next one is due. Once joined, that is after `rarely_ms`.
    fn asked(&mut self, boot_ms: u64, joining: bool, rarely_ms: u64) {
        let its_turn = boot_ms >= self.next_boot_ms;
        if its_turn && !joining {
            // What went unanswered before, while joining or because everybody was cut off, is no reason to be content with
            // silence: the one peer that is asked now may be the one that is dead.
            self.attempts = 0;
        }
        let pause_ms = if joining { (200_u64 << self.attempts.min(5)).min(5_000) } else { rarely_ms };
        let unanswered_ms = SYNC_UNANSWERED_MS << self.attempts.min(5);
        self.attempts += 1;
        self.last_boot_ms = boot_ms;
        if its_turn {
            self.next_boot_ms = boot_ms + pause_ms;
        }
        self.answer_due_boot_ms = Some(boot_ms + unanswered_ms);
    }

    /// A peer answered.
    fn answered(&mut self, joining: bool) {
        self.answer_due_boot_ms = None;
        if !joining {
            self.attempts = 0;
        }
    }

    /// Nothing is lacking any more.
    pub(super) fn satisfied(&mut self) {
        self.attempts = 0;
    }

    /// Something was missed. Not more often than [`SYNC_SOON_EVERY_MS`], once joined.
    fn soon(&mut self, boot_ms: u64, joining: bool) {
        let (after_ms, every_ms) = match joining {
            true => (0, SYNC_AT_NEWS_MS * u64::from(self.attempts)),
            false => (SYNC_SOON_MS, SYNC_SOON_EVERY_MS),
        };
        let earliest = self.last_boot_ms.saturating_add(every_ms).max(boot_ms + after_ms);
        self.next_boot_ms = self.next_boot_ms.min(earliest);
    }
}

impl Node {
    /// Asks for a synchronisation.
    pub(super) fn synchronise(&mut self, now: Now) {
        let hosts = self.store.hosts().count() as u64;
        let interval = SYNC_INTERVAL_MS.max(SYNC_INTERVAL_PER_HOST_MS * hosts);
        // Spread over the hosts, without asking for randomness: instance and seq are different everywhere.
        let spread = self.instance ^ self.own.seq().wrapping_mul(0x9e37_79b9);
        let rarely_ms = interval * 3 / 4 + spread % (interval / 2);
        self.asking.asked(now.boot_ms, self.is_joining(), rarely_ms);
        self.effects.push(Effect::Synchronise);
    }

    /// A peer answered.
    pub(super) fn sync_answered(&mut self) {
        self.asking.answered(self.is_joining());
        self.answered = true;
    }

    /// Asks for a synchronisation soon: something was missed.
    pub(super) fn synchronise_soon(&mut self, now: Now) {
        self.asking.soon(now.boot_ms, self.is_joining());
    }

    fn is_joining(&self) -> bool {
        matches!(self.phase, Phase::Joining { .. })
    }
}
