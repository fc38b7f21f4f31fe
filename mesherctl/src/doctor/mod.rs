//! `doctor`: what keeps names from resolving here, checked part by part, each with the command that helps.
//!
//! A check looks at the machine itself where it can, and asks the daemon for what only the daemon knows. What cannot be looked at
//! (for want of rights, or of a tool) is said to be so: it is not taken for right.

mod bootstrap;
mod clock;
mod daemon;
mod files;
mod firewall;
mod lookups;
mod port;
mod probe;
mod ruleset;

use std::path::{Path, PathBuf};

use mesher_config::Config;
use mesher_control::types::Status;
use mesher_control::{Call, Client, ClientError};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Mood, Output, safe};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// As it should be.
    Ok,
    /// Names do not resolve, or will cease to, because of this.
    Wrong,
    /// It could not be found out, or it may be meant to be so.
    Unclear,
}

/// What a check found. With `--json`, an element of `checks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) check: &'static str,
    pub(crate) outcome: Outcome,
    /// What was found, in a sentence without a full stop.
    pub(crate) message: String,
    /// The command that mends it, or that tells more. Null where nothing is to be done.
    pub(crate) run: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Ok, message: message.into(), run: None }
    }

    pub(crate) fn wrong(check: &'static str, message: impl Into<String>, run: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Wrong, message: message.into(), run: Some(run.into()) }
    }

    pub(crate) fn unclear(check: &'static str, message: impl Into<String>, run: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Unclear, message: message.into(), run: Some(run.into()) }
    }
}

/// What the checks know of this machine.
pub(crate) struct Machine<'a> {
    pub(crate) socket: &'a Path,
    pub(crate) config_file: PathBuf,
    /// The configuration, if it is right.
    pub(crate) config: Option<Config>,
    /// What the daemon says, if it answers.
    pub(crate) status: Result<Status, ClientError>,
    pub(crate) is_root: bool,
}

impl Machine<'_> {
    pub(crate) fn status(&self) -> Option<&Status> {
        self.status.as_ref().ok()
    }

    /// What the daemon says now.
    pub(crate) fn ask(&self) -> Result<Status, ClientError> {
        ask(self.socket)
    }
}

/// Runs every check. The exit status is 0 if nothing is wrong.
pub(crate) fn doctor(out: &Output, socket: &Path, config: Option<&Path>) -> Result<(), Failure> {
    let status = ask(socket);
    let config_file = match (config, &status) {
        (Some(given), _) => given.to_owned(),
        (None, Ok(status)) => PathBuf::from(&status.config_file),
        (None, Err(_)) => PathBuf::from(mesher_config::DEFAULT_CONFIG_FILE),
    };
    let loaded = Config::load(&config_file, &crate::config::host_name());
    let mut findings = vec![files::configuration(&config_file, &loaded)];
    let is_root = nix::unistd::geteuid().is_root();
    let machine = Machine { socket, config_file, config: loaded.ok(), status, is_root };
    findings.extend(daemon::service());
    findings.push(daemon::control_socket(&machine));
    findings.push(files::secret(&machine));
    findings.push(files::state(&machine));
    findings.push(files::table(&machine));
    let way = [lookups::module(), lookups::nsswitch(machine.status())];
    let lookup = lookups::answers(&machine, &way);
    findings.extend(way);
    findings.extend(lookup);
    findings.push(clock::time(machine.status()));
    findings.extend(port::check(&machine));
    findings.extend(firewall::firewall(&machine));
    findings.extend(bootstrap::check(&machine));
    findings.extend(daemon::state(&machine));
    let wrong = findings.iter().filter(|finding| finding.outcome == Outcome::Wrong).count();
    if out.is_json() {
        out.json(&serde_json::json!({"checks": findings, "wrong": wrong}))?;
    } else {
        for finding in &findings {
            out.print(describe(out, finding))?;
        }
    }
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::Other("one thing is wrong".to_owned())),
        wrong => Err(Failure::Other(format!("{wrong} things are wrong"))),
    }
}

fn ask(socket: &Path) -> Result<Status, ClientError> {
    Client::connect(socket).and_then(|mut client| client.call(&Call::Status {}))
}

/// A line for a finding, and one more for the command, which stands alone so that it can be copied.
fn describe(out: &Output, finding: &Finding) -> String {
    let (word, mood) = match finding.outcome {
        Outcome::Ok => ("ok", Mood::Good),
        Outcome::Wrong => ("WRONG", Mood::Bad),
        Outcome::Unclear => ("?", Mood::Warning),
    };
    let head = format!(
        "{}  {}: ",
        out.paint(mood, format_args!("{word:<5}")),
        out.paint(Mood::Heading, finding.check)
    );
    let mut text = out.paragraph(&head, 7, &safe(&finding.message));
    if let Some(run) = &finding.run {
        text +=
            &format!("\n       {} {}", out.paint(Mood::Faint, "run:"), out.paint(Mood::Heading, safe(run)));
    }
    text
}

/// The output of a command, if it can be run and succeeds.
pub(crate) fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
