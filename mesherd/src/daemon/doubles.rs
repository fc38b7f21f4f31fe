//! Two machines under one key, and two under one label.

use std::collections::BTreeMap;

use mesher_claims::keys::HostKey;
use mesher_claims::node::Phase;
use mesher_claims::store::Store;
use mesher_claims::time::Now;

use super::{Daemon, clock};
use crate::systemd::{events, journal};

/// More labels than this get one line together.
const LABELS_TOLD: usize = 5;
/// Of more hosts than this the keys are not all told: a member can give thousands of made-up hosts one label, and the sentence is
/// made anew with every turn of the loop.
const KEYS_TOLD: usize = 4;

/// The labels that more than one host goes by.
#[derive(Debug, Default)]
pub(super) struct Doubles {
    /// In small letters, with the label as written and the hosts.
    labels: BTreeMap<String, (String, Vec<HostKey>)>,
    /// The store's revision for which that was found out.
    judged: Option<u64>,
}

impl Daemon {
    /// Finds out which labels are used twice, if anything has changed, and tells of what is new.
    pub(super) fn look_for_doubles(&mut self) {
        let revision = self.node.store().revision();
        if self.doubles.judged == Some(revision) {
            return;
        }
        self.doubles.judged = Some(revision);
        let labels = shared_labels(self.node.store(), clock::now());
        let before = std::mem::replace(&mut self.doubles.labels, labels);
        let new = self.doubles.labels.iter().filter(|(folded, _)| !before.contains_key(*folded));
        for (_, (label, hosts)) in new.take(LABELS_TOLD) {
            journal::event(events::LABEL_SHARED).host(label).log(format_args!("{}", sentence(label, hosts)));
        }
    }

    /// What the operator should know of it, as long as it is so.
    pub(super) fn doubles_warnings(&self) -> Vec<String> {
        let copied = match (self.node.key_is_copied(), self.node.phase()) {
            (false, _) => None,
            (true, Phase::Silenced) => Some(
                "another machine runs with a copy of this machine's key; this one announces nothing"
                    .to_owned(),
            ),
            (true, _) => Some("another machine runs with a copy of this machine's key".to_owned()),
        };
        let labels = &self.doubles.labels;
        let shown = labels.values().take(LABELS_TOLD).map(|(label, hosts)| sentence(label, hosts));
        let more = labels.len().saturating_sub(LABELS_TOLD);
        let more = (more > 0).then(|| format!("{more} more labels are used twice"));
        copied.into_iter().chain(shown).chain(more).collect()
    }
}

/// Labels compare without regard to case, as names do. Hosts whose lease is over do not count: the key of a machine that was
/// installed anew is one.
fn shared_labels(store: &Store, now: Now) -> BTreeMap<String, (String, Vec<HostKey>)> {
    let Some(ttl) = store.lease_ttl_ms(now) else { return BTreeMap::new() };
    let mut labels: BTreeMap<String, (String, Vec<HostKey>)> = BTreeMap::new();
    for (host, entry) in store.hosts().filter(|(_, entry)| entry.is_leased(now, ttl)) {
        let Some(record) = entry.record() else { continue };
        let label = record.label.as_str();
        labels
            .entry(label.to_ascii_lowercase())
            .or_insert_with(|| (label.to_owned(), Vec::new()))
            .1
            .push(*host);
    }
    labels.retain(|_, (_, hosts)| hosts.len() > 1);
    labels
}

fn sentence(label: &str, hosts: &[HostKey]) -> String {
    let keys: Vec<String> = hosts.iter().take(KEYS_TOLD).map(ToString::to_string).collect();
    let more = match hosts.len().saturating_sub(KEYS_TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} machines call themselves {label}, with the keys {}{more}", hosts.len(), keys.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_thousands_is_told_in_a_line() {
        let key = |n: u32| {
            let mut seed = [9; 32];
            seed[..4].copy_from_slice(&n.to_le_bytes());
            mesher_claims::keys::SecretKey::from_seed(&seed).host_key()
        };
        let two = sentence("alpha", &[key(1), key(2)]);
        assert_eq!(two, format!("2 machines call themselves alpha, with the keys {} and {}", key(1), key(2)));
        let many: Vec<HostKey> = (0..4_000).map(key).collect();
        let told = sentence("legion", &many);
        assert!(told.len() < 400 && told.ends_with(" and 3996 more"), "{told}");
    }
}
