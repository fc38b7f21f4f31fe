//! Between chitchat's messages and ours, by way of chitchat's own bytes: the fields of its types are private.
//!
//! Layout of version 0.11 (`message.rs`, `digest.rs`, `delta.rs`, `serialize.rs` of the crate), all little endian:
//! magic (u16), version 0 (u8), step (u8); a digest is a count (u16) of (id, heartbeat u64, last_gc_version u64,
//! max_version u64); an id is (text, generation u64, address); a delta is a stream of blocks (kind u8, length u16),
//! plain or zstd, of operations (tag u8). Only this node's own chitchat is read here, never a peer.

use std::collections::BTreeMap;

use chitchat::{ChitchatMessage, Deserializable, Serializable};

use super::super::bytes::{Malformed, Reader, put_socket_addr};
use super::message::{DigestEntry, Member, MemberDelta, Message, Record};

/// What every node of this protocol calls its cluster. Networks are kept apart by the seal.
pub(crate) const CLUSTER: &str = "data-mesher";

const MAGIC: u16 = 45_139;

/// A compressed block of chitchat's holds at most this, plain.
const BLOCK: usize = u16::MAX as usize;

/// Reads a message that this node's chitchat wants sent. `Ok(None)`: there is nothing in it worth sending.
pub(crate) fn from_chitchat(message: &ChitchatMessage) -> Result<Option<Message>, Malformed> {
    let bytes = message.serialize_to_vec();
    let mut reader = Reader::new(&bytes);
    if reader.u16()? != MAGIC || reader.u8()? != 0 {
        return Err(Malformed("not a message of chitchat 0.11"));
    }
    Ok(match reader.u8()? {
        0 => Some(Message::Syn { digest: read_digest(&mut reader)? }),
        1 => Some(Message::SynAck { digest: read_digest(&mut reader)?, delta: read_delta(&mut reader)? }),
        2 => {
            let delta = read_delta(&mut reader)?;
            // An empty answer would only say that it is empty.
            (!delta.is_empty()).then_some(Message::Ack { delta })
        }
        _ => None,
    })
}

/// Writes a message, already filtered, for this node's chitchat.
pub(crate) fn to_chitchat(message: &Message) -> anyhow::Result<ChitchatMessage> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.push(0);
    match message {
        Message::Syn { digest } => {
            out.push(0);
            write_digest(&mut out, digest);
            write_text(&mut out, CLUSTER);
        }
        Message::SynAck { digest, delta } => {
            out.push(1);
            write_digest(&mut out, digest);
            write_delta(&mut out, delta);
        }
        Message::Ack { delta } => {
            out.push(2);
            write_delta(&mut out, delta);
        }
    }
    ChitchatMessage::deserialize(&mut &out[..])
}

fn read_text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    let len = reader.u16()?;
    std::str::from_utf8(reader.bytes(len.into())?).map_err(|_| Malformed("text not in UTF-8"))
}

fn read_member(reader: &mut Reader<'_>) -> Result<Member, Malformed> {
    let node = read_text(reader)?.parse().map_err(|_| Malformed("node id"))?;
    let generation = reader.u64()?;
    let mut addr = reader.socket_addr()?;
    // chitchat writes the port little endian, we write it as IP does.
    addr.set_port(addr.port().swap_bytes());
    Ok(Member { node, generation, addr })
}

fn read_digest(reader: &mut Reader<'_>) -> Result<Vec<DigestEntry>, Malformed> {
    let count = reader.u16()?;
    let mut digest = BTreeMap::new();
    for _ in 0..count {
        let member = read_member(reader)?;
        let heartbeat = reader.u64()?;
        let _last_gc_version = reader.u64()?;
        let max_version = reader.u64()?;
        digest.insert(member, DigestEntry { member, heartbeat, max_version });
    }
    Ok(digest.into_values().collect())
}

fn read_delta(reader: &mut Reader<'_>) -> Result<Vec<MemberDelta>, Malformed> {
    let mut plain = Vec::new();
    loop {
        match reader.u8()? {
            0 => break,
            1 => {
                let len = reader.u16()?;
                let block = zstd::bulk::decompress(reader.bytes(len.into())?, BLOCK);
                plain.extend_from_slice(&block.map_err(|_| Malformed("compressed block"))?);
            }
            2 => {
                let len = reader.u16()?;
                plain.extend_from_slice(reader.bytes(len.into())?);
            }
            _ => return Err(Malformed("kind of block")),
        }
    }
    let mut reader = Reader::new(&plain);
    let mut delta: Vec<MemberDelta> = Vec::new();
    while reader.remaining() > 0 {
        match reader.u8()? {
            0 => {
                let member = read_member(&mut reader)?;
                let _last_gc_version = reader.u64()?;
                delta.push(MemberDelta { member, from: reader.u64()?, records: Vec::new() });
            }
            1 => {
                let (key, value) = (read_text(&mut reader)?.to_owned(), read_text(&mut reader)?.to_owned());
                let version = reader.u64()?;
                if reader.u8()? != 0 {
                    return Err(Malformed("a deleted key: nothing here ever deletes"));
                }
                let to = delta.last_mut().ok_or(Malformed("key without a node"))?;
                to.records.push(Record { key, value, version });
            }
            2 => drop(reader.u64()?),
            _ => return Err(Malformed("operation")),
        }
    }
    delta.retain(|member| !member.records.is_empty());
    Ok(delta)
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn write_member(out: &mut Vec<u8>, member: &Member) {
    write_text(out, &member.node.to_string());
    out.extend_from_slice(&member.generation.to_le_bytes());
    let mut addr = member.addr;
    addr.set_port(addr.port().swap_bytes());
    put_socket_addr(out, addr);
}

fn write_digest(out: &mut Vec<u8>, digest: &[DigestEntry]) {
    out.extend_from_slice(&(digest.len() as u16).to_le_bytes());
    for entry in digest {
        write_member(out, &entry.member);
        for field in [entry.heartbeat, 0, entry.max_version] {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }
}

fn write_delta(out: &mut Vec<u8>, delta: &[MemberDelta]) {
    let mut plain = Vec::new();
    for member_delta in delta.iter().filter(|member| !member.records.is_empty()) {
        plain.push(0);
        write_member(&mut plain, &member_delta.member);
        plain.extend_from_slice(&0u64.to_le_bytes());
        plain.extend_from_slice(&member_delta.from.to_le_bytes());
        for record in &member_delta.records {
            plain.push(1);
            write_text(&mut plain, &record.key);
            write_text(&mut plain, &record.value);
            plain.extend_from_slice(&record.version.to_le_bytes());
            plain.push(0);
        }
    }
    for block in plain.chunks(BLOCK) {
        out.push(2);
        out.extend_from_slice(&(block.len() as u16).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.push(0);
}
