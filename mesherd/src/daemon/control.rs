//! Requests on the control socket: who asks is settled by the server; here the daemon does what is asked.

use std::sync::Arc;

use log::LevelFilter;
use mesher_claims::names::ClaimName;
use mesher_config::LogLevel;
use mesher_control::types::{Claimed, LogLevelSet, Metrics, Names, Peers, Released, Reloaded, TableReply};
use mesher_control::{Error, SecretText};

use super::{Daemon, clock};
use crate::control::{Asked, Request};
use crate::systemd::{events, journal, logging};

impl Daemon {
    /// Answers one request. A caller that has gone needs no answer.
    pub(super) async fn answer(&mut self, request: Request) {
        match request.asked {
            Asked::Status(reply) => drop(reply.send(Ok(self.status().await))),
            Asked::Peers(reply) => drop(reply.send(Ok(Peers { peers: self.peers().await }))),
            Asked::Names(reply) => drop(reply.send(Ok(Names { names: self.names() }))),
            Asked::Explain { name, reply } => drop(reply.send(self.explain(&name))),
            Asked::Table(reply) => drop(reply.send(Ok(TableReply { table: self.table() }))),
            Asked::Metrics(reply) => drop(reply.send(Ok(Metrics { text: self.metrics().await }))),
            Asked::Watch(reply) => drop(reply.send(Ok(journal::watch()))),
            Asked::Reload { secrets, reply } => drop(reply.send(self.reload_for_caller(secrets).await)),
            Asked::Claim { name, reply } => drop(reply.send(self.claim(&name).await)),
            Asked::Release { name, reply } => drop(reply.send(self.release(&name).await)),
            Asked::SetLogLevel { level, reply } => drop(reply.send(set_log_level(&level))),
        }
    }

    async fn reload_for_caller(&mut self, secrets: Option<SecretText>) -> Result<Reloaded, Error> {
        let reloaded = self.reload(secrets).await.map_err(|failure| Error::ReloadFailed {
            problems: failure.message().lines().map(str::to_owned).collect(),
        })?;
        Ok(Reloaded {
            changed: reloaded.changed,
            needs_restart: reloaded.needs_restart,
            warnings: reloaded.warnings,
        })
    }

    async fn claim(&mut self, asked: &str) -> Result<Claimed, Error> {
        let (name, full) = self.parse_name(asked)?;
        if self.config.host.names.contains(&name) || self.extra_names.contains(&name) {
            return Err(Error::AlreadyClaimed { name: full });
        }
        self.extra_names.insert(name.clone());
        if let Err(error) = self.save_extra_names().await {
            self.extra_names.remove(&name);
            return Err(error);
        }
        self.apply_node_config();
        self.node.refresh_view(clock::now());
        let holder = self.node.view().holder(&name);
        let held = holder.is_some_and(|holder| holder.host == self.node.me());
        Ok(Claimed { name: full, holder: holder.map(|holder| holder.label.to_string()), held })
    }

    async fn release(&mut self, asked: &str) -> Result<Released, Error> {
        let (name, full) = self.parse_name(asked)?;
        if !self.extra_names.remove(&name) {
            let reason = if self.config.host.names.contains(&name) {
                format!(
                    "it stands in {}; remove it there and run mesherctl reload",
                    self.options.config.display()
                )
            } else {
                "this machine does not claim it".into()
            };
            return Err(Error::NotClaimed { name: full, reason });
        }
        if let Err(error) = self.save_extra_names().await {
            self.extra_names.insert(name);
            return Err(error);
        }
        self.apply_node_config();
        Ok(Released { name: full })
    }

    async fn save_extra_names(&self) -> Result<(), Error> {
        let (state, names) = (Arc::clone(&self.state), self.extra_names.clone());
        let saved = tokio::task::spawn_blocking(move || state.save_claims(&names)).await;
        saved.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(|error| Error::Failed {
            reason: format!("{}: the claim could not be saved: {error}", self.options.state_dir.display()),
        })
    }

    fn parse_name(&self, asked: &str) -> Result<(ClaimName, String), Error> {
        let settings = self.node.settings().ok_or_else(|| Error::NotReady {
            reason: "the network's settings have not arrived yet".into(),
        })?;
        let invalid = |reason: String| Error::InvalidName { name: asked.to_owned(), reason };
        let name = settings.domain.relative(asked).map_err(|error| invalid(error.to_string()))?;
        if !name.fits(&settings.domain) {
            return Err(invalid(format!("with the domain {} it is longer than 253 bytes", settings.domain)));
        }
        let full = name.under(&settings.domain);
        Ok((name, full))
    }
}

fn set_log_level(level: &str) -> Result<LogLevelSet, Error> {
    let new: LogLevel = level.parse().map_err(|_| Error::InvalidLogLevel { level: level.to_owned() })?;
    let previous = log::max_level().as_str().to_lowercase();
    logging::set_level(LevelFilter::from(new));
    journal::event(events::LOG_LEVEL_CHANGED).log(format_args!("log level {previous} → {}", new.as_str()));
    Ok(LogLevelSet { previous })
}
