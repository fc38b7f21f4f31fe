//! What the configuration file says, once it has been found right.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use mesher_claims::keys::NetworkId;
use mesher_claims::names::{ClaimName, Label};

use crate::{LoadError, parse};

/// Where the daemon and the control tool look when no other file is named.
pub const DEFAULT_CONFIG_FILE: &str = "/etc/data-mesher/config.toml";
/// `network.secret_file` when the file says nothing.
pub const DEFAULT_SECRET_FILE: &str = "/etc/data-mesher/network.secret";
/// `host.certificate_file` when the file says nothing.
pub const DEFAULT_CERTIFICATE_FILE: &str = "/etc/data-mesher/host.cert";
/// `cluster.port` when the file says nothing, and the port of a bootstrap node named without one.
pub const DEFAULT_PORT: u16 = 7946;
/// `cluster.gossip_interval` when the file says nothing.
pub const DEFAULT_GOSSIP_INTERVAL: Duration = Duration::from_secs(1);
/// `cluster.join_timeout` when the file says nothing.
pub const DEFAULT_JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `log_level`: the least severe messages that are written. Default: info.
    pub log_level: LogLevel,
    /// `[network]`: which network this machine belongs to.
    pub network: Network,
    /// `[host]`: what this machine claims.
    pub host: Host,
    /// `[cluster]`: how it talks to the others.
    pub cluster: Cluster,
    /// `[nss]`: what this machine's programs are answered.
    pub nss: Nss,
    /// `[exports]`: files for programs that cannot use NSS.
    pub exports: Exports,
}

impl Config {
    /// Reads and parses the file at `path`. `host_name` is the machine's, for `host.label`'s default.
    pub fn load(path: &Path, host_name: &str) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| LoadError::Read { path: path.to_owned(), error })?;
        parse(&text, host_name).map_err(|problems| LoadError::Invalid { path: path.to_owned(), problems })
    }
}

/// `[network]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// `id`: the network's ed25519 public key. The only key that has no default.
    pub id: NetworkId,
    /// `secret_file`: see [`crate::secret`]. A systemd credential `network.secret` wins over it.
    pub secret_file: PathBuf,
    /// `settings_file`: signed settings that this machine brings into the network.
    pub settings_file: Option<PathBuf>,
}

/// `[host]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// `label`: what this machine is called in status and logs. Default: its host name's first label.
    pub label: Label,
    /// `names`: the names it claims. Written relative to the network's domain or in full: the domain is not known
    /// here, so `Domain::relative` has the last word.
    pub names: Vec<ClaimName>,
    /// `interfaces`: those whose addresses are announced, by their names or alternative names.
    pub interfaces: Vec<String>,
    /// `addresses`: announced beside, or instead of, the interfaces'.
    pub addresses: Vec<IpAddr>,
    /// `link_local`: whether link-local addresses are announced, and those of peers answered, with this machine's scope. Default: no.
    pub link_local: bool,
    /// `certificate_file`: this machine's certificate, where the network asks for one. A file that is not there is none. A
    /// systemd credential `host.cert` counts too: of two, the one signed later.
    pub certificate_file: PathBuf,
}

/// `[cluster]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// `port`: the UDP port, unless systemd hands in a socket.
    pub port: u16,
    /// `bind`: the address to bind to, unless systemd hands in a socket. Default: all, IPv6 and IPv4.
    pub bind: Option<IpAddr>,
    /// `bootstrap_nodes`: whom to ask first. The list may contain this machine.
    pub bootstrap_nodes: Vec<BootstrapNode>,
    /// `gossip_interval`: time between two gossip rounds in a small network.
    pub gossip_interval: Duration,
    /// `join_timeout`: how long a start waits for a peer before it claims names alone.
    pub join_timeout: Duration,
}

/// `[nss]`: what this machine answers beyond full names. Decided when its table is built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Nss {
    /// `short_names`: `earth` as well as `earth.sol`; names of one label only. Default: no.
    pub short_names: bool,
    /// `contain`: a name under the domain that nobody holds ends the lookup, instead of being asked of the
    /// next source, such as DNS. Default: no.
    pub contain: bool,
}

/// `[exports]`: files that are kept up to date for programs that do not look names up through NSS. Default: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exports {
    /// `json_lines`: one JSON object a name, with `hostname` and `ips`.
    pub json_lines: Option<PathBuf>,
    /// `hosts`: in the form of hosts(5).
    pub hosts: Option<PathBuf>,
    /// `zone`: a DNS zone in the form of RFC 1035, which unbound, CoreDNS and BIND read.
    pub zone: Option<PathBuf>,
    /// `metrics`: the metrics in Prometheus' text format, for node_exporter's textfile collector.
    pub metrics: Option<PathBuf>,
}

impl Exports {
    /// The keys that are set, and their files.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let files = [
            ("json_lines", &self.json_lines),
            ("hosts", &self.hosts),
            ("zone", &self.zone),
            ("metrics", &self.metrics),
        ];
        files.into_iter().filter_map(|(key, path)| Some((key, path.as_deref()?)))
    }
}

/// One of `cluster.bootstrap_nodes`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BootstrapNode {
    /// `192.0.2.1:7946`, `[2001:db8::1]:7946`.
    Address(SocketAddr),
    /// `[fe80::1%eth1]:7946`: an address that means something on one interface only.
    Scoped {
        /// The address, link-local.
        address: Ipv6Addr,
        /// The interface's name.
        interface: String,
        /// The UDP port.
        port: u16,
    },
    /// `gateway.example.org:7946`: to be resolved, never through this machine's own mesh module.
    Name {
        /// The DNS name.
        name: String,
        /// The UDP port.
        port: u16,
    },
}

impl fmt::Display for BootstrapNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Scoped { address, interface, port } => write!(f, "[{address}%{interface}]:{port}"),
            Self::Name { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

/// `log_level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something is broken and a person must act.
    Error,
    /// Something is wrong, and the daemon copes.
    Warn,
    /// What an operator wants to read afterwards. The default.
    Info,
    /// For finding a fault.
    Debug,
    /// Everything, datagrams included.
    Trace,
}

impl LogLevel {
    /// All levels, the most severe first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// As it is written in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of the levels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected error, warn, info, debug or trace, found {0:?}")]
pub struct UnknownLogLevel(pub String);

impl FromStr for LogLevel {
    type Err = UnknownLogLevel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|level| level.as_str() == text);
        found.ok_or_else(|| UnknownLogLevel(text.to_owned()))
    }
}

impl From<LogLevel> for log::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}
