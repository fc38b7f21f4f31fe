//! The control socket as callers find it: by our own client, by another crate's, and by those who mean harm.

use std::io::{BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mesher_control::types::{
    Change, Claimed, Host, LogLevelSet, Metrics, Name, Names, Network, State, Status, Watched,
};
use mesher_control::{Call, Client, ClientError, Error};
use mesherd::control::{AccessPolicy, Asked, Limits, Request, Server, bind};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use tokio::sync::{broadcast, mpsc};

/// An answer comes within this, even on a machine that is busy with other tests; whoever had to wait for a caller that is slow on
/// purpose would wait for [`SLOW`].
const SOON: Duration = Duration::from_secs(90);
const SLOW: Duration = Duration::from_secs(300);

/// A server with a daemon of few words behind it, on threads of their own.
struct Running {
    dir: tempfile::TempDir,
    changes: broadcast::Sender<Change>,
    _runtime: tokio::runtime::Runtime,
}

impl Running {
    fn start(policy: AccessPolicy, limits: Limits) -> Self {
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

    fn by_hand() -> Self {
        Self::start(AccessPolicy::by_hand(), patient())
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mesherd.sock")
    }

    fn client(&self) -> Client {
        Client::connect(&self.path()).unwrap()
    }

    fn raw(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// Asserts that a caller who comes now gets an answer, and soon.
    fn assert_serves(&self, when: &str) {
        let begun = Instant::now();
        let mut client = self.client();
        client.wait_at_most(SOON).unwrap();
        let status: Status = client.call(&Call::Status {}).unwrap_or_else(|e| panic!("{when}: {e}"));
        assert_eq!(status.sentence, "sol: all is well");
        assert!(begun.elapsed() < SOON, "{when}: took {:?}", begun.elapsed());
    }
}

/// The default limits, with time for those that are slow.
fn patient() -> Limits {
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

fn status() -> Status {
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

fn change(message: &str) -> Change {
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

/// One message and its reply as text.
fn exchange(stream: &mut UnixStream, message: &str) -> String {
    stream.write_all(message.as_bytes()).unwrap();
    stream.write_all(&[0]).unwrap();
    read_message(stream)
}

fn read_message(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).expect("no reply");
        match byte[0] {
            0 => return String::from_utf8(text).unwrap(),
            other => text.push(other),
        }
    }
}

#[test]
fn our_client_gets_typed_answers_and_typed_errors() {
    let running = Running::by_hand();
    let mut client = running.client();
    assert_eq!(client.call::<Status>(&Call::Status {}).unwrap(), status());
    let names: Names = client.call(&Call::Names {}).unwrap();
    assert_eq!(names.names.len(), 20_000);
    let claimed: Claimed = client.call(&Call::Claim { name: "earth".into() }).unwrap();
    assert_eq!(claimed.name, "earth.sol");
    let refused = client.call::<LogLevelSet>(&Call::SetLogLevel { level: "loud".into() }).unwrap_err();
    assert_eq!(refused.to_string(), "'loud' is no log level; expected error, warn, info, debug or trace");
    let dropped = client.call::<Names>(&Call::Peers {}).unwrap_err();
    assert!(matches!(dropped, ClientError::Daemon(Error::NotReady { .. })), "{dropped}");
}

#[test]
fn nobody_there_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = Client::connect(&dir.path().join("mesherd.sock")).unwrap_err().to_string();
    assert!(error.contains("is it running? See: systemctl status data-mesher.service"), "{error}");
}

#[test]
fn bad_requests_get_the_errors_of_the_protocol() {
    let running = Running::by_hand();
    let mut stream = running.raw();
    for (request, error) in [
        (r#"{"method":"org.datamesher.mesherd.Nothing"}"#, "MethodNotFound"),
        (r#"{"method":"org.example.Status"}"#, "InterfaceNotFound"),
        (r#"{"method":"Status"}"#, "InterfaceNotFound"),
        (r#"{"method":"org.varlink.service.Nothing"}"#, "MethodNotFound"),
        (r#"{"method":"org.varlink.service.GetInterfaceDescription"}"#, "InvalidParameter"),
        (
            r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"a.b"}}"#,
            "InterfaceNotFound",
        ),
        (r#"{"method":"org.datamesher.mesherd.Explain"}"#, "InvalidParameter"),
        (r#"{"method":"org.datamesher.mesherd.Explain","parameters":{"name":7}}"#, "InvalidParameter"),
        (r#"{"method":"org.datamesher.mesherd.Explain","parameters":[]}"#, "InvalidParameter"),
        (r#"{"method":"org.datamesher.mesherd.Status","parameters":{"x":1}}"#, "InvalidParameter"),
        (r#"{"method":"org.datamesher.mesherd.Watch"}"#, "ExpectedMore"),
    ] {
        let reply = exchange(&mut stream, request);
        assert!(reply.contains(&format!("\"error\":\"org.varlink.service.{error}\"")), "{request}: {reply}");
    }
    // After all that, the connection still serves.
    assert!(exchange(&mut stream, r#"{"method":"org.datamesher.mesherd.Status"}"#).contains("all is well"));
}

#[test]
fn what_is_no_message_ends_the_connection_after_an_error() {
    let running = Running::by_hand();
    for garbage in ["", "GET / HTTP/1.1", "{}", "[]", "{\"method\":7}", "\u{1}\u{2}", "{\"method\":\"a\""] {
        let mut stream = running.raw();
        let reply = exchange(&mut stream, garbage);
        assert!(reply.contains("org.varlink.service.InvalidParameter"), "{garbage:?}: {reply}");
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "{garbage:?}: the connection stays open");
    }
    running.assert_serves("after garbage");
}

#[test]
fn requests_may_come_in_pieces_or_many_at_once_and_without_replies() {
    let running = Running::by_hand();
    let mut stream = running.raw();
    for byte in br#"{"method":"org.datamesher.mesherd.Status"}"# {
        stream.write_all(&[*byte]).unwrap();
        stream.flush().unwrap();
    }
    stream.write_all(&[0]).unwrap();
    assert!(read_message(&mut stream).contains("all is well"));

    let one = "{\"method\":\"org.datamesher.mesherd.Claim\",\"parameters\":{\"name\":\"N\"}}\0";
    let oneway = "{\"method\":\"org.datamesher.mesherd.Status\",\"oneway\":true}\0";
    let many: String = (0..50).map(|i| format!("{oneway}{}", one.replace('N', &format!("n{i}")))).collect();
    stream.write_all(many.as_bytes()).unwrap();
    for number in 0..50 {
        assert!(read_message(&mut stream).contains(&format!("\"n{number}.sol\"")));
    }
}

#[test]
fn changes_are_streamed_and_missed_ones_are_counted() {
    let running = Running::by_hand();
    let mut stream = running.client().stream::<Watched>(&Call::Watch {}).unwrap();
    assert_eq!(stream.next().unwrap().unwrap(), Watched { change: None, missed: 0 });
    running.changes.send(change("first")).unwrap();
    assert_eq!(stream.next().unwrap().unwrap().change, Some(change("first")));

    // A caller that reads nothing: the socket fills up, then the daemon's own buffer of four runs over. Nobody waits.
    let long = "x".repeat(100_000);
    for _ in 0..100 {
        running.changes.send(change(&long)).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    running.assert_serves("while a watcher does not read");
    // What was sent is either seen or counted: nothing is lost in silence.
    let (mut seen, mut missed) = (0, 0);
    while seen + missed < 100 {
        let watched = stream.next().unwrap().unwrap();
        missed += watched.missed;
        seen += u64::from(watched.change.is_some());
    }
    assert_eq!(seen + missed, 100);
    assert!(missed > 10, "{missed}");
    drop(stream);
    running.assert_serves("after a watcher has hung up");
}

#[test]
fn a_thousand_idle_connections_hurt_nobody() {
    let running = Running::by_hand();
    let mut open = Vec::new();
    for number in 0..1_000 {
        open.push(running.raw());
        if number % 100 == 99 {
            running.assert_serves(&format!("with {number} connections open"));
        }
    }
    let is_open = |stream: &mut UnixStream| {
        stream.set_nonblocking(true).unwrap();
        stream.read(&mut [0; 1]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let begun = Instant::now();
    loop {
        let stay_open = open.iter_mut().filter_map(|stream| is_open(stream).then_some(())).count();
        if (100..=256).contains(&stay_open) {
            break;
        }
        assert!(begun.elapsed() < SOON, "{stay_open} of 1,000 stay open");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_thousand_half_requests_hurt_nobody_and_end_in_time() {
    // Long enough that whoever sends a whole request gets it there, on a busy machine too.
    let request_time = Duration::from_secs(5);
    let limits = Limits { connections: 2_000, connections_per_user: 2_000, request_time, ..patient() };
    let running = Running::start(AccessPolicy::by_hand(), limits);
    let begun = Instant::now();
    let mut open: Vec<UnixStream> = (0..400)
        .map(|_| {
            let mut stream = running.raw();
            stream.write_all(br#"{"method":"org.datamesher.mesherd.St"#).unwrap();
            stream
        })
        .collect();
    running.assert_serves("with half requests");
    // Sending on, byte by byte, gains no time.
    let mut slow = running.raw();
    let slow_end = loop {
        if slow.write_all(b" ").is_err() {
            break begun.elapsed();
        }
        assert!(begun.elapsed() < SOON, "a slow sender is never dropped");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(slow_end >= request_time);
    for stream in &mut open {
        assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0, "half a request stays open");
    }
    running.assert_serves("after half requests");
}

#[test]
fn a_request_that_never_ends_is_cut_off() {
    let running = Running::by_hand();
    let mut stream = running.raw();
    let chunk = vec![b'a'; 64 * 1024];
    let mut sent = 0;
    while stream.write_all(&chunk).is_ok() {
        sent += chunk.len();
        assert!(sent < 16 * 1024 * 1024, "the server takes it all");
    }
    running.assert_serves("after an endless request");
}

#[test]
fn callers_who_do_not_read_their_replies_cost_a_bounded_sum() {
    let limits = Limits { reply_bytes: 8 * 1024 * 1024, ..patient() };
    let running = Running::start(AccessPolicy::by_hand(), limits);
    // Each asks for two megabytes and reads none of them. Four find room; the others are hung up on.
    let mut lazy: Vec<UnixStream> = (0..12)
        .map(|_| {
            let mut stream = running.raw();
            stream.write_all(b"{\"method\":\"org.datamesher.mesherd.Names\"}\0").unwrap();
            stream
        })
        .collect();
    // Nobody reads before the others have been hung up on: each reply that is taken makes room for another.
    let begun = Instant::now();
    while lazy.iter().filter(|stream| is_hung_up(stream)).count() < 7 {
        assert!(begun.elapsed() < SOON, "callers who do not read are all waited for");
        std::thread::sleep(Duration::from_millis(20));
    }
    running.assert_serves("with replies not taken");
    let complete = lazy.iter_mut().filter_map(|stream| {
        stream.set_read_timeout(Some(SOON)).unwrap();
        // To the end of the reply or of the connection, whichever comes first: a reply that was taken leaves it open.
        let mut bytes = BufReader::new(stream).bytes();
        matches!(bytes.find(|byte| !matches!(byte, Ok(1..))), Some(Ok(0))).then_some(())
    });
    let complete = complete.count();
    assert!((1..=5).contains(&complete), "{complete} of 12 were kept waiting for");
}

/// Whether the other end has closed the connection, whatever is still to be read from it.
fn is_hung_up(stream: &UnixStream) -> bool {
    let mut polled = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    nix::poll::poll(&mut polled, PollTimeout::ZERO).unwrap();
    polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

/// What the child of the next test does: claims a name at the socket it is told, and shows the outcome.
#[test]
#[ignore = "run by the next test, as another user"]
fn child_claims() {
    let path = std::env::var("MESHER_TEST_SOCKET").unwrap();
    let mut client = Client::connect(Path::new(&path)).unwrap();
    let asked: Metrics = client.call(&Call::Metrics {}).unwrap();
    let claimed = client.call::<Claimed>(&Call::Claim { name: "earth".into() });
    println!("{} may read; claim: {}", asked.text, claimed.map_or_else(|e| e.to_string(), |c| c.name));
}

#[test]
fn everyone_may_read_and_the_group_may_change() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, to become other users");
        eprintln!("skipped: needs root, to become other users");
        return;
    }
    let running = Running::start(AccessPolicy::new(990, Some(980)), patient());
    // Where the others may run it from, whatever the modes of the directories above the build's.
    let program = running.dir.path().join("child");
    // By another process: one that another test starts would hold a file open that this one has written, and it could not be run.
    let copied =
        std::process::Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
    assert!(copied.unwrap().success());
    let claim_as = |uid: u32, gid: u32, groups: &'static [u32]| {
        let mut command = std::process::Command::new(&program);
        command
            .args(["--exact", "child_claims", "--ignored", "--nocapture"])
            .env("MESHER_TEST_SOCKET", running.path());
        // SAFETY: between fork and exec only setgroups is called, a system call on data that is ready.
        unsafe {
            command.pre_exec(move || {
                let set = libc::setgroups(groups.len(), groups.as_ptr()) == 0
                    && libc::setresgid(gid, gid, gid) == 0
                    && libc::setresuid(uid, uid, uid) == 0;
                if set { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            });
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.split_once("uid ")).map(|(_, line)| line.to_owned());
        line.unwrap_or_else(|| panic!("{output:?}"))
    };
    let denied = "permission denied: changes are for root and the members of the group data-mesher";
    assert_eq!(claim_as(12345, 12345, &[]), format!("12345 may read; claim: {denied}"));
    assert_eq!(claim_as(12345, 12345, &[27, 100]), format!("12345 may read; claim: {denied}"));
    assert_eq!(claim_as(12345, 980, &[]), "12345 may read; claim: earth.sol");
    assert_eq!(claim_as(12345, 12345, &[27, 980, 100]), "12345 may read; claim: earth.sol");
    assert_eq!(claim_as(990, 990, &[]), "990 may read; claim: earth.sol");
    assert_eq!(claim_as(0, 0, &[]), "0 may read; claim: earth.sol");
}

/// Another crate's client finds what it expects of any Varlink service.
#[test]
fn a_foreign_client_understands_us() {
    let running = Running::by_hand();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(ask_as_a_foreigner(&running));
}

async fn ask_as_a_foreigner(running: &Running) {
    use zlink::varlink_service::Proxy;
    let mut connection = zlink::tokio::unix::connect(running.path()).await.unwrap();
    let info = connection.get_info().await.unwrap().unwrap();
    assert_eq!(info.product, "mesherd");
    let interfaces: Vec<String> = info.interfaces.iter().map(ToString::to_string).collect();
    assert_eq!(interfaces, ["org.varlink.service", "org.datamesher.mesherd"]);
    for interface in interfaces {
        let name = interface.as_str().try_into().unwrap();
        let description = connection.get_interface_description(name).await.unwrap().unwrap();
        assert_eq!(description.parse().unwrap().name().to_string(), interface);
    }
}
