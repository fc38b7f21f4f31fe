//! nft's rules, in its JSON (libnftables-json(5)).

use serde_json::Value;

use super::{Action, Applies, Rule, Ruleset};

/// Reads `nft --json list ruleset`.
pub(in crate::doctor) fn from_nft(json: &Value, port: u16) -> Ruleset {
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
