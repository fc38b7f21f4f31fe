//! The attacker itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesher_claims::keys::{self, HostKey};
use mesher_claims::record::Record;
use mesherd::gossip::{
    self, Event, Gate, Generations, Gossip, GossipConfig, GossipHandle, NodeId, Secrets, Verdict,
};
use tokio::sync::mpsc;

use crate::SOON;
use crate::attack::records::{Host, now_ms, pushes};
use crate::cluster::{Cluster, Daemon};

/// The last number of the attacker's address.
pub const MALLORY: u8 = 9;

/// The attacker: the gossip layer as the daemon has it, with nothing that holds it back.
pub struct Mallory {
    pub host: Host,
    pub handle: GossipHandle,
    events: mpsc::Receiver<Event>,
    victim: SocketAddr,
}

struct Anything;

impl Gate for Anything {
    fn admit(&self, _: NodeId, _: &str, _: &str) -> Verdict {
        Verdict::Admit
    }
}

struct First;

impl Generations for First {
    fn next(&self) -> std::io::Result<u64> {
        Ok(now_ms())
    }
}

impl Mallory {
    pub fn join(cluster: &Cluster, victim: &Daemon) -> Self {
        let host = Host::new(cluster.key.network_id(), [66; 32], "mallory", cluster.ip(MALLORY));
        let victim = SocketAddr::new(victim.address, cluster.port());
        let socket = gossip::bind(cluster.at_port(MALLORY)).unwrap();
        let node = NodeId::from_bytes(keys::NodeId::from(host.host_key()).0);
        let mut config = GossipConfig::new(node, cluster.at_port(MALLORY), Arc::new(First));
        config.network = cluster.key.network_id().0.to_vec();
        config.interval = Duration::from_millis(200);
        config.bootstrap = vec![gossip::BootstrapNode::Addr(victim)];
        let secret = mesher_config::secret::read_secret(&cluster.dir.path().join("network.secret")).unwrap();
        let secrets = Secrets::new([*secret.expose()]).unwrap();
        let (handle, events) = Gossip::start(config, socket, secrets, Arc::new(Anything)).unwrap();
        Self { host, handle, events, victim }
    }

    pub fn me(&self) -> HostKey {
        self.host.host_key()
    }

    /// Sends bytes as a message, and waits while too much is under way.
    pub async fn send(&self, bytes: Vec<u8>) {
        let bytes: Arc<[u8]> = bytes.into();
        while self.handle.send(self.victim, Arc::clone(&bytes)).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Below what one host may send: what is refused here must be refused for what it says.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }

    pub async fn push(&self, records: Vec<Record>) {
        for message in pushes(records) {
            self.send(message).await;
        }
    }

    /// Pushes a record that no honest program could make: any text under any key.
    pub async fn push_text(&self, key: &str, value: &str) {
        // Version, records, pushed, one of them, key, value, age 0: the encoding of `mesher_claims::message`.
        let mut bytes = vec![1, 1, 1];
        borsh::to_writer(&mut bytes, &vec![(key.to_owned(), value.to_owned(), (0u8, 0u64))]).unwrap();
        self.send(bytes).await;
    }

    /// Waits for a record of somebody else's, as gossip brings it.
    pub async fn overhear(&mut self, wanted: &str) -> String {
        let found = async {
            loop {
                match self.events.recv().await.expect("gossip runs") {
                    Event::Record { key, value, .. } if key == wanted => return value,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(SOON, found).await.unwrap_or_else(|_| panic!("no record {wanted}"))
    }

    /// The settings of the first revision, as every member has them.
    pub fn overhear_settings(&self, cluster: &Cluster) -> String {
        let file = cluster.dir.path().join("network.settings");
        let settings = mesher_config::settings::read(&file, &self.host.network).unwrap();
        Record::Settings(settings).carrier_value()
    }
}
