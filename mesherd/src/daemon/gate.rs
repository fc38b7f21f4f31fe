//! What gossip may let pass: records that verify, filed where they belong.

use mesher_claims::keys::{self, NetworkId};
use mesher_claims::record::{Record, Refusal};

use crate::gossip::{Gate, NodeId, Verdict};

/// Verifies every record against the network's id.
#[derive(Debug)]
pub(super) struct RecordGate {
    network: NetworkId,
}

impl RecordGate {
    /// The gate of a network.
    pub(super) fn new(network: NetworkId) -> Self {
        Self { network }
    }
}

impl Gate for RecordGate {
    fn admit(&self, node: NodeId, key: &str, value: &str) -> Verdict {
        match Record::from_carrier(&self.network, key, value) {
            // Settings are the network's: any node may carry them. Everything else is filed under its own host.
            Ok(record) => match record.host() {
                Some(host) if keys::NodeId::from(host).0 != node.to_bytes() => Verdict::Refuse("misfiled"),
                _ => Verdict::Admit,
            },
            Err(refusal) => Verdict::Refuse(reason(&refusal)),
        }
    }
}

fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::TooLong { .. } => "too long",
        Refusal::Version(_) => "unknown version",
        Refusal::Malformed(_) => "malformed",
        Refusal::OutOfRange(_) => "out of range",
        Refusal::BadSignature => "bad signature",
        Refusal::UnknownKind => "unknown kind",
        Refusal::Misfiled => "misfiled",
        Refusal::OverLimit(_) => "over a limit",
    }
}
