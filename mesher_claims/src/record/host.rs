//! The host record: who a host is, where it is, and that it is still there.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Body, Refusal};
use crate::address::Addresses;
use crate::keys::HostKey;
use crate::names::Label;

/// The largest time stamp, epoch or sequence number believed: the year 10889 in milliseconds. What is above would leave
/// honest hosts no room to go beyond it.
pub const MAX_STAMP: u64 = 1 << 48;

/// What a host says of itself. A new one, with a higher `seq`, renews all of its claims.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HostBody {
    /// Who signs.
    pub host: HostKey,
    /// What the host calls itself, for people. Not a name that resolves.
    pub label: Label,
    /// Where its claims point, unless they have addresses of their own.
    pub addresses: Addresses,
    /// Claims with an epoch below this are void.
    pub since: u64,
    /// Random, new at every start: tells a copy of this host from its own past.
    pub instance: u64,
    /// The host's own wall clock at the renewal, in milliseconds since 1970.
    pub renewed_at_ms: u64,
    /// Goes up with every record this host signs.
    pub seq: u64,
}

impl Body for HostBody {
    const KIND: &'static str = "host";

    fn signer(&self) -> Option<HostKey> {
        Some(self.host)
    }

    fn check(&self) -> Result<(), Refusal> {
        in_range("since", self.since)?;
        in_range("seq", self.seq)?;
        in_range("renewed_at", self.renewed_at_ms)
    }
}

pub(super) fn in_range(what: &'static str, value: u64) -> Result<(), Refusal> {
    if value > MAX_STAMP { Err(Refusal::OutOfRange(what)) } else { Ok(()) }
}
