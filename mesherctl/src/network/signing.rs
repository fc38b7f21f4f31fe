//! A network's directory with its private key, opened to sign something. Nothing is signed before it was told what.

use std::fmt;
use std::path::{Path, PathBuf};

use mesher_claims::keys::{NetworkId, SecretKey};
use mesher_claims::record::{Body, Record, SettingsBody, Signed};
use mesher_config::secret::read_secret;
use mesher_config::settings;
use mesher_control::types::Status;
use mesher_control::{Call, Client};

use super::{KEY_FILE, SETTINGS_FILE};
use crate::failure::Failure;
use crate::files::replace;
use crate::output::Output;

/// The key, and the settings as they were signed last.
pub(super) struct Signer {
    key: SecretKey,
    key_file: PathBuf,
    settings_file: PathBuf,
    pub(super) settings: SettingsBody,
}

impl Signer {
    /// Reads both from the directory that `network init` made.
    pub(super) fn open(directory: &Path) -> Result<Self, Failure> {
        let (key_file, settings_file) = (directory.join(KEY_FILE), directory.join(SETTINGS_FILE));
        let key = SecretKey::from_seed(read_secret(&key_file)?.expose());
        let settings = settings::read(&settings_file, &key.network_id())
            .map_err(|error| Failure::Other(error.to_string()))?;
        Ok(Self { key, key_file, settings_file, settings: (*settings).clone() })
    }

    pub(super) fn network(&self) -> NetworkId {
        self.key.network_id()
    }

    /// Says on standard error what is about to be signed, and with which key.
    pub(super) fn announce(&self, what: impl fmt::Display) {
        announce(&self.key_file, self.network(), what);
    }

    pub(super) fn sign<B: Body>(&self, body: B) -> Signed<B> {
        Signed::sign(&self.network(), &self.key, body)
    }

    /// Checks settings that are to follow on those there are. Nothing has happened when this fails.
    pub(super) fn check(&self, next: &SettingsBody, socket: &Path) -> Result<(), Failure> {
        next.check().map_err(|refusal| Failure::Other(format!("these settings cannot be: {refusal}")))?;
        let last = self.settings.revision;
        if next.revision <= last {
            return Err(Failure::Other(format!(
                "--revision {}: {} holds revision {last} already, and only a higher one is ever taken",
                next.revision,
                self.settings_file.display()
            )));
        }
        if let Some(running) = running_revision(socket, self.network()).filter(|r| *r >= next.revision) {
            return Err(Failure::Other(format!(
                "the network is at revision {running}, and {} only at {last}: settings were signed elsewhere since. Fetch the \
                 newest file, or sign over what it says with --revision {}",
                self.settings_file.display(),
                running + 1
            )));
        }
        Ok(())
    }

    /// Signs settings and puts them in the place of those there were. Returns the file.
    pub(super) fn write(&self, next: SettingsBody) -> Result<&Path, Failure> {
        let text = settings::to_file_text(&Record::Settings(self.sign(next)));
        replace(&self.settings_file, &text)?;
        Ok(&self.settings_file)
    }
}

/// Says on standard error what is about to be signed.
pub(super) fn announce(key_file: &Path, network: NetworkId, what: impl fmt::Display) {
    crate::output::tell(format_args!(
        "About to sign with {}, for the network {network}:\n{what}",
        key_file.display()
    ));
}

/// What to do with new settings once they are signed.
pub(super) fn how_to_spread(out: &Output, file: &Path, revision: u64) -> Result<(), Failure> {
    out.print(format_args!(
        "Signed revision {revision} into {file}\nIt spreads by itself from any one member: put the file where that machine's \
         network.settings_file points, and run there: mesherctl reload",
        file = file.display()
    ))
}

/// The revision in force, if this machine's daemon runs in that network: the key may be kept where there is none.
fn running_revision(socket: &Path, network: NetworkId) -> Option<u64> {
    let status: Status = Client::connect(socket).ok()?.call(&Call::Status {}).ok()?;
    status.network.revision.filter(|_| status.network.id == network.to_string())
}
