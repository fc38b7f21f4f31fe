//! Witnesses, with running daemons: a member that back-dates, no witness in reach, a witness whose clock is wrong.

mod attack;
mod cluster;

use std::time::Duration;

use attack::clock::Clock;
use attack::member::{APPLICATION, Member};
use attack::records::{Host, give_key, now_ms, pushes};
use cluster::{Cluster, Daemon};
use mesher_claims::keys::HostKey;
use mesher_claims::record::{Record, Signed, StatementBody};
use mesher_control::Call;
use mesher_control::types::{Claimant, Explanation, Standing};

const SOON: Duration = Duration::from_secs(60);
/// The last number of the attacker's address.
const MALLORY: u8 = 9;
const DAY_S: i64 = 86_400;

fn running(daemon: &mut Daemon) {
    daemon.start();
    daemon.wait_socket(SOON);
}

/// A network whose witnesses have these keys.
fn network(ttl_ms: u64, witnesses: &[HostKey]) -> Cluster {
    let cluster = Cluster::new(ttl_ms);
    cluster.write_settings_with(1, |settings| settings.witnesses = witnesses.to_vec());
    cluster
}

/// The keys of two witnesses, as `give_key` makes them.
fn keys() -> [HostKey; 2] {
    [[11; 32], [12; 32]].map(|seed| mesher_claims::keys::SecretKey::from_seed(&seed).host_key())
}

/// What a daemon says of a label's claim on a name.
fn claimant(daemon: &Daemon, name: &str, label: &str) -> Option<Claimant> {
    let explained = daemon.try_ask::<Explanation>(&Call::Explain { name: name.into() }).ok()?;
    explained.claimants.into_iter().find(|claimant| claimant.label == label)
}

#[track_caller]
fn wait_claimant(daemon: &Daemon, name: &str, label: &str, wanted: impl Fn(&Claimant) -> bool) -> Claimant {
    let begin = std::time::Instant::now();
    loop {
        let found = claimant(daemon, name, label);
        if let Some(found) = found.as_ref().filter(|found| wanted(found)) {
            return found.clone();
        }
        assert!(begin.elapsed() < SOON, "{name} of {label}: {found:?}\n{}", daemon.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_back_dated_claim_takes_no_name_that_witnesses_saw_earlier() {
    let cluster = network(60_000, &keys());
    let mut first = cluster.daemon("first", 1, &[], &[1, 2]);
    let mut second = cluster.daemon("second", 2, &[], &[1]);
    give_key(&first, [11; 32]);
    give_key(&second, [12; 32]);
    running(&mut first);
    running(&mut second);
    let mut alpha = cluster.daemon("alpha", 3, &["earth"], &[1, 2]);
    running(&mut alpha);
    for daemon in [&first, &second, &alpha] {
        daemon.wait_for("earth.sol", Some(alpha.address), SOON);
    }
    // Without witnesses the first of these would take the name: a claim of the year 1970.
    let mut mallory = Host::new(cluster.key.network_id(), [66; 32], "mallory", cluster.ip(MALLORY));
    for (number, daemon) in (MALLORY..).zip([&first, &second, &alpha]) {
        let mut member = Member::join(&cluster, mallory.host_key(), cluster.at_port(number), daemon);
        let claim = mallory.claim("earth", 1);
        // It vouches for itself, too, which only witnesses may.
        let seq = mallory.next_seq();
        let statement = Record::Statement(Signed::sign(
            &mallory.network,
            &mallory.key,
            StatementBody {
                witness: mallory.host_key(),
                host: mallory.host_key(),
                name: "earth".parse().unwrap(),
                epoch: 1,
                at: 1,
                void: false,
                seq,
            },
        ));
        for message in pushes(vec![claim, statement, mallory.record()]) {
            member.say(APPLICATION, &message);
        }
    }
    // The witnesses sign it, as they sign every claim: behind the one they saw before.
    for daemon in [&first, &second, &alpha] {
        let waiting =
            wait_claimant(daemon, "earth", "mallory", |claimant| claimant.standing == Standing::Waiting);
        let holder = claimant(daemon, "earth", "alpha").unwrap();
        assert_eq!((holder.standing, waiting.epoch_unix_ms), (Standing::Holder, 1));
        assert!(waiting.rank_unix_ms > holder.rank_unix_ms);
        daemon.wait_for("earth.sol", Some(alpha.address), Duration::ZERO);
    }
}

#[test]
fn with_all_witnesses_away_held_names_stay_and_new_claims_wait_and_say_so() {
    let cluster = network(600_000, &keys());
    let clock = Clock::new(cluster.dir.path(), "everybody's");
    let mut first = cluster.daemon("first", 1, &[], &[1, 2]);
    let mut second = cluster.daemon("second", 2, &[], &[1]);
    clock.give_to(&mut first);
    clock.give_to(&mut second);
    give_key(&first, [11; 32]);
    give_key(&second, [12; 32]);
    running(&mut first);
    running(&mut second);
    let mut alpha = cluster.daemon("alpha", 3, &["earth"], &[1, 4]);
    let mut beta = cluster.daemon("beta", 4, &["mars"], &[1, 3]);
    clock.give_to(&mut alpha);
    clock.give_to(&mut beta);
    running(&mut alpha);
    running(&mut beta);
    for daemon in [&alpha, &beta] {
        daemon.wait_for("earth.sol", Some(alpha.address), SOON);
        daemon.wait_for("mars.sol", Some(beta.address), SOON);
    }
    first.kill();
    second.kill();
    let claimed: serde_json::Value = beta.ask(&Call::Claim { name: "venus".into() });
    assert_eq!(claimed["held"], false);
    let status = beta.wait_status("word on the waiting claim", SOON, |status| {
        status.sentence.contains("venus, no witness has seen it")
    });
    assert!(
        status.warnings.iter().any(|w| w.contains("not witnessed: venus (none of the network's 2 witnesses")),
        "{:?}",
        status.warnings
    );
    let reason = wait_claimant(&alpha, "venus", "beta", |_| true).reason;
    assert_eq!(reason.as_deref(), Some("no witness has signed it yet"));

    // Half an hour goes by: three times the lease of the witnesses, and twice what the carrier passes on of who is away.
    for _ in 0..6 {
        clock.advance(Duration::from_secs(300));
        let begin = std::time::Instant::now();
        while begin.elapsed() < Duration::from_secs(1) {
            for daemon in [&alpha, &beta] {
                daemon.wait_for("earth.sol", Some(alpha.address), Duration::ZERO);
                daemon.wait_for("mars.sol", Some(beta.address), Duration::ZERO);
                daemon.wait_for("venus.sol", None, Duration::ZERO);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // Renewed, or the next step would end the leases.
        for (daemon, peer) in [(&alpha, "beta"), (&beta, "alpha")] {
            daemon.wait_status("renewal", SOON, |status| {
                status.peers.iter().any(|p| p.label == peer && p.age_ms.is_some_and(|age| age < 60_000))
            });
        }
    }
    // Nor by a restart, nor for one that comes when the witnesses are long gone.
    alpha.stop();
    running(&mut alpha);
    alpha.wait_for("earth.sol", Some(alpha.address), SOON);
    let mut gamma = cluster.daemon("gamma", 5, &[], &[3, 4]);
    clock.give_to(&mut gamma);
    running(&mut gamma);
    gamma.wait_for("earth.sol", Some(alpha.address), SOON);
    gamma.wait_for("mars.sol", Some(beta.address), SOON);
    beta.wait_for("earth.sol", Some(alpha.address), Duration::ZERO);

    // A witness is back: what waited gets its turn.
    running(&mut second);
    for daemon in [&alpha, &beta, &gamma] {
        daemon.wait_for("venus.sol", Some(beta.address), SOON);
        daemon.wait_for("earth.sol", Some(alpha.address), Duration::ZERO);
    }
    beta.wait_status("end of the warning", SOON, |status| status.warnings.is_empty());
}

#[test]
fn a_witness_with_a_wrong_clock_is_outvoted_and_reported() {
    for (ahead_s, words) in [(DAY_S, "ahead of"), (-DAY_S, "behind")] {
        let cluster = network(60_000, &keys());
        let clock = Clock::new(cluster.dir.path(), "wrong");
        clock.set_wall_ahead(ahead_s);
        let mut honest = cluster.daemon("honest", 1, &[], &[1, 2, 3]);
        let mut alpha = cluster.daemon("alpha", 3, &["earth"], &[1]);
        let mut wrong = cluster.daemon("wrong", 2, &[], &[1]);
        give_key(&honest, [11; 32]);
        give_key(&wrong, [12; 32]);
        clock.give_to(&mut wrong);
        running(&mut honest);
        running(&mut alpha);
        alpha.wait_for("earth.sol", Some(alpha.address), SOON);
        running(&mut wrong);
        wrong.wait_for("earth.sol", Some(alpha.address), SOON);

        // A member back-dates a claim on the held name, and tells the witness with the wrong clock first.
        let mut mallory = Host::new(cluster.key.network_id(), [66; 32], "mallory", cluster.ip(MALLORY));
        let messages = pushes(vec![mallory.claim("earth", 1), mallory.claim("moon", 1), mallory.record()]);
        for (number, daemon) in (MALLORY..).zip([&wrong, &honest, &alpha]) {
            let mut member = Member::join(&cluster, mallory.host_key(), cluster.at_port(number), daemon);
            for message in &messages {
                member.say(APPLICATION, message);
            }
            wait_claimant(daemon, "earth", "mallory", |_| true);
        }
        for daemon in [&wrong, &honest, &alpha] {
            let waiting = wait_claimant(daemon, "earth", "mallory", |c| c.standing == Standing::Waiting);
            let holder = claimant(daemon, "earth", "alpha").unwrap();
            assert!(holder.standing == Standing::Holder && holder.rank_unix_ms < waiting.rank_unix_ms);
            // The honest witness's time counts, not the one of tomorrow.
            assert!(holder.rank_unix_ms.abs_diff(now_ms()) < 120_000, "{words}: {holder:?}");
            daemon.wait_for("earth.sol", Some(alpha.address), Duration::ZERO);
        }
        if ahead_s > 0 {
            let moon = wait_claimant(&honest, "moon", "mallory", |c| c.standing == Standing::Holder);
            assert!(moon.rank_unix_ms < now_ms() + 120_000, "{moon:?}");
        }
        // And everybody is told.
        for daemon in [&honest, &alpha] {
            let begin = std::time::Instant::now();
            while !daemon.log().contains(&format!("the clock of wrong is 1d {words} the mesh's")) {
                assert!(begin.elapsed() < SOON, "{words}: {}", daemon.log());
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}
