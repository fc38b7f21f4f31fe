//! The one sentence that `systemctl status` shows, and publishing when the view has changed.

use mesher_claims::node::Phase;
use mesher_claims::view::Standing;

use super::Daemon;
use super::addresses::link_local_scope;
use crate::exports::Names;
use crate::publish::{Publishing, contents};

impl Daemon {
    /// Publishes the view if it, the settings or what decides about the table has changed since.
    pub(super) fn publish(&mut self) {
        let joined = !matches!(self.node.phase(), Phase::Joining { .. });
        let held_back = self.publisher.end_bridge(joined);
        let Some(settings) = self.node.settings() else { return };
        let publishing = Publishing {
            short_names: self.config.nss.short_names,
            contain: self.config.nss.contain,
            link_local_scope: link_local_scope(&self.snapshot),
        };
        let stamp = (self.node.view_generation(), settings.revision, publishing);
        if self.published == Some(stamp) {
            if held_back {
                self.publisher.extend();
            }
            return;
        }
        self.store_dirty = true;
        let contents = contents(self.node.view(), &settings.domain, publishing);
        self.published = Some(stamp);
        if self.exporter.wants_names() {
            self.exporter.names(Names { domain: settings.domain.clone(), contents: contents.clone() });
        }
        // What cannot be written now is tried again with every extension of the lease.
        self.publisher.publish(contents);
    }

    /// Tells systemd how things are.
    pub(super) fn show_status(&self) {
        self.notifier.status(&self.sentence());
    }

    /// How things are, in one sentence.
    pub(super) fn sentence(&self) -> String {
        let Some(settings) = self.node.settings() else {
            let warnings: String =
                self.warnings().into_iter().map(|warning| format!("; {warning}")).collect();
            return format!("waiting for a peer to pass on the network's settings{warnings}");
        };
        let domain = &settings.domain;
        let peers = self.contacts.alive();
        let me = self.node.me();
        let (mut held, mut waited) = (0, Vec::new());
        for (name, standing) in self.node.view().names() {
            held += usize::from(standing.holder().is_some());
            let waits = standing.waiting().iter().any(|claimant| claimant.host == me);
            if let (true, Some(holder)) = (waits, standing.holder()) {
                waited.push(format!("{name}, held by {}", holder.label));
            } else if standing.unwitnessed.iter().any(|claimant| claimant.host == me) && !holds(standing, me)
            {
                waited.push(format!("{name}, no witness has seen it"));
            }
        }
        let more = if waited.len() > 3 { format!(", and {} more", waited.len() - 3) } else { String::new() };
        let waited = match waited.len() {
            0 => String::new(),
            count => format!(", {count} waited for ({}{more})", waited[..count.min(3)].join("; ")),
        };
        let phase = match self.node.phase() {
            Phase::Joining { .. } => "joining; ",
            Phase::Running => "",
            Phase::Silenced => "silent: another machine runs with a copy of this host's key; ",
        };
        let table = if self.publisher.failing() {
            "cannot be written".into()
        } else {
            self.publisher.generation().to_string()
        };
        // Of an export, that it fails is enough here; why is among the warnings.
        let short = |warning: String| match warning.split_once(": ") {
            Some((key, _)) if key.starts_with("exports.") => format!("; {key} cannot be written"),
            _ => format!("; {warning}"),
        };
        let warnings: String = self.warnings().into_iter().map(short).collect();
        format!(
            "{domain}: {phase}{}, {}{waited}; table {table}{warnings}",
            count(peers, "peer"),
            count(held, "name")
        )
    }
}

fn holds(standing: &Standing, me: mesher_claims::keys::HostKey) -> bool {
    standing.holder().is_some_and(|holder| holder.host == me)
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
