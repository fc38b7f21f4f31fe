//! Starting: configuration, sockets, keys, state, the first table, then the network.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mesher_claims::names::ClaimName;
use mesher_claims::node::{Node, NodeConfig};
use mesher_config::Config;
use tokio::sync::{mpsc, watch};

use super::answering::Answers;
use super::certificate::OwnCertificate;
use super::contacts::Contacts;
use super::doubles::Doubles;
use super::files::Files;
use super::gate::{RecordGate, SharedVerifier};
use super::secrets::SecretsInUse;
use super::uncounted::Refused;
use super::{Daemon, addresses, clock};
use crate::cli::{Failure, Options};
use crate::control;
use crate::exports::Exporter;
use crate::gossip::{self, Generations, Gossip, GossipConfig, NodeId};
use crate::interfaces::{Selection, Snapshot, Watcher};
use crate::publish::{self, Publisher};
use crate::state::{StateDirectory, StateError};
use crate::systemd::notify::Notifier;
use crate::systemd::rate_limit::RateLimit;
use crate::systemd::watchdog::Watchdog;
use crate::systemd::{events, journal, logging, sockets};

/// What the loop waits for.
pub(super) struct Inputs {
    pub(super) gossip: mpsc::Receiver<gossip::Event>,
    pub(super) snapshots: watch::Receiver<Snapshot>,
    pub(super) control: UnixListener,
}

/// Reads everything, publishes what the store still holds, and starts gossiping.
pub(super) async fn start(options: Options) -> Result<(Daemon, Inputs), Failure> {
    let files = Files::read(&options)?;
    logging::set_level(files.config.log_level.into());
    let state = Arc::new(StateDirectory::open(&options.state_dir).map_err(state_failure)?);
    let place = Place::take(&options, &files.config)?;
    let selection = Selection::from(&files.config.host);
    let (watcher, snapshot) = follow_addresses(place.netlink, &selection).await?;
    let extra_names = state.load_claims();
    let contacts = Contacts::new(state.load_peers());
    let node = start_node(&files.config, &state, &extra_names, &contacts, place.bound, &snapshot)?;
    let advertised = addresses::to_advertise(place.bound, &snapshot);
    let Files { config, secrets, certificate, settings } = files;
    let secrets = secrets.ok_or_else(|| Failure::Config("there is no network secret".to_owned()))?;
    let own_certificate = OwnCertificate::new(&config.host.certificate_file);
    let secrets_in_use = SecretsInUse::new(&secrets);
    let gossip_config = gossip_config(&config, &node, &contacts, &state, advertised);
    let verifier = SharedVerifier::new(config.network.id);
    let gate = Arc::new(RecordGate::new(verifier.clone()));
    let (gossip, gossip_events) = Gossip::start(gossip_config, place.gossip, secrets, gate)
        .map_err(|error| Failure::Other(format!("gossip cannot start: {error}")))?;

    let (selection, selections) = watch::channel(selection);
    let (snapshot_sender, snapshots) = watch::channel(snapshot.clone());
    tokio::spawn(watcher.run(selections, snapshot_sender));
    let watchdog = Arc::new(Watchdog::from_env());
    let mut daemon = Daemon {
        network: config.network.id,
        verifier,
        started: SystemTime::now(),
        node,
        state,
        publisher: place.publisher,
        exporter: Exporter::start(config.exports.clone(), &options.runtime_dir),
        metrics_exported: None,
        gossip,
        contacts,
        traffic: Default::default(),
        answers: Answers::new(),
        own_certificate,
        secrets: secrets_in_use,
        refused: Refused::default(),
        notifier: Notifier::new(),
        publishing: watchdog.part("publishing"),
        gossiping: watchdog.part("gossip"),
        gossip_answered: Instant::now(),
        gossip_missed: 0,
        watchdog,
        extra_names,
        snapshot,
        selection,
        advertised,
        bound: place.bound,
        published: None,
        doubles: Doubles::default(),
        refusals: RateLimit::new(Duration::from_secs(3_600), 256),
        saved_store: Instant::now(),
        store_dirty: false,
        saving_failed: false,
        told_unsaved: BTreeSet::new(),
        config,
        options,
    };
    match certificate {
        Ok(certificate) => daemon.take_certificate(certificate),
        Err(failure) => daemon.certificate_is_bad(failure.message().to_owned()),
    }
    if let Some(warning) = settings.and_then(|settings| daemon.bring_settings(settings)) {
        log::warn!("{warning}");
    }
    Ok((daemon, Inputs { gossip: gossip_events, snapshots, control: place.control }))
}

/// Where the daemon serves: its sockets, inherited or bound, and its table.
struct Place {
    publisher: Publisher,
    gossip: UdpSocket,
    bound: SocketAddr,
    control: UnixListener,
    netlink: Option<OwnedFd>,
}

impl Place {
    fn take(options: &Options, config: &Config) -> Result<Self, Failure> {
        let inherited = sockets::inherit().map_err(|error| Failure::Config(error.to_string()))?;
        publish::make_runtime_directory(&options.runtime_dir)
            .map_err(|error| Failure::Other(format!("{}: {error}", options.runtime_dir.display())))?;
        let publisher =
            Publisher::open(&options.runtime_dir).map_err(|error| Failure::Other(error.to_string()))?;
        let gossip = gossip_socket(inherited.gossip, config)?;
        let bound =
            gossip.local_addr().map_err(|error| Failure::Other(format!("the gossip socket: {error}")))?;
        let control = match inherited.control {
            Some(control) => control,
            None => control::bind(&options.runtime_dir).map_err(|error| Failure::Other(error.to_string()))?,
        };
        Ok(Self { publisher, gossip, bound, control, netlink: inherited.netlink })
    }
}

async fn follow_addresses(
    netlink: Option<OwnedFd>,
    selection: &Selection,
) -> Result<(Watcher, Snapshot), Failure> {
    let failed = |error| Failure::Other(format!("this machine's addresses cannot be read: {error}"));
    let mut watcher = Watcher::new(netlink).map_err(failed)?;
    let snapshot = watcher.snapshot(selection).await.map_err(failed)?;
    note_addresses(&snapshot);
    Ok((watcher, snapshot))
}

fn start_node(
    config: &Config,
    state: &StateDirectory,
    extra_names: &BTreeSet<ClaimName>,
    contacts: &Contacts,
    bound: SocketAddr,
    snapshot: &Snapshot,
) -> Result<Node, Failure> {
    let now = clock::now();
    let key = state.host_key(random).map_err(state_failure)?;
    let node_config = NodeConfig {
        label: config.host.label.clone(),
        names: config.host.names.iter().chain(extra_names).map(|name| (name.clone(), None)).collect(),
        addresses: addresses::announced(snapshot),
        join_timeout_ms: u64::try_from(config.cluster.join_timeout.as_millis()).unwrap_or(u64::MAX),
        has_peers: has_peers(config, contacts, bound, snapshot),
        certificate: None,
    };
    let instance = u64::from_le_bytes(random::<8>());
    let (store, own) = (state.load_store(now), state.load_own());
    Ok(Node::start(config.network.id, key, instance, node_config, store, own, now))
}

fn gossip_config(
    config: &Config,
    node: &Node,
    contacts: &Contacts,
    state: &Arc<StateDirectory>,
    advertised: SocketAddr,
) -> GossipConfig {
    let id = NodeId::from_bytes(mesher_claims::keys::NodeId::from(node.me()).0);
    let generations = Arc::new(PersistentGenerations(Arc::clone(state)));
    let mut gossip = GossipConfig::new(id, advertised, generations);
    gossip.network = config.network.id.0.to_vec();
    gossip.interval = config.cluster.gossip_interval;
    gossip.bootstrap = bootstrap(config, contacts);
    let records = node.own_records();
    gossip.records = records.iter().map(|record| (record.carrier_key(), record.carrier_value())).collect();
    gossip
}

/// Gives out generations that are on disk before they are used.
struct PersistentGenerations(Arc<StateDirectory>);

impl Generations for PersistentGenerations {
    fn next(&self) -> io::Result<u64> {
        self.0.next_generation(clock::now().wall_ms)
    }
}

/// Whether there is anybody to wait for: a bootstrap node that is not this machine, or a peer remembered.
pub(super) fn has_peers(
    config: &Config,
    contacts: &Contacts,
    bound: SocketAddr,
    snapshot: &Snapshot,
) -> bool {
    let hoped = bootstrap(config, contacts);
    hoped.iter().any(|node| match node {
        gossip::BootstrapNode::Addr(address) => !addresses::is_self(*address, bound, snapshot),
        gossip::BootstrapNode::Name(..) => true,
    })
}

/// The configured bootstrap nodes and the peers remembered.
pub(super) fn bootstrap(config: &Config, contacts: &Contacts) -> Vec<gossip::BootstrapNode> {
    let mut nodes = addresses::bootstrap(&config.cluster.bootstrap_nodes);
    // In no order: those who come back at one moment are not to begin with the same ones.
    let mut remembered = contacts.remembered();
    fastrand::shuffle(&mut remembered);
    nodes.extend(remembered.into_iter().map(gossip::BootstrapNode::Addr));
    let mut met = std::collections::HashSet::new();
    nodes.retain(|node| met.insert(node.clone()));
    nodes
}

/// Says what is announced, and what is missing.
pub(super) fn note_addresses(snapshot: &Snapshot) {
    for interface in &snapshot.absent {
        log::warn!(
            "host.interfaces: there is no interface {interface} yet; its addresses are announced when it appears"
        );
    }
    if snapshot.left_out > 0 {
        log::warn!("{} addresses are not announced: a host may announce 32 at most", snapshot.left_out);
    }
    if snapshot.addresses.is_empty() {
        journal::event(events::NO_ADDRESSES).log(format_args!(
            "there is no address to announce yet; this machine's names resolve to nothing before there is"
        ));
    } else {
        let list: Vec<String> = snapshot.ips().map(|ip| ip.to_string()).collect();
        journal::event(events::ADDRESSES_CHANGED).log(format_args!("announcing {}", list.join(", ")));
    }
}

fn gossip_socket(inherited: Option<UdpSocket>, config: &Config) -> Result<UdpSocket, Failure> {
    let port = config.cluster.port;
    let (socket, what) = match (inherited, config.cluster.bind) {
        (Some(socket), _) => (gossip::inherit(socket), "the UDP socket from systemd".to_owned()),
        (None, Some(address)) => {
            (gossip::bind(SocketAddr::new(address, port)), format!("UDP {address} port {port}"))
        }
        (None, None) => (gossip::bind_any(port), format!("UDP port {port}")),
    };
    socket.map_err(|error| Failure::Other(format!("{what}: {error}")))
}

fn state_failure(error: StateError) -> Failure {
    match error {
        // The key is the operator's to mend; starting again will not help.
        StateError::Key(_) => Failure::Config(error.to_string()),
        StateError::Directory { .. } | StateError::InUse { .. } => Failure::Other(error.to_string()),
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel's random numbers work once it has booted");
    bytes
}
