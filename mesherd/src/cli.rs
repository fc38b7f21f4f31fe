//! The daemon's command line and its exit codes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// The configuration or the command line is wrong (sysexits.h `EX_CONFIG`): starting again will not help, and the unit does not.
pub const EXIT_CONFIG: u8 = 78;

/// Claims host names, settles with the other machines of the network who holds which, and keeps the hosts table from which
/// libnss_mesher.so.2 answers every program's lookups.
///
/// Normally started by systemd: systemctl start data-mesher.socket
#[derive(Debug, Clone, Parser)]
#[command(
    name = "mesherd",
    version,
    after_help = "\
Exit codes: 0 stopped in good order, 1 something failed that may pass, 78 the configuration or the command line is wrong.

Signals: SIGHUP reads the configuration again, SIGTERM and SIGINT stop in good order.

Files: /etc/data-mesher/config.toml, /var/lib/data-mesher/, /run/data-mesher/hosts.table, /run/data-mesher/mesherd.sock"
)]
pub struct Options {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = mesher_config::DEFAULT_CONFIG_FILE)]
    pub config: PathBuf,
    /// Where the host's key and what it knows is kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/data-mesher")]
    pub state_dir: PathBuf,
    /// Where the hosts table and the control socket are
    #[arg(long, value_name = "DIR", default_value = "/run/data-mesher")]
    pub runtime_dir: PathBuf,
}

impl Options {
    /// With whole paths: whoever is told of one, by the control socket, is somewhere else.
    #[must_use]
    pub fn in_full(self) -> Self {
        let whole = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        Self {
            config: whole(self.config),
            state_dir: whole(self.state_dir),
            runtime_dir: whole(self.runtime_dir),
        }
    }
}

/// Why the daemon ended before it was told to.
#[derive(Debug)]
pub enum Failure {
    /// The operator must change something first.
    Config(String),
    /// Something failed that may pass.
    Other(String),
}

impl Failure {
    /// What went wrong, for the journal or the terminal.
    pub fn message(&self) -> &str {
        match self {
            Self::Config(message) | Self::Other(message) => message,
        }
    }

    /// The exit code that says it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(EXIT_CONFIG),
            Self::Other(_) => ExitCode::FAILURE,
        }
    }
}
