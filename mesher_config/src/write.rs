//! A configuration back as TOML: what is in force, defaults included.

use toml::{Table, Value};

use crate::{Config, format_duration};

impl Config {
    /// The configuration as the text of a configuration file, every key written out. [`crate::parse`] reads it
    /// back to the same.
    pub fn to_toml(&self) -> String {
        let network = table([
            ("id", Some(text(self.network.id))),
            ("secret_file", Some(text(self.network.secret_file.display()))),
            ("settings_file", self.network.settings_file.as_ref().map(|path| text(path.display()))),
        ]);
        let host = table([
            ("label", Some(text(&self.host.label))),
            ("names", Some(list(&self.host.names))),
            ("interfaces", Some(list(&self.host.interfaces))),
            ("addresses", Some(list(&self.host.addresses))),
            ("link_local", Some(Value::Boolean(self.host.link_local))),
            ("certificate_file", Some(text(self.host.certificate_file.display()))),
        ]);
        let cluster = table([
            ("port", Some(Value::Integer(self.cluster.port.into()))),
            ("bind", self.cluster.bind.map(text)),
            ("bootstrap_nodes", Some(list(&self.cluster.bootstrap_nodes))),
            ("gossip_interval", Some(text(format_duration(self.cluster.gossip_interval)))),
            ("join_timeout", Some(text(format_duration(self.cluster.join_timeout)))),
        ]);
        let nss = table([
            ("short_names", Some(Value::Boolean(self.nss.short_names))),
            ("contain", Some(Value::Boolean(self.nss.contain))),
        ]);
        let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| text(path.display()));
        let exports = table([
            ("json_lines", path(&self.exports.json_lines)),
            ("hosts", path(&self.exports.hosts)),
            ("zone", path(&self.exports.zone)),
            ("metrics", path(&self.exports.metrics)),
        ]);
        table([
            ("log_level", Some(text(self.log_level))),
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
