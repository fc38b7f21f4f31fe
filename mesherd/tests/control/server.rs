//! The server under test, with a daemon of few words behind it.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Instant;

use mesher_control::types::{
    Change, Claimed, Host, LogLevelSet, Metrics, Name, Names, Network, State, Status,
};
use mesher_control::{Call, Client, Error};
use mesherd::control::{AccessPolicy, Asked, Limits, Request, Server, bind};
use tokio::sync::{broadcast, mpsc};

use crate::{SLOW, SOON};

/// A server with a daemon of few words behind it, on threads of their own.
pub struct Running {
    pub dir: tempfile::TempDir,
    pub changes: broadcast::Sender<Change>,
    _runtime: tokio::runtime::Runtime,
}

impl Running {
    pub fn start(policy: AccessPolicy, limits: Limits) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let (requests, received) = mpsc::channel(16);
        let (changes, _) = broadcast::channel(4);
        let listener = bind(dir.path()).unwrap();
        let server = runtime.block_on(async { Server::new(listener, requests, policy) }).unwrap();
        runtime.spawn(server.with_limits(limits).run(None, None));
        runtime.spawn(answer(received, changes.clone()));
        Self { dir, changes, _runtime: runtime }
    }

    pub fn by_hand() -> Self {
        Self::start(AccessPolicy::by_hand(), patient())
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mesherd.sock")
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.path()).unwrap()
    }

    pub fn raw(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// Asserts that a caller who comes now gets an answer, and soon.
    pub fn assert_serves(&self, when: &str) {
        let begun = Instant::now();
        let mut client = self.client();
        client.wait_at_most(SOON).unwrap();
        let status: Status = client.call(&Call::Status {}).unwrap_or_else(|e| panic!("{when}: {e}"));
        assert_eq!(status.sentence, "sol: all is well");
        assert!(begun.elapsed() < SOON, "{when}: took {:?}", begun.elapsed());
    }
}

/// The default limits, with time for those that are slow.
pub fn patient() -> Limits {
    Limits { request_time: SLOW, answer_time: SLOW, reply_time: SLOW, ..Limits::default() }
}

/// The daemon's side of the channel.
async fn answer(mut requests: mpsc::Receiver<Request>, changes: broadcast::Sender<Change>) {
    while let Some(request) = requests.recv().await {
        match request.asked {
            Asked::Status(reply) => drop(reply.send(Ok(status()))),
            Asked::Names(reply) => drop(reply.send(Ok(Names { names: (0..20_000).map(name).collect() }))),
            Asked::Metrics(reply) => {
                drop(reply.send(Ok(Metrics { text: format!("uid {}", request.caller.uid) })))
            }
            Asked::Watch(reply) => drop(reply.send(Ok(changes.subscribe()))),
            Asked::Claim { name, reply } => {
                drop(reply.send(Ok(Claimed { name: format!("{name}.sol"), holder: None, held: false })))
            }
            Asked::SetLogLevel { level, reply } => {
                let result = match level.as_str() {
                    "info" => Ok(LogLevelSet { previous: "warn".into() }),
                    _ => Err(Error::InvalidLogLevel { level }),
                };
                drop(reply.send(result));
            }
            // A request that the daemon drops must not leave its caller waiting.
            other => drop(other),
        }
    }
}

pub fn status() -> Status {
    Status {
        version: "0".into(),
        state: State::Running,
        sentence: "sol: all is well".into(),
        started_unix_ms: 1,
        log_level: "info".into(),
        config_file: "/etc/data-mesher/config.toml".into(),
        state_directory: "/var/lib/data-mesher".into(),
        network: Network {
            id: "id".into(),
            domain: Some("sol".into()),
            revision: None,
            claim_ttl_ms: None,
            admission: None,
            witnesses: 0,
            secrets: vec![],
        },
        host: Host { label: "alpha".into(), key: "key".into(), addresses: vec![], certificate: None },
        warnings: vec![],
        peers: vec![],
        names: vec![],
        table: None,
    }
}

fn name(number: usize) -> Name {
    Name {
        name: format!("name-{number}.sol"),
        holder: Some("alpha".into()),
        holder_key: None,
        addresses: vec!["2001:db8::1".into()],
        waiting: 0,
        held: true,
        refused: None,
        source: None,
    }
}

pub fn change(message: &str) -> Change {
    Change {
        time_unix_ms: 1,
        kind: "name_held".into(),
        message_id: "0".repeat(32),
        name: Some("earth.sol".into()),
        host: None,
        peer: None,
        message: message.into(),
    }
}
