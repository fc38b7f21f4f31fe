//! The network's settings, signed by the network's key.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Body, Refusal};
use crate::keys::HostKey;
use crate::names::Domain;

/// The shortest TTL: three renewals a second apart must fit.
pub const MIN_CLAIM_TTL_MS: u64 = 3_000;
/// The longest TTL: a year.
pub const MAX_CLAIM_TTL_MS: u64 = 366 * 86_400_000;
/// The most witnesses a network can name.
pub const MAX_WITNESSES: usize = 16;
/// The most revoked hosts the settings can list.
pub const MAX_REVOKED: usize = 128;

/// Who may claim names.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// Whoever holds the network secret.
    Open,
    /// Whoever also has a certificate signed by the network's key.
    Certified,
}

/// What the whole network agrees on. The highest `revision` wins.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SettingsBody {
    /// Goes up with every change.
    pub revision: u64,
    /// What all names live under.
    pub domain: Domain,
    /// How long a host's claims outlive its last renewal, in milliseconds.
    pub claim_ttl_ms: u64,
    /// Who may claim.
    pub admission: Admission,
    /// Hosts whose signed times order the claims, if any are named.
    pub witnesses: Vec<HostKey>,
    /// Hosts that were witnesses once: they are asked no more, and what they signed still counts.
    pub former_witnesses: Vec<HostKey>,
    /// Hosts whose claims count nowhere any more.
    pub revoked: Vec<HostKey>,
    /// Whether loopback addresses are believed: for tests and demonstrations on one machine.
    pub allow_loopback: bool,
    /// Whether the domain may be one that the public DNS delegates, such as `com` or `co.uk`.
    pub allow_public_domain: bool,
}

impl SettingsBody {
    /// The settings a network starts with where nothing else is asked for: revision 1, open to whoever holds its secret, without
    /// witnesses, nobody revoked, and nothing allowed that is not always so.
    pub fn new(domain: Domain, claim_ttl_ms: u64) -> Self {
        Self {
            revision: 1,
            domain,
            claim_ttl_ms,
            admission: Admission::Open,
            witnesses: Vec::new(),
            former_witnesses: Vec::new(),
            revoked: Vec::new(),
            allow_loopback: false,
            allow_public_domain: false,
        }
    }
}

impl Body for SettingsBody {
    const KIND: &'static str = "settings";

    fn signer(&self) -> Option<HostKey> {
        None
    }

    fn check(&self) -> Result<(), Refusal> {
        if !(MIN_CLAIM_TTL_MS..=MAX_CLAIM_TTL_MS).contains(&self.claim_ttl_ms) {
            return Err(Refusal::OutOfRange("claim_ttl (3 seconds to 366 days)"));
        }
        super::host::in_range("revision", self.revision)?;
        if self.witnesses.len() > MAX_WITNESSES || self.former_witnesses.len() > MAX_WITNESSES {
            return Err(Refusal::OverLimit("16 witnesses"));
        }
        if self.revoked.len() > MAX_REVOKED {
            return Err(Refusal::OverLimit("128 revoked hosts"));
        }
        Ok(())
    }
}
