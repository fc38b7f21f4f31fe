//! A packet filter's rules, as far as they matter to a datagram from a stranger to one UDP port: read from nft's JSON
//! (libnftables-json(5)) or from iptables-save, and followed as the kernel would.
//!
//! What a rule asks for that is not known here (addresses, limits, sets) makes it one that may apply: it never decides alone.

mod iptables;
mod nft;

use std::collections::HashMap;

pub(super) use iptables::from_iptables;
pub(super) use nft::from_nft;

/// What becomes of the datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing known stops it.
    Accepted,
    /// Stopped here.
    Dropped(String),
    /// Stopped here, unless a rule that is not understood lets it pass before; or let pass, unless such a rule stops it.
    Perhaps(String),
}

/// Whether a rule applies to the datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applies {
    Yes,
    No,
    Perhaps,
}

/// What a rule does with what it applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Accept,
    Drop,
    Return,
    /// To another chain, and back.
    Jump(String),
    /// To another chain, for good.
    Goto(String),
    /// Nothing that matters here.
    Nothing,
    /// Not known.
    Unknown,
}

/// A rule of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) applies: Applies,
    pub(super) action: Action,
}

/// A chain, by the table it is in.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    /// For people: `inet filter input`.
    pub(super) name: String,
    /// Where datagrams come in: whether its policy drops them. None for a chain that others jump to.
    pub(super) drops_by_default: Option<bool>,
    pub(super) rules: Vec<Rule>,
}

/// The chains of all tables, under table and name.
pub(super) type Ruleset = HashMap<(String, String), Chain>;

/// What becomes of the datagram: every chain at the way in must let it pass.
pub(super) fn judge(ruleset: &Ruleset) -> Verdict {
    let mut perhaps = None;
    let mut entries: Vec<_> = ruleset.iter().filter(|(_, chain)| chain.drops_by_default.is_some()).collect();
    entries.sort_by_key(|(key, _)| *key);
    for ((table, _), chain) in entries {
        let mut walk = Walk { ruleset, table, may_pass: None, may_stop: None, depth: 0 };
        let end = walk.follow(chain).unwrap_or(match chain.drops_by_default {
            Some(true) => End::Stopped(format!("the policy of the chain {}", chain.name)),
            _ => End::Passed,
        });
        match (end, walk.may_pass, walk.may_stop) {
            (End::Stopped(by), None, _) => return Verdict::Dropped(by),
            (End::Stopped(by), Some(_), _) => perhaps = Some(by),
            (End::Passed, _, Some(by)) => perhaps = Some(by),
            (End::Passed, _, None) => {}
        }
    }
    perhaps.map_or(Verdict::Accepted, Verdict::Perhaps)
}

enum End {
    Passed,
    Stopped(String),
}

/// One way through the chains of a table.
struct Walk<'a> {
    ruleset: &'a Ruleset,
    table: &'a str,
    /// A rule that may have let it pass before it was stopped, and one that may have stopped it.
    may_pass: Option<String>,
    may_stop: Option<String>,
    depth: usize,
}

impl Walk<'_> {
    /// The end, if the chain decides. The kernel allows 16 jumps.
    fn follow(&mut self, chain: &Chain) -> Option<End> {
        if self.depth >= 16 {
            return None;
        }
        for rule in &chain.rules {
            let here = || format!("a rule of the chain {}", chain.name);
            match (rule.applies, &rule.action) {
                (Applies::No, _) | (_, Action::Nothing) => {}
                (Applies::Yes, Action::Accept) => return Some(End::Passed),
                (Applies::Yes, Action::Drop) => return Some(End::Stopped(here())),
                (Applies::Yes, Action::Return) => return None,
                (Applies::Yes, Action::Jump(target)) => {
                    if let Some(end) = self.enter(target) {
                        return Some(end);
                    }
                }
                (Applies::Yes, Action::Goto(target)) => return self.enter(target),
                (Applies::Perhaps, Action::Jump(target) | Action::Goto(target)) => match self.enter(target) {
                    Some(End::Passed) => self.may_pass = Some(here()),
                    Some(End::Stopped(by)) => self.may_stop = Some(by),
                    None => {}
                },
                (Applies::Perhaps, Action::Accept | Action::Return) => self.may_pass = Some(here()),
                (Applies::Perhaps, Action::Drop) => self.may_stop = Some(here()),
                (_, Action::Unknown) => {
                    self.may_pass = Some(here());
                    self.may_stop = Some(here());
                }
            }
        }
        None
    }

    fn enter(&mut self, target: &str) -> Option<End> {
        let chain = self.ruleset.get(&(self.table.to_owned(), target.to_owned()))?;
        self.depth += 1;
        let end = self.follow(chain);
        self.depth -= 1;
        end
    }
}

impl Applies {
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Perhaps,
        }
    }

    pub(super) fn when(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    pub(super) fn negate(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Perhaps => Self::Perhaps,
        }
    }
}
