//! The daemon: one loop that feeds the node what comes in and carries out what it decides.
//!
//! ```text
//! gossip events ─┐                       ┌─► state directory (before anything is sent)
//! addresses ─────┤                       ├─► gossip: carrier, pushes, digests
//! control ───────┼─► Node (pure) ─ effects ┼─► journal, status line
//! clock, signals ┘         │             └
//!                          └─ view ─► publisher ─► hosts table
//! ```

mod addresses;
mod answering;
mod answers;
mod certificate;
pub mod clock;
mod contacts;
mod control;
mod doubles;
mod effects;
mod explain;
mod files;
mod gate;
mod reload;
mod revive;
mod secrets;
mod serve;
mod signals;
mod start;
mod status;
mod traffic;
mod uncounted;
mod warnings;
mod words;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use mesher_claims::keys::NetworkId;
use mesher_claims::names::ClaimName;
use mesher_claims::node::Node;
use mesher_config::Config;
use tokio::sync::watch;

use crate::cli::{Failure, Options};
use crate::exports::Exporter;
use crate::gossip::GossipHandle;
use crate::interfaces::{Selection, Snapshot};
use crate::publish::Publisher;
use crate::state::StateDirectory;
use crate::systemd::notify::Notifier;
use crate::systemd::rate_limit::RateLimit;
use crate::systemd::watchdog::{Heartbeat, Watchdog};
use answering::Answers;
use certificate::OwnCertificate;
use contacts::Contacts;
use doubles::Doubles;
use gate::SharedVerifier;
use secrets::SecretsInUse;
use signals::Signals;
use traffic::Traffic;
use uncounted::Refused;

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// When it cannot start, with what the operator is to do about it.
pub async fn run(options: Options) -> Result<(), Failure> {
    // First of all: whoever finds the control socket there may tell the daemon to stop, and then it must end in order.
    let signals = Signals::new()
        .map_err(|error| Failure::Other(format!("the signals to stop cannot be caught: {error}")))?;
    let (daemon, inputs) = start::start(options.in_full()).await?;
    daemon.serve(inputs, signals).await;
    Ok(())
}

/// Everything the loop holds.
struct Daemon {
    options: Options,
    config: Config,
    network: NetworkId,
    verifier: SharedVerifier,
    started: SystemTime,
    node: Node,
    state: Arc<StateDirectory>,
    publisher: Publisher,
    exporter: Exporter,
    /// When the metrics were last exported.
    metrics_exported: Option<Instant>,
    gossip: GossipHandle,
    contacts: Contacts,
    traffic: Traffic,
    answers: Answers,
    own_certificate: OwnCertificate,
    secrets: SecretsInUse,
    refused: Refused,
    notifier: Notifier,
    watchdog: Arc<Watchdog>,
    /// The loop makes progress, and the table is kept up.
    publishing: Heartbeat,
    /// Gossip answers.
    gossiping: Heartbeat,
    /// When it last did.
    gossip_answered: Instant,
    /// How often it has not, since.
    gossip_missed: u32,
    /// Names claimed at run time, beside those of the configuration.
    extra_names: BTreeSet<ClaimName>,
    /// This machine's addresses, as last read.
    snapshot: Snapshot,
    selection: watch::Sender<Selection>,
    /// The address peers are told.
    advertised: std::net::SocketAddr,
    /// Where the gossip socket is bound.
    bound: std::net::SocketAddr,
    /// What was published last: the view's generation, and the table's settings.
    published: Option<(u64, u64, crate::publish::Publishing)>,
    doubles: Doubles,
    refusals: RateLimit<String>,
    saved_store: Instant,
    store_dirty: bool,
    saving_failed: bool,
    /// What was told since saving began to fail.
    told_unsaved: BTreeSet<String>,
}
