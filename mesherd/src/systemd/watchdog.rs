//! The watchdog: systemd is told that the daemon lives only while each of its parts makes progress.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{logging, notify};

/// The parts that must make progress, and how long each may go without.
#[derive(Debug)]
pub struct Watchdog {
    /// `WATCHDOG_USEC`; `None` when systemd does not watch.
    limit: Option<Duration>,
    started: Instant,
    parts: Mutex<Vec<Arc<Part>>>,
}

#[derive(Debug)]
struct Part {
    name: &'static str,
    /// Milliseconds from the watchdog's start to the last beat.
    last_beat_ms: AtomicU64,
}

/// One part's way to say that it made progress.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    started: Instant,
    part: Arc<Part>,
}

impl Heartbeat {
    /// Says that the part has just made progress. Cheap: one relaxed store.
    pub fn beat(&self) {
        self.part.last_beat_ms.store(elapsed_ms(self.started), Ordering::Relaxed);
    }
}

impl Watchdog {
    /// The watchdog that systemd asked for with `WATCHDOG_USEC` and `WATCHDOG_PID`, if it did.
    pub fn from_env() -> Self {
        Self::new(sd_notify::watchdog_enabled())
    }

    /// One with a given limit.
    pub fn new(limit: Option<Duration>) -> Self {
        Self { limit, started: Instant::now(), parts: Mutex::default() }
    }

    /// How often a part should beat at least: an eighth of the limit, so that some late beats are no alarm.
    /// `None` when systemd does not watch.
    pub fn beat_interval(&self) -> Option<Duration> {
        self.limit.map(|limit| limit / 8)
    }

    /// Adds a part, which counts as having beaten just now.
    pub fn part(&self, name: &'static str) -> Heartbeat {
        let part = Arc::new(Part { name, last_beat_ms: AtomicU64::new(elapsed_ms(self.started)) });
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part.clone());
        Heartbeat { started: self.started, part }
    }

    /// Feeds systemd's watchdog while every part has beaten within half its limit. When one has not, twice in a row (once
    /// may mean that this very process was held up, and the part with it), it is named in the log and systemd is asked to act at
    /// once: it ends and restarts the daemon, three quarters of the limit after the part's last beat. Where all parts hang,
    /// this one included, systemd acts by itself at the limit.
    /// Returns at once when systemd does not watch; otherwise never.
    pub async fn run(&self) {
        let Some(limit) = self.limit else { return };
        let mut ticks = tokio::time::interval(limit / 8);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut suspected = false;
        loop {
            ticks.tick().await;
            match self.stalled(limit / 2) {
                None => {
                    suspected = false;
                    notify::feed_watchdog();
                }
                Some(_) if !suspected => suspected = true,
                Some((name, since)) => {
                    logging::last_words(&format!(
                        "{name} has made no progress for {} s; having systemd restart the daemon",
                        since.as_secs()
                    ));
                    notify::trigger_watchdog();
                }
            }
        }
    }

    /// The part that has gone longest without a beat, if that is over `limit`.
    fn stalled(&self, limit: Duration) -> Option<(&'static str, Duration)> {
        let now_ms = elapsed_ms(self.started);
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = parts.iter().min_by_key(|part| part.last_beat_ms.load(Ordering::Relaxed))?;
        let since = Duration::from_millis(now_ms.saturating_sub(oldest.last_beat_ms.load(Ordering::Relaxed)));
        (since > limit).then_some((oldest.name, since))
    }
}

fn elapsed_ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_silent_part_is_enough_to_stop_the_feeding() {
        let limit = Duration::from_secs(10);
        let watchdog = Watchdog::new(Some(limit));
        let (gossip, publish) = (watchdog.part("gossip"), watchdog.part("publish"));
        tokio::time::advance(Duration::from_secs(8)).await;
        gossip.beat();
        assert_eq!(watchdog.stalled(limit), None);
        tokio::time::advance(Duration::from_secs(3)).await;
        gossip.beat();
        assert_eq!(watchdog.stalled(limit), Some(("publish", Duration::from_secs(11))));
        publish.beat();
        assert_eq!(watchdog.stalled(limit), None);
    }

    #[tokio::test(start_paused = true)]
    async fn without_systemd_nothing_runs() {
        let watchdog = Watchdog::new(None);
        watchdog.part("gossip");
        assert_eq!(watchdog.beat_interval(), None);
        watchdog.run().await;
    }
}
