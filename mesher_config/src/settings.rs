//! The file with a network's signed settings. It is not secret.

use std::path::Path;

use mesher_claims::keys::NetworkId;
use mesher_claims::record::{Record, SettingsBody, Signed};

pub use crate::signed_file::SignedFileError as SettingsError;
use crate::signed_file::{self, Wanted};

const WANTED: Wanted = Wanted {
    key: "n",
    expected: "the network's signed settings, one line as `mesherctl network init` writes it",
    is_not: "these are not the signed settings",
};

/// The file's text for a settings record.
pub fn to_file_text(settings: &Record) -> String {
    format!(
        "# Signed settings of a data-mesher network. Not secret; show them with: mesherctl network show\n{}\n",
        settings.carrier_value()
    )
}

/// Reads settings and verifies that the key of `network` signed them.
///
/// # Errors
///
/// When the file cannot be read, holds something else, or settings of another network.
pub fn read(path: &Path, network: &NetworkId) -> Result<Signed<SettingsBody>, SettingsError> {
    match signed_file::read(path, network, WANTED)? {
        Record::Settings(settings) => Ok(settings),
        _ => Err(SettingsError::Content {
            path: path.to_owned(),
            expected: WANTED.expected,
            found: "a record of another kind",
        }),
    }
}
