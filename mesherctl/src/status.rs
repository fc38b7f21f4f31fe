//! `status`, `peers` and `names`.

use std::path::Path;

use mesher_control::types::{Admission, Name, Names, Network, Peer, PeerState, Peers, Source, State, Status};
use mesher_control::{Call, Client};

use crate::failure::Failure;
use crate::output::{Mood, Output, count, safe, span, time};

/// `status`.
pub(crate) fn status(out: &Output, socket: &Path) -> Result<(), Failure> {
    let status: Status = Client::connect(socket)?.call(&Call::Status {})?;
    if out.is_json() {
        return out.json(&status);
    }
    let bullet = format!("{} ", bullet(out, status.state));
    let mut text = out.paragraph(&bullet, 2, &safe(&status.sentence)) + "\n";
    for (title, value) in head(&status) {
        let title = out.paint(Mood::Faint, format_args!("{title:>11}  "));
        text += &(out.paragraph(&title, 13, &value) + "\n");
    }
    for warning in &status.warnings {
        let title = out.paint(Mood::Bad, format_args!("{:>11}  ", "warning"));
        text += &(out.paragraph(&title, 13, &safe(warning)) + "\n");
    }
    if !status.peers.is_empty() {
        text += &format!("\n{}\n{}\n", out.paint(Mood::Heading, "Peers"), peer_table(out, &status.peers));
    }
    let own: Vec<&Name> = status.names.iter().filter(|name| name.source.is_some()).collect();
    let (held, waiting): (Vec<&Name>, Vec<&Name>) = own.into_iter().partition(|name| name.held);
    if !held.is_empty() {
        text += &format!("\n{}\n", out.paint(Mood::Heading, "Names held"));
        for name in held {
            text += &format!("  {}{}\n", out.paint(Mood::Good, safe(&name.name)), remarks(name));
        }
    }
    if !waiting.is_empty() {
        text += &format!("\n{}\n", out.paint(Mood::Heading, "Names waited for"));
        for name in waiting {
            let holder = name
                .holder
                .as_deref()
                .map_or_else(|| "held by nobody yet".to_owned(), |h| format!("held by {}", safe(h)));
            text += &format!("  {}  {holder}{}\n", out.paint(Mood::Warning, safe(&name.name)), remarks(name));
        }
    }
    out.raw(text.as_bytes())
}

fn bullet(out: &Output, state: State) -> String {
    let mood = match state {
        State::Running => Mood::Good,
        State::Alone | State::Joining | State::Starting | State::NoSettings => Mood::Warning,
        State::Stopping => Mood::Bad,
    };
    out.paint(mood, "●")
}

fn head(status: &Status) -> Vec<(&'static str, String)> {
    let network = &status.network;
    let mut lines = vec![("network", network.id.clone())];
    if let (Some(domain), Some(ttl_ms)) = (&network.domain, network.claim_ttl_ms) {
        let admission = match network.admission {
            Some(Admission::Certified) => "certified hosts only",
            _ => "open to all that hold the secret",
        };
        let revision = network.revision.unwrap_or_default();
        let domain = safe(domain);
        lines.push((
            "settings",
            format!("domain {domain}, claim TTL {}, {admission}, revision {revision}", span(ttl_ms)),
        ));
    } else {
        lines.push(("settings", "not known yet: waiting for a peer to pass them on".to_owned()));
    }
    lines.push(("secret", secrets(network, &status.peers)));
    let addresses = match status.host.addresses.as_slice() {
        [] => "no address to announce".to_owned(),
        addresses => addresses.join(" "),
    };
    lines.push(("host", format!("{}: {addresses}", safe(&status.host.label))));
    if let Some(certificate) = &status.host.certificate {
        let names: Vec<String> = certificate.names.iter().map(|name| safe(name)).collect();
        let (label, until) = (safe(&certificate.label), time(certificate.not_after_unix_ms));
        lines.push(("certificate", format!("{label}, until {until}: {}", names.join(" "))));
    }
    let table = status.table.as_ref().map_or_else(
        || "none yet".to_owned(),
        |table| format!("{}: generation {}, {}", table.path, table.generation, count(table.names, "name")),
    );
    lines.push(("table", table));
    lines
}

/// Which secret seals, and how many of the peers that are there seal with another.
fn secrets(network: &Network, peers: &[Peer]) -> String {
    let Some(first) = network.secrets.first() else { return "none".to_owned() };
    let others = peers.iter().filter(|peer| {
        peer.state == PeerState::Alive && peer.secret.as_ref().is_some_and(|secret| secret != first)
    });
    let peers = |count| if count == 1 { "1 peer seals".to_owned() } else { format!("{count} peers seal") };
    match (network.secrets.len(), others.count()) {
        (1, 0) => safe(first),
        (known, 0) => format!("{} seals, {known} open; no peer seals with another", safe(first)),
        (known, others) => format!("{} seals, {known} open; {} with another", safe(first), peers(others)),
    }
}

fn remarks(name: &Name) -> String {
    let mut remarks = String::new();
    if name.source == Some(Source::Runtime) {
        remarks += "  (claimed at run time)";
    }
    if let Some(refused) = &name.refused {
        remarks += &format!("  not admitted: {}", safe(refused));
    }
    match name.waiting {
        0 => {}
        1 if !name.held => {}
        waiting => remarks += &format!("  ({waiting} waiting)"),
    }
    remarks
}

/// `peers`, all of them or one.
pub(crate) fn peers(out: &Output, socket: &Path, wanted: Option<&str>) -> Result<(), Failure> {
    let mut peers: Peers = Client::connect(socket)?.call(&Call::Peers {})?;
    if let Some(wanted) = wanted {
        peers.peers.retain(|peer| is_meant(peer, wanted));
        if peers.peers.is_empty() {
            let message = format!("no other machine of the network is {wanted}; see: mesherctl peers");
            return Err(Failure::Other(message));
        }
    }
    if out.is_json() {
        return out.json(&peers);
    }
    if peers.peers.is_empty() {
        return out.print("no other machine of the network is known");
    }
    out.print(peer_table(out, &peers.peers))?;
    if wanted.is_some() {
        for peer in &peers.peers {
            out.print(peer_details(out, peer))?;
        }
    }
    Ok(())
}

fn is_meant(peer: &Peer, wanted: &str) -> bool {
    let address = peer.address.as_deref().unwrap_or_default();
    let ip = address.rsplit_once(':').map_or(address, |(ip, _)| ip).trim_matches(['[', ']']);
    peer.label.eq_ignore_ascii_case(wanted) || peer.key == wanted || address == wanted || ip == wanted
}

fn peer_details(out: &Output, peer: &Peer) -> String {
    let line = |title: &str, value: String| {
        out.paragraph(&out.paint(Mood::Faint, format_args!("  {title:>8}  ")), 12, &value)
    };
    let lease = peer
        .age_ms
        .map_or_else(|| "over: its names are free".to_owned(), |age| format!("renewed {} ago", span(age)));
    let clock = match peer.ahead_ms.unwrap_or_default() {
        ahead @ 0.. => format!("{} ahead of this machine's", span(ahead.unsigned_abs())),
        behind => format!("{} behind this machine's", span(behind.unsigned_abs())),
    };
    let secret = peer.secret.as_deref().map_or_else(|| "not heard of itself yet".to_owned(), safe);
    let lines =
        [line("key", safe(&peer.key)), line("lease", lease), line("clock", clock), line("secret", secret)];
    lines.join("\n")
}

fn peer_table(out: &Output, peers: &[Peer]) -> String {
    let rows: Vec<_> = peers
        .iter()
        .map(|peer| {
            let (state, mood) = match peer.state {
                PeerState::Alive => ("alive", Mood::Good),
                PeerState::Away => ("away", Mood::Warning),
                PeerState::Expired => ("expired", Mood::Bad),
            };
            let contact =
                peer.last_contact_ms.map_or_else(|| "not yet".to_owned(), |ms| format!("{} ago", span(ms)));
            let clock = match peer.ahead_ms.unwrap_or_default() {
                -60_000..=60_000 => String::new(),
                ahead if ahead > 0 => format!("clock {} ahead", span(ahead.unsigned_abs())),
                behind => format!("clock {} behind", span(behind.unsigned_abs())),
            };
            vec![
                (safe(&peer.label), None),
                (state.to_owned(), Some(mood)),
                (peer.address.clone().unwrap_or_else(|| "-".to_owned()), None),
                (contact, None),
                (peer.names.to_string(), None),
                (clock, Some(Mood::Warning)),
            ]
        })
        .collect();
    out.table(&["PEER", "STATE", "ADDRESS", "LAST CONTACT", "NAMES", "CLOCK"], &rows)
}

/// `names`.
pub(crate) fn names(out: &Output, socket: &Path) -> Result<(), Failure> {
    let names: Names = Client::connect(socket)?.call(&Call::Names {})?;
    if out.is_json() {
        return out.json(&names);
    }
    if names.names.is_empty() {
        return out.print("no names are claimed");
    }
    let rows: Vec<_> = names
        .names
        .iter()
        .map(|name| {
            let mood = match (name.source, name.held) {
                (Some(_), true) => Some(Mood::Good),
                (Some(_), false) => Some(Mood::Warning),
                (None, _) => None,
            };
            vec![
                (safe(&name.name), mood),
                (name.holder.as_deref().map_or_else(|| "nobody".to_owned(), safe), None),
                (name.waiting.to_string(), None),
                (name.addresses.join(" "), None),
            ]
        })
        .collect();
    out.print(out.table(&["NAME", "HOLDER", "WAITING", "ADDRESSES"], &rows))
}
