//! The commands that ask the daemon. At the other end of the socket is a peer that speaks the protocol and answers what the
//! test tells it: what is tested is the tool, from its arguments to its output and exit status.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};

use mesher_control::types::*;
use serde_json::{Value, json};

/// A peer that answers one call: the request it got comes back with the tool's output.
fn with_answers(arguments: &[&str], answers: Vec<Value>) -> (Value, Output) {
    let (mut requests, output) = converse(arguments, vec![answers]);
    (requests.remove(0), output)
}

/// A peer that answers several calls of one connection, each with its own answers.
fn converse(arguments: &[&str], exchanges: Vec<Vec<Value>>) -> (Vec<Value>, Output) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("mesherd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let peer = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let mut requests = Vec::new();
        for answers in exchanges {
            let mut request = Vec::new();
            reader.read_until(0, &mut request).unwrap();
            request.pop();
            requests.push(serde_json::from_slice(&request).unwrap());
            for answer in answers {
                (&stream).write_all(answer.to_string().as_bytes()).unwrap();
                (&stream).write_all(&[0]).unwrap();
            }
        }
        requests
    });
    let output = Command::new(env!("CARGO_BIN_EXE_mesherctl"))
        .args(arguments)
        .arg("--socket")
        .arg(&socket)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    (peer.join().unwrap(), output)
}

fn succeed(arguments: &[&str], answer: Value) -> (Value, String) {
    let (request, output) = with_answers(arguments, vec![json!({"parameters": answer})]);
    assert!(output.status.success(), "{output:?}");
    (request, String::from_utf8(output.stdout).unwrap())
}

/// The exchanges of a reload: the tool asks first which configuration the daemon has.
fn reload(answer: Value) -> Vec<Vec<Value>> {
    vec![vec![json!({"parameters": status()})], vec![answer]]
}

fn name(name: &str, holder: Option<&str>, held: bool, source: Option<Source>) -> Name {
    Name {
        name: name.into(),
        holder: holder.map(str::to_owned),
        holder_key: None,
        addresses: vec!["192.168.1.1".into()],
        waiting: 1,
        held,
        refused: None,
        source,
    }
}

fn peer(label: &str, state: PeerState, ahead_ms: i64) -> Peer {
    Peer {
        label: label.into(),
        key: "key".into(),
        state,
        address: Some("192.168.1.2:7946".into()),
        last_contact_ms: Some(412),
        age_ms: Some(1),
        ahead_ms: Some(ahead_ms),
        secret: Some("0b0b0b0b".into()),
        names: 2,
    }
}

fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        state: State::Running,
        sentence: "sol: 2 peers, 3 names, 1 waited for (earth, held by gamma); table 17".into(),
        started_unix_ms: 1,
        log_level: "info".into(),
        config_file: "/etc/data-mesher/config.toml".into(),
        state_directory: "/var/lib/data-mesher".into(),
        network: Network {
            id: "THE-ID".into(),
            domain: Some("sol".into()),
            revision: Some(3),
            claim_ttl_ms: Some(86_400_000),
            admission: Some(Admission::Open),
            witnesses: 0,
            secrets: vec!["0a0a0a0a".into(), "0b0b0b0b".into()],
        },
        host: Host {
            label: "alpha".into(),
            key: "HOST-KEY".into(),
            addresses: vec!["192.168.1.1".into()],
            certificate: Some(Certificate {
                label: "alpha".into(),
                names: vec!["alpha".into(), "*.alpha".into()],
                not_before_unix_ms: 0,
                not_after_unix_ms: 1_795_354_224_000,
                expiring: true,
            }),
        },
        warnings: vec!["this machine's certificate expires soon".into()],
        peers: vec![peer("beta", PeerState::Alive, 0), peer("gamma\u{1b}[2J", PeerState::Away, -120_000)],
        names: vec![
            name("mercury.sol", Some("alpha"), true, Some(Source::Configuration)),
            name("venus.sol", Some("alpha"), true, Some(Source::Runtime)),
            name("earth.sol", Some("gamma"), false, Some(Source::Configuration)),
        ],
        table: Some(HostsTable {
            path: "/run/data-mesher/hosts.table".into(),
            generation: 17,
            names: 8,
            bytes: 4096,
            lease_left_ms: 14_000,
        }),
    }
}

#[test]
fn status_tells_everything_at_a_glance() {
    let (request, text) = succeed(&["status"], serde_json::to_value(status()).unwrap());
    assert_eq!(request["method"], "org.datamesher.mesherd.Status");
    for words in [
        "sol: 2 peers, 3 names, 1 waited for (earth, held by gamma); table 17",
        "network  THE-ID",
        "settings  domain sol, claim TTL 24 h, open to all that hold the secret, revision 3",
        "host  alpha: 192.168.1.1",
        "secret  0a0a0a0a seals, 2 open; 1 peer seals with another",
        "certificate  alpha, until 2026-11-22 13:30:24 UTC: alpha *.alpha",
        "warning  this machine's certificate expires soon",
        "table  /run/data-mesher/hosts.table: generation 17, 8 names",
        "beta",
        "0.4 s ago",
        "clock 2 min behind",
        "venus.sol  (claimed at run time)",
        "earth.sol  held by gamma",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "control characters of a peer's label: {text:?}");
}

#[test]
fn json_is_what_the_interface_says() {
    let value = serde_json::to_value(status()).unwrap();
    let (_, text) = succeed(&["status", "--json"], value.clone());
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    let (_, text) = succeed(&["--json", "peers"], json!({"peers": []}));
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"peers": []}));
}

#[test]
fn peers_and_names_are_tables() {
    let (_, text) = succeed(&["peers"], json!({"peers": status().peers}));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("  PEER"), "{text}");
    assert!(
        lines[1].contains("beta") && lines[1].contains("alive") && lines[1].contains("192.168.1.2:7946"),
        "{text}"
    );
    let (_, text) = succeed(&["names"], json!({"names": [name("mars.sol", None, false, None)]}));
    assert!(text.contains("mars.sol  nobody"), "{text}");
}

#[test]
fn explain_joins_what_the_daemon_knows_and_what_programs_get() {
    let claimant = |label: &str, standing, reason: Option<&str>| Claimant {
        name: "localhost".into(),
        label: label.into(),
        key: "key".into(),
        standing,
        reason: reason.map(str::to_owned),
        epoch_unix_ms: 1_795_354_224_000,
        rank_unix_ms: 1_795_354_224_000,
        lease_left_ms: Some(5_000),
        addresses: vec!["127.0.0.1".into()],
        this_machine: label == "alpha",
    };
    let explanation = Explanation {
        name: "localhost".into(),
        rule: "gamma's claim is the earliest".into(),
        claimants: vec![
            claimant("gamma", Standing::Holder, None),
            claimant("alpha", Standing::Waiting, None),
            claimant("delta", Standing::NotCounted, Some("its host is revoked")),
        ],
        table: Some(TableEntry {
            canonical: "localhost".into(),
            addresses: vec!["127.0.0.1".into()],
            ttl_s: 1,
            wildcard: false,
        }),
    };
    let answer = serde_json::to_value(&explanation).unwrap();
    let (request, text) = succeed(&["explain", "localhost"], answer.clone());
    assert_eq!(request["parameters"], json!({"name": "localhost"}));
    for words in [
        "gamma's claim is the earliest",
        "holds it",
        "alpha (this machine)  waits",
        "2026-11-22 13:30:24 UTC",
        "5.0 s left",
        "delta: its host is revoked",
        "table        localhost: 127.0.0.1",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    // Every machine knows this name itself.
    assert!(
        text.lines().any(|line| line.trim_start().starts_with("getaddrinfo") && line.contains("127.0.0.1")),
        "{text}"
    );
    let (_, text) = succeed(&["explain", "localhost", "--json"], answer);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["claimants"][1]["label"], "alpha");
    assert!(
        json["getaddrinfo"].as_array().is_some_and(|addresses| addresses.contains(&"127.0.0.1".into())),
        "{text}"
    );
}

#[test]
fn changes_say_what_they_did() {
    let (request, text) =
        succeed(&["claim", "earth"], json!({"name": "earth.sol", "holder": "gamma", "held": false}));
    assert_eq!(request, json!({"method": "org.datamesher.mesherd.Claim", "parameters": {"name": "earth"}}));
    assert!(text.contains("earth.sol is claimed. It is held by gamma now"), "{text}");
    let (_, text) =
        succeed(&["claim", "earth"], json!({"name": "earth.sol", "holder": "alpha", "held": true}));
    assert_eq!(text, "earth.sol is claimed, and held by this machine\n");
    assert_eq!(succeed(&["release", "earth"], json!({"name": "earth.sol"})).1, "earth.sol is released\n");
    let reloaded = json!({"changed": ["host.names"], "needs_restart": ["cluster.port"],
        "warnings": ["/etc/x: revision 1 is not used"]});
    // A configuration that is not there brings no secret along.
    let (requests, output) =
        converse(&["reload", "--config", "/absent/config.toml"], reload(json!({"parameters": reloaded})));
    assert_eq!(requests[1], json!({"method": "org.datamesher.mesherd.Reload", "parameters": {}}));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("reloaded: host.names") && text.contains("only with a restart: cluster.port"),
        "{text}"
    );
    assert!(text.contains("\nwarning: /etc/x: revision 1 is not used\n"), "{text}");
    let (request, text) = succeed(&["log-level", "debug"], json!({"previous": "info"}));
    assert_eq!(request["parameters"], json!({"level": "debug"}));
    assert!(text.starts_with("log level debug"), "{text}");
    assert_eq!(succeed(&["metrics"], json!({"text": "a 1\nb 2\n"})).1, "a 1\nb 2\n");
    assert_eq!(succeed(&["host", "show"], serde_json::to_value(status()).unwrap()).1, "HOST-KEY\n");
}

#[test]
fn watch_prints_a_line_a_change_and_ends_with_the_daemon() {
    let change = Change {
        time_unix_ms: 1_795_354_224_000,
        kind: "name_held".into(),
        message_id: "0".repeat(32),
        name: Some("earth.sol".into()),
        host: None,
        peer: None,
        message: "earth.sol is held by this machine".into(),
    };
    let answers = vec![
        json!({"parameters": {"change": null, "missed": 0}, "continues": true}),
        json!({"parameters": {"change": change, "missed": 0}, "continues": true}),
        json!({"parameters": {"change": null, "missed": 3}, "continues": true}),
        json!({"error": "org.datamesher.mesherd.NotReady", "parameters": {"reason": "it is stopping"}}),
    ];
    let (request, output) = with_answers(&["watch"], answers.clone());
    assert_eq!(request["more"], true);
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = "2026-11-22 13:30:24 UTC  name_held  earth.sol is held by this machine\n3 changes were missed: this terminal was too slow\n";
    assert_eq!(text, expected);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "mesherctl: the daemon is not ready: it is stopping\n"
    );
    let (_, output) = with_answers(&["watch", "--json"], answers);
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(
        lines.lines().count() == 3 && lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{lines}"
    );
}

/// `mesherctl watch | head -1` comes back to the prompt when `head` has ended, and not with the network's next change.
#[test]
fn watch_ends_when_nobody_reads_it_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("mesherd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut tool = Command::new(env!("CARGO_BIN_EXE_mesherctl"))
        .args(["watch", "--socket"])
        .arg(&socket)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // A daemon to which nothing happens: it reads the request and keeps the connection open.
    let (daemon, _) = listener.accept().unwrap();
    BufReader::new(&daemon).read_until(0, &mut Vec::new()).unwrap();
    assert!(tool.try_wait().unwrap().is_none(), "it waits for changes");
    drop(tool.stdout.take());
    let begun = std::time::Instant::now();
    let status = loop {
        if let Some(status) = tool.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > std::time::Duration::from_secs(60) {
            tool.kill().unwrap();
            panic!("it goes on watching for nobody");
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    assert!(status.success(), "{status}");
}

#[test]
fn the_exit_status_tells_a_script_what_went_wrong() {
    let exit = |arguments: &[&str], answer: Value| {
        let exchanges = if arguments == ["reload"] { reload(answer) } else { vec![vec![answer]] };
        let (_, output) = converse(arguments, exchanges);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let denied =
        exit(&["reload"], json!({"error": "org.varlink.service.PermissionDenied", "parameters": {}}));
    assert_eq!(denied.0, 4);
    assert!(denied.1.contains("root and the members of the group data-mesher"), "{}", denied.1);
    let problems = ["/etc/data-mesher/config.toml:3:1: network.id: missing"];
    let failed = exit(
        &["reload"],
        json!({"error": "org.datamesher.mesherd.ReloadFailed", "parameters": {"problems": problems}}),
    );
    assert_eq!(failed.0, 78);
    assert!(
        failed.1.contains("the one before stays in force:\n/etc/data-mesher/config.toml:3:1"),
        "{}",
        failed.1
    );
    let newer = exit(&["status"], json!({"error": "org.datamesher.mesherd.Strange", "parameters": {}}));
    assert_eq!(newer.0, 1);
    assert!(newer.1.contains("what this version does not understand"), "{}", newer.1);

    let (_, output) = with_answers(&["status"], vec![]);
    assert_eq!(output.status.code(), Some(3));
    let output = Command::new(env!("CARGO_BIN_EXE_mesherctl"))
        .args(["status", "--socket", "/absent/sock"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("/absent/sock") && message.contains("systemctl status data-mesher.service"),
        "{message}"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_mesherctl")).args(["log-level", "loud"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// A daemon that runs as a service may not read the secret's file: whoever reloads and may, brings it along, and nobody else's.
#[test]
fn a_reload_brings_the_secret_of_the_daemons_own_configuration() {
    use std::os::unix::fs::OpenOptionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (config, secret) = (dir.path().join("config.toml"), dir.path().join("network.secret"));
    let id = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
    std::fs::write(&config, format!("[network]\nid = {id:?}\nsecret_file = {secret:?}\n")).unwrap();
    let write = |text: &str| {
        let mut file = std::fs::File::options();
        let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&secret).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    write(&format!("# first\n{id}\n"));
    let answer = json!({"parameters": {"changed": [], "needs_restart": [], "warnings": []}});
    let exchanges = |config_file: &str| {
        let status = Status { config_file: config_file.into(), ..status() };
        vec![vec![json!({"parameters": status})], vec![answer.clone()]]
    };
    let path = config.to_str().unwrap();
    let (requests, output) = converse(&["reload", "--config", path], exchanges(path));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(requests[1]["parameters"], json!({"secrets": format!("{id}\n")}));
    assert!(output.stderr.is_empty(), "{output:?}");
    let (requests, output) = converse(&["reload", "--config", path], exchanges("/home/user/config.toml"));
    assert_eq!(requests[1]["parameters"], json!({}));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the daemon reads /home/user/config.toml, as it was started with"), "{said}");
    // A broken one is told here, and nothing is asked for.
    write("AAAA\n");
    let (requests, output) = converse(&["reload", "--config", path], exchanges(path)[..1].to_vec());
    assert_eq!((requests.len(), output.status.code()), (1, Some(1)));
    assert!(String::from_utf8(output.stderr).unwrap().contains("network.secret:1: expected 32 bytes"));
}
