//! The network secrets in use, and whether this machine missed a change of them.

use std::time::{Duration, Instant};

use super::Daemon;
use crate::gossip::{KeyId, Secrets};
use crate::systemd::{events, journal};

/// After so long without a datagram that a lost secret would open, the rotation counts as caught up with.
const LOCKED_OUT_FOR: Duration = Duration::from_secs(60);

/// What the daemon remembers of them.
#[derive(Debug)]
pub(super) struct SecretsInUse {
    /// The sealing one first.
    pub(super) ids: Vec<KeyId>,
    /// The count of peers' datagrams that did not open, and when it last went up.
    locked_out: (u64, Option<Instant>),
}

impl SecretsInUse {
    pub(super) fn new(secrets: &Secrets) -> Self {
        Self { ids: secrets.key_ids().collect(), locked_out: (0, None) }
    }
}

impl Daemon {
    /// These secrets are in force. Returns whether they are others than before.
    pub(super) fn secrets_changed(&mut self, secrets: &Secrets) -> bool {
        let ids: Vec<KeyId> = secrets.key_ids().collect();
        if ids == self.secrets.ids {
            return false;
        }
        let list: Vec<String> = ids.iter().map(ToString::to_string).collect();
        journal::event(events::SECRET_CHANGED).log(format_args!(
            "the network secrets have changed: seals with {}, opens {}",
            list.first().map_or("none", String::as_str),
            list.join(", ")
        ));
        self.secrets.ids = ids;
        self.secrets.locked_out = (self.gossip.counters().unknown_key_peers, None);
        true
    }

    /// Peers' datagrams that do not open for want of their secret: this machine missed a change of the secret.
    pub(super) fn watch_rotation(&mut self) {
        let count = self.gossip.counters().unknown_key_peers;
        let (before, since) = self.secrets.locked_out;
        if count == before {
            return;
        }
        let is_news = since.is_none_or(|at| at.elapsed() >= LOCKED_OUT_FOR);
        self.secrets.locked_out = (count, Some(Instant::now()));
        if is_news && let Some(locked_out) = self.locked_out() {
            journal::event(events::SECRET_MISSED).log(format_args!("{locked_out}"));
        }
    }

    /// What an operator must see to.
    pub(super) fn locked_out(&self) -> Option<String> {
        self.secrets.locked_out.1.filter(|at| at.elapsed() < LOCKED_OUT_FOR)?;
        Some(format!(
            "peers seal with a network secret that this machine does not have: did it miss a change of the secret? Bring the \
             current {} here and run: mesherctl reload",
            self.config.network.secret_file.display()
        ))
    }
}
