//! Whom this node can talk to right now: peers the carrier takes to be alive, and those that have just been heard.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::gossip::NodeId;

/// A peer that the carrier does not know yet counts as there for so long after it was heard.
const HEARD_FOR: Duration = Duration::from_secs(60);
/// More addresses than this are not remembered over restarts.
const REMEMBERED: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Contact {
    address: SocketAddr,
    up: bool,
    heard: Instant,
}

/// The peers at hand, and the addresses remembered for the next start.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    peers: BTreeMap<NodeId, Contact>,
    /// Those that have shown up and not been told of yet, with their addresses, and since when.
    unnamed: BTreeMap<NodeId, (SocketAddr, Instant)>,
    remembered: BTreeSet<SocketAddr>,
    /// The remembered addresses have changed since they were saved.
    changed: bool,
}

impl Contacts {
    pub(super) fn new(remembered: Vec<SocketAddr>) -> Self {
        Self { remembered: remembered.into_iter().collect(), ..Self::default() }
    }

    /// The carrier takes a peer to be alive. Returns whether that is news.
    pub(super) fn up(&mut self, node: NodeId, address: SocketAddr, now: Instant) -> bool {
        self.remember(address);
        let before = self.peers.insert(node, Contact { address, up: true, heard: now });
        let is_news = before.is_none_or(|contact| !contact.up);
        if is_news {
            self.unnamed.insert(node, (address, now));
        }
        is_news
    }

    /// Those that have shown up and have not been told of, with their addresses, and since when.
    pub(super) fn unnamed(&self) -> impl Iterator<Item = (NodeId, SocketAddr, Instant)> {
        self.unnamed.iter().map(|(node, (address, since))| (*node, *address, *since))
    }

    /// It has been told of. Returns whether that was to be done.
    pub(super) fn named(&mut self, node: NodeId) -> bool {
        self.unnamed.remove(&node).is_some()
    }

    /// The carrier does not take it to be alive any more. Returns whether that is news: not of one that was not up, which may
    /// have been heard all the same.
    pub(super) fn down(&mut self, node: NodeId) -> bool {
        let was_up = self.peers.get(&node).is_some_and(|contact| contact.up);
        if was_up {
            self.peers.remove(&node);
        }
        was_up
    }

    /// The carrier starts anew, and says itself who is alive; those who were may still be reached.
    pub(super) fn forget_who_is_up(&mut self, now: Instant) {
        for contact in self.peers.values_mut().filter(|contact| contact.up) {
            (contact.up, contact.heard) = (false, now);
        }
    }

    /// A message came from a peer.
    pub(super) fn heard(&mut self, node: NodeId, address: SocketAddr, now: Instant) {
        let contact = self.peers.entry(node).or_insert(Contact { address, up: false, heard: now });
        contact.heard = now;
        if !contact.up {
            contact.address = address;
        }
    }

    /// The peers to talk to.
    pub(super) fn reachable(&mut self, now: Instant) -> Vec<(NodeId, SocketAddr)> {
        self.peers.retain(|_, contact| contact.up || now.duration_since(contact.heard) < HEARD_FOR);
        self.peers.iter().map(|(node, contact)| (*node, contact.address)).collect()
    }

    /// How many peers the carrier takes to be alive.
    pub(super) fn alive(&self) -> usize {
        self.peers.values().filter(|contact| contact.up).count()
    }

    /// Addresses to try at the next start.
    pub(super) fn remembered(&self) -> Vec<SocketAddr> {
        self.remembered.iter().copied().collect()
    }

    /// The remembered addresses, if they have changed since the last call.
    pub(super) fn take_changed(&mut self) -> Option<Vec<SocketAddr>> {
        std::mem::take(&mut self.changed).then(|| self.remembered())
    }

    fn remember(&mut self, address: SocketAddr) {
        if self.remembered.insert(address) {
            self.changed = true;
        }
        if self.remembered.len() > REMEMBERED {
            // One that no peer has now makes room.
            let in_use: BTreeSet<SocketAddr> = self.peers.values().map(|contact| contact.address).collect();
            if let Some(old) =
                self.remembered.iter().find(|old| !in_use.contains(old) && **old != address).copied()
            {
                self.remembered.remove(&old);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_at_hand_while_they_live_and_remembered_after() {
        let (now, node) = (Instant::now(), NodeId::from_bytes([1; 8]));
        let address: SocketAddr = "192.0.2.1:7946".parse().unwrap();
        let mut contacts = Contacts::new(vec!["192.0.2.9:7946".parse().unwrap()]);
        contacts.heard(node, address, now);
        assert_eq!(contacts.reachable(now).len(), 1);
        assert_eq!(contacts.reachable(now + HEARD_FOR).len(), 0);
        assert!(contacts.up(node, address, now));
        assert!(!contacts.up(node, address, now));
        assert_eq!(contacts.unnamed().collect::<Vec<_>>(), [(node, address, now)]);
        assert!(contacts.named(node) && !contacts.named(node), "told of once");
        assert_eq!(contacts.reachable(now + HEARD_FOR).len(), 1);
        contacts.forget_who_is_up(now);
        assert_eq!((contacts.alive(), contacts.reachable(now).len()), (0, 1));
        assert!(!contacts.down(node), "that it is not up was said");
        assert_eq!(contacts.reachable(now).len(), 1, "it may still be reached");
        assert!(contacts.up(node, address, now), "it is news again");
        assert!(contacts.down(node));
        assert!(!contacts.down(node));
        assert_eq!(contacts.take_changed().unwrap().len(), 2);
        assert!(contacts.take_changed().is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut contacts = Contacts::default();
        for i in 0..1_000u32 {
            let address = SocketAddr::new(std::net::Ipv4Addr::from(0x0a00_0000 + i).into(), 7946);
            contacts.up(NodeId::from_bytes(u64::from(i % 7).to_le_bytes()), address, Instant::now());
        }
        assert!(contacts.remembered().len() <= REMEMBERED);
    }
}
