//! A packet filter's rules, as far as they matter to a datagram from a stranger to one UDP port: read from nft's JSON
//! (libnftables-json(5)) or from iptables-save, and followed as the kernel would.
//!
//! What a rule asks for that is not known here (addresses, limits, sets) makes it one that may apply: it never decides alone.

use std::collections::HashMap;

use serde_json::Value;

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

/// Reads `nft --json list ruleset`.
pub(super) fn from_nft(json: &Value, port: u16) -> Ruleset {
    let mut ruleset = Ruleset::new();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let key = |value: &Value, name: &str| {
        let family = text(value, "family");
        ((format!("{family} {}", text(value, "table")), text(value, name)), family)
    };
    for object in json["nftables"].as_array().into_iter().flatten() {
        if let Some(chain) = object.get("chain") {
            let (key, family) = key(chain, "name");
            let on_the_way = matches!(text(chain, "hook").as_str(), "input" | "prerouting")
                && chain["type"] == "filter"
                && matches!(family.as_str(), "inet" | "ip" | "ip6");
            let drops = on_the_way.then(|| chain["policy"] == "drop");
            let chain = ruleset.entry(key.clone()).or_default();
            chain.name = format!("{} {}", key.0, key.1);
            chain.drops_by_default = drops;
        }
    }
    for object in json["nftables"].as_array().into_iter().flatten() {
        if let Some(rule) = object.get("rule") {
            let (key, _) = key(rule, "chain");
            let expressions = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
            ruleset.entry(key).or_default().rules.push(rule_of(expressions, port));
        }
    }
    ruleset
}

fn rule_of(expressions: &[Value], port: u16) -> Rule {
    let mut rule = Rule { applies: Applies::Yes, action: Action::Nothing };
    for expression in expressions {
        let Some((kind, body)) = expression.as_object().and_then(|object| object.iter().next()) else {
            continue;
        };
        let target = || body["target"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "match" => rule.applies = rule.applies.and(match_of(body, port)),
            "accept" => rule.action = Action::Accept,
            "drop" | "reject" => rule.action = Action::Drop,
            "return" => rule.action = Action::Return,
            "jump" => rule.action = Action::Jump(target()),
            "goto" => rule.action = Action::Goto(target()),
            "vmap" => rule.action = vmap_of(body, port),
            "xt" => rule.take_xt(body),
            "counter" | "log" | "comment" | "mangle" | "notrack" | "meta" | "ct" => {}
            // A limit, a quota, and what is to come.
            _ => rule.applies = rule.applies.and(Applies::Perhaps),
        }
    }
    rule
}

impl Rule {
    /// What iptables puts into nft's tables where nft has no words for it.
    fn take_xt(&mut self, body: &Value) {
        match (body["type"].as_str(), body["name"].as_str().unwrap_or_default()) {
            (_, "comment" | "LOG" | "MARK" | "CONNMARK") => {}
            (Some("target"), "REJECT" | "DROP") => self.action = Action::Drop,
            (Some("target"), "ACCEPT") => self.action = Action::Accept,
            (Some("target"), _) => self.action = Action::Unknown,
            _ => self.applies = self.applies.and(Applies::Perhaps),
        }
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

fn match_of(body: &Value, port: u16) -> Applies {
    let applies = compare(&body["left"], &body["right"], port);
    if body["op"] == "!=" { applies.negate() } else { applies }
}

/// Whether the datagram's value of `left` is `right`, or among it: UDP, to the port, of no known connection, from a link.
fn compare(left: &Value, right: &Value, port: u16) -> Applies {
    let (payload, meta) = (&left["payload"], &left["meta"]["key"]);
    match (payload["protocol"].as_str(), payload["field"].as_str()) {
        (Some("udp" | "th"), Some("dport")) => contains(right, &|value| is_port(value, port)),
        // A header of another protocol.
        (Some("tcp" | "icmp" | "icmpv6" | "sctp" | "dccp"), _) => Applies::No,
        (Some("ip"), Some("protocol")) | (Some("ip6"), Some("nexthdr")) => is_udp(right),
        _ if meta == "l4proto" => is_udp(right),
        _ if meta == "iifname" || meta == "iif" => match right.as_str() {
            Some("lo") => Applies::No,
            _ => Applies::Perhaps,
        },
        _ if left["ct"]["key"] == "state" => {
            contains(right, &|value| Applies::when(value == "new" || value == "untracked"))
        }
        _ => Applies::Perhaps,
    }
}

fn is_udp(right: &Value) -> Applies {
    contains(right, &|value| Applies::when(value == "udp" || value == 17))
}

fn is_port(value: &Value, port: u16) -> Applies {
    if let Some(range) = value["range"].as_array() {
        let ends: Vec<u64> = range.iter().filter_map(Value::as_u64).collect();
        return match ends[..] {
            [first, last] => Applies::when((first..=last).contains(&u64::from(port))),
            _ => Applies::Perhaps,
        };
    }
    value.as_u64().map_or(Applies::Perhaps, |value| Applies::when(value == u64::from(port)))
}

/// Whether one value, or one of a list or set of them, is meant. A named set is not looked up.
fn contains(right: &Value, is: &dyn Fn(&Value) -> Applies) -> Applies {
    let many = right["set"].as_array().or_else(|| right.as_array());
    match (many, right.as_str()) {
        (Some(values), _) => values.iter().map(is).fold(Applies::No, |sum, one| match (sum, one) {
            (Applies::Yes, _) | (_, Applies::Yes) => Applies::Yes,
            (Applies::No, Applies::No) => Applies::No,
            _ => Applies::Perhaps,
        }),
        (None, Some(name)) if name.starts_with('@') => Applies::Perhaps,
        _ => is(right),
    }
}

/// A map from values to verdicts: the first that fits.
fn vmap_of(body: &Value, port: u16) -> Action {
    let Some(pairs) = body["data"]["set"].as_array() else { return Action::Unknown };
    for pair in pairs {
        match compare(&body["key"], &pair[0], port) {
            Applies::No => {}
            Applies::Perhaps => return Action::Unknown,
            Applies::Yes => return rule_of(std::slice::from_ref(&pair[1]), port).action,
        }
    }
    Action::Nothing
}

/// Reads `iptables-save -t filter`.
pub(super) fn from_iptables(text: &str, table: &str, port: u16) -> Ruleset {
    let mut ruleset = Ruleset::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let key = |name: &str| (table.to_owned(), name.to_owned());
        match words[..] {
            [declared, policy, ..] if declared.starts_with(':') => {
                let name = &declared[1..];
                let chain = ruleset.entry(key(name)).or_default();
                chain.name = format!("{table} {name}");
                chain.drops_by_default = (name == "INPUT").then_some(policy == "DROP");
            }
            ["-A", name, ref options @ ..] => {
                ruleset.entry(key(name)).or_default().rules.push(iptables_rule(options, port));
            }
            _ => {}
        }
    }
    ruleset
}

fn iptables_rule(options: &[&str], port: u16) -> Rule {
    let mut rule = Rule { applies: Applies::Yes, action: Action::Nothing };
    let mut negated = false;
    let mut options = options.iter();
    while let Some(option) = options.next() {
        if *option == "!" {
            negated = true;
            continue;
        }
        let value = || options.clone().next().copied().unwrap_or_default();
        let applies = match *option {
            "-p" => Applies::when(matches!(value(), "udp" | "17" | "all")),
            "--dport" | "--dports" => Applies::when(value().split(',').any(|one| covers(one, port))),
            "-i" => {
                if value() == "lo" {
                    Applies::No
                } else {
                    Applies::Perhaps
                }
            }
            "--ctstate" | "--state" => {
                Applies::when(value().split(',').any(|s| s == "NEW" || s == "UNTRACKED"))
            }
            "-j" => {
                rule.action = match value() {
                    "ACCEPT" => Action::Accept,
                    "DROP" | "REJECT" => Action::Drop,
                    "RETURN" => Action::Return,
                    "LOG" | "MARK" | "CONNMARK" => Action::Nothing,
                    chain => Action::Jump(chain.to_owned()),
                };
                // What follows are the target's own options.
                break;
            }
            "-g" => {
                rule.action = Action::Goto(value().to_owned());
                break;
            }
            "-m" if matches!(value(), "udp" | "tcp" | "conntrack" | "state" | "multiport" | "comment") => {
                Applies::Yes
            }
            "--comment" => {
                skip_quoted(&mut options);
                continue;
            }
            word if word.starts_with('-') => Applies::Perhaps,
            _ => continue,
        };
        rule.applies = rule.applies.and(if negated { applies.negate() } else { applies });
        negated = false;
    }
    rule
}

/// Skips a value, which may be several words in quotes.
fn skip_quoted<'a>(words: &mut impl Iterator<Item = &'a &'a str>) {
    let Some(first) = words.next() else { return };
    if first.starts_with('"') && (first.len() == 1 || !first.ends_with('"')) {
        let _ = words.find(|word| word.ends_with('"'));
    }
}

/// Whether `7946` or `7000:8000` covers the port.
fn covers(range: &str, port: u16) -> bool {
    let (first, last) = range.split_once(':').unwrap_or((range, range));
    matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&port))
}
