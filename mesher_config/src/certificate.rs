//! The file with a host's certificate. It is not secret.

use std::path::Path;

use mesher_claims::keys::NetworkId;
use mesher_claims::record::{CertificateBody, Record, Signed};

pub use crate::signed_file::SignedFileError as CertificateError;
use crate::signed_file::{self, Wanted};

const WANTED: Wanted = Wanted {
    key: "cert",
    expected: "a certificate, one line as `mesherctl network certify` writes it, and comments",
    is_not: "this is not a certificate",
};

/// The file's text for a certificate, with `comment` above it, which says what it allows.
pub fn to_file_text(certificate: &Record, comment: &str) -> String {
    let comment: String = comment.lines().map(|line| format!("# {line}\n")).collect();
    format!("{comment}{}\n", certificate.carrier_value())
}

/// Reads a certificate and verifies that the key of `network` signed it.
///
/// # Errors
///
/// When the file cannot be read, holds something else, or a certificate of another network.
pub fn read(path: &Path, network: &NetworkId) -> Result<Signed<CertificateBody>, CertificateError> {
    match signed_file::read(path, network, WANTED)? {
        Record::Certificate(certificate) => Ok(certificate),
        _ => Err(CertificateError::Content {
            path: path.to_owned(),
            expected: WANTED.expected,
            found: "a record of another kind",
        }),
    }
}
