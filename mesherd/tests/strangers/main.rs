//! Attacks from outside on running daemons, without the network's secret: floods, forgeries, replays.
//!
//! A stranger here sees every datagram and may send any under any address; what it lacks is the secret.

#![allow(unreachable_pub, reason = "modules of a test have no outside")]

#[path = "../attack/mod.rs"]
mod attack;
#[path = "../cluster/mod.rs"]
mod cluster;
mod floods;
mod many_sources;
mod replays;
mod watchdog;

use std::net::Ipv4Addr;
use std::time::Duration;

use attack::stranger::{Recorded, Recorder, v4};
use cluster::{Cluster, Daemon};
use mesher_control::Call;
use watchdog::Manager;

const SOON: Duration = Duration::from_secs(60);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// Alpha and beta, who know each other's names, and what passed between them until then.
fn two(cluster: &Cluster, alpha: &mut Daemon, beta: &mut Daemon) -> Vec<Recorded> {
    let recorder = Recorder::start(cluster.port());
    alpha.start_and_hold("earth.sol", SOON);
    beta.start_and_hold("mars.sol", SOON);
    alpha.wait_for("mars.sol", Some(beta.address), SOON);
    beta.wait_for("earth.sol", Some(alpha.address), SOON);
    let recorded = recorder.finish();
    let to_alpha = recorded.iter().filter(|datagram| datagram.to == v4(alpha.address, cluster.port()));
    assert!(to_alpha.count() > 5, "{} datagrams were recorded", recorded.len());
    recorded
}

/// Alpha under a watchdog, and beta, as [`two`] leaves them.
struct Watched {
    cluster: Cluster,
    alpha: Daemon,
    beta: Daemon,
    manager: Manager,
    recorded: Vec<Recorded>,
}

impl Watched {
    /// To be called in a namespace of the test's own.
    fn start() -> Self {
        let cluster = Cluster::alone(60_000);
        let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
        let mut beta = cluster.daemon("beta", 2, &["mars"], &[1]);
        let manager = Manager::watch(&mut alpha);
        let recorded = two(&cluster, &mut alpha, &mut beta);
        Self { cluster, alpha, beta, manager, recorded }
    }
}

fn claim(daemon: &Daemon, name: &str) {
    let _: serde_json::Value = daemon.ask(&Call::Claim { name: name.into() });
}
