//! `explain`: why a name is answered the way it is: what the network says, what the table says, and what programs get.

use std::net::ToSocketAddrs;
use std::path::Path;
use std::process::Command;

use mesher_control::types::{Claimant, Explanation, Standing};
use mesher_control::{Call, Client};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Mood, Output, safe, span, time};

/// What `--json` prints: the daemon's explanation, and what this machine's programs get.
#[derive(Debug, Serialize)]
struct Explained {
    #[serde(flatten)]
    explanation: Explanation,
    /// What getaddrinfo(3) returns here, in its order. Null if it found nothing.
    getaddrinfo: Option<Vec<String>>,
    /// The sources of nsswitch.conf(5), in their order, and what each of them alone would answer.
    sources: Vec<SourceAnswer>,
}

/// One source's own answer.
#[derive(Debug, Serialize)]
struct SourceAnswer {
    source: String,
    addresses: Vec<String>,
}

pub(crate) fn explain(out: &Output, socket: &Path, name: &str) -> Result<(), Failure> {
    let explanation: Explanation = Client::connect(socket)?.call(&Call::Explain { name: name.to_owned() })?;
    let asked = explanation.name.clone();
    let explained = Explained { explanation, getaddrinfo: getaddrinfo(&asked), sources: ask_sources(&asked) };
    if out.is_json() { out.json(&explained) } else { out.print(describe(out, &explained)) }
}

fn describe(out: &Output, explained: &Explained) -> String {
    let explanation = &explained.explanation;
    let mut text =
        format!("{}\n  {}\n", out.paint(Mood::Heading, safe(&explanation.name)), safe(&explanation.rule));
    if !explanation.claimants.is_empty() {
        let rows: Vec<_> = explanation.claimants.iter().map(claimant_row).collect();
        let heading = ["CLAIMED BY", "STANDING", "SINCE", "LEASE", "ADDRESSES"];
        text += &format!("\n{}\n{}\n", out.paint(Mood::Heading, "Claims"), out.table(&heading, &rows));
        for claimant in explanation.claimants.iter().filter(|c| c.reason.is_some()) {
            let reason = claimant.reason.as_deref().unwrap_or_default();
            text += &format!("  {}: {}\n", safe(&claimant.label), safe(reason));
        }
    }
    text += &format!("\n{}\n", out.paint(Mood::Heading, "On this machine"));
    let table = explanation.table.as_ref().map_or_else(
        || out.paint(Mood::Warning, "no such name"),
        |entry| {
            let wildcard = if entry.wildcard { " (by a wildcard)" } else { "" };
            format!("{}{wildcard}: {}", entry.canonical, entry.addresses.join(" "))
        },
    );
    text += &format!("  table        {table}\n");
    let answer = explained.getaddrinfo.as_ref().map(|addresses| addresses.join(" "));
    let answer = answer.unwrap_or_else(|| out.paint(Mood::Warning, "nothing"));
    let by = explained.sources.iter().find(|source| !source.addresses.is_empty());
    let by = by.map_or_else(String::new, |source| format!("  (from the nsswitch source {})", source.source));
    text += &format!("  getaddrinfo  {answer}{by}");
    if !explained.sources.is_empty() && !explained.sources.iter().any(|source| source.source == "mesher") {
        let hint = "nsswitch.conf does not name the source mesher: programs do not ask the table. Put it before dns in the line hosts:";
        text += &format!("\n  {}", out.paint(Mood::Bad, hint));
    }
    text
}

fn claimant_row(claimant: &Claimant) -> Vec<(String, Option<Mood>)> {
    let (standing, mood) = match claimant.standing {
        Standing::Holder => ("holds it", Mood::Good),
        Standing::Waiting => ("waits", Mood::Warning),
        Standing::NotCounted => ("does not count", Mood::Faint),
    };
    let here = if claimant.this_machine { " (this machine)" } else { "" };
    vec![
        (format!("{}{here}", safe(&claimant.label)), None),
        (standing.to_owned(), Some(mood)),
        (time(claimant.rank_unix_ms), None),
        (claimant.lease_left_ms.map_or_else(|| "over".to_owned(), |ms| format!("{} left", span(ms))), None),
        (claimant.addresses.join(" "), None),
    ]
}

/// What programs get: through all sources, with the nscd or systemd-resolved in between, if there is one.
fn getaddrinfo(name: &str) -> Option<Vec<String>> {
    let mut addresses: Vec<String> =
        (name, 0).to_socket_addrs().ok()?.map(|address| address.ip().to_string()).collect();
    addresses.dedup();
    Some(addresses)
}

/// What each source of the line `hosts:` would answer by itself, by the `getent` of this machine. Empty where the file or
/// `getent` is missing.
fn ask_sources(name: &str) -> Vec<SourceAnswer> {
    let configuration = std::fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    let mut answers = Vec::new();
    for source in host_sources(&configuration) {
        let Ok(output) =
            Command::new("getent").args(["-s", &format!("hosts:{source}"), "ahosts", name]).output()
        else {
            return Vec::new();
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut addresses: Vec<String> =
            text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
        addresses.dedup();
        answers.push(SourceAnswer { source, addresses });
    }
    answers
}

/// The sources of the line `hosts:` (nsswitch.conf(5)), without the actions in brackets.
fn host_sources(configuration: &str) -> Vec<String> {
    let lines = configuration.lines().map(|line| line.split('#').next().unwrap_or_default());
    let Some(line) = lines.filter_map(|line| line.trim().strip_prefix("hosts:")).next() else {
        return Vec::new();
    };
    let mut sources = Vec::new();
    let mut in_action = false;
    for word in line.replace('[', " [ ").replace(']', " ] ").split_whitespace() {
        match word {
            "[" => in_action = true,
            "]" => in_action = false,
            _ if !in_action => sources.push(word.to_owned()),
            _ => {}
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_without_their_actions_and_comments() {
        let text = "passwd: files\nhosts:  files mesher [NOTFOUND=return !UNAVAIL=continue]dns # resolve\nhosts: other\n";
        assert_eq!(host_sources(text), ["files", "mesher", "dns"]);
        assert!(host_sources("passwd: files\n").is_empty());
    }
}
