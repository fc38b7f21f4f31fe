//! The service manager's side of the daemon, from outside: sockets are passed, notifications received and the journal
//! read as systemd would. The test program runs itself again as the service, under the name of the ignored test `child`.

mod attack;
mod cluster;

use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::time::Duration;

use cluster::{Cluster, Daemon};
use mesher_table::{Deadline, TableFile};
use mesherd::publish::LEASE_AFTER_STOP;
use mesherd::systemd::{events, journal, logging, notify, sockets};

/// The program that a test starts: what it does is in `MESHER_TEST_CHILD`.
#[test]
#[ignore = "run by the other tests, as the service"]
fn child() {
    match std::env::var("MESHER_TEST_CHILD").as_deref() {
        Ok("inherit") => {
            match sockets::inherit() {
                Ok(inherited) => {
                    let gossip = inherited.gossip.map(|s| s.local_addr().unwrap());
                    let control = inherited.control.map(|s| s.local_addr().unwrap());
                    let netlink = inherited.netlink.is_some();
                    println!("gossip {gossip:?} control {control:?} netlink {netlink}");
                }
                Err(error) => println!("refused: {error}"),
            }
            let again = sockets::inherit().unwrap();
            assert!(again.gossip.is_none() && again.control.is_none() && again.netlink.is_none());
        }
        Ok("notify") => {
            let notifier = notify::Notifier::new();
            notifier.ready("sol: 3 peers");
            notifier.status("sol: 3 peers");
            notifier.status("sol: 2 peers\nREADY=0");
            notifier.reloading();
            notifier.ready("sol: 2 peers");
            notifier.stopping("stopping");
        }
        Ok("journal") => {
            logging::start(log::LevelFilter::Info);
            journal::event(events::NAME_HELD)
                .name(&"earth.sol")
                .host(&"alpha")
                .log(format_args!("earth.sol is held\nby this machine"));
            log::debug!("not wanted");
        }
        other => panic!("no such child: {other:?}"),
    }
}

/// This program as the child `what`, begun by a shell so that `LISTEN_PID` can be its own.
fn child_command(what: &str, listen_pid: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("LISTEN_PID={listen_pid} exec \"$0\" --exact child --ignored --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .env("MESHER_TEST_CHILD", what);
    command
}

/// Runs the child with `fds` as its descriptors 3, 4, …
fn inherit(fds: Vec<OwnedFd>, listen_pid: &str) -> String {
    let mut command = child_command("inherit", listen_pid);
    command.env("LISTEN_FDS", fds.len().to_string());
    let names: Vec<String> = (0..fds.len()).map(|i| format!("fd{i}")).collect();
    command.env("LISTEN_FDNAMES", names.join(":"));
    // Out of the way first: 3, 4, … may be taken by the very descriptors to be passed.
    let high: Vec<OwnedFd> = fds
        .iter()
        .map(|fd| nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(100)).unwrap())
        .map(own)
        .collect();
    // SAFETY: between fork and exec only dup2 is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            for (target, fd) in (3..).zip(&high) {
                if libc::dup2(fd.as_raw_fd(), target) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    line_of(&output, |line| line.starts_with("gossip ") || line.starts_with("refused: "))
}

fn own(raw: i32) -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: `raw` has just been made by F_DUPFD_CLOEXEC and belongs to nobody else.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

fn line_of(output: &Output, wanted: impl Fn(&str) -> bool) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // The test harness writes its own words before the child's first line.
    let line = text.lines().map(|line| line.trim_start_matches("test child ... ")).find(|line| wanted(line));
    line.unwrap_or_else(|| panic!("{output:?}")).to_owned()
}

fn udp() -> OwnedFd {
    UdpSocket::bind("127.0.0.1:0").unwrap().into()
}

fn listener(dir: &tempfile::TempDir, name: &str) -> OwnedFd {
    UnixListener::bind(dir.path().join(name)).unwrap().into()
}

#[test]
fn sockets_are_told_apart_whatever_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let expected = |name: &str| {
        let path = dir.path().join(name);
        format!("gossip Some({address}) control Some({path:?} (pathname)) netlink false")
    };
    let first = inherit(vec![socket.try_clone().unwrap().into(), listener(&dir, "a")], "$$");
    assert_eq!(first, expected("a"));
    let second = inherit(vec![listener(&dir, "b"), socket.into()], "$$");
    assert_eq!(second, expected("b"));
}

#[test]
fn a_netlink_socket_is_taken_too() {
    use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
    let netlink =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
            .unwrap();
    assert_eq!(inherit(vec![netlink, udp()], "$$").split_once(" netlink ").unwrap().1, "true");
}

#[test]
fn sockets_meant_for_another_process_are_left_alone() {
    assert_eq!(inherit(vec![udp()], "1"), "gossip None control None netlink false");
}

#[test]
fn a_wrong_socket_unit_is_refused_with_what_to_correct() {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = inherit(vec![udp(), tcp.into()], "$$");
    assert!(
        refused.starts_with("refused: sockets from systemd: \"fd1\" (descriptor 4) is something else"),
        "{refused}"
    );
    assert!(refused.ends_with("correct data-mesher.socket"), "{refused}");
    let refused = inherit(vec![udp(), udp()], "$$");
    assert!(refused.contains("there are two that are a UDP socket"), "{refused}");
}

#[test]
fn the_service_manager_is_told_in_its_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let output = child_command("notify", "$$").env("NOTIFY_SOCKET", &path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let receive = || {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!(receive(), "READY=1\nSTATUS=sol: 3 peers\n");
    // The unchanged status was not sent again, and the line end in the next was made harmless.
    assert_eq!(receive(), "STATUS=sol: 2 peers READY=0\n");
    let reloading = receive();
    let stamp = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    assert!(stamp.trim_end().parse::<u64>().unwrap() > 0);
    assert_eq!(receive(), "READY=1\nSTATUS=sol: 2 peers\n");
    assert_eq!(receive(), "STOPPING=1\nSTATUS=stopping\n");
}

/// Puts a datagram socket of its own where journald's is, in a mount namespace of its own, and reads what arrives.
#[test]
fn the_journal_gets_the_fields() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, for a mount namespace");
        eprintln!("skipped: needs root, for a mount namespace");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let journald = UnixDatagram::bind(dir.path().join("socket")).unwrap();
    journald.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let script = "mkdir -p /run/systemd && mount -t tmpfs tmpfs /run/systemd && mkdir /run/systemd/journal && \
                  mount --bind \"$JOURNAL_DIR\" /run/systemd/journal && \
                  exec \"$0\" --exact child --ignored --nocapture";
    let stderr = std::fs::File::create(dir.path().join("stderr")).unwrap();
    let metadata = stderr.metadata().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("MESHER_TEST_CHILD", "journal")
        .env("JOURNAL_DIR", dir.path())
        .env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino()))
        .stderr(stderr)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}: {:?}", std::fs::read_to_string(dir.path().join("stderr")));
    let mut buffer = [0; 4096];
    // The first, empty datagram is the logger's own check that somebody listens.
    let received =
        std::iter::repeat_with(|| journald.recv(&mut buffer).map(|n| buffer[..n].to_vec()).unwrap())
            .find(|datagram| !datagram.is_empty())
            .unwrap();
    let field = |name: &str, value: &str| {
        // The journal's form for any value: the name, a line end, the length, the value, a line end.
        let mut bytes = format!("{name}\n").into_bytes();
        bytes.extend((value.len() as u64).to_le_bytes());
        bytes.extend(format!("{value}\n").bytes());
        bytes
    };
    let has = |bytes: Vec<u8>| received.windows(bytes.len()).any(|window| window == bytes);
    let shown = String::from_utf8_lossy(&received);
    assert!(has(field("MESSAGE", "earth.sol is held\nby this machine")), "{shown}");
    assert!(has(field("MESSAGE_ID", events::NAME_HELD.message_id)), "{shown}");
    assert!(has(field("MESHER_NAME", "earth.sol")), "{shown}");
    assert!(has(field("MESHER_HOST", "alpha")), "{shown}");
    assert!(!has(b"MESHER_PEER".to_vec()), "{shown}");
    journald.set_nonblocking(true).unwrap();
    assert!(journald.recv(&mut buffer).is_err(), "a message below the level was written");
    assert_eq!(std::fs::read_to_string(dir.path().join("stderr")).unwrap(), "", "written twice");
}

/// A daemon that gets a signal as soon as anybody can see that its control socket is there.
fn signalled_early(cluster: &Cluster, name: &str, signal: i32) -> Daemon {
    let mut daemon = cluster.daemon(name, 1, &["earth"], &[]);
    let library = attack::shim(&daemon.dir, "early", "early.c");
    daemon.env.push(("LD_PRELOAD".into(), library.into()));
    daemon.env.push(("MESHER_TEST_SIGNAL".into(), signal.to_string().into()));
    daemon.start();
    daemon
}

#[test]
fn who_is_told_to_stop_before_it_serves_ends_in_order() {
    let cluster = Cluster::new(60_000);
    for (name, signal) in [("SIGTERM", libc::SIGTERM), ("SIGINT", libc::SIGINT)] {
        let mut daemon = signalled_early(&cluster, &name.to_lowercase(), signal);
        let status = daemon.child.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}\n{}", daemon.log());
        assert!(daemon.log().contains(&format!("stopping on {name}")), "{}", daemon.log());
        let deadline =
            TableFile::open(daemon.dir.join("run/hosts.table")).unwrap().header().unwrap().deadline;
        let latest = Deadline::after(LEASE_AFTER_STOP);
        assert!(deadline.to_word() <= latest.to_word(), "its names live on for longer than after a stop");
    }
}

#[test]
fn who_is_told_to_reload_before_it_serves_does_so_then() {
    let cluster = Cluster::new(60_000);
    let daemon = signalled_early(&cluster, "alpha", libc::SIGHUP);
    daemon.wait_for("earth.sol", Some(daemon.address), Duration::from_secs(60));
    daemon.wait_log("reloaded", Duration::from_secs(60));
}
