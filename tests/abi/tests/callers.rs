//! The contract once more, from the other side: real programs' calls of the real glibc, with the module as the only source, and what
//! glibc makes of its answers. The same points at the entry points themselves are in `contract.rs`.

use std::path::PathBuf;
use std::process::Command;

use abi_tests::{Machine, module_file, tables};
use libc::{ENOENT, ERANGE};

/// A program's question to glibc on a machine; see `src/bin/ask`.
fn ask(machine: &Machine, question: &[&str]) -> String {
    let output = machine.run(env!("CARGO_BIN_EXE_ask"), question);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{question:?}: {} {errors}", output.status);
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

fn machine() -> Machine {
    let machine = Machine::dual("mesher");
    drop(tables::publish(&machine.table(), &tables::sol()));
    machine
}

/// What is not there, as glibc says it: no host, and 0 or ENOENT returned, which depends on glibc's version.
fn is_unknown(said: &str, h_errno: i32) -> bool {
    [0, ENOENT].iter().any(|returned| said == format!("returned {returned} h_errno {h_errno}"))
}

#[test]
fn point_1_glibc_doubles_its_buffer_until_a_host_fits() {
    let machine = machine();
    for size in [0, 1, 100, 1000, 2000] {
        let said = ask(&machine, &["name", "6", &size.to_string(), "3", "crowd.sol"]);
        assert_eq!(said, format!("returned {ERANGE} h_errno -1"), "{size} bytes");
        let said = ask(&machine, &["name", "-", &size.to_string(), "5", "crowd.sol"]);
        assert_eq!(said, format!("returned {ERANGE} h_errno -1"), "{size} bytes");
    }
    for (family, count) in [("any", 400), ("4", 200), ("6", 200)] {
        for flags in ["-", "c", "a"] {
            let said = ask(&machine, &["info", family, flags, "crowd.sol"]);
            let addresses = said.split(' ').filter(|word| !word.starts_with('=')).count();
            assert_eq!(addresses, count, "family {family}, flags {flags}: {said}");
        }
    }
}

#[test]
fn points_2_3_and_4_what_glibc_hears_of_names_it_does_not_get() {
    let machine = machine();
    let (host_not_found, no_recovery, no_data) = (1, 3, 4);
    for family in ["4", "6"] {
        let said = ask(&machine, &["name", family, "1024", "0", "mars.sol"]);
        assert!(is_unknown(&said, host_not_found), "{said}");
        let said = ask(&machine, &["name", family, "1024", "0", "none.sol"]);
        assert!(is_unknown(&said, no_data), "{said}");
    }
    assert!(is_unknown(&ask(&machine, &["name", "6", "1024", "0", "four.sol"]), no_data));
    assert!(is_unknown(&ask(&machine, &["name", "-", "1024", "0", "six.sol"]), no_data));
    assert!(is_unknown(&ask(&machine, &["address", "4", "1024", "0a090909"]), host_not_found));
    // EAI_NONAME and EAI_NODATA.
    for (name, error) in [("mars.sol", "error -2"), ("none.sol", "error -5")] {
        for family in ["any", "4", "6"] {
            let said = ask(&machine, &["info", family, "c", name]);
            assert_eq!(said, error, "{name} in family {family}");
        }
    }
    // AF_UNIX.
    let said = ask(&machine, &["name", "number 1", "1024", "0", "earth.sol"]);
    assert!(said.starts_with("returned ") && !said.contains("h_errno -1"), "{said}");

    std::fs::remove_file(machine.table()).expect("removed");
    for question in [&["name", "4", "1024", "0", "earth.sol"][..], &["address", "4", "1024", "0a000001"]] {
        let said = ask(&machine, question);
        assert!(said.starts_with("returned ") && said.contains(&format!("h_errno {no_recovery}")), "{said}");
    }
}

#[test]
fn points_5_8_and_9_success_at_any_alignment() {
    let machine = machine();
    for offset in 0..8 {
        let offset = offset.to_string();
        // No `errno` behind the answer: glibc stores 0 for success, and we have written nothing else.
        for (family, address) in [("4", "10.0.0.1"), ("6", "2001:db8::1"), ("-", "10.0.0.1")] {
            let said = ask(&machine, &["name", family, "1024", &offset, "earth.sol"]);
            assert_eq!(said, format!("found Earth.sol [earth] {address}"), "offset {offset}");
        }
    }
    assert_eq!(
        ask(&machine, &["address", "4", "1024", "0a000001"]),
        "found Earth.sol [also.sol earth] 10.0.0.1"
    );
}

#[test]
fn points_6_11_and_19_families_and_scopes() {
    let mut contents = tables::sol();
    for entry in contents.entries.iter_mut().filter(|entry| entry.name == "local.sol") {
        entry.v6[0].scope = 1;
    }
    let only = mesher_table::Entry {
        v6: vec![mesher_table::ScopedV6 { address: "fe80::2".parse().expect("an address"), scope: 1 }],
        ..tables::entry("linked.sol", &[], &[])
    };
    contents.entries.push(only);
    contents.entries.push(tables::entry(
        "mixed.sol",
        &[tables::v4(5)],
        &["fe80::3".parse().expect("an address")],
    ));
    let machine = Machine::dual("mesher");
    let _writer = tables::publish(&machine.table(), &contents);
    let info = |family: &str, name: &str| ask(&machine, &["info", family, "-", name]);
    let sorted = |text: String| {
        let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        words.sort();
        words.join(" ")
    };
    assert_eq!(sorted(info("any", "earth.sol")), "10.0.0.1 2001:db8::1");
    assert_eq!((info("4", "earth.sol"), info("6", "earth.sol")), ("10.0.0.1".into(), "2001:db8::1".into()));
    assert_eq!((info("any", "four.sol"), info("any", "six.sol")), ("10.0.0.2".into(), "2001:db8::2".into()));
    assert_eq!((info("6", "four.sol"), info("4", "six.sol")), ("error -5".into(), "error -5".into()));
    assert_eq!(sorted(info("any", "local.sol")), "2001:db8::3 fe80::1%1");
    assert_eq!(info("any", "linked.sol"), "fe80::2%1");
    assert_eq!(sorted(info("any", "mixed.sol")), "10.0.0.5 fe80::3");
    let forty = info("any", "forty.sol");
    assert_eq!(forty.split(' ').count(), 80, "{forty}");
}

#[test]
fn points_12_13_and_14_names_as_they_are_typed() {
    let machine = machine();
    for name in ["earth.sol", "EARTH.sol", "earth.SOL.", "earth"] {
        assert_eq!(ask(&machine, &["info", "4", "c", name]), "10.0.0.1 =Earth.sol", "{name}");
    }
    for name in
        ["earth.sol..", ".earth.sol", "earth.so", &"a.".repeat(127), &"x".repeat(3000), "\u{e9}arth.sol"]
    {
        let said = ask(&machine, &["info", "4", "c", name]);
        assert!(said.starts_with("error -"), "{name}: {said}");
    }
    for name in ["10.0.0.1.", ".", "earth.sol\u{1}"] {
        assert!(!ask(&machine, &["name", "4", "1024", "0", name]).starts_with("found Earth"), "{name}");
    }
}

#[test]
fn points_15_and_16_addresses_and_the_whole_list() {
    let machine = machine();
    let address = |family: &str, hex: &str| ask(&machine, &["address", family, "1024", hex]);
    assert_eq!(address("6", "20010db8000000000000000000000002"), "found six.sol [] 2001:db8::2");
    assert_eq!(address("6", "00000000000000000000ffff0a000002"), "found four.sol [] ::ffff:10.0.0.2");
    // glibc refuses these itself, or passes our refusal on.
    for (family, hex) in [("4", "0a0000"), ("6", "0a000001")] {
        assert!(address(family, hex).starts_with("returned "), "{family} {hex}");
    }
    // A buffer that is too small does not move on: nothing is left out, whatever the first size.
    let whole = ask(&machine, &["list", "65536"]);
    let hosts: Vec<&str> = whole.lines().collect();
    assert_eq!(hosts.len(), 12, "eleven hosts and the end: {whole}");
    for size in ["1", "64", "777"] {
        let said = ask(&machine, &["list", size]);
        assert!(said.contains("too small"), "{size}");
        let again: Vec<&str> = said.lines().filter(|line| *line != "too small").collect();
        assert_eq!(again, hosts, "from {size} bytes");
    }
}

#[test]
fn points_17_and_18_whatever_has_become_of_the_process() {
    let machine = machine();
    for what in ["nothing", "close", "chroot", "no descriptors", "fork"] {
        let said = ask(&machine, &["after", what, "earth.sol"]);
        let lines: Vec<&str> = said.lines().collect();
        let found = "found Earth.sol [earth] 10.0.0.1";
        assert_eq!(lines, [found, found, "kept 0"], "after {what}");
    }
}

/// Runs as root, because only root may become somebody else.
#[test]
fn point_18_after_setuid() {
    // SAFETY: always succeeds.
    if unsafe { libc::geteuid() } != 0 {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, to become another user");
        eprintln!("not run: it needs root, to become another user");
        return;
    }
    let machine = machine();
    let output = Command::new(env!("CARGO_BIN_EXE_ask"))
        .args(["after", "setuid", "earth.sol"])
        .env("LD_LIBRARY_PATH", machine.folder())
        .env("MESHER_TABLE", machine.table())
        .env("ASK_SOURCES", "mesher")
        .output()
        .expect("it runs");
    let found = "found Earth.sol [earth] 10.0.0.1";
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said.trim(),
        format!("{found}\n{found}\nkept 0"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Every entry point works while an allocation would abort the process; the same allocator does abort when somebody allocates.
#[test]
fn under_an_allocator_that_aborts() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("hosts.table");
    let _writer = tables::publish(&table, &tables::sol());
    let allocator: PathBuf = folder.path().join("allocator.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin/ask/allocator.c");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let built = Command::new(compiler)
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-shared", "-fPIC", "-o"])
        .arg(&allocator)
        .arg(source)
        .status();
    assert!(built.expect("cc runs").success());
    let run = |module: &std::path::Path, name: &str| {
        Command::new(env!("CARGO_BIN_EXE_ask"))
            .args(["armed", module.to_str().expect("a path"), name])
            .env("LD_PRELOAD", &allocator)
            .env("MESHER_TABLE", &table)
            .output()
            .expect("it runs")
    };
    for (name, expected) in [
        ("earth.sol", "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"),
        ("crowd.sol", "[-2, 1, -2, 1, 1, 1, 1, 1, 1, 1]"),
        ("moon.earth", "[1, 1, 0, 1, 1, 1, 1, 1, 1, 1]"),
        ("mars.sol", "[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]"),
    ] {
        let output = run(module_file(), name);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            said.trim(),
            expected,
            "{name}: {} {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
