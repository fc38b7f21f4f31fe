//! Writer against reader: what is published is found, by name, by address and in order, and nothing else is.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use mesher_fuzz::{Hosts, Name, folder};
use mesher_table::{Contents, Deadline, Entry, TableFile, TableWriter};

static WRITER: LazyLock<Mutex<TableWriter>> = LazyLock::new(|| {
    Mutex::new(TableWriter::open_or_create(folder().join("round_trip.table")).expect("a writer"))
});

fuzz_target!(|input: (Hosts, Vec<Name>)| {
    let (hosts, others) = input;
    let contents = hosts.contents();
    let mut writer = WRITER.lock().expect("one thread");
    if writer.publish(&contents, Deadline::NEVER).is_err() {
        // Only what the model refuses too may be refused.
        assert!(is_faulty(&contents), "refused: {contents:?}");
        return;
    }
    assert!(!is_faulty(&contents), "not refused: {contents:?}");
    let table = TableFile::open(writer.path()).expect("a table");
    let read = table.contents().expect("readable");
    assert_eq!(sorted(&read.entries), sorted(&contents.entries));
    for entry in &contents.entries {
        let found = table.find(&entry.name.to_ascii_uppercase()).expect("readable");
        assert_eq!(found.is_some(), !entry.is_wildcard(), "{entry:?}");
        if let Some(found) = found {
            assert_eq!(kept(&found), kept(entry));
        }
    }
    for name in others.iter().map(Name::text) {
        let found = table.find(&name).expect("readable").map(|entry| entry.name.to_ascii_lowercase());
        assert_eq!(found, expected(&contents, &name.to_ascii_lowercase()), "{name}");
    }
    check_reverse(&table, &contents);
});

/// The entry as the table keeps it: times to live have 16 bits, aliases the canonical entry's spelling.
fn kept(entry: &Entry) -> Entry {
    let canonical = entry.canonical.as_ref().map(|name| name.to_ascii_lowercase());
    Entry { canonical, ttl_s: entry.ttl_s.min(u16::MAX.into()), ..entry.clone() }
}

fn sorted(entries: &[Entry]) -> BTreeMap<String, Entry> {
    entries.iter().map(|entry| (entry.name.clone(), kept(entry))).collect()
}

fn is_faulty(contents: &Contents) -> bool {
    let mut names = BTreeSet::new();
    let twice = contents.entries.iter().any(|entry| !names.insert(entry.name.to_ascii_lowercase()));
    let lost = |entry: &Entry| {
        entry.canonical.as_ref().is_some_and(|canonical| {
            let host = contents.entries.iter().find(|host| host.name.eq_ignore_ascii_case(canonical));
            host.is_none_or(|host| host.canonical.is_some() || host.is_wildcard() != entry.is_wildcard())
        })
    };
    twice || contents.entries.iter().any(lost) || contents.contain.len() > 64
}

fn expected(contents: &Contents, name: &str) -> Option<String> {
    let held = |name: &str| contents.entries.iter().any(|entry| entry.name.eq_ignore_ascii_case(name));
    if held(name) {
        return Some(name.to_owned());
    }
    let dots = name.match_indices('.').map(|(at, _)| format!("*{}", &name[at..]));
    dots.into_iter().find(|wildcard| held(wildcard))
}

fn check_reverse(table: &TableFile, contents: &Contents) {
    let mut expected: BTreeMap<IpAddr, Vec<(bool, String)>> = BTreeMap::new();
    for entry in contents.entries.iter().filter(|entry| !entry.is_wildcard()) {
        let v4 = entry.v4.iter().map(|address| IpAddr::V4(*address));
        let v6 = entry.v6.iter().map(|address| IpAddr::V6(address.address));
        for address in v4.chain(v6).collect::<BTreeSet<_>>() {
            expected.entry(address).or_default().push((entry.canonical.is_some(), entry.name.clone()));
        }
    }
    for (address, mut names) in expected {
        names.sort_by_key(|(alias, _)| *alias);
        let names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();
        assert_eq!(table.find_address(address).expect("readable"), names, "{address}");
    }
}
