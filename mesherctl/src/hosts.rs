//! hosts(5) files, read and written.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use mesher_table::{Contents, Entry, ScopedV6};

use crate::cli::ScopedAddress;

/// One name of a hosts file: its addresses, and the canonical names of the lines that have it as an alias.
#[derive(Debug, Default)]
struct Name {
    spelling: String,
    is_canonical: bool,
    alias_of: Vec<String>,
    addresses: Vec<ScopedAddress>,
}

/// Reads a hosts file: lines of an address, a canonical name and aliases, and comments from `#` on. A name on several lines
/// has all of their addresses, in the lines' order. An alias of more than one name, or one that is a canonical name
/// elsewhere, becomes a name of its own.
///
/// # Errors
///
/// Everything that is wrong, each with its line.
pub(crate) fn parse(text: &str) -> Result<Contents, Vec<(usize, String)>> {
    let mut order: Vec<String> = Vec::new();
    let mut names: HashMap<String, Name> = HashMap::new();
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next() else { continue };
        let Some(address) = read_address(address) else {
            problems.push((index + 1, format!("expected an IPv4 or IPv6 address, found {address:?}")));
            continue;
        };
        let words: Vec<&str> = words.collect();
        let Some(&canonical) = words.first() else {
            problems.push((index + 1, "expected a host name after the address, found nothing".to_owned()));
            continue;
        };
        for (position, word) in words.iter().enumerate() {
            let key = word.to_ascii_lowercase();
            let name = names.entry(key.clone()).or_insert_with(|| {
                order.push(key);
                Name { spelling: (*word).to_owned(), ..Name::default() }
            });
            let canonical = canonical.to_ascii_lowercase();
            if position == 0 || word.eq_ignore_ascii_case(&canonical) {
                name.is_canonical = true;
            } else if !name.alias_of.contains(&canonical) {
                name.alias_of.push(canonical);
            }
            if !name.addresses.contains(&address) {
                name.addresses.push(address);
            }
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let entries = order.iter().filter_map(|key| names.get(key)).map(|name| entry(name, &names)).collect();
    Ok(Contents { entries, contain: Vec::new() })
}

fn entry(name: &Name, names: &HashMap<String, Name>) -> Entry {
    let canonical = match name.alias_of.as_slice() {
        [one] if !name.is_canonical => names.get(one).map(|canonical| canonical.spelling.clone()),
        _ => None,
    };
    // A wildcard cannot be the alias of a host, nor the other way round.
    let canonical =
        canonical.filter(|canonical| canonical.starts_with("*.") == name.spelling.starts_with("*."));
    let mut entry = Entry { name: name.spelling.clone(), canonical, ..Entry::default() };
    for &(address, scope) in &name.addresses {
        match address {
            IpAddr::V4(v4) => entry.v4.push(v4),
            IpAddr::V6(address) => entry.v6.push(ScopedV6 { address, scope }),
        }
    }
    entry
}

/// An address, for a link-local one with its interface behind `%`, by name or index.
fn read_address(text: &str) -> Option<ScopedAddress> {
    let Some((address, interface)) = text.split_once('%') else { return Some((text.parse().ok()?, 0)) };
    let address: Ipv6Addr = address.parse().ok()?;
    let scope = interface.parse().ok().or_else(|| nix::net::if_::if_nametoindex(interface).ok())?;
    (address.is_unicast_link_local() && scope != 0).then_some((IpAddr::V6(address), scope))
}

/// Writes contents as a hosts file: a line for each address of each canonical name, with its aliases. Wildcards, which
/// hosts(5) does not have, stand there as the names they are; [`parse`] reads them back.
pub(crate) fn write(contents: &Contents) -> String {
    let mut aliases: HashMap<String, Vec<&str>> = HashMap::new();
    for entry in &contents.entries {
        if let Some(canonical) = &entry.canonical {
            aliases.entry(canonical.to_ascii_lowercase()).or_default().push(&entry.name);
        }
    }
    let mut text = String::new();
    for domain in &contents.contain {
        let _ = writeln!(text, "# contained: {domain}");
    }
    for entry in contents.entries.iter().filter(|entry| entry.canonical.is_none()) {
        let aliases = aliases.get(&entry.name.to_ascii_lowercase()).map(|a| a.join(" ")).unwrap_or_default();
        let names = format!("{} {aliases}", entry.name);
        for address in &entry.v4 {
            let _ = writeln!(text, "{address} {}", names.trim_end());
        }
        for address in &entry.v6 {
            let scope = if address.scope == 0 { String::new() } else { format!("%{}", address.scope) };
            let _ = writeln!(text, "{}{scope} {}", address.address, names.trim_end());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        write(&parse(text).unwrap()).lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_read_is_written_back() {
        let text = "192.0.2.1 earth.sol earth Terra\n2001:db8::1 earth.sol earth Terra\nfe80::1%7 mars.sol\n192.0.2.9 *.mars.sol\n";
        assert_eq!(lines(text), text.lines().collect::<Vec<_>>());
    }

    #[test]
    fn names_meet_without_regard_to_case_and_comments_are_left_out() {
        let text = "# all\n192.0.2.1\tEarth.sol  # the first\n\n192.0.2.2 earth.SOL\n192.0.2.1 earth.sol\n";
        assert_eq!(lines(text), ["192.0.2.1 Earth.sol", "192.0.2.2 Earth.sol"]);
    }

    #[test]
    fn an_alias_of_two_names_is_a_name_of_its_own() {
        let contents = parse("192.0.2.1 a www\n192.0.2.2 b www\n").unwrap();
        let www = contents.entries.iter().find(|entry| entry.name == "www").unwrap();
        assert_eq!((www.canonical.as_ref(), www.v4.len()), (None, 2));
    }

    #[test]
    fn every_bad_line_is_told() {
        let problems = parse("192.0.2 a\n192.0.2.1\n192.0.2.1 ok\n2001:db8::1%eth0 a\n").unwrap_err();
        assert_eq!(problems.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 4]);
    }
}
