//! The packet filter of this machine: whether it lets the gossip in, as far as its rules can be read.

use super::ruleset::{self, Verdict};
use super::{Finding, Machine, output_of};

const CHECK: &str = "firewall";

pub(super) fn firewall(machine: &Machine<'_>) -> Option<Finding> {
    let port = machine.config.as_ref()?.cluster.port;
    if !machine.is_root {
        return Some(Finding::unclear(CHECK, "only root can read its rules", "sudo mesherctl doctor"));
    }
    if let Some(text) = output_of("nft", &["--json", "list", "ruleset"]) {
        let Ok(json) = serde_json::from_str(&text) else {
            return Some(Finding::unclear(CHECK, "what nft says is not understood", "nft list ruleset"));
        };
        return Some(finding(&ruleset::judge(&ruleset::from_nft(&json, port)), port, "nft"));
    }
    let mut read_any = false;
    for (command, table) in [("iptables-save", "ip filter"), ("ip6tables-save", "ip6 filter")] {
        let Some(text) = output_of(command, &["-t", "filter"]) else { continue };
        read_any = true;
        match ruleset::judge(&ruleset::from_iptables(&text, table, port)) {
            Verdict::Accepted => {}
            other => return Some(finding(&other, port, command.trim_end_matches("-save"))),
        }
    }
    Some(if read_any {
        finding(&Verdict::Accepted, port, "iptables")
    } else {
        let text = "neither nft nor iptables is here to read its rules";
        Finding::unclear(CHECK, text, "apt-get install nftables")
    })
}

fn finding(verdict: &Verdict, port: u16, tool: &str) -> Finding {
    match verdict {
        Verdict::Accepted => Finding::ok(CHECK, format!("no rule seen that drops UDP port {port}")),
        Verdict::Dropped(by) => Finding::wrong(
            CHECK,
            format!("{by} drops what comes to UDP port {port}"),
            opening(by, port, tool),
        ),
        Verdict::Perhaps(by) => {
            let list = if tool == "nft" { "nft list ruleset".to_owned() } else { format!("{tool}-save") };
            Finding::unclear(CHECK, format!("{by} may drop what comes to UDP port {port}"), list)
        }
    }
}

/// The command that lets it in, of whatever made the rules.
fn opening(by: &str, port: u16, tool: &str) -> String {
    let chain = by.rsplit("chain ").next().unwrap_or_default();
    if chain.contains("firewalld") {
        return format!("firewall-cmd --permanent --add-port={port}/udp && firewall-cmd --reload");
    }
    if chain.contains("ufw") || output_of("ufw", &["status"]).is_some_and(|s| s.contains("Status: active")) {
        return format!("ufw allow {port}/udp");
    }
    if chain.contains("nixos-fw") {
        return "set services.data-mesher.openFirewall = true, and rebuild".to_owned();
    }
    if tool == "nft" {
        return format!("nft insert rule {chain} udp dport {port} accept");
    }
    format!("{tool} -I INPUT -p udp --dport {port} -j ACCEPT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::ruleset::{from_iptables, from_nft, judge};

    /// What nft makes of rules, in a network namespace of its own, where these are the only ones.
    fn nft(rules: &str) -> Verdict {
        let output = std::process::Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--net",
                "sh",
                "-c",
                "nft \"$0\" && nft --json list ruleset",
                rules,
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{rules}: {output:?}");
        judge(&from_nft(&serde_json::from_slice(&output.stdout).unwrap(), 7946))
    }

    fn chain(policy: &str, rules: &str) -> Verdict {
        nft(&format!(
            "table inet t {{\n chain other {{ udp dport 7946 drop; }}\n\
             chain input {{ type filter hook input priority 0; policy {policy}; {rules} }}\n }}\n"
        ))
    }

    #[test]
    fn rules_are_followed_as_the_kernel_follows_them() {
        let by_rule = |chain: &str| Verdict::Dropped(format!("a rule of the chain inet t {chain}"));
        let by_policy = Verdict::Dropped("the policy of the chain inet t input".to_owned());
        assert_eq!(chain("accept", ""), Verdict::Accepted);
        assert_eq!(chain("drop", ""), by_policy);
        assert_eq!(chain("drop", "udp dport 7946 accept;"), Verdict::Accepted);
        assert_eq!(chain("drop", "udp dport { 53, 7000-8000 } accept;"), Verdict::Accepted);
        assert_eq!(chain("drop", "udp dport { 53, 7000-7900 } accept;"), by_policy);
        assert_eq!(
            chain(
                "drop",
                "ct state established,related accept; iifname \"lo\" accept; tcp dport 7946 accept;"
            ),
            by_policy
        );
        assert_eq!(chain("drop", "ct state vmap { established : accept, new : accept };"), Verdict::Accepted);
        assert_eq!(chain("accept", "meta l4proto udp counter drop;"), by_rule("input"));
        assert_eq!(chain("accept", "ip protocol udp reject;"), by_rule("input"));
        assert_eq!(chain("accept", "udp dport 7946 drop; udp dport 7946 accept;"), by_rule("input"));
        assert_eq!(chain("accept", "udp dport 7946 accept; drop;"), Verdict::Accepted);
        assert_eq!(chain("accept", "udp dport != 7946 drop;"), Verdict::Accepted);
        assert_eq!(chain("accept", "jump other;"), by_rule("other"));
        assert_eq!(chain("accept", "tcp dport 1 jump other;"), Verdict::Accepted);
        assert_eq!(
            chain("drop", "ip saddr 192.0.2.0/24 accept;"),
            Verdict::Perhaps("the policy of the chain inet t input".to_owned())
        );
        assert!(matches!(chain("accept", "ip saddr 192.0.2.1 drop;"), Verdict::Perhaps(_)));
        assert!(matches!(chain("accept", "limit rate 1/second drop;"), Verdict::Perhaps(_)));
    }

    #[test]
    fn iptables_is_read_too() {
        let read = |rules: &str, policy: &str| {
            let text = format!(
                "*filter\n:INPUT {policy} [0:0]\n:mine - [0:0]\n{rules}\n-A mine -p udp -j REJECT --reject-with x\nCOMMIT\n"
            );
            judge(&from_iptables(&text, "ip filter", 7946))
        };
        let by_policy = Verdict::Dropped("the policy of the chain ip filter INPUT".to_owned());
        assert_eq!(read("", "ACCEPT"), Verdict::Accepted);
        assert_eq!(read("", "DROP"), by_policy);
        assert_eq!(read("-A INPUT -p udp -m udp --dport 7946 -j ACCEPT", "DROP"), Verdict::Accepted);
        assert_eq!(
            read(
                "-A INPUT -p udp -m multiport --dports 1,7000:8000 -m comment --comment \"a -j b\" -j ACCEPT",
                "DROP"
            ),
            Verdict::Accepted
        );
        assert_eq!(read("-A INPUT -p udp ! --dport 7946 -j ACCEPT", "DROP"), by_policy);
        assert_eq!(
            read(
                "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT",
                "DROP"
            ),
            by_policy
        );
        assert_eq!(
            read("-A INPUT -j mine", "ACCEPT"),
            Verdict::Dropped("a rule of the chain ip filter mine".to_owned())
        );
        assert!(matches!(read("-A INPUT -s 192.0.2.1/32 -j DROP", "ACCEPT"), Verdict::Perhaps(_)));
    }

    #[test]
    fn the_command_is_that_of_whoever_made_the_rules() {
        assert_eq!(
            opening("the policy of the chain inet filter input", 7946, "nft"),
            "nft insert rule inet filter input udp dport 7946 accept"
        );
        assert!(
            opening("a rule of the chain inet firewalld filter_INPUT", 7000, "nft")
                .contains("--add-port=7000/udp")
        );
        assert_eq!(
            opening("the policy of the chain ip filter INPUT", 7946, "iptables"),
            "iptables -I INPUT -p udp --dport 7946 -j ACCEPT"
        );
    }
}
