//! What the writer writes, the reader reads; and publications, leases, growth and crashes as their users see them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mesher_table::{
    Contents, ContentsError, Deadline, Entry, Found, TableFile, TableWriter, WriteError, format,
};

fn entry(name: &str, v4: &[[u8; 4]], v6: &[&str]) -> Entry {
    Entry {
        name: name.into(),
        canonical: None,
        v4: v4.iter().map(|octets| Ipv4Addr::from(*octets)).collect(),
        v6: v6.iter().map(|text| text.parse::<Ipv6Addr>().expect("an address").into()).collect(),
        ttl_s: 60,
    }
}

fn alias(name: &str, of: &Entry) -> Entry {
    Entry { name: name.into(), canonical: Some(of.name.clone()), ..of.clone() }
}

fn sol() -> Contents {
    let earth = entry("Earth.sol", &[[192, 168, 1, 1]], &["2001:db8:1::1"]);
    let moon = entry("moon.earth.sol", &[[192, 168, 1, 2]], &[]);
    let wild = entry("*.earth.sol", &[[192, 168, 1, 3]], &[]);
    let mut local = entry("Venus.sol", &[[192, 168, 1, 1]], &["fe80::1", "2001:db8:1::1"]);
    local.v6[0].scope = 2;
    Contents { entries: vec![alias("earth", &earth), local, earth, moon, wild], contain: vec!["Sol".into()] }
}

fn lease() -> Deadline {
    Deadline::after(Duration::from_secs(15))
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    let mut writer = TableWriter::open_or_create(&path).expect("a writer");
    assert_eq!(*writer.found(), Found::Nothing);
    let published = writer.publish(&sol(), lease()).expect("published");
    assert!(published.replaced);
    assert_eq!(published.generation, 1);

    let table = TableFile::open(&path).expect("a table");
    let read = table.contents().expect("readable");
    let names: Vec<_> = read.entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["*.earth.sol", "Earth.sol", "earth", "moon.earth.sol", "Venus.sol"]);
    assert_eq!(read.contain, ["sol"]);
    for entry in sol().entries {
        assert_eq!(table.find(&entry.name.to_uppercase()).expect("readable").is_some(), !entry.is_wildcard());
        assert!(read.entries.contains(&entry), "{entry:?}");
    }
    let header = table.header().expect("readable");
    assert!(header.leased && !header.superseded);
    assert_eq!((header.generation, header.records, header.used_bytes), (1, 5, published.bytes));

    let reverse =
        |text: &str| table.find_address(text.parse::<IpAddr>().expect("an address")).expect("readable");
    assert_eq!(reverse("192.168.1.1"), ["Venus.sol", "Earth.sol", "earth"], "entries' order, aliases last");
    assert_eq!(reverse("2001:db8:1::1"), ["Venus.sol", "Earth.sol", "earth"]);
    assert_eq!(reverse("fe80::1"), ["Venus.sol"]);
    assert_eq!(reverse("192.168.1.3"), Vec::<String>::new(), "a wildcard names no host");
    assert_eq!(reverse("192.168.1.4"), Vec::<String>::new());
}

#[test]
fn a_wildcard_answers_below_its_domain_what_nobody_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    let mut writer = TableWriter::open_or_create(&path).expect("a writer");
    let mut contents = sol();
    contents.entries.push(entry("*.a.earth.sol", &[[10, 0, 0, 1]], &[]));
    writer.publish(&contents, lease()).expect("published");
    let table = TableFile::open(&path).expect("a table");
    let find = |name: &str| table.find(name).expect("readable").map(|entry| entry.name);
    assert_eq!(find("x.earth.sol").as_deref(), Some("*.earth.sol"));
    assert_eq!(find("X.Y.Earth.SOL.").as_deref(), Some("*.earth.sol"));
    assert_eq!(find("x.a.earth.sol").as_deref(), Some("*.a.earth.sol"), "the longest domain wins");
    assert_eq!(
        find("a.earth.sol").as_deref(),
        Some("*.earth.sol"),
        "a wildcard does not cover its own domain"
    );
    assert_eq!(find("moon.earth.sol").as_deref(), Some("moon.earth.sol"), "held by itself");
    assert_eq!(find("x.moon.earth.sol").as_deref(), Some("*.earth.sol"));
    assert_eq!(find("earth.sol").as_deref(), Some("Earth.sol"));
    for not in ["*.earth.sol", ".earth.sol", "x..earth.sol", "x y.earth.sol", "xearth.sol", "mars.sol"] {
        assert_eq!(find(not), None, "{not}");
    }
}

#[test]
fn contents_that_break_a_rule_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    let mut writer = TableWriter::open_or_create(&path).expect("a writer");
    writer.publish(&sol(), lease()).expect("published");
    let earth = entry("earth.sol", &[[10, 0, 0, 1]], &[]);
    let orphan = Entry { canonical: Some("mars.sol".into()), ..entry("mars", &[], &[]) };
    let mixed = Entry { canonical: Some("earth.sol".into()), ..entry("*.e", &[], &[]) };
    let crowd = entry("crowd.sol", &vec![[10, 0, 0, 1]; 16_384], &[]);
    for (entries, expected) in [
        (vec![earth.clone(), entry("EARTH.sol", &[], &[])], "Duplicate"),
        (vec![earth.clone(), Entry { canonical: Some("earth.sol".into()), ..earth.clone() }], "Duplicate"),
        (vec![orphan], "NoCanonical"),
        (vec![earth, mixed], "MixedWildcard"),
        (vec![crowd], "TooManyAddresses"),
        (vec![entry("", &[], &[])], "BadName"),
        (vec![entry("a..b", &[], &[])], "BadName"),
        (vec![entry("a.*.b", &[], &[])], "BadName"),
        (vec![entry("ä.sol", &[], &[])], "BadName"),
        (vec![entry(&"a.".repeat(130), &[], &[])], "BadName"),
    ] {
        let contents = Contents { entries, contain: Vec::new() };
        let error = writer.publish(&contents, lease()).expect_err(expected);
        let WriteError::Contents(error) = error else { panic!("{error}") };
        assert!(format!("{error:?}").starts_with(expected), "{error:?} instead of {expected}");
    }
    let contained = Contents { entries: Vec::new(), contain: vec!["a".into(); 65] };
    let error = writer.publish(&contained, lease()).expect_err("too many");
    assert!(matches!(error, WriteError::Contents(ContentsError::TooManyContained(65))));
    let table = TableFile::open(&path).expect("a table");
    assert_eq!(table.header().expect("readable").generation, 1);
    assert_eq!(table.contents().expect("readable").entries.len(), 5);
}

#[test]
fn the_lease_moves_without_a_publication() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    let mut writer = TableWriter::open_or_create(&path).expect("a writer");
    writer.extend(lease()).expect("nothing to extend is fine");
    assert!(!path.exists());
    writer.publish(&sol(), Deadline::PAST).expect("published");
    let table = TableFile::open(&path).expect("a table");
    assert!(!table.header().expect("readable").leased);
    writer.extend(lease()).expect("extended");
    assert!(table.header().expect("readable").leased);
    assert_eq!(table.header().expect("readable").publication, 1);
}

#[test]
fn a_larger_table_takes_the_old_ones_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    let mut writer = TableWriter::open_or_create(&path).expect("a writer");
    writer.publish(&sol(), lease()).expect("published");
    let old = TableFile::open(&path).expect("a table");
    let many = (0..5000_u32).map(|n| entry(&format!("host-{n}.sol"), &[n.to_be_bytes()], &[])).collect();
    let published =
        writer.publish(&Contents { entries: many, contain: Vec::new() }, lease()).expect("published");
    assert!(published.replaced);
    assert_eq!(published.generation, 2);
    assert!(old.header().expect("readable").superseded);
    assert_eq!(old.contents().expect("readable").entries.len(), 5, "the old one stays whole");
    let new = TableFile::open(&path).expect("a table");
    // All of them: some lie in the bucket behind their own.
    for n in 0..5000 {
        let found = new.find(&format!("HOST-{n}.sol")).expect("readable").expect("found");
        assert_eq!(found.v4, [Ipv4Addr::from(u32::to_be_bytes(n))]);
    }
    assert!(!writer.publish(&sol(), lease()).expect("published").replaced, "it does not shrink");
    assert_eq!(new.contents().expect("readable").entries.len(), 5);
}

#[test]
fn a_writer_goes_on_where_the_last_one_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    for generation in 1..=5 {
        let mut writer = TableWriter::open_or_create(&path).expect("a writer");
        assert!(matches!(TableWriter::open_or_create(&path), Err(WriteError::Locked(_))) || generation == 1);
        let published = writer.publish(&sol(), lease()).expect("published");
        assert_eq!((published.generation, published.replaced), (generation, generation == 1));
        assert!(matches!(TableWriter::open_or_create(&path), Err(WriteError::Locked(_))));
    }
}

#[test]
fn a_file_that_was_removed_comes_back_with_the_next_extension() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    let mut writer = TableWriter::open_or_create(&path).expect("a writer");
    writer.publish(&sol(), lease()).expect("published");
    std::fs::remove_file(&path).expect("removed");
    writer.extend(lease()).expect("extended");
    assert_eq!(TableFile::open(&path).expect("a table").contents().expect("readable").entries.len(), 5);
    // A file renamed over it; writing into it would be what nobody may do to a live table.
    let other = folder.path().join("hosts");
    std::fs::write(&other, "127.0.0.1 localhost\n").expect("written");
    std::fs::rename(other, &path).expect("replaced");
    writer.publish(&sol(), lease()).expect("published");
    assert_eq!(TableFile::open(&path).expect("a table").header().expect("readable").generation, 2);
}

#[test]
fn foreign_files_are_told_apart_and_replaced_not_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    let hosts = b"127.0.0.1 localhost\n".repeat(40);
    std::fs::write(&path, &hosts).expect("written");
    let opened = std::fs::File::open(&path).expect("open");
    let mut writer = TableWriter::open_or_create(&path).expect("a writer");
    assert_eq!(*writer.found(), Found::Foreign("not a hosts table".into()));
    assert!(TableFile::open(&path).is_err());
    writer.publish(&sol(), lease()).expect("published");
    assert_eq!(std::io::read_to_string(opened).expect("readable").as_bytes(), hosts);
    assert_eq!(TableFile::open(&path).expect("a table").contents().expect("readable").entries.len(), 5);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o644);
}

/// A new daemon finds an old daemon's table: it says so, tells the old table's readers to look for another, leaves the rest of it
/// as it is, and puts its own into place.
#[test]
fn a_table_of_another_version_is_told_superseded_and_replaced() {
    use std::os::unix::fs::FileExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    TableWriter::open_or_create(&path).expect("a writer").publish(&sol(), lease()).expect("published");
    let old = std::fs::File::options().read(true).write(true).open(&path).expect("open");
    old.write_all_at(&(format::VERSION + 1).to_ne_bytes(), format::H_VERSION as u64 * 4).expect("written");
    let whole = std::fs::read(&path).expect("readable");
    let Err(refused) = TableFile::open(&path) else { panic!("a reader takes another version") };
    assert!(refused.to_string().contains("version 2; this program reads version 1"), "{refused}");

    let mut writer = TableWriter::open_or_create(&path).expect("a writer");
    let Found::Foreign(why) = writer.found() else { panic!("{:?}", writer.found()) };
    assert!(why.contains("version 2; this program reads version 1"), "{why}");
    writer.publish(&sol(), lease()).expect("published");
    assert_eq!(TableFile::open(&path).expect("ours").contents().expect("readable").entries.len(), 5);
    let mut expected = whole.clone();
    let flag = format::H_SUPERSEDED * 4;
    expected[flag..flag + 4].copy_from_slice(&1_u32.to_ne_bytes());
    let mut now = vec![0; whole.len()];
    old.read_exact_at(&mut now, 0).expect("the old file is still there for its readers");
    assert!(now == expected, "nothing but the flag has changed");
}

/// What a writer that was killed while it made a larger file leaves behind.
#[test]
fn half_a_new_file_is_cleared_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    TableWriter::open_or_create(&path).expect("a writer").publish(&sol(), lease()).expect("published");
    let half = path.with_extension("table.new");
    std::fs::write(&half, "half a file").expect("written");
    let many = (0..5000_u32).map(|n| entry(&format!("host-{n}.sol"), &[n.to_be_bytes()], &[])).collect();
    let mut writer = TableWriter::open_or_create(&path).expect("a writer");
    writer.publish(&Contents { entries: many, contain: Vec::new() }, lease()).expect("published");
    assert!(!half.exists());
    assert_eq!(TableFile::open(&path).expect("a table").header().expect("readable").records, 5000);
}
