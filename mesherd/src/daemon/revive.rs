//! Gossip that has died or hangs is started anew.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Daemon;
use crate::gossip;
use crate::systemd::{events, journal};

/// Gossip that does not answer for so long has made no progress.
const GOSSIP_ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// Gossip that has not answered for so long hangs, and is started anew: before systemd's watchdog would restart the daemon.
const GOSSIP_HANGS_AFTER: Duration = Duration::from_secs(12);
/// And so often: a daemon that did not get the processor for so long has not asked either.
const GOSSIP_HANGS_TIMES: u32 = 4;

impl Daemon {
    /// Starts gossip anew when a task of it has ended or none has answered for long: a daemon that is deaf must not look well.
    /// Returns where its events come from then.
    pub(super) async fn keep_gossip(&mut self) -> Option<mpsc::Receiver<gossip::Event>> {
        let why = match tokio::time::timeout(GOSSIP_ANSWERS_WITHIN, self.gossip.responds()).await {
            Ok(true) => {
                self.gossiping.beat();
                (self.gossip_answered, self.gossip_missed) = (Instant::now(), 0);
                return None;
            }
            Ok(false) => "a task of it had ended".to_owned(),
            Err(_) => {
                self.gossip_missed += 1;
                let silent = self.gossip_answered.elapsed();
                if silent < GOSSIP_HANGS_AFTER || self.gossip_missed < GOSSIP_HANGS_TIMES {
                    return None;
                }
                format!("it had not answered for {} s", silent.as_secs())
            }
        };
        let records = self.node.own_records();
        let records = records.iter().map(|record| (record.carrier_key(), record.carrier_value())).collect();
        match self.gossip.restart(records, self.advertised).await {
            Ok((gossip, gossip_events)) => {
                self.gossip = gossip;
                (self.gossip_answered, self.gossip_missed) = (Instant::now(), 0);
                self.contacts.forget_who_is_up(Instant::now());
                journal::event(events::GOSSIP_RESTARTED).log(format_args!("gossip was started anew: {why}"));
                // What went by meanwhile.
                self.synchronise();
                Some(gossip_events)
            }
            Err(error) => {
                log::error!("gossip cannot be started anew, trying again: {error}");
                None
            }
        }
    }
}
