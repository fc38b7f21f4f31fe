//! From the view to the table's contents: pure.

use std::collections::HashSet;

use mesher_claims::names::Domain;
use mesher_claims::view::{Claimant, View};
use mesher_table::{Contents, Entry, ScopedV6};

/// What a machine's own configuration decides about its table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Publishing {
    /// `[nss] short_names`: `earth` answers as well as `earth.sol`. Only names of one label: of a claim on
    /// `www.example.org` the short name would be another network's name, and any member could take it over.
    pub short_names: bool,
    /// `[nss] contain`: what nobody holds under the domain is not asked of the next source.
    pub contain: bool,
    /// The interface on which peers' link-local addresses are reached, by index; 0 for none.
    pub link_local_scope: u32,
}

/// How long programs outside NSS may keep an answer: the table is always at hand, so not for long.
const ANSWER_TTL_S: u32 = 5;

/// The table's contents for a view. Names without an address are left out: they have no answer to give. The names of a host
/// follow the order of the view, its label's name first, so that a reverse lookup names the machine by what it calls itself.
pub fn contents(view: &View, domain: &Domain, publishing: Publishing) -> Contents {
    of_holders(view.names().filter_map(|(_, standing)| standing.holder()).collect(), domain, publishing)
}

fn of_holders(mut held: Vec<&Claimant>, domain: &Domain, publishing: Publishing) -> Contents {
    // Stable: within one rank the view's own order stays.
    held.sort_by_key(|claimant| !claimant.name.as_str().eq_ignore_ascii_case(claimant.label.as_str()));
    let mut entries: Vec<Entry> = Vec::with_capacity(held.len());
    for claimant in held {
        let entry = entry(claimant, domain, publishing);
        if entry.v4.is_empty() && entry.v6.is_empty() {
            continue;
        }
        if publishing.short_names && is_one_label(claimant) {
            let alias = Entry {
                name: claimant.name.to_string(),
                canonical: Some(entry.name.clone()),
                ..entry.clone()
            };
            entries.push(alias);
        }
        entries.push(entry);
    }
    let contain = if publishing.contain { vec![domain.to_string()] } else { Vec::new() };
    Contents { entries, contain }
}

fn is_one_label(claimant: &Claimant) -> bool {
    !claimant.name.as_str().contains('.')
}

/// Of new contents, what needs no larger table than the one that stands: the names it has already, as they are now, and
/// none of those that are gone.
pub(super) fn known_already(new: &Contents, standing: &Contents) -> Contents {
    let known: HashSet<String> =
        standing.entries.iter().map(|entry| entry.name.to_ascii_lowercase()).collect();
    let is_known = |name: &String| known.contains(&name.to_ascii_lowercase());
    let entries = new.entries.iter();
    let entries =
        entries.filter(|entry| is_known(&entry.name) && entry.canonical.as_ref().is_none_or(is_known));
    Contents { entries: entries.cloned().collect(), contain: new.contain.clone() }
}

fn entry(claimant: &Claimant, domain: &Domain, publishing: Publishing) -> Entry {
    let scoped = |address: std::net::Ipv6Addr| {
        let scope = if address.is_unicast_link_local() { publishing.link_local_scope } else { 0 };
        ScopedV6 { address, scope }
    };
    Entry {
        name: claimant.name.under(domain),
        canonical: None,
        v4: claimant.addresses.v4().collect(),
        // A link-local address without its interface cannot be reached: better none than one that fails.
        v6: claimant
            .addresses
            .v6()
            .map(scoped)
            .filter(|v6| v6.scope != 0 || !v6.address.is_unicast_link_local())
            .collect(),
        ttl_s: ANSWER_TTL_S,
    }
}

#[cfg(test)]
mod tests {
    use mesher_claims::address::Addresses;
    use mesher_claims::keys::SecretKey;

    use super::*;

    fn claimant(name: &str) -> Claimant {
        Claimant {
            host: SecretKey::from_seed(&[7; 32]).host_key(),
            label: "alpha".parse().expect("a label"),
            name: name.parse().expect("a name"),
            epoch: 1,
            rank_ms: 1,
            addresses: Addresses::new(["192.0.2.1".parse().expect("an address")]).expect("few enough"),
        }
    }

    #[test]
    fn a_short_name_cannot_be_another_networks_name() {
        let domain: Domain = "sol".parse().expect("a domain");
        let publishing = Publishing { short_names: true, ..Publishing::default() };
        let names = |claimed: &[&str]| -> Vec<String> {
            let claimants: Vec<Claimant> = claimed.iter().map(|name| claimant(name)).collect();
            let contents = of_holders(claimants.iter().collect(), &domain, publishing);
            contents.entries.into_iter().map(|entry| entry.name).collect()
        };
        assert_eq!(names(&["earth"]), ["earth", "earth.sol"]);
        assert_eq!(names(&["www.example.org"]), ["www.example.org.sol"]);
        assert_eq!(names(&["*.earth"]), ["*.earth.sol"]);
        // Once `earth.sol` was there twice, as a name and as a short name, no table was written any more.
        assert_eq!(names(&["earth", "earth.sol"]), ["earth", "earth.sol", "earth.sol.sol"]);
    }
}
