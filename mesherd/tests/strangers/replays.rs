//! What was recorded, sent once more: at once, after minutes, after days.

use std::time::{Duration, Instant};

use mesher_control::Call;
use mesher_control::types::{Names, PeerState};

use crate::attack::clock::Clock;
use crate::attack::stranger::{Forger, Recorded, Recorder, in_namespace, v4};
use crate::cluster::{Cluster, Daemon};
use crate::{SOON, STRANGER, claim, two};

/// Sends what was recorded towards a daemon once more, from where it came, and waits until it has looked at all of it.
fn replay(recorded: &[Recorded], daemon: &Daemon) {
    let to = v4(daemon.address, 7_946);
    for datagram in recorded.iter().filter(|datagram| datagram.to == to) {
        Forger::new(*datagram.from.ip()).send(datagram.from.port(), datagram.to, &datagram.bytes);
        std::thread::sleep(Duration::from_micros(500));
    }
    wait_looked_at(daemon);
}

/// Waits until a daemon has looked at every datagram that has come so far: one that is dropped stands behind them all.
fn wait_looked_at(daemon: &Daemon) {
    let dropped = || daemon.metric("mesher_gossip_not_ours_total");
    let (before, begin) = (dropped(), Instant::now());
    Forger::new(STRANGER).send(1, v4(daemon.address, 7_946), b"marker");
    while dropped() == before {
        assert!(begin.elapsed() < SOON, "a datagram was never looked at: {}", daemon.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Who holds a name, as the daemon says: a table whose lease is on a clock of the future is not believed.
fn holder(daemon: &Daemon, name: &str) -> Option<String> {
    let names: Names = daemon.ask(&Call::Names {});
    names.names.into_iter().find(|one| one.name == name).and_then(|one| one.holder)
}

#[track_caller]
fn wait_holder(daemon: &Daemon, name: &str, wanted: Option<&str>) {
    let begin = Instant::now();
    while holder(daemon, name).as_deref() != wanted {
        assert!(
            begin.elapsed() < SOON,
            "{name}: {:?}, expected {wanted:?}\n{}",
            holder(daemon, name),
            daemon.log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How long ago beta was last heard at alpha, as alpha says; none if never.
fn last_heard(alpha: &Daemon) -> Option<Duration> {
    let peers = alpha.status().peers;
    let beta = peers.iter().find(|peer| peer.label == "beta")?;
    beta.last_contact_ms.map(Duration::from_millis)
}

/// What passes while beta claims a name and gives it up again: replayed, it would bring the name back, if it counted.
fn claim_and_release(cluster: &Cluster, alpha: &Daemon, beta: &Daemon, name: &str) -> Vec<Recorded> {
    let recorder = Recorder::start(cluster.port());
    let full = format!("{name}.sol");
    claim(beta, name);
    wait_holder(alpha, &full, Some("beta"));
    let _: serde_json::Value = beta.ask(&Call::Release { name: name.into() });
    wait_holder(alpha, &full, None);
    recorder.finish()
}

/// Whoever had been forgotten still is, and whoever had not was heard longer ago than before.
fn not_heard_since(before: Option<Duration>, now: Option<Duration>) -> bool {
    now.is_none() || before.is_some() && now > before
}

#[test]
fn recorded_traffic_is_worth_nothing_at_once_after_minutes_and_after_days() {
    in_namespace(|| {
        let cluster = Cluster::alone(3_600_000);
        let clock = Clock::new(cluster.dir.path(), "everybody's");
        let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
        let mut beta = cluster.daemon("beta", 2, &["mars"], &[1]);
        clock.give_to(&mut alpha);
        clock.give_to(&mut beta);
        let mut recorded = two(&cluster, &mut alpha, &mut beta);
        recorded.extend(claim_and_release(&cluster, &alpha, &beta, "venus"));
        beta.kill();
        let gone = |alpha: &Daemon, when: &str| {
            assert_eq!(holder(alpha, "venus.sol"), None, "{when}");
            let restarts = alpha.metric("mesher_gossip_carrier_restarts_total");
            assert_eq!(restarts, 0, "{when}");
        };

        // At once: nothing of it is taken for a sign of life.
        wait_looked_at(&alpha);
        std::thread::sleep(Duration::from_millis(300));
        let (heard, replayed) = (last_heard(&alpha).unwrap(), alpha.metric("mesher_gossip_replayed_total"));
        replay(&recorded, &alpha);
        assert!(last_heard(&alpha).unwrap() > heard, "a replay counts as hearing from beta");
        let taken_for_replays = alpha.metric("mesher_gossip_replayed_total") - replayed;
        assert!(taken_for_replays >= 5, "{taken_for_replays} datagrams were taken for replays");
        gone(&alpha, "at once");

        // After half an hour, when the daemon has forgotten what it saw.
        for minutes in [11, 11, 11] {
            clock.advance(Duration::from_secs(60 * minutes));
            std::thread::sleep(Duration::from_millis(300));
            let heard = last_heard(&alpha);
            replay(&recorded, &alpha);
            let now = last_heard(&alpha);
            assert!(
                not_heard_since(heard, now),
                "after {minutes} minutes more: {now:?} ago, {heard:?} before"
            );
            gone(&alpha, "after minutes");
        }
        assert_eq!(holder(&alpha, "mars.sol").as_deref(), Some("beta"));

        // After three days: beta's names have long run out.
        clock.advance(Duration::from_secs(3 * 86_400));
        wait_holder(&alpha, "mars.sol", None);
        let dead = |alpha: &Daemon, when: &str| {
            replay(&recorded, alpha);
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(holder(alpha, "mars.sol"), None, "{when}: {}", alpha.log());
            let beta = alpha.status().peers.into_iter().find(|peer| peer.label == "beta");
            assert!(beta.is_none_or(|beta| beta.state == PeerState::Expired), "{when}: {}", alpha.log());
            gone(alpha, when);
        };
        dead(&alpha, "after days");
        alpha.stop();
        alpha.start();
        alpha.wait_socket(SOON);
        wait_holder(&alpha, "earth.sol", Some("alpha"));
        dead(&alpha, "after days and a restart");
        // The worst case: alpha has lost all that it knew of beta, so any record of its would be news.
        alpha.kill();
        std::fs::remove_dir_all(alpha.dir.join("state")).unwrap();
        alpha.start();
        alpha.wait_socket(SOON);
        wait_holder(&alpha, "earth.sol", Some("alpha"));
        dead(&alpha, "after days, with the state lost");
        assert!(alpha.metric("mesher_gossip_unproven_total") > 5, "nothing was replayed");
        wait_holder(&alpha, "earth.sol", Some("alpha"));
    });
}
