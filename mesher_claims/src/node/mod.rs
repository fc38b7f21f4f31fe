//! One host's part in the mesh, as a state machine: records, digests, ticks and configuration go in, [`Effect`]s come out.
//!
//! It never waits and never looks at a clock; whoever drives it carries the effects out in order, and carries out none that
//! stands behind an [`Effect::SaveOwn`] that failed. The rules are those of the design's chapter "Who holds a name":
//! joining (`join.rs`) and asking peers (`asking.rs`), renewing (`renew.rs`) and breaking (`breaking.rs`), a restart (`resume.rs`), the
//! own records as others show them (`outside.rs`).

mod asking;
mod breaking;
mod config;
mod join;
mod outside;
mod own;
mod receive;
mod renew;
mod resume;
mod settings;
mod viewing;
mod witness;

use std::collections::BTreeMap;

pub use config::NodeConfig;
pub use own::{OwnState, SavedOwn};
pub use receive::Via;

use asking::Asking;

use crate::event::Event;
use crate::keys::{HostKey, NetworkId, NodeId, SecretKey};
use crate::message::Standing;
use crate::names::ClaimName;
use crate::record::{ClaimBody, Record, SettingsBody, Signed};
use crate::store::{AgedRecord, Lacking, Store};
use crate::time::{MeshClock, Now};
use crate::view::View;

/// What must happen in the world, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// [`Node::own`] must be on disk before any later effect is carried out. If that fails, the later effects are dropped
    /// and [`Node::save_failed`] is called.
    SaveOwn,
    /// Put these own records into the carrier.
    Carry(Vec<Record>),
    /// Push these to a few live peers at once.
    Push(Vec<AgedRecord>),
    /// Pass these on, where not every peer was pushed to by whom they came from.
    Forward(Vec<AgedRecord>),
    /// Send the own digest to bootstrap nodes and live peers (while joining: to all, else to a random one).
    Synchronise,
    /// Tell the operator.
    Tell(Event),
}

/// How far a host has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It listens and announces nothing.
    Joining {
        /// When it stops waiting for peers, on CLOCK_BOOTTIME in milliseconds.
        until_boot_ms: u64,
    },
    /// It announces its claims and renews them.
    Running,
    /// Another machine runs with a copy of its key: it announces nothing more.
    Silenced,
}

/// One host's state machine.
#[derive(Debug)]
pub struct Node {
    network: NetworkId,
    key: SecretKey,
    me: HostKey,
    instance: u64,
    config: NodeConfig,
    store: Store,
    own: OwnState,
    phase: Phase,
    clock: MeshClock,
    view: View,
    view_generation: u64,
    viewed_revision: Option<u64>,
    viewed_until_boot_ms: u64,
    /// Nothing was on disk: own records from peers are adopted.
    fresh: bool,
    /// The last renewal was made by this process, so that CLOCK_BOOTTIME alone tells how long ago.
    renewed_in_this_run: bool,
    peer_said_expired: bool,
    overtaken: u32,
    copy_reported: bool,
    waiting_told: bool,
    asking: Asking,
    /// This host's clock has been held against a peer's in this run.
    clock_compared: bool,
    /// What was signed last could not be saved, so it never left this machine.
    unsaved: bool,
    /// The last renewal before the one that is being saved, and whether it was of this run.
    renewal_before: (Option<Now>, bool),
    /// The shortest TTL of this run, if it was raised since.
    shorter_ttl_ms: Option<u64>,
    /// The store's revision that this witness has judged.
    witnessed_revision: Option<u64>,
    /// What is still lacking of the digest that must be satisfied to be synchronised, and the standing of the peer it is from.
    wanted: Option<(Standing, Lacking)>,
    /// The newest host record of this very host that a peer showed: its own state may have been set back.
    own_record_seen: u64,
    /// A peer answered since this host began to join.
    answered: bool,
    next_renewal_boot_ms: u64,
    announce_all: bool,
    /// Own claims that peers showed while joining, unlike what is known here.
    unsettled: BTreeMap<ClaimName, Signed<ClaimBody>>,
    skew_told: BTreeMap<HostKey, u64>,
    effects: Vec<Effect>,
}

impl Node {
    /// A node that starts: with the store and the own state as they were saved, or empty ones. `instance` is random.
    pub fn start(
        network: NetworkId,
        key: SecretKey,
        instance: u64,
        config: NodeConfig,
        store: Store,
        own: Option<OwnState>,
        now: Now,
    ) -> Self {
        let me = key.host_key();
        let fresh = own.as_ref().is_none_or(|own| own.record().is_none());
        let wait_ms = if config.has_peers { config.join_timeout_ms } else { 0 };
        let mut node = Self {
            network,
            key,
            me,
            instance,
            store,
            own: own.unwrap_or_default(),
            phase: Phase::Joining { until_boot_ms: now.boot_ms + wait_ms },
            clock: MeshClock::new(now),
            view: View::default(),
            view_generation: 0,
            viewed_revision: None,
            viewed_until_boot_ms: 0,
            fresh,
            renewed_in_this_run: false,
            peer_said_expired: false,
            overtaken: 0,
            copy_reported: false,
            waiting_told: false,
            asking: Asking::begin(now.boot_ms),
            clock_compared: false,
            unsaved: false,
            renewal_before: (None, false),
            shorter_ttl_ms: None,
            witnessed_revision: None,
            wanted: None,
            own_record_seen: 0,
            answered: false,
            next_renewal_boot_ms: now.boot_ms,
            announce_all: true,
            unsettled: BTreeMap::new(),
            skew_told: BTreeMap::new(),
            effects: Vec::new(),
            config,
        };
        node.take_up_saved_records(now);
        node.take_up_certificate(now);
        node
    }

    /// This host's key.
    pub fn me(&self) -> HostKey {
        self.me
    }

    /// Random per start; goes into every host record.
    pub fn instance(&self) -> u64 {
        self.instance
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether another machine has been found to run with a copy of this host's key.
    pub fn key_is_copied(&self) -> bool {
        self.copy_reported
    }

    /// All records known.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What must be on disk: see [`Effect::SaveOwn`].
    pub fn own(&self) -> &OwnState {
        &self.own
    }

    /// What this host wants to be.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// The settings in force.
    pub fn settings(&self) -> Option<&Signed<SettingsBody>> {
        self.store.settings()
    }

    /// Mesh time in milliseconds since 1970.
    pub fn mesh_ms(&self, now: Now) -> u64 {
        self.clock.at(now)
    }

    /// The effects since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether an effect waits that saves: until that is done, nothing may be sent that this node has to say of itself.
    pub fn has_to_save(&self) -> bool {
        self.effects.contains(&Effect::SaveOwn)
    }

    /// The own records, for a carrier that starts anew; none before this host has joined.
    pub fn own_records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.settings().cloned().map(Record::Settings).into_iter().collect();
        if self.phase == Phase::Running && !self.unsaved {
            records.extend(
                self.store
                    .host(&self.me)
                    .and_then(|entry| entry.certificate())
                    .cloned()
                    .map(Record::Certificate),
            );
            records.extend(self.own.statements().cloned().map(Record::Statement));
            records.extend(self.own.claims().cloned().map(Record::Claim));
            records.extend(self.own.record().cloned().map(Record::Host));
        }
        records
    }

    /// Saving failed: what was to be announced is announced again later, under new sequence numbers.
    pub fn save_failed(&mut self, now: Now) {
        let (renewal, in_this_run) = self.renewal_before;
        self.own.take_renewal_back(renewal);
        self.renewed_in_this_run = in_this_run;
        self.unsaved = true;
        if self.store.claim_ttl_ms().is_some_and(|ttl| self.lapsed(now, ttl)) {
            self.give_own_names_up(now);
        }
        self.announce_all = true;
        self.next_renewal_boot_ms = now.boot_ms + 1_000;
    }

    /// Lets time act: expiry, renewal, joining, synchronising. To be called at [`Node::next_tick_boot_ms`] or before.
    pub fn tick(&mut self, now: Now) {
        let expired = self.store.expire(now);
        if let Some((_, lacking)) = &mut self.wanted
            && !expired.is_empty()
        {
            self.store.strike_out(now, lacking, expired.iter().copied().map(NodeId::from));
            self.check_synchronised(now);
        }
        for host in expired {
            if host != self.me {
                self.tell_expired(host);
            }
        }
        match self.phase {
            Phase::Joining { until_boot_ms } => self.tick_joining(now, until_boot_ms),
            Phase::Running => self.tick_running(now),
            Phase::Silenced => {}
        }
        if self.config.has_peers && now.boot_ms >= self.asking.due_boot_ms() {
            self.synchronise(now);
        }
    }

    /// When [`Node::tick`] has something to do next, on CLOCK_BOOTTIME in milliseconds.
    pub fn next_tick_boot_ms(&self) -> u64 {
        let phase = match self.phase {
            Phase::Joining { until_boot_ms } if self.settings().is_some() || !self.waiting_told => {
                until_boot_ms
            }
            // What a peer said takes effect at once.
            Phase::Running if self.peer_said_expired && !self.unsaved => 0,
            Phase::Running => self.next_renewal_boot_ms,
            Phase::Joining { .. } | Phase::Silenced => u64::MAX,
        };
        let sync = if self.config.has_peers { self.asking.due_boot_ms() } else { u64::MAX };
        phase.min(sync).min(self.store.next_lease_end_boot_ms().unwrap_or(u64::MAX))
    }

    fn tell(&mut self, event: Event) {
        self.effects.push(Effect::Tell(event));
    }

    fn tell_expired(&mut self, host: HostKey) {
        let label =
            self.store.host(&host).and_then(|entry| entry.record()).map(|record| record.label.clone());
        if let Some(label) = label {
            self.tell(Event::HostExpired { host, label });
        }
    }
}
