//! What the server asks of the daemon.

use mesher_control::types::{
    Change, Claimed, Explanation, LogLevelSet, Metrics, Names, Peers, Released, Reloaded, Status, TableReply,
};
use mesher_control::{Call, Error, SecretText};
use tokio::sync::{broadcast, oneshot};

use super::Caller;

/// Where the answer to one request goes. Dropped without one, the caller is told that the daemon is not ready.
pub type Responder<T> = oneshot::Sender<Result<T, Error>>;

/// One request, from a caller who may make it.
#[derive(Debug)]
pub struct Request {
    /// Who asks.
    pub caller: Caller,
    /// What, and where the answer goes.
    pub asked: Asked,
}

/// The methods of the interface. What each does, and the meaning of every field, is in
/// `mesher_control/org.datamesher.mesherd.varlink`.
#[derive(Debug)]
#[allow(missing_docs, reason = "the methods are described in the interface file")]
pub enum Asked {
    Status(Responder<Status>),
    Peers(Responder<Peers>),
    Names(Responder<Names>),
    Explain {
        name: String,
        reply: Responder<Explanation>,
    },
    Table(Responder<TableReply>),
    Metrics(Responder<Metrics>),
    /// The answer is where the changes will come from; the server passes them on.
    Watch(Responder<broadcast::Receiver<Change>>),
    Reload {
        secrets: Option<SecretText>,
        reply: Responder<Reloaded>,
    },
    Claim {
        name: String,
        reply: Responder<Claimed>,
    },
    Release {
        name: String,
        reply: Responder<Released>,
    },
    SetLogLevel {
        level: String,
        reply: Responder<LogLevelSet>,
    },
}

/// A change in words, for the journal: who asked for what.
pub(super) fn in_words(call: &Call) -> String {
    match call {
        Call::Reload { .. } => "reload".to_owned(),
        Call::Claim { name } => format!("claim {name:?}"),
        Call::Release { name } => format!("release {name:?}"),
        Call::SetLogLevel { level } => format!("log level {level:?}"),
        other => other.to_parts().0,
    }
}
