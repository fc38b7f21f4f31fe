//! Files that only their owner may read: the network secret, the network's private key, a host's key.
//!
//! Each holds 32 bytes in base64 and a newline. A network secret's file may hold several lines, for rotation:
//! the first secret seals what this machine sends, all of them open what it receives.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// More secrets than any rotation needs: one to retire, one in use, one to come, and one for a slip.
pub const MAX_SECRETS: usize = 4;

/// The longest file that is read. 32 bytes are 44 characters; the rest is room for comments.
const MAX_FILE_LEN: u64 = 4096;

/// 32 secret bytes. Not shown by `Debug`, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes([u8; 32]);

impl SecretBytes {
    /// Takes over `bytes`.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes themselves. Copies of them are not wiped.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// As it stands in a file: base64 and a newline.
    pub fn to_file_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(48));
        BASE64.encode_append(&self.0, &mut text);
        text.push('\n');
        text
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

/// Why a secret file could not be taken. Never holds any part of the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file could not be read.
    #[error("{path}: {error}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// Not a regular file.
    #[error("{path}: expected a regular file", path = path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner may read or write it.
    #[error(
        "{path}: others may {what} this secret (mode {mode:04o}, expected {expected:04o}); run: chmod {expected:04o} {path}",
        path = path.display()
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The bits it may have at most.
        expected: u32,
        /// What others may do: "read", "change" or both.
        what: &'static str,
    },
    /// The content is not what was expected.
    #[error("{path}:{line}: expected 32 bytes in base64, 44 characters, as `mesherctl network init` writes them; {found}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, without the content.
        found: String,
    },
}

/// Reads a file of one secret, such as the network's private key. Checks its mode first.
pub fn read_secret(path: &Path) -> Result<SecretBytes, SecretError> {
    let mut secrets = read_secrets(path, Check::Mode)?;
    if secrets.len() > 1 {
        let found = format!("found {} of them", secrets.len());
        return Err(SecretError::Content { path: path.to_owned(), line: 1, found });
    }
    Ok(secrets.remove(0))
}

/// Whether [`read_secrets`] looks at the file's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Yes: a file that an operator made.
    Mode,
    /// No: a systemd credential. The service manager sets its mode, and the directory lets nobody else in.
    Credential,
}

/// Reads a file of one to [`MAX_SECRETS`] secrets, one a line, blank lines and `#` comments aside. The first is
/// the one to seal with.
pub fn read_secrets(path: &Path, check: Check) -> Result<Vec<SecretBytes>, SecretError> {
    let read_error = |error| SecretError::Read { path: path.to_owned(), error };
    let file = File::open(path).map_err(read_error)?;
    let metadata = file.metadata().map_err(read_error)?;
    if !metadata.is_file() {
        return Err(SecretError::NotAFile { path: path.to_owned() });
    }
    if check == Check::Mode {
        check_mode(path, &metadata)?;
    }
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_LEN as usize));
    file.take(MAX_FILE_LEN).read_to_string(&mut text).map_err(read_error)?;
    parse_secrets(path, &text)
}

/// Refuses a file that its group may change, or that others may read or change.
///
/// Reading is left to the group where the owner is root, so that `root:data-mesher 0640` serves a daemon that
/// does not run as root; otherwise the file must be the owner's alone.
fn check_mode(path: &Path, metadata: &std::fs::Metadata) -> Result<(), SecretError> {
    let mode = metadata.permissions().mode() & 0o7777;
    let expected = if metadata.uid() == 0 && metadata.gid() != 0 { 0o640 } else { 0o600 };
    let extra = mode & 0o777 & !expected & !0o100;
    let what = match (extra & 0o044 != 0, extra & 0o033 != 0) {
        (false, false) => return Ok(()),
        (true, false) => "read",
        (false, true) => "change",
        (true, true) => "read and change",
    };
    Err(SecretError::TooOpen { path: path.to_owned(), mode, expected, what })
}

/// The secrets in a file's text, as [`read_secrets`]. `path` is what errors are to name.
///
/// # Errors
///
/// When the text is not that of such a file.
pub fn parse_secrets(path: &Path, text: &str) -> Result<Vec<SecretBytes>, SecretError> {
    let wrong = |line, found: String| SecretError::Content { path: path.to_owned(), line, found };
    let mut secrets = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bytes = BASE64.decode(line.as_bytes()).map(Zeroizing::new).map_err(|_| {
            wrong(line_number, format!("found {} characters that are not", line.chars().count()))
        })?;
        let length = bytes.len();
        let bytes: [u8; 32] =
            bytes.as_slice().try_into().map_err(|_| wrong(line_number, format!("found {length} bytes")))?;
        if secrets.len() == MAX_SECRETS {
            return Err(wrong(line_number, format!("found more than {MAX_SECRETS} of them")));
        }
        secrets.push(SecretBytes::new(bytes));
    }
    if secrets.is_empty() {
        return Err(wrong(1, "found nothing".to_owned()));
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    fn file(mode: u32, text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("network.secret");
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).unwrap();
        io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let secret = SecretBytes::new([7; 32]);
        let (_dir, path) = file(0o600, &secret.to_file_text());
        assert_eq!(read_secret(&path).unwrap(), secret);
        assert_eq!(secret.to_file_text().len(), 45);
    }

    #[test]
    fn several_lines_are_for_rotation_and_the_order_is_kept() {
        let lines = [[1; 32], [2; 32]].map(|b| SecretBytes::new(b).to_file_text().to_string());
        let (_dir, path) = file(0o600, &format!("# new\n{}\n{}", lines[0], lines[1]));
        let secrets = read_secrets(&path, Check::Mode).unwrap();
        assert_eq!(secrets.iter().map(|s| s.expose()[0]).collect::<Vec<_>>(), [1, 2]);
        assert!(matches!(read_secret(&path), Err(SecretError::Content { .. })));
        let (_dir, path) = file(0o600, &lines[0].repeat(MAX_SECRETS + 1));
        assert!(matches!(read_secrets(&path, Check::Mode), Err(SecretError::Content { line: 5, .. })));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_command_to_run() {
        let text = SecretBytes::new([7; 32]).to_file_text();
        for mode in [0o604, 0o644, 0o602, 0o620, 0o660, 0o666] {
            let (_dir, path) = file(mode, &text);
            let error = read_secret(&path).unwrap_err();
            assert!(matches!(error, SecretError::TooOpen { .. }), "{mode:o}: {error}");
            assert!(error.to_string().contains("run: chmod 06"), "{error}");
            assert_eq!(read_secrets(&path, Check::Credential).unwrap().len(), 1);
        }
        for mode in [0o600, 0o400] {
            let (_dir, path) = file(mode, &text);
            read_secret(&path).unwrap();
        }
    }

    #[test]
    fn no_error_holds_any_part_of_the_secret() {
        let good = SecretBytes::new([0xA5; 32]).to_file_text();
        let bad = good.trim_end().replace('=', "!");
        let (_dir, path) = file(0o600, &bad);
        let error = read_secret(&path).unwrap_err();
        let shown = format!("{error} {error:?} {:?}", SecretBytes::new([0xA5; 32]));
        assert!(!shown.contains(&bad[..8]), "{shown}");
        assert!(!shown.contains("165"), "{shown}");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in ["", "\n", "none\n", "AAAA\n", "# only a comment\n"] {
            let (_dir, path) = file(0o600, text);
            assert!(matches!(read_secret(&path), Err(SecretError::Content { .. })), "{text:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read_secret(dir.path()), Err(SecretError::NotAFile { .. })));
        assert!(matches!(read_secret(&dir.path().join("absent")), Err(SecretError::Read { .. })));
    }
}
