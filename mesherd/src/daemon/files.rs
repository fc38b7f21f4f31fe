//! The files that the operator gives: configuration, secrets, settings, certificate. Read and checked together, at the start
//! and on every reload.

use std::path::Path;

use mesher_claims::record::{CertificateBody, SettingsBody, Signed};
use mesher_config::{Config, certificate, settings};

use crate::cli::{Failure, Options};
use crate::gossip::Secrets;
use crate::systemd::credentials;

/// The credential with this host's certificate.
const CERTIFICATE: &str = "host.cert";

/// All of them, each verified.
pub(super) struct Files {
    pub(super) config: Config,
    pub(super) secrets: Secrets,
    pub(super) settings: Option<Signed<SettingsBody>>,
    /// Or why there is none: the other parts are of use without it.
    pub(super) certificate: Result<Option<Signed<CertificateBody>>, Failure>,
}

impl Files {
    /// Reads all of them.
    ///
    /// # Errors
    /// When one of them but the certificate is missing or wrong, with what the operator is to do.
    pub(super) fn read(options: &Options) -> Result<Self, Failure> {
        let config = load_config(options)?;
        let secrets = load_secrets(&config)?;
        let settings = load_settings(&config)?;
        let certificate = load_certificate(&config);
        Ok(Self { config, secrets, settings, certificate })
    }
}

/// Reads the configuration; the host's label defaults to the machine's name up to its first dot.
fn load_config(options: &Options) -> Result<Config, Failure> {
    let host_name = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
    let label = host_name.split('.').next().unwrap_or_default();
    Config::load(&options.config, label).map_err(|error| Failure::Config(error.to_string()))
}

fn load_secrets(config: &Config) -> Result<Secrets, Failure> {
    let directory = credentials::directory();
    let secrets = credentials::network_secrets(directory.as_deref(), &config.network.secret_file)
        .map_err(|error| Failure::Config(error.to_string()))?;
    Secrets::new(secrets.iter().map(|secret| *secret.expose())).ok_or_else(|| {
        Failure::Config(format!("{}: it holds no secret", config.network.secret_file.display()))
    })
}

/// The settings file, if one is configured: verified, so that a wrong file is found here and not by the peers.
fn load_settings(config: &Config) -> Result<Option<Signed<SettingsBody>>, Failure> {
    let Some(path) = &config.network.settings_file else { return Ok(None) };
    settings::read(path, &config.network.id).map(Some).map_err(|error| Failure::Config(error.to_string()))
}

/// This host's certificate: from its file and from the credential `host.cert`, of both the one signed later. `None` if there
/// is neither.
pub(super) fn load_certificate(config: &Config) -> Result<Option<Signed<CertificateBody>>, Failure> {
    let directory = credentials::directory();
    let file = Some(config.host.certificate_file.clone()).filter(|file| is_there(file));
    let credential = credentials::find(directory.as_deref(), CERTIFICATE)
        .map_err(|error| Failure::Config(format!("the credential {CERTIFICATE}: {error}")))?;
    let mut newest: Option<Signed<CertificateBody>> = None;
    for path in file.iter().chain(&credential) {
        let found = certificate::read(path, &config.network.id)
            .map_err(|error| Failure::Config(error.to_string()))?;
        if newest.as_ref().is_none_or(|newest| found.serial > newest.serial) {
            newest = Some(found);
        }
    }
    Ok(newest)
}

/// A file that is there and cannot be read is a fault to be told, not an absent one.
fn is_there(path: &Path) -> bool {
    !matches!(path.metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}
