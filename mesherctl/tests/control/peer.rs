//! The peer at the other end of the socket, and what it usually answers.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};

use mesher_control::types::*;
use serde_json::{Value, json};

/// A peer that answers one call: the request it got comes back with the tool's output.
pub fn with_answers(arguments: &[&str], answers: Vec<Value>) -> (Value, Output) {
    let (mut requests, output) = converse(arguments, vec![answers]);
    (requests.remove(0), output)
}

/// A peer that answers several calls of one connection, each with its own answers.
pub fn converse(arguments: &[&str], exchanges: Vec<Vec<Value>>) -> (Vec<Value>, Output) {
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

pub fn succeed(arguments: &[&str], answer: Value) -> (Value, String) {
    let (request, output) = with_answers(arguments, vec![json!({"parameters": answer})]);
    assert!(output.status.success(), "{output:?}");
    (request, String::from_utf8(output.stdout).unwrap())
}

/// The exchanges of a reload: the tool asks first which configuration the daemon has.
pub fn reload(answer: Value) -> Vec<Vec<Value>> {
    vec![vec![json!({"parameters": status()})], vec![answer]]
}

pub fn name(name: &str, holder: Option<&str>, held: bool, source: Option<Source>) -> Name {
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

pub fn peer(label: &str, state: PeerState, ahead_ms: i64) -> Peer {
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

pub fn status() -> Status {
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
