//! The carrier's messages as they travel: scuttlebutt's three steps, in an encoding of our own.
//!
//! It has no place for what we never use: tombstones and times to live, garbage-collected versions, a bare
//! `SetMaxVersion`, compressed blocks, node ids that are not ours in form. What cannot be written cannot be forged.
//! About 27 bytes a node in a digest, where chitchat's own encoding takes 57 with IPv4.

use std::net::SocketAddr;

use super::super::bytes::{Malformed, Reader, put_socket_addr, put_text, put_varint};
use super::super::node_id::NodeId;

/// Most nodes of a digest or delta: more than chitchat can handle.
const MAX_MEMBERS: usize = 1200;

/// Longest key and value, in bytes.
pub(crate) const MAX_KEY: usize = 512;
pub(crate) const MAX_VALUE: usize = 1024;
pub(crate) const MAX_SETTINGS: usize = 8 * 1024;

/// Most records of one message, and bytes of a delta.
pub(crate) const MAX_RECORDS: usize = 512;
pub(crate) const MAX_DELTA: usize = 48 * 1024;

/// One run of one node: what chitchat calls a `ChitchatId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Member {
    pub(crate) node: NodeId,
    pub(crate) generation: u64,
    pub(crate) addr: SocketAddr,
}

/// How much of a member somebody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DigestEntry {
    pub(crate) member: Member,
    pub(crate) heartbeat: u64,
    pub(crate) max_version: u64,
}

/// A key-value of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: String,
    pub(crate) value: String,
    /// Grows along the records of a delta.
    pub(crate) version: u64,
}

/// A member's records above the version `from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberDelta {
    pub(crate) member: Member,
    pub(crate) from: u64,
    pub(crate) records: Vec<Record>,
}

/// A step of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    Syn { digest: Vec<DigestEntry> },
    SynAck { digest: Vec<DigestEntry>, delta: Vec<MemberDelta> },
    Ack { delta: Vec<MemberDelta> },
}

const SYN: u8 = 1;
const SYN_ACK: u8 = 2;
const ACK: u8 = 3;

impl Message {
    /// Writes the message. A delta over the limits is cut at a record: a shorter delta is a true one, and what is
    /// left out is offered again. Says whether that happened.
    pub(crate) fn encode(&self) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(512);
        let cut = match self {
            Self::Syn { digest } => {
                out.push(SYN);
                put_digest(&mut out, digest);
                false
            }
            Self::SynAck { digest, delta } => {
                out.push(SYN_ACK);
                put_digest(&mut out, digest);
                put_delta(&mut out, delta)
            }
            Self::Ack { delta } => {
                out.push(ACK);
                put_delta(&mut out, delta)
            }
        };
        (out, cut)
    }

    /// Reads a message that a member sent.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let message = match reader.u8()? {
            SYN => Self::Syn { digest: take_digest(&mut reader)? },
            SYN_ACK => Self::SynAck { digest: take_digest(&mut reader)?, delta: take_delta(&mut reader)? },
            ACK => Self::Ack { delta: take_delta(&mut reader)? },
            _ => return Err(Malformed("unknown step")),
        };
        reader.finish()?;
        Ok(message)
    }

    /// The digest, if this step has one.
    pub(crate) fn digest(&self) -> &[DigestEntry] {
        match self {
            Self::Syn { digest } | Self::SynAck { digest, .. } => digest,
            Self::Ack { .. } => &[],
        }
    }

    /// The delta, if this step has one.
    pub(crate) fn delta(&self) -> &[MemberDelta] {
        match self {
            Self::SynAck { delta, .. } | Self::Ack { delta } => delta,
            Self::Syn { .. } => &[],
        }
    }
}

fn put_member(out: &mut Vec<u8>, member: &Member) {
    out.extend_from_slice(&member.node.to_bytes());
    put_varint(out, member.generation);
    put_socket_addr(out, member.addr);
}

fn take_member(reader: &mut Reader<'_>) -> Result<Member, Malformed> {
    Ok(Member {
        node: NodeId::from_bytes(reader.array()?),
        generation: reader.varint()?,
        addr: reader.socket_addr()?,
    })
}

fn put_digest(out: &mut Vec<u8>, digest: &[DigestEntry]) {
    put_varint(out, digest.len() as u64);
    for entry in digest {
        put_member(out, &entry.member);
        put_varint(out, entry.heartbeat);
        put_varint(out, entry.max_version);
    }
}

fn take_digest(reader: &mut Reader<'_>) -> Result<Vec<DigestEntry>, Malformed> {
    let count = reader.length(MAX_MEMBERS)?;
    let mut digest = Vec::with_capacity(count.min(reader.remaining() / 16));
    let mut former = None;
    for _ in 0..count {
        let entry = DigestEntry {
            member: take_member(reader)?,
            heartbeat: reader.varint()?,
            max_version: reader.varint()?,
        };
        if former.replace(entry.member).is_some_and(|former| former >= entry.member) {
            return Err(Malformed("digest not in order"));
        }
        digest.push(entry);
    }
    Ok(digest)
}

fn put_delta(out: &mut Vec<u8>, delta: &[MemberDelta]) -> bool {
    let start = out.len();
    let (mut records, mut cut) = (0, false);
    'members: for member_delta in delta {
        let mut body = Vec::new();
        let mut version = member_delta.from;
        let mut count = 0;
        for record in &member_delta.records {
            let full =
                out.len() - start + body.len() + record.key.len() + record.value.len() + 128 > MAX_DELTA;
            cut = full || records >= MAX_RECORDS;
            if cut {
                break;
            }
            let Some(step) = record.version.checked_sub(version).filter(|step| *step > 0) else { continue };
            put_text(&mut body, &record.key);
            put_text(&mut body, &record.value);
            put_varint(&mut body, step);
            version = record.version;
            count += 1;
            records += 1;
        }
        if count > 0 {
            put_member(out, &member_delta.member);
            put_varint(out, member_delta.from);
            put_varint(out, count);
            out.extend_from_slice(&body);
        }
        if cut {
            break 'members;
        }
    }
    cut
}

/// Members follow one another until the message ends.
fn take_delta(reader: &mut Reader<'_>) -> Result<Vec<MemberDelta>, Malformed> {
    let mut delta: Vec<MemberDelta> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut left = MAX_RECORDS;
    while reader.remaining() > 0 {
        let member = take_member(reader)?;
        if !seen.insert(member) {
            return Err(Malformed("member twice in a delta"));
        }
        let from = reader.varint()?;
        let count = reader.length(left)?;
        if count == 0 {
            return Err(Malformed("member without records"));
        }
        left -= count;
        let mut version = from;
        let mut records = Vec::with_capacity(count.min(reader.remaining() / 3));
        for _ in 0..count {
            let key = reader.text(MAX_KEY)?.to_owned();
            let value = reader.text(MAX_SETTINGS)?.to_owned();
            let step = reader.varint()?;
            version =
                version.checked_add(step).filter(|_| step > 0).ok_or(Malformed("versions must grow"))?;
            records.push(Record { key, value, version });
        }
        delta.push(MemberDelta { member, from, records });
    }
    Ok(delta)
}
