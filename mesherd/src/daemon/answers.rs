//! Answers on the control socket: what the daemon knows, in the interface's types.

use std::net::IpAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mesher_claims::keys::{HostKey, NodeId};
use mesher_claims::names::ClaimName;
use mesher_claims::node::Phase;
use mesher_claims::record::{Admission, ClaimState};
use mesher_claims::store::HostEntry;
use mesher_claims::time::Age;
use mesher_claims::view::{Claimant, Standing};
use mesher_control::types;

use super::{Daemon, clock};
use crate::gossip::PeerInfo;

impl Daemon {
    pub(super) async fn status(&self) -> types::Status {
        types::Status {
            version: env!("CARGO_PKG_VERSION").into(),
            state: self.control_state(),
            sentence: self.sentence(),
            started_unix_ms: unix_ms(self.started),
            log_level: log::max_level().as_str().to_lowercase(),
            config_file: self.options.config.display().to_string(),
            state_directory: self.options.state_dir.display().to_string(),
            network: self.network_answer(),
            host: types::Host {
                label: self.config.host.label.to_string(),
                key: self.node.me().to_string(),
                addresses: self.snapshot.ips().map(|ip| ip.to_string()).collect(),
                certificate: self.certificate_answer(),
            },
            warnings: self.warnings(),
            peers: self.peers().await,
            names: self.own_names(),
            table: Some(self.table()),
        }
    }

    /// All other hosts, those that are away included.
    pub(super) async fn peers(&self) -> Vec<types::Peer> {
        let known = self.gossip.peers().await;
        let hosts = self
            .node
            .store()
            .hosts()
            .filter(|(host, entry)| **host != self.node.me() && entry.record().is_some());
        hosts.map(|(host, entry)| self.peer(host, entry, &known)).collect()
    }

    /// The names this machine claims, those that the network's rules refuse included.
    fn own_names(&self) -> Vec<types::Name> {
        let own = self.config.host.names.iter().chain(&self.extra_names);
        let unknown = Standing::default();
        let mut names: Vec<types::Name> =
            own.map(|name| self.name(name, self.node.view().name(name).unwrap_or(&unknown))).collect();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        names
    }

    fn certificate_answer(&self) -> Option<types::Certificate> {
        let certificate = self.certificate()?;
        Some(types::Certificate {
            label: certificate.label.to_string(),
            names: certificate.patterns.iter().map(ToString::to_string).collect(),
            not_before_unix_ms: certificate.not_before_ms,
            not_after_unix_ms: certificate.not_after_ms,
            expiring: self.is_expiring(certificate),
        })
    }

    pub(super) fn names(&self) -> Vec<types::Name> {
        self.node.view().names().map(|(name, standing)| self.name(name, standing)).collect()
    }

    pub(super) fn table(&self) -> types::HostsTable {
        let contents = self.publisher.contents();
        types::HostsTable {
            path: self.publisher.path().display().to_string(),
            generation: self.publisher.generation(),
            names: contents.entries.iter().filter(|entry| entry.canonical.is_none()).count() as u64,
            bytes: std::fs::metadata(self.publisher.path()).map_or(0, |metadata| metadata.len()),
            lease_left_ms: u64::try_from(self.publisher.lease_left().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// All metrics, in Prometheus' text format.
    pub(super) async fn metrics(&self) -> String {
        let mut text = String::new();
        let mut gauge = |name: &str, help: &str, kind: &str, value: u64| {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
        };
        let names = self.node.view().names();
        let me = self.node.me();
        let (mut held, mut own, mut waited) = (0, 0, 0);
        for (_, standing) in names {
            held += u64::from(standing.holder().is_some());
            own += u64::from(standing.holder().is_some_and(|c| c.host == me));
            waited += u64::from(standing.waiting().iter().any(|c| c.host == me));
        }
        gauge("mesher_peers_alive", "Peers heard of lately.", "gauge", self.contacts.alive() as u64);
        gauge(
            "mesher_hosts_known",
            "Hosts known, this one and absent ones included.",
            "gauge",
            self.node.store().hosts().count() as u64,
        );
        gauge("mesher_names_held", "Names of the network that somebody holds.", "gauge", held);
        gauge("mesher_own_names_held", "Names that this machine holds.", "gauge", own);
        gauge(
            "mesher_own_names_waiting",
            "Names that this machine claims and somebody else holds.",
            "gauge",
            waited,
        );
        gauge(
            "mesher_claims_known",
            "Claims known, withdrawn ones included.",
            "gauge",
            self.node.store().claims() as u64,
        );
        gauge(
            "mesher_table_generation",
            "How often the hosts table was published.",
            "counter",
            self.publisher.generation(),
        );
        gauge(
            "mesher_table_failing",
            "1 while the hosts table cannot be written.",
            "gauge",
            u64::from(self.publisher.failing()),
        );
        gauge(
            "mesher_state_failing",
            "1 while the state cannot be saved.",
            "gauge",
            u64::from(self.saving_failed),
        );
        gauge(
            "mesher_settings_revision",
            "Revision of the network's settings in force.",
            "gauge",
            self.node.settings().map_or(0, |s| s.revision),
        );
        gauge(
            "mesher_start_time_seconds",
            "When the daemon started, in seconds since 1970.",
            "gauge",
            unix_ms(self.started) / 1_000,
        );
        self.counts().iter().for_each(|(name, help, value)| gauge(name, help, "counter", *value));
        text
    }

    /// What is counted on the way: the daemon's own messages, and gossip.
    fn counts(&self) -> Vec<(String, String, u64)> {
        let sync = self.traffic.iter();
        let sync = sync.map(|(name, help, value)| (format!("mesher_sync_{name}_total"), help, value));
        let gossip = self.gossip.counters();
        let gossip = gossip
            .iter()
            .map(|(name, help, value)| (format!("mesher_gossip_{name}_total"), help.to_owned(), value));
        sync.chain(gossip).collect()
    }

    fn control_state(&self) -> types::State {
        match self.node.phase() {
            _ if self.node.settings().is_none() => types::State::NoSettings,
            Phase::Joining { .. } => types::State::Joining,
            Phase::Running | Phase::Silenced if self.contacts.alive() == 0 => types::State::Alone,
            Phase::Running | Phase::Silenced => types::State::Running,
        }
    }

    fn network_answer(&self) -> types::Network {
        let settings = self.node.settings();
        types::Network {
            id: self.network.to_string(),
            domain: settings.map(|s| s.domain.to_string()),
            revision: settings.map(|s| s.revision),
            claim_ttl_ms: settings.map(|s| s.claim_ttl_ms),
            admission: settings.map(|s| match s.admission {
                Admission::Open => types::Admission::Open,
                Admission::Certified => types::Admission::Certified,
            }),
            witnesses: settings.map_or(0, |s| s.witnesses.len() as u64),
            secrets: self.secrets.ids.iter().map(ToString::to_string).collect(),
        }
    }

    fn peer(&self, host: &HostKey, entry: &HostEntry, known: &[PeerInfo]) -> types::Peer {
        let now = clock::now();
        let id = NodeId::from(*host).0;
        let info = known.iter().find(|peer| peer.node.to_bytes() == id);
        let ttl = self.node.store().claim_ttl_ms().unwrap_or(u64::MAX);
        let age = entry.age(now).under(ttl);
        let alive = info.is_some_and(|info| info.alive);
        let record = entry.record();
        let ahead = match (record, age) {
            (Some(record), Age::Fresh(age_ms)) => {
                let theirs = record.renewed_at_ms.saturating_add(age_ms);
                Some(theirs.cast_signed().saturating_sub(now.wall_ms.cast_signed()))
            }
            _ => None,
        };
        types::Peer {
            label: record.map_or_else(|| NodeId::from(*host).to_string(), |record| record.label.to_string()),
            key: host.to_string(),
            state: match (alive, age) {
                (true, Age::Fresh(_)) => types::PeerState::Alive,
                (false, Age::Fresh(_)) => types::PeerState::Away,
                (_, Age::Expired) => types::PeerState::Expired,
            },
            address: info.and_then(|info| info.addr).map(|address| address.to_string()),
            last_contact_ms: info.and_then(|info| info.last_heard).map(elapsed_ms),
            age_ms: match age {
                Age::Fresh(ms) => Some(ms),
                Age::Expired => None,
            },
            ahead_ms: ahead,
            secret: info.and_then(|info| info.key).map(|key| key.to_string()),
            names: entry.claims().filter(|claim| claim.state == ClaimState::Held).count() as u64,
        }
    }

    fn name(&self, name: &ClaimName, standing: &Standing) -> types::Name {
        let full = |name: &ClaimName| {
            self.node.settings().map_or_else(|| name.to_string(), |s| name.under(&s.domain))
        };
        let holder = standing.holder();
        let spelt = holder.map_or(name, |holder| &holder.name);
        let me = self.node.me();
        let source = if self.extra_names.contains(name) {
            Some(types::Source::Runtime)
        } else if self.config.host.names.contains(name) {
            Some(types::Source::Configuration)
        } else {
            None
        };
        types::Name {
            name: full(spelt),
            holder: holder.map(|holder| holder.label.to_string()),
            holder_key: holder.map(|holder| holder.host.to_string()),
            addresses: holder.map(addresses_of).unwrap_or_default(),
            waiting: (standing.waiting().len() + standing.unwitnessed.len()) as u64,
            held: holder.is_some_and(|holder| holder.host == me),
            refused: source.and_then(|_| self.refusal_of(name)).map(|why| why.to_string()),
            source,
        }
    }

    pub(super) fn table_entry(&self, full: &str) -> Option<types::TableEntry> {
        let table = mesher_table::TableFile::open(self.publisher.path()).ok()?;
        let entry = table.find(full).ok()??;
        let v6 = entry.v6.iter().map(|v6| IpAddr::V6(v6.address));
        let addresses = entry.v4.iter().copied().map(IpAddr::V4).chain(v6);
        Some(types::TableEntry {
            wildcard: entry.is_wildcard(),
            addresses: addresses.map(|ip| ip.to_string()).collect(),
            ttl_s: u64::from(entry.ttl_s),
            canonical: entry.canonical.unwrap_or(entry.name),
        })
    }
}

fn addresses_of(holder: &Claimant) -> Vec<String> {
    holder.addresses.iter().map(|ip| ip.to_string()).collect()
}

fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
