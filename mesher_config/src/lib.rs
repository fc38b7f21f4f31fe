//! The configuration file: its schema, its checks and the words of its errors.
//!
//! [`parse`] is a pure function from the file's text to a [`Config`] or to every [`Problem`] in it at once. Each
//! problem names the line, the key, what was expected and what was found. [`Config::load`] reads a file and
//! calls it. The page `docs/configuration.md` is written for the operator; a test holds its example to this code.
//!
//! [`secret`] reads the files that must not be open to others: the daemon and the control tool apply one rule.

pub mod certificate;
mod document;
mod duration;
mod parse;
mod problem;
mod reload;
mod schema;
pub mod secret;
pub mod settings;
mod signed_file;
mod value;
mod write;

pub use duration::{ParseDurationError, format_duration, parse_duration};
pub use parse::parse;
pub use problem::{LoadError, Problem, Problems};
pub use schema::{
    BootstrapNode, Cluster, Config, DEFAULT_CERTIFICATE_FILE, DEFAULT_CONFIG_FILE, DEFAULT_GOSSIP_INTERVAL,
    DEFAULT_JOIN_TIMEOUT, DEFAULT_PORT, DEFAULT_SECRET_FILE, Exports, Host, LogLevel, Network, Nss,
    UnknownLogLevel,
};
