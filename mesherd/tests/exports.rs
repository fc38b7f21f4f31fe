//! The exports of a running daemon, as a foreign resolver reads them.

mod cluster;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cluster::Cluster;

const SOON: Duration = Duration::from_secs(30);

/// What unbound's library answers from the zone file: the addresses, or an empty list.
fn ask_unbound(directory: &Path, name: &str) -> Vec<String> {
    let configuration = directory.join("unbound.conf");
    let text = format!(
        "server:\n directory: \"{0}\"\n chroot: \"\"\n username: \"\"\nauth-zone:\n name: \"sol\"\n zonefile: \"{0}/zone\"\n \
         for-downstream: yes\n for-upstream: yes\n fallback-enabled: no\n",
        directory.display()
    );
    std::fs::write(&configuration, text).unwrap();
    let output = Command::new("unbound-host").arg("-C").arg(&configuration).arg(name).output();
    let output = output.expect("unbound-host is needed (Debian: unbound-host)");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found: Vec<String> = text
        .lines()
        .filter(|line| line.contains(" address "))
        .filter_map(|line| line.rsplit(' ').next().map(str::to_owned))
        .collect();
    found.sort();
    found
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn unbound_answers_from_the_zone_that_follows_the_names() {
    let cluster = Cluster::new(17_982, 60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth", "*.earth", "under_score"], &[]);
    let (zone, metrics) = (alpha.dir.join("zone"), alpha.dir.join("mesher.prom"));
    let config = alpha.dir.join("config.toml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    text += &format!("[exports]\nzone = {zone:?}\nmetrics = {metrics:?}\n");
    std::fs::write(&config, &text).unwrap();
    alpha.start();
    alpha.wait_for("earth.sol", Some(alpha.address), SOON);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    wait_until("the zone has the name", || read(&zone).contains("earth 5 IN A 127.0.0.1"));
    for (name, addresses) in [
        ("earth.sol", &["127.0.0.1"][..]),
        ("EARTH.sol", &["127.0.0.1"]),
        ("moon.earth.sol", &["127.0.0.1"]),
        ("under_score.sol", &["127.0.0.1"]),
        ("mars.sol", &[]),
    ] {
        assert_eq!(ask_unbound(&alpha.dir, name), addresses, "{name}\n{}", read(&zone));
    }
    // A new name and a new address reach the zone, under a higher serial.
    let serial = |text: &str| mesherd::exports::formats::serial_of(text).unwrap();
    let before = serial(&read(&zone));
    let text = text
        .replace("\"under_score\"", "\"mars\"")
        .replace("addresses = [\"127.0.0.1\"]", "addresses = [\"::1\", \"127.0.0.9\"]");
    std::fs::write(&config, text).unwrap();
    alpha.reload();
    wait_until("the zone has followed", || read(&zone).contains("mars 5 IN AAAA ::1"));
    assert_eq!(ask_unbound(&alpha.dir, "mars.sol"), ["127.0.0.9", "::1"]);
    assert!(ask_unbound(&alpha.dir, "under_score.sol").is_empty());
    assert!(serial(&read(&zone)) > before);

    wait_until("the metrics are there", || read(&metrics).contains("\nmesher_names_held "));
    alpha.stop();
    assert!(!metrics.exists(), "metrics of a daemon that is not there");
    assert!(zone.exists(), "names are kept for their readers over a restart");
}
