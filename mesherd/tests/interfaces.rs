//! Addresses followed in network namespaces of their own, with real interfaces. Needs root.

use std::process::Command;
use std::time::Duration;

use mesherd::interfaces::{Selection, Snapshot, Watcher};
use nix::sched::{CloneFlags, unshare};
use tokio::sync::watch;

/// Runs `test` on a thread and runtime of its own, in a network namespace of its own with `eth0` (up, without addresses but
/// link-local ones) and its peer `other`. Fails without root where `CI` is set; elsewhere says that nothing was tested.
fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, for a network namespace");
        eprintln!("skipped: needs root, for a network namespace");
        return;
    }
    let body = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare");
        ip("link add eth0 type veth peer name other");
        ip("link set eth0 up");
        ip("link set other up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(300), test()).await.expect("too slow")
        });
    };
    std::thread::spawn(body).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// `ip ARGUMENTS` in this thread's namespace, which a child inherits.
fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("ip (package iproute2)");
    assert!(output.status.success(), "ip {arguments}: {output:?}");
}

fn named(interfaces: &[&str]) -> Selection {
    Selection { interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(), ..Selection::default() }
}

/// A running watcher and both ends to it.
struct Running {
    selection: watch::Sender<Selection>,
    snapshots: watch::Receiver<Snapshot>,
}

impl Running {
    fn start(selection: Selection) -> Self {
        let (selection, wanted) = watch::channel(selection);
        let (publish, snapshots) = watch::channel(Snapshot::default());
        tokio::spawn(Watcher::new(None).unwrap().run(wanted, publish));
        Self { selection, snapshots }
    }

    /// Waits until exactly `expected` is announced.
    async fn until(&mut self, expected: &[&str]) {
        let shown = |snapshot: &Snapshot| snapshot.ips().map(|ip| ip.to_string()).collect::<Vec<_>>();
        let wait = self.snapshots.wait_for(|snapshot| shown(snapshot) == expected);
        let waited = tokio::time::timeout(Duration::from_secs(60), wait).await.is_ok();
        assert!(waited, "expected {expected:?}, announced {:?}", shown(&self.snapshots.borrow()));
    }
}

#[test]
fn addresses_come_and_go() {
    in_namespace(|| async {
        ip("address add 192.0.2.1/24 dev eth0");
        let mut running = Running::start(named(&["eth0"]));
        running.until(&["192.0.2.1"]).await;
        ip("address add 2001:db8::1/64 dev eth0 nodad");
        running.until(&["192.0.2.1", "2001:db8::1"]).await;
        // As DHCP does it: the only address is replaced by another.
        ip("address del 192.0.2.1/24 dev eth0");
        ip("address add 192.0.2.99/24 dev eth0");
        running.until(&["192.0.2.99", "2001:db8::1"]).await;
        ip("link set eth0 down");
        running.until(&[]).await;
        ip("link set eth0 up");
        // Switching off takes the IPv6 addresses away for good, and leaves the IPv4 ones.
        running.until(&["192.0.2.99"]).await;
    });
}

#[test]
fn an_interface_may_appear_later_and_by_its_alternative_name() {
    in_namespace(|| async {
        let mut running = Running::start(named(&["uplink-with-a-long-name"]));
        running.snapshots.wait_for(|s| s.absent == ["uplink-with-a-long-name"]).await.unwrap();
        ip("link add late0 type veth peer name late1");
        ip("address add 192.0.2.7/24 dev late0");
        ip("link set late0 up");
        ip("link property add dev late0 altname uplink-with-a-long-name");
        running.until(&["192.0.2.7"]).await;
        assert!(running.snapshots.borrow().absent.is_empty());
        ip("link del late0");
        running.until(&[]).await;
        assert_eq!(running.snapshots.borrow().absent, ["uplink-with-a-long-name"]);
    });
}

#[test]
fn tentative_addresses_wait_for_their_detection_and_deprecated_ones_give_way() {
    in_namespace(|| async {
        let mut running = Running::start(named(&["eth0"]));
        let begun = tokio::time::Instant::now();
        // The detection of duplicates takes a second or so.
        ip("address add 2001:db8::1/64 dev eth0");
        running.until(&["2001:db8::1"]).await;
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(500), "announced before it was ready, after {took:?}");
        ip("address add 2001:db8::2/64 dev eth0 nodad");
        running.until(&["2001:db8::1", "2001:db8::2"]).await;
        ip("address change 2001:db8::1/64 dev eth0 preferred_lft 0");
        running.until(&["2001:db8::2"]).await;
        ip("address del 2001:db8::2/64 dev eth0");
        running.until(&["2001:db8::1"]).await;
    });
}

#[test]
fn the_selection_may_change_while_running() {
    in_namespace(|| async {
        ip("address add 192.0.2.1/24 dev eth0");
        ip("address add 198.51.100.1/24 dev other");
        let mut running = Running::start(named(&["eth0"]));
        running.until(&["192.0.2.1"]).await;
        running.selection.send(named(&["other", "eth0"])).unwrap();
        running.until(&["198.51.100.1", "192.0.2.1"]).await;
        let by_hand = Selection { addresses: vec!["203.0.113.1".parse().unwrap()], ..Selection::default() };
        running.selection.send(by_hand).unwrap();
        running.until(&["203.0.113.1"]).await;
        running.selection.send(Selection { link_local: true, ..named(&["eth0"]) }).unwrap();
        let snapshots = &mut running.snapshots;
        let link_local = |s: &Snapshot| s.ips().any(|ip| ip.to_string().starts_with("fe80::"));
        let snapshot = tokio::time::timeout(Duration::from_secs(60), snapshots.wait_for(link_local)).await;
        let snapshot = snapshot.expect("no link-local address").unwrap();
        assert!(snapshot.addresses.iter().all(|a| a.interface.is_some()), "{snapshot:?}");
    });
}

#[test]
fn a_flood_of_changes_that_overflows_the_socket_loses_nothing() {
    in_namespace(|| async {
        let mut running = Running::start(named(&["eth0"]));
        running.until(&[]).await;
        // The runtime has this one thread only: while it is busy here, nobody reads the socket. Each line below makes
        // messages; 5,000 of some 80 bytes and more are beyond any buffer it may have.
        let batch: String = (0..2_500)
            .map(|i| format!("address add 10.{}.{}.1/32 dev other\n", i / 250, i % 250))
            .chain((0..2_500).map(|i| format!("address del 10.{}.{}.1/32 dev other\n", i / 250, i % 250)))
            .chain(["address add 192.0.2.1/24 dev eth0\n".to_owned()])
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), batch).unwrap();
        ip(&format!("-batch {}", file.path().display()));
        running.until(&["192.0.2.1"]).await;
        // And it still follows.
        ip("address add 192.0.2.2/24 dev eth0");
        running.until(&["192.0.2.1", "192.0.2.2"]).await;
    });
}

#[test]
fn thousands_of_addresses_are_read_whole() {
    in_namespace(|| async {
        let batch: String = (0..2_500)
            .map(|i| format!("address add 10.{}.{}.1/32 dev other\n", i / 250, i % 250))
            .chain(["address add 192.0.2.1/24 dev eth0\n".to_owned()])
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), batch).unwrap();
        ip(&format!("-batch {}", file.path().display()));
        let mut watcher = Watcher::new(None).unwrap();
        let snapshot = watcher.snapshot(&named(&["eth0"])).await.unwrap();
        assert_eq!(snapshot.ips().map(|ip| ip.to_string()).collect::<Vec<_>>(), ["192.0.2.1"]);
        let snapshot = watcher.snapshot(&named(&["other"])).await.unwrap();
        assert_eq!((snapshot.addresses.len(), snapshot.left_out), (32, 2_500 - 32));
    });
}

/// The hardened variant of the unit: the service has no network of its own, only the sockets it was handed.
#[test]
fn an_inherited_socket_tells_of_the_namespace_it_came_from() {
    in_namespace(|| async {
        use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};
        use std::os::fd::AsRawFd;
        ip("address add 192.0.2.1/24 dev eth0");
        let fd =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
                .unwrap();
        // `ListenNetlink=route 1361`: link, address and route changes; the socket is a blocking one.
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 1361)).unwrap();
        // From here on the process has a namespace without interfaces; a helper stays behind to change addresses.
        let mut helper = Command::new("sh")
            .args(["-c", "read line; ip address add 192.0.2.2/24 dev eth0; read line; true"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let (_selection, wanted) = watch::channel(named(&["eth0"]));
        let (publish, mut snapshots) = watch::channel(Snapshot::default());
        tokio::spawn(Watcher::new(Some(fd)).unwrap().run(wanted, publish));
        snapshots.wait_for(|s| s.ips().count() == 1).await.unwrap();
        std::io::Write::write_all(helper.stdin.as_mut().unwrap(), b"\n").unwrap();
        snapshots.wait_for(|s| s.ips().count() == 2).await.unwrap();
        drop(helper.stdin.take());
        assert!(helper.wait().unwrap().success());
    });
}
