//! The commands that need no daemon, run as the operator runs them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn mesherctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mesherctl")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn succeed(arguments: &[&str]) -> String {
    let output = mesherctl(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    stdout(&output)
}

/// What a command that fails says, and its exit status.
fn fail(arguments: &[&str]) -> (i32, String) {
    let output = mesherctl(arguments);
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    (output.status.code().unwrap(), stderr(&output))
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

/// A network's directory and its id.
fn network(options: &[&str]) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let out = path(dir.path(), "net");
    let said = succeed(&[&["network", "init", "--domain", "sol", "--out", &out], options].concat());
    (dir, said.split_whitespace().last().unwrap().to_owned())
}

#[test]
fn a_network_is_three_files_with_their_modes_and_the_id_is_the_last_word() {
    let (dir, id) = network(&["--claim-ttl", "10s"]);
    let net = dir.path().join("net");
    assert_eq!(id.len(), 44);
    for (file, mode) in [("network.key", 0o600), ("network.secret", 0o600), ("network.settings", 0o644)] {
        let metadata = fs::metadata(net.join(file)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{file}");
    }
    for file in ["network.key", "network.secret"] {
        let text = fs::read_to_string(net.join(file)).unwrap();
        assert_eq!((text.len(), text.ends_with('\n')), (45, true), "{file}");
    }
    assert_eq!(fs::read_dir(&net).unwrap().count(), 3, "something else was left behind");
    let shown = succeed(&["network", "show", "--dir", net.to_str().unwrap(), "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["id"], id.as_str());
    assert_eq!(
        (&shown["domain"], &shown["claim_ttl_ms"], &shown["revision"]),
        (&"sol".into(), &10_000.into(), &1.into())
    );
    assert_eq!((&shown["admission"], &shown["allow_loopback"]), (&"open".into(), &false.into()));
}

#[test]
fn the_options_are_signed_into_the_settings() {
    let (dir, id) = network(&["--admission", "certified", "--allow-loopback", "--allow-public-domain"]);
    let shown = succeed(&["network", "show", "--dir", &path(dir.path(), "net"), "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["id"], id.as_str());
    assert_eq!(shown["admission"], "certified");
    assert_eq!((&shown["allow_loopback"], &shown["allow_public_domain"]), (&true.into(), &true.into()));
    assert_eq!(shown["claim_ttl_ms"], 86_400_000);
}

#[test]
fn nothing_is_written_over_an_existing_network_and_nothing_is_left_half_done() {
    let (dir, _) = network(&[]);
    let net = dir.path().join("net");
    let read_all =
        || ["network.key", "network.secret", "network.settings"].map(|f| fs::read(net.join(f)).ok());
    let before = read_all();
    let again = ["network", "init", "--domain", "sol", "--out", net.to_str().unwrap()];
    let (status, message) = fail(&again);
    assert_eq!(status, 1);
    assert!(message.contains("network.key: is there already"), "{message}");
    // What does not happen is not announced.
    assert!(!message.contains("About to sign"), "{message}");
    assert_eq!(read_all(), before);

    // Only one of the three is in the way: the other two are not made either.
    for file in ["network.key", "network.secret"] {
        fs::remove_file(net.join(file)).unwrap();
    }
    let (_, message) = fail(&again);
    assert!(message.contains("network.settings: is there already"), "{message}");
    assert_eq!(fs::read_dir(&net).unwrap().count(), 1);
}

#[test]
fn domains_and_ttls_that_cannot_be_meant_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = path(dir.path(), "net");
    for (options, status, words) in [
        (&["--domain", "com"][..], 1, "add --allow-public-domain"),
        (&["--domain", "local"], 1, "multicast DNS"),
        (&["--domain", "co.uk"], 1, "add --allow-public-domain"),
        (&["--domain", "localhost"], 2, "localhost"),
        (&["--domain", ""], 2, "empty"),
        (&["--domain", "so l"], 2, "letters, digits"),
        (&["--domain", "sol", "--claim-ttl", "1s"], 1, "3 seconds to 366 days"),
        (&["--domain", "sol", "--claim-ttl", "10"], 2, "expected a duration such as"),
        (&["--domain", "sol", "--admission", "all"], 2, "certified"),
    ] {
        let (code, message) = fail(&[&["network", "init", "--out", &out], options].concat());
        assert_eq!(code, status, "{message}");
        assert!(message.contains(words), "{options:?}: {message}");
        assert!(!Path::new(&out).exists());
    }
    succeed(&["network", "init", "--out", &out, "--domain", "com", "--allow-public-domain"]);

    // Nor is anything announced that cannot be written.
    let file = path(dir.path(), "net/network.key");
    let (_, message) = fail(&["network", "init", "--domain", "sol", "--out", &file]);
    assert!(message.contains("network.key: File exists") && !message.contains("About to sign"), "{message}");
}

#[test]
fn a_key_that_others_can_read_is_refused_and_settings_of_another_network_too() {
    let (dir, _) = network(&[]);
    let (other, _) = network(&[]);
    let net = path(dir.path(), "net");
    let key = dir.path().join("net/network.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, message) = fail(&["network", "show", "--dir", &net]);
    assert!(
        message.contains("others may read this secret (mode 0644") && message.contains("run: chmod 06"),
        "{message}"
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    succeed(&["network", "show", "--dir", &net]);

    fs::copy(other.path().join("net/network.settings"), dir.path().join("net/network.settings")).unwrap();
    let (_, message) = fail(&["network", "show", "--dir", &net]);
    assert!(message.contains("these are not the signed settings of the network"), "{message}");
}

#[test]
fn a_configuration_is_checked_as_the_daemon_would() {
    let (dir, id) = network(&[]);
    let file = path(dir.path(), "config.toml");
    let settings = path(dir.path(), "net/network.settings");
    fs::write(
        &file,
        format!("[network]\nid = \"{id}\"\nsettings_file = \"{settings}\"\n[host]\nlabel = \"alpha\"\n"),
    )
    .unwrap();
    assert!(succeed(&["config", "check", &file]).contains("no problems"));
    assert!(succeed(&["config", "check", "--print", &file]).contains("join_timeout = \"5s\""));
    let shown = succeed(&["network", "show", "--config", &file]);
    assert!(shown.contains(&id) && shown.contains("domain sol, claim TTL 1d"), "{shown}");

    fs::write(
        &file,
        format!("[network]\nid = \"{id}\"\n[host]\nlabel = \"alpha\"\n[cluster]\n\tprt = 1\nport = 0\n"),
    )
    .unwrap();
    let output = mesherctl(&["config", "check", &file]);
    assert_eq!(output.status.code(), Some(78));
    let said = stdout(&output);
    assert!(
        said.contains(&format!(
            "{file}:6:2: cluster.prt: unknown key; did you mean port?\n  6 |  prt = 1\n    |  ^"
        )),
        "{said}"
    );
    assert!(said.contains(&format!("{file}:7:8: cluster.port: expected a UDP port")), "{said}");
    assert!(stderr(&output).contains("2 problems"), "{output:?}");
    let json = stdout(&mesherctl(&["config", "check", &file, "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json[0]["line"], &json[0]["key"]), (&6.into(), &"cluster.prt".into()));

    assert_eq!(fail(&["config", "check", &path(dir.path(), "absent")]).0, 78);
}

#[test]
fn a_configuration_whose_settings_cannot_be_used_is_no_right_one() {
    let (dir, id) = network(&[]);
    let file = path(dir.path(), "config.toml");
    let configure = |settings: &str| {
        let text = format!(
            "[network]\nid = \"{id}\"\n  settings_file = \"{settings}\"\n[host]\nlabel = \"alpha\"\n"
        );
        fs::write(&file, text).unwrap();
        mesherctl(&["config", "check", &file])
    };
    let absent = path(dir.path(), "absent");
    let output = configure(&absent);
    assert_eq!(output.status.code(), Some(78), "the daemon does not start with it: {output:?}");
    let expected = format!("{file}:3:3: network.settings_file: {absent}: No such file or directory");
    assert!(stdout(&output).starts_with(&expected), "{output:?}");
    let (other, _) = network(&[]);
    let output = configure(&path(other.path(), "net/network.settings"));
    assert_eq!(output.status.code(), Some(78), "of another network");
    assert!(stdout(&output).contains("these are not the signed settings of the network"), "{output:?}");

    assert!(configure(&path(dir.path(), "net/network.settings")).status.success());
    let json = stdout(&mesherctl(&["config", "check", "--print", "--json", &file]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["cluster"]["port"], &json["host"]["label"]), (&7946.into(), &"alpha".into()));
}

/// As another user, so as root.
#[test]
fn what_is_not_ours_to_read_has_its_own_exit_status() {
    use std::os::unix::process::CommandExt;
    assert!(nix::unistd::geteuid().is_root(), "this test acts as another user, so it must run as root");
    let (dir, _) = network(&[]);
    for (path, mode) in [(dir.path().to_owned(), 0o755), (dir.path().join("net"), 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let (config, net) = (path(dir.path(), "config.toml"), path(dir.path(), "net"));
    fs::write(&config, "").unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    let secret = path(dir.path(), "net/network.secret");
    // Where it was built others may not look.
    let tool = path(dir.path(), "mesherctl");
    fs::copy(env!("CARGO_BIN_EXE_mesherctl"), &tool).unwrap();
    for arguments in [
        &["network", "secret", "add", &secret][..],
        &["network", "show", "--dir", &net],
        &["config", "check", &config],
    ] {
        let output = Command::new(&tool).args(arguments).uid(65_534).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {output:?}");
        assert!(stderr(&output).contains("Permission denied"), "{output:?}");
    }
}

#[test]
fn a_hosts_file_becomes_a_table_and_a_hosts_file_again() {
    let dir = tempfile::tempdir().unwrap();
    let (hosts, table) = (path(dir.path(), "hosts"), path(dir.path(), "hosts.table"));
    let text = "192.0.2.1 earth.sol earth\n2001:db8::1 earth.sol earth\n198.51.100.7 mars.sol\n192.0.2.9 *.mars.sol\n";
    fs::write(&hosts, format!("# names\n{text}")).unwrap();
    assert!(succeed(&["table", "compile", &hosts, "-o", &table]).contains("4 names"));
    let mut dumped: Vec<String> = succeed(&["table", "dump", &table]).lines().map(str::to_owned).collect();
    let mut expected: Vec<String> = text.lines().map(str::to_owned).collect();
    dumped.sort();
    expected.sort();
    assert_eq!(dumped, expected);

    // Compiling again renews the same table.
    fs::write(&hosts, "192.0.2.2 earth.sol\n").unwrap();
    let renewed = succeed(&["table", "compile", &hosts, "-o", &table, "--contain", "sol", "--json"]);
    assert!(renewed.contains("\"generation\": 2"), "{renewed}");
    let json: serde_json::Value =
        serde_json::from_str(&succeed(&["table", "dump", &table, "--json"])).unwrap();
    assert_eq!(
        (&json["contain"][0], &json["names"][0]["addresses"][0]),
        (&"sol".into(), &"192.0.2.2".into())
    );
    assert_eq!(json["leased"], true);
}

#[test]
fn bad_hosts_files_and_tables_are_told_with_their_lines() {
    let dir = tempfile::tempdir().unwrap();
    let (hosts, table) = (path(dir.path(), "hosts"), path(dir.path(), "hosts.table"));
    fs::write(&hosts, "192.0.2.1 a\n192.0.2 b\n192.0.2.3\n").unwrap();
    let (status, message) = fail(&["table", "compile", &hosts, "-o", &table]);
    assert_eq!(status, 1);
    assert!(
        message.contains(&format!("{hosts}:2: expected an IPv4 or IPv6 address, found \"192.0.2\"")),
        "{message}"
    );
    assert!(message.contains(&format!("{hosts}:3: expected a host name")), "{message}");
    fs::write(&hosts, "192.0.2.1 a..b\n").unwrap();
    assert!(fail(&["table", "compile", &hosts, "-o", &table]).1.contains("`a..b` is not a host name"));
    assert!(!Path::new(&table).exists());

    // What is no table is not written over.
    fs::write(&table, "somebody's file").unwrap();
    fs::write(&hosts, "192.0.2.1 a\n").unwrap();
    let (_, message) = fail(&["table", "compile", &hosts, "-o", &table]);
    assert!(message.contains("is no hosts table") && message.contains("left alone"), "{message}");
    assert_eq!(fs::read_to_string(&table).unwrap(), "somebody's file");
    assert_eq!(fail(&["table", "dump", &table]).0, 1);
}

#[test]
fn a_table_past_its_lease_is_printed_only_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let (hosts, table) = (path(dir.path(), "hosts"), path(dir.path(), "hosts.table"));
    fs::write(&hosts, "192.0.2.1 a.sol\n").unwrap();
    succeed(&["table", "compile", &hosts, "-o", &table, "--lease", "0s"]);
    std::thread::sleep(std::time::Duration::from_millis(400));
    let (_, message) = fail(&["table", "dump", &table]);
    assert!(
        message.contains("no daemon keeps this table up any more") && message.contains("--stale"),
        "{message}"
    );
    assert_eq!(succeed(&["table", "dump", "--stale", &table]), "192.0.2.1 a.sol\n");
}

#[test]
fn help_is_a_word_as_well_as_an_option() {
    assert_eq!(succeed(&["help"]), succeed(&["--help"]));
    assert_eq!(succeed(&["help", "network", "init"]), succeed(&["network", "init", "--help"]));
}

#[test]
fn completions_exist_for_every_shell() {
    // What they do in a shell is in completions.rs.
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeed(&["completions", shell]);
        assert!(script.contains("mesherctl") && script.contains("COMPLETE"), "{shell}");
    }
}

#[test]
fn whoever_stops_reading_the_output_hears_no_complaint() {
    let dir = tempfile::tempdir().unwrap();
    let (hosts, table) = (path(dir.path(), "hosts"), path(dir.path(), "hosts.table"));
    // Far more than a pipe holds.
    let text: String = (0..20_000).map(|i| format!("10.0.{}.{} host-{i}.sol\n", i / 250, i % 250)).collect();
    fs::write(&hosts, text).unwrap();
    succeed(&["table", "compile", &hosts, "-o", &table]);
    let script =
        format!("set -o pipefail; '{}' table dump '{table}' | head -n 1", env!("CARGO_BIN_EXE_mesherctl"));
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(stdout(&output).lines().count(), 1);
}

/// `mesherctl … 2>&1 | head -1`: what is said to nobody changes nothing of how it ends.
#[test]
fn nobody_reads_the_errors_and_the_exit_status_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (hosts, table) = (path(dir.path(), "hosts"), path(dir.path(), "hosts.table"));
    fs::write(&hosts, "nonsense\n".repeat(10_000)).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_mesherctl"))
        .args(["table", "compile", &hosts, "-o", &table])
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1), "{status}");
}
