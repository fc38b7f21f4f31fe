//! From the file's text to the configuration.

use std::path::PathBuf;
use std::time::Duration;

use mesher_claims::names::Label;

use crate::document::{Document, Section};
use crate::problem::Problems;
use crate::schema::{
    Cluster, Config, DEFAULT_CERTIFICATE_FILE, DEFAULT_GOSSIP_INTERVAL, DEFAULT_JOIN_TIMEOUT, DEFAULT_PORT,
    DEFAULT_SECRET_FILE, Exports, Host, LogLevel, Network, Nss,
};
use crate::value;

/// Shorter rounds cost more than they tell: changes are pushed at once, not by the next round.
const SHORTEST_GOSSIP_INTERVAL: Duration = Duration::from_millis(20);
const LONGEST_GOSSIP_INTERVAL: Duration = Duration::from_secs(60);
const LONGEST_JOIN_TIMEOUT: Duration = Duration::from_secs(600);

/// Reads a configuration. `host_name` is the machine's name: its first label is `host.label`'s default.
///
/// # Errors
///
/// Every problem of the text, not only the first.
pub fn parse(text: &str, host_name: &str) -> Result<Config, Problems> {
    let (mut document, mut root) = Document::new(text);
    let doc = &mut document;
    let log_level = root.read(doc, "log_level", value::log_level).unwrap_or(LogLevel::Info);
    let network = root.section(doc, "network");
    let host = root.section(doc, "host");
    let cluster = root.section(doc, "cluster");
    let nss = root.section(doc, "nss");
    let exports = root.section(doc, "exports");
    root.finish(doc);
    let network = read_network(doc, network);
    let host = read_host(doc, host, host_name);
    let cluster = read_cluster(doc, cluster);
    let nss = read_nss(doc, nss);
    let exports = read_exports(doc, exports);

    match (network, host, document.into_problems()) {
        (Some(network), Some(host), problems) if problems.is_empty() => {
            Ok(Config { log_level, network, host, cluster, nss, exports })
        }
        (_, _, problems) => Err(Problems(problems)),
    }
}

/// `None` if the id is missing or wrong, which is then noted.
fn read_network(doc: &mut Document<'_>, mut section: Section<'_>) -> Option<Network> {
    let given = section.has("id");
    let id = section.read(doc, "id", value::network_id);
    if !given {
        section.missing(doc, "id", "the network's id, as `mesherctl network init` prints it");
    }
    let secret_file =
        section.read(doc, "secret_file", value::path).unwrap_or_else(|| PathBuf::from(DEFAULT_SECRET_FILE));
    let settings_file = section.read(doc, "settings_file", value::path);
    section.finish(doc);
    id.map(|id| Network { id, secret_file, settings_file })
}

/// `None` if there is no label, which is then noted.
fn read_host(doc: &mut Document<'_>, mut section: Section<'_>, host_name: &str) -> Option<Host> {
    let given = section.has("label");
    let mut label = section.read(doc, "label", value::label);
    if !given {
        match host_name.split('.').next().unwrap_or_default().parse::<Label>() {
            Ok(first) => label = Some(first),
            Err(error) => {
                let expected =
                    format!("one label (the machine's host name, {host_name:?}, does not serve: {error})");
                section.missing(doc, "label", &expected);
            }
        }
    }
    let names = section.read_list(doc, "names", value::claimed_name);
    let interfaces = section.read_list(doc, "interfaces", value::interface);
    let addresses = section.read_list(doc, "addresses", value::address);
    let link_local = section.read(doc, "link_local", value::boolean).unwrap_or(false);
    let certificate_file = section
        .read(doc, "certificate_file", value::path)
        .unwrap_or_else(|| PathBuf::from(DEFAULT_CERTIFICATE_FILE));
    section.finish(doc);
    label.map(|label| Host { label, names, interfaces, addresses, link_local, certificate_file })
}

fn read_cluster(doc: &mut Document<'_>, mut section: Section<'_>) -> Cluster {
    let port = section.read(doc, "port", value::port).unwrap_or(DEFAULT_PORT);
    let bind = section.read(doc, "bind", value::bind);
    let bootstrap_nodes = section.read_list(doc, "bootstrap_nodes", |node| value::bootstrap_node(node, port));
    let gossip_interval = section
        .read(doc, "gossip_interval", |v| {
            value::duration(v, SHORTEST_GOSSIP_INTERVAL, LONGEST_GOSSIP_INTERVAL)
        })
        .unwrap_or(DEFAULT_GOSSIP_INTERVAL);
    let join_timeout = section
        .read(doc, "join_timeout", |v| value::duration(v, Duration::ZERO, LONGEST_JOIN_TIMEOUT))
        .unwrap_or(DEFAULT_JOIN_TIMEOUT);
    section.finish(doc);
    Cluster { port, bind, bootstrap_nodes, gossip_interval, join_timeout }
}

fn read_nss(doc: &mut Document<'_>, mut section: Section<'_>) -> Nss {
    let short_names = section.read(doc, "short_names", value::boolean).unwrap_or(false);
    let contain = section.read(doc, "contain", value::boolean).unwrap_or(false);
    section.finish(doc);
    Nss { short_names, contain }
}

/// Each export needs a file of its own: two in one would overwrite each other for ever.
fn read_exports(doc: &mut Document<'_>, mut section: Section<'_>) -> Exports {
    let mut taken: Vec<(&'static str, PathBuf)> = Vec::new();
    let mut read = |key: &'static str| {
        let path = section.read(doc, key, |value| {
            let path = value::file_to_write(value)?;
            match taken.iter().find(|(_, other)| *other == path) {
                Some((other, _)) => {
                    Err(format!("expected a file of its own; exports.{other} names the same"))
                }
                None => Ok(path),
            }
        })?;
        taken.push((key, path.clone()));
        Some(path)
    };
    let exports = Exports {
        json_lines: read("json_lines"),
        hosts: read("hosts"),
        zone: read("zone"),
        metrics: read("metrics"),
    };
    section.finish(doc);
    exports
}
