//! Peers to begin with, tried for ever.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::addresses::normalise;
use super::carrier::socket::Shared;
use super::carrier::supervisor::Command;
use super::node_id::NodeId;
use super::port::PortCommand;
use super::resolve::{BootstrapNode, Resolver};
use crate::systemd::rate_limit::RateLimit;

/// The first pause between attempts; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause: while no peer at all is heard, and otherwise.
const LONGEST_ALONE: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(60);

/// A node heard this lately need not be tried, if it is alive to the carrier as well.
const HEARD: Duration = Duration::from_secs(120);

/// How long a name may take to be looked up.
const LOOKUP: Duration = Duration::from_secs(10);

/// Nodes tried at one time: a long list of remembered peers is gone through, not flooded.
const AT_ONCE: u32 = 4;

/// And between two such times: those who answer tell of others, who need not be tried any more.
const BETWEEN: Duration = Duration::from_millis(500);

/// When each node is to be tried: pure, so that it can be tested without waiting.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    nodes: HashMap<BootstrapNode, (Instant, Duration)>,
}

impl Schedule {
    /// Replaces the list. New nodes are due at once, in the list's order as many at a time as are tried at one time; the others
    /// keep their time.
    pub(crate) fn set(&mut self, now: Instant, nodes: &[BootstrapNode]) {
        self.nodes.retain(|node, _| nodes.contains(node));
        let mut new = 0;
        for node in nodes {
            self.nodes.entry(node.clone()).or_insert_with(|| {
                new += 1;
                (now + BETWEEN * ((new - 1) / AT_ONCE), FIRST_PAUSE)
            });
        }
    }

    /// The nodes whose time has come, at most [`AT_ONCE`], those waiting longest first.
    pub(crate) fn due(&self, now: Instant) -> Vec<BootstrapNode> {
        let mut due: Vec<_> = self.nodes.iter().filter(|(_, (at, _))| *at <= now).collect();
        due.sort_by_key(|(_, (at, _))| *at);
        due.into_iter().take(AT_ONCE as usize).map(|(node, _)| node.clone()).collect()
    }

    /// Notes an attempt. `heard`: it was not needed. `jitter` is from 0 to 1.
    pub(crate) fn tried(
        &mut self,
        now: Instant,
        node: &BootstrapNode,
        heard: bool,
        alone: bool,
        jitter: f64,
    ) {
        let Some((at, pause)) = self.nodes.get_mut(node) else { return };
        let longest = if alone { LONGEST_ALONE } else { LONGEST };
        let wait = if heard { LONGEST } else { (*pause).min(longest) };
        *at = now + wait.mul_f64(0.75 + jitter / 2.0);
        *pause = if heard { FIRST_PAUSE } else { (wait * 2).min(LONGEST) };
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.nodes.values().map(|(at, _)| *at).min()
    }
}

/// The task.
pub(crate) struct Bootstrap {
    pub(crate) nodes: watch::Receiver<Vec<BootstrapNode>>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) port: mpsc::Sender<PortCommand>,
    pub(crate) carrier: mpsc::UnboundedSender<Command>,
    pub(crate) shared: Arc<Shared>,
    /// What is told of names that are not found: each attempt says the same.
    pub(crate) told: RateLimit<String>,
}

impl Bootstrap {
    /// Runs until the daemon drops the list.
    pub(crate) async fn run(mut self) {
        let (mut schedule, mut earliest) = (Schedule::default(), Instant::now());
        schedule.set(earliest, &self.nodes.borrow_and_update().clone());
        loop {
            let next = schedule.next().map(|next| next.max(earliest));
            tokio::select! {
                changed = self.nodes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let nodes = self.nodes.borrow_and_update().clone();
                    schedule.set(Instant::now(), &nodes);
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    if !self.attempt(&mut schedule).await {
                        return;
                    }
                    earliest = Instant::now() + BETWEEN;
                }
            }
        }
    }

    async fn attempt(&mut self, schedule: &mut Schedule) -> bool {
        let (answer, heard) = oneshot::channel();
        if self.port.send(PortCommand::Heard(answer)).await.is_err() {
            return false;
        }
        let Ok(heard) = heard.await else { return false };
        let alive = self.alive().await;
        let now = Instant::now();
        // To be heard is not enough: what comes may be all but the carrier's messages, if its first ones were lost. Then nobody else
        // ever tells the carrier of anybody. Whoever answered the carrier has met it, long before enough heartbeats came to call
        // either alive: to go on trying would have everybody send everything again.
        let mut heard: HashSet<SocketAddr> = heard
            .into_iter()
            .filter(|heard| now.into_std().saturating_duration_since(heard.at) < HEARD)
            .filter(|heard| alive.contains(&heard.node))
            .map(|heard| heard.addr)
            .collect();
        heard.extend(self.shared.answered_within(HEARD));
        let mut missing = Vec::new();
        for node in schedule.due(now) {
            let addrs = self.addresses(&node).await;
            let is_heard = addrs.iter().any(|addr| heard.contains(addr));
            let jitter = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX);
            schedule.tried(now, &node, is_heard, heard.is_empty(), jitter);
            if !is_heard {
                missing.extend(addrs);
            }
        }
        missing.is_empty() || self.carrier.send(Command::Gossip(missing)).is_ok()
    }

    /// Who is alive to the carrier; nobody while it is being rebuilt for good.
    async fn alive(&self) -> HashSet<NodeId> {
        let (answer, members) = oneshot::channel();
        drop(self.carrier.send(Command::Members(answer)));
        let members = members.await.unwrap_or_default();
        members.into_iter().filter(|member| member.alive).map(|member| member.node).collect()
    }

    async fn addresses(&mut self, node: &BootstrapNode) -> Vec<SocketAddr> {
        match node {
            BootstrapNode::Addr(addr) => vec![normalise(*addr)],
            BootstrapNode::Name(name, port) => {
                let found = match timeout(LOOKUP, self.resolver.lookup(name)).await {
                    Ok(Ok(found)) => found,
                    Ok(Err(error)) => self.not_found(node, &format!(": {error}")),
                    Err(_) => self.not_found(node, &format!(" within {LOOKUP:?}")),
                };
                found.into_iter().map(|ip| normalise(SocketAddr::new(ip, *port))).collect()
            }
        }
    }
}

/// Every name is tried for ever, and told of so often.
pub(crate) const TOLD_EVERY: Duration = Duration::from_secs(3_600);

impl Bootstrap {
    /// No addresses, and a line in the journal if one is due: of each node and reason one in a while, with the count of the others.
    fn not_found(&mut self, node: &BootstrapNode, why: &str) -> Vec<std::net::IpAddr> {
        let what = format!("bootstrap node {node} is not found{why}");
        if let Some(left_out) = self.told.check(what.clone(), Instant::now().into_std()) {
            let more = if left_out > 0 { format!(" ({left_out} more like it since)") } else { String::new() };
            log::info!("{what}{more}; a name is looked up in /etc/hosts and DNS, never in the mesh itself");
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_gone_through_in_its_order_a_few_at_a_time() {
        let nodes: Vec<BootstrapNode> =
            (1..=10).map(|n| format!("192.0.2.{n}:7946").parse().unwrap()).collect();
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        schedule.set(start, &nodes);
        let mut due: Vec<_> = schedule.due(start).iter().map(ToString::to_string).collect();
        due.sort_unstable();
        assert_eq!(due, ["192.0.2.1:7946", "192.0.2.2:7946", "192.0.2.3:7946", "192.0.2.4:7946"]);
        schedule.due(start).iter().for_each(|node| schedule.tried(start, node, true, false, 0.5));
        assert_eq!(schedule.next(), Some(start + BETWEEN));
        assert_eq!(schedule.due(start + BETWEEN).len(), 4);
        assert_eq!(schedule.due(start + BETWEEN * 10).len(), 4, "nor more when all are due");
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_never_end() {
        let node: BootstrapNode = "192.0.2.1:7946".parse().unwrap();
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        schedule.set(start, std::slice::from_ref(&node));
        let mut pauses = Vec::new();
        let mut now = start;
        for _ in 0..12 {
            assert_eq!(schedule.due(now), std::slice::from_ref(&node));
            schedule.tried(now, &node, false, false, 0.5);
            let next = schedule.next().unwrap();
            assert!(schedule.due(next - Duration::from_millis(1)).is_empty());
            pauses.push((next - now).as_millis());
            now = next;
        }
        let expected = [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000, 60_000];
        assert_eq!(pauses, expected);
        schedule.tried(now, &node, false, true, 0.5);
        assert_eq!(schedule.next().unwrap() - now, LONGEST_ALONE);
        schedule.tried(now, &node, true, false, 0.5);
        schedule.tried(now, &node, false, false, 0.5);
        assert_eq!(
            schedule.next().unwrap() - now,
            FIRST_PAUSE,
            "a peer that was heard is tried soon when it goes"
        );
    }
}
