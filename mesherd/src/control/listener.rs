//! The control socket of a daemon started by hand. Under systemd it is inherited.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Why the socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another daemon answers there.
    #[error("{path}: another mesherd runs with this runtime directory; stop it, or give this one another --runtime-dir", path = path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// What is there is no socket, and is left alone.
    #[error("{path}: is in the way of the control socket, and is none; move it away", path = path.display())]
    InTheWay {
        /// What is there.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{path}: cannot make the control socket: {error}", path = path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Makes the control socket in `runtime_dir`, for everyone to connect to. A socket left behind by a daemon that is gone is
/// replaced; one that somebody answers on is not.
///
/// # Errors
///
/// When another daemon runs there, something else is in the way, or the directory cannot be written.
pub fn bind(runtime_dir: &Path) -> Result<UnixListener, BindError> {
    let path = runtime_dir.join(mesher_control::SOCKET_NAME);
    let failed = |error| BindError::Io { path: path.clone(), error };
    match std::fs::symlink_metadata(&path) {
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(BindError::InTheWay { path }),
        Ok(_) => match UnixStream::connect(&path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(&path).map_err(failed)?;
            }
            _ => return Err(BindError::InUse { path }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    // Not by the umask, which keeps others from everything else the daemon makes.
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let first = bind(dir.path()).unwrap();
        let path = dir.path().join("mesherd.sock");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert!(matches!(bind(dir.path()), Err(BindError::InUse { .. })));
        drop(first);
        let second = bind(dir.path()).unwrap();
        drop(second);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a file").unwrap();
        assert!(matches!(bind(dir.path()), Err(BindError::InTheWay { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a file");
        assert!(matches!(bind(&dir.path().join("absent")), Err(BindError::Io { .. })));
    }
}
