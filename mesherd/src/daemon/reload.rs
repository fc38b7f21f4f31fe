//! Reload: what of a changed configuration takes effect at once, and what does not.

use mesher_claims::node::NodeConfig;
use mesher_claims::record::{CertificateBody, SettingsBody, Signed};
use mesher_config::Config;
use mesher_control::SecretText;

use super::files::Files;
use super::{Daemon, addresses, certificate, clock, start};
use crate::cli::Failure;
use crate::exports::Names;
use crate::interfaces::Selection;
use crate::systemd::{events, journal, logging};

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reloaded {
    /// Keys that took effect.
    pub(super) changed: Vec<String>,
    /// Keys that take effect with a restart.
    pub(super) needs_restart: Vec<String>,
    /// What is right and of no use all the same, each in a sentence.
    pub(super) warnings: Vec<String>,
}

impl Daemon {
    /// Reads configuration, secrets, settings and certificate again. Nothing is taken over unless all of it is good. `secrets` is
    /// the text of the secrets' file, where the caller may read it and the daemon may not.
    ///
    /// # Errors
    /// When something is wrong with it; everything stays as it was.
    pub(super) async fn reload(&mut self, secrets: Option<SecretText>) -> Result<Reloaded, Failure> {
        self.notifier.reloading();
        let outcome = self.try_reload(secrets).await;
        match &outcome {
            Ok(reloaded) => {
                let restart = if reloaded.needs_restart.is_empty() {
                    String::new()
                } else {
                    format!("; {} take effect with a restart", reloaded.needs_restart.join(", "))
                };
                let what = if reloaded.changed.is_empty() {
                    "nothing changed".into()
                } else {
                    reloaded.changed.join(", ")
                };
                journal::event(events::RELOADED)
                    .log(format_args!("reloaded {}: {what}{restart}", self.options.config.display()));
            }
            Err(failure) => journal::event(events::RELOAD_REFUSED).log(format_args!(
                "reload refused, the configuration stays as it was: {}",
                failure.message()
            )),
        }
        self.notifier.ready(&self.sentence());
        outcome
    }

    async fn try_reload(&mut self, secrets: Option<SecretText>) -> Result<Reloaded, Failure> {
        let Files { config, secrets, settings, certificate } =
            Files::read_again(&self.options, secrets.as_ref())?;
        let certificate = certificate?;
        if let Some(certificate) = &certificate {
            certificate::check_for(&self.node.me(), certificate.clone()).map_err(Failure::Config)?;
        }
        let needs_restart: Vec<String> =
            self.config.needs_restart(&config).into_iter().map(str::to_owned).collect();
        let mut changed = changes(&self.config, &config);
        logging::set_level(config.log_level.into());
        // What needs a restart stays as it is in the running daemon.
        let mut config = config;
        config.network.id = self.config.network.id;
        config.host.label.clone_from(&self.config.host.label);
        config.cluster.port = self.config.cluster.port;
        config.cluster.bind = self.config.cluster.bind;
        config.cluster.gossip_interval = self.config.cluster.gossip_interval;
        self.config = config;
        if let Some(secrets) = secrets {
            if self.secrets_changed(&secrets) {
                note(&mut changed, "network.secret_file");
            }
            self.gossip.set_secrets(secrets).await;
        } else {
            log::info!(
                "the network secrets stay as they are: the service has them from its start, as a credential. New ones come with \
                 `systemctl reload data-mesher` or `mesherctl reload`, as root"
            );
        }
        self.gossip.set_bootstrap(start::bootstrap(&self.config, &self.contacts));
        self.reconfigure_exports();
        self.selection.send_replace(Selection::from(&self.config.host));
        let revision = self.node.settings().map(|settings| settings.revision);
        let mut warnings = Vec::new();
        if let Some(settings) = settings {
            if revision.is_none_or(|revision| settings.revision > revision) {
                note(&mut changed, "network.settings_file");
            }
            warnings.extend(self.bring_settings(settings));
        }
        for warning in &warnings {
            log::warn!("{warning}");
        }
        self.apply_node_config();
        let serial = self.certificate().map(|certificate| certificate.serial);
        if certificate.as_ref().is_some_and(|new| serial.is_none_or(|serial| new.serial > serial)) {
            note(&mut changed, "host.certificate_file");
        }
        self.take_certificate(certificate);
        Ok(Reloaded { changed, needs_restart, warnings })
    }

    /// Other exports are wanted from now on, and with what there is to say.
    fn reconfigure_exports(&mut self) {
        self.exporter.configure(self.config.exports.clone());
        self.metrics_exported = None;
        if let (true, Some(settings)) = (self.exporter.wants_names(), self.node.settings()) {
            let contents = self.publisher.contents().clone();
            self.exporter.names(Names { domain: settings.domain.clone(), contents });
        }
    }

    /// Hands the node what configuration, run-time claims and addresses come to by now.
    pub(super) fn apply_node_config(&mut self) {
        let certificate = self.node.config().certificate.clone();
        self.apply_node_config_with(certificate);
    }

    /// Hands the node a certificate.
    pub(super) fn apply_certificate(&mut self, certificate: Signed<CertificateBody>) {
        self.apply_node_config_with(Some(certificate));
    }

    /// Brings in settings of this machine's own file. What is to be said, if they are not those that count.
    pub(super) fn bring_settings(&mut self, settings: Signed<SettingsBody>) -> Option<String> {
        let (revision, file) =
            (settings.revision, self.config.network.settings_file.clone().unwrap_or_default());
        let have = self.node.settings().cloned();
        self.node.bring_settings(clock::now(), settings.clone());
        match have {
            Some(have) if have.revision > revision => Some(format!(
                "{}: its settings are of revision {revision}, and the network is at revision {}: they are not used",
                file.display(),
                have.revision
            )),
            Some(have) if have.revision == revision && have != settings => Some(format!(
                "{}: the network has other settings of the same revision {revision}: they were signed twice. Every machine keeps \
                 the same ones of the two; sign a higher revision with: mesherctl network set",
                file.display()
            )),
            _ => None,
        }
    }

    fn apply_node_config_with(&mut self, certificate: Option<Signed<CertificateBody>>) {
        let names = self.config.host.names.iter().chain(&self.extra_names).map(|name| (name.clone(), None));
        let config = NodeConfig {
            label: self.config.host.label.clone(),
            names: names.collect(),
            addresses: addresses::announced(&self.snapshot),
            join_timeout_ms: u64::try_from(self.config.cluster.join_timeout.as_millis()).unwrap_or(u64::MAX),
            has_peers: start::has_peers(&self.config, &self.contacts, self.bound, &self.snapshot)
                || self.node.config().has_peers,
            certificate,
        };
        self.node.set_config(clock::now(), config);
    }
}

/// Adds a key whose file has a new content, if it is not in the list for its new path.
fn note(changed: &mut Vec<String>, key: &str) {
    if !changed.iter().any(|there| there == key) {
        changed.push(key.to_owned());
    }
}

/// The keys in which the new configuration differs and that take effect at once.
fn changes(old: &Config, new: &Config) -> Vec<String> {
    let differences = [
        ("log_level", old.log_level != new.log_level),
        ("network.secret_file", old.network.secret_file != new.network.secret_file),
        ("network.settings_file", old.network.settings_file != new.network.settings_file),
        ("host.names", old.host.names != new.host.names),
        ("host.interfaces", old.host.interfaces != new.host.interfaces),
        ("host.addresses", old.host.addresses != new.host.addresses),
        ("host.certificate_file", old.host.certificate_file != new.host.certificate_file),
        ("host.link_local", old.host.link_local != new.host.link_local),
        ("cluster.bootstrap_nodes", old.cluster.bootstrap_nodes != new.cluster.bootstrap_nodes),
        ("cluster.join_timeout", old.cluster.join_timeout != new.cluster.join_timeout),
        ("nss", old.nss != new.nss),
        ("exports", old.exports != new.exports),
    ];
    differences.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}
