//! Files with one signed record of the network's key: comments, and the record's text in one line. They are not secret.

use std::io;
use std::path::{Path, PathBuf};

use mesher_claims::keys::NetworkId;
use mesher_claims::record::{MAX_SETTINGS_LENGTH, Record, Refusal};

/// Room for comments beside the longest record.
const MAX_COMMENTS: usize = 4096;

/// Why a file with a signed record could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum SignedFileError {
    /// The file could not be read.
    #[error("{path}: {error}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// It does not hold exactly one line beside comments.
    #[error("{path}: expected {expected}, found {found}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What there should be.
        expected: &'static str,
        /// What there is instead.
        found: &'static str,
    },
    /// The record is not this network's, or was changed after signing.
    #[error("{path}: {is_not} of the network {network}: {refusal}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What it is not.
        is_not: &'static str,
        /// The network it should be of.
        network: NetworkId,
        /// What is wrong with it.
        refusal: Refusal,
    },
}

/// What a file should hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// The key under which the carrier files it.
    pub(crate) key: &'static str,
    /// Completes "expected …".
    pub(crate) expected: &'static str,
    /// Completes "… of the network".
    pub(crate) is_not: &'static str,
}

/// Reads the one record of a file, and verifies it.
pub(crate) fn read(path: &Path, network: &NetworkId, wanted: Wanted) -> Result<Record, SignedFileError> {
    let Wanted { key, expected, is_not } = wanted;
    let content = |found| SignedFileError::Content { path: path.to_owned(), expected, found };
    let bytes = read_at_most(path).map_err(|error| SignedFileError::Read { path: path.to_owned(), error })?;
    let bytes = bytes.ok_or_else(|| content("a longer file"))?;
    let text = String::from_utf8(bytes).map_err(|_| content("bytes that are no text"))?;
    let line = only_line(&text).map_err(content)?;
    Record::from_carrier(network, key, line).map_err(|refusal| SignedFileError::Refused {
        path: path.to_owned(),
        is_not,
        network: *network,
        refusal,
    })
}

/// `None` for a file longer than any that is meant: it may be a device without an end.
fn read_at_most(path: &Path) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read;
    let longest = (MAX_SETTINGS_LENGTH + MAX_COMMENTS) as u64;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(longest + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= longest).then_some(bytes))
}

fn only_line(text: &str) -> Result<&str, &'static str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().ok_or("nothing")?;
    if lines.next().is_some() { Err("several lines") } else { Ok(line) }
}
