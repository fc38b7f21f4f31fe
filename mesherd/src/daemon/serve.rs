//! The loop.

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesher_claims::message::Message;
use mesher_claims::node::Via;
use mesher_claims::store::AgedRecord;
use mesher_claims::time::Age;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::clock;
use super::signals::{Signals, Told};
use super::start::Inputs;
use super::traffic::Purpose as SentFor;
use super::{Daemon, addresses, start, words};
use crate::control::{AccessPolicy, Request, Server};
use crate::exports::METRICS_EVERY;
use crate::gossip::{self, NodeId};
use crate::interfaces::Snapshot;
use crate::publish::EXTEND_EVERY;
use crate::systemd::{events, journal};

/// So many events are taken in before their consequences are drawn: a burst costs one view, not one each.
const BATCH: usize = 256;
/// And so much of the processor's time, which does not depend on what else the machine does: whoever asks on the control socket, the
/// table's lease and the watchdog get their turn, whatever members send.
const BATCH_TIME: Duration = Duration::from_millis(25);
/// Requests on the control socket that may wait.
const CONTROL_QUEUE: usize = 64;
/// A changed store is saved this often at most. After a crash what is older is learnt from peers again.
const SAVE_STORE_EVERY: Duration = Duration::from_secs(30);
/// And with a short TTL at least in this part of it, so that a restart finds leases that still run.
const SAVE_STORE_TTL_PART: u32 = 5;

/// A peer that has shown up is told of by its label, which its record brings a moment later; without one for so long, by its id.
const NAMELESS_FOR: Duration = Duration::from_secs(10);

impl Daemon {
    /// Serves until SIGTERM or SIGINT.
    pub(super) async fn serve(mut self, inputs: Inputs, mut signals: Signals) {
        let Inputs { gossip: mut gossip_events, mut snapshots, control } = inputs;
        let mut control = self.serve_control(control);
        self.settle().await;
        self.notifier.ready(&self.sentence());
        journal::event(events::STARTED).log(format_args!(
            "mesherd {} serves network {} as {} on {}, table {}",
            env!("CARGO_PKG_VERSION"),
            self.network,
            self.config.host.label,
            self.bound,
            self.publisher.path().display()
        ));
        let beats = self.watchdog.beat_interval().unwrap_or(EXTEND_EVERY);
        let mut extend = tokio::time::interval(EXTEND_EVERY.min(beats));
        extend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(event) = gossip_events.recv() => self.gossip_events(event, &mut gossip_events),
                Ok(()) = snapshots.changed() => {
                    let snapshot = snapshots.borrow_and_update().clone();
                    self.addresses_changed(snapshot);
                }
                Some(request) = control.recv() => self.answer(request).await,
                () = sleep(self.until_next_tick()) => {}
                _ = extend.tick() => {
                    self.keep_up().await;
                    if let Some(events) = self.keep_gossip().await {
                        gossip_events = events;
                    }
                }
                ended = signals.next() => match ended {
                    Told::Stop(why) => break self.stop(why).await,
                    Told::Reload => drop(self.reload(None).await),
                },
            }
            self.node.tick(clock::now());
            self.settle().await;
            // While events come without a pause nothing above waits, and the tasks that read and write the sockets would get a turn
            // only after a hundred of these.
            yield_now().await;
        }
    }

    /// Starts the control server and the watchdog; both live as long as the process.
    fn serve_control(&self, listener: UnixListener) -> mpsc::Receiver<Request> {
        let (requests, received) = mpsc::channel(CONTROL_QUEUE);
        // A service has a group of its own; by hand the group may be one that all users share.
        let service = std::env::var_os("INVOCATION_ID").is_some();
        let policy = if service { AccessPolicy::service() } else { AccessPolicy::by_hand() };
        let (heartbeat, interval) = (self.watchdog.part("control"), self.watchdog.beat_interval());
        match Server::new(listener, requests, policy) {
            Ok(server) => drop(tokio::spawn(server.run(Some(heartbeat), interval))),
            Err(error) => log::error!("the control socket cannot be served: {error}"),
        }
        let watchdog = Arc::clone(&self.watchdog);
        tokio::spawn(async move { watchdog.run().await });
        received
    }

    /// Never longer than the lease's own interval: CLOCK_BOOTTIME goes on while the machine sleeps, this timer does not.
    fn until_next_tick(&self) -> Duration {
        let due = self.node.next_tick_boot_ms().saturating_sub(clock::now().boot_ms);
        Duration::from_millis(due).min(EXTEND_EVERY).min(self.publisher.bridge_left().unwrap_or(EXTEND_EVERY))
    }

    fn gossip_events(&mut self, first: gossip::Event, more: &mut mpsc::Receiver<gossip::Event>) {
        let begun = clock::used();
        self.gossip_event(first);
        for _ in 1..BATCH {
            // The next may be a peer's question, whose answer would say what is not on disk yet.
            if self.node.has_to_save() || clock::used().saturating_sub(begun) > BATCH_TIME {
                break;
            }
            let Ok(event) = more.try_recv() else { break };
            self.gossip_event(event);
        }
    }

    fn gossip_event(&mut self, event: gossip::Event) {
        match event {
            gossip::Event::Record { node: _, key, value, alive } => {
                match self.verifier.record(&key, &value) {
                    Ok(record) => {
                        let aged = AgedRecord { record, age: Age::NEW };
                        self.node.receive(clock::now(), vec![aged], Via::Carrier { alive });
                    }
                    Err(refusal) => self.refused(&key, &refusal.to_string()),
                }
            }
            gossip::Event::Message { from, node, bytes } => self.message(from, node, &bytes),
            gossip::Event::PeerUp { node, addr } => self.peer_up(node, addr),
            gossip::Event::PeerDown { node, addr } => {
                if self.contacts.down(node) {
                    self.introduce(node, addr);
                    let label = self.label_or_id(node);
                    journal::event(events::PEER_DOWN).host(&label).peer(&addr).log(format_args!(
                        "{label} ({addr}) is not heard any more; its names stay until its lease is over"
                    ));
                }
            }
            gossip::Event::CarrierRestarted { generation, reason } => {
                journal::event(events::GOSSIP_RESTARTED)
                    .log(format_args!("gossip was rebuilt under generation {generation}: {reason}"))
            }
        }
    }

    fn message(&mut self, from: std::net::SocketAddr, peer: NodeId, bytes: &[u8]) {
        self.contacts.heard(peer, from, Instant::now());
        self.hope_for_peers();
        let decoded = match Message::decode_by(bytes, |key, value| self.verifier.record(key, value)) {
            Ok(decoded) => decoded,
            Err(refusal) => return self.refused(&from.to_string(), &refusal.to_string()),
        };
        for (key, refusal) in decoded.refused {
            self.refused(&format!("{from}, {key}"), &refusal.to_string());
        }
        match decoded.message {
            Message::Records { pushed, records } => {
                self.node.receive(clock::now(), records, if pushed { Via::Push } else { Via::Sync });
            }
            Message::Digest { purpose, digest } => {
                let (now, begun) = (Instant::now(), clock::used());
                if !self.answers.may_ask(now, from.ip()) {
                    return self.refused(&from.ip().to_string(), "asks for more than it is given at a time");
                }
                let mut sent = 0;
                for answer in self.node.receive_digest(clock::now(), digest, purpose) {
                    let sent_for = match answer {
                        Message::Digest { .. } => SentFor::Answer,
                        Message::Records { .. } => SentFor::Lacking,
                    };
                    let bytes: Arc<[u8]> = answer.encode().into();
                    self.traffic.sent(sent_for, bytes.len());
                    sent += bytes.len();
                    if let Err(error) = self.gossip.send_to_node(peer, from, bytes) {
                        log::debug!("{from} not answered: {error}");
                        break;
                    }
                }
                self.answers.charge(now, from.ip(), clock::used().saturating_sub(begun), sent);
            }
        }
    }

    fn peer_up(&mut self, node: NodeId, address: std::net::SocketAddr) {
        // Whether it is news, its contact remembers until it has been told.
        self.contacts.up(node, address, Instant::now());
        self.hope_for_peers();
    }

    /// Tells of the peers that have shown up, each when it has said its name, or has not for a while.
    pub(super) fn introduce_peers(&mut self) {
        let due = self
            .contacts
            .unnamed()
            .filter(|(node, _, since)| self.label_of(*node).is_some() || since.elapsed() >= NAMELESS_FOR);
        for (node, address, _) in due.collect::<Vec<_>>() {
            self.introduce(node, address);
        }
    }

    fn introduce(&mut self, node: NodeId, address: std::net::SocketAddr) {
        if self.contacts.named(node) {
            let label = self.label_or_id(node);
            journal::event(events::PEER_UP)
                .host(&label)
                .peer(&address)
                .log(format_args!("{label} ({address}) is there"));
        }
    }

    /// Once a peer has shown up, there is somebody to synchronise with.
    fn hope_for_peers(&mut self) {
        if !self.node.config().has_peers {
            let config = mesher_claims::node::NodeConfig { has_peers: true, ..self.node.config().clone() };
            self.node.set_config(clock::now(), config);
        }
    }

    fn addresses_changed(&mut self, snapshot: Snapshot) {
        if snapshot == self.snapshot {
            return;
        }
        start::note_addresses(&snapshot);
        self.snapshot = snapshot;
        let advertise = addresses::to_advertise(self.bound, &self.snapshot);
        let still_ours = self.snapshot.ips().any(|ip| ip == self.advertised.ip());
        if advertise != self.advertised && !still_ours {
            match self.gossip.set_advertise(advertise) {
                Ok(()) => {
                    self.advertised = advertise;
                    self.meet_again();
                }
                Err(error) => log::warn!("{error}"),
            }
        }
        self.apply_node_config();
    }

    /// After a change of address nobody knows where this node is, and the carrier, which is rebuilt, knows nobody. The peers are
    /// where they were.
    fn meet_again(&mut self) {
        self.contacts.forget_who_is_up(Instant::now());
        self.gossip.gossip_now(self.addresses_to_try());
        self.synchronise();
    }

    /// Every few seconds: the lease, the store on disk, the peers' addresses.
    async fn keep_up(&mut self) {
        // A table that cannot be written is told and tried again; it is no reason to be restarted.
        self.publisher.extend();
        self.publishing.beat();
        self.export_metrics().await;
        self.answers.expire(Instant::now());
        self.keep_certificate();
        self.watch_rotation();
        self.judge_own_claims_anew();
        self.save_store_when_due().await;
        if let Some(peers) = self.contacts.take_changed() {
            let state = Arc::clone(&self.state);
            let saved = tokio::task::spawn_blocking(move || state.save_peers(&peers)).await;
            if let Ok(Err(error)) = saved {
                log::debug!("the peers' addresses could not be saved: {error}");
            }
        }
    }

    async fn export_metrics(&mut self) {
        let due = self.metrics_exported.is_none_or(|at| at.elapsed() >= METRICS_EVERY);
        if due && self.exporter.wants_metrics() {
            self.metrics_exported = Some(Instant::now());
            self.exporter.metrics(self.metrics().await);
        }
    }

    async fn save_store_when_due(&mut self) {
        let ttl = self.node.settings().map(|settings| Duration::from_millis(settings.claim_ttl_ms));
        let every = ttl.map_or(SAVE_STORE_EVERY, |ttl| SAVE_STORE_EVERY.min(ttl / SAVE_STORE_TTL_PART));
        if self.store_dirty && self.saved_store.elapsed() >= every {
            self.save_store().await;
        }
    }

    async fn save_store(&mut self) {
        let (state, store) = (Arc::clone(&self.state), self.node.store().save(clock::now()));
        let saved = tokio::task::spawn_blocking(move || state.save_store(&store)).await;
        self.saved_store = Instant::now();
        match saved {
            Ok(Ok(())) => self.store_dirty = false,
            Ok(Err(error)) => log::debug!("the store could not be saved: {error}"),
            Err(error) => log::debug!("the store could not be saved: {error}"),
        }
    }

    async fn stop(&mut self, why: &str) {
        self.notifier.stopping("stopping");
        journal::event(events::STOPPING).log(format_args!("stopping on {why}"));
        // First the lease: names must not outlive a stop by more than a restart takes.
        self.publisher.retire();
        self.exporter.stop();
        self.save_store().await;
        if let Err(error) = self.state.save_peers(&self.contacts.remembered()) {
            log::debug!("the peers' addresses could not be saved: {error}");
        }
        self.gossip.clone().shutdown().await;
    }

    pub(super) fn refused(&mut self, from: &str, why: &str) {
        if let Some(line) = words::refusal(&mut self.refusals, from, why, Instant::now()) {
            journal::event(events::RECORD_REFUSED).log(format_args!("{line}"));
        }
    }

    /// What a peer is called, once its record has come.
    fn label_of(&self, node: NodeId) -> Option<String> {
        let entry = self.node.store().host_by_id(mesher_claims::keys::NodeId(node.to_bytes()))?;
        Some(entry.record()?.label.to_string())
    }

    fn label_or_id(&self, node: NodeId) -> String {
        self.label_of(node).unwrap_or_else(|| node.to_string())
    }
}
