//! One run of chitchat: started with this node's records, told what changes, and ended.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chitchat::{
    ChitchatConfig, ChitchatHandle, ChitchatId, DeletionStatus, Deserializable, FailureDetectorConfig,
    Heartbeat, ListenerHandle, VersionedValue, spawn_chitchat,
};
use tokio::sync::{Notify, mpsc};

use super::filter::MAX_NUMBER;
use super::message::Member;
use super::socket::{CarrierTransport, Shared};
use super::translate::CLUSTER;

/// How long a node that is away stays in the digest. Half of it long it is still passed on.
const DEAD_NODE_GRACE: Duration = Duration::from_secs(15 * 60);

/// The key of host records, which are renewed all the time.
const HOST_RECORD: &str = "s";

/// Messages that wait for chitchat.
const INBOX: usize = 64;

/// Notices from chitchat's callbacks, which run under its lock and may only leave a mark.
#[derive(Default)]
pub(crate) struct Notices {
    pub(crate) liveness: Notify,
    pub(crate) changed: Notify,
}

/// A run of chitchat under one generation.
pub(crate) struct Run {
    pub(crate) handle: ChitchatHandle,
    id: ChitchatId,
    /// Resolves when chitchat's task has ended, for whatever reason.
    pub(crate) ended: Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + Sync>>,
    _listener: ListenerHandle,
}

/// However the supervisor ends, chitchat's task must not gossip on without it.
impl Drop for Run {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// What became of a run's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// They are above what was said.
    Raised,
    /// They had moved on by themselves meanwhile.
    HighEnough,
    /// There is no room left above what was said.
    Spent,
}

/// Where a run takes its messages from.
pub(crate) type InboxSender = mpsc::Sender<(SocketAddr, chitchat::ChitchatMessage)>;

impl Run {
    /// Starts chitchat as `member`, with this node's records. `None`, with a line in the journal: it does not start.
    pub(crate) async fn start(
        member: Member,
        interval: Duration,
        own: &BTreeMap<String, String>,
        notices: &Arc<Notices>,
        shared: &Arc<Shared>,
    ) -> Option<(Self, InboxSender)> {
        let id = ChitchatId::new(member.node.to_string(), member.generation, member.addr);
        shared.begin_run(member);
        let (inbox, receiver) = mpsc::channel(INBOX);
        let transport = CarrierTransport { shared: Arc::clone(shared), inbox: Mutex::new(Some(receiver)) };
        let records = own.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let config = config(id.clone(), interval, Arc::clone(notices));
        let handle = match spawn_chitchat(config, records, &transport).await {
            Ok(handle) => handle,
            Err(error) => {
                // Only opening the transport can fail, and ours opens.
                log::error!("the gossip carrier does not start: {error:#}");
                return None;
            }
        };
        let listener = listen(&handle, &id, notices).await;
        let ended = Box::pin(handle.termination_watcher());
        Some((Self { handle, id, ended, _listener: listener }, inbox))
    }

    /// The generation it runs under.
    pub(crate) fn generation(&self) -> u64 {
        self.id.generation_id
    }

    /// Sets these records of this node's.
    pub(crate) async fn set(&self, records: &[(String, String)]) {
        let mut chitchat = self.handle.chitchat().lock_owned().await;
        let state = chitchat.self_node_state();
        for (key, value) in records {
            state.set(key, value);
        }
    }

    /// Begins an exchange with one address, beside the rounds.
    pub(crate) fn exchange(&self, shared: &Shared, addr: SocketAddr) {
        shared.ask(addr);
        // Fails only when the task has ended, which the watcher tells too.
        drop(self.handle.gossip(addr));
    }

    /// Puts this run's numbers above what somebody says they are: peers take nothing of us below. Records get new
    /// versions, for peers think they have all up to the false one.
    pub(crate) async fn heal(&self, heartbeat: u64, version: u64) -> Numbers {
        if version > MAX_NUMBER / 2 || heartbeat > MAX_NUMBER / 2 {
            return Numbers::Spent;
        }
        let mut chitchat = self.handle.chitchat().lock_owned().await;
        let state = chitchat.self_node_state();
        let version_before = state.max_version();
        // The number inside a heartbeat is private; its bytes are not.
        let raised = Heartbeat::deserialize(&mut &heartbeat.to_le_bytes()[..]);
        let too_low = raised.is_ok_and(|raised| state.try_set_heartbeat(raised));
        if version_before < version {
            let mut next = version;
            let records: Vec<(String, VersionedValue)> = state
                .key_values()
                .map(|(key, value)| {
                    next += 1;
                    let status = DeletionStatus::Set;
                    (key.to_owned(), VersionedValue { value: value.to_owned(), version: next, status })
                })
                .collect();
            if records.is_empty() {
                state.set_max_version(version);
            } else {
                chitchat.reset_node_state_if_update(&self.id, records.into_iter(), next, 0);
            }
        } else if !too_low {
            // The intake compares with what was last sent; the state had moved on meanwhile.
            return Numbers::HighEnough;
        }
        Numbers::Raised
    }
}

fn config(id: ChitchatId, interval: Duration, notices: Arc<Notices>) -> ChitchatConfig {
    ChitchatConfig {
        listen_addr: id.gossip_advertise_addr,
        chitchat_id: id,
        cluster_id: CLUSTER.to_owned(),
        gossip_interval: interval,
        // Bootstrap is ours: chitchat would resolve names through this machine's own module.
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig {
            phi_threshold: 8.0,
            sampling_window_size: 200,
            max_interval: interval * 60,
            initial_interval: interval * 5,
            dead_node_grace_period: DEAD_NODE_GRACE,
        },
        marked_for_deletion_grace_period: DEAD_NODE_GRACE,
        catchup_callback: None,
        // Called for each live node when one of them changed. Refusing all of them keeps chitchat from copying
        // every record of every node into a channel that nobody reads.
        extra_liveness_predicate: Some(Box::new(move |_| {
            notices.liveness.notify_one();
            false
        })),
    }
}

/// Has changes of other nodes' records noticed.
async fn listen(handle: &ChitchatHandle, own: &ChitchatId, notices: &Arc<Notices>) -> ListenerHandle {
    handle
        .with_chitchat(|chitchat| {
            let (notices, own) = (Arc::clone(notices), own.node_id.clone());
            chitchat.subscribe_event("", move |event| {
                // A renewed host record is no news that has to be anywhere at once; where more than its age has changed, the
                // daemon itself pushes it.
                if event.node.node_id != own && event.key != HOST_RECORD {
                    notices.changed.notify_one();
                }
            })
        })
        .await
}
