//! The control socket: Varlink (varlink.org) on a Unix stream socket, the interface `org.datamesher.mesherd`.
//!
//! The server knows nothing of the daemon. It turns what callers send into [`Request`]s on a channel, and the typed
//! answers, which come back on a channel of their own, into replies. `docs/control.md` is the page for operators.
//!
//! The messages are those of the crate `varlink`. Connections are kept here and not by a crate's server, because none
//! holds against callers who mean harm: what one caller does (opens a thousand connections, sends half a request, does
//! not read its replies) must cost no other caller more than a moment, and the daemon no more than a few megabytes.

mod access;
mod connection;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod listener;
mod protocol;
mod registry;
mod request;
mod server;

pub use access::{AccessPolicy, Caller};
pub use listener::{BindError, bind};
pub use request::{Asked, Request, Responder};
pub use server::{Limits, Server};
