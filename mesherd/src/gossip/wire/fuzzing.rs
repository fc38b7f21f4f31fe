//! What the fuzz targets do with this module's private parts, as functions of bytes. The tests run them too, over the
//! corpus that is kept in `fuzz/corpus`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::bytes::{Malformed, Reader};
use super::super::node_id::NodeId;
use super::datagram::{Channel, HEADER_LEN, MAX_PIECE};
use super::reassembly::{MAX_MESSAGE, MessageKey, Outcome, Reassembly};
use super::seal::Sealer;
use super::{Secrets, Wire};

/// What an input's steps may make the wire send beyond what they sent: the message of step 1, whole, and hellos.
const OWN_MESSAGE: usize = 3 * 1024;

fn source(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n % 3], 7946 + u16::from(n % 2)))
}

/// Datagrams that a member with the secret, or a stranger without it, sends to a running wire, in any order and at any time.
/// Nothing panics, what is answered is bounded by what came, and when time has passed nothing is kept.
pub(crate) fn wire(data: &[u8]) {
    let secrets = || Secrets::new([[1; 32]]).expect("one secret");
    let (start, mut random) = (Instant::now(), 0u8);
    let fill = Box::new(move |bytes: &mut [u8]| {
        random = random.wrapping_add(1);
        bytes.fill(random);
    });
    let mut wire = Wire::new(start, NodeId::from_bytes([2; 8]), b"net", secrets(), fill, Arc::default());
    let sealer = Sealer::new(secrets(), b"net");
    let (mut reader, mut now, mut received, mut sent, mut own) = (Reader::new(data), start, 0, 0, 0);
    while let Ok(step) = reader.u8() {
        let datagram = match step % 8 {
            0 => {
                now += Duration::from_millis(u64::from(reader.u16().unwrap_or(9)));
                wire.tick(now);
                None
            }
            1 => {
                own += 1;
                wire.send(now, source(step), Channel::Application, vec![step; OWN_MESSAGE / 2].into());
                None
            }
            2 => reader.u8().and_then(|len| reader.bytes(usize::from(len))).map(<[u8]>::to_vec).ok(),
            _ => member_datagram(&mut reader, &wire, source(step))
                .ok()
                .map(|plain| sealer.seal([step; 24], &plain)),
        };
        if let Some(mut datagram) = datagram {
            received += datagram.len();
            if let Some(message) = wire.receive(now, source(step), &mut datagram) {
                assert!(message.bytes.len() <= MAX_MESSAGE);
            }
        }
        while let Some((_, datagram)) = wire.transmit() {
            sent += datagram.len();
        }
    }
    // A message of our own may go out, be asked for twice over, and once more after a new token.
    let bound = 4 * received + own * 8 * OWN_MESSAGE + 4_096;
    assert!(sent <= bound, "{sent} bytes sent for {received} and {own} messages of our own");
    for second in 0..8 {
        wire.tick(now + Duration::from_secs(second));
    }
    assert!(wire.reassembly.is_empty() && wire.sender.sent.is_empty(), "something is kept for ever");
}

/// The plain bytes of a datagram: a header whose session is one of a few and whose token is good when the input says so,
/// and what the input has for a body.
fn member_datagram(reader: &mut Reader<'_>, wire: &Wire, from: SocketAddr) -> Result<Vec<u8>, Malformed> {
    let (kind, session, counter, good) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
    let len = usize::from(reader.u16()?) % 1_150;
    let body = reader.bytes(len.min(reader.remaining()))?;
    let session = u64::from(session % 4);
    let token = if good % 4 == 0 { u64::from(good) } else { wire.sender.tokens.token(session, from) };
    let token = if kind == 2 { wire.sender.session } else { token };
    let mut plain = vec![kind];
    plain.extend_from_slice(&[kind; 8]);
    for field in [session, u64::from(counter), token, u64::from(good)] {
        plain.extend_from_slice(&field.to_le_bytes());
    }
    assert_eq!(plain.len(), HEADER_LEN);
    plain.extend_from_slice(body);
    Ok(plain)
}

/// Pieces of messages in any order, twice, contradicting each other and late, against a model: what comes out whole is what
/// went in, and the memory is as charged.
pub(crate) fn reassembly(data: &[u8]) {
    let (mut reader, start) = (Reader::new(data), Instant::now());
    let (mut reassembly, mut now) = (Reassembly::new(), start);
    // The count of the first piece that was taken of each message.
    let mut counts: BTreeMap<u8, u16> = BTreeMap::new();
    while let (Ok(message), Ok(index), Ok(count)) = (reader.u8(), reader.u8(), reader.u8()) {
        if message == 255 {
            now += Duration::from_millis(40 * u64::from(index));
            reassembly.stalled(now);
            reassembly.expire(now);
            counts.retain(|id, _| reassembly.holds(&key_of(*id)));
            continue;
        }
        let (index, count) = (u16::from(index), u16::from(count));
        let bytes = piece_of(message, index, count);
        match reassembly.add(now, key_of(message), Channel::Application, (index, count), &bytes) {
            Outcome::Whole(channel, whole) => {
                assert_eq!(channel, Channel::Application);
                let wanted: Vec<u8> = (0..count).flat_map(|index| piece_of(message, index, count)).collect();
                assert!(whole == wanted, "message {message} of {count} pieces came out as another");
                counts.remove(&message);
            }
            Outcome::Wanting => {
                assert_eq!(*counts.entry(message).or_insert(count), count, "pieces of two counts were taken");
            }
            Outcome::Malformed => {
                let contradicts = counts.get(&message).is_some_and(|have| *have != count);
                assert!(contradicts || count < 2 || index >= count || count > super::reassembly::MAX_PIECES);
            }
            Outcome::NoRoom => {}
        }
        reassembly.check();
    }
    reassembly.expire(now + Duration::from_secs(10));
    assert!(reassembly.is_empty());
    reassembly.check();
}

fn key_of(message: u8) -> MessageKey {
    (u64::from(message % 2), source(message), u32::from(message))
}

/// The piece of a message that no other message has, in full but for the last one.
fn piece_of(message: u8, index: u16, count: u16) -> Vec<u8> {
    let len = if index + 1 == count { 1 + usize::from(message) } else { MAX_PIECE };
    (0..len).map(|at| message ^ (index as u8).wrapping_mul(31) ^ at as u8).collect()
}

#[cfg(test)]
mod tests {
    /// Runs a target's function over every input of its corpus.
    fn run_corpus(target: &str, run: fn(&[u8])) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        let mut inputs = 0;
        for file in std::fs::read_dir(&folder).unwrap() {
            run(&std::fs::read(file.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 10, "{}: {inputs} inputs", folder.display());
    }

    #[test]
    fn the_corpus_of_the_wire_passes() {
        run_corpus("wire", super::wire);
    }

    #[test]
    fn the_corpus_of_the_reassembly_passes() {
        run_corpus("reassembly", super::reassembly);
    }
}
