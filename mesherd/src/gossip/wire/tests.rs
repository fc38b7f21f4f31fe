//! Wires talking to each other in memory, with a network that loses, repeats and forges.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::tests::random_bytes;
use super::datagram::{Channel, MAX_DATAGRAM};
use super::seal::Sealer;
use super::sessions::TOKEN_KEY_LIFETIME;
use super::*;

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 7946))
}

fn secrets(of: &[u8]) -> Secrets {
    Secrets::new(of.iter().map(|n| [*n; 32])).unwrap()
}

/// Starts of the same node differ in `start`, as the kernel's random numbers would.
fn wire(n: u8, start: u64, secret: &[u8], now: Instant) -> Wire {
    let mut rng = fastrand::Rng::with_seed(u64::from(n) << 32 | start);
    let random = Box::new(move |bytes: &mut [u8]| rng.fill(bytes));
    Wire::new(now, NodeId::from_bytes([n; 8]), b"net", secrets(secret), random, Arc::default())
}

fn drain(wire: &mut Wire) -> Vec<(SocketAddr, Vec<u8>)> {
    std::iter::from_fn(|| wire.transmit()).collect()
}

/// Delivers what `one` (at address 1) and `two` (at address 2) send until both are silent. `lose` says which
/// datagrams are lost. Returns the messages that `two` got, and all datagrams as (sender, bytes).
fn exchange(
    now: Instant,
    one: &mut Wire,
    two: &mut Wire,
    mut lose: impl FnMut() -> bool,
) -> (Vec<Inbound>, Vec<(u8, Vec<u8>)>) {
    let (mut messages, mut seen) = (Vec::new(), Vec::new());
    loop {
        let (from_one, from_two) = (drain(one), drain(two));
        if from_one.is_empty() && from_two.is_empty() {
            return (messages, seen);
        }
        for (_, datagram) in from_one {
            assert!(datagram.len() <= MAX_DATAGRAM);
            seen.push((1, datagram.clone()));
            if !lose() {
                messages.extend(two.receive(now, addr(1), &mut datagram.clone()));
            }
        }
        for (_, datagram) in from_two {
            seen.push((2, datagram.clone()));
            if !lose() {
                one.receive(now, addr(2), &mut datagram.clone());
            }
        }
    }
}

fn reliable() -> bool {
    false
}

fn send(wire: &mut Wire, now: Instant, bytes: &[u8]) {
    wire.send(now, addr(2), Channel::Application, bytes.into());
}

#[test]
fn a_message_follows_a_token_and_the_next_one_needs_none() {
    let now = Instant::now();
    let (mut one, mut two) = (wire(1, 0, &[1], now), wire(2, 0, &[1], now));
    send(&mut one, now, b"hello");
    let (messages, datagrams) = exchange(now, &mut one, &mut two, reliable);
    assert_eq!(messages.iter().map(|message| &message.bytes[..]).collect::<Vec<_>>(), [b"hello"]);
    assert_eq!(messages[0].node, NodeId::from_bytes([1; 8]));
    assert_eq!(datagrams.len(), 3, "hello, token, message");
    send(&mut one, now, b"again");
    assert_eq!(exchange(now, &mut one, &mut two, reliable).1.len(), 1);
    // The message carried a token for the way back.
    two.send(now, addr(1), Channel::Application, b"answer"[..].into());
    assert_eq!(drain(&mut two).len(), 1);
}

#[test]
fn strangers_get_neither_in_nor_an_answer() {
    let now = Instant::now();
    let mut two = wire(2, 0, &[1], now);
    let mut stranger = wire(1, 0, &[9], now);
    send(&mut stranger, now, b"let me in");
    let (messages, datagrams) = exchange(now, &mut stranger, &mut two, reliable);
    assert!(messages.is_empty() && datagrams.iter().all(|(from, _)| *from == 1), "{datagrams:?}");
    assert_eq!(two.counters.snapshot().unknown_key, 1);
    let seed = 7;
    let mut rng = fastrand::Rng::with_seed(seed);
    for round in 0..3_000 {
        let len = rng.usize(..MAX_DATAGRAM + 100);
        let mut bytes = random_bytes(&mut rng, len);
        if round % 2 == 0 && len > 5 {
            // A known version and key id.
            bytes[0] = 1;
            bytes[1..5].copy_from_slice(&secrets(&[1]).sealing_key().0);
        }
        assert_eq!(two.receive(now, addr(1), &mut bytes), None, "seed {seed}, round {round}");
        assert_eq!(two.transmit(), None, "seed {seed}, round {round}");
    }
    assert!(two.counters.snapshot().forged > 1200);
}

#[test]
fn a_member_that_writes_garbage_does_no_harm() {
    let now = Instant::now();
    let seed = 11;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut two = wire(2, 0, &[1], now);
    let sealer = Sealer::new(secrets(&[1]), b"net");
    for round in 0..3_000 {
        let len = rng.usize(..1100);
        let mut plain = random_bytes(&mut rng, len);
        if len > 50 {
            plain[0] = rng.u8(1..=5);
            if rng.bool() {
                // A good token, so that the bodies are read too.
                let session = u64::from_le_bytes(plain[9..17].try_into().unwrap()) % 64;
                plain[9..17].copy_from_slice(&session.to_le_bytes());
                plain[25..33].copy_from_slice(&two.sender.tokens.token(session, addr(1)).to_le_bytes());
                plain[41] %= 4;
            }
        }
        let mut nonce = [0; 24];
        rng.fill(&mut nonce);
        let mut sealed = sealer.seal(nonce, &plain);
        let asked = sealed.len();
        two.receive(now + Duration::from_millis(round), addr(1), &mut sealed);
        let answered: usize = drain(&mut two).iter().map(|(_, datagram)| datagram.len()).sum();
        assert!(answered <= asked, "seed {seed}, round {round}: {answered} bytes for {asked}");
    }
    assert!(two.counters.snapshot().malformed > 150, "{:?}", two.counters.snapshot());
}

#[test]
fn replays_are_taken_neither_at_once_nor_elsewhere_nor_after_restarts_nor_ever() {
    let now = Instant::now();
    let (mut one, mut two) = (wire(1, 0, &[1], now), wire(2, 0, &[1], now));
    send(&mut one, now, b"pay 10");
    send(&mut one, now, &[7; 5000]);
    let (messages, datagrams) = exchange(now, &mut one, &mut two, reliable);
    assert_eq!(messages.len(), 2);
    let replay = |to: &mut Wire, at: Instant, from: SocketAddr, what: &str| {
        for (_, datagram) in &datagrams {
            assert_eq!(to.receive(at, from, &mut datagram.clone()), None, "{what}");
            let answered: usize = drain(to).iter().map(|(_, answer)| answer.len()).sum();
            assert!(answered <= datagram.len(), "{what}");
        }
    };
    replay(&mut two, now, addr(1), "at once");
    assert!(two.counters.snapshot().replayed >= 6, "{:?}", two.counters.snapshot());
    replay(&mut two, now, addr(9), "from another address");
    replay(&mut wire(2, 1, &[1], now), now, addr(1), "after the receiver's restart");
    replay(&mut wire(3, 0, &[1], now), now, addr(1), "to another node");
    replay(&mut one, now, addr(2), "to the sender");
    // For hours after, whatever the receiver has forgotten by then.
    for minute in 1..90 {
        let at = now + Duration::from_secs(60 * minute);
        two.tick(at);
        replay(&mut two, at, addr(1), &format!("after {minute} minutes"));
    }
    assert!(two.sessions.iter().next().is_none(), "the session was forgotten, and still");
}

#[test]
fn a_restarted_peer_gets_the_message_after_one_more_round_trip() {
    let now = Instant::now();
    let (mut one, mut two) = (wire(1, 0, &[1], now), wire(2, 0, &[1], now));
    send(&mut one, now, b"first");
    exchange(now, &mut one, &mut two, reliable);
    for (restart, size) in [(1, 10), (2, 20_000)] {
        let mut restarted = wire(2, restart, &[1], now);
        send(&mut one, now, &vec![3; size]);
        let (messages, _) = exchange(now, &mut one, &mut restarted, reliable);
        assert_eq!(messages.iter().filter(|message| message.bytes.len() == size).count(), 1, "{messages:?}");
    }
}

#[test]
fn tokens_outlive_their_keys_by_being_granted_anew() {
    let mut now = Instant::now();
    let (mut one, mut two) = (wire(1, 0, &[1], now), wire(2, 0, &[1], now));
    for _ in 0..200 {
        send(&mut one, now, b"ping");
        assert_eq!(exchange(now, &mut one, &mut two, reliable).0.len(), 1);
        two.send(now, addr(1), Channel::Application, b"pong"[..].into());
        exchange(now, &mut one, &mut two, reliable);
        now += TOKEN_KEY_LIFETIME / 3;
        one.tick(now);
        two.tick(now);
    }
    let unproven = two.counters.snapshot().unproven + one.counters.snapshot().unproven;
    assert_eq!(unproven, 0, "no datagram came with a stale token");
}

#[test]
fn a_secret_is_rotated_without_a_gap() {
    let now = Instant::now();
    let (mut one, mut two) = (wire(1, 0, &[1], now), wire(2, 0, &[1], now));
    let key_of_one = |two: &Wire| two.heard().next().unwrap().key;
    for (of_one, of_two) in [
        (&[1][..], &[1][..]),
        (&[1, 2], &[1]),
        (&[1, 2], &[1, 2]),
        (&[2, 1], &[1, 2]),
        (&[2], &[2, 1]),
        (&[2], &[2]),
    ] {
        one.set_secrets(secrets(of_one));
        two.set_secrets(secrets(of_two));
        send(&mut one, now, b"still here");
        assert_eq!(exchange(now, &mut one, &mut two, reliable).0.len(), 1, "{of_one:?} {of_two:?}");
        assert_eq!(key_of_one(&two), secrets(of_one).sealing_key());
    }
    one.set_secrets(secrets(&[1]));
    send(&mut one, now, b"left behind");
    assert!(exchange(now, &mut one, &mut two, reliable).0.is_empty());
}

#[test]
fn large_messages_survive_loss() {
    let mut arrived = 0;
    for seed in 0..40 {
        let mut now = Instant::now();
        let (mut one, mut two) = (wire(1, seed, &[1], now), wire(2, seed, &[1], now));
        let mut rng = fastrand::Rng::with_seed(seed);
        let len = rng.usize(30_000..130_000);
        let message = random_bytes(&mut rng, len);
        send(&mut one, now, &message);
        // Without repetition, 5 % of loss would let through at most one in four even of the shortest.
        for _ in 0..100 {
            let (messages, _) = exchange(now, &mut one, &mut two, || rng.u8(..20) == 0);
            arrived += messages.iter().filter(|arrived| arrived.bytes == message).count();
            now += Duration::from_millis(30);
            one.tick(now);
            two.tick(now);
        }
        assert!(
            two.reassembly.is_empty() && one.sender.sent.is_empty(),
            "seed {seed}: nothing is kept for ever"
        );
    }
    assert!(arrived >= 38, "{arrived} of 40");
}

#[test]
fn one_member_cannot_flood() {
    let now = Instant::now();
    let (mut one, mut two) = (wire(1, 0, &[1], now), wire(2, 0, &[1], now));
    let mut taken = 0;
    for _ in 0..1_000 {
        one.send(now, addr(2), Channel::Carrier, b"syn"[..].into());
        taken += exchange(now, &mut one, &mut two, reliable).0.len();
    }
    assert_eq!(taken, CARRIER_MESSAGES.burst as usize);
    // And without a token, no more answers than this, each no larger than its question.
    let mut answers = 0;
    for start in 0..1000 {
        let mut fresh = wire(4, start, &[1], now);
        fresh.send(now, addr(2), Channel::Carrier, b"syn"[..].into());
        for (_, mut hello) in drain(&mut fresh) {
            let asked = hello.len();
            two.receive(now, addr(4), &mut hello);
            let answer = drain(&mut two);
            answers += answer.len();
            assert!(answer.iter().all(|(_, answer)| answer.len() <= asked));
        }
    }
    assert_eq!(answers, TOKENS.burst as usize);
}

#[test]
fn unanswered_hellos_end_and_what_waited_is_dropped() {
    let mut now = Instant::now();
    let mut one = wire(1, 0, &[1], now);
    send(&mut one, now, b"anybody?");
    let mut hellos = 0;
    for _ in 0..1000 {
        hellos += drain(&mut one).len();
        now += Duration::from_millis(10);
        one.tick(now);
    }
    assert!((3..=6).contains(&hellos), "{hellos}");
    assert_eq!(one.counters.snapshot().send_dropped, 1);
}

#[test]
fn a_peer_that_answers_from_another_address_is_found() {
    let now = Instant::now();
    let (mut one, mut two) = (wire(1, 0, &[1], now), wire(2, 0, &[1], now));
    // One sends to address 2; two answers from address 22.
    send(&mut one, now, b"hello");
    let mut got = Vec::new();
    for _ in 0..10 {
        for (_, mut datagram) in drain(&mut one) {
            got.extend(two.receive(now, addr(1), &mut datagram));
        }
        for (_, mut datagram) in drain(&mut two) {
            one.receive(now, addr(22), &mut datagram);
        }
    }
    assert_eq!(got.len(), 1);
    two.send(now, addr(1), Channel::Application, b"back"[..].into());
    let (_, mut datagram) = two.transmit().unwrap();
    assert_eq!(
        one.receive(now, addr(22), &mut datagram).map(|message| message.bytes),
        Some(b"back".to_vec())
    );
    // A node that announces an address which never answers is sought where it was heard.
    assert_eq!(one.route(now, addr(77), Some(NodeId::from_bytes([2; 8]))), addr(22));
    assert_eq!(one.route(now, addr(77), Some(NodeId::from_bytes([3; 8]))), addr(77));
}

#[test]
fn own_datagrams_that_come_back_lead_to_nothing() {
    let now = Instant::now();
    let mut one = wire(1, 0, &[1], now);
    send(&mut one, now, b"to myself");
    for (to, mut datagram) in drain(&mut one) {
        assert_eq!(one.receive(now, to, &mut datagram), None);
        assert_eq!(one.transmit(), None);
    }
    assert_eq!(one.counters.snapshot().own_echoes, 1);
}
