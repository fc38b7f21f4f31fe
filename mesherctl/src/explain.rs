//! `explain`: why a name is answered the way it is: what the network says, what the table says, and what programs get.

use std::path::Path;

use mesher_control::types::{Claimant, Explanation, Standing};
use mesher_control::{Call, Client, ClientError, Error};
use serde::Serialize;

use crate::failure::Failure;
use crate::nsswitch;
use crate::output::{Cell, Mood, Output, safe, span, time};

/// What `--json` prints: the daemon's explanation, and what this machine's programs get.
#[derive(Debug, Serialize)]
struct Explained {
    #[serde(flatten)]
    explanation: Explanation,
    #[serde(flatten)]
    here: Here,
}

/// What programs on this machine get for a name.
#[derive(Debug, Serialize)]
struct Here {
    /// What getaddrinfo(3) returns here, in its order. Null if it found nothing.
    getaddrinfo: Option<Vec<String>>,
    /// The source of nsswitch.conf(5) that this comes from. Null if no source alone answers so: a cache is in between.
    answered_by: Option<String>,
    /// The sources, in their order, and what each of them alone would answer.
    sources: Vec<SourceAnswer>,
}

/// One source's own answer.
#[derive(Debug, Serialize)]
struct SourceAnswer {
    source: String,
    addresses: Vec<String>,
}

pub(crate) fn explain(out: &Output, socket: &Path, name: &str) -> Result<(), Failure> {
    let answer = Client::connect(socket)
        .and_then(|mut client| client.call::<Explanation>(&Call::Explain { name: name.to_owned() }));
    match answer {
        Ok(explanation) => {
            let here = here(&explanation.name);
            let explained = Explained { explanation, here };
            if out.is_json() { out.json(&explained) } else { out.print(describe(out, &explained)) }
        }
        Err(error) => without_the_daemon(out, name, error),
    }
}

/// Nobody claims the name, or the daemon cannot be asked: what programs get is worth knowing all the same.
fn without_the_daemon(out: &Output, name: &str, error: ClientError) -> Result<(), Failure> {
    let asked = match &error {
        ClientError::Daemon(Error::UnknownName { name }) => name.as_str(),
        ClientError::Connect { .. }
        | ClientError::Io { .. }
        | ClientError::Daemon(Error::NotReady { .. }) => name,
        _ => return Err(error.into()),
    };
    let here = here(asked);
    if out.is_json() {
        out.json(&here)?;
    } else {
        out.print(out.paint(Mood::Heading, safe(asked)))?;
        out.print(describe_here(out, &here))?;
    }
    Err(error.into())
}

fn describe(out: &Output, explained: &Explained) -> String {
    let explanation = &explained.explanation;
    let mut text = out.paint(Mood::Heading, safe(&explanation.name)) + "\n";
    text += &(out.paragraph("  ", 2, &safe(&explanation.rule)) + "\n");
    if !explanation.claimants.is_empty() {
        let rows: Vec<_> = explanation.claimants.iter().map(|c| claimant_row(&explanation.name, c)).collect();
        let heading = ["CLAIMED BY", "STANDING", "SINCE", "LEASE", "ADDRESSES"];
        text += &format!("\n{}\n{}\n", out.paint(Mood::Heading, "Claims"), out.table(&heading, &rows));
        for claimant in explanation.claimants.iter().filter(|c| c.reason.is_some()) {
            let reason = claimant.reason.as_deref().unwrap_or_default();
            text += &(out.paragraph("  ", 4, &format!("{}: {}", safe(&claimant.label), safe(reason))) + "\n");
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
    text += &(out.paragraph("  table        ", 15, &table) + "\n");
    text + &describe_here(out, &explained.here)
}

fn describe_here(out: &Output, here: &Here) -> String {
    let answer = match (&here.getaddrinfo, &here.answered_by) {
        (None, _) => out.paint(Mood::Warning, "nothing"),
        (Some(addresses), Some(source)) => {
            format!("{}  (from the nsswitch source {source})", addresses.join(" "))
        }
        (Some(addresses), None) if here.sources.is_empty() => addresses.join(" "),
        (Some(addresses), None) => format!(
            "{}  (as no nsswitch source alone answers: a cache such as nscd is in between)",
            addresses.join(" ")
        ),
    };
    let mut text = out.paragraph("  getaddrinfo  ", 15, &answer);
    if !here.sources.is_empty() && !here.sources.iter().any(|source| source.source == nsswitch::SOURCE) {
        let hint = "nsswitch.conf does not name the source mesher: programs do not ask the table. See: mesherctl doctor";
        text += &format!("\n  {}", out.paint(Mood::Bad, out.paragraph("", 2, hint)));
    }
    text
}

/// A row for a claim; one of another name than was asked for, a wildcard, says so.
fn claimant_row(asked: &str, claimant: &Claimant) -> Vec<Cell> {
    let (standing, mood) = match claimant.standing {
        Standing::Holder => ("holds it", Mood::Good),
        Standing::Waiting => ("waits", Mood::Warning),
        Standing::NotCounted => ("does not count", Mood::Faint),
    };
    let here = if claimant.this_machine { " (this machine)" } else { "" };
    let of = if claimant.name.eq_ignore_ascii_case(asked) {
        String::new()
    } else {
        format!(", {}", safe(&claimant.name))
    };
    vec![
        (format!("{}{here}{of}", safe(&claimant.label)), None),
        (standing.to_owned(), Some(mood)),
        (time(claimant.rank_unix_ms), None),
        (claimant.lease_left_ms.map_or_else(|| "over".to_owned(), lease), None),
        (claimant.addresses.join(" "), None),
    ]
}

/// Until when a lease runs if it is not renewed: `5.0 s left (21:10:05)`.
fn lease(left_ms: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let end = time(now_ms.saturating_add(left_ms));
    format!("{} left, until {end}", span(left_ms))
}

fn here(name: &str) -> Here {
    let getaddrinfo = nsswitch::getaddrinfo(name);
    let configuration = std::fs::read_to_string(nsswitch::FILE).unwrap_or_default();
    let mut sources = Vec::new();
    for source in nsswitch::host_sources(&configuration) {
        let Some(addresses) = nsswitch::ask(&source.name, name) else { break };
        sources.push(SourceAnswer { source: source.name, addresses });
    }
    let answered_by = getaddrinfo.as_ref().and_then(|found| {
        // The first that knows the name answers; the others are not asked. Addresses of a family without a route are left out.
        let first = sources.iter().find(|source| !source.addresses.is_empty())?;
        found.iter().all(|address| first.addresses.contains(address)).then(|| first.source.clone())
    });
    Here { getaddrinfo, answered_by, sources }
}
