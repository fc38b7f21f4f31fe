//! The main job on one machine: three real daemons on loopback, their tables watched as a reader would.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, Daemon};
use mesher_table::{Deadline, TableFile};
use mesherd::publish::LEASE_AFTER_STOP;

/// Nothing here takes nearly as long, but a machine may have much else to do.
const SOON: Duration = Duration::from_secs(60);
/// Long enough for a restart to be well inside it on a busy machine.
const TTL: Duration = Duration::from_secs(15);

fn planets(cluster: &Cluster) -> [Daemon; 3] {
    let mut alpha = cluster.daemon("alpha", 1, &["mercury", "venus", "earth"], &[1, 2, 3]);
    let mut beta = cluster.daemon("beta", 2, &["mars", "jupiter"], &[1]);
    let mut gamma = cluster.daemon("gamma", 3, &["earth", "saturn"], &[1, 3]);
    alpha.start();
    alpha.wait_for("earth.sol", Some(alpha.address), SOON);
    beta.start();
    gamma.start();
    for daemon in [&alpha, &beta, &gamma] {
        for (name, holder) in
            [("earth.sol", &alpha), ("mars.sol", &beta), ("SATURN.sol", &gamma), ("venus.sol", &alpha)]
        {
            daemon.wait_for(name, Some(holder.address), SOON);
        }
    }
    [alpha, beta, gamma]
}

#[test]
fn names_pass_on_when_their_holder_is_gone_and_a_short_absence_costs_nothing() {
    let cluster = Cluster::new(u64::try_from(TTL.as_millis()).unwrap());
    let [mut alpha, mut beta, mut gamma] = planets(&cluster);

    // A restart well inside the TTL: nobody sees a difference.
    gamma.stop();
    gamma.start();
    gamma.wait_for("saturn.sol", Some(gamma.address), SOON);
    std::thread::sleep(Duration::from_secs(2));
    alpha.wait_for("saturn.sol", Some(gamma.address), Duration::ZERO);

    alpha.kill();
    for daemon in [&beta, &gamma] {
        daemon.wait_for("mercury.sol", None, TTL + SOON);
        daemon.wait_for("earth.sol", Some(gamma.address), SOON);
        daemon.wait_for("mars.sol", Some(beta.address), Duration::ZERO);
    }
    // The names live for two seconds after a stop, whenever in it their lease was set, and no longer.
    let earliest = Deadline::after(LEASE_AFTER_STOP).to_word() - 1;
    beta.stop();
    let latest = Deadline::after(LEASE_AFTER_STOP).to_word();
    let table = TableFile::open(beta.dir.join("run/hosts.table")).unwrap();
    assert_eq!(table.find("saturn.sol").unwrap().unwrap().v4, [gamma.address]);
    let deadline = table.header().unwrap().deadline.to_word();
    assert!((earliest..=latest).contains(&deadline), "{deadline}, expected {earliest} to {latest}");
    beta.wait_for("saturn.sol", None, SOON);

    alpha.start();
    for daemon in [&alpha, &gamma] {
        daemon.wait_for("mercury.sol", Some(alpha.address), SOON);
        daemon.wait_for("earth.sol", Some(gamma.address), SOON);
    }
}
