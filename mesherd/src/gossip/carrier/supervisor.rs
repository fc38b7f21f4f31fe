//! Keeps chitchat running: builds it, watches it, sets its keys again after a rebuild, paces it, and tells the
//! daemon who comes and goes.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chitchat::{
    Chitchat, ChitchatConfig, ChitchatHandle, ChitchatId, DeletionStatus, Deserializable,
    FailureDetectorConfig, Heartbeat, ListenerHandle, VersionedValue, spawn_chitchat,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::super::node_id::NodeId;
use super::super::{Event, Generations, RestartReason};
use super::filter::{DIGEST_LIMIT, MAX_NUMBER, is_usable};
use super::intake::Inbox;
use super::message::Member;
use super::pace;
use super::socket::{CarrierTransport, Shared, lock};
use super::translate::CLUSTER;

/// How long a node that is away stays in the digest. Half of it long it is still passed on.
const DEAD_NODE_GRACE: Duration = Duration::from_secs(15 * 60);

/// The key of host records, which are renewed all the time.
const HOST_RECORD: &str = "s";

/// Messages that wait for chitchat.
const INBOX: usize = 64;

/// How long to wait before another try when no generation could be had (a full disk), and at least between rebuilds.
const REBUILD_PAUSE: Duration = Duration::from_secs(1);

/// chitchat's task is looked at every so many intervals, in each of which it comes round at least once,
const LOOK_EVERY: u32 = 3;
/// and it hangs when it has not in so many looks in a row: one may follow a time in which nothing ran at all.
const HANGS_AFTER_LOOKS: u32 = 4;

/// What the daemon asks of the carrier.
pub(crate) enum Command {
    Set(Vec<(String, String)>),
    Forget(String),
    Gossip(Vec<SocketAddr>),
    Advertise(SocketAddr),
    Members(oneshot::Sender<Vec<MemberInfo>>),
    #[cfg(test)]
    Inject(SocketAddr, chitchat::ChitchatMessage),
    #[cfg(test)]
    Hang,
    Shutdown,
}

/// What the intake noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Somebody says this run has reached numbers that it has not.
    Overstated { heartbeat: u64, version: u64 },
    /// This peer has more for us.
    More(SocketAddr),
    /// A run was met that was not known before.
    Met,
}

/// A node as the carrier sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemberInfo {
    pub(crate) node: NodeId,
    pub(crate) addr: SocketAddr,
    pub(crate) alive: bool,
}

/// Notices from chitchat's callbacks, which run under its lock and may only leave a mark.
#[derive(Default)]
struct Notices {
    liveness: Notify,
    changed: Notify,
}

struct Run {
    handle: ChitchatHandle,
    id: ChitchatId,
    ended: Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + Sync>>,
    _listener: ListenerHandle,
}

/// However the supervisor ends, chitchat's task must not gossip on without it.
impl Drop for Run {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// The supervising task.
pub(crate) struct Supervisor {
    pub(crate) node: NodeId,
    pub(crate) advertise: SocketAddr,
    pub(crate) interval: Duration,
    pub(crate) generations: Arc<dyn Generations>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Inbox,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) signals: mpsc::Receiver<Signal>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) own: BTreeMap<String, String>,
    pub(crate) state: State,
}

/// What the task remembers from turn to turn.
#[derive(Default)]
pub(crate) struct State {
    notices: Arc<Notices>,
    alive: HashMap<NodeId, SocketAddr>,
    members: HashMap<NodeId, (u64, SocketAddr)>,
    /// Events that did not fit yet.
    outbox: VecDeque<Event>,
    /// From whom the rest of what did not fit one message is fetched.
    fetching: pace::Fetching,
    /// How often chitchat's task had come round when it was last looked at, and how many looks ago that was the same.
    turns: (u64, u32),
    /// When to begin exchanges beside the rounds, and how many more times.
    push: Option<Instant>,
    pushed: Option<Instant>,
    settling: u32,
    busy_until: Option<Instant>,
    warned_full: bool,
}

enum Turn {
    Command(Option<Command>),
    Signal(Signal),
    Liveness,
    Changed,
    Ended(anyhow::Result<()>),
    Push,
    Look,
    Quiet,
    Event,
}

impl Supervisor {
    /// Runs until the daemon shuts it down.
    pub(crate) async fn run(mut self) {
        let mut restarted: Option<RestartReason> = None;
        loop {
            let Some(mut run) = self.build().await else { return };
            if let Some(reason) = restarted.take() {
                let generation = run.id.generation_id;
                self.state.outbox.push_back(Event::CarrierRestarted { generation, reason });
            }
            let reason = self.supervise(&mut run).await;
            drop(run);
            *lock(&self.inbox) = None;
            let Some(reason) = reason else { return };
            self.shared.counters.carrier_restarts.add(1);
            log::warn!("the gossip carrier is rebuilt under a new generation: {reason}");
            if reason != RestartReason::AddressChanged && self.pause().await.is_none() {
                return;
            }
            restarted = Some(reason);
        }
    }

    /// Starts chitchat with this node's records. `None`: the daemon shut down meanwhile.
    async fn build(&mut self) -> Option<Run> {
        let generation = self.generation().await?;
        let id = ChitchatId::new(self.node.to_string(), generation, self.advertise);
        let notices = Arc::clone(&self.state.notices);
        let config = ChitchatConfig {
            chitchat_id: id.clone(),
            cluster_id: CLUSTER.to_owned(),
            gossip_interval: self.interval,
            listen_addr: self.advertise,
            // Bootstrap is ours: chitchat would resolve names through this machine's own module.
            seed_nodes: Vec::new(),
            failure_detector_config: FailureDetectorConfig {
                phi_threshold: 8.0,
                sampling_window_size: 200,
                max_interval: self.interval * 60,
                initial_interval: self.interval * 5,
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
        };
        self.shared.begin_run(Member { node: self.node, generation, addr: self.advertise });
        let (inbox, receiver) = mpsc::channel(INBOX);
        let transport =
            CarrierTransport { shared: Arc::clone(&self.shared), inbox: Mutex::new(Some(receiver)) };
        let own = self.own.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let handle = match spawn_chitchat(config, own, &transport).await {
            Ok(handle) => handle,
            Err(error) => {
                // Only opening the transport can fail, and ours opens.
                log::error!("the gossip carrier does not start: {error:#}");
                return None;
            }
        };
        let (notices, own) = (Arc::clone(&self.state.notices), self.node.to_string());
        let listener = handle
            .with_chitchat(|chitchat| {
                let (notices, own) = (Arc::clone(&notices), own.clone());
                chitchat.subscribe_event("", move |event| {
                    // A renewed host record is no news that has to be anywhere at once; where more than its age has changed, the
                    // daemon itself pushes it.
                    if *event.node.node_id != *own && event.key != HOST_RECORD {
                        notices.changed.notify_one();
                    }
                })
            })
            .await;
        *lock(&self.inbox) = Some(inbox);
        let ended = Box::pin(handle.termination_watcher());
        self.rescan(&handle).await;
        Some(Run { handle, id, ended, _listener: listener })
    }

    /// The next generation, however long it takes to have it on disk. `None`: the daemon shut down meanwhile.
    async fn generation(&mut self) -> Option<u64> {
        let mut told = false;
        loop {
            match self.generations.next() {
                Ok(generation) => return Some(generation),
                Err(error) if told => log::debug!("no generation for the gossip carrier: {error}"),
                Err(error) => {
                    log::error!("no generation for the gossip carrier, trying again every second: {error}");
                }
            }
            told = true;
            self.pause().await?;
        }
    }

    /// Waits a little, answering the daemon meanwhile.
    async fn pause(&mut self) -> Option<()> {
        let until = Instant::now() + REBUILD_PAUSE;
        loop {
            let command = tokio::select! {
                command = self.commands.recv() => command?,
                () = sleep_until(until) => return Some(()),
            };
            match command {
                Command::Set(records) => self.own.extend(records),
                Command::Forget(key) => drop(self.own.remove(&key)),
                Command::Advertise(addr) => self.advertise = addr,
                Command::Members(answer) => self.answer_members(answer),
                Command::Shutdown => return None,
                // Bootstrap tries again.
                Command::Gossip(_) => {}
                #[cfg(test)]
                Command::Inject(..) | Command::Hang => {}
            }
        }
    }

    fn answer_members(&self, answer: oneshot::Sender<Vec<MemberInfo>>) {
        let members = self.state.members.iter().map(|(node, (_, addr))| MemberInfo {
            node: *node,
            addr: *addr,
            alive: self.state.alive.contains_key(node),
        });
        // Whoever asked may have gone.
        drop(answer.send(members.collect()));
    }

    /// Serves one run of chitchat. Returns why it must be rebuilt, or `None` to shut down.
    async fn supervise(&mut self, run: &mut Run) -> Option<RestartReason> {
        let mut look = Instant::now() + self.interval * LOOK_EVERY;
        self.state.turns = (self.shared.turns(), 0);
        loop {
            let now = Instant::now();
            let quiet = self.state.busy_until;
            let push = self.state.push;
            let turn = tokio::select! {
                command = self.commands.recv() => Turn::Command(command),
                Some(signal) = self.signals.recv() => Turn::Signal(signal),
                () = self.state.notices.liveness.notified() => Turn::Liveness,
                () = self.state.notices.changed.notified() => Turn::Changed,
                ended = &mut run.ended => Turn::Ended(ended),
                () = sleep_until(push.unwrap_or(now)), if push.is_some() => Turn::Push,
                () = sleep_until(look) => Turn::Look,
                () = sleep_until(quiet.unwrap_or(now)), if quiet.is_some() => Turn::Quiet,
                Ok(permit) = self.events.reserve(), if !self.state.outbox.is_empty() => {
                    if let Some(event) = self.state.outbox.pop_front() {
                        permit.send(event);
                    }
                    Turn::Event
                }
            };
            match turn {
                Turn::Command(None | Some(Command::Shutdown)) => return None,
                Turn::Command(Some(Command::Advertise(addr))) => {
                    if addr != self.advertise {
                        self.advertise = addr;
                        return Some(RestartReason::AddressChanged);
                    }
                }
                Turn::Command(Some(command)) => self.command(run, command).await,
                Turn::Signal(Signal::More(from)) => {
                    // One peer at a time: what it has next, the others have too, and each would send all of it.
                    if self.state.fetching.may(from, Instant::now()) {
                        self.exchange(run, from);
                    }
                }
                Turn::Signal(Signal::Met) => {
                    // Liveness takes a few heartbeats: get them soon, where that is cheap.
                    self.state.settling = pace::settle_times(self.state.members.len());
                    match self.state.settling {
                        0 => self.be_busy(Instant::now()),
                        _ => self.push_after(pace::SETTLE_PUSH),
                    }
                }
                Turn::Signal(Signal::Overstated { heartbeat, version }) => {
                    if !self.heal(run, heartbeat, version).await {
                        return Some(RestartReason::NumbersSpent);
                    }
                }
                Turn::Liveness => self.rescan(&run.handle).await,
                Turn::Changed => self.relay(),
                Turn::Ended(Ok(())) => return Some(RestartReason::Ended),
                Turn::Ended(Err(error)) => return Some(RestartReason::Failed(error.to_string())),
                Turn::Push => self.push(run).await,
                Turn::Look => {
                    look = Instant::now() + self.interval * LOOK_EVERY;
                    if self.hangs() {
                        return Some(RestartReason::Hung);
                    }
                }
                Turn::Quiet => {
                    self.state.busy_until = None;
                    self.set_pace();
                }
                Turn::Event => {}
            }
        }
    }

    /// Whether chitchat's task has not come round for too long: gossip that has fallen silent must not look well.
    fn hangs(&mut self) -> bool {
        let (before, missed) = self.state.turns;
        let turns = self.shared.turns();
        self.state.turns = if turns == before { (turns, missed + 1) } else { (turns, 0) };
        self.state.turns.1 >= HANGS_AFTER_LOOKS
    }

    async fn command(&mut self, run: &Run, command: Command) {
        match command {
            Command::Set(records) => {
                let mut chitchat = run.handle.chitchat().lock_owned().await;
                let state = chitchat.self_node_state();
                for (key, value) in records {
                    state.set(&key, &value);
                    self.own.insert(key, value);
                }
                drop(chitchat);
                self.push_after(pace::OWN_PUSH);
            }
            Command::Forget(key) => drop(self.own.remove(&key)),
            Command::Gossip(addrs) => addrs.into_iter().for_each(|addr| self.exchange(run, addr)),
            Command::Members(answer) => self.answer_members(answer),
            #[cfg(test)]
            Command::Inject(from, message) => {
                let inbox = lock(&self.inbox).clone().unwrap();
                inbox.send((from, message)).await.unwrap();
            }
            #[cfg(test)]
            Command::Hang => self.shared.hang.store(true, std::sync::atomic::Ordering::Relaxed),
            Command::Advertise(_) | Command::Shutdown => {}
        }
    }

    /// Begins an exchange with one address, beside the rounds.
    fn exchange(&self, run: &Run, addr: SocketAddr) {
        self.shared.ask(addr);
        // Fails only when the task has ended, which the watcher tells too.
        drop(run.handle.gossip(addr));
    }

    fn push_after(&mut self, delay: Duration) {
        let now = Instant::now();
        self.push_at(now + delay);
        self.be_busy(now);
    }

    fn push_at(&mut self, at: Instant) {
        self.state.push = Some(self.state.push.map_or(at, |push| push.min(at)));
    }

    fn be_busy(&mut self, now: Instant) {
        self.state.busy_until = Some(now + pace::BUSY_FOR.max(self.interval * 3));
        self.set_pace();
    }

    /// A change came from elsewhere: passed on at once where that is cheap and where the origin did not reach all.
    fn relay(&mut self) {
        let now = Instant::now();
        self.be_busy(now);
        if pace::relays(self.state.members.len()) {
            // Where changes never end, relayed pushes stay fewer than a few each interval.
            let spaced = self.state.pushed.map_or(now, |pushed| pushed + self.interval / 4);
            self.push_at(spaced.max(now + pace::RELAY_PUSH));
        }
    }

    /// Begins exchanges with a few random members.
    async fn push(&mut self, run: &Run) {
        self.state.push = None;
        self.state.pushed = Some(Instant::now());
        if self.state.settling > 0 {
            self.rescan(&run.handle).await;
            self.state.settling -= 1;
            self.state.push = Some(Instant::now() + pace::SETTLE_PUSH);
        }
        let addrs: Vec<SocketAddr> = if self.state.alive.is_empty() {
            self.state.members.values().map(|(_, addr)| *addr).collect()
        } else {
            self.state.alive.values().copied().collect()
        };
        for addr in pace::choose(addrs, pace::FAN_OUT) {
            self.exchange(run, addr);
        }
    }

    fn set_pace(&self) {
        let busy = self.state.busy_until.is_some();
        self.shared.set_pass(pace::pass(self.state.members.len(), self.state.alive.len(), busy));
    }

    /// Compares who is known and alive with what was known before.
    async fn rescan(&mut self, handle: &ChitchatHandle) {
        let chitchat = handle.chitchat().lock_owned().await;
        let members: Vec<Member> = chitchat.node_states().keys().filter_map(member_of).collect();
        let alive: HashMap<NodeId, SocketAddr> = chitchat
            .live_nodes()
            .filter_map(member_of)
            .filter(|member| member.node != self.node)
            .map(|member| (member.node, member.addr))
            .collect();
        for (node, addr) in &alive {
            if !self.state.alive.contains_key(node) {
                self.state.outbox.push_back(Event::PeerUp { node: *node, addr: *addr });
                self.state.outbox.extend(records_of(&chitchat, *node));
            }
        }
        drop(chitchat);
        for (node, addr) in &self.state.alive {
            if !alive.contains_key(node) {
                self.state.outbox.push_back(Event::PeerDown { node: *node, addr: *addr });
            }
        }
        let mut newest: HashMap<NodeId, (u64, SocketAddr)> = HashMap::new();
        for member in members.iter().filter(|member| member.node != self.node) {
            let entry = newest.entry(member.node).or_insert((member.generation, member.addr));
            *entry = (*entry).max((member.generation, member.addr));
        }
        self.state.members = newest;
        let digest_bytes = {
            let mut known = lock(&self.shared.known);
            known.replace(members.into_iter(), alive.keys().copied().collect::<HashSet<_>>());
            known.digest_bytes()
        };
        self.state.alive = alive;
        self.warn_if_full(digest_bytes);
        self.set_pace();
    }

    fn warn_if_full(&mut self, digest_bytes: usize) {
        let full = digest_bytes > DIGEST_LIMIT / 10 * 7;
        if full && !self.state.warned_full {
            log::warn!(
                "the gossip digest takes {digest_bytes} of {DIGEST_LIMIT} bytes ({} nodes): new nodes are refused \
                 from 90 % on",
                self.state.members.len()
            );
        }
        self.state.warned_full = full;
    }

    /// Puts this run's numbers above what somebody says they are: peers take nothing of us below. Records get new
    /// versions, for peers think they have all up to the false one. Says whether there is room for that.
    async fn heal(&mut self, run: &Run, heartbeat: u64, version: u64) -> bool {
        if version > MAX_NUMBER / 2 || heartbeat > MAX_NUMBER / 2 {
            return false;
        }
        let mut chitchat = run.handle.chitchat().lock_owned().await;
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
                chitchat.reset_node_state_if_update(&run.id, records.into_iter(), next, 0);
            }
        } else if !too_low {
            // The intake compares with what was last sent; the state had moved on meanwhile.
            return true;
        }
        drop(chitchat);
        self.shared.counters.carrier_healed.add(1);
        self.push_after(pace::OWN_PUSH);
        true
    }
}

fn member_of(id: &ChitchatId) -> Option<Member> {
    let node = id.node_id.parse().ok()?;
    is_usable_or_own(id).then_some(Member {
        node,
        generation: id.generation_id,
        addr: id.gossip_advertise_addr,
    })
}

/// Everything in chitchat passed the filter, or is this node.
fn is_usable_or_own(id: &ChitchatId) -> bool {
    is_usable(id.gossip_advertise_addr)
}

/// The records of a node's newest run, as of a host that is alive.
fn records_of(chitchat: &Chitchat, node: NodeId) -> Vec<Event> {
    let name = node.to_string();
    let runs = chitchat.node_states().iter().filter(|(id, _)| *id.node_id == *name);
    let newest = runs.max_by_key(|(id, _)| id.generation_id);
    let records = newest.into_iter().flat_map(|(_, state)| state.key_values());
    records
        .map(|(key, value)| Event::Record { node, key: key.to_owned(), value: value.to_owned(), alive: true })
        .collect()
}
