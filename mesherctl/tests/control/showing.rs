//! The commands that show what the daemon knows.

use mesher_control::types::*;
use serde_json::{Value, json};

use crate::peer::{name, status, succeed};

#[test]
fn status_tells_everything_at_a_glance() {
    let (request, text) = succeed(&["status"], serde_json::to_value(status()).unwrap());
    assert_eq!(request["method"], "org.datamesher.mesherd.Status");
    for words in [
        "sol: 2 peers, 3 names, 1 waited for (earth, held by gamma); table 17",
        "network  THE-ID",
        "settings  domain sol, claim TTL 24 h, open to all that hold the secret, revision 3",
        "host  alpha: 192.168.1.1",
        "secret  0a0a0a0a seals, 2 open; 1 peer seals with another",
        "certificate  alpha, until 2026-11-22 13:30:24 UTC: alpha *.alpha",
        "warning  this machine's certificate expires soon",
        "table  /run/data-mesher/hosts.table: generation 17, 8 names",
        "beta",
        "0.4 s ago",
        "clock 2 min behind",
        "venus.sol  (claimed at run time)",
        "earth.sol  held by gamma",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "control characters of a peer's label: {text:?}");
}

#[test]
fn json_is_what_the_interface_says() {
    let value = serde_json::to_value(status()).unwrap();
    let (_, text) = succeed(&["status", "--json"], value.clone());
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    let (_, text) = succeed(&["--json", "peers"], json!({"peers": []}));
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"peers": []}));
}

#[test]
fn peers_and_names_are_tables() {
    let (_, text) = succeed(&["peers"], json!({"peers": status().peers}));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("  PEER"), "{text}");
    assert!(
        lines[1].contains("beta") && lines[1].contains("alive") && lines[1].contains("192.168.1.2:7946"),
        "{text}"
    );
    let (_, text) = succeed(&["names"], json!({"names": [name("mars.sol", None, false, None)]}));
    assert!(text.contains("mars.sol  nobody"), "{text}");
}

#[test]
fn explain_joins_what_the_daemon_knows_and_what_programs_get() {
    let claimant = |label: &str, standing, reason: Option<&str>| Claimant {
        name: "localhost".into(),
        label: label.into(),
        key: "key".into(),
        standing,
        reason: reason.map(str::to_owned),
        epoch_unix_ms: 1_795_354_224_000,
        rank_unix_ms: 1_795_354_224_000,
        lease_left_ms: Some(5_000),
        addresses: vec!["127.0.0.1".into()],
        this_machine: label == "alpha",
    };
    let explanation = Explanation {
        name: "localhost".into(),
        rule: "gamma's claim is the earliest".into(),
        claimants: vec![
            claimant("gamma", Standing::Holder, None),
            claimant("alpha", Standing::Waiting, None),
            claimant("delta", Standing::NotCounted, Some("its host is revoked")),
        ],
        table: Some(TableEntry {
            canonical: "localhost".into(),
            addresses: vec!["127.0.0.1".into()],
            ttl_s: 1,
            wildcard: false,
        }),
    };
    let answer = serde_json::to_value(&explanation).unwrap();
    let (request, text) = succeed(&["explain", "localhost"], answer.clone());
    assert_eq!(request["parameters"], json!({"name": "localhost"}));
    for words in [
        "gamma's claim is the earliest",
        "holds it",
        "alpha (this machine)  waits",
        "2026-11-22 13:30:24 UTC",
        "5.0 s left",
        "delta: its host is revoked",
        "table        localhost: 127.0.0.1",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    // Every machine knows this name itself.
    assert!(
        text.lines().any(|line| line.trim_start().starts_with("getaddrinfo") && line.contains("127.0.0.1")),
        "{text}"
    );
    let (_, text) = succeed(&["explain", "localhost", "--json"], answer);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["claimants"][1]["label"], "alpha");
    assert!(
        json["getaddrinfo"].as_array().is_some_and(|addresses| addresses.contains(&"127.0.0.1".into())),
        "{text}"
    );
}
