//! Telling the service manager how the daemon is (sd_notify(3)). Without one, every call does nothing.

use std::io;
use std::sync::Mutex;

use sd_notify::NotifyState;

/// The one who tells. Keeps the last status line, so that an unchanged one is not sent again.
#[derive(Debug, Default)]
pub struct Notifier {
    status: Mutex<String>,
}

impl Notifier {
    /// One that speaks to `$NOTIFY_SOCKET`, if there is one.
    pub fn new() -> Self {
        Self::default()
    }

    /// `READY=1`: the table is published and both sockets are served; also after a reload.
    pub fn ready(&self, status: &str) {
        self.remember(status);
        send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    }

    /// `STATUS=`: the sentence that `systemctl status` shows.
    pub fn status(&self, status: &str) {
        if self.remember(status) {
            send(&[NotifyState::Status(&one_line(status))]);
        }
    }

    /// `RELOADING=1` with the time it began, which `Type=notify-reload` waits for. [`Notifier::ready`] ends it.
    pub fn reloading(&self) {
        let reloading = |now| send(&[NotifyState::Reloading, now]);
        match NotifyState::monotonic_usec_now() {
            Ok(now) => reloading(now),
            Err(error) => log::debug!("cannot read the monotonic clock: {error}"),
        }
    }

    /// `STOPPING=1`.
    pub fn stopping(&self, status: &str) {
        self.remember(status);
        send(&[NotifyState::Stopping, NotifyState::Status(&one_line(status))]);
    }

    /// Whether the line is another than the last.
    fn remember(&self, status: &str) -> bool {
        let mut last = self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *last == status {
            return false;
        }
        status.clone_into(&mut last);
        true
    }
}

/// `WATCHDOG=1`.
pub(super) fn feed_watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// `WATCHDOG=trigger`: systemd acts as if the watchdog had run out.
pub(super) fn trigger_watchdog() {
    send(&[NotifyState::WatchdogTrigger]);
}

/// A line end in a value would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = try_send(states) {
        // The manager is restarting or gone. The daemon goes on; only someone who looks for it wants to know.
        log::debug!("cannot notify systemd: {error}");
    }
}

fn try_send(states: &[NotifyState<'_>]) -> io::Result<()> {
    sd_notify::notify(states)
}
