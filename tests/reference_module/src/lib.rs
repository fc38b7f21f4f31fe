//! An NSS module made with the crate libnss over the same table, to compare ours with: `_nss_meshref_*`.
//!
//! It is written as libnss means modules to be written, on its safe hooks, and opens the table anew for every
//! lookup. Where libnss departs from glibc's contract, the comparison in `tests/abi` says so and why.

use std::net::IpAddr;

use libnss::host::{AddressFamily, Addresses, Host, HostHooks};
use libnss::interop::Response;
use libnss::libnss_host_hooks;
use mesher_table::{Entry, TableFile};

struct Reference;
libnss_host_hooks!(meshref, Reference);

fn table() -> Option<TableFile> {
    let path = std::env::var_os("MESHER_TABLE")?;
    let table = TableFile::open(path).ok()?;
    table.header().ok()?.leased.then_some(table)
}

fn host(entry: &Entry, family: &AddressFamily, table: &TableFile) -> Option<Host> {
    let name = entry.canonical.clone().unwrap_or_else(|| entry.name.clone());
    let aliases = match &entry.canonical {
        Some(_) => vec![entry.name.clone()],
        None => {
            let entries = table.contents().ok()?.entries;
            entries
                .into_iter()
                .filter(|other| other.canonical.as_ref() == Some(&name))
                .map(|other| other.name)
                .collect()
        }
    };
    let v4 = || (!entry.v4.is_empty()).then(|| Addresses::V4(entry.v4.clone()));
    let v6 = || (!entry.v6.is_empty()).then(|| Addresses::V6(entry.v6.iter().map(|v6| v6.address).collect()));
    let addresses = match family {
        AddressFamily::IPv4 => v4()?,
        AddressFamily::IPv6 => v6()?,
        AddressFamily::Unspecified => v4().or_else(v6)?,
    };
    Some(Host { name, aliases, addresses })
}

impl HostHooks for Reference {
    fn get_all_entries() -> Response<Vec<Host>> {
        let Some(table) = table() else { return Response::Unavail };
        let Ok(contents) = table.contents() else { return Response::Unavail };
        let hosts = contents.entries.iter().filter(|entry| entry.canonical.is_none() && !entry.is_wildcard());
        let families = |entry| {
            [AddressFamily::IPv4, AddressFamily::IPv6]
                .iter()
                .filter_map(|family| host(entry, family, &table))
                .collect::<Vec<_>>()
        };
        Response::Success(hosts.flat_map(families).collect())
    }

    fn get_host_by_name(name: &str, family: AddressFamily) -> Response<Host> {
        let Some(table) = table() else { return Response::Unavail };
        match table.find(name) {
            Ok(Some(mut entry)) => {
                if entry.is_wildcard() {
                    entry.name = name.strip_suffix('.').unwrap_or(name).to_owned();
                }
                host(&entry, &family, &table).map_or(Response::NotFound, Response::Success)
            }
            Ok(None) => Response::NotFound,
            Err(_) => Response::Unavail,
        }
    }

    fn get_host_by_addr(address: IpAddr) -> Response<Host> {
        let Some(table) = table() else { return Response::Unavail };
        let Ok(mut names) = table.find_address(address) else { return Response::Unavail };
        if names.is_empty() {
            return Response::NotFound;
        }
        let name = names.remove(0);
        let addresses = match address {
            IpAddr::V4(address) => Addresses::V4(vec![address]),
            IpAddr::V6(address) => Addresses::V6(vec![address]),
        };
        Response::Success(Host { name, aliases: names, addresses })
    }
}
