//! `network secret`: the three steps in which the network secret is changed with no lookup lost.
//!
//! Each step is taken on every machine before the next begins: first all can open the new secret, then all seal with it,
//! then nobody needs the old one.

use std::path::Path;

use mesher_config::secret::{Check, MAX_SECRETS, SecretBytes, read_secrets};
use zeroize::Zeroizing;

use super::random;
use crate::cli::SecretStep;
use crate::failure::Failure;
use crate::files::replace;
use crate::output::Output;

/// Takes a step in the file at `path`. Other machines get the same file.
pub(crate) fn step(out: &Output, step: SecretStep, path: &Path) -> Result<(), Failure> {
    let refuse = |why: &str| Err(Failure::Other(format!("{}: {why}; nothing was changed", path.display())));
    // Keys look the same, and a key with a secret behind it is one no more.
    if path.extension().is_some_and(|extension| extension == "key") {
        return refuse("expected the file with the network's secrets, network.secret; this is a key's");
    }
    let before = read_secrets(path, Check::Mode)?;
    let count = before.len();
    let (after, said): (Vec<SecretBytes>, &str) = match step {
        SecretStep::Add if count >= MAX_SECRETS => {
            return refuse(&format!(
                "it holds {count} secrets already, the most there may be; retire the old ones first"
            ));
        }
        SecretStep::Add => (
            before.into_iter().chain([SecretBytes::new(random()?)]).collect(),
            "A new secret stands last: members that have it open what it seals, and go on sealing with the first.",
        ),
        SecretStep::Promote if count < 2 => {
            return refuse("it holds one secret only; first: mesherctl network secret add");
        }
        SecretStep::Promote => (
            before.iter().skip(count - 1).chain(before.iter().take(count - 1)).cloned().collect(),
            "The newest secret stands first: members seal with it, and open the others still.",
        ),
        SecretStep::Retire if count < 2 => {
            return refuse("it holds one secret only; there is none to retire");
        }
        SecretStep::Retire => (before.into_iter().take(1).collect(), "Only the first secret is left."),
    };
    let mut text = Zeroizing::new(String::with_capacity(64 * after.len()));
    after.iter().for_each(|secret| text.push_str(&secret.to_file_text()));
    replace(path, &text)?;
    let next = match step {
        SecretStep::Add => "once that is so on all of them: mesherctl network secret promote",
        SecretStep::Promote => {
            "once mesherctl status shows on none of them a peer that seals with an old secret: mesherctl network secret retire"
        }
        SecretStep::Retire => "whoever has only the old secret is outside from then on",
    };
    if out.is_json() {
        return out.json(&serde_json::json!({ "file": path.display().to_string(), "secrets": after.len() }));
    }
    out.print(format_args!(
        "{said}\nBring {} to every machine and run there: mesherctl reload\nThen: {next}",
        path.display()
    ))
}
