//! What the daemon holds of the gossip layer: it starts it, tells it and asks it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::addresses::{is_usable, normalise};
use super::carrier::filter::is_fit;
use super::carrier::socket::lock;
use super::carrier::supervisor::Command;
use super::counters::{Counters, CountersSnapshot};
use super::layer::{Layer, Origin};
use super::port::PortCommand;
use super::wire::MAX_MESSAGE;
use super::wire::datagram::Channel;
use super::{BootstrapNode, Event, Gate, GossipConfig, KeyId, NodeId, Secrets};

/// Starts the gossip layer.
#[derive(Debug)]
pub struct Gossip;

/// Why the gossip layer does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The announced address is of no use to anybody.
    #[error(
        "peers cannot be told to use {0}: announce an address that is not unspecified, multicast or link-local"
    )]
    Advertise(SocketAddr),
    /// The interval is not usable.
    #[error("a gossip interval of {0:?} is not between 10 ms and 60 s")]
    Interval(Duration),
    /// A record to begin with is not one.
    #[error(transparent)]
    Record(#[from] SetError),
    /// The socket or the random generator does not work.
    #[error("the gossip socket cannot be used: {0}")]
    Socket(#[from] std::io::Error),
}

/// The record cannot be carried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the carrier takes the keys s, n, cert, c/NAME and w/NAME in ASCII, and values of 1 KiB (n: 8 KiB), not {key:?} with {len} bytes"
)]
pub struct SetError {
    /// The key.
    pub key: String,
    /// The value's length, in bytes.
    pub len: usize,
}

/// The message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It is longer than [`super::MAX_MESSAGE`].
    #[error("a message of {0} bytes is longer than {MAX_MESSAGE}")]
    TooLong(usize),
    /// Too much waits to be sent.
    #[error("too many messages wait to be sent")]
    Busy,
}

/// A peer as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// The node.
    pub node: NodeId,
    /// The address it announces; `None` if the carrier does not know it (yet, or any more).
    pub addr: Option<SocketAddr>,
    /// Whether the carrier takes it to be alive.
    pub alive: bool,
    /// Where its datagrams come from, lately.
    pub heard_from: BTreeSet<SocketAddr>,
    /// When it was last heard itself, and not through others.
    pub last_heard: Option<Instant>,
    /// The secret that it sealed its last datagram with.
    pub key: Option<KeyId>,
}

/// The running gossip layer. Clones share it; it ends when all are gone, or on [`GossipHandle::shutdown`].
#[derive(Clone)]
pub struct GossipHandle {
    node: NodeId,
    layer: Layer,
    counters: Arc<Counters>,
    origin: Arc<Origin>,
}

impl std::fmt::Debug for GossipHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GossipHandle").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Gossip {
    /// Starts gossiping on `socket` (from [`super::bind`] or [`super::inherit`]), within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If the configuration or the socket is of no use. Nothing runs then.
    pub fn start(
        config: GossipConfig,
        socket: UdpSocket,
        secrets: Secrets,
        gate: Arc<dyn Gate>,
    ) -> Result<(GossipHandle, mpsc::Receiver<Event>), StartError> {
        usable(config.advertise).ok_or(StartError::Advertise(config.advertise))?;
        if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&config.interval) {
            return Err(StartError::Interval(config.interval));
        }
        for (key, value) in &config.records {
            check(key, value)?;
        }
        GossipHandle::launch(Origin { config, socket, gate, secrets: Mutex::new(secrets) }, Arc::default())
    }
}

impl GossipHandle {
    fn launch(origin: Origin, counters: Arc<Counters>) -> Result<(Self, mpsc::Receiver<Event>), StartError> {
        let (layer, events) = origin.start(Arc::clone(&counters))?;
        let handle = Self { node: origin.config.node, layer, counters, origin: Arc::new(origin) };
        Ok((handle, events))
    }

    /// Sets one of this node's records and tells a few peers at once. It stays set through rebuilds of the carrier.
    ///
    /// # Errors
    ///
    /// If the carrier does not take such a key or value; nothing is set then.
    pub fn set(&self, key: impl Into<String>, value: impl Into<String>) -> Result<(), SetError> {
        self.set_all(vec![(key.into(), value.into())])
    }

    /// Sets several records at once, which then travel together.
    ///
    /// # Errors
    ///
    /// If one of them cannot be carried; none is set then.
    pub fn set_all(&self, records: Vec<(String, String)>) -> Result<(), SetError> {
        for (key, value) in &records {
            check(key, value)?;
        }
        self.command(Command::Set(records));
        Ok(())
    }

    /// Leaves a record out from the next run of the carrier on. In this run its last value stays, for nothing is
    /// ever deleted: withdraw by setting a value that says so.
    pub fn forget(&self, key: impl Into<String>) {
        self.command(Command::Forget(key.into()));
    }

    /// Sends an opaque message, sealed and split. Best effort: pieces that get lost are repeated a few times, but
    /// nothing tells whether the message arrived.
    ///
    /// # Errors
    ///
    /// If it is too long, or too much waits to be sent already.
    pub fn send(&self, to: SocketAddr, bytes: impl Into<Arc<[u8]>>) -> Result<(), SendError> {
        let bytes = bytes.into();
        if bytes.len() > MAX_MESSAGE {
            return Err(SendError::TooLong(bytes.len()));
        }
        let command = PortCommand::Send { to, node: None, channel: Channel::Application, bytes };
        self.layer.port.try_send(command).map_err(|_| SendError::Busy)
    }

    /// As [`Self::send`], to wherever `node` can be reached: `addr`, which it announces, or where it was heard from.
    ///
    /// # Errors
    ///
    /// As for [`Self::send`].
    pub fn send_to_node(
        &self,
        node: NodeId,
        addr: SocketAddr,
        bytes: impl Into<Arc<[u8]>>,
    ) -> Result<(), SendError> {
        let bytes = bytes.into();
        if bytes.len() > MAX_MESSAGE {
            return Err(SendError::TooLong(bytes.len()));
        }
        let command = PortCommand::Send { to: addr, node: Some(node), channel: Channel::Application, bytes };
        self.layer.port.try_send(command).map_err(|_| SendError::Busy)
    }

    /// Begins an exchange with each of these addresses now.
    pub fn gossip_now(&self, addrs: Vec<SocketAddr>) {
        self.command(Command::Gossip(addrs.into_iter().map(normalise).collect()));
    }

    /// Replaces the peers to begin with.
    pub fn set_bootstrap(&self, nodes: Vec<BootstrapNode>) {
        self.layer.bootstrap.send_replace(nodes);
    }

    /// Replaces the secrets: the first seals from now on, all open.
    pub async fn set_secrets(&self, secrets: Secrets) {
        *lock(&self.origin.secrets) = secrets.clone();
        // Fails only when the layer has ended.
        drop(self.layer.port.send(PortCommand::SetSecrets(secrets)).await);
    }

    /// Announces another address. The carrier is rebuilt for it, if it is another.
    ///
    /// # Errors
    ///
    /// If the address is of no use to peers; the old one stays.
    pub fn set_advertise(&self, addr: SocketAddr) -> Result<(), StartError> {
        self.command(Command::Advertise(usable(addr).ok_or(StartError::Advertise(addr))?));
        Ok(())
    }

    /// Every peer that the carrier knows or that was heard in the last twenty minutes, by node id. Empty once the
    /// layer has ended.
    pub async fn peers(&self) -> Vec<PeerInfo> {
        let (answer, members) = oneshot::channel();
        self.command(Command::Members(answer));
        let members = members.await.unwrap_or_default();
        let (answer, heard) = oneshot::channel();
        drop(self.layer.port.send(PortCommand::Heard(answer)).await);
        let mut heard = heard.await.unwrap_or_default();
        heard.sort_by_key(|heard| heard.at);
        let mut peers: BTreeMap<NodeId, PeerInfo> = BTreeMap::new();
        let unknown = |node| PeerInfo {
            node,
            addr: None,
            alive: false,
            heard_from: BTreeSet::new(),
            last_heard: None,
            key: None,
        };
        for member in members {
            let peer = peers.entry(member.node).or_insert_with(|| unknown(member.node));
            (peer.addr, peer.alive) = (Some(member.addr), member.alive);
        }
        for heard in heard {
            let peer = peers.entry(heard.node).or_insert_with(|| unknown(heard.node));
            peer.heard_from.insert(heard.addr);
            (peer.last_heard, peer.key) = (Some(heard.at), Some(heard.key));
        }
        peers.into_values().collect()
    }

    /// Whether all tasks of the layer run and answer, for the watchdog: to be called within a time limit, since a
    /// task that hangs does not answer.
    pub async fn responds(&self) -> bool {
        let (answer, members) = oneshot::channel();
        self.command(Command::Members(answer));
        let (heard_answer, heard) = oneshot::channel();
        let asked = self.layer.port.send(PortCommand::Heard(heard_answer)).await.is_ok();
        asked && members.await.is_ok() && heard.await.is_ok() && self.layer.is_whole().await
    }

    /// Ends the layer as it is, working or not, and starts it anew on the same socket, with the secrets and bootstrap nodes it
    /// has, these records, and this address to announce. Counts go on.
    ///
    /// # Errors
    ///
    /// If it does not start; nothing runs then, and this may be tried again.
    pub async fn restart(
        &self,
        records: Vec<(String, String)>,
        advertise: SocketAddr,
    ) -> Result<(GossipHandle, mpsc::Receiver<Event>), StartError> {
        self.layer.end().await;
        let mut config = self.origin.config.clone();
        (config.records, config.advertise) = (records, advertise);
        config.bootstrap = self.layer.bootstrap.borrow().clone();
        let origin = Origin {
            config,
            socket: self.origin.socket.try_clone()?,
            gate: Arc::clone(&self.origin.gate),
            secrets: Mutex::new(lock(&self.origin.secrets).clone()),
        };
        self.counters.layer_restarts.add(1);
        Self::launch(origin, Arc::clone(&self.counters))
    }

    /// The counts so far.
    #[must_use]
    pub fn counters(&self) -> CountersSnapshot {
        self.counters.snapshot()
    }

    /// Ends gossiping: what was to be sent is sent, then the socket is closed.
    pub async fn shutdown(self) {
        self.command(Command::Shutdown);
        let (answer, done) = oneshot::channel();
        if self.layer.port.send(PortCommand::Shutdown(answer)).await.is_ok() {
            drop(done.await);
        }
        self.layer.end().await;
    }

    fn command(&self, command: Command) {
        // Fails only when the layer has ended.
        drop(self.layer.carrier.send(command));
    }

    #[cfg(test)]
    pub(super) fn hang(&self) {
        self.command(Command::Hang);
    }

    #[cfg(test)]
    pub(super) fn inject(&self, from: SocketAddr, message: chitchat::ChitchatMessage) {
        self.command(Command::Inject(from, message));
    }
}

fn check(key: &str, value: &str) -> Result<(), SetError> {
    if is_fit(key, value) { Ok(()) } else { Err(SetError { key: key.to_owned(), len: value.len() }) }
}

fn usable(addr: SocketAddr) -> Option<SocketAddr> {
    let addr = normalise(addr);
    is_usable(addr).then_some(addr)
}
