//! What a shell can complete: the command line itself, and names and peers as the daemon knows them.
//!
//! The script that `completions` prints asks this program anew at each press of the tab key (clap_complete's environment
//! completion), so it fits every version and needs no copy of the options.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::env::Shells;
use clap_complete::{CompletionCandidate, Shell};
use mesher_control::types::{Names, Peers, Source, Status};
use mesher_control::{Call, Client};
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// Whoever presses the tab key waits for the daemon for no longer than this.
const WAIT: Duration = Duration::from_secs(1);

/// The script for a shell.
pub(crate) fn registration(shell: Shell) -> Result<Vec<u8>, Failure> {
    let shells = Shells::builtins();
    let name = shell.to_string();
    let completer = shells
        .completer(&name)
        .ok_or_else(|| Failure::Other(format!("there are no completions for {name}")))?;
    let mut script = Vec::new();
    completer.write_registration("COMPLETE", "mesherctl", "mesherctl", "mesherctl", &mut script)?;
    if shell == Shell::Zsh {
        // Installed as a file, the script is the completing function itself when it is first called: without this line
        // the first tab would only define what the second one uses.
        script.extend_from_slice(
            b"[ \"$funcstack[1]\" = _mesherctl ] && _clap_dynamic_completer_mesherctl \"$@\"\n",
        );
    }
    Ok(script)
}

/// All names of the network, with their holders.
pub(crate) fn names(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(names) = ask::<Names>(&Call::Names {}) else { return Vec::new() };
    let held_by =
        |holder: Option<String>| holder.map_or_else(|| "held by nobody".into(), |by| format!("held by {by}"));
    matching(current, names.names.into_iter().map(|name| (name.name, held_by(name.holder))))
}

/// Names that somebody else claims: to wait in line for.
pub(crate) fn names_to_claim(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(names) = ask::<Names>(&Call::Names {}) else { return Vec::new() };
    let others = names.names.into_iter().filter(|name| name.source.is_none());
    matching(current, others.map(|name| (name.name, format!("held by {}", name.holder.unwrap_or_default()))))
}

/// Names that this machine claims since somebody said so at run time.
pub(crate) fn names_to_release(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(status) = ask::<Status>(&Call::Status {}) else { return Vec::new() };
    let own = status.names.into_iter().filter(|name| name.source == Some(Source::Runtime));
    matching(current, own.map(|name| (name.name, "claimed at run time".to_owned())))
}

/// The other machines, by label.
pub(crate) fn peers(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(peers) = ask::<Peers>(&Call::Peers {}) else { return Vec::new() };
    matching(current, peers.peers.into_iter().map(|peer| (peer.label, peer.address.unwrap_or_default())))
}

/// The other machines, by key.
pub(crate) fn peer_keys(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(peers) = ask::<Peers>(&Call::Peers {}) else { return Vec::new() };
    matching(current, peers.peers.into_iter().map(|peer| (peer.key, peer.label)))
}

/// Those that go on as the word has begun. What others in the network called themselves reaches the shell as plain words only.
fn matching(current: &OsStr, words: impl Iterator<Item = (String, String)>) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy().to_lowercase();
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-._*+/=".contains(c));
    let words = words.filter(|(word, _)| word.to_lowercase().starts_with(&current) && plain(word));
    words
        .map(|(word, help)| CompletionCandidate::new(word).help(Some(crate::output::safe(&help).into())))
        .collect()
}

/// Asks the daemon at its usual place, or where `MESHER_SOCKET` says: the options of the line are not known here.
fn ask<T: DeserializeOwned>(call: &Call) -> Option<T> {
    let socket = std::env::var_os("MESHER_SOCKET").map(PathBuf::from);
    let socket = socket.unwrap_or_else(|| mesher_control::DEFAULT_SOCKET.into());
    let mut client = Client::connect(&socket).ok()?;
    client.wait_at_most(WAIT).ok()?;
    client.call(call).ok()
}
