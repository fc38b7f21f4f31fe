//! chitchat behind the filter and the supervisor.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::tests::{Node, node_id};
use super::super::{Event, RestartReason};
use super::message::{DigestEntry, Member, MemberDelta, Message, Record};
use super::translate;

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
