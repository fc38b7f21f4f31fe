//! Tables to test with.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use mesher_table::{Contents, Deadline, Entry, ScopedV6, TableWriter};

/// An entry with these addresses.
pub fn entry(name: &str, v4: &[Ipv4Addr], v6: &[Ipv6Addr]) -> Entry {
    Entry {
        name: name.into(),
        canonical: None,
        v4: v4.into(),
        v6: v6.iter().map(|address| ScopedV6::from(*address)).collect(),
        ttl_s: 60,
    }
}

/// The `n`th IPv4 address of the tests.
pub fn v4(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + n)
}

/// The `n`th IPv6 address of the tests.
pub fn v6(n: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) + u128::from(n))
}

/// A name's alias, with its addresses.
pub fn alias(name: &str, of: &Entry) -> Entry {
    Entry { name: name.into(), canonical: Some(of.name.clone()), ..of.clone() }
}

/// The tests' network: every kind of host there is.
pub fn sol() -> Contents {
    let earth = entry("Earth.sol", &[v4(1)], &[v6(1)]);
    let many = |name: &str, from: u32, count: u32| {
        let numbers = from..from + count;
        entry(name, &numbers.clone().map(v4).collect::<Vec<_>>(), &numbers.map(v6).collect::<Vec<_>>())
    };
    let mut local = entry("local.sol", &[], &["fe80::1".parse().expect("an address"), v6(3)]);
    local.v6[0].scope = 7;
    let wild = entry("*.Earth.sol", &[v4(9)], &[]);
    let entries = vec![
        alias("earth", &earth),
        alias("*.earth", &wild),
        earth,
        wild,
        entry("four.sol", &[v4(2)], &[]),
        entry("six.sol", &[], &[v6(2)]),
        entry("none.sol", &[], &[]),
        entry("also.sol", &[v4(1)], &[v6(1)]),
        many("forty.sol", 1000, 40),
        many("crowd.sol", 2000, 200),
        local,
    ];
    Contents { entries, contain: Vec::new() }
}

/// Publishes contents with a lease of an hour.
pub fn publish(path: &Path, contents: &Contents) -> TableWriter {
    let mut writer = TableWriter::open_or_create(path).expect("a writer");
    writer.publish(contents, lease()).expect("published");
    writer
}

/// An hour from now: no test outlives it, however busy its machine is.
pub fn lease() -> Deadline {
    Deadline::after(Duration::from_secs(3_600))
}
