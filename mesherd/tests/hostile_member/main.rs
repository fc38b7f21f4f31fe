//! A member that lies: it holds the network secret, and says to a running daemon whatever it likes.
//!
//! What it can do to the wire and to the carrier is tried closer to them, in `mesherd/src/gossip/wire/tests.rs` and
//! `mesherd/src/gossip/carrier/tests.rs`; `docs/threat-model.md` has the whole list.

#![allow(unreachable_pub, reason = "modules of a test have no outside")]

#[path = "../attack/mod.rs"]
mod attack;
#[path = "../cluster/mod.rs"]
mod cluster;
mod forged;
mod mallory;

use std::time::{Duration, Instant};

use attack::records::now_ms;
use cluster::{Cluster, Daemon};
use forged::{certificate, impossible_records, others_records, text};
use mallory::{MALLORY, Mallory};
use mesher_claims::keys::{HostKey, SecretKey};
use mesher_claims::record::{Admission, CertificateBody, Record, SettingsBody, Signed};

const SOON: Duration = Duration::from_secs(60);
/// The daemon runs, answers, keeps its name, and has not restarted its gossip.
#[track_caller]
fn unharmed(daemon: &Daemon, name: &str) {
    daemon.wait_for(name, Some(daemon.address), Duration::ZERO);
    assert_eq!(daemon.status().host.label, daemon.name);
    let metrics: mesher_control::types::Metrics = daemon.ask(&mesher_control::Call::Metrics {});
    assert!(metrics.text.contains("\nmesher_gossip_carrier_restarts_total 0\n"), "{}", daemon.log());
}

/// A network with one member, alpha, who holds earth, and mallory, who has just joined.
fn joined(claim_ttl_ms: u64) -> (Cluster, Daemon, Mallory) {
    let cluster = Cluster::new(claim_ttl_ms);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    alpha.start_and_hold("earth.sol", SOON);
    let mallory = Mallory::join(&cluster, &alpha);
    (cluster, alpha, mallory)
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
    let (cluster, alpha, mut mallory) = joined(60_000);
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
    let (_cluster, alpha, mut mallory) = joined(600_000);
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
