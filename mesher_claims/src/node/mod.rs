//! One host's part in the mesh, as a state machine: records, digests, ticks and configuration go in, [`Effect`]s come out.
//!
//! It never waits and never looks at a clock; whoever drives it carries the effects out in order, and carries out none that
//! stands behind an [`Effect::SaveOwn`] that failed. The rules are those of the design's chapter "Who holds a name":
//! joining in [`join`](self), renewing and breaking in `renew.rs`, the own records as others show them in `outside.rs`.

mod join;
mod outside;
mod own;
mod receive;
mod renew;
mod viewing;
mod witness;

use std::collections::BTreeMap;

pub use own::{OwnState, SavedOwn};
pub use receive::Via;

use crate::address::Addresses;
use crate::event::{BrokenBy, Event};
use crate::keys::{HostKey, NetworkId, NodeId, SecretKey};
use crate::message::Standing;
use crate::names::{ClaimName, Label};
use crate::record::{CertificateBody, ClaimBody, Record, SettingsBody, Signed};
use crate::store::{AgedRecord, Lacking, Merged, Store};
use crate::time::{Age, MeshClock, Now, broken_after_ms};
use crate::view::View;

/// What this host wants to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// What it calls itself.
    pub label: Label,
    /// The names it claims, each with its own addresses if it does not point at the host's.
    pub names: BTreeMap<ClaimName, Option<Addresses>>,
    /// Where it is.
    pub addresses: Addresses,
    /// How long it waits for a peer before it claims on its own, in milliseconds.
    pub join_timeout_ms: u64,
    /// Whether there is anybody to hope for: bootstrap nodes other than itself, or peers remembered.
    pub has_peers: bool,
    /// Its certificate, where the network asks for one.
    pub certificate: Option<Signed<CertificateBody>>,
}

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
    next_sync_boot_ms: u64,
    last_sync_boot_ms: u64,
    sync_answer_due_boot_ms: Option<u64>,
    sync_attempts: u32,
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
            next_sync_boot_ms: now.boot_ms,
            last_sync_boot_ms: 0,
            sync_answer_due_boot_ms: None,
            sync_attempts: 0,
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

    /// Brings in settings from this machine's own file. They spread if they are newer than what the network has.
    pub fn bring_settings(&mut self, now: Now, settings: Signed<SettingsBody>) {
        self.gives_up_if_broken(now);
        self.take_settings(now, settings);
    }

    /// Takes over a changed configuration: names are claimed and withdrawn, addresses announced, at once if running.
    pub fn set_config(&mut self, now: Now, config: NodeConfig) {
        if config == self.config {
            return;
        }
        self.config = config;
        self.take_up_certificate(now);
        if !self.gives_up_if_broken(now) && self.phase == Phase::Running {
            self.reconcile(now);
        }
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
        if self.config.has_peers && now.boot_ms >= self.sync_due_boot_ms() {
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
        let sync = if self.config.has_peers { self.sync_due_boot_ms() } else { u64::MAX };
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

    /// Puts the saved own records into the store, with the age they have by now.
    fn take_up_saved_records(&mut self, now: Now) {
        // The store may have been saved with what could not be saved here.
        if let Some(entry) = self.store.host(&self.me).filter(|_| !self.fresh) {
            let (record, claims): (_, Vec<_>) = (entry.record().cloned(), entry.claims().cloned().collect());
            record.iter().for_each(|record| self.own.see_record(record));
            // Or it has the word of a copy of this machine's key, to which this one had yielded when it last ran.
            for claim in claims {
                let own = self.own.claim(&claim.name);
                if own.is_none_or(|own| *own != claim && own.seq <= claim.seq) {
                    self.own.see_seq(claim.seq);
                    self.unsettled.insert(claim.name.clone(), claim);
                }
            }
        }
        // What it stated stands, be it that only the store remembers: it states nothing twice.
        for statement in self.store.host(&self.me).iter().flat_map(|entry| entry.statements()) {
            self.own.see_statement(statement);
        }
        for statement in self.own.statements().cloned().collect::<Vec<_>>() {
            self.store.merge(now, Record::Statement(statement), Age::NEW);
        }
        let Some(record) = self.own.record().cloned() else { return };
        let age_ms = self.own.last_renewal().map_or(u64::MAX, |at| now.passed_since(at));
        for claim in self.own.claims().cloned().collect::<Vec<_>>() {
            self.store.merge(now, Record::Claim(claim), Age::NEW);
        }
        self.store.merge(now, Record::Host(record), Age::Fresh(age_ms.min(i64::MAX as u64)));
        if self.store.claim_ttl_ms().is_some_and(|ttl| self.lapsed(now, ttl)) {
            self.give_own_names_up(now);
        }
    }

    fn take_up_certificate(&mut self, now: Now) {
        let Some(certificate) = self.config.certificate.clone() else { return };
        let record = Record::Certificate(certificate);
        if self.store.merge(now, record.clone(), Age::NEW) == Merged::New && self.phase == Phase::Running {
            self.effects.push(Effect::Carry(vec![record.clone()]));
            self.effects.push(Effect::Push(vec![AgedRecord { record, age: Age::NEW }]));
        }
    }

    fn take_settings(&mut self, now: Now, settings: Signed<SettingsBody>) -> Merged {
        let ttl_before = self.store.claim_ttl_ms();
        let merged = self.store.merge(now, Record::Settings(settings.clone()), Age::NEW);
        if merged == Merged::New {
            if let Some((_, lacking)) = &mut self.wanted {
                // What hosts' records say of them depends on the settings.
                self.store.strike_out_all(now, lacking);
            }
            self.ttl_changed(now, ttl_before, settings.claim_ttl_ms);
            self.tell(Event::SettingsChanged {
                revision: settings.revision,
                domain: settings.domain.to_string(),
                claim_ttl_ms: settings.claim_ttl_ms,
            });
            let record = Record::Settings(settings);
            self.effects.push(Effect::Carry(vec![record.clone()]));
            self.effects.push(Effect::Push(vec![AgedRecord { record, age: Age::NEW }]));
        }
        merged
    }

    /// A host that is up renews at once by a changed TTL, so that neither it nor its peers judge an old renewal by a new TTL.
    fn ttl_changed(&mut self, now: Now, before: Option<u64>, after: u64) {
        let Some(before) = before.filter(|before| *before != after) else { return };
        let shortest = self.shorter_ttl_ms.unwrap_or(before).min(before);
        self.shorter_ttl_ms = (shortest < after).then_some(shortest);
        self.announce_all |= self.phase == Phase::Running;
        self.renew(now);
    }

    /// Whether nearly the TTL has gone by without a renewal of this host's own.
    fn lapsed(&self, now: Now, claim_ttl_ms: u64) -> bool {
        let Some(last) = self.own.last_renewal() else { return true };
        // While running, a jump of the wall clock says nothing.
        let passed_ms = match self.renewed_in_this_run {
            true => now.boot_ms.saturating_sub(last.boot_ms),
            false => now.passed_since(last),
        };
        passed_ms >= broken_after_ms(claim_ttl_ms)
    }

    /// This host's claims are broken: in its own view too, nobody is to find it by them.
    fn give_own_names_up(&mut self, now: Now) {
        if let Some(seq) = self.own.record().map(|record| record.seq) {
            self.store.raise_age(now, &self.me, seq, Age::Expired);
        }
    }

    fn broken_by(&self, now: Now, claim_ttl_ms: u64) -> Option<BrokenBy> {
        if self.own.record().is_none() {
            None
        } else if self.peer_said_expired {
            Some(BrokenBy::Peer)
        } else if self.lapsed(now, claim_ttl_ms) {
            Some(BrokenBy::Lapse)
        } else {
            None
        }
    }
}
