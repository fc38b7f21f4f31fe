//! The errors of the interface.

use serde::{Deserialize, Serialize};

/// What the daemon answers when it cannot do what was asked. On the wire an object with `error`, the full name, and
/// `parameters`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(test, derive(zlink::introspect::ReplyError))]
#[serde(tag = "error", content = "parameters")]
pub enum Error {
    /// The daemon cannot answer yet, or no more.
    #[error("the daemon is not ready: {reason}")]
    #[serde(rename = "org.datamesher.mesherd.NotReady")]
    NotReady {
        /// Why.
        reason: String,
    },
    /// The name is not one that can be claimed here.
    #[error("'{name}' is not a valid name: {reason}")]
    #[serde(rename = "org.datamesher.mesherd.InvalidName")]
    InvalidName {
        /// The name as it was given.
        name: String,
        /// The rule it breaks.
        reason: String,
    },
    /// Nobody claims such a name.
    #[error("nobody in the network claims '{name}'")]
    #[serde(rename = "org.datamesher.mesherd.UnknownName")]
    UnknownName {
        /// The full name.
        name: String,
    },
    /// This machine does not claim the name, or does by its configuration.
    #[error("'{name}' cannot be released: {reason}")]
    #[serde(rename = "org.datamesher.mesherd.NotClaimed")]
    NotClaimed {
        /// The full name.
        name: String,
        /// Which of the two.
        reason: String,
    },
    /// This machine claims the name already.
    #[error("this machine claims '{name}' already")]
    #[serde(rename = "org.datamesher.mesherd.AlreadyClaimed")]
    AlreadyClaimed {
        /// The full name.
        name: String,
    },
    /// The configuration file is wrong. The one before stays in force.
    #[error("the configuration was not taken, the one before stays in force:\n{}", problems.join("\n"))]
    #[serde(rename = "org.datamesher.mesherd.ReloadFailed")]
    ReloadFailed {
        /// One entry for each problem, with file, line and key.
        problems: Vec<String>,
    },
    /// No such log level.
    #[error("'{level}' is no log level; expected error, warn, info, debug or trace")]
    #[serde(rename = "org.datamesher.mesherd.InvalidLogLevel")]
    InvalidLogLevel {
        /// As it was given.
        level: String,
    },
    /// The caller is over a limit.
    #[error("over a limit: {limit}")]
    #[serde(rename = "org.datamesher.mesherd.TooMany")]
    TooMany {
        /// Which.
        limit: String,
    },
    /// The request is right, and could not be carried out.
    #[error("{reason}")]
    #[serde(rename = "org.datamesher.mesherd.Failed")]
    Failed {
        /// Why.
        reason: String,
    },
}
