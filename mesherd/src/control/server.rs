//! The accept loop.

use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use super::connection::{self, Connection};
use super::registry::{Place, Registry};
use super::{AccessPolicy, Caller, Request};
use crate::systemd::watchdog::Heartbeat;

/// After an `accept` that failed, as with no descriptor left, it is tried again this much later.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The most that callers can make the daemon hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections, all users together.
    pub connections: usize,
    /// Open connections of one user. Over it, its longest idle one is closed.
    pub connections_per_user: usize,
    /// Length of a request in bytes.
    pub request_len: usize,
    /// Time for a request to arrive whole, from its first byte on.
    pub request_time: Duration,
    /// Time for the daemon to answer.
    pub answer_time: Duration,
    /// Time for the caller to take a reply.
    pub reply_time: Duration,
    /// Bytes of replies that callers have not taken yet, all together. A reply that does not fit is not waited for: the
    /// connection is closed.
    pub reply_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_user: 256,
            request_len: 64 * 1024,
            request_time: Duration::from_secs(10),
            answer_time: Duration::from_secs(10),
            reply_time: Duration::from_secs(10),
            // One reply with a network's 100,000 names has some 20 MiB.
            reply_bytes: 64 * 1024 * 1024,
        }
    }
}

/// The control socket's server.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    requests: mpsc::Sender<Request>,
    policy: AccessPolicy,
    limits: Limits,
}

impl Server {
    /// Serves `listener`, which listens already; requests go to `requests`.
    ///
    /// # Errors
    ///
    /// When the listener cannot be used, or outside a tokio runtime.
    pub fn new(
        listener: StdUnixListener,
        requests: mpsc::Sender<Request>,
        policy: AccessPolicy,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        Ok(Self { listener, requests, policy, limits: Limits::default() })
    }

    /// With other limits than the default.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Serves for ever. `heartbeat` beats at `beat_interval` while connections are accepted.
    pub async fn run(self, heartbeat: Option<Heartbeat>, beat_interval: Option<Duration>) {
        let registry = Arc::new(Registry::new(self.limits.connections, self.limits.connections_per_user));
        let replies = Arc::new(Semaphore::new(connection::reply_permits(self.limits.reply_bytes)));
        let mut ticks = tokio::time::interval(beat_interval.unwrap_or(Duration::from_secs(3600)));
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.serve(stream, &registry, &replies),
                    Err(error) => {
                        log::warn!("cannot accept a control connection, trying again: {error}");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                },
                _ = ticks.tick() => if let Some(heartbeat) = &heartbeat { heartbeat.beat() },
            }
        }
    }

    fn serve(&self, stream: UnixStream, registry: &Arc<Registry>, replies: &Arc<Semaphore>) {
        let caller = match Caller::of(&stream) {
            Ok(caller) => caller,
            Err(error) => {
                log::warn!("cannot tell who is at a control connection, closing it: {error}");
                return;
            }
        };
        let may_change = self.policy.may_change(&caller);
        let place = registry.enter(caller.uid, may_change);
        let id = place.id();
        let connection = Connection {
            caller,
            may_change,
            requests: self.requests.clone(),
            replies: replies.clone(),
            limits: self.limits,
            place,
        };
        let task = tokio::spawn(connection.run(stream));
        Place::served_by(registry, id, task.abort_handle());
    }
}
