//! chitchat behind the filter and the supervisor.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::tests::{Node, PATIENCE, PlainGate, node_id, random_bytes};
use super::super::{Event, NodeId, RestartReason};
use super::filter::Filter;
use super::message::{DigestEntry, Member, MemberDelta, Message, Record};
use super::socket::lock;
use super::{filter, message, translate};

fn member(n: u8) -> Member {
    Member { node: node_id(n), generation: 5, addr: SocketAddr::from(([192, 0, 2, n], 7946)) }
}

/// A message that makes unfiltered chitchat panic: it cuts keys at their first byte.
fn poison() -> Message {
    let record = Record { key: "é".into(), value: String::new(), version: 1 };
    Message::SynAck {
        digest: vec![DigestEntry { member: member(9), heartbeat: 1, max_version: 0 }],
        delta: vec![MemberDelta { member: member(9), from: 0, records: vec![record] }],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_carrier_is_rebuilt_with_its_records_under_a_new_generation() {
    let interval = Duration::from_millis(50);
    let mut one = Node::start(1, &[1], &[], interval);
    let mut two = Node::start(2, &[1], &[one.addr], interval);
    one.handle.set("c/earth", "before").unwrap();
    two.wait_record(1, "c/earth", "before").await;
    one.handle.inject(two.addr, translate::to_chitchat(&poison()).unwrap());
    let (generation, reason) = one
        .wait("restart", |event| match event {
            Event::CarrierRestarted { generation, reason } => Some((generation, reason)),
            _ => None,
        })
        .await;
    assert_eq!(generation, 1002, "the second generation of the test's numbering");
    assert!(matches!(&reason, RestartReason::Failed(why) if why.contains("panicked")), "{reason:?}");
    assert_eq!(one.handle.counters().carrier_restarts, 1);
    // The new run has the old records, and works.
    two.wait_record(1, "c/earth", "before").await;
    one.handle.set("c/earth", "after").unwrap();
    two.wait_record(1, "c/earth", "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_hangs_without_ending_is_rebuilt() {
    let interval = Duration::from_millis(50);
    let mut one = Node::start(1, &[1], &[], interval);
    let mut two = Node::start(2, &[1], &[one.addr], interval);
    one.handle.set("c/earth", "before").unwrap();
    two.wait_record(1, "c/earth", "before").await;
    one.handle.hang();
    let reason = one
        .wait("restart", |event| match event {
            Event::CarrierRestarted { reason, .. } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, RestartReason::Hung);
    one.handle.set("c/earth", "after").unwrap();
    two.wait_record(1, "c/earth", "after").await;
}

// What follows is the attack table: each a message that a member with the secret may send, against the filter, and
// where chitchat is harmed, what unfiltered chitchat makes of it.

fn own_run() -> DigestEntry {
    DigestEntry { member: member(1), heartbeat: 100, max_version: 10 }
}

fn filter() -> Filter {
    Filter { own: node_id(1), gate: Arc::new(PlainGate), known: Arc::default(), counters: Arc::default() }
}

fn record(key: &str, value: &str, version: u64) -> Record {
    Record { key: key.into(), value: value.into(), version }
}

fn entry(n: u8) -> DigestEntry {
    DigestEntry { member: member(n), heartbeat: 3, max_version: 0 }
}

fn told(of: u8, records: Vec<Record>) -> Message {
    Message::SynAck {
        digest: vec![entry(of)],
        delta: vec![MemberDelta { member: member(of), from: 0, records }],
    }
}

/// The keys that pass the filter to chitchat, and those that go to the store.
fn keys_passed(filter: &Filter, message: Message) -> (Vec<String>, Vec<String>) {
    let filtered = filter.apply(node_id(7), message, Some(own_run()));
    let keys = |delta: &[MemberDelta]| {
        delta.iter().flat_map(|delta| &delta.records).map(|record| record.key.clone()).collect::<Vec<_>>()
    };
    let to_chitchat = filtered.message.as_ref().map(|message| keys(message.delta())).unwrap_or_default();
    (to_chitchat, filtered.records.into_iter().map(|record| record.key).collect())
}

#[test]
fn keys_are_of_the_allow_list_and_values_within_their_length() {
    let long = "v".repeat(1025);
    let records = vec![
        record("é", "", 1),
        record("", "", 2),
        record("s", "fine", 3),
        record("c/earth", "fine", 4),
        record("c/", "", 5),
        record("c/a b", "", 6),
        record("c/ü", "", 7),
        record("other", "", 8),
        record("c/long", &long, 9),
        record("n", &long, 10),
        record("n", &"v".repeat(8193), 11),
        record("w/earth/x", "fine", 12),
        record("cert", "fine", 13),
    ];
    let filter = filter();
    let (passed, _) = keys_passed(&filter, told(9, records));
    assert_eq!(passed, ["s", "c/earth", "n", "w/earth/x", "cert"]);
    assert_eq!(filter.counters.snapshot().records_unfit, 8);
}

#[test]
fn refused_records_go_and_the_rest_stays() {
    let filter = filter();
    let records = vec![record("c/a", "good", 1), record("c/b", "bad", 2), record("c/c", "good", 3)];
    let (passed, stored) = keys_passed(&filter, told(9, records));
    assert_eq!((passed, stored), (vec!["c/a".into(), "c/c".into()], vec!["c/a".to_owned(), "c/c".into()]));
    assert_eq!(filter.counters.snapshot().records_refused, 1);
    let (passed, stored) = keys_passed(&filter, told(9, vec![record("c/d", "store only", 4)]));
    assert_eq!((passed, stored), (vec![], vec!["c/d".to_owned()]));
}

#[test]
fn what_others_say_of_this_run_goes_to_the_store_alone() {
    let filter = filter();
    let (passed, stored) = keys_passed(&filter, told(1, vec![record("c/earth", "forged or old", 99)]));
    assert_eq!((passed, stored), (vec![], vec!["c/earth".to_owned()]));
    // A former run of ours is, to chitchat, another node; its records reach the store too.
    let former = Member { generation: 4, ..member(1) };
    let message = Message::SynAck {
        digest: vec![DigestEntry { member: former, heartbeat: 3, max_version: 1 }],
        delta: vec![MemberDelta { member: former, from: 0, records: vec![record("s", "old", 1)] }],
    };
    let filtered = filter.apply(node_id(7), message, Some(own_run()));
    assert!(filtered.records.iter().all(|record| record.node == node_id(1) && !record.alive));
    assert_eq!(filtered.message.unwrap().delta().len(), 1);
}

#[test]
fn absurd_numbers_cost_the_whole_message() {
    let beyond = filter::MAX_NUMBER + 1;
    let delta = |from, version| {
        let records = vec![record("s", "fine", version)];
        Message::Ack { delta: vec![MemberDelta { member: member(9), from, records }] }
    };
    let digest = |heartbeat, max_version| Message::Syn {
        digest: vec![DigestEntry { member: member(9), heartbeat, max_version }],
    };
    for message in [delta(beyond, beyond + 1), delta(0, u64::MAX), digest(u64::MAX, 1), digest(1, u64::MAX)] {
        let filter = filter();
        assert!(filter.apply(node_id(7), message.clone(), Some(own_run())).message.is_none(), "{message:?}");
        assert_eq!(filter.counters.snapshot().carrier_refused, 1);
    }
    assert!(filter().apply(node_id(7), digest(1, filter::MAX_NUMBER), Some(own_run())).message.is_some());
}

#[test]
fn overstatements_of_this_run_are_noticed() {
    let filter = filter();
    let overstated = |heartbeat, max_version| {
        let digest = vec![DigestEntry { member: member(1), heartbeat, max_version }];
        filter.apply(node_id(7), Message::Syn { digest }, Some(own_run())).overstated
    };
    assert_eq!(overstated(100, 10), None);
    assert_eq!(overstated(101, 10), Some((101, 10)));
    assert_eq!(overstated(1, 11), Some((1, 11)));
}

#[test]
fn a_flood_of_nodes_ends_before_the_digest_is_full() {
    let filter = filter();
    let mut kept = 0;
    for batch in 0..20u64 {
        let digest = (0..1000u64)
            .map(|n| {
                let node = NodeId::from_bytes((batch * 1000 + n).to_be_bytes());
                DigestEntry { member: Member { node, ..member(9) }, heartbeat: 1, max_version: 0 }
            })
            .collect();
        let message = filter.apply(node_id(7), Message::Syn { digest }, Some(own_run())).message.unwrap();
        kept += message.digest().len();
    }
    assert_eq!(kept, 65_507 / 10 * 9 / 57);
    assert_eq!(filter.counters.snapshot().nodes_refused, 20_000 - kept as u64);
    // chitchat's own limit: a full digest leaves less than a hundred bytes for the delta, and it panics.
    assert!(lock(&filter.known).digest_bytes() + 100 < 65_507);
}

#[test]
fn runs_and_addresses_of_a_node_are_bounded() {
    let filter = filter();
    let digest = (0..100)
        .map(|generation| DigestEntry {
            member: Member { generation, ..member(9) },
            heartbeat: 1,
            max_version: 0,
        })
        .collect();
    assert_eq!(filter.apply(node_id(7), Message::Syn { digest }, None).message.unwrap().digest().len(), 32);
    for wrong in
        ["0.0.0.0:1", "192.0.2.1:0", "224.0.0.1:1", "169.254.1.1:1", "[fe80::1]:1", "[::]:1", "[ff02::1]:1"]
    {
        let digest =
            vec![DigestEntry { member: Member { addr: wrong.parse().unwrap(), ..member(8) }, ..entry(8) }];
        let message = filter.apply(node_id(7), Message::Syn { digest }, None).message.unwrap();
        assert!(message.digest().is_empty(), "{wrong}");
    }
}

#[test]
fn what_we_never_use_cannot_be_written() {
    // Tombstones, times to live, garbage-collected versions, SetMaxVersion, compressed blocks and odd node ids have
    // no place in the encoding, so whatever bytes a member sends, chitchat gets none of them.
    let seed = 5;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut read = 0;
    let whole = told(9, vec![record("s", "value", 1), record("c/earth", "other", 7)]).encode().0;
    for round in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..rng.u8(..4) {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.u8(..);
        }
        if rng.u8(..4) == 0 {
            bytes.truncate(rng.usize(..bytes.len()));
        }
        let Ok(message) = Message::decode(&bytes) else { continue };
        read += 1;
        let Some(message) = filter().apply(node_id(7), message, Some(own_run())).message else { continue };
        // chitchat reads what we write, and every record of it is plainly set.
        let written =
            translate::to_chitchat(&message).unwrap_or_else(|error| panic!("seed {seed}, {round}: {error}"));
        let text = format!("{written:?}");
        let records = message.delta().iter().map(|delta| delta.records.len()).sum::<usize>();
        assert_eq!(text.matches("status: Set").count(), records, "seed {seed}, round {round}: {text}");
        assert_eq!(
            text.matches("last_gc_version: 0").count(),
            message.digest().len() + message.delta().len()
        );
    }
    assert!(read > 1000, "{read} of the changed messages could be read");
    for _ in 0..20_000 {
        let len = rng.usize(..300);
        let bytes = random_bytes(&mut rng, len);
        drop(Message::decode(&bytes));
    }
}

#[test]
fn messages_survive_encoding_and_are_cut_at_their_limits() {
    let message =
        told(9, vec![record("s", "v", 5), record("c/a", "", 6), record("n", &"x".repeat(8000), 1 << 39)]);
    let (bytes, cut) = message.encode();
    assert_eq!((Message::decode(&bytes), cut), (Ok(message), false));
    let many = (1..=2000).map(|n| record("c/name", &"v".repeat(900), n)).collect();
    let (bytes, cut) = told(9, many).encode();
    assert!(cut && bytes.len() < message::MAX_DELTA + 1000, "{}", bytes.len());
    let Message::SynAck { delta, .. } = Message::decode(&bytes).unwrap() else { panic!() };
    let versions: Vec<u64> = delta[0].records.iter().map(|record| record.version).collect();
    assert_eq!(
        versions,
        (1..=versions.len() as u64).collect::<Vec<_>>(),
        "a prefix, so that the rest is offered again"
    );
    for truncated in 0..bytes.len().min(2000) {
        // A message may end after any member, but never inside one.
        if let Ok(Message::SynAck { delta, .. }) = Message::decode(&bytes[..truncated]) {
            assert!(delta.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_numbers_were_overstated_recovers() {
    let interval = Duration::from_millis(50);
    let one = Node::start(1, &[1], &[], interval);
    let mut two = Node::start(2, &[1], &[one.addr], interval);
    one.handle.set("c/earth", "first").unwrap();
    two.wait_record(1, "c/earth", "first").await;
    // A member tells two that it has all of one up to version 1000, and a heartbeat far ahead: from now on two would
    // take nothing of one.
    let lie = DigestEntry {
        member: Member { node: node_id(1), generation: 1001, addr: one.addr },
        heartbeat: 1_000_000,
        max_version: 2,
    };
    let forged = Message::SynAck {
        digest: vec![lie],
        delta: vec![MemberDelta { member: lie.member, from: 0, records: vec![record("c/moon", "x", 1000)] }],
    };
    two.handle.inject(one.addr, translate::to_chitchat(&forged).unwrap());
    tokio::time::sleep(Duration::from_millis(300)).await;
    one.handle.set("c/earth", "second").unwrap();
    two.wait_record(1, "c/earth", "second").await;
    let end = Instant::now() + PATIENCE;
    while one.handle.counters().carrier_healed == 0 {
        assert!(Instant::now() < end, "{:?}", one.handle.counters());
        tokio::time::sleep(interval).await;
    }
    assert_eq!(one.handle.counters().carrier_restarts, 0);
}
