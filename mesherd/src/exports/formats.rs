//! The forms of the exports: pure functions of the table's contents.
//!
//! All leave out what their readers could not use: link-local addresses, which mean nothing without an interface, and names
//! that have no other. Wildcards stand in the zone only, where DNS has the same.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use mesher_claims::names::Domain;
use mesher_table::{Contents, Entry};

/// How long a secondary server would wait, give up and so on (RFC 1035 3.3.13). Nobody transfers this zone; the last value is
/// how long an absent name may be remembered (RFC 2308), and so is short.
const SOA_TIMES: &str = "60 30 86400 5";

/// One JSON object a line: `{"hostname":"s1.example.org","ips":["2001:db8::3"]}`.
pub fn json_lines(contents: &Contents) -> String {
    let mut text = String::new();
    for entry in names(contents) {
        let ips: Vec<String> = addresses(entry).map(|ip| ip.to_string()).collect();
        let line = serde_json::json!({"hostname": entry.name, "ips": ips});
        let _ = writeln!(text, "{line}");
    }
    text
}

/// A file in the form of hosts(5): a line an address, with the short name, if the table has one, as an alias.
pub fn hosts(contents: &Contents, domain: &Domain) -> String {
    let mut aliases: HashMap<&str, Vec<&str>> = HashMap::new();
    for entry in &contents.entries {
        if let Some(canonical) = &entry.canonical {
            aliases.entry(canonical).or_default().push(&entry.name);
        }
    }
    let mut text =
        format!("# The names of {domain}. mesherd keeps this file up: changes made by hand are lost.\n");
    for entry in names(contents) {
        for address in addresses(entry) {
            let _ = write!(text, "{address} {}", entry.name);
            for alias in aliases.get(entry.name.as_str()).into_iter().flatten() {
                let _ = write!(text, " {alias}");
            }
            text.push('\n');
        }
    }
    text
}

/// A zone file (RFC 1035) with everything below the domain. `serial` must grow from one content to the next.
pub fn zone(contents: &Contents, domain: &Domain, serial: u32) -> String {
    let mut text = format!(
        "; The names of {domain}. mesherd keeps this file up: changes made by hand are lost.\n\
         $ORIGIN {domain}.\n\
         {}\n\
         @ 5 IN NS localhost.\n",
        soa(serial)
    );
    let below = format!(".{domain}").to_ascii_lowercase();
    for entry in contents.entries.iter().filter(|entry| entry.canonical.is_none()) {
        let Some(length) = entry.name.to_ascii_lowercase().strip_suffix(&below).map(str::len) else {
            continue;
        };
        let name = &entry.name[..length];
        for address in addresses(entry) {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            let _ = writeln!(text, "{name} {} IN {kind} {address}", entry.ttl_s);
        }
    }
    text
}

fn soa(serial: u32) -> String {
    format!("@ 5 IN SOA localhost. nobody.invalid. {serial} {SOA_TIMES}")
}

/// The serial of a zone that [`zone`] wrote.
pub fn serial_of(zone: &str) -> Option<u32> {
    let line = zone.lines().find(|line| line.starts_with("@ 5 IN SOA "))?;
    line.split(' ').nth(6)?.parse().ok()
}

/// Names proper, without aliases and wildcards, that have an address to give.
fn names(contents: &Contents) -> impl Iterator<Item = &Entry> {
    let entries = contents.entries.iter();
    entries.filter(|entry| {
        entry.canonical.is_none() && !entry.is_wildcard() && addresses(entry).next().is_some()
    })
}

fn addresses(entry: &Entry) -> impl Iterator<Item = IpAddr> {
    let v4 = entry.v4.iter().copied().filter(|v4| !v4.is_link_local()).map(IpAddr::V4);
    let v6 = entry.v6.iter().map(|v6| v6.address).filter(|v6| !v6.is_unicast_link_local()).map(IpAddr::V6);
    v4.chain(v6)
}

#[cfg(test)]
mod tests {
    use mesher_table::ScopedV6;

    use super::*;

    fn entry(name: &str, v4: &[&str], v6: &[&str]) -> Entry {
        let scoped = |text: &&str| ScopedV6 { address: text.parse().unwrap(), scope: 0 };
        Entry {
            name: name.to_owned(),
            canonical: None,
            v4: v4.iter().map(|text| text.parse().unwrap()).collect(),
            v6: v6.iter().map(scoped).collect(),
            ttl_s: 5,
        }
    }

    fn contents() -> Contents {
        let alias =
            Entry { canonical: Some("Earth.sol".into()), ..entry("Earth", &["192.0.2.1"], &["2001:db8::1"]) };
        let entries = vec![
            entry("Earth.sol", &["192.0.2.1"], &["2001:db8::1", "fe80::1"]),
            alias,
            entry("grafana.earth.sol", &[], &["2001:db8::1"]),
            entry("*.earth.sol", &["192.0.2.9"], &[]),
            entry("near.sol", &["169.254.1.1"], &["fe80::7"]),
        ];
        Contents { entries, contain: vec![] }
    }

    #[test]
    fn json_lines_are_what_data_meshers_readers_read() {
        assert_eq!(
            json_lines(&contents()),
            "{\"hostname\":\"Earth.sol\",\"ips\":[\"192.0.2.1\",\"2001:db8::1\"]}\n\
             {\"hostname\":\"grafana.earth.sol\",\"ips\":[\"2001:db8::1\"]}\n"
        );
    }

    #[test]
    fn hosts_have_a_line_an_address_and_the_short_names() {
        let text = hosts(&contents(), &"sol".parse().unwrap());
        let (comment, lines) = text.split_once('\n').unwrap();
        assert!(comment.starts_with("# The names of sol."), "{comment}");
        assert_eq!(
            lines,
            "192.0.2.1 Earth.sol Earth\n2001:db8::1 Earth.sol Earth\n2001:db8::1 grafana.earth.sol\n"
        );
    }

    #[test]
    fn the_zone_has_wildcards_and_a_serial_that_is_read_back() {
        let text = zone(&contents(), &"Sol".parse().unwrap(), 4_000_000_000);
        let records: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            records,
            [
                "$ORIGIN Sol.",
                "@ 5 IN SOA localhost. nobody.invalid. 4000000000 60 30 86400 5",
                "@ 5 IN NS localhost.",
                "Earth 5 IN A 192.0.2.1",
                "Earth 5 IN AAAA 2001:db8::1",
                "grafana.earth 5 IN AAAA 2001:db8::1",
                "*.earth 5 IN A 192.0.2.9",
            ]
        );
        assert_eq!(serial_of(&text), Some(4_000_000_000));
        assert_eq!(serial_of("@ 5 IN SOA x"), None);
    }
}
