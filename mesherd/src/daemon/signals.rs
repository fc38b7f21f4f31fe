//! The signals that tell the daemon to stop and to reload.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal told.
pub(super) enum Told {
    /// To stop; by which signal.
    Stop(&'static str),
    Reload,
}

/// The signals, caught from when this is made: one that comes before [`Signals::next`] is asked for waits for that.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// # Errors
    ///
    /// What the kernel says when no handler can be installed.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Told::Stop("SIGINT"),
            _ = self.hang_up.recv() => Told::Reload,
        }
    }
}
