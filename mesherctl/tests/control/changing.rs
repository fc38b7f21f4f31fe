//! The commands that change something, and the exit status of all of them.

use std::io::Write;
use std::process::Command;

use mesher_control::types::*;
use serde_json::{Value, json};

use crate::peer::{converse, reload, status, succeed, with_answers};

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
