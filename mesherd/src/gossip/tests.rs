//! Whole nodes on loopback sockets.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// So many bytes by chance. Tests print their generator's seed, which replays them.
pub(super) fn random_bytes(rng: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

pub(super) struct Counted(AtomicU64);

impl Generations for Counted {
    fn next(&self) -> io::Result<u64> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

pub(super) fn generations() -> Arc<dyn Generations> {
    Arc::new(Counted(AtomicU64::new(1000)))
}

/// Refuses what starts with `bad`, keeps `store` from the carrier, admits the rest.
/// On `panic` it panics, the first time.
pub(super) struct PlainGate;

static PANICKED: AtomicBool = AtomicBool::new(false);

impl Gate for PlainGate {
    fn admit(&self, _: NodeId, _: &str, value: &str) -> Verdict {
        match value {
            _ if value.starts_with("bad") => Verdict::Refuse("it says so itself"),
            _ if value.starts_with("store") => Verdict::StoreOnly,
            "panic" if !PANICKED.swap(true, Ordering::SeqCst) => panic!("a fault of the gate's"),
            _ => Verdict::Admit,
        }
    }
}

pub(super) fn node_id(n: u8) -> NodeId {
    NodeId::from_bytes([n; 8])
}

pub(super) fn secrets(of: &[u8]) -> Secrets {
    Secrets::new(of.iter().map(|n| [*n; 32])).unwrap()
}

pub(super) struct Node {
    pub(super) addr: SocketAddr,
    pub(super) handle: GossipHandle,
    pub(super) events: mpsc::Receiver<Event>,
}

impl Node {
    pub(super) fn start(n: u8, secret: &[u8], bootstrap: &[SocketAddr], interval: Duration) -> Self {
        let socket = bind(SocketAddr::from(([127, 0, 0, n], 0))).unwrap();
        Self::on(socket, n, secret, bootstrap, interval)
    }

    fn on(socket: UdpSocket, n: u8, secret: &[u8], bootstrap: &[SocketAddr], interval: Duration) -> Self {
        let addr = socket.local_addr().unwrap();
        let mut config = GossipConfig::new(node_id(n), addr, generations());
        config.interval = interval;
        config.bootstrap = bootstrap.iter().map(|addr| BootstrapNode::Addr(*addr)).collect();
        config.records = vec![("s".into(), format!("host {n}"))];
        let (handle, events) = Gossip::start(config, socket, secrets(secret), Arc::new(PlainGate)).unwrap();
        Self { addr, handle, events }
    }

    /// Waits for an event that `wanted` accepts; others are lost.
    pub(super) async fn wait<T>(&mut self, what: &str, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = self.events.recv().await.expect("the layer runs");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {what}: {:?}", self.handle.counters()))
    }

    pub(super) async fn wait_record(&mut self, of: u8, key: &str, value: &str) {
        let what = format!("record {key}={value} of {of}");
        self.wait(&what, |event| match event {
            Event::Record { node, key: k, value: v, .. } => {
                (node == node_id(of) && k == key && v == value).then_some(())
            }
            _ => None,
        })
        .await;
    }
}

const FAST: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_converge_knowing_one_and_themselves() {
    let mut one = Node::start(1, &[1], &[], FAST);
    one.handle.set("c/mercury", "one").unwrap();
    // The list contains the machine itself.
    let socket = bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let own = socket.local_addr().unwrap();
    let mut two = Node::on(socket, 2, &[1], &[own, one.addr], FAST);
    let mut three = Node::start(3, &[1], &[one.addr], FAST);
    two.wait_record(1, "c/mercury", "one").await;
    two.wait_record(3, "s", "host 3").await;
    three.wait_record(2, "s", "host 2").await;
    one.wait_record(3, "s", "host 3").await;
    one.handle.set("c/mercury", "changed").unwrap();
    let start = Instant::now();
    three.wait_record(1, "c/mercury", "changed").await;
    println!("changed record after {:?}", start.elapsed());
    one.wait("peer 2 alive", |event| {
        matches!(event, Event::PeerUp { node, .. } if node == node_id(2)).then_some(())
    })
    .await;
    // What is told of three may have come through two, before anything of three's own.
    let end = Instant::now() + PATIENCE;
    loop {
        let peers = one.handle.peers().await;
        assert_eq!(peers.iter().map(|peer| peer.node).collect::<Vec<_>>(), [node_id(2), node_id(3)]);
        if peers.iter().all(|peer| peer.key == Some(secrets(&[1]).sealing_key())) {
            break;
        }
        assert!(Instant::now() < end, "{peers:?}");
        tokio::time::sleep(FAST).await;
    }
    three.handle.shutdown().await;
    two.wait("peer 3 down", |event| {
        matches!(event, Event::PeerDown { node, .. } if node == node_id(3)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn opaque_messages_of_any_size_arrive_and_are_answered() {
    let (one, mut two) = (Node::start(1, &[1], &[], FAST), Node::start(2, &[1], &[], FAST));
    for len in [0, 1, 1104, 1105, 1106, 60_000, MAX_MESSAGE] {
        let sent: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
        one.handle.send(two.addr, sent.clone()).unwrap();
        let (from, node, bytes) = two
            .wait(&format!("message of {len} bytes"), |event| match event {
                Event::Message { from, node, bytes } => Some((from, node, bytes)),
                _ => None,
            })
            .await;
        assert!((from, node) == (one.addr, node_id(1)) && bytes == sent, "{len}");
    }
    assert_eq!(one.handle.send(two.addr, vec![0; MAX_MESSAGE + 1]), Err(SendError::TooLong(MAX_MESSAGE + 1)));
}

#[tokio::test]
async fn a_layer_whose_task_panicked_says_so_for_good_and_starts_anew() {
    let mut one = Node::start(1, &[1], &[], FAST);
    let mut two = Node::start(2, &[1], &[one.addr], FAST);
    two.wait_record(1, "s", "host 1").await;
    assert!(two.handle.responds().await);
    // Two's intake ends on it. Chitchat, which knows nothing of that, runs on, and nothing comes in any more.
    one.handle.set("c/earth", "panic").unwrap();
    let end = Instant::now() + PATIENCE;
    while two.handle.responds().await {
        assert!(Instant::now() < end, "nobody notices: {:?}", two.handle.counters());
        tokio::time::sleep(FAST).await;
    }
    assert!(!two.handle.responds().await, "asked once more, it is as deaf as before");

    one.handle.set("c/earth", "good again").unwrap();
    let records = vec![("s".to_owned(), "host 2 anew".to_owned())];
    let (handle, events) = two.handle.restart(records, two.addr).await.unwrap();
    (two.handle, two.events) = (handle, events);
    two.wait_record(1, "c/earth", "good again").await;
    one.wait_record(2, "s", "host 2 anew").await;
    assert!(two.handle.responds().await);
    assert_eq!(two.handle.counters().layer_restarts, 1);
}

/// While datagrams come without a pause, reading them is not all that the process does: on a runtime with one thread, as the daemon's,
/// others get their turn after each [`port::READS`].
#[tokio::test(flavor = "current_thread")]
async fn a_queue_full_of_datagrams_leaves_others_their_turn() {
    const SENT: usize = 3 * port::READS;
    let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let (addr, stranger) = (socket.local_addr().unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    for _ in 0..SENT {
        // It is in the other socket's queue when this returns.
        stranger.send_to(b"garbage", addr).unwrap();
    }
    let counters = Arc::new(counters::Counters::default());
    let random = Box::new(|bytes: &mut [u8]| bytes.fill(1));
    let wire =
        wire::Wire::new(Instant::now(), node_id(1), b"net", secrets(&[1]), random, Arc::clone(&counters));
    let ((_sender, commands), (inbound, _messages)) = (mpsc::channel(1), mpsc::channel(1));
    let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
    tokio::spawn(port::Port { socket, wire, commands, inbound, counters: Arc::clone(&counters) }.run());
    let (end, mut seen) = (Instant::now() + PATIENCE, 0);
    while seen < SENT as u64 {
        assert!(Instant::now() < end, "{seen} of {SENT} are read");
        tokio::task::yield_now().await;
        let now = counters.datagrams_received.get();
        assert!(now - seen <= port::READS as u64, "{} were read in one turn", now - seen);
        seen = now;
    }
}

/// No generation for a while, as on a full disk: so long the carrier does not run, while everything else does.
struct Late(Instant);

impl Generations for Late {
    fn next(&self) -> io::Result<u64> {
        if Instant::now() < self.0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(1) }
    }
}

#[tokio::test]
async fn a_bootstrap_node_that_is_heard_but_not_by_the_carrier_is_tried_again() {
    let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = socket.local_addr().unwrap();
    let late = Arc::new(Late(Instant::now() + Duration::from_millis(1_200)));
    let mut config = GossipConfig::new(node_id(1), addr, late);
    (config.interval, config.records) = (FAST, vec![("s".into(), "host 1".into())]);
    let (handle, events) = Gossip::start(config, socket, secrets(&[1]), Arc::new(PlainGate)).unwrap();
    let _one = Node { addr, handle: handle.clone(), events };
    let mut two = Node::start(2, &[1], &[addr], FAST);
    // One is heard all the time, as it is when stores are synchronised.
    let to = two.addr;
    tokio::spawn(async move {
        loop {
            let _ = handle.send(to, *b"heard");
            tokio::time::sleep(FAST).await;
        }
    });
    two.wait_record(1, "s", "host 1").await;
}
