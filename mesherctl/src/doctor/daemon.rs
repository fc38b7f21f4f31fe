//! The service, its control socket, and what the daemon has to say of itself.

use std::collections::HashMap;
use std::path::Path;

use mesher_control::types::{PeerState, State};

use super::{Finding, Machine, output_of};

const SERVICE: &str = "data-mesher.service";

/// Whether systemd runs it, now and at the next boot.
pub(super) fn service() -> Vec<Finding> {
    const CHECK: &str = "service";
    if !Path::new("/run/systemd/system").is_dir() {
        let text = "this machine was not booted with systemd: the daemon is started by hand here";
        return vec![Finding::unclear(CHECK, text, "pgrep -a mesherd")];
    }
    let properties = "--property=LoadState,ActiveState,UnitFileState,ExecMainStatus";
    let Some(shown) = output_of("systemctl", &["show", properties, SERVICE]) else {
        return vec![Finding::unclear(
            CHECK,
            "systemctl does not answer",
            format!("systemctl status {SERVICE}"),
        )];
    };
    let shown: HashMap<&str, &str> = shown.lines().filter_map(|line| line.split_once('=')).collect();
    let get = |key| shown.get(key).copied().unwrap_or_default();
    if get("LoadState") != "loaded" {
        let text = format!("{SERVICE} is {}", get("LoadState"));
        return vec![Finding::wrong(CHECK, text, format!("systemctl cat {SERVICE}"))];
    }
    let mut findings = vec![match (get("ActiveState"), get("ExecMainStatus")) {
        ("active" | "reloading", _) => Finding::ok(CHECK, format!("{SERVICE} is active")),
        ("failed", "78") => Finding::wrong(
            CHECK,
            format!("{SERVICE} has failed: its configuration is wrong (exit status 78)"),
            format!("journalctl -u {SERVICE} -n 20"),
        ),
        ("failed", status) => Finding::wrong(
            CHECK,
            format!("{SERVICE} has failed (exit status {status})"),
            format!("journalctl -u {SERVICE} -n 20"),
        ),
        (state, _) => {
            Finding::wrong(CHECK, format!("{SERVICE} is {state}"), "systemctl start data-mesher.socket")
        }
    }];
    if matches!(get("UnitFileState"), "disabled" | "masked") {
        let verb = if get("UnitFileState") == "masked" { "unmask" } else { "enable" };
        let text = format!("{SERVICE} is {}: it does not start at boot", get("UnitFileState"));
        findings.push(Finding::wrong(CHECK, text, format!("systemctl {verb} {SERVICE}")));
    }
    findings
}

pub(super) fn control_socket(machine: &Machine<'_>) -> Finding {
    const CHECK: &str = "control socket";
    match &machine.status {
        Ok(status) => {
            let other = if status.version == env!("CARGO_PKG_VERSION") {
                String::new()
            } else {
                format!(", of another version than this tool: {}", status.version)
            };
            Finding::ok(CHECK, format!("{} answers{other}", machine.socket.display()))
        }
        Err(error) => {
            let text = error.to_string();
            let what = text.split("; is it running?").next().unwrap_or_default().to_owned();
            Finding::wrong(CHECK, what, "systemctl status data-mesher.socket data-mesher.service")
        }
    }
}

/// What the daemon knows: how far it has come, and what it warns of.
pub(super) fn state(machine: &Machine<'_>) -> Vec<Finding> {
    const CHECK: &str = "daemon";
    let Some(status) = machine.status() else { return Vec::new() };
    let mut findings = Vec::new();
    let alone = status.peers.iter().all(|peer| peer.state != PeerState::Alive);
    findings.push(match status.state {
        State::Running => Finding::ok(CHECK, status.sentence.clone()),
        State::Alone if status.peers.is_empty() && !expects_peers(machine) => Finding::ok(
            CHECK,
            format!("{}; alone, and cluster.bootstrap_nodes names no other machine", status.sentence),
        ),
        State::Alone => Finding::wrong(
            CHECK,
            format!("{}: it sees no peer", status.sentence),
            "journalctl -u data-mesher.service -n 20",
        ),
        State::NoSettings if alone => Finding::wrong(
            CHECK,
            "it has no settings of the network, and no peer that could pass them on",
            "mesherctl config check --print",
        ),
        _ => Finding::unclear(CHECK, status.sentence.clone(), "mesherctl watch"),
    });
    if status.host.addresses.is_empty() {
        findings.push(Finding::wrong(
            "addresses",
            "this machine has no address to announce: its names resolve to nothing (see host.interfaces and host.addresses)",
            "ip address",
        ));
    }
    let warnings = status.warnings.iter().map(|warning| {
        let run = if warning.starts_with("exports.") {
            "mesherctl config check --print"
        } else {
            "mesherctl status"
        };
        Finding::wrong("warning", warning.clone(), run)
    });
    findings.extend(warnings);
    findings
}

fn expects_peers(machine: &Machine<'_>) -> bool {
    machine
        .config
        .as_ref()
        .is_some_and(|config| !super::bootstrap::expects_nobody(&config.cluster.bootstrap_nodes))
}
