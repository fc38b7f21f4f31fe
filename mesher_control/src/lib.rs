//! The control socket as both ends see it: the Varlink interface and its types.
//!
//! [`INTERFACE_TEXT`] is the interface file, `org.datamesher.mesherd.varlink`, the authority and the documentation; a test
//! holds the types of this crate to it. The daemon answers [`Call`]s with the types of [`types`] and [`Error`]; the control
//! tool makes them with [`Client`].

mod call;
mod client;
mod error;
pub mod types;

pub use call::{BadCall, Call, SecretText};
pub use client::{Client, ClientError, Stream};
pub use error::Error;

/// The interface's name.
pub const INTERFACE: &str = "org.datamesher.mesherd";

/// The interface file, as `GetInterfaceDescription` returns it.
pub const INTERFACE_TEXT: &str = include_str!("../org.datamesher.mesherd.varlink");

/// Where the control socket is, unless `--socket` or `--runtime-dir` says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/data-mesher/mesherd.sock";

/// The socket's name in the runtime directory.
pub const SOCKET_NAME: &str = "mesherd.sock";

#[cfg(test)]
mod interface_test;
