//! The name a node goes by in the gossip layer.

use std::fmt;
use std::str::FromStr;

/// A node's id: the first eight bytes of its host key's hash, written as 16 lower-case hexadecimal digits.
///
/// Short on purpose: every gossip round carries one for each node of the network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; NodeId::LEN]);

impl NodeId {
    /// Bytes of an id.
    pub const LEN: usize = 8;

    /// The id with these bytes, most significant digit first.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id, most significant digit first.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }
}

/// The text is not a node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a node id is 16 lower-case hexadecimal digits")]
pub struct NodeIdError;

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let digits: &[u8; 2 * Self::LEN] = text.as_bytes().try_into().map_err(|_| NodeIdError)?;
        let mut bytes = [0; Self::LEN];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn hex_digit(digit: u8) -> Result<u8, NodeIdError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NodeIdError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let id = NodeId::from_bytes([0, 1, 0x2a, 0xff, 4, 5, 6, 0x70]);
        assert_eq!(id.to_string(), "00012aff04050670");
        assert_eq!("00012aff04050670".parse(), Ok(id));
        for wrong in ["", "00012aff0405067", "00012aff040506700", "00012AFF04050670", "00012aff0405067é"] {
            assert_eq!(wrong.parse::<NodeId>(), Err(NodeIdError), "{wrong:?}");
        }
    }
}
