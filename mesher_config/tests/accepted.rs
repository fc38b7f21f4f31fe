//! Right configurations: what each key becomes, its default, and that what is written is read back.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use mesher_claims::names::ClaimName;
use mesher_config::{BootstrapNode, Config, LoadError, LogLevel, parse};

const MINIMAL: &str = "[network]\nid = \"6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=\"\n";
const FULL: &str = include_str!("full.toml");

fn address(text: &str) -> BootstrapNode {
    BootstrapNode::Address(text.parse::<SocketAddr>().unwrap())
}

#[test]
fn only_the_id_is_needed_and_the_rest_has_the_documented_defaults() {
    let config = parse(MINIMAL, "alpha.example.org").unwrap();
    assert_eq!(config.log_level, LogLevel::Info);
    assert_eq!(config.network.id.to_string(), "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=");
    assert_eq!(config.network.secret_file, Path::new("/etc/data-mesher/network.secret"));
    assert_eq!(config.network.settings_file, None);
    assert_eq!(config.host.label.as_str(), "alpha");
    assert!(config.host.names.is_empty() && config.host.interfaces.is_empty());
    assert!(config.host.addresses.is_empty() && !config.host.link_local);
    assert_eq!(config.host.certificate_file, Path::new("/etc/data-mesher/host.cert"));
    assert_eq!(config.cluster.port, 7946);
    assert_eq!(config.cluster.bind, None);
    assert!(config.cluster.bootstrap_nodes.is_empty());
    assert_eq!(config.cluster.gossip_interval, Duration::from_secs(1));
    assert_eq!(config.cluster.join_timeout, Duration::from_secs(5));
    assert!(!config.nss.short_names && !config.nss.contain);
    assert_eq!(config.exports.files().count(), 0);
}

#[test]
fn every_key_is_read() {
    let config = parse(FULL, "ignored").unwrap();
    assert_eq!(config.log_level, LogLevel::Debug);
    assert_eq!(config.network.secret_file, Path::new("/etc/mesh/secret"));
    assert_eq!(config.network.settings_file.as_deref(), Some(Path::new("/etc/mesh/settings")));
    assert_eq!(config.host.label.as_str(), "alpha");
    assert_eq!(
        config.host.names.iter().map(ClaimName::as_str).collect::<Vec<_>>(),
        ["mercury", "grafana.earth", "*.earth"]
    );
    assert_eq!(config.host.interfaces, ["eth1", "uplink"]);
    assert_eq!(
        config.host.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.168.1.1", "2001:db8:1::1", "fd00::1", "127.0.0.1"]
    );
    assert!(config.host.link_local);
    assert_eq!(config.host.certificate_file, Path::new("/etc/mesh/cert"));
    assert_eq!(config.cluster.port, 7000);
    assert_eq!(config.cluster.bind, Some("127.0.0.1".parse().unwrap()));
    let name = |name: &str, port| BootstrapNode::Name { name: name.to_owned(), port };
    let scoped = BootstrapNode::Scoped {
        address: "fe80::1".parse().unwrap(),
        interface: "eth1".to_owned(),
        port: 7946,
    };
    assert_eq!(
        config.cluster.bootstrap_nodes,
        [
            address("192.168.1.1:7946"),
            address("[2001:db8:1::1]:7946"),
            scoped,
            name("gateway.example.org", 7946),
            // Without a port, the network's own is meant.
            address("192.168.1.2:7000"),
            address("[2001:db8:1::2]:7000"),
            name("gateway", 7000),
        ]
    );
    assert_eq!(config.cluster.gossip_interval, Duration::from_millis(500));
    assert_eq!(config.cluster.join_timeout, Duration::from_secs(10));
    assert!(config.nss.short_names && config.nss.contain);
    let exports: Vec<_> = config.exports.files().map(|(key, path)| (key, path.to_str().unwrap())).collect();
    assert_eq!(
        exports,
        [
            ("json_lines", "/run/mesh/names.json"),
            ("hosts", "/run/mesh/hosts"),
            ("zone", "/run/mesh/zone"),
            ("metrics", "/run/mesh/mesher.prom"),
        ]
    );
}

#[test]
fn what_is_written_is_read_back_the_same() {
    for text in [MINIMAL, FULL] {
        let config = parse(text, "alpha").unwrap();
        let written = config.to_toml();
        assert_eq!(parse(&written, "another").expect(&written), config, "{written}");
    }
}

#[test]
fn the_full_example_leaves_no_key_out() {
    // What `to_toml` writes is every key there is, so a key missing from full.toml is missing from these tests.
    let written: toml::Table = parse(FULL, "x").unwrap().to_toml().parse().unwrap();
    let given: toml::Table = FULL.parse().unwrap();
    for (section, keys) in &written {
        let Some(keys) = keys.as_table() else { continue };
        for key in keys.keys() {
            assert!(given[section].get(key).is_some(), "{section}.{key} is not in full.toml");
        }
    }
}

#[test]
fn a_file_is_read_and_its_errors_begin_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    assert!(matches!(Config::load(&path, "alpha"), Err(LoadError::Read { .. })));
    std::fs::write(&path, FULL).unwrap();
    assert_eq!(Config::load(&path, "alpha").unwrap().cluster.port, 7000);
    std::fs::write(&path, MINIMAL.to_owned() + "port = 1\n[cluster]\nport = 0\n").unwrap();
    let error = Config::load(&path, "alpha").unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with(&format!("{}:3:1: network.port: unknown key", path.display())), "{error}");
    assert!(
        lines[1].starts_with(&format!("{}:5:8: cluster.port: expected a UDP port", path.display())),
        "{error}"
    );
}

/// The page for operators: its complete example is right, and every key it lists exists.
#[test]
fn the_documented_example_is_valid_and_complete() {
    let page = include_str!("../../docs/configuration.md");
    let example =
        page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("no example");
    let config = parse(example, "alpha").unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(
        config.host.names.iter().map(ClaimName::as_str).collect::<Vec<_>>(),
        ["mercury", "venus", "earth"]
    );

    let written: toml::Table = parse(FULL, "x").unwrap().to_toml().parse().unwrap();
    for (section, keys) in &written {
        for key in keys.as_table().into_iter().flat_map(|keys| keys.keys()) {
            let row = format!("| `{section}.{key}` |");
            assert!(page.contains(&row), "docs/configuration.md has no row {row}");
        }
    }
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(key, _)| key);
    for key in rows {
        let mut value = toml::Value::Table(written.clone());
        for part in key.split('.') {
            value = value
                .get(part)
                .cloned()
                .unwrap_or_else(|| panic!("the page lists {key}, which does not exist"));
        }
    }
}
