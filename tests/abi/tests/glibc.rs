//! The module behind the real glibc: `getent` in every form, on machines with addresses of one family and of two, alone
//! and in a chain with `files`.

use std::fmt::Write as _;

use abi_tests::{Machine, tables};
use mesher_table::{Contents, Deadline, Entry, TableWriter};

/// Every form in which getent looks a name up.
const FORMS: [&str; 4] = ["ahosts", "ahostsv4", "ahostsv6", "hosts"];

fn addresses(output: &str) -> Vec<&str> {
    let mut found: Vec<_> = output.lines().filter_map(|line| line.split_whitespace().next()).collect();
    found.dedup();
    found.sort_unstable();
    found.dedup();
    found
}

/// The addresses that each form finds for a name.
fn found(machine: &Machine, name: &str) -> Vec<String> {
    FORMS.iter().map(|form| addresses(&machine.getent(&[form, name])).join(" ")).collect()
}

#[test]
fn every_form_of_getent_on_both_kinds_of_machine() {
    let both = Machine::dual("files mesher");
    let _writer = tables::publish(&both.table(), &tables::sol());
    assert_eq!(found(&both, "earth.sol"), ["10.0.0.1 2001:db8::1", "10.0.0.1", "2001:db8::1", "2001:db8::1"]);
    assert_eq!(
        found(&both, "EARTH.sol."),
        ["10.0.0.1 2001:db8::1", "10.0.0.1", "2001:db8::1", "2001:db8::1"]
    );
    assert_eq!(found(&both, "earth"), ["10.0.0.1 2001:db8::1", "10.0.0.1", "2001:db8::1", "2001:db8::1"]);
    assert_eq!(found(&both, "four.sol"), ["10.0.0.2", "10.0.0.2", "::ffff:10.0.0.2", "10.0.0.2"]);
    assert_eq!(found(&both, "six.sol"), ["2001:db8::2", "", "2001:db8::2", "2001:db8::2"]);
    assert_eq!(found(&both, "moon.earth.sol"), ["10.0.0.9", "10.0.0.9", "::ffff:10.0.0.9", "10.0.0.9"]);
    for name in ["mars.sol", "none.sol", "*.earth.sol"] {
        assert_eq!(found(&both, name), ["", "", "", ""], "{name}");
    }
    assert_eq!(found(&both, "localhost")[3], "::1", "files before us");
    assert_eq!(addresses(&both.getent(&["ahosts", "crowd.sol"])).len(), 400);
    assert_eq!(addresses(&both.getent(&["ahostsv4", "crowd.sol"])).len(), 200);
    assert_eq!(addresses(&both.getent(&["hosts", "crowd.sol"])).len(), 200);

    // Getent asks with AI_ADDRCONFIG: then a machine of one family asks for that family only.
    let four = Machine::new("mesher", &["192.0.2.1/32"]);
    let _writer = tables::publish(&four.table(), &tables::sol());
    assert_eq!(found(&four, "earth.sol"), ["10.0.0.1", "10.0.0.1", "", "2001:db8::1"]);
    assert_eq!(found(&four, "six.sol")[..2], ["", ""]);
    assert_eq!(found(&four, "crowd.sol")[0].split(' ').count(), 200);
    let six = Machine::new("mesher", &["2001:db8:ffff::1/128"]);
    let _writer = tables::publish(&six.table(), &tables::sol());
    assert_eq!(found(&six, "earth.sol"), ["2001:db8::1", "", "2001:db8::1", "2001:db8::1"]);
    assert_eq!(found(&six, "four.sol")[3], "10.0.0.2");
}

#[test]
fn a_link_local_address_comes_with_its_interface() {
    let machine = Machine::dual("mesher");
    let mut contents = tables::sol();
    for entry in contents.entries.iter_mut().filter(|entry| entry.name == "local.sol") {
        entry.v6[0].scope = 1;
    }
    let _writer = tables::publish(&machine.table(), &contents);
    assert_eq!(addresses(&machine.getent(&["ahosts", "local.sol"])), ["2001:db8::3", "fe80::1%1"]);
}

#[test]
fn addresses_find_names_and_no_key_lists_all() {
    let machine = Machine::dual("mesher");
    let _writer = tables::publish(&machine.table(), &tables::sol());
    let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(machine.getent(&["hosts", "10.0.0.1"])), ["10.0.0.1", "Earth.sol", "also.sol", "earth"]);
    assert_eq!(words(machine.getent(&["hosts", "2001:db8::2"])), ["2001:db8::2", "six.sol"]);
    assert_eq!(words(machine.getent(&["hosts", "::ffff:10.0.0.2"])), ["::ffff:10.0.0.2", "four.sol"]);
    assert_eq!(machine.getent(&["hosts", "10.200.0.1"]), "");
    let all = machine.getent(&["hosts"]);
    assert_eq!(all.lines().filter(|line| line.contains("crowd.sol")).count(), 400);
    assert_eq!(all.lines().next().map(|line| words(line.into())), Some(words("10.0.0.1 also.sol".into())));
    assert!(all.lines().any(|line| words(line.into()) == ["2001:db8::1", "Earth.sol", "earth"]));
}

#[test]
fn a_hundred_thousand_names() {
    let machine = Machine::dual("mesher");
    let number = 100_000_u32;
    let name = |n: u32| format!("host-{n:06}.sol");
    let entries: Vec<Entry> =
        (0..number).map(|n| tables::entry(&name(n), &[tables::v4(n)], &[tables::v6(n)])).collect();
    let _writer = tables::publish(&machine.table(), &Contents { entries, contain: Vec::new() });
    for n in [0, 1, 49_999, 99_999] {
        let (v4, v6) = (tables::v4(n).to_string(), tables::v6(n).to_string());
        assert_eq!(found(&machine, &name(n))[1..3], [v4.clone(), v6.clone()]);
        assert!(machine.getent(&["hosts", &v4]).contains(&name(n)));
        assert!(machine.getent(&["hosts", &v6]).contains(&name(n)));
    }
    assert_eq!(machine.getent(&["hosts", "host-100000.sol"]), "");
    let all = machine.getent(&["hosts"]);
    let mut expected = String::new();
    for n in 0..number {
        for address in [tables::v4(n).to_string(), tables::v6(n).to_string()] {
            writeln!(expected, "{address:<15} {}", name(n)).expect("a string");
        }
    }
    assert!(all == expected, "200,000 lines, in order");
}

/// What may lie in the place of a table.
#[derive(Clone, Copy, Debug)]
enum Bad {
    Missing,
    Empty,
    Corrupt,
    Expired,
    Foreign,
}

impl Bad {
    fn put(self, machine: &Machine) {
        let path = machine.table();
        match self {
            Self::Missing => {}
            Self::Empty => std::fs::write(path, "").expect("written"),
            Self::Foreign => std::fs::write(path, "no table\n".repeat(1000)).expect("written"),
            Self::Expired => {
                let mut writer = TableWriter::open_or_create(path).expect("a writer");
                writer.publish(&tables::sol(), Deadline::PAST).expect("published");
            }
            Self::Corrupt => {
                drop(tables::publish(&path, &tables::sol()));
                let mut bytes = std::fs::read(&path).expect("read");
                let header = mesher_table::format::HEADER_WORDS * 4;
                bytes[header..].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(31) ^ 0x5a);
                std::fs::remove_file(&path).expect("removed");
                std::fs::write(path, bytes).expect("written");
            }
        }
    }
}

#[test]
fn whatever_lies_in_the_tables_place_files_still_answers() {
    for bad in [Bad::Missing, Bad::Empty, Bad::Corrupt, Bad::Expired, Bad::Foreign] {
        for sources in ["mesher files", "files mesher"] {
            let machine = Machine::dual(sources);
            bad.put(&machine);
            let filed = ["10.9.9.9", "10.9.9.9", "::ffff:10.9.9.9", "10.9.9.9"];
            assert_eq!(found(&machine, "filed.example"), filed, "{bad:?}, {sources}");
            let local = found(&machine, "localhost");
            assert!(
                local[0].contains("127.0.0.1")
                    && local[1] == "127.0.0.1"
                    && local[2].contains("::")
                    && local[3] == "::1",
                "{bad:?}, {sources}: {local:?}"
            );
            assert_eq!(found(&machine, "earth.sol"), ["", "", "", ""], "{bad:?}, {sources}");
            assert!(machine.getent(&["hosts", "10.9.9.9"]).contains("filed.example"), "{bad:?}, {sources}");
            assert!(machine.getent(&["hosts"]).contains("filed.example"), "{bad:?}, {sources}");
        }
    }
}

#[test]
fn unknown_names_and_families_go_on_to_files_unless_contained() {
    let machine = Machine::dual("mesher files");
    std::fs::write(machine.folder().join("hosts"), "10.9.9.9 mars.sol\n2001:db8::9 four.sol\n")
        .expect("written");
    let mut writer = tables::publish(&machine.table(), &tables::sol());
    assert_eq!(found(&machine, "mars.sol"), ["10.9.9.9", "10.9.9.9", "::ffff:10.9.9.9", "10.9.9.9"]);
    writer
        .publish(&Contents { contain: vec!["sol".into()], ..tables::sol() }, tables::lease())
        .expect("published");
    assert_eq!(found(&machine, "mars.sol"), ["", "", "", ""], "contained");
    assert_eq!(found(&machine, "four.sol")[..2], ["10.0.0.2", "10.0.0.2"], "held names are answered");
    assert_eq!(found(&machine, "four.sol")[3], "10.0.0.2", "and no foreign IPv6 address is mixed in");
    assert_eq!(found(&machine, "earth.sol")[0], "10.0.0.1 2001:db8::1");
}
