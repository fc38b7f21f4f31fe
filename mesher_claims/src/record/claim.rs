//! The claim: a host's word that it wants a name, since when, or no longer.

use borsh::{BorshDeserialize, BorshSerialize};

use super::host::in_range;
use super::{Body, Refusal};
use crate::address::Addresses;
use crate::keys::HostKey;
use crate::names::ClaimName;

/// Whether a claim stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ClaimState {
    /// The host claims the name.
    Held,
    /// The host gave the name up; acts at once.
    Withdrawn,
}

/// One host's claim on one name.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ClaimBody {
    /// Who signs.
    pub host: HostKey,
    /// The name, as it is to be spelt in answers.
    pub name: ClaimName,
    /// When the claim started, a hybrid logical time in milliseconds. The smallest holds the name.
    pub epoch: u64,
    /// Whether it stands.
    pub state: ClaimState,
    /// Where the name points, if elsewhere than the host's addresses.
    pub addresses: Option<Addresses>,
    /// From the same counter as the host record's.
    pub seq: u64,
}

impl Body for ClaimBody {
    const KIND: &'static str = "claim";

    fn signer(&self) -> Option<HostKey> {
        Some(self.host)
    }

    fn check(&self) -> Result<(), Refusal> {
        in_range("epoch", self.epoch)?;
        in_range("seq", self.seq)
    }
}
