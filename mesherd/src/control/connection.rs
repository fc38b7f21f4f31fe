//! One connection: requests in, one after the other, replies out.

use std::io;
use std::sync::Arc;

use mesher_control::types::Watched;
use mesher_control::{Call, Error};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::protocol::{self, What};
use super::registry::Place;
use super::request::in_words;
use super::{Asked, Caller, Limits, Request, Responder};
use crate::systemd::{events, journal};

/// Read at once. Small, because most requests are, and every waiting connection could hold one.
const READ_LEN: usize = 4096;

/// What a connection needs to be served.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) caller: Caller,
    pub(super) may_change: bool,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) replies: Arc<Semaphore>,
    pub(super) limits: Limits,
    pub(super) place: Place,
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The caller closed it, or it broke.
    Closed,
    /// The caller was too slow, too long or out of step.
    Dropped(&'static str),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// How many permits stand for `bytes` of replies: one a KiB.
pub(super) fn reply_permits(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

impl Connection {
    /// Serves the connection until the caller closes it or breaks a limit.
    pub(super) async fn run(self, stream: UnixStream) {
        let (read, mut write) = stream.into_split();
        let mut messages = Messages { read, buffer: Vec::new(), limits: self.limits };
        let end = loop {
            match self.serve_one(&mut messages, &mut write).await {
                Ok(()) => {}
                Err(end) => break end,
            }
        };
        if let End::Dropped(why) = end {
            log::debug!("control connection of {} closed: {why}", self.caller);
        }
    }

    async fn serve_one(&self, messages: &mut Messages, write: &mut OwnedWriteHalf) -> Result<(), End> {
        let message = messages.next().await?;
        self.place.set_busy(true);
        let result = match protocol::read(&message) {
            Err(reply) => {
                self.send(write, &reply).await?;
                return Err(End::Dropped("it sent what is no message"));
            }
            Ok(incoming) => match incoming.what {
                What::Call(Call::Watch {}) if incoming.more => self.watch(messages, write).await,
                What::Call(call) => {
                    let reply = self.answer(call).await;
                    if incoming.oneway { Ok(()) } else { self.send(write, &reply).await }
                }
                What::Answer(_) if incoming.oneway => Ok(()),
                What::Answer(reply) => self.send(write, &reply).await,
            },
        };
        self.place.set_busy(false);
        result
    }

    /// The reply to a call that has one.
    async fn answer(&self, call: Call) -> Vec<u8> {
        if !call.is_change() {
            return self.ask_for(call).await;
        }
        let words = in_words(&call);
        if !self.may_change {
            journal::event(events::CONTROL_DENIED).log(format_args!(
                "denied through the control socket: {words}, asked for by {}",
                self.caller
            ));
            return protocol::permission_denied();
        }
        journal::event(events::CONTROL_CHANGE)
            .log(format_args!("asked for through the control socket: {words}, by {}", self.caller));
        self.ask_for(call).await
    }

    async fn ask_for(&self, call: Call) -> Vec<u8> {
        match call {
            Call::Status {} => self.ask(Asked::Status).await,
            Call::Peers {} => self.ask(Asked::Peers).await,
            Call::Names {} => self.ask(Asked::Names).await,
            Call::Explain { name } => self.ask(|reply| Asked::Explain { name, reply }).await,
            Call::Table {} => self.ask(Asked::Table).await,
            Call::Metrics {} => self.ask(Asked::Metrics).await,
            Call::Reload { secrets } => self.ask(|reply| Asked::Reload { secrets, reply }).await,
            Call::Claim { name } => self.ask(|reply| Asked::Claim { name, reply }).await,
            Call::Release { name } => self.ask(|reply| Asked::Release { name, reply }).await,
            Call::SetLogLevel { level } => self.ask(|reply| Asked::SetLogLevel { level, reply }).await,
            Call::Watch {} => {
                protocol::error(&Error::Failed { reason: "Watch answers to \"more\" only".to_owned() })
            }
        }
    }

    async fn ask<T: Serialize>(&self, asked: impl FnOnce(Responder<T>) -> Asked) -> Vec<u8> {
        match self.request(asked).await {
            Ok(answer) => protocol::success(&answer, None),
            Err(error) => protocol::error(&error),
        }
    }

    /// Passes a request on to the daemon and waits for the answer.
    async fn request<T>(&self, asked: impl FnOnce(Responder<T>) -> Asked) -> Result<T, Error> {
        let not_ready = |reason: &str| Error::NotReady { reason: reason.to_owned() };
        let (reply, answer) = oneshot::channel();
        let request = Request { caller: self.caller.clone(), asked: asked(reply) };
        let exchange = async {
            self.requests.send(request).await.map_err(|_| not_ready("it is stopping"))?;
            answer.await.map_err(|_| not_ready("it is starting or stopping"))?
        };
        timeout(self.limits.answer_time, exchange).await.map_err(|_| not_ready("it is busy; try again"))?
    }

    /// Passes changes on until the caller hangs up.
    async fn watch(&self, messages: &mut Messages, write: &mut OwnedWriteHalf) -> Result<(), End> {
        let mut changes: broadcast::Receiver<_> = match self.request(Asked::Watch).await {
            Ok(changes) => changes,
            Err(error) => return self.send(write, &protocol::error(&error)).await,
        };
        // Says that from now on nothing is missed.
        self.send(write, &protocol::success(&Watched { change: None, missed: 0 }, Some(true))).await?;
        loop {
            let watched = tokio::select! {
                change = changes.recv() => match change {
                    Ok(change) => Watched { change: Some(change), missed: 0 },
                    Err(RecvError::Lagged(missed)) => Watched { change: None, missed },
                    Err(RecvError::Closed) => {
                        let stopping = Error::NotReady { reason: "it is stopping".to_owned() };
                        return self.send(write, &protocol::error(&stopping)).await;
                    }
                },
                end = messages.hung_up() => return Err(end),
            };
            self.send(write, &protocol::success(&watched, Some(true))).await?;
        }
    }

    /// Sends a reply. A caller that does not take it in time, or when too much waits to be taken already, is dropped.
    async fn send(&self, write: &mut OwnedWriteHalf, reply: &[u8]) -> Result<(), End> {
        let permits = u32::try_from(reply_permits(reply.len())).unwrap_or(u32::MAX);
        let Ok(_room) = self.replies.try_acquire_many(permits) else {
            return Err(End::Dropped("too many replies wait to be taken"));
        };
        match timeout(self.limits.reply_time, write.write_all(reply)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(End::Dropped("it did not take its reply in time")),
        }
    }
}

/// The messages of a connection, each up to its NUL.
#[derive(Debug)]
struct Messages {
    read: OwnedReadHalf,
    /// What has arrived of the next message, and what came behind it.
    buffer: Vec<u8>,
    limits: Limits,
}

impl Messages {
    /// The next message, without its NUL. As long as nothing has arrived of it, it may take as long as it likes.
    async fn next(&mut self) -> Result<Vec<u8>, End> {
        let mut searched = 0;
        let mut deadline = None;
        loop {
            if let Some(at) = self.buffer[searched..].iter().position(|&byte| byte == 0) {
                let rest = self.buffer.split_off(searched + at + 1);
                let mut message = std::mem::replace(&mut self.buffer, rest);
                message.pop();
                return Ok(message);
            }
            searched = self.buffer.len();
            if searched > self.limits.request_len {
                return Err(End::Dropped("its request is too long"));
            }
            if self.buffer.is_empty() {
                self.buffer = Vec::new();
                self.fill().await?;
                continue;
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.limits.request_time);
            timeout_at(deadline, self.fill())
                .await
                .map_err(|_| End::Dropped("half a request, and no more"))??;
        }
    }

    /// Returns when the caller closes the connection, or sends something although it is being answered.
    async fn hung_up(&mut self) -> End {
        match self.fill().await {
            Ok(()) => End::Dropped("it spoke while it was being answered"),
            Err(end) => end,
        }
    }

    /// Waits for more bytes. Cancel safe.
    async fn fill(&mut self) -> Result<(), End> {
        loop {
            self.read.readable().await?;
            let mut chunk = [0; READ_LEN];
            match self.read.try_read(&mut chunk) {
                Ok(0) => return Err(End::Closed),
                Ok(length) => {
                    self.buffer.extend_from_slice(&chunk[..length]);
                    return Ok(());
                }
                // It was readable no more: readiness is a hint.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
