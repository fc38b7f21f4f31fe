//! The main job on one machine: three real daemons on loopback, their tables watched as a reader would.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, Daemon};

const SOON: Duration = Duration::from_secs(10);

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
    let cluster = Cluster::new(17_946, 6_000);
    let [mut alpha, mut beta, mut gamma] = planets(&cluster);

    // A restart well inside the TTL: nobody sees a difference.
    gamma.stop();
    gamma.start();
    gamma.wait_for("saturn.sol", Some(gamma.address), Duration::from_secs(2));
    std::thread::sleep(Duration::from_secs(2));
    alpha.wait_for("saturn.sol", Some(gamma.address), Duration::ZERO);

    alpha.kill();
    for daemon in [&beta, &gamma] {
        daemon.wait_for("mercury.sol", None, Duration::from_secs(8));
        daemon.wait_for("earth.sol", Some(gamma.address), Duration::from_secs(1));
        daemon.wait_for("mars.sol", Some(beta.address), Duration::ZERO);
    }
    beta.stop();
    assert_eq!(beta.lookup("saturn.sol"), [gamma.address], "for two seconds after a stop the names live");
    std::thread::sleep(Duration::from_millis(2_300));
    assert!(beta.lookup("saturn.sol").is_empty(), "and no longer");

    alpha.start();
    for daemon in [&alpha, &gamma] {
        daemon.wait_for("mercury.sol", Some(alpha.address), SOON);
        daemon.wait_for("earth.sol", Some(gamma.address), Duration::from_secs(1));
    }
}
