//! The messages two nodes exchange beside the carrier: pushes of new records, and synchronisation by digest.
//!
//! A message is its format's version (one byte, 1) and the borsh encoding of [`Message`]. Synchronisation goes: A sends its
//! digest; B answers with the records A lacks and its own digest, and says how far it has come itself; A sends what B lacks.
//! When A's store satisfies the digest B answered with, A is synchronised, if B is one to be synchronised with ([`Standing`]).

use borsh::{BorshDeserialize, BorshSerialize};

use crate::keys::NetworkId;
use crate::record::{Record, Refusal};
use crate::store::{AgedRecord, Digest};
use crate::time::Age;

const VERSION: u8 = 1;
/// Records are packed into messages of about this many bytes.
const TARGET_LENGTH: usize = 16 * 1024;

/// A message to one peer, encoded with [`Message::encode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What the sender has.
    Digest {
        /// What it is sent for.
        purpose: Purpose,
        /// The digest.
        digest: Digest,
    },
    /// Records.
    Records {
        /// Whether they are news, to be passed on, and not what a digest asked for.
        pushed: bool,
        /// The records.
        records: Vec<AgedRecord>,
    },
}

/// What a digest is sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Purpose {
    /// It asks for the receiver's.
    Question,
    /// It answers a digest, and is not answered with another. It says how far the sender has come.
    Answer(Standing),
}

/// How far the sender of a digest has come: whether it knows enough for others to be synchronised with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Standing {
    /// It has never been a member, or remembers nothing of it, and is joining: it may know the settings and nothing else.
    Newcomer,
    /// It was a member before, and is joining: what it knows may be as old as its absence is long.
    Returning,
    /// It has joined.
    Joined,
}

#[derive(BorshSerialize, BorshDeserialize)]
enum Wire {
    Digest { purpose: Purpose, digest: Digest },
    Records { pushed: bool, records: Vec<WireRecord> },
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireRecord {
    key: String,
    value: String,
    age: Age,
}

/// A decoded message and the records in it that were refused.
pub struct Decoded {
    /// What remains.
    pub message: Message,
    /// The carrier key of each record that was refused, and why.
    pub refused: Vec<(String, Refusal)>,
}

impl Message {
    /// The message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let wire = match self {
            Self::Digest { purpose, digest } => Wire::Digest { purpose: *purpose, digest: digest.clone() },
            Self::Records { pushed, records } => {
                Wire::Records { pushed: *pushed, records: records.iter().map(WireRecord::new).collect() }
            }
        };
        let mut bytes = vec![VERSION];
        // Writing to a vector does not fail.
        let _ = wire.serialize(&mut bytes);
        bytes
    }

    /// Records in messages of a bounded size.
    pub fn records(pushed: bool, records: impl IntoIterator<Item = AgedRecord>) -> Vec<Message> {
        let (mut messages, mut batch, mut length) = (Vec::new(), Vec::new(), 0);
        for record in records {
            length += record.record.carrier_value().len() + 64;
            batch.push(record);
            if length >= TARGET_LENGTH {
                messages.push(Self::Records { pushed, records: std::mem::take(&mut batch) });
                length = 0;
            }
        }
        if !batch.is_empty() {
            messages.push(Self::Records { pushed, records: batch });
        }
        messages
    }

    /// Decodes a message and verifies the records in it.
    ///
    /// # Errors
    /// When the whole is of another version or no message; a bad record in a good message is only left out.
    pub fn decode(network: &NetworkId, bytes: &[u8]) -> Result<Decoded, Refusal> {
        Self::decode_by(bytes, |key, value| Record::from_carrier(network, key, value))
    }

    /// Decodes a message; `verify` decodes and verifies the records in it, by their carrier keys and values.
    ///
    /// # Errors
    /// As for [`Message::decode`].
    pub fn decode_by(
        bytes: &[u8],
        mut verify: impl FnMut(&str, &str) -> Result<Record, Refusal>,
    ) -> Result<Decoded, Refusal> {
        let (version, body) = bytes.split_first().ok_or_else(|| Refusal::Malformed("empty".into()))?;
        if *version != VERSION {
            return Err(Refusal::Version(Some(char::from(*version))));
        }
        let wire = Wire::try_from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let mut refused = Vec::new();
        let message = match wire {
            Wire::Digest { purpose, digest } => Self::Digest { purpose, digest },
            Wire::Records { pushed, records } => {
                let records = records.into_iter().filter_map(|wire| match verify(&wire.key, &wire.value) {
                    Ok(record) => Some(AgedRecord { record, age: wire.age }),
                    Err(refusal) => {
                        refused.push((wire.key, refusal));
                        None
                    }
                });
                Self::Records { pushed, records: records.collect() }
            }
        };
        Ok(Decoded { message, refused })
    }
}

impl WireRecord {
    fn new(record: &AgedRecord) -> Self {
        Self { key: record.record.carrier_key(), value: record.record.carrier_value(), age: record.age }
    }
}
