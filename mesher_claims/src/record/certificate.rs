//! A certificate: the network's word that a host may claim certain names.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Body, Refusal};
use crate::keys::HostKey;
use crate::names::{ClaimName, Label, NamePattern};

/// The network's leave for one host. A host has one certificate at a time: the one with the highest `serial`.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CertificateBody {
    /// Whom it is for.
    pub host: HostKey,
    /// What the host is to be called; a host record with another label does not count.
    pub label: Label,
    /// What it may claim.
    pub patterns: Vec<NamePattern>,
    /// Valid from, in milliseconds since 1970.
    pub not_before_ms: u64,
    /// Valid until, in milliseconds since 1970.
    pub not_after_ms: u64,
    /// The signing machine's wall clock in milliseconds when it was signed: the later of two counts.
    pub serial: u64,
}

impl CertificateBody {
    /// Whether it is in force at a time (mesh time, in milliseconds since 1970).
    pub fn is_valid_at(&self, mesh_ms: u64) -> bool {
        (self.not_before_ms..self.not_after_ms).contains(&mesh_ms)
    }

    /// Whether it allows a name.
    pub fn allows(&self, name: &ClaimName) -> bool {
        self.patterns.iter().any(|pattern| pattern.allows(name))
    }
}

impl Body for CertificateBody {
    const KIND: &'static str = "certificate";

    fn signer(&self) -> Option<HostKey> {
        None
    }

    fn check(&self) -> Result<(), Refusal> {
        super::host::in_range("serial", self.serial)?;
        if self.not_before_ms >= self.not_after_ms {
            return Err(Refusal::OutOfRange("validity (it ends before it starts)"));
        }
        Ok(())
    }
}
