//! What can go wrong, and the exit status that tells a script.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mesher_config::LoadError;
use mesher_config::secret::SecretError;
use mesher_control::{ClientError, Error};

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The daemon could not be asked, or said no.
    #[error(transparent)]
    Control(#[from] ClientError),
    /// The configuration is wrong. What is wrong has been shown.
    #[error("{0}")]
    Config(String),
    /// A secret file cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A file could not be read or written.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// A file that was named is not this user's to read, in words.
    #[error("{0}")]
    Denied(String),
    /// Everything else, in words.
    #[error("{0}")]
    Other(String),
    /// Whoever reads the output has gone away: nobody is left to be told.
    #[error("")]
    OutputClosed,
}

/// The exit statuses, as `mesherctl --help` lists them.
impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Control(ClientError::Connect { .. } | ClientError::Io { .. }) => 3,
            Self::Control(ClientError::PermissionDenied) | Self::Denied(_) => 4,
            Self::Secret(SecretError::Read { error, .. }) | Self::File { error, .. }
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                4
            }
            // EX_CONFIG of sysexits.h: what the daemon ends with, too.
            Self::Config(_) | Self::Control(ClientError::Daemon(Error::ReloadFailed { .. })) => 78,
            Self::Control(ClientError::Daemon(_) | ClientError::Unknown(_)) => 1,
            Self::Secret(_) | Self::File { .. } | Self::Other(_) => 1,
            Self::OutputClosed => 0,
        })
    }

    /// For a file that could not be read or written.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { path, error }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Read { path, error } if error.kind() == io::ErrorKind::PermissionDenied => {
                Self::File { path, error }
            }
            error => Self::Config(error.to_string()),
        }
    }
}

/// Only standard output is written without a path at hand.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Other(format!("cannot write the output: {error}")),
        }
    }
}
