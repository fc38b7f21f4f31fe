//! Gossip: carries records between the nodes of a network, and opaque messages between two of them.
//!
//! Records are text here, a key and a value filed under a node's id; what they mean and whether they are signed is
//! asked of the [`Gate`]. The engine is the crate `chitchat`, behind a transport of our own (`docs/gossip.md`); its
//! types do not leave this folder, so that another engine can take its place.
//!
//! | part | is for |
//! |---|---|
//! | `wire` | sealed datagrams, proof that a sender is there, replays, splitting; pure |
//! | `port` | the task with the UDP socket |
//! | `carrier` | chitchat: encoding, filter, supervision, pace |
//! | `bootstrap`, `resolve` | peers to begin with |
//! | `layer`, `handle` | all these tasks; what the daemon holds of them |

mod addresses;
mod bootstrap;
mod bytes;
mod carrier;
mod counters;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handle;
mod layer;
mod node_id;
mod port;
mod resolve;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use counters::CountersSnapshot;
pub use handle::{Gossip, GossipHandle, PeerInfo, SendError, SetError, StartError};
pub use node_id::{NodeId, NodeIdError};
pub use resolve::{BootstrapNode, BootstrapNodeError, Lookup, Resolver, SystemResolver};
pub use socket::{bind, bind_any, inherit};
pub(crate) use wire::limiter::{Limiter, Rate};
pub use wire::{KeyId, Secrets};

/// Longest opaque message, in bytes.
pub const MAX_MESSAGE: usize = wire::MAX_MESSAGE;

/// What the gossip layer needs to know. Times, lists and secrets can be changed while it runs.
#[derive(Clone)]
pub struct GossipConfig {
    /// This node.
    pub node: NodeId,
    /// The network's id in any form: datagrams of another network do not open even under the same secret.
    pub network: Vec<u8>,
    /// The address that peers are told. Reachable from elsewhere: with a wildcard socket, the first address that the
    /// host announces, with the socket's port. Never link-local, for scopes are not carried. A node that has no
    /// address yet may give a loopback one and call [`GossipHandle::set_advertise`] later. Peers that cannot use it
    /// (another family, address translation) use what this node's datagrams come from instead.
    pub advertise: SocketAddr,
    /// Peers to begin with; may contain this node.
    pub bootstrap: Vec<BootstrapNode>,
    /// Looks up their names.
    pub resolver: Arc<dyn Resolver>,
    /// Time between rounds: 1 s suits; at most 60 s.
    pub interval: Duration,
    /// Gives out generations.
    pub generations: Arc<dyn Generations>,
    /// Records set from the start.
    pub records: Vec<(String, String)>,
    /// Events that may wait for the daemon. With none to spare, messages are dropped, and offered again later.
    pub event_capacity: usize,
}

impl GossipConfig {
    /// A configuration with the usual interval (1 s), no records, no bootstrap nodes, and the system's resolver.
    #[must_use]
    pub fn new(node: NodeId, advertise: SocketAddr, generations: Arc<dyn Generations>) -> Self {
        Self {
            node,
            network: Vec::new(),
            advertise,
            bootstrap: Vec::new(),
            resolver: Arc::new(SystemResolver),
            interval: Duration::from_secs(1),
            generations,
            records: Vec::new(),
            event_capacity: 4096,
        }
    }
}

/// Numbers this node's runs.
pub trait Generations: Send + Sync {
    /// A generation larger than all before, already persistent: two runs under one generation destroy each other's
    /// records. `max(last + 1, unix time in milliseconds)` is right.
    ///
    /// # Errors
    ///
    /// When it cannot be made persistent. It is asked for again every second.
    fn next(&self) -> io::Result<u64>;
}

/// Judges records before the carrier sees them.
pub trait Gate: Send + Sync {
    /// Whether `node` may have said this: signature, form, limits. Called on the gossip task for every record of
    /// every exchange, so it must not wait. Limits on the number of a host's records are the gate's.
    fn admit(&self, node: NodeId, key: &str, value: &str) -> Verdict;
}

/// What a [`Gate`] says of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The daemon gets it, and the carrier passes it on.
    Admit,
    /// It is dropped and counted, for this reason. The rest of its message is not touched.
    Refuse(&'static str),
    /// The daemon gets it, the carrier does not.
    StoreOnly,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A record that the gate admitted. May come more than once, and in any order. Records filed under this node's
    /// own id come too, when somebody else offers them: the carrier itself never takes them for its present run.
    Record {
        /// Under whose id it is filed.
        node: NodeId,
        /// Its key.
        key: String,
        /// Its value.
        value: String,
        /// Whether the carrier takes its host to be alive now. When a host comes alive, after
        /// [`Event::PeerUp`] all its records come once more with `true`.
        alive: bool,
    },
    /// An opaque message from a member that has shown to be there.
    Message {
        /// Where it came from; answers go there.
        from: SocketAddr,
        /// Who the sender says it is. Any member can lie here.
        node: NodeId,
        /// What it sent.
        bytes: Vec<u8>,
    },
    /// A node is alive, by the carrier's judgement.
    PeerUp {
        /// The node.
        node: NodeId,
        /// The address it announces.
        addr: SocketAddr,
    },
    /// A node is not alive any more.
    PeerDown {
        /// The node.
        node: NodeId,
        /// The address it announced.
        addr: SocketAddr,
    },
    /// The carrier was rebuilt, and this node's records set again.
    CarrierRestarted {
        /// The new generation.
        generation: u64,
        /// Why.
        reason: RestartReason,
    },
}

/// Why the carrier was rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestartReason {
    /// Its task ended.
    Ended,
    /// Its task failed or panicked.
    Failed(String),
    /// Its task hangs.
    Hung,
    /// The daemon announced another address.
    AddressChanged,
    /// A member pushed this run's numbers near their end.
    NumbersSpent,
}

impl fmt::Display for RestartReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("its task ended"),
            Self::Failed(why) => write!(f, "its task failed: {why}"),
            Self::Hung => f.write_str("its task made no progress"),
            Self::AddressChanged => f.write_str("the announced address changed"),
            Self::NumbersSpent => f.write_str("a member overstated this node's versions"),
        }
    }
}
