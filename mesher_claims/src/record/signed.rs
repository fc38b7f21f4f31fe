//! A body and its signature, verified.

use std::cmp::Ordering;
use std::ops::Deref;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::keys::{HostKey, NetworkId, SecretKey};

/// What can be signed.
pub trait Body: BorshSerialize + BorshDeserialize {
    /// Keeps the kinds apart under the signature.
    const KIND: &'static str;

    /// The host that must have signed it, or `None` when it must be the network's own key.
    fn signer(&self) -> Option<HostKey>;

    /// Rules that a well-encoded body must keep as well.
    ///
    /// # Errors
    /// The rule that is broken.
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Why a record was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// Over the limit.
    #[error("{found} bytes long, of {longest} at most")]
    TooLong {
        /// Its length in bytes.
        found: usize,
        /// The limit in bytes.
        longest: usize,
    },
    /// Of a format this version does not know.
    #[error("unknown format version {0:?}; is a newer version running there?")]
    Version(Option<char>),
    /// Not decodable.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A number no honest host comes to.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// The signature is not its signer's.
    #[error("bad signature (or of another network)")]
    BadSignature,
    /// A key this version does not know.
    #[error("unknown kind of record")]
    UnknownKind,
    /// Filed under a key or a host that is not its own.
    #[error("filed under another key or host")]
    Misfiled,
    /// The store has no room for more.
    #[error("over the limit of {0}")]
    OverLimit(&'static str),
}

/// A body with a signature that has been verified. Reads as its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<B> {
    body: B,
    signature: [u8; 64],
}

impl<B: Body> Signed<B> {
    /// Signs a body. The caller holds the key of the body's signer.
    pub fn sign(network: &NetworkId, key: &SecretKey, body: B) -> Self {
        let signature = key.sign(&message(network, &body));
        Self { body, signature }
    }

    /// Decodes and verifies.
    ///
    /// # Errors
    /// When the bytes are not a canonical body and a signature of its signer.
    pub fn decode(network: &NetworkId, bytes: &[u8]) -> Result<Self, Refusal> {
        let signed = Self::decode_trusted(bytes)?;
        signed.body.check()?;
        let message = message(network, &signed.body);
        let valid = match signed.body.signer() {
            Some(host) => host.verifies(&message, &signed.signature),
            None => network.verifies(&message, &signed.signature),
        };
        if valid { Ok(signed) } else { Err(Refusal::BadSignature) }
    }

    /// Decodes without looking at the signature: for bytes that were verified when they were written to this machine's own
    /// state, and are covered by that file's checksum.
    ///
    /// # Errors
    /// When the bytes are not a body that keeps its rules, and a signature.
    pub fn decode_trusted(bytes: &[u8]) -> Result<Self, Refusal> {
        let at = bytes.len().checked_sub(64).ok_or_else(|| Refusal::Malformed("too short".into()))?;
        let body = B::try_from_slice(&bytes[..at]).map_err(|error| Refusal::Malformed(error.to_string()))?;
        // The rules that the rest counts on: a file's checksum says that it is whole, not that we wrote it.
        body.check()?;
        let signature = bytes[at..].try_into().map_err(|_| Refusal::Malformed("too short".into()))?;
        Ok(Self { body, signature })
    }

    /// The encoded body, then the signature.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = encode_body(&self.body);
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// A total order between records of one kind, for the rare case that one signer signed two with one `seq`: every
    /// node must keep the same one.
    pub fn canonical_order(&self, other: &Self) -> Ordering {
        self.encode().cmp(&other.encode())
    }
}

impl<B> Deref for Signed<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.body
    }
}

fn message<B: Body>(network: &NetworkId, body: &B) -> Vec<u8> {
    let mut message = format!("data-mesher/{}/1\0", B::KIND).into_bytes();
    message.extend_from_slice(&network.0);
    message.extend_from_slice(&encode_body(body));
    message
}

fn encode_body<B: Body>(body: &B) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    // Writing to a vector does not fail, and no body holds a collection longer than u32::MAX.
    let _ = body.serialize(&mut bytes);
    bytes
}
