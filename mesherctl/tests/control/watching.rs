//! `watch`: for as long as somebody reads.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::process::Command;

use mesher_control::types::*;
use serde_json::{Value, json};

use crate::peer::with_answers;

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
