//! The host's private key: made once, never overwritten.

use std::io;
use std::path::{Path, PathBuf};

use mesher_claims::keys::SecretKey;
use mesher_config::secret::{Check, SecretError, read_secrets};

use super::framed;

/// The key's file in the state directory.
pub(super) const FILE: &str = "host.key";

/// Why there is no host key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is a file, and it is no good.
    #[error(
        "{0}\nThe key is this host's identity and is never overwritten. Restore it, or move the file away to start as a new host: its names then pass to whoever waits for them"
    )]
    Unusable(SecretError),
    /// A new one could not be written.
    #[error("{path}: the host's key could not be made: {error}", path = path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
}

/// The key in `path`, or a new one from `seed`, which is on disk when this returns.
///
/// # Errors
/// When the file is there and is no key or may be read by others, or a new one cannot be written.
pub(super) fn load_or_create(path: &Path, seed: impl FnOnce() -> [u8; 32]) -> Result<SecretKey, KeyError> {
    if !path.try_exists().map_err(|error| KeyError::Create { path: path.to_owned(), error })? {
        create(path, &SecretKey::from_seed(&seed()))
            .map_err(|error| KeyError::Create { path: path.to_owned(), error })?;
    } else {
        finish(path).map_err(|error| KeyError::Create { path: path.to_owned(), error })?;
    }
    let secrets = read_secrets(path, Check::Mode).map_err(KeyError::Unusable)?;
    Ok(SecretKey::from_seed(secrets[0].expose()))
}

/// Written beside it, synchronised and then linked: a link never replaces a file, and a crash leaves no half key.
fn create(path: &Path, key: &SecretKey) -> io::Result<()> {
    let beside = path.with_extension("key.new");
    framed::write_and_sync(&beside, &[key.to_file_text().as_bytes()])?;
    let linked = match std::fs::hard_link(&beside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    framed::sync_directory_of(path)?;
    std::fs::remove_file(&beside)?;
    linked
}

/// Does what a daemon that died after linking left undone: the key's name is on disk, and no second copy stays behind.
fn finish(path: &Path) -> io::Result<()> {
    let beside = path.with_extension("key.new");
    if !beside.try_exists()? {
        return Ok(());
    }
    framed::sync_directory_of(path)?;
    std::fs::remove_file(&beside)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let first = load_or_create(&path, || [1; 32]).unwrap().host_key();
        let again = load_or_create(&path, || unreachable!("a key is there")).unwrap().host_key();
        assert_eq!(first, again);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        std::fs::write(&path, "").unwrap();
        assert!(matches!(load_or_create(&path, || [2; 32]), Err(KeyError::Unusable(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_what_to_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        load_or_create(&path, || [1; 32]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = load_or_create(&path, || [2; 32]).unwrap_err().to_string();
        assert!(error.contains("chmod"), "{error}");
    }
}
