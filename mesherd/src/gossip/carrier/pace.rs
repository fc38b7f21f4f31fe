//! How often exchanges begin. `docs/gossip.md` says what traffic results.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Peers that a push goes to: as many as a round of chitchat's.
pub(crate) const FAN_OUT: usize = 3;

/// Nodes up to which every round goes out. Beyond, rounds become rarer in proportion: the digest grows with the
/// network, so a node's traffic stays what it is here.
const NODES_AT_FULL_PACE: usize = 50;

/// For how long after a change rounds have their full fan-out.
const BUSY_FOR: Duration = Duration::from_secs(3);

/// Delay of a push: lets changes made together travel together.
const OWN_PUSH: Duration = Duration::from_millis(2);
const RELAY_PUSH: Duration = Duration::from_millis(20);

/// Exchanges with a new node, so that it is soon known to be alive.
const SETTLE_PUSH: Duration = Duration::from_millis(100);
const SETTLE_TIMES: usize = 5;

/// Nodes up to which all of these take place. Everybody begins them when a node appears, so their cost grows with the square of
/// the network's size: beyond, they become fewer, and then the rounds have to do.
const NODES_THAT_SETTLE: usize = 16;

/// The part of the exchanges begun by chitchat's rounds that goes out, so that a quiet node begins one each
/// interval (three after a change), and one each `n / 50` intervals among more than fifty nodes.
pub(crate) fn pass(members: usize, alive: usize, busy: bool) -> f64 {
    let begun_each_round = alive.clamp(1, FAN_OUT) as f64;
    let stretch = (members as f64 / NODES_AT_FULL_PACE as f64).max(1.0);
    let wanted = if busy { FAN_OUT as f64 } else { 1.0 };
    (wanted / begun_each_round / stretch).min(1.0)
}

/// How many exchanges, three at a time, follow the appearance of a node.
fn settle_times(members: usize) -> u32 {
    let times = SETTLE_TIMES * NODES_THAT_SETTLE / members.max(NODES_THAT_SETTLE);
    u32::try_from(times).unwrap_or(0)
}

/// Whether a node passes foreign changes on at once: not where the origin reaches everybody itself, and not where the digests
/// no longer fit one datagram. There the daemon's own push has to do, which carries the news alone.
fn relays(members: usize) -> bool {
    (FAN_OUT + 1..=30).contains(&members)
}

/// A peer that has more for this node is asked for the rest without a pause; another one only when the first has not sent any
/// for so long.
const FETCHED_FROM_ONE: Duration = Duration::from_millis(500);

/// From whom this node fetches what does not fit one message.
#[derive(Debug, Default)]
pub(crate) struct Fetching(Option<(SocketAddr, Instant)>);

impl Fetching {
    /// `from` has more. Says whether it is to be asked for it.
    pub(crate) fn may(&mut self, from: SocketAddr, now: Instant) -> bool {
        let other = self.0.is_some_and(|(peer, at)| peer != from && now < at + FETCHED_FROM_ONE);
        if !other {
            self.0 = Some((from, now));
        }
        !other
    }
}

/// When this node begins exchanges beside chitchat's rounds.
#[derive(Debug, Default)]
pub(crate) struct Pushes {
    due: Option<Instant>,
    last: Option<Instant>,
    /// How many more times for nodes that have just appeared.
    settling: u32,
    busy_until: Option<Instant>,
}

impl Pushes {
    /// When the next is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Until when rounds have their full fan-out, because something changed lately.
    pub(crate) fn busy_until(&self) -> Option<Instant> {
        self.busy_until
    }

    /// This node has news of its own.
    pub(crate) fn own_news(&mut self, now: Instant, interval: Duration) {
        self.due_at(now + OWN_PUSH);
        self.be_busy(now, interval);
    }

    /// A change came from elsewhere: passed on at once where that is cheap and where the origin did not reach all.
    pub(crate) fn foreign_news(&mut self, now: Instant, interval: Duration, members: usize) {
        self.be_busy(now, interval);
        if relays(members) {
            // Where changes never end, relayed pushes stay fewer than a few each interval.
            let spaced = self.last.map_or(now, |last| last + interval / 4);
            self.due_at(spaced.max(now + RELAY_PUSH));
        }
    }

    /// A node appeared. Liveness takes a few heartbeats: get them soon, where that is cheap.
    pub(crate) fn newcomer(&mut self, now: Instant, interval: Duration, members: usize) {
        self.settling = settle_times(members);
        if self.settling > 0 {
            self.due_at(now + SETTLE_PUSH);
        }
        self.be_busy(now, interval);
    }

    /// Whether the push that begins now is for nodes that have just appeared, so that liveness is to be looked at first.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        self.due = None;
        self.last = Some(now);
        let settles = self.settling > 0;
        if settles {
            self.settling -= 1;
            self.due = Some(now + SETTLE_PUSH);
        }
        settles
    }

    /// Nothing changed for a while.
    pub(crate) fn be_quiet(&mut self) {
        self.busy_until = None;
    }

    fn be_busy(&mut self, now: Instant, interval: Duration) {
        self.busy_until = Some(now + BUSY_FOR.max(interval * 3));
    }

    fn due_at(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

/// A random choice of at most `count` addresses.
pub(crate) fn choose<T>(mut from: Vec<T>, count: usize) -> Vec<T> {
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count && !from.is_empty() {
        let random = getrandom::u32().unwrap_or(0) as usize;
        chosen.push(from.swap_remove(random % from.len()));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_begins_one_exchange_a_round_and_fewer_in_large_networks() {
        let begun = |members: usize, busy| pass(members, members, busy) * members.min(FAN_OUT) as f64;
        for (members, quiet, busy) in
            [(1, 1.0, 1.0), (2, 1.0, 2.0), (50, 1.0, 3.0), (100, 0.5, 1.5), (1000, 0.05, 0.15)]
        {
            assert!(
                (begun(members, false) - quiet).abs() < 1e-9,
                "{members} quiet: {}",
                begun(members, false)
            );
            assert!((begun(members, true) - busy).abs() < 1e-9, "{members} busy: {}", begun(members, true));
        }
        assert!((pass(0, 0, false) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_everybody_does_for_a_newcomer_ends_in_large_networks() {
        let times: Vec<u32> = [0, 16, 20, 40, 80, 81, 1_000].into_iter().map(settle_times).collect();
        assert_eq!(times, [5, 5, 4, 2, 1, 0, 0]);
        assert_eq!([3, 4, 30, 31, 1_000].map(relays), [false, true, true, false, false]);
    }

    #[test]
    fn pushes_follow_news_and_newcomers_and_come_to_an_end() {
        let (interval, now) = (Duration::from_secs(1), Instant::now());
        let mut pushes = Pushes::default();
        pushes.own_news(now, interval);
        assert_eq!((pushes.due(), pushes.busy_until()), (Some(now + OWN_PUSH), Some(now + BUSY_FOR)));
        assert!(!pushes.begin(now));
        assert_eq!(pushes.due(), None);
        // What comes from elsewhere is passed on no more than four times an interval, and only where that reaches somebody.
        pushes.foreign_news(now, interval, FAN_OUT);
        assert_eq!(pushes.due(), None);
        pushes.foreign_news(now, interval, FAN_OUT + 1);
        assert_eq!(pushes.due(), Some(now + interval / 4));
        pushes.own_news(now, interval);
        assert_eq!(pushes.due(), Some(now + OWN_PUSH), "the own news waits for nothing");
        // A newcomer is asked a few times, so that it is soon known to be alive.
        pushes.begin(now);
        pushes.newcomer(now, interval, 2);
        let times = std::iter::from_fn(|| pushes.due().map(|at| pushes.begin(at))).take(100);
        assert_eq!(times.collect::<Vec<_>>(), [true, true, true, true, true, false]);
        pushes.newcomer(now, interval, 1_000);
        assert_eq!(pushes.due(), None);
    }

    #[test]
    fn the_rest_is_fetched_from_one_peer_and_from_another_when_that_one_falls_silent() {
        let (mut fetching, now) = (Fetching::default(), Instant::now());
        let [one, other]: [SocketAddr; 2] = ["192.0.2.1:1".parse().unwrap(), "192.0.2.2:1".parse().unwrap()];
        assert!(fetching.may(one, now));
        assert!(!fetching.may(other, now));
        assert!(fetching.may(one, now + FETCHED_FROM_ONE / 2), "the next part follows at once");
        assert!(!fetching.may(other, now + FETCHED_FROM_ONE), "counted from the last part");
        assert!(fetching.may(other, now + FETCHED_FROM_ONE * 2));
    }

    #[test]
    fn choices_are_distinct() {
        let mut chosen = choose((0..10).collect(), 3);
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen.len(), 3);
        assert_eq!(choose(vec![1], 3), [1]);
    }
}
