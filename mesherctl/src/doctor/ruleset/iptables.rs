//! iptables' rules, as iptables-save prints them.

use super::{Action, Applies, Rule, Ruleset};

/// Reads `iptables-save -t filter`.
pub(in crate::doctor) fn from_iptables(text: &str, table: &str, port: u16) -> Ruleset {
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
