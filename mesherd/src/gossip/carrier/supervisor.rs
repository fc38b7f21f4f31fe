//! Keeps chitchat running: builds it, watches it, sets its keys again after a rebuild, paces it, and tells the
//! daemon who comes and goes.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::super::node_id::NodeId;
use super::super::{Event, Generations, RestartReason};
use super::intake::Inbox;
use super::members::{MemberInfo, Members};
use super::message::Member;
use super::pace;
use super::run::{Notices, Numbers, Run};
use super::socket::{Shared, lock};

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
    members: Members,
    /// Events that did not fit yet.
    outbox: VecDeque<Event>,
    /// From whom the rest of what did not fit one message is fetched.
    fetching: pace::Fetching,
    pushes: pace::Pushes,
    /// How often chitchat's task had come round when it was last looked at, and how many looks ago that was the same.
    turns: (u64, u32),
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
                let generation = run.generation();
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
        let member = Member { node: self.node, generation, addr: self.advertise };
        let (run, inbox) =
            Run::start(member, self.interval, &self.own, &self.state.notices, &self.shared).await?;
        *lock(&self.inbox) = Some(inbox);
        self.rescan(&run).await;
        Some(run)
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
        // Whoever asked may have gone.
        drop(answer.send(self.state.members.list()));
    }

    /// Serves one run of chitchat. Returns why it must be rebuilt, or `None` to shut down.
    async fn supervise(&mut self, run: &mut Run) -> Option<RestartReason> {
        let mut look = Instant::now() + self.interval * LOOK_EVERY;
        self.state.turns = (self.shared.turns(), 0);
        loop {
            match self.next_turn(run, look).await {
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
                        run.exchange(&self.shared, from);
                    }
                }
                Turn::Signal(Signal::Met) => {
                    let members = self.state.members.known();
                    self.state.pushes.newcomer(Instant::now(), self.interval, members);
                }
                Turn::Signal(Signal::Overstated { heartbeat, version }) => {
                    match run.heal(heartbeat, version).await {
                        Numbers::Spent => return Some(RestartReason::NumbersSpent),
                        Numbers::HighEnough => {}
                        Numbers::Raised => {
                            self.shared.counters.carrier_healed.add(1);
                            self.state.pushes.own_news(Instant::now(), self.interval);
                        }
                    }
                }
                Turn::Liveness => self.rescan(run).await,
                Turn::Changed => {
                    let members = self.state.members.known();
                    self.state.pushes.foreign_news(Instant::now(), self.interval, members);
                }
                Turn::Ended(Ok(())) => return Some(RestartReason::Ended),
                Turn::Ended(Err(error)) => return Some(RestartReason::Failed(error.to_string())),
                Turn::Push => self.push(run).await,
                Turn::Look => {
                    look = Instant::now() + self.interval * LOOK_EVERY;
                    if self.hangs() {
                        return Some(RestartReason::Hung);
                    }
                }
                Turn::Quiet => self.state.pushes.be_quiet(),
                Turn::Event => {}
            }
            self.set_pace();
        }
    }

    /// Waits for whatever comes first; chitchat's task is to be looked at at `look`.
    async fn next_turn(&mut self, run: &mut Run, look: Instant) -> Turn {
        let now = Instant::now();
        let quiet = self.state.pushes.busy_until();
        let push = self.state.pushes.due();
        tokio::select! {
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
                run.set(&records).await;
                self.own.extend(records);
                self.state.pushes.own_news(Instant::now(), self.interval);
            }
            Command::Forget(key) => drop(self.own.remove(&key)),
            Command::Gossip(addrs) => addrs.into_iter().for_each(|addr| run.exchange(&self.shared, addr)),
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

    /// Begins exchanges with a few random members.
    async fn push(&mut self, run: &Run) {
        if self.state.pushes.begin(Instant::now()) {
            self.rescan(run).await;
        }
        for addr in pace::choose(self.state.members.to_push_to(), pace::FAN_OUT) {
            run.exchange(&self.shared, addr);
        }
    }

    /// Looks anew at who is known and alive.
    async fn rescan(&mut self, run: &Run) {
        let State { members, outbox, .. } = &mut self.state;
        members.rescan(self.node, &run.handle, &self.shared.known, outbox).await;
        self.set_pace();
    }

    fn set_pace(&self) {
        let State { members, pushes, .. } = &self.state;
        self.shared.set_pass(pace::pass(members.known(), members.alive(), pushes.busy_until().is_some()));
    }
}
