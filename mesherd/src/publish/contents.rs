//! From the view to the table's contents: pure.

use mesher_claims::names::Domain;
use mesher_claims::view::{Claimant, View};
use mesher_table::{Contents, Entry, ScopedV6};

/// What a machine's own configuration decides about its table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Publishing {
    /// `[nss] short_names`: `earth` answers as well as `earth.sol`.
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
    let mut held: Vec<&Claimant> = view.names().filter_map(|(_, standing)| standing.holder()).collect();
    // Stable: within one rank the view's own order stays.
    held.sort_by_key(|claimant| !claimant.name.as_str().eq_ignore_ascii_case(claimant.label.as_str()));
    let mut entries: Vec<Entry> = Vec::with_capacity(held.len());
    for claimant in held {
        let entry = entry(claimant, domain, publishing);
        if entry.v4.is_empty() && entry.v6.is_empty() {
            continue;
        }
        if publishing.short_names {
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
