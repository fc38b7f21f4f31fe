//! The file with a network's signed settings: comments, and the record in one line. It is not secret.

use std::io;
use std::path::{Path, PathBuf};

use mesher_claims::keys::NetworkId;
use mesher_claims::record::{MAX_SETTINGS_LENGTH, Record, Refusal, SettingsBody, Signed};

/// The key under which the carrier files settings; the record's text is the carrier's.
const CARRIER_KEY: &str = "n";

/// Why a settings file could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file could not be read.
    #[error("{path}: {error}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// It does not hold exactly one line beside comments.
    #[error("{path}: expected the network's signed settings, one line as `mesherctl network init` writes it, found {found}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What there is instead.
        found: &'static str,
    },
    /// The settings are not this network's, or were changed after signing.
    #[error("{path}: these are not the signed settings of the network {network}: {refusal}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The network they should be of.
        network: NetworkId,
        /// What is wrong with them.
        refusal: Refusal,
    },
}

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
    let content = |found| SettingsError::Content { path: path.to_owned(), found };
    let text = std::fs::read_to_string(path)
        .map_err(|error| SettingsError::Read { path: path.to_owned(), error })?;
    if text.len() > MAX_SETTINGS_LENGTH + 4096 {
        return Err(content("a longer file"));
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().ok_or_else(|| content("nothing"))?;
    if lines.next().is_some() {
        return Err(content("several lines"));
    }
    match Record::from_carrier(network, CARRIER_KEY, line) {
        Ok(Record::Settings(settings)) => Ok(settings),
        Ok(_) => Err(content("a record of another kind")),
        Err(refusal) => Err(SettingsError::Refused { path: path.to_owned(), network: *network, refusal }),
    }
}
