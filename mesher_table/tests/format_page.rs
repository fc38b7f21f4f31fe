//! Holds `docs/table-format.md` to the code's constants, and the code to tables written by earlier versions.

use mesher_table::{Contents, Entry, TableFile, format};

const PAGE: &str = include_str!("../../docs/table-format.md");

#[test]
fn the_page_names_every_place_of_the_header_and_the_directory() {
    let constants = [
        ("H_MAGIC", format::H_MAGIC),
        ("H_ORDER", format::H_ORDER),
        ("H_VERSION", format::H_VERSION),
        ("H_FILE_WORDS", format::H_FILE_WORDS),
        ("H_ARENA_WORDS", format::H_ARENA_WORDS),
        ("H_SEQ", format::H_SEQ),
        ("H_ACTIVE", format::H_ACTIVE),
        ("H_DEADLINE", format::H_DEADLINE),
        ("H_SUPERSEDED", format::H_SUPERSEDED),
        ("D_SEAL", format::D_SEAL),
        ("D_USED", format::D_USED),
        ("D_SEED", format::D_SEED),
        ("D_BUCKETS", format::D_BUCKETS),
        ("D_INDEX", format::D_INDEX),
        ("D_RECORDS", format::D_RECORDS),
        ("D_RECORDS_END", format::D_RECORDS_END),
        ("D_REVERSE_V4", format::D_REVERSE_V4),
        ("D_REVERSE_V4_LEN", format::D_REVERSE_V4_LEN),
        ("D_REVERSE_V6", format::D_REVERSE_V6),
        ("D_REVERSE_V6_LEN", format::D_REVERSE_V6_LEN),
        ("D_CONTAIN", format::D_CONTAIN),
        ("D_CONTAIN_LEN", format::D_CONTAIN_LEN),
        ("D_WILD", format::D_WILD),
        ("D_PROBE", format::D_PROBE),
        ("D_GENERATION", format::D_GENERATION),
        ("D_RECORD_COUNT", format::D_RECORD_COUNT),
    ];
    let rows: Vec<_> =
        PAGE.lines().filter(|line| line.starts_with("| `H_") || line.starts_with("| `D_")).collect();
    assert_eq!(rows.len(), constants.len(), "as many rows as constants");
    // The code's own list must be complete too.
    let source = include_str!("../src/format.rs");
    let declared =
        source.lines().filter(|line| line.starts_with("pub const H_") || line.starts_with("pub const D_"));
    assert_eq!(declared.count(), constants.len(), "a constant that neither the page nor this test knows");
    for (name, value) in constants {
        assert!(
            rows.iter().any(|row| row.starts_with(&format!("| `{name}` | {value} |"))),
            "{name} is {value}"
        );
    }
}

#[test]
fn the_page_gives_the_other_numbers() {
    for (what, there) in [
        (format!("version {}", format::VERSION), "version 1"),
        (String::from_utf8_lossy(&format::MAGIC).into_owned(), "mesh-tbl"),
        (format!("{:#010x}", format::ORDER_MARK), "0x0a0b0c0d"),
        (format!("│ {} bytes │", format::DIRECTORY_WORDS * 4), "│ 128 bytes │"),
        (format!("{} bytes a bucket", format::LINE_WORDS * 4), "64 bytes a bucket"),
        (format!("{} at most", format::MAX_CONTAIN), "64 at most"),
        (format!("visit, {} at most", format::MAX_PROBE), "visit, 8 at most"),
        (format!("0–{} | IPv4", format::COUNT_BITS - 1), "0–13 | IPv4"),
        (format!("| {} | `F_SCOPED`", format::F_SCOPED.trailing_zeros()), "| 28 | `F_SCOPED`"),
        (
            format!("| {} | `F_ALIASES_FOLLOW`", format::F_ALIASES_FOLLOW.trailing_zeros()),
            "| 29 | `F_ALIASES_FOLLOW`",
        ),
        (format!("| {} | `F_WILDCARD`", format::F_WILDCARD.trailing_zeros()), "| 30 | `F_WILDCARD`"),
        (format!("{} times at most", mesher_table::protocol::ATTEMPTS), "16 times at most"),
    ] {
        assert_eq!(what, there, "the code changed; change the page");
        assert!(PAGE.contains(there), "the page lacks `{there}`");
    }
    assert_eq!(format::HEADER_WORDS * 4, 128, "arena A starts at byte 128 in the page's drawing");
}

/// What the golden table of version 1 says.
fn golden() -> Contents {
    let entry = |name: &str, v4: &[&str], v6: &[&str]| Entry {
        name: name.into(),
        canonical: None,
        v4: v4.iter().map(|text| text.parse().expect("an address")).collect(),
        v6: v6.iter().map(|text| text.parse::<std::net::Ipv6Addr>().expect("an address").into()).collect(),
        ttl_s: 3600,
    };
    let earth = entry("Earth.sol", &["192.168.1.1"], &["2001:db8:1::1"]);
    let alias = Entry { name: "earth".into(), canonical: Some("Earth.sol".into()), ..earth.clone() };
    let mut local = entry("local.sol", &[], &["fe80::1"]);
    local.v6[0].scope = 3;
    let wild = entry("*.earth.sol", &["192.168.1.9", "192.168.1.10"], &[]);
    Contents {
        entries: vec![wild, earth, alias, local, entry("none.sol", &[], &[])],
        contain: vec!["sol".into()],
    }
}

/// `MESHER_WRITE_GOLDEN=FILE` writes the table anew; for a new version only, beside the old ones.
#[test]
fn golden_tables_are_read() {
    if let Some(path) = std::env::var_os("MESHER_WRITE_GOLDEN") {
        let mut writer = mesher_table::TableWriter::open_or_create(path).expect("a writer");
        writer.publish(&golden(), mesher_table::Deadline::NEVER).expect("published");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/version-1-little-endian.table");
    if cfg!(target_endian = "big") {
        let error = TableFile::open(path).err().expect("refused").to_string();
        assert!(error.contains("byte order"), "{error}");
        return;
    }
    let table = TableFile::open(path).expect("version 1 is read");
    assert_eq!(table.contents().expect("readable"), golden());
    let header = table.header().expect("readable");
    assert_eq!((header.generation, header.records, header.leased), (1, 5, true));
    assert_eq!(table.find("EARTH.sol").expect("readable").expect("found").name, "Earth.sol");
    assert_eq!(table.find("moon.earth.sol").expect("readable").expect("found").name, "*.earth.sol");
    let address = "192.168.1.1".parse().expect("an address");
    assert_eq!(table.find_address(address).expect("readable"), ["Earth.sol", "earth"]);
}
