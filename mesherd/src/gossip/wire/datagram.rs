//! What is inside a sealed datagram: a fixed header, then by kind a piece of a message, a token, or nothing.
//!
//! `docs/gossip.md` has the byte diagram.

use super::super::bytes::{Malformed, Reader};
use super::super::node_id::NodeId;
use super::seal;

/// Largest datagram sent or accepted, in bytes of UDP payload: with IPv6 and UDP headers below the 1,280 bytes that
/// every IPv6 link carries whole.
pub(crate) const MAX_DATAGRAM: usize = 1200;

/// Bytes of the header inside the seal.
pub(crate) const HEADER_LEN: usize = 1 + NodeId::LEN + 4 * 8;

const PIECE_HEADER_LEN: usize = 1 + 4 + 2 + 2;

/// Most bytes of a message that one datagram carries.
pub(crate) const MAX_PIECE: usize = MAX_DATAGRAM - seal::OVERHEAD - HEADER_LEN - PIECE_HEADER_LEN;

/// Bytes of a sealed token. No datagram shorter than this is answered with one, so an answer to an unproven source
/// is never larger than what it sent.
pub(crate) const TOKEN_DATAGRAM: usize = seal::OVERHEAD + HEADER_LEN + 8;

/// Which consumer a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Channel {
    /// chitchat's messages, in the encoding of `carrier::message`.
    Carrier,
    /// The daemon's own messages, opaque here.
    Application,
}

/// The fields every datagram has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Who the sender says it is. Members can lie here; only records are signed.
    pub(crate) node: NodeId,
    /// Random per start of the sender.
    pub(crate) session: u64,
    /// Counts the sender's datagrams of this session, to whomever they go, from 1.
    pub(crate) counter: u64,
    /// What the receiver gave the sender to prove that it is there now; 0 if it has none. In a token datagram: the
    /// session the token is for.
    pub(crate) token: u64,
    /// A token for the receiver to use towards the sender; 0 if none can be given yet.
    pub(crate) grant: u64,
}

/// What follows the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    /// Asks for a token. Padded to the size of the answer.
    Hello,
    /// Gives a token (in the header's `grant`) for the datagram whose counter is `echo`.
    Token { echo: u64 },
    /// A message, or a piece of one.
    Piece { channel: Channel, id: u32, index: u16, count: u16, bytes: &'a [u8] },
    /// The receiver of this has only a part of a message: bit n of `missing` stands for piece n.
    Repeat { id: u32, missing: &'a [u8] },
}

const HELLO: u8 = 1;
const TOKEN: u8 = 2;
const PIECE: u8 = 3;
const REPEAT: u8 = 4;

/// Writes a datagram's plain bytes.
pub(crate) fn encode(header: &Header, body: &Body<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(MAX_DATAGRAM);
    out.push(match body {
        Body::Hello => HELLO,
        Body::Token { .. } => TOKEN,
        Body::Piece { .. } => PIECE,
        Body::Repeat { .. } => REPEAT,
    });
    out.extend_from_slice(&header.node.to_bytes());
    for field in [header.session, header.counter, header.token, header.grant] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    match *body {
        Body::Hello => out.extend_from_slice(&[0; 8]),
        Body::Token { echo } => out.extend_from_slice(&echo.to_le_bytes()),
        Body::Piece { channel, id, index, count, bytes } => {
            out.push(match channel {
                Channel::Carrier => 1,
                Channel::Application => 2,
            });
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&index.to_le_bytes());
            out.extend_from_slice(&count.to_le_bytes());
            out.extend_from_slice(bytes);
        }
        Body::Repeat { id, missing } => {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(missing);
        }
    }
    out
}

/// Reads a datagram's plain bytes. Whoever wrote them holds the secret, and may still be wrong or hostile.
pub(crate) fn decode(plain: &[u8]) -> Result<(Header, Body<'_>), Malformed> {
    let mut reader = Reader::new(plain);
    let kind = reader.u8()?;
    let header = Header {
        node: NodeId::from_bytes(reader.array()?),
        session: reader.u64()?,
        counter: reader.u64()?,
        token: reader.u64()?,
        grant: reader.u64()?,
    };
    let body = match kind {
        HELLO => {
            reader.u64()?;
            reader.finish()?;
            Body::Hello
        }
        TOKEN => {
            let echo = reader.u64()?;
            reader.finish()?;
            Body::Token { echo }
        }
        PIECE => {
            let channel = match reader.u8()? {
                1 => Channel::Carrier,
                2 => Channel::Application,
                _ => return Err(Malformed("unknown channel")),
            };
            let (id, index, count) = (reader.u32()?, reader.u16()?, reader.u16()?);
            Body::Piece { channel, id, index, count, bytes: reader.rest() }
        }
        REPEAT => Body::Repeat { id: reader.u32()?, missing: reader.rest() },
        _ => return Err(Malformed("unknown kind of datagram")),
    };
    Ok((header, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header =
        Header { node: NodeId::from_bytes([9; 8]), session: 1, counter: 2, token: 3, grant: u64::MAX };

    #[test]
    fn reads_what_it_writes() {
        for body in [
            Body::Hello,
            Body::Token { echo: 77 },
            Body::Piece { channel: Channel::Carrier, id: 5, index: 1, count: 2, bytes: b"" },
            Body::Piece { channel: Channel::Application, id: 5, index: 0, count: 1, bytes: b"some" },
            Body::Repeat { id: 9, missing: &[0b101] },
        ] {
            let plain = encode(&HEADER, &body);
            assert_eq!(decode(&plain), Ok((HEADER, body)));
            for len in 0..HEADER_LEN + 4 {
                assert!(decode(&plain[..len]).is_err(), "{body:?} cut to {len}");
            }
        }
    }

    #[test]
    fn an_answer_to_a_stranger_is_never_larger_than_the_question() {
        let sealed = |body| encode(&HEADER, &body).len() + seal::OVERHEAD;
        assert_eq!(sealed(Body::Token { echo: 0 }), TOKEN_DATAGRAM);
        assert_eq!(sealed(Body::Hello), TOKEN_DATAGRAM);
        let empty = Body::Piece { channel: Channel::Carrier, id: 0, index: 0, count: 1, bytes: b"" };
        assert!(sealed(empty) >= TOKEN_DATAGRAM);
        let full =
            Body::Piece { channel: Channel::Carrier, id: 0, index: 0, count: 1, bytes: &[0; MAX_PIECE] };
        assert_eq!(sealed(full), MAX_DATAGRAM);
    }
}
