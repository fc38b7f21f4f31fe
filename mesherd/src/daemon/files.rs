//! The files that the operator gives: configuration, secrets, settings, certificate. Read and checked together, at the start
//! and on every reload.

use std::path::Path;

use mesher_claims::record::{CertificateBody, SettingsBody, Signed};
use mesher_config::secret::SecretBytes;
use mesher_config::{Config, certificate, settings};
use mesher_control::SecretText;

use crate::cli::{Failure, Options};
use crate::gossip::Secrets;
use crate::systemd::credentials;

/// The credential with this host's certificate.
const CERTIFICATE: &str = "host.cert";

/// All of them, each verified.
pub(super) struct Files {
    pub(super) config: Config,
    /// None: those in force stay, because the daemon cannot see whether there are others.
    pub(super) secrets: Option<Secrets>,
    pub(super) settings: Option<Signed<SettingsBody>>,
    /// Or why there is none: the other parts are of use without it.
    pub(super) certificate: Result<Option<Signed<CertificateBody>>, Failure>,
}

impl Files {
    /// Reads all of them for the start.
    ///
    /// # Errors
    /// When one of them but the certificate is missing or wrong, with what the operator is to do.
    pub(super) fn read(options: &Options) -> Result<Self, Failure> {
        let config = load_config(options)?;
        let secrets = Some(load_secrets(&config)?);
        Self::read_others(config, secrets)
    }

    /// Reads all of them for a reload. `secrets` is the text of the secrets' file from a caller who may read it. Without it, and
    /// with a credential from the service's start, the secrets stay: systemd does not renew a credential, so it would take back
    /// what an earlier reload brought.
    ///
    /// # Errors
    /// As [`Files::read`].
    pub(super) fn read_again(options: &Options, secrets: Option<&SecretText>) -> Result<Self, Failure> {
        let config = load_config(options)?;
        let from_credential = || {
            let found = credentials::find(credentials::directory().as_deref(), credentials::NETWORK_SECRET);
            !matches!(found, Ok(None))
        };
        let secrets = match secrets {
            Some(text) => Some(parse_secrets(&config.network.secret_file, text)?),
            None if from_credential() => None,
            None => Some(load_secrets(&config)?),
        };
        Self::read_others(config, secrets)
    }

    fn read_others(config: Config, secrets: Option<Secrets>) -> Result<Self, Failure> {
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
        .map_err(|error| Failure::Config(format!("network.secret_file: {error}")))?;
    to_seal_with(&config.network.secret_file, &secrets)
}

fn parse_secrets(file: &Path, text: &SecretText) -> Result<Secrets, Failure> {
    let secrets = mesher_config::secret::parse_secrets(file, text.expose())
        .map_err(|error| Failure::Config(format!("network.secret_file: {error}")))?;
    to_seal_with(file, &secrets)
}

fn to_seal_with(file: &Path, secrets: &[SecretBytes]) -> Result<Secrets, Failure> {
    Secrets::new(secrets.iter().map(SecretBytes::expose))
        .ok_or_else(|| Failure::Config(format!("{}: it holds no secret", file.display())))
}

/// The settings file, if one is configured: verified, so that a wrong file is found here and not by the peers.
fn load_settings(config: &Config) -> Result<Option<Signed<SettingsBody>>, Failure> {
    let Some(path) = &config.network.settings_file else { return Ok(None) };
    let read = settings::read(path, &config.network.id).map(Some);
    read.map_err(|error| Failure::Config(format!("network.settings_file: {error}")))
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
