//! The control tool's end of the socket: blocking, and never for long.

use std::io::{self, BufRead, BufReader, Write};
use std::marker::PhantomData;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use varlink::sansio::serialize_request;
use varlink::{Reply, Request};

use crate::{Call, Error};

/// How long the daemon may take to answer. A reload of a large configuration is the slowest call and takes well under a second.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("cannot reach the daemon at {path}: {error}{hint}", path = path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The connection broke, or the daemon did not answer in time.
    #[error("the daemon at {path} did not answer: {error}", path = path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// The caller may only ask.
    #[error("permission denied: changes are for root and the members of the group data-mesher")]
    PermissionDenied,
    /// The daemon answered with an error of the interface.
    #[error("{0}")]
    Daemon(Error),
    /// The daemon is of another version, or something else listens there.
    #[error("the daemon answered what this version does not understand: {0}")]
    Unknown(String),
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// When nobody listens there.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let connect = || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            Ok(stream)
        };
        let stream = connect().map_err(|error: io::Error| ClientError::Connect {
            path: path.to_owned(),
            hint: match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    "; is it running? See: systemctl status data-mesher.service"
                }
                _ => "",
            },
            error,
        })?;
        Ok(Self { path: path.to_owned(), stream: BufReader::with_capacity(64 * 1024, stream) })
    }

    /// Waits for an answer for no longer than `time`.
    ///
    /// # Errors
    ///
    /// When `time` is zero.
    pub fn wait_at_most(&mut self, time: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(time))
    }

    /// Calls a method and waits for its answer.
    ///
    /// # Errors
    ///
    /// When the daemon answers with an error, with nonsense, or not at all. Whether a change was carried out is not known
    /// in the last case.
    pub fn call<T: DeserializeOwned>(&mut self, call: &Call) -> Result<T, ClientError> {
        self.send(call, None)?;
        let reply = self.receive()?;
        parameters(reply)
    }

    /// Calls a method that answers again and again. The answers have no time limit.
    ///
    /// # Errors
    ///
    /// As [`Client::call`]; the stream brings later ones, and ends after the first.
    pub fn stream<T: DeserializeOwned>(mut self, call: &Call) -> Result<Stream<T>, ClientError> {
        self.send(call, Some(true))?;
        self.stream.get_ref().set_read_timeout(None).map_err(|error| self.io(error))?;
        Ok(Stream { client: Some(self), of: PhantomData })
    }

    fn send(&mut self, call: &Call, more: Option<bool>) -> Result<(), ClientError> {
        let (method, parameters) = call.to_parts();
        let request = Request { more, ..Request::create(method, Some(parameters)) };
        let bytes = serialize_request(&request).map_err(|error| ClientError::Unknown(error.to_string()))?;
        self.stream.get_mut().write_all(&bytes).map_err(|error| self.io(error))
    }

    fn receive(&mut self) -> Result<Reply, ClientError> {
        let mut message = Vec::new();
        let read = self.stream.read_until(0, &mut message);
        read.map_err(|error| self.io(error))?;
        if message.pop() != Some(0) {
            return Err(self.io(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")));
        }
        serde_json::from_slice(&message).map_err(|error| ClientError::Unknown(error.to_string()))
    }

    fn io(&self, error: io::Error) -> ClientError {
        let error = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", TIMEOUT.as_secs()))
            }
            _ => error,
        };
        ClientError::Io { path: self.path.clone(), error }
    }
}

/// Answers as they come. Ends when the daemon says so, or after an error.
#[derive(Debug)]
pub struct Stream<T> {
    client: Option<Client>,
    of: PhantomData<T>,
}

impl<T: DeserializeOwned> Iterator for Stream<T> {
    type Item = Result<T, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        let client = self.client.as_mut()?;
        let received = client.receive();
        if !received.as_ref().is_ok_and(|reply| reply.continues == Some(true)) {
            self.client = None;
        }
        Some(received.and_then(parameters))
    }
}

fn parameters<T: DeserializeOwned>(reply: Reply) -> Result<T, ClientError> {
    let unknown = |error: serde_json::Error| ClientError::Unknown(error.to_string());
    match reply.error.as_deref() {
        None => serde_json::from_value(reply.parameters.unwrap_or_default()).map_err(unknown),
        Some("org.varlink.service.PermissionDenied") => Err(ClientError::PermissionDenied),
        Some(name) => {
            let message = serde_json::json!({"error": name, "parameters": reply.parameters});
            let text = message.to_string();
            Err(serde_json::from_value(message).map_or(ClientError::Unknown(text), ClientError::Daemon))
        }
    }
}
