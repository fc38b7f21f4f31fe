//! Who is known to chitchat, and who of them is alive.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Mutex;

use chitchat::{Chitchat, ChitchatHandle, ChitchatId};

use super::super::Event;
use super::super::addresses::is_usable;
use super::super::node_id::NodeId;
use super::filter::{DIGEST_LIMIT, Known};
use super::message::Member;
use super::socket::lock;

/// A node as the carrier sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemberInfo {
    pub(crate) node: NodeId,
    pub(crate) addr: SocketAddr,
    pub(crate) alive: bool,
}

/// The nodes of the network, other than this one, as they were when chitchat was last looked at.
#[derive(Debug, Default)]
pub(crate) struct Members {
    alive: HashMap<NodeId, SocketAddr>,
    /// Each node's newest run: its generation and address.
    newest: HashMap<NodeId, (u64, SocketAddr)>,
    warned_full: bool,
}

impl Members {
    /// How many nodes are known.
    pub(crate) fn known(&self) -> usize {
        self.newest.len()
    }

    /// How many of them are alive.
    pub(crate) fn alive(&self) -> usize {
        self.alive.len()
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<MemberInfo> {
        let info = |(node, (_, addr)): (&NodeId, &(u64, SocketAddr))| MemberInfo {
            node: *node,
            addr: *addr,
            alive: self.alive.contains_key(node),
        };
        self.newest.iter().map(info).collect()
    }

    /// Where to push: to those that are alive, or to whoever is known when nobody is.
    pub(crate) fn to_push_to(&self) -> Vec<SocketAddr> {
        if self.alive.is_empty() {
            self.newest.values().map(|(_, addr)| *addr).collect()
        } else {
            self.alive.values().copied().collect()
        }
    }

    /// Compares who is known and alive with what was known before: what has changed goes into `events`, and into `known` what
    /// chitchat knows now.
    pub(crate) async fn rescan(
        &mut self,
        own: NodeId,
        handle: &ChitchatHandle,
        known: &Mutex<Known>,
        events: &mut VecDeque<Event>,
    ) {
        let chitchat = handle.chitchat().lock_owned().await;
        let members: Vec<Member> = chitchat.node_states().keys().filter_map(member_of).collect();
        let alive: HashMap<NodeId, SocketAddr> = chitchat
            .live_nodes()
            .filter_map(member_of)
            .filter(|member| member.node != own)
            .map(|member| (member.node, member.addr))
            .collect();
        for (node, addr) in &alive {
            if !self.alive.contains_key(node) {
                events.push_back(Event::PeerUp { node: *node, addr: *addr });
                events.extend(records_of(&chitchat, *node));
            }
        }
        drop(chitchat);
        for (node, addr) in &self.alive {
            if !alive.contains_key(node) {
                events.push_back(Event::PeerDown { node: *node, addr: *addr });
            }
        }
        let mut newest: HashMap<NodeId, (u64, SocketAddr)> = HashMap::new();
        for member in members.iter().filter(|member| member.node != own) {
            let entry = newest.entry(member.node).or_insert((member.generation, member.addr));
            *entry = (*entry).max((member.generation, member.addr));
        }
        self.newest = newest;
        let digest_bytes = {
            let mut known = lock(known);
            known.replace(members.into_iter(), alive.keys().copied().collect::<HashSet<_>>());
            known.digest_bytes()
        };
        self.alive = alive;
        self.warn_if_full(digest_bytes);
    }

    fn warn_if_full(&mut self, digest_bytes: usize) {
        let full = digest_bytes > DIGEST_LIMIT / 10 * 7;
        if full && !self.warned_full {
            log::warn!(
                "the gossip digest takes {digest_bytes} of {DIGEST_LIMIT} bytes ({} nodes): new nodes are refused \
                 from 90 % on",
                self.newest.len()
            );
        }
        self.warned_full = full;
    }
}

/// Everything in chitchat passed the filter, or is this node.
fn member_of(id: &ChitchatId) -> Option<Member> {
    let node = id.node_id.parse().ok()?;
    is_usable(id.gossip_advertise_addr).then_some(Member {
        node,
        generation: id.generation_id,
        addr: id.gossip_advertise_addr,
    })
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
