//! Credentials that systemd passes to the service (systemd.exec(5), `LoadCredential=`), and the network secret, which
//! may come from there or from a file.

use std::io;
use std::path::{Path, PathBuf};

use mesher_config::secret::{Check, SecretBytes, SecretError, read_secrets};
use zeroize::Zeroizing;

/// The content of a credential that stands for none: the unit sets it, because `LoadCredential=` without a file and
/// without a fallback keeps the service from starting at all.
pub const NO_CREDENTIAL: &str = "none";

/// The name of the credential with the network secret.
pub const NETWORK_SECRET: &str = "network.secret";

/// The directory with this service's credentials: `$CREDENTIALS_DIRECTORY`.
pub fn directory() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

/// The path of the credential `name` in `directory`, if there is one: an absent file, and the content `none`, are none.
///
/// # Errors
///
/// When the file is there and cannot be read.
pub fn find(directory: Option<&Path>, name: &str) -> io::Result<Option<PathBuf>> {
    let Some(path) = directory.map(|directory| directory.join(name)) else { return Ok(None) };
    match std::fs::read(&path).map(Zeroizing::new) {
        Ok(content) if content.trim_ascii() == NO_CREDENTIAL.as_bytes() => Ok(None),
        Ok(_) => Ok(Some(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The network's secrets, the one to seal with first: from the credential `network.secret` in `directory` if there is one,
/// else from `secret_file`, whose mode is checked.
///
/// # Errors
///
/// When the one that counts cannot be read or is not a secret. A broken credential does not fall back to the file: the
/// operator would not notice.
pub fn network_secrets(
    directory: Option<&Path>,
    secret_file: &Path,
) -> Result<Vec<SecretBytes>, SecretError> {
    let found = find(directory, NETWORK_SECRET).map_err(|error| SecretError::Read {
        path: directory.unwrap_or(Path::new("")).join(NETWORK_SECRET),
        error,
    })?;
    match found {
        Some(credential) => read_secrets(&credential, Check::Credential),
        None => read_secrets(secret_file, Check::Mode),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_credential_wins_over_the_file_and_none_is_no_credential() {
        let dir = tempfile::tempdir().unwrap();
        let (credential, file) = (dir.path().join(NETWORK_SECRET), dir.path().join("file"));
        let text = |byte| SecretBytes::new([byte; 32]).to_file_text();
        write(&file, &text(2), 0o600);
        let first = || network_secrets(Some(dir.path()), &file).map(|secrets| secrets[0].expose()[0]);

        assert_eq!(network_secrets(None, &file).unwrap().len(), 1);
        assert_eq!(first().unwrap(), 2);
        write(&credential, "none\n", 0o440);
        assert_eq!(first().unwrap(), 2);
        // systemd's own mode is 0440 or 0400; it is not the operator's to mend, so it is not checked.
        write(&credential, &text(1), 0o444);
        assert_eq!(first().unwrap(), 1);
        write(&credential, "garbage", 0o440);
        assert!(matches!(first(), Err(SecretError::Content { .. })));
    }
}
