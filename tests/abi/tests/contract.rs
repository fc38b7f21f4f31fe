//! The contract's numbered points, at the entry points themselves. What concerns whole processes is in
//! `glibc.rs`, `hostile.rs` and `torture.rs`; the buffers are in `buffers.rs`.

use std::net::IpAddr;

use abi_tests::{Arena, Call, Host, Module, Name, Tuple, status, tables};
use libc::{AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC, EAFNOSUPPORT, EINVAL, ENOENT, ERANGE};
use mesher_table::{Contents, Deadline, TableWriter};

const NETDB_INTERNAL: i32 = -1;
const HOST_NOT_FOUND: i32 = 1;
const NO_RECOVERY: i32 = 3;
const NO_DATA: i32 = 4;
/// Success: errno left alone, h_errno 0.
const OK: (i32, i32, i32) = (status::SUCCESS, Arena::ERRNO, 0);
const UNKNOWN: (i32, i32, i32) = (status::NOTFOUND, ENOENT, HOST_NOT_FOUND);
const NO_ADDRESS: (i32, i32, i32) = (status::NOTFOUND, ENOENT, NO_DATA);
const UNAVAILABLE: (i32, i32, i32) = (status::UNAVAIL, ENOENT, NO_RECOVERY);

const ENOUGH: usize = 32 * 1024;

struct Stage {
    module: Module,
    writer: TableWriter,
    _folder: tempfile::TempDir,
}

fn stage_with(contents: &Contents) -> Stage {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    let writer = tables::publish(&path, contents);
    Stage { module: Module::load(&path), writer, _folder: folder }
}

fn stage() -> Stage {
    stage_with(&tables::sol())
}

impl Stage {
    fn name(&self, how: Name, name: &str) -> Call<Host> {
        self.module.by_name(how, name.as_bytes(), ENOUGH, 0)
    }

    fn name4(&self, name: &str) -> Call<Vec<Tuple>> {
        self.module.by_name4(name.as_bytes(), ENOUGH, 0, false)
    }

    /// The status and error numbers of a name through every entry point that looks names up.
    fn numbers(&self, name: &[u8]) -> Vec<(i32, i32, i32)> {
        let hows =
            [Name::Three(AF_INET), Name::Three(AF_INET6), Name::Two(AF_INET), Name::Two(AF_INET6), Name::One];
        let mut all: Vec<_> =
            hows.iter().map(|how| self.module.by_name(*how, name, ENOUGH, 0).numbers()).collect();
        all.push(self.module.by_name4(name, ENOUGH, 0, false).numbers());
        all
    }
}

fn host(name: &str, aliases: &[&str], addresses: &[IpAddr]) -> Host {
    Host {
        name: name.into(),
        aliases: aliases.iter().map(|alias| (*alias).into()).collect(),
        addresses: addresses.into(),
    }
}

fn v4(n: u32) -> IpAddr {
    tables::v4(n).into()
}

fn v6(n: u32) -> IpAddr {
    tables::v6(n).into()
}

#[test]
fn point_1_a_small_buffer_is_tryagain_erange_and_internal() {
    let stage = stage();
    let expected = (status::TRYAGAIN, ERANGE, NETDB_INTERNAL);
    for size in [0, 1, 8, 24] {
        assert_eq!(
            stage.module.by_name(Name::Three(AF_INET), b"earth.sol", size, 0).numbers(),
            expected,
            "{size}"
        );
        assert_eq!(stage.module.by_name4(b"earth.sol", size, 0, false).numbers(), expected, "{size}");
        assert_eq!(stage.module.by_address(AF_INET, &[10, 0, 0, 1], size, 0).numbers(), expected, "{size}");
        stage.module.rewind();
        assert_eq!(stage.module.next(size, 0).numbers(), expected, "{size}");
    }
}

#[test]
fn point_2_without_a_table_everything_is_unavailable() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    let module = Module::load(&path);
    let check = |why: &str| {
        assert_eq!(
            module.by_name(Name::Three(AF_INET), b"earth.sol", ENOUGH, 0).numbers(),
            UNAVAILABLE,
            "{why}"
        );
        assert_eq!(module.by_name(Name::One, b"mars.sol", ENOUGH, 0).numbers(), UNAVAILABLE, "{why}");
        assert_eq!(module.by_name4(b"earth.sol", ENOUGH, 0, false).numbers(), UNAVAILABLE, "{why}");
        assert_eq!(module.by_address(AF_INET, &[10, 0, 0, 1], ENOUGH, 0).numbers(), UNAVAILABLE, "{why}");
        assert_eq!(module.next(ENOUGH, 0).numbers(), UNAVAILABLE, "{why}");
    };
    check("missing");
    std::fs::write(&path, "10.0.0.1 earth.sol\n".repeat(100)).expect("written");
    check("foreign");
    let mut writer = TableWriter::open_or_create(&path).expect("a writer");
    writer.publish(&tables::sol(), Deadline::PAST).expect("published");
    check("past its lease");
    writer.extend(tables::lease()).expect("extended");
    assert_eq!(
        module.by_name(Name::One, b"earth.sol", ENOUGH, 0).numbers(),
        OK,
        "it comes to life with its lease"
    );
    writer.extend(Deadline::now()).expect("extended");
    check("its lease ended");
    drop(writer);
    std::fs::remove_file(&path).expect("removed");
    check("removed");
    tables::publish(&path, &tables::sol());
    assert_eq!(module.by_name(Name::One, b"earth.sol", ENOUGH, 0).numbers(), OK, "a new one is found");
}

#[test]
fn point_3_unknown_names_and_missing_families() {
    let stage = stage();
    assert!(stage.numbers(b"mars.sol").iter().all(|numbers| *numbers == UNKNOWN));
    assert_eq!(stage.name(Name::Three(AF_INET6), "four.sol").numbers(), NO_ADDRESS);
    assert_eq!(stage.name(Name::Two(AF_INET), "six.sol").numbers(), NO_ADDRESS);
    assert_eq!(stage.name(Name::One, "six.sol").numbers(), NO_ADDRESS);
    assert!(stage.numbers(b"none.sol").iter().all(|numbers| *numbers == NO_ADDRESS));
    assert_eq!(stage.module.by_address(AF_INET, &[10, 9, 9, 9], ENOUGH, 0).numbers(), UNKNOWN);
    assert_eq!(stage.module.by_address(AF_INET6, &[9; 16], ENOUGH, 0).numbers(), UNKNOWN);
}

#[test]
fn contained_domains_end_the_lookup() {
    let stage = stage_with(&Contents { contain: vec!["SOL".into()], ..tables::sol() });
    let (ended, ended_family) = ((status::RETURN, ENOENT, HOST_NOT_FOUND), (status::RETURN, ENOENT, NO_DATA));
    for name in ["mars.sol", "sol", "Sol.", "a.b.SOL", "no host name.sol"] {
        assert!(stage.numbers(name.as_bytes()).iter().all(|numbers| *numbers == ended), "{name}");
    }
    for name in ["marssol", "mars.sol.example", "example"] {
        assert!(stage.numbers(name.as_bytes()).iter().all(|numbers| *numbers == UNKNOWN), "{name}");
    }
    assert_eq!(stage.name(Name::Three(AF_INET6), "four.sol").numbers(), ended_family);
    assert_eq!(stage.name4("none.sol").numbers(), ended_family);
    assert_eq!(stage.name(Name::Three(AF_INET), "four.sol").numbers(), OK);
}

#[test]
fn point_4_families() {
    let stage = stage();
    let other = (status::UNAVAIL, EAFNOSUPPORT, NO_DATA);
    assert_eq!(stage.name(Name::Three(AF_UNIX), "earth.sol").numbers(), other);
    assert_eq!(stage.name(Name::Two(99), "mars.sol").numbers(), other);
    assert_eq!(stage.module.by_address(AF_UNIX, &[10, 0, 0, 1], ENOUGH, 0).numbers(), other);
    for how in [Name::Three(AF_UNSPEC), Name::Two(AF_UNSPEC), Name::One] {
        assert_eq!(stage.name(how, "earth.sol").answer.expect("found").addresses, [v4(1)]);
    }
}

#[test]
fn points_5_and_10_success_leaves_errno_alone_and_writes_a_ttl_of_zero() {
    let stage = stage();
    let three = stage.name(Name::Three(AF_INET), "earth.sol");
    assert_eq!((three.numbers(), three.ttl), (OK, 0));
    let four = stage.name4("earth.sol");
    assert_eq!((four.numbers(), four.ttl), (OK, 0));
    let address = stage.module.by_address(AF_INET, &[10, 0, 0, 1], ENOUGH, 0);
    assert_eq!((address.numbers(), address.ttl), (OK, 0));
    assert_eq!(stage.module.next(ENOUGH, 0).numbers(), OK);
    let failed = stage.name(Name::Three(AF_INET), "mars.sol");
    assert_eq!(failed.ttl, Arena::ERRNO, "no answer has no TTL");
}

#[test]
fn points_6_7_11_and_19_tuples() {
    let stage = stage();
    let tuple = |address, scope| Tuple { name: "local.sol".into(), address, scope };
    let link_local = "fe80::1".parse().expect("an address");
    assert_eq!(stage.name4("local.sol").answer, Some(vec![tuple(link_local, 7), tuple(v6(3), 0)]));
    for name in ["earth.sol", "four.sol", "six.sol", "local.sol", "crowd.sol"] {
        let plain = stage.name4(name).answer.expect("found");
        let preset = stage.module.by_name4(name.as_bytes(), ENOUGH, 0, true).answer.expect("found");
        assert_eq!(plain, preset, "{name}: the first tuple is copied");
    }
    let crowd = stage.name4("crowd.sol").answer.expect("found");
    let expected: Vec<IpAddr> = (2000..2200).map(v4).chain((2000..2200).map(v6)).collect();
    assert_eq!(crowd.iter().map(|tuple| tuple.address).collect::<Vec<_>>(), expected, "in the table's order");
}

#[test]
fn point_12_names_arrive_raw() {
    let stage = stage();
    let expected = Some(host("Earth.sol", &["earth"], &[v4(1)]));
    for name in ["Earth.sol", "earth.sol", "EARTH.SOL", "earth.sol.", "eArTh.SoL."] {
        assert_eq!(stage.name(Name::Three(AF_INET), name).answer, expected, "{name}");
        assert_eq!(stage.name4(name).answer.expect("found")[0].name, "Earth.sol", "{name}");
    }
    let long = "a.".repeat(127);
    let huge = "x".repeat(100_000);
    for name in [
        "",
        ".",
        "..",
        "earth.sol..",
        ".earth.sol",
        "earth",
        "earth.so",
        "earth.soll",
        &long,
        &huge,
        " earth.sol",
    ] {
        let known = name == "earth";
        assert_eq!(stage.name(Name::One, name).numbers() == OK, known, "{name:.20}");
    }
}

#[test]
fn points_13_and_14_bytes_beyond_ascii_and_numbers_match_nothing() {
    let stage = stage();
    for name in
        [&b"\xc3\xa9arth.sol"[..], b"\xff", b"earth\x80sol", b"xn--arth-9oa.sol", b"10.0.0.1.", b"10.0.0.1"]
    {
        assert!(stage.numbers(name).iter().all(|numbers| *numbers == UNKNOWN), "{name:?}");
    }
    // Folding must not reach beyond ASCII: [ is @ plus a letter's distance, and so on.
    for name in ["`ARTH.SOL", "EARTH.SO\u{c}", "earth{sol", "e\u{1}rth.sol"] {
        assert!(stage.numbers(name.as_bytes()).iter().all(|numbers| *numbers == UNKNOWN), "{name:?}");
    }
}

#[test]
fn aliases_and_wildcards() {
    let stage = stage();
    let three = |name| stage.name(Name::Three(AF_INET), name).answer;
    assert_eq!(three("EARTH"), Some(host("Earth.sol", &["earth"], &[v4(1)])), "a short name");
    assert_eq!(three("Moon.earth.SOL."), Some(host("Moon.earth.SOL", &[], &[v4(9)])), "as it was typed");
    assert_eq!(three("a.b.earth"), Some(host("a.b.Earth.sol", &["a.b.earth"], &[v4(9)])), "a short wildcard");
    assert_eq!(three("*.earth.sol"), None);
    assert_eq!(stage.name4("moon.earth").answer.expect("found")[0].name, "moon.Earth.sol");
    let bad = stage.numbers(b"no good.earth.sol");
    assert!(bad.iter().all(|numbers| *numbers == UNKNOWN), "not a host name");
    let label = "x".repeat(63);
    let long = format!("{label}.{label}.{label}.{}.earth", "y".repeat(253 - 3 * 64 - 6));
    assert_eq!(long.len(), 253);
    assert_eq!(stage.name4(&long).numbers(), UNKNOWN, "with its domain it would be too long");
}

#[test]
fn point_15_addresses_to_names() {
    let stage = stage();
    let by = |family, bytes: &[u8]| stage.module.by_address(family, bytes, ENOUGH, 0);
    let earth = |address| Some(host("Earth.sol", &["also.sol", "earth"], &[address]));
    assert_eq!(
        by(AF_INET, &[10, 0, 0, 1]).answer,
        earth(v4(1)),
        "canonical names in the table's order, aliases last"
    );
    assert_eq!(by(AF_INET6, &tables::v6(1).octets()).answer, earth(v6(1)));
    let mapped = tables::v4(1).to_ipv6_mapped();
    assert_eq!(by(AF_INET6, &mapped.octets()).answer, earth(mapped.into()));
    assert_eq!(by(AF_INET, &[10, 0, 0, 9]).numbers(), UNKNOWN, "a wildcard's address is no host's");
    let bad_length = (status::UNAVAIL, EINVAL, NO_RECOVERY);
    for (family, length) in
        [(AF_INET, 0), (AF_INET, 3), (AF_INET, 16), (AF_INET6, 4), (AF_INET6, 15), (AF_INET6, 17)]
    {
        assert_eq!(by(family, &vec![10; length]).numbers(), bad_length, "{family} {length}");
    }
    assert_eq!(stage.module.by_address1(AF_INET, &[10, 0, 0, 1], ENOUGH).answer, earth(v4(1)));
}

#[test]
fn point_16_enumeration() {
    let mut stage = stage();
    let all = |module: &Module| {
        module.rewind();
        let mut names = Vec::new();
        loop {
            let size = names.len() % 700;
            let call = module.next(size, size % 16);
            if call.status == status::TRYAGAIN {
                // ERANGE does not move on: the same host comes with a larger buffer.
                let call = module.next(ENOUGH, 0);
                names.push(call.answer.expect("the same host"));
                continue;
            }
            match call.answer {
                Some(host) => names.push(host),
                None => {
                    assert_eq!(call.numbers(), UNKNOWN);
                    assert_eq!(module.next(ENOUGH, 0).numbers(), UNKNOWN, "the end stays the end");
                    return names;
                }
            }
        }
    };
    let first = stage.module.next(ENOUGH, 0).answer.expect("without sethostent before it");
    let hosts = all(&stage.module);
    assert_eq!(hosts[0], first);
    let names: Vec<_> = hosts.iter().map(|host| (host.name.as_str(), host.addresses[0].is_ipv4())).collect();
    let expected = [
        ("also.sol", true),
        ("also.sol", false),
        ("crowd.sol", true),
        ("crowd.sol", false),
        ("Earth.sol", true),
        ("Earth.sol", false),
        ("forty.sol", true),
        ("forty.sol", false),
        ("four.sol", true),
        ("local.sol", false),
        ("six.sol", false),
    ];
    assert_eq!(names, expected, "in order, each family once, no wildcards, no empty hosts");
    assert_eq!(hosts[4].aliases, ["earth"]);
    assert_eq!(stage.module.end(), status::SUCCESS);
    assert_eq!(stage.module.next(ENOUGH, 0).answer.expect("the first"), first);

    // The table changes in between: what is gone does not come, what is new and further on does, nothing comes twice.
    let mut contents = tables::sol();
    contents.entries.retain(|entry| entry.name != "also.sol");
    contents.entries.push(tables::entry("beyond.sol", &[tables::v4(77)], &[]));
    stage.writer.publish(&contents, tables::lease()).expect("published");
    assert_eq!(stage.module.next(ENOUGH, 0).answer.expect("the next").name, "beyond.sol");
    assert_eq!(stage.module.next(ENOUGH, 0).answer.expect("the next").name, "crowd.sol");
}

#[test]
fn nothing_but_the_entry_points_is_there() {
    let stage = stage();
    assert!(stage.module.symbol("getcanonname_r").is_null(), "CVE-2023-4806's path");
}
