//! What a member may tell this node's chitchat. Every rule here answers an attack that was shown on the unmodified
//! crate; `docs/gossip.md` has the table.
//!
//! A record that is refused is taken out of its message, and the rest goes on. A member that relays can leave
//! records out anyway, so a harsher rule (dropping the message, or the member's later records) would protect
//! nothing, and would let one bad record stall all good ones behind it. What a hostile relay withholds, the
//! store's own synchronisation brings.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::addresses::is_usable;
use super::super::counters::Counters;
use super::super::node_id::NodeId;
use super::super::{Gate, Verdict};
use super::message::{DigestEntry, MAX_KEY, MAX_SETTINGS, MAX_VALUE, Member, MemberDelta, Message, Record};

/// No honest version or heartbeat comes near: a thousand a second for thirty years.
pub(crate) const MAX_NUMBER: u64 = 1 << 40;

/// Runs of one node that may be known at a time: it may restart every half a minute of the fifteen that they are kept.
const MAX_RUNS: usize = 32;

/// The digest's largest size in chitchat's encoding, and from where on new nodes are refused, in bytes.
pub(crate) const DIGEST_LIMIT: usize = 65_507;
const DIGEST_FULL: usize = DIGEST_LIMIT / 10 * 9;

/// The members this node's chitchat knows, and what they take in its digest.
#[derive(Debug, Default)]
pub(crate) struct Known {
    members: HashSet<Member>,
    runs: HashMap<NodeId, usize>,
    digest_bytes: usize,
    alive: HashSet<NodeId>,
}

impl Known {
    /// Bytes of the digest in chitchat's encoding.
    pub(crate) fn digest_bytes(&self) -> usize {
        self.digest_bytes
    }

    /// The node that announces this address.
    pub(crate) fn node_at(&self, addr: SocketAddr) -> Option<NodeId> {
        self.members.iter().find(|member| member.addr == addr).map(|member| member.node)
    }

    /// Takes over what chitchat knows now.
    pub(crate) fn replace(&mut self, members: impl Iterator<Item = Member>, alive: HashSet<NodeId>) {
        *self = Self { alive, ..Self::default() };
        members.for_each(|member| self.insert(member));
    }

    fn insert(&mut self, member: Member) {
        if self.members.insert(member) {
            *self.runs.entry(member.node).or_insert(0) += 1;
            self.digest_bytes += entry_bytes(&member);
        }
    }
}

/// What an entry takes in chitchat's encoding: text of 16 digits with its length, generation, address, three numbers.
fn entry_bytes(member: &Member) -> usize {
    2 + 16 + 8 + if member.addr.is_ipv4() { 7 } else { 19 } + 24
}

/// A record for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) node: NodeId,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) alive: bool,
}

/// What is left of a message.
#[derive(Debug, Default)]
pub(crate) struct Filtered {
    /// What chitchat may see.
    pub(crate) message: Option<Message>,
    /// What the store gets.
    pub(crate) records: Vec<Passed>,
    /// The heartbeat and version somebody says this run of this node has reached, when it has not.
    pub(crate) overstated: Option<(u64, u64)>,
    /// Whether it tells of a run that was not known before.
    pub(crate) met: bool,
}

/// The rules, and what they need to know.
pub(crate) struct Filter {
    pub(crate) own: NodeId,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) known: Arc<Mutex<Known>>,
    pub(crate) counters: Arc<Counters>,
}

impl Filter {
    /// Applies the rules to what `sender` sent. `own_run` is this node's present run, with the heartbeat and version
    /// it last told anybody.
    pub(crate) fn apply(&self, sender: NodeId, message: Message, own_run: Option<DigestEntry>) -> Filtered {
        if is_absurd(&message) {
            self.counters.carrier_refused.add(1);
            return Filtered::default();
        }
        let mut filtered = Filtered::default();
        filtered.message = Some(match message {
            Message::Syn { digest } => Message::Syn { digest: self.digest(digest, own_run, &mut filtered) },
            Message::SynAck { digest, delta } => {
                let digest = self.digest(digest, own_run, &mut filtered);
                Message::SynAck { digest, delta: self.delta(sender, delta, own_run, &mut filtered) }
            }
            Message::Ack { delta } => {
                Message::Ack { delta: self.delta(sender, delta, own_run, &mut filtered) }
            }
        });
        filtered
    }

    fn digest(
        &self,
        mut digest: Vec<DigestEntry>,
        own_run: Option<DigestEntry>,
        filtered: &mut Filtered,
    ) -> Vec<DigestEntry> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        digest.retain(|entry| {
            if let Some(own) = own_run.filter(|own| own.member == entry.member) {
                if entry.heartbeat > own.heartbeat || entry.max_version > own.max_version {
                    filtered.overstated = Some((entry.heartbeat, entry.max_version));
                }
                return true;
            }
            if known.members.contains(&entry.member) {
                return true;
            }
            let runs = known.runs.get(&entry.member.node).copied().unwrap_or(0);
            let room = known.digest_bytes + entry_bytes(&entry.member) <= DIGEST_FULL;
            let fits = room && runs < MAX_RUNS && is_usable(entry.member.addr);
            if fits {
                known.insert(entry.member);
                filtered.met = true;
            } else {
                self.counters.nodes_refused.add(1);
            }
            fits
        });
        digest
    }

    fn delta(
        &self,
        sender: NodeId,
        delta: Vec<MemberDelta>,
        own_run: Option<DigestEntry>,
        filtered: &mut Filtered,
    ) -> Vec<MemberDelta> {
        let mut kept = Vec::with_capacity(delta.len());
        for mut member_delta in delta {
            let member = member_delta.member;
            let is_own_run = own_run.is_some_and(|own| own.member == member);
            let (is_known, alive) = {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                (known.members.contains(&member), known.alive.contains(&member.node) || member.node == sender)
            };
            if !is_known && !is_own_run {
                // chitchat takes no records of a node it has not met in a digest.
                continue;
            }
            member_delta.records.retain(|record| {
                let verdict = self.verdict(member.node, record);
                if verdict != Some(Verdict::Admit) && verdict != Some(Verdict::StoreOnly) {
                    return false;
                }
                filtered.records.push(Passed {
                    node: member.node,
                    key: record.key.clone(),
                    value: record.value.clone(),
                    alive: alive && member.node != self.own,
                });
                // What somebody says this run of ours has set is for the store to answer; in chitchat it would
                // overwrite the truth. Former runs of ours are, to chitchat, other nodes.
                verdict == Some(Verdict::Admit) && !is_own_run
            });
            if !member_delta.records.is_empty() {
                kept.push(member_delta);
            }
        }
        kept
    }

    fn verdict(&self, node: NodeId, record: &Record) -> Option<Verdict> {
        if !is_fit(&record.key, &record.value) {
            self.counters.records_unfit.add(1);
            return None;
        }
        let verdict = self.gate.admit(node, &record.key, &record.value);
        if let Verdict::Refuse(reason) = verdict {
            self.counters.records_refused.add(1);
            log::debug!("a record {} of node {node} was refused: {reason}", record.key);
        }
        Some(verdict)
    }
}

/// Whether a key is one that records have, and the value within its length. Keys are ASCII: chitchat cuts them at
/// their first byte and panics inside a character.
pub(crate) fn is_fit(key: &str, value: &str) -> bool {
    let (known, limit) = match key {
        "n" => (true, MAX_SETTINGS),
        "s" | "cert" => (true, MAX_VALUE),
        _ => (
            key.len() <= MAX_KEY
                && key
                    .strip_prefix("c/")
                    .or_else(|| key.strip_prefix("w/"))
                    .is_some_and(|name| !name.is_empty())
                && key.bytes().all(|byte| byte.is_ascii_graphic()),
            MAX_VALUE,
        ),
    };
    known && value.len() <= limit
}

fn is_absurd(message: &Message) -> bool {
    message.digest().iter().any(|entry| entry.heartbeat > MAX_NUMBER || entry.max_version > MAX_NUMBER)
        || message.delta().iter().any(|delta| {
            delta.from > MAX_NUMBER || delta.records.last().is_some_and(|record| record.version > MAX_NUMBER)
        })
}
