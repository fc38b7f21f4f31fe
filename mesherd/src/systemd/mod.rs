//! What the daemon takes from systemd and tells it: sockets, credentials, readiness, the watchdog, the journal.
//!
//! Everything here also works without systemd: no sockets are inherited, nobody is notified, messages go to
//! standard error.

pub mod credentials;
pub mod events;
pub mod journal;
pub mod logging;
pub mod notify;
pub mod rate_limit;
pub mod sockets;
pub mod watchdog;
