//! Putting split messages together, within bounds of memory and time.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::datagram::{Channel, MAX_PIECE};
use super::sessions::host_of;

/// Largest message, in bytes.
pub(crate) const MAX_MESSAGE: usize = 256 * 1024;

/// Most pieces of a message.
pub(crate) const MAX_PIECES: u16 = MAX_MESSAGE.div_ceil(MAX_PIECE) as u16;

/// How long a message may take to arrive.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);

/// Memory for unfinished messages, in bytes: from one host, and in all. Each piece is charged with what it takes
/// beside its bytes.
const MAX_BYTES_PER_HOST: usize = 2 * MAX_MESSAGE;
const MAX_BYTES: usize = 16 * MAX_MESSAGE;
const PIECE_COST: usize = 64;

/// Which message a piece belongs to: the sender's session, where it came from, and the sender's number for it.
pub(crate) type MessageKey = (u64, SocketAddr, u32);

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The message is whole.
    Whole(Channel, Vec<u8>),
    /// More pieces are wanted.
    Wanting,
    /// The piece contradicts its message or the format.
    Malformed,
    /// There was no room for it.
    NoRoom,
}

struct Partial {
    channel: Channel,
    pieces: Vec<Option<Box<[u8]>>>,
    missing: usize,
    charge: usize,
    started: Instant,
    last_piece: Instant,
    repeats_asked: u32,
}

/// All unfinished messages.
pub(crate) struct Reassembly {
    partials: HashMap<MessageKey, Partial>,
    bytes: usize,
    bytes_of_host: HashMap<IpAddr, usize>,
}

impl Reassembly {
    pub(crate) fn new() -> Self {
        Self { partials: HashMap::new(), bytes: 0, bytes_of_host: HashMap::new() }
    }

    /// Adds a piece. A message of one piece never gets here.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        key: MessageKey,
        channel: Channel,
        (index, count): (u16, u16),
        bytes: &[u8],
    ) -> Outcome {
        // All pieces but the last are full: so the pieces' number bounds the message, and the other way round.
        let full_or_last = if usize::from(index) + 1 == usize::from(count) {
            !bytes.is_empty()
        } else {
            bytes.len() == MAX_PIECE
        };
        if !(2..=MAX_PIECES).contains(&count) || index >= count || !full_or_last || bytes.len() > MAX_PIECE {
            return Outcome::Malformed;
        }
        let opening = if self.partials.contains_key(&key) { 0 } else { usize::from(count) * 16 };
        let cost = opening + bytes.len() + PIECE_COST;
        let host = host_of(key.1.ip());
        let of_host = self.bytes_of_host.get(&host).copied().unwrap_or(0);
        if of_host + cost > MAX_BYTES_PER_HOST || self.bytes + cost > MAX_BYTES {
            return Outcome::NoRoom;
        }
        let partial = self.partials.entry(key).or_insert_with(|| Partial {
            channel,
            pieces: vec![None; usize::from(count)],
            missing: usize::from(count),
            charge: 0,
            started: now,
            last_piece: now,
            repeats_asked: 0,
        });
        if partial.channel != channel || partial.pieces.len() != usize::from(count) {
            return Outcome::Malformed;
        }
        let slot = &mut partial.pieces[usize::from(index)];
        if slot.is_some() {
            return Outcome::Wanting;
        }
        *slot = Some(bytes.into());
        partial.missing -= 1;
        partial.last_piece = now;
        partial.charge += cost;
        self.bytes += cost;
        *self.bytes_of_host.entry(host).or_insert(0) += cost;
        if partial.missing > 0 {
            return Outcome::Wanting;
        }
        let Some(partial) = self.remove(&key) else { return Outcome::Wanting };
        let whole: Vec<u8> = partial.pieces.into_iter().flatten().flat_map(<[u8]>::into_vec).collect();
        if whole.len() > MAX_MESSAGE { Outcome::Malformed } else { Outcome::Whole(partial.channel, whole) }
    }

    fn remove(&mut self, key: &MessageKey) -> Option<Partial> {
        let partial = self.partials.remove(key)?;
        self.bytes -= partial.charge;
        let host = host_of(key.1.ip());
        if let Some(of_host) = self.bytes_of_host.get_mut(&host) {
            *of_host -= partial.charge;
            if *of_host == 0 {
                self.bytes_of_host.remove(&host);
            }
        }
        Some(partial)
    }

    /// Drops messages that took too long; says how many.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let late: Vec<MessageKey> = self
            .partials
            .iter()
            .filter(|(_, partial)| now.saturating_duration_since(partial.started) >= TIMEOUT)
            .map(|(key, _)| *key)
            .collect();
        late.iter().filter_map(|key| self.remove(key)).count()
    }

    /// The messages whose pieces have stopped coming, each with its missing pieces as a bit map. Asked at most
    /// [`MAX_REPEATS`] times a message, each time after [`REPEAT_AFTER`] without a piece.
    pub(crate) fn stalled(&mut self, now: Instant) -> Vec<(MessageKey, Vec<u8>)> {
        let mut stalled = Vec::new();
        for (key, partial) in &mut self.partials {
            let quiet = now.saturating_duration_since(partial.last_piece);
            if quiet < REPEAT_AFTER * (partial.repeats_asked + 1) || partial.repeats_asked >= MAX_REPEATS {
                continue;
            }
            partial.repeats_asked += 1;
            let mut missing = vec![0u8; partial.pieces.len().div_ceil(8)];
            for (index, _) in partial.pieces.iter().enumerate().filter(|(_, piece)| piece.is_none()) {
                missing[index / 8] |= 1 << (index % 8);
            }
            stalled.push((*key, missing));
        }
        stalled
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.partials.is_empty()
    }

    /// Whether pieces of this message wait for the others.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn holds(&self, key: &MessageKey) -> bool {
        self.partials.contains_key(key)
    }

    /// Panics unless the books are right and the bounds kept.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self) {
        let charged: usize = self.partials.values().map(|partial| partial.charge).sum();
        let held: usize =
            self.partials.values().flat_map(|partial| &partial.pieces).flatten().map(|p| p.len()).sum();
        assert_eq!(self.bytes, charged);
        assert_eq!(self.bytes, self.bytes_of_host.values().sum::<usize>());
        assert!(held <= self.bytes && self.bytes <= MAX_BYTES);
        assert!(self.bytes_of_host.values().all(|bytes| (1..=MAX_BYTES_PER_HOST).contains(bytes)));
    }
}

/// How long pieces of a message may stay away before they are asked for again.
pub(crate) const REPEAT_AFTER: Duration = Duration::from_millis(60);

/// How often missing pieces are asked for.
const MAX_REPEATS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u32) -> MessageKey {
        (1, SocketAddr::from(([192, 0, 2, 1], 7)), id)
    }

    fn pieces(message: &[u8]) -> Vec<&[u8]> {
        message.chunks(MAX_PIECE).collect()
    }

    #[test]
    fn pieces_in_any_order_and_twice_make_the_message() {
        let message: Vec<u8> = (0..MAX_MESSAGE).map(|i| (i % 251) as u8).collect();
        let (mut reassembly, now) = (Reassembly::new(), Instant::now());
        let all = pieces(&message);
        assert_eq!(all.len(), usize::from(MAX_PIECES));
        for (index, piece) in all.iter().enumerate().rev() {
            let outcome = reassembly.add(now, key(1), Channel::Carrier, (index as u16, MAX_PIECES), piece);
            if index > 0 {
                assert_eq!(outcome, Outcome::Wanting);
                reassembly.add(now, key(1), Channel::Carrier, (index as u16, MAX_PIECES), piece);
            } else {
                assert!(outcome == Outcome::Whole(Channel::Carrier, message.clone()));
            }
        }
        assert_eq!((reassembly.bytes, reassembly.bytes_of_host.len()), (0, 0));
    }

    #[test]
    fn contradictions_are_refused() {
        let (mut reassembly, now) = (Reassembly::new(), Instant::now());
        let full = [0; MAX_PIECE];
        let mut add =
            |index, count, bytes: &[u8]| reassembly.add(now, key(1), Channel::Carrier, (index, count), bytes);
        for (index, count, len) in [
            (0, 0, 5),
            (0, 1, 5),
            (2, 2, 5),
            (0, 2, 5),
            (1, 2, 0),
            (0, MAX_PIECES + 1, MAX_PIECE),
            (9, 3, 1),
            (u16::MAX, 0, 5),
            (u16::MAX, u16::MAX, 5),
        ] {
            assert_eq!(
                add(index, count, &full[..len]),
                Outcome::Malformed,
                "{index} of {count}, {len} bytes"
            );
        }
        assert_eq!(add(0, 3, &full), Outcome::Wanting);
        assert_eq!(add(1, 4, &full), Outcome::Malformed);
        assert_eq!(reassembly.add(now, key(1), Channel::Application, (1, 3), &full), Outcome::Malformed);
    }

    #[test]
    fn memory_is_bounded_per_host_and_in_all_and_given_back() {
        let (mut reassembly, now) = (Reassembly::new(), Instant::now());
        let full = [0; MAX_PIECE];
        let mut refused_at = Vec::new();
        for host in 0..40u8 {
            let source = SocketAddr::from(([192, 0, 2, host], 7));
            let taken = (0..2000).take_while(|id| {
                reassembly.add(now, (1, source, *id), Channel::Carrier, (0, 200), &full) == Outcome::Wanting
            });
            refused_at.push(taken.count());
            assert!(reassembly.bytes <= MAX_BYTES);
        }
        assert!(refused_at[0] > 50 && refused_at[0] < 500, "{refused_at:?}");
        assert_eq!(refused_at[39], 0, "the whole is bounded too");
        assert!(reassembly.expire(now + TIMEOUT) > 0);
        assert_eq!((reassembly.bytes, reassembly.bytes_of_host.len(), reassembly.is_empty()), (0, 0, true));
    }

    #[test]
    fn a_gap_is_asked_for_a_few_times() {
        let (mut reassembly, now) = (Reassembly::new(), Instant::now());
        for index in [0, 1, 3] {
            reassembly.add(now, key(1), Channel::Carrier, (index, 10), &[0; MAX_PIECE]);
        }
        assert!(reassembly.stalled(now).is_empty());
        let expected = vec![(key(1), vec![0b1111_0100, 0b11])];
        assert_eq!(reassembly.stalled(now + REPEAT_AFTER), expected);
        assert!(reassembly.stalled(now + REPEAT_AFTER).is_empty(), "each time waits longer");
        let asked = (0..50).filter(|_| !reassembly.stalled(now + TIMEOUT).is_empty()).count();
        assert_eq!(asked, MAX_REPEATS as usize - 1);
    }
}
