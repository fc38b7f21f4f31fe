//! A member that lies: it holds the network secret, and says to a running daemon whatever it likes.
//!
//! What it can do to the wire and to the carrier is tried closer to them, in `mesherd/src/gossip/wire/tests.rs` and
//! `mesherd/src/gossip/carrier/tests.rs`; `docs/threat-model.md` has the whole list.

mod attack;
mod cluster;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attack::records::{Host, now_ms, pushes};
use borsh::{BorshDeserialize, BorshSerialize};
use cluster::{Cluster, Daemon};
use mesher_claims::keys::{self, HostKey, SecretKey};
use mesher_claims::record::{Admission, Body, CertificateBody, Record, SettingsBody, Signed};
use mesherd::gossip::{
    self, Event, Gate, Generations, Gossip, GossipConfig, GossipHandle, NodeId, Secrets, Verdict,
};
use tokio::sync::mpsc;

const SOON: Duration = Duration::from_secs(60);
/// The last number of the attacker's address.
const MALLORY: u8 = 9;

/// The attacker: the gossip layer as the daemon has it, with nothing that holds it back.
struct Mallory {
    host: Host,
    handle: GossipHandle,
    events: mpsc::Receiver<Event>,
    victim: SocketAddr,
}

struct Anything;

impl Gate for Anything {
    fn admit(&self, _: NodeId, _: &str, _: &str) -> Verdict {
        Verdict::Admit
    }
}

struct First;

impl Generations for First {
    fn next(&self) -> std::io::Result<u64> {
        Ok(now_ms())
    }
}

impl Mallory {
    fn join(cluster: &Cluster, victim: &Daemon) -> Self {
        let host = Host::new(cluster.key.network_id(), [66; 32], "mallory", cluster.ip(MALLORY));
        let victim = SocketAddr::new(victim.address, cluster.port());
        let socket = gossip::bind(cluster.at_port(MALLORY)).unwrap();
        let node = NodeId::from_bytes(keys::NodeId::from(host.host_key()).0);
        let mut config = GossipConfig::new(node, cluster.at_port(MALLORY), Arc::new(First));
        config.network = cluster.key.network_id().0.to_vec();
        config.interval = Duration::from_millis(200);
        config.bootstrap = vec![gossip::BootstrapNode::Addr(victim)];
        let secret = mesher_config::secret::read_secret(&cluster.dir.path().join("network.secret")).unwrap();
        let secrets = Secrets::new([*secret.expose()]).unwrap();
        let (handle, events) = Gossip::start(config, socket, secrets, Arc::new(Anything)).unwrap();
        Self { host, handle, events, victim }
    }

    fn me(&self) -> HostKey {
        self.host.host_key()
    }

    /// Sends bytes as a message, and waits while too much is under way.
    async fn send(&self, bytes: Vec<u8>) {
        let bytes: Arc<[u8]> = bytes.into();
        while self.handle.send(self.victim, Arc::clone(&bytes)).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Below what one host may send: what is refused here must be refused for what it says.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }

    async fn push(&self, records: Vec<Record>) {
        for message in pushes(records) {
            self.send(message).await;
        }
    }

    /// Pushes a record that no honest program could make: any text under any key.
    async fn push_text(&self, key: &str, value: &str) {
        // Version, records, pushed, one of them, key, value, age 0: the encoding of `mesher_claims::message`.
        let mut bytes = vec![1, 1, 1];
        borsh::to_writer(&mut bytes, &vec![(key.to_owned(), value.to_owned(), (0u8, 0u64))]).unwrap();
        self.send(bytes).await;
    }

    /// Waits for a record of somebody else's, as gossip brings it.
    async fn overhear(&mut self, wanted: &str) -> String {
        let found = async {
            loop {
                match self.events.recv().await.expect("gossip runs") {
                    Event::Record { key, value, .. } if key == wanted => return value,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(SOON, found).await.unwrap_or_else(|_| panic!("no record {wanted}"))
    }
}

/// A claim as anybody may write one who is not bound to our types.
#[derive(BorshSerialize, BorshDeserialize)]
struct AnyClaim {
    host: HostKey,
    name: Vec<u8>,
    epoch: u64,
    state: u8,
    addresses: u8,
    seq: u64,
}

impl Body for AnyClaim {
    const KIND: &'static str = "claim";

    fn signer(&self) -> Option<HostKey> {
        Some(self.host)
    }
}

/// A host record in the same way.
#[derive(BorshSerialize, BorshDeserialize)]
struct AnyHost {
    host: HostKey,
    label: String,
    v4: Vec<[u8; 4]>,
    v6: Vec<[u8; 16]>,
    since: u64,
    instance: u64,
    renewed_at_ms: u64,
    seq: u64,
}

impl Body for AnyHost {
    const KIND: &'static str = "host";

    fn signer(&self) -> Option<HostKey> {
        Some(self.host)
    }
}

fn text<B: Body>(signed: &Signed<B>) -> String {
    format!("1{}", data_encoding::BASE64URL_NOPAD.encode(&signed.encode()))
}

/// The daemon runs, answers, keeps its name, and has not restarted its gossip.
#[track_caller]
fn unharmed(daemon: &Daemon, name: &str) {
    daemon.wait_for(name, Some(daemon.address), Duration::ZERO);
    assert_eq!(daemon.status().host.label, daemon.name);
    let metrics: mesher_control::types::Metrics = daemon.ask(&mesher_control::Call::Metrics {});
    assert!(metrics.text.contains("\nmesher_gossip_carrier_restarts_total 0\n"), "{}", daemon.log());
}

/// Others' records: signed with the wrong key, changed, filed elsewhere, far too long.
fn others_records(mallory: &Mallory, victim: HostKey, overheard: &str) -> Vec<(String, String)> {
    let (network, me) = (mallory.host.network, mallory.me());
    let mut forged = vec![];
    for (seq, epoch) in [(1 << 40, 0), (1 << 40, u64::MAX)] {
        let withdrawn =
            AnyClaim { host: victim, name: b"earth".to_vec(), epoch, state: 1, addresses: 0, seq };
        forged.push(("c/earth".to_owned(), text(&Signed::sign(&network, &mallory.host.key, withdrawn))));
    }
    let mut changed = overheard.to_owned().into_bytes();
    changed[40] ^= 1;
    forged.push(("c/earth".into(), String::from_utf8(changed).unwrap()));
    forged.push(("c/mars".into(), overheard.to_owned()));
    forged.push(("s".into(), overheard.to_owned()));
    forged.push(("c/earth".into(), "1".to_owned() + &"A".repeat(200_000)));
    forged.push(("n".into(), text(&Signed::sign(&network, &mallory.host.key, own_settings()))));
    forged.push(("cert".into(), text(&Signed::sign(&network, &mallory.host.key, certificate(me)))));
    forged
}

/// Names, addresses and numbers that nobody may have, signed by the attacker itself as they must be.
fn impossible_records(mallory: &mut Mallory) -> Vec<(String, String)> {
    let (network, me) = (mallory.host.network, mallory.me());
    let mut forged = vec![];
    let names: [&[u8]; 12] = [
        b"ear\0th",
        b"ear th",
        b"..",
        b".",
        b"earth.",
        b"",
        b"a..b",
        "ärth".as_bytes(),
        &[b'a'; 64],
        &[0xff, 0xfe],
        b"localhost",
        b"*.*.earth",
    ];
    for name in names {
        let claim = AnyClaim {
            host: me,
            name: name.to_vec(),
            epoch: 1,
            state: 0,
            addresses: 0,
            seq: mallory.host.next_seq(),
        };
        let key = format!("c/{}", String::from_utf8_lossy(name));
        forged.push((key, text(&Signed::sign(&network, &mallory.host.key, claim))));
    }
    for epoch in [1 << 63, u64::MAX, (1 << 48) + 1] {
        let claim = AnyClaim {
            host: me,
            name: b"mars".to_vec(),
            epoch,
            state: 0,
            addresses: 0,
            seq: mallory.host.next_seq(),
        };
        forged.push(("c/mars".into(), text(&Signed::sign(&network, &mallory.host.key, claim))));
    }
    for v4 in
        [vec![[0; 4]], vec![[224, 0, 0, 1]], vec![[255; 4]], vec![[10, 0, 0, 1]; 2], vec![[10, 0, 0, 1]; 40]]
    {
        let seq = mallory.host.next_seq();
        let host = AnyHost {
            host: me,
            label: "mallory".into(),
            v4,
            v6: vec![],
            since: 0,
            instance: 1,
            renewed_at_ms: now_ms(),
            seq,
        };
        forged.push(("s".into(), text(&Signed::sign(&network, &mallory.host.key, host))));
    }
    forged
}

/// One line for each sender and reason, however often it came.
fn each_refusal_is_told_once(daemon: &Daemon) {
    let log = daemon.log();
    let told = log.lines().filter_map(|line| line.split_once("refused from ").map(|(_, what)| what));
    let mut seen = std::collections::BTreeSet::new();
    for what in told {
        assert!(seen.insert(what), "told twice: {what}\n{log}");
    }
    assert!(seen.len() >= 3, "few reasons: {seen:?}\n{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_forged_or_replayed_or_beyond_the_limits_counts() {
    let cluster = Cluster::new(60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    alpha.start_and_hold("earth.sol", SOON);
    let mut mallory = Mallory::join(&cluster, &alpha);
    let victim: HostKey = alpha.status().host.key.parse().unwrap();
    let overheard = mallory.overhear("c/earth").await;
    let settings = mallory.overhear_settings(&cluster);
    cluster.write_settings(2);
    alpha.reload();

    let mut forged = others_records(&mallory, victim, &overheard);
    forged.extend(impossible_records(&mut mallory));
    let refused = forged.len();
    for (key, value) in &forged {
        mallory.push_text(key, value).await;
        // Through the carrier too, filed under the attacker's own node, where the carrier takes such a key and length.
        drop(mallory.handle.set(key.clone(), value.clone()));
    }
    // Again and again: it is refused as often, and told once.
    for _ in 0..3 {
        for (key, value) in &forged {
            mallory.push_text(key, value).await;
        }
    }
    // Replays: the settings of the revision before, and a record of long ago as if it were new.
    mallory.push_text("n", &settings).await;
    mallory.push_text("c/earth", &overheard).await;
    // Bytes that are no message at all.
    for bytes in [
        vec![],
        vec![0],
        vec![1],
        vec![9; 300],
        vec![1, 1, 1, 0xff, 0xff, 0xff, 0xff],
        vec![1, 0, 0, 0xff, 0xff, 0xff, 0x7f],
    ] {
        mallory.send(bytes).await;
    }

    // An honest record behind all that arrives: the attacker may claim what nobody holds.
    let records = vec![mallory.host.claim("honest", 5), mallory.host.record()];
    mallory.push(records).await;
    alpha.wait_for("honest.sol", Some(cluster.ip(MALLORY)), SOON);
    unharmed(&alpha, "earth.sol");
    assert_eq!(alpha.lookup("mars.sol"), [] as [std::net::IpAddr; 0]);
    assert_eq!(alpha.status().network.revision, Some(2));
    let names: mesher_control::types::Names = alpha.ask(&mesher_control::Call::Names {});
    assert_eq!(names.names.len(), 2, "of {refused} forged records some count: {names:#?}");
    each_refusal_is_told_once(&alpha);

    // Who joins later gets alpha's claims, in spite of what the attacker has put about.
    let mut beta = cluster.daemon("beta", 2, &["venus"], &[1, 9]);
    beta.start_and_hold("venus.sol", SOON);
    beta.wait_for("earth.sol", Some(alpha.address), SOON);
    mallory.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_certificate_takes_no_name_by_a_back_dated_claim() {
    let cluster = Cluster::new(60_000);
    let certified = |settings: &mut SettingsBody| settings.admission = Admission::Certified;
    cluster.write_settings_with(1, certified);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    alpha.start();
    alpha.wait_socket(SOON);
    let body = CertificateBody {
        label: "alpha".parse().unwrap(),
        patterns: vec!["earth".parse().unwrap()],
        ..certificate(alpha.status().host.key.parse().unwrap())
    };
    let signed = Record::Certificate(Signed::sign(&cluster.key.network_id(), &cluster.key, body));
    std::fs::write(alpha.dir.join("host.cert"), mesher_config::certificate::to_file_text(&signed, ""))
        .unwrap();
    alpha.wait_for("earth.sol", Some(alpha.address), SOON);

    let mut mallory = Mallory::join(&cluster, &alpha);
    let (network, me) = (mallory.host.network, mallory.me());
    let other_network = SecretKey::from_seed(&[7; 32]);
    // Signed by itself, of another network, for somebody else: refused. Expired, not yet valid, for another label or
    // without the name: signed by the network, and of no use.
    let own = text(&Signed::sign(&network, &mallory.host.key, certificate(me)));
    let foreign = text(&Signed::sign(&other_network.network_id(), &other_network, certificate(me)));
    for value in [own, foreign, signed.carrier_value()] {
        mallory.push_text("cert", &value).await;
    }
    let now = now_ms();
    let good = certificate(me);
    for (at, body) in [
        CertificateBody { not_before_ms: 1, not_after_ms: now - 1_000, ..good.clone() },
        CertificateBody { not_before_ms: now + 3_600_000, not_after_ms: now + 7_200_000, ..good.clone() },
        CertificateBody { label: "alpha".parse().unwrap(), ..good.clone() },
        CertificateBody {
            patterns: vec!["mars".parse().unwrap(), "*.earth".parse().unwrap()],
            ..good.clone()
        },
    ]
    .into_iter()
    .enumerate()
    {
        let body = CertificateBody { serial: now + at as u64, ..body };
        let certificate = Record::Certificate(Signed::sign(&network, &cluster.key, body));
        let records = vec![certificate, mallory.host.claim("earth", at as u64), mallory.host.record()];
        mallory.push(records).await;
        // The last one allows mars: when that has come, all before it has been looked at.
        if at == 3 {
            let records = vec![mallory.host.claim("mars", 1), mallory.host.record()];
            mallory.push(records).await;
            alpha.wait_for("mars.sol", Some(cluster.ip(MALLORY)), SOON);
        }
        alpha.wait_for("earth.sol", Some(alpha.address), Duration::ZERO);
    }
    let explained: mesher_control::types::Explanation =
        alpha.ask(&mesher_control::Call::Explain { name: "earth".into() });
    let reasons: Vec<_> = explained.claimants.iter().filter_map(|claimant| claimant.reason.clone()).collect();
    assert_eq!(reasons, ["its host's certificate does not allow this name"]);
    unharmed(&alpha, "earth.sol");
    mallory.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_names_and_of_hosts_end_at_the_limits() {
    let cluster = Cluster::new(600_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    alpha.start_and_hold("earth.sol", SOON);
    let mut mallory = Mallory::join(&cluster, &alpha);
    let first = mallory.host.record();
    let mut records: Vec<Record> = vec![first];
    records.extend((0..4_200).map(|i| mallory.host.claim(&format!("n{i}"), 1)).collect::<Vec<_>>());
    // Of too many names the first in order are kept; this one is the last, and is refused.
    records.push(mallory.host.claim("zz", 1));
    mallory.push(records.clone()).await;
    let mut hosts = Vec::new();
    for host in 0..600u32 {
        let mut seed = [0xaa; 32];
        seed[..4].copy_from_slice(&host.to_le_bytes());
        mallory.host.key = SecretKey::from_seed(&seed);
        hosts.push(mallory.host.record());
    }
    mallory.push(hosts.clone()).await;
    let begin = Instant::now();
    let known = loop {
        let names: mesher_control::types::Names = alpha.ask(&mesher_control::Call::Names {});
        let known = alpha.status().peers.len();
        if (names.names.len() >= 4_097 && known >= 601) || begin.elapsed() > 3 * SOON {
            break (names.names.len(), known);
        }
        // Nothing tells whether a message arrived: on a busy machine some do not.
        if names.names.len() < 4_097 {
            mallory.push(records.clone()).await;
        }
        if known < 601 {
            mallory.push(hosts.clone()).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    assert_eq!(known, (4_097, 601), "4,096 names of the attacker's and one of alpha's; its hosts");
    assert!(alpha.log().contains("4,096 names"), "{}", alpha.log());
    unharmed(&alpha, "earth.sol");
    mallory.handle.shutdown().await;
}

impl Mallory {
    /// The settings of the first revision, as every member has them.
    fn overhear_settings(&self, cluster: &Cluster) -> String {
        let file = cluster.dir.path().join("network.settings");
        let settings = mesher_config::settings::read(&file, &self.host.network).unwrap();
        Record::Settings(settings).carrier_value()
    }
}

fn own_settings() -> SettingsBody {
    SettingsBody { revision: 99, allow_loopback: true, ..SettingsBody::new("sol".parse().unwrap(), 3_000) }
}

/// A certificate for `host`, called mallory, on earth, for an hour.
fn certificate(host: HostKey) -> CertificateBody {
    let now = now_ms();
    CertificateBody {
        host,
        label: "mallory".parse().unwrap(),
        patterns: vec!["earth".parse().unwrap()],
        not_before_ms: now - 60_000,
        not_after_ms: now + 3_600_000,
        serial: now,
    }
}
