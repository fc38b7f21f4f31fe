//! What a host wants to be, and how it becomes something else while it runs.

use std::collections::BTreeMap;

use super::{Effect, Node, Phase};
use crate::address::Addresses;
use crate::names::{ClaimName, Label};
use crate::record::{CertificateBody, Record, Signed};
use crate::store::{AgedRecord, Merged};
use crate::time::{Age, Now};

/// What this host wants to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// What it calls itself.
    pub label: Label,
    /// The names it claims, each with its own addresses if it does not point at the host's.
    pub names: BTreeMap<ClaimName, Option<Addresses>>,
    /// Where it is.
    pub addresses: Addresses,
    /// How long it waits for a peer before it claims on its own, in milliseconds.
    pub join_timeout_ms: u64,
    /// Whether there is anybody to hope for: bootstrap nodes other than itself, or peers remembered.
    pub has_peers: bool,
    /// Its certificate, where the network asks for one.
    pub certificate: Option<Signed<CertificateBody>>,
}

impl Node {
    /// Takes over a changed configuration: names are claimed and withdrawn, addresses announced, at once if running.
    pub fn set_config(&mut self, now: Now, config: NodeConfig) {
        if config == self.config {
            return;
        }
        self.config = config;
        self.take_up_certificate(now);
        if !self.gives_up_if_broken(now) && self.phase == Phase::Running {
            self.reconcile(now);
        }
    }

    pub(super) fn take_up_certificate(&mut self, now: Now) {
        let Some(certificate) = self.config.certificate.clone() else { return };
        let record = Record::Certificate(certificate);
        if self.store.merge(now, record.clone(), Age::NEW) == Merged::New && self.phase == Phase::Running {
            self.effects.push(Effect::Carry(vec![record.clone()]));
            self.effects.push(Effect::Push(vec![AgedRecord { record, age: Age::NEW }]));
        }
    }
}
