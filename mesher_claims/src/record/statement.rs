//! A witness's statement: when it first saw a claim.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Body, Refusal};
use crate::keys::HostKey;
use crate::names::ClaimName;

/// A witness's signed time for one claim. It is about exactly that host, name and epoch: a claim minted anew needs a new one.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StatementBody {
    /// Who signs.
    pub witness: HostKey,
    /// The claimant.
    pub host: HostKey,
    /// The name claimed.
    pub name: ClaimName,
    /// The claim's epoch.
    pub epoch: u64,
    /// The witness's time, in milliseconds: its clock, and above every time it knew for the name.
    pub at: u64,
    /// The witness takes the statement back: it saw the claimant's lease run out.
    pub void: bool,
    /// From the witness's own counter: of two statements on one host and name, the higher counts.
    pub seq: u64,
}

impl Body for StatementBody {
    const KIND: &'static str = "statement";

    fn signer(&self) -> Option<HostKey> {
        Some(self.witness)
    }

    fn check(&self) -> Result<(), Refusal> {
        super::host::in_range("epoch", self.epoch)?;
        super::host::in_range("seq", self.seq)?;
        super::host::in_range("at", self.at)
    }
}
