//! The carrier's messages, written and read byte by byte (`docs/gossip.md`, "The carrier's messages").

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// One run of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    pub node: [u8; 8],
    pub generation: u64,
    pub addr: SocketAddr,
}

/// What a digest says of a run.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub run: Run,
    pub heartbeat: u64,
    pub max_version: u64,
}

/// A run's records from a version on: key, value, and by how much its version is above the one before.
pub struct Delta {
    pub run: Run,
    pub from: u64,
    pub records: Vec<(Vec<u8>, Vec<u8>, u64)>,
}

/// Nodes that are not.
pub fn invented(rng: &mut fastrand::Rng, count: usize) -> Vec<Entry> {
    let entry = |_| {
        let node = rng.u64(..).to_be_bytes();
        let addr = SocketAddr::from(([10, node[0], node[1], node[2] | 1], 7_946));
        Entry { run: Run { node, generation: 1, addr }, heartbeat: 1, max_version: 0 }
    };
    (0..count).map(entry).collect()
}

/// A record whose value is text.
pub fn record(key: &str, value: &str, step: u64) -> (Vec<u8>, Vec<u8>, u64) {
    (key.as_bytes().to_vec(), value.as_bytes().to_vec(), step)
}

pub fn syn(entries: &[Entry]) -> Vec<u8> {
    [&[1][..], &digest(entries)].concat()
}

pub fn syn_ack(entries: &[Entry], deltas: &[Delta]) -> Vec<u8> {
    [&[2][..], &digest(entries), &delta(deltas)].concat()
}

pub fn ack(deltas: &[Delta]) -> Vec<u8> {
    [&[3][..], &delta(deltas)].concat()
}

/// The digest in a SYN or SYN-ACK of the daemon's.
pub fn read_digest(message: &[u8]) -> Option<Vec<Entry>> {
    let mut rest = message.strip_prefix(&[1]).or_else(|| message.strip_prefix(&[2]))?;
    take_digest(&mut rest)
}

/// The records in a SYN-ACK of the daemon's, whomever they are filed under.
pub fn read_records(message: &[u8]) -> Option<Vec<(String, String)>> {
    let mut rest = message.strip_prefix(&[2])?;
    take_digest(&mut rest)?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        take_run(&mut rest)?;
        take_number(&mut rest)?;
        for _ in 0..take_number(&mut rest)? {
            records.push((take_text(&mut rest)?, take_text(&mut rest)?));
            take_number(&mut rest)?;
        }
    }
    Some(records)
}

fn take_digest(rest: &mut &[u8]) -> Option<Vec<Entry>> {
    let count = take_number(rest)?;
    (0..count).map(|_| take_entry(rest)).collect()
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(take_number(rest)?).ok()?;
    let (text, left) = rest.split_at_checked(len)?;
    *rest = left;
    String::from_utf8(text.to_vec()).ok()
}

fn digest(entries: &[Entry]) -> Vec<u8> {
    let mut sorted = entries.to_vec();
    sorted.sort_by_key(|entry| entry.run);
    let mut out = Vec::new();
    put_number(&mut out, sorted.len() as u64);
    for entry in &sorted {
        put_run(&mut out, &entry.run);
        put_number(&mut out, entry.heartbeat);
        put_number(&mut out, entry.max_version);
    }
    out
}

fn delta(deltas: &[Delta]) -> Vec<u8> {
    let mut out = Vec::new();
    for delta in deltas {
        put_run(&mut out, &delta.run);
        put_number(&mut out, delta.from);
        put_number(&mut out, delta.records.len() as u64);
        for (key, value, step) in &delta.records {
            for text in [key, value] {
                put_number(&mut out, text.len() as u64);
                out.extend_from_slice(text);
            }
            put_number(&mut out, *step);
        }
    }
    out
}

fn put_run(out: &mut Vec<u8>, run: &Run) {
    out.extend_from_slice(&run.node);
    put_number(out, run.generation);
    let IpAddr::V4(ip) = run.addr.ip() else { panic!("the tests' addresses are IPv4") };
    out.push(4);
    out.extend_from_slice(&ip.octets());
    out.extend_from_slice(&run.addr.port().to_be_bytes());
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take_entry(rest: &mut &[u8]) -> Option<Entry> {
    Some(Entry { run: take_run(rest)?, heartbeat: take_number(rest)?, max_version: take_number(rest)? })
}

fn take_run(rest: &mut &[u8]) -> Option<Run> {
    let node = take(rest)?;
    let generation = take_number(rest)?;
    let [4] = take(rest)? else { return None };
    let ip = Ipv4Addr::from(take::<4>(rest)?);
    let port = u16::from_be_bytes(take(rest)?);
    Some(Run { node, generation, addr: SocketAddr::from((ip, port)) })
}
