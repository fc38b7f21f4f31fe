//! The files that the operator gives: configuration, secrets, settings, certificate. Read and checked together, at the start
//! and on every reload.

use mesher_claims::keys::NetworkId;
use mesher_claims::record::{CertificateBody, Record, SettingsBody, Signed};
use mesher_config::{Config, settings};

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
    pub(super) certificate: Option<Signed<CertificateBody>>,
}

impl Files {
    /// Reads all of them.
    ///
    /// # Errors
    /// When one is missing or wrong, with what the operator is to do.
    pub(super) fn read(options: &Options) -> Result<Self, Failure> {
        let config = load_config(options)?;
        let secrets = load_secrets(&config)?;
        let settings = load_settings(&config)?;
        let certificate = load_certificate(&config.network.id)?;
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

/// This host's certificate, from the credential `host.cert`, if there is one.
fn load_certificate(network: &NetworkId) -> Result<Option<Signed<CertificateBody>>, Failure> {
    let directory = credentials::directory();
    let found = credentials::find(directory.as_deref(), CERTIFICATE)
        .map_err(|error| Failure::Config(error.to_string()))?;
    let Some(path) = found else { return Ok(None) };
    let refused = |why: String| {
        Failure::Config(format!("{}: {why}; expected a certificate of the network {network}", path.display()))
    };
    let text = std::fs::read_to_string(&path).map_err(|error| refused(error.to_string()))?;
    match Record::from_carrier(network, "cert", text.trim()) {
        Ok(Record::Certificate(certificate)) => Ok(Some(certificate)),
        Ok(_) => Err(refused("no certificate".into())),
        Err(refusal) => Err(refused(refusal.to_string())),
    }
}
