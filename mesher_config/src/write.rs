//! A configuration back as TOML: what is in force, defaults included.

use std::path::PathBuf;

use toml::{Table, Value};

use crate::{Cluster, Config, Exports, Host, Network, Nss, format_duration};

impl Config {
    /// The configuration as the text of a configuration file, every key written out. [`crate::parse`] reads it
    /// back to the same.
    pub fn to_toml(&self) -> String {
        // Taken apart whole: a key that is missing here does not compile.
        let Self { log_level, network, host, cluster, nss, exports } = self;
        let Network { id, secret_file, settings_file } = network;
        let Host { label, names, interfaces, addresses, link_local, certificate_file } = host;
        let Cluster { port, bind, bootstrap_nodes, gossip_interval, join_timeout } = cluster;
        let Nss { short_names, contain } = nss;
        let Exports { json_lines, hosts, zone, metrics } = exports;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| text(path.display()));
        let network = table([
            ("id", Some(text(id))),
            ("secret_file", Some(text(secret_file.display()))),
            ("settings_file", path(settings_file)),
        ]);
        let host = table([
            ("label", Some(text(label))),
            ("names", Some(list(names))),
            ("interfaces", Some(list(interfaces))),
            ("addresses", Some(list(addresses))),
            ("link_local", Some(Value::Boolean(*link_local))),
            ("certificate_file", Some(text(certificate_file.display()))),
        ]);
        let cluster = table([
            ("port", Some(Value::Integer((*port).into()))),
            ("bind", bind.map(text)),
            ("bootstrap_nodes", Some(list(bootstrap_nodes))),
            ("gossip_interval", Some(text(format_duration(*gossip_interval)))),
            ("join_timeout", Some(text(format_duration(*join_timeout)))),
        ]);
        let nss = table([
            ("short_names", Some(Value::Boolean(*short_names))),
            ("contain", Some(Value::Boolean(*contain))),
        ]);
        let exports = table([
            ("json_lines", path(json_lines)),
            ("hosts", path(hosts)),
            ("zone", path(zone)),
            ("metrics", path(metrics)),
        ]);
        table([
            ("log_level", Some(text(log_level))),
            ("network", Some(Value::Table(network))),
            ("host", Some(Value::Table(host))),
            ("cluster", Some(Value::Table(cluster))),
            ("nss", Some(Value::Table(nss))),
            ("exports", Some(Value::Table(exports))),
        ])
        .to_string()
    }
}

fn text(value: impl std::fmt::Display) -> Value {
    Value::String(value.to_string())
}

fn list<T: std::fmt::Display>(values: &[T]) -> Value {
    Value::Array(values.iter().map(text).collect())
}

/// The entries that are there.
fn table<const N: usize>(entries: [(&str, Option<Value>); N]) -> Table {
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}
