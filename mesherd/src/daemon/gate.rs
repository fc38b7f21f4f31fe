//! What gossip may let pass: records that verify, filed where they belong.

use std::sync::{Arc, Mutex, PoisonError};

use mesher_claims::keys::{self, NetworkId};
use mesher_claims::record::{Record, Refusal, Verifier};

use crate::gossip::{Gate, NodeId, Verdict};

/// The gate and the daemon see the same records one after the other, and each record comes from several peers: they share what has
/// been verified. All tasks run on one thread, so nobody ever waits for the lock.
#[derive(Debug, Clone)]
pub(super) struct SharedVerifier(Arc<Mutex<Verifier>>);

impl SharedVerifier {
    /// The verifier of a network.
    pub(super) fn new(network: NetworkId) -> Self {
        Self(Arc::new(Mutex::new(Verifier::new(network))))
    }

    /// Decodes and verifies.
    pub(super) fn record(&self, key: &str, value: &str) -> Result<Record, Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).record(key, value)
    }
}

/// Verifies every record against the network's id.
#[derive(Debug)]
pub(super) struct RecordGate {
    verifier: SharedVerifier,
}

impl RecordGate {
    /// The gate of a network.
    pub(super) fn new(verifier: SharedVerifier) -> Self {
        Self { verifier }
    }
}

impl Gate for RecordGate {
    fn admit(&self, node: NodeId, key: &str, value: &str) -> Verdict {
        match self.verifier.record(key, value) {
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
