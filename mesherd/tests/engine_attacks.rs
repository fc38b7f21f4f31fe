//! A lying member against the carrier's engine, on running daemons: every row of the attack table in `docs/gossip.md`.
//!
//! After each attack the victim's next claim must reach the other daemon, and in the end all of them must reach those who
//! join later, even from the one that was lied to, and while the victim is away.

mod attack;
mod cluster;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use attack::carrier::{Delta, Entry, Run, ack, invented, read_digest, read_records, record, syn, syn_ack};
use attack::member::{APPLICATION, CARRIER, MAX_PIECE, Member};
use attack::records::{Host, now_ms, pushes};
use attack::seeded;
use cluster::Cluster;
use mesher_control::Call;

const SOON: Duration = Duration::from_secs(60);
/// The last number of the attacker's address.
const MALLORY: u8 = 9;
const MIB: u64 = 1 << 20;

/// What the attacker has learnt of the victim.
struct Known {
    victim: Entry,
    /// A claim that the victim signed.
    genuine: String,
    own: Run,
}

impl Known {
    fn of_victim(&self, heartbeat: u64, max_version: u64) -> Entry {
        Entry { run: self.victim.run, heartbeat, max_version }
    }

    fn own_entry(&self) -> Entry {
        Entry { run: self.own, heartbeat: 3, max_version: 0 }
    }

    /// Records filed under the victim, above all that it has said.
    fn as_victim(&self, records: Vec<(Vec<u8>, Vec<u8>, u64)>) -> Vec<u8> {
        let from = self.victim.max_version;
        let top = from + records.iter().map(|(_, _, step)| step).sum::<u64>();
        syn_ack(
            &[self.of_victim(self.victim.heartbeat, top)],
            &[Delta { run: self.victim.run, from, records }],
        )
    }
}

/// Asks a daemon for its digest and records, as a member may.
fn learn(member: &mut Member, own: Run, victim: SocketAddr) -> Known {
    member.say(CARRIER, &syn(&[Entry { run: own, heartbeat: 3, max_version: 0 }]));
    let (entry, genuine) = member.wait_message(CARRIER, |message| {
        let entry = read_digest(message)?.into_iter().find(|entry| entry.run.addr == victim)?;
        let genuine = read_records(message)?.into_iter().find(|(key, _)| key == "c/earth")?;
        Some((entry, genuine.1))
    });
    Known { victim: entry, genuine, own }
}

/// The attacks, each the messages it takes.
fn attacks(known: &Known, rng: &mut fastrand::Rng) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let own = |records| {
        let deltas = [Delta { run: known.own, from: 0, records }];
        syn_ack(&[known.own_entry()], &deltas)
    };
    let forged =
        |value: &str| vec![record("c/earth", value, 5), record("s", value, 1), record("c/new", value, 1)];
    let mut zero_records =
        ack(&[Delta { run: known.victim.run, from: 0, records: vec![record("s", "", 1)] }]);
    // From a version far below, and then no record: what SetMaxVersion would be.
    zero_records.truncate(zero_records.len() - 5);
    zero_records.push(0);
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
    let other_runs: Vec<Entry> = (0..100)
        .map(|n| Entry {
            run: Run { generation: known.victim.run.generation + 1 + n, ..known.victim.run },
            heartbeat: 9,
            max_version: 9,
        })
        .collect();
    vec![
        ("key of a multi-byte character", vec![own(vec![record("é", "", 1), record("c/é", "x", 1)])]),
        ("key of nothing", vec![own(vec![record("", "", 1)])]),
        ("no text at all", vec![own(vec![(vec![0xff, 0xfe], vec![0xff], 1)])]),
        ("highest version below", vec![zero_records]),
        ("digest flood", (0..4).map(|_| syn(&invented(rng, 1_200))).collect()),
        ("forged value", vec![known.as_victim(forged("1AAAA"))]),
        ("tombstone", vec![known.as_victim(forged(""))]),
        (
            "old value as if it were new",
            vec![known.as_victim(vec![record("c/earth", &known.genuine, 1 << 20)])],
        ),
        (
            "version without end",
            vec![
                syn(&[known.of_victim(known.victim.heartbeat, u64::MAX)]),
                known.as_victim(vec![record("c/earth", &known.genuine, u64::MAX - known.victim.max_version)]),
                own(vec![record("s", "x", u64::MAX)]),
            ],
        ),
        ("heartbeat without end", vec![syn(&[known.of_victim(u64::MAX, 1)])]),
        ("version and heartbeat as high as they may be", vec![syn(&[known.of_victim(1 << 40, 1 << 40)])]),
        (
            "version and heartbeat overstated",
            vec![syn(&[known.of_victim(known.victim.heartbeat + 1_000, known.victim.max_version + 1_000)])],
        ),
        ("later runs of the victim", vec![syn(&other_runs)]),
        (
            "compressed to a thousandth",
            vec![bomb.clone(), [&[1][..], &bomb].concat(), [&[3][..], &bomb].concat()],
        ),
    ]
}

#[test]
fn no_row_of_the_attack_table_stops_the_victims_claims() {
    let cluster = Cluster::new(90_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    let mut beta = cluster.daemon("beta", 2, &["mars"], &[1]);
    alpha.start_and_hold("earth.sol", SOON);
    beta.start_and_hold("mars.sol", SOON);
    beta.wait_for("earth.sol", Some(alpha.address), SOON);
    let mallory = Host::new(cluster.key.network_id(), [66; 32], "mallory", cluster.ip(MALLORY));
    let own = Run {
        node: mesher_claims::keys::NodeId::from(mallory.host_key()).0,
        generation: now_ms(),
        addr: cluster.at_port(MALLORY),
    };
    // One session lies to the victim, the other to beta about the victim.
    let mut to_alpha = Member::join(&cluster, mallory.host_key(), cluster.at_port(MALLORY), &alpha);
    let mut to_beta = Member::join(&cluster, mallory.host_key(), cluster.at_port(MALLORY + 1), &beta);
    let victim = SocketAddr::new(alpha.address, cluster.port());
    let before = [alpha.memory().0, beta.memory().0];
    let mut rng = seeded();
    let known = learn(&mut to_beta, own, victim);
    let rows = attacks(&known, &mut rng).len();
    for row in 0..rows {
        // Anew each time: the victim's numbers have moved on.
        let known = learn(&mut to_beta, own, victim);
        let (what, messages) = attacks(&known, &mut rng).swap_remove(row);
        for message in &messages {
            to_alpha.say(CARRIER, message);
            to_beta.say(CARRIER, message);
        }
        let name = format!("after-{row}");
        let _: serde_json::Value = alpha.ask(&Call::Claim { name: name.clone() });
        eprintln!("{what}");
        beta.wait_for(&format!("{name}.sol"), Some(alpha.address), SOON);
        alpha.assert_unharmed("earth.sol");
        beta.assert_unharmed("mars.sol");
    }
    for (daemon, before) in [&alpha, &beta].into_iter().zip(before) {
        assert!(
            daemon.memory().1 < before + 16 * MIB,
            "{} KiB, {} before",
            daemon.memory().1 >> 10,
            before >> 10
        );
    }
    // Who joins later, from the one that was lied to.
    let mut gamma = cluster.daemon("gamma", 3, &["saturn"], &[2]);
    gamma.start_and_hold("saturn.sol", SOON);
    let all: Vec<String> =
        (0..rows).map(|row| format!("after-{row}.sol")).chain(["earth.sol".to_owned()]).collect();
    for name in &all {
        gamma.wait_for(name, Some(alpha.address), SOON);
    }
    // And while the victim is away, from one that was lied to itself.
    alpha.stop();
    let mut delta = cluster.daemon("delta", 4, &["pluto"], &[3]);
    delta.start_and_hold("pluto.sol", SOON);
    for name in &all {
        delta.wait_for(name, Some(alpha.address), SOON);
    }
}

#[test]
fn pieces_that_never_make_a_message_and_messages_too_long_cost_a_bounded_sum() {
    let cluster = Cluster::new(60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    alpha.start_and_hold("earth.sol", SOON);
    let before = alpha.memory().0;
    let host = Host::new(cluster.key.network_id(), [66; 32], "mallory", cluster.ip(MALLORY)).host_key();
    let full = [7; MAX_PIECE];
    let counts =
        || (alpha.metric("mesher_gossip_no_room_total"), alpha.metric("mesher_gossip_malformed_total"));
    // Ten times; on a busy machine, which loses much of it before the daemon sees it, more often.
    for source in 0..100u8 {
        if source >= 10 && counts().0 > 3_000 && counts().1 > 3_000 {
            break;
        }
        let mut member = Member::join(&cluster, host, cluster.at_port(100 + source), &alpha);
        for id in 0..1_200u32 {
            let piece = member.piece(if id % 2 == 0 { CARRIER } else { APPLICATION }, id, 0, 238, &full);
            member.send(&piece);
            if id % 32 == 31 {
                std::thread::sleep(Duration::from_millis(4));
            }
        }
        alpha.assert_unharmed("earth.sol");
        // A value of a mebibyte: no message is that long.
        member.say(APPLICATION, &vec![1; 1 << 20]);
    }
    let (refused, malformed) = counts();
    eprintln!(
        "{refused} pieces found no room, {malformed} were malformed; {} KiB before, {} KiB at most",
        before >> 10,
        alpha.memory().1 >> 10
    );
    assert!(refused > 3_000, "{refused} pieces found no room");
    assert!(malformed > 3_000, "{malformed} pieces of messages too long were refused");
    assert!(alpha.memory().1 < before + 16 * MIB, "{} KiB at most", alpha.memory().1 >> 10);
    // Its time over, the memory is free for others.
    let begin = Instant::now();
    while alpha.metric("mesher_gossip_unfinished_total") <= 1_000 {
        assert!(begin.elapsed() < SOON, "{} given up", alpha.metric("mesher_gossip_unfinished_total"));
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut beta = cluster.daemon("beta", 2, &["mars"], &[1]);
    beta.start_and_hold("mars.sol", SOON);
    alpha.wait_for("mars.sol", Some(beta.address), SOON);
}

#[test]
fn loopback_addresses_of_a_member_are_kept_out_of_the_table() {
    let cluster = Cluster::new(60_000);
    cluster.write_settings_with(1, |settings| settings.allow_loopback = false);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    alpha.start();
    alpha.wait_socket(SOON);
    let mut mallory = Host::new(cluster.key.network_id(), [66; 32], "mallory", cluster.ip(MALLORY));
    mallory.addresses.push(IpAddr::from([192, 0, 2, 9]));
    let mut member = Member::join(&cluster, mallory.host_key(), cluster.at_port(MALLORY), &alpha);
    let records = vec![mallory.claim("trap", 5), mallory.record()];
    for message in pushes(records) {
        member.say(APPLICATION, &message);
    }
    alpha.wait_for("trap.sol", Some(IpAddr::from([192, 0, 2, 9])), SOON);
}
