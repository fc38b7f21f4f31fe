//! A stranger on the network: it has no secret, but sees, keeps and forges whatever it likes.

use std::collections::HashSet;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Protocol, Socket, Type};

/// Runs `test` on a thread of its own in a network namespace of its own, where it may record everything and forge
/// addresses. Loopback there takes 1,500 bytes at a time, so that longer datagrams are fragmented. Fails without root where
/// `CI` is set; elsewhere says that nothing was tested.
pub fn in_namespace(test: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, for a network namespace");
        eprintln!("skipped: needs root, for a network namespace");
        return;
    }
    let body = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare");
        for arguments in ["link set lo up", "link set lo mtu 1500"] {
            let output =
                Command::new("ip").args(arguments.split(' ')).output().expect("ip (package iproute2)");
            assert!(output.status.success(), "ip {arguments}: {output:?}");
        }
        test();
    };
    std::thread::spawn(body).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// A datagram as it passed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recorded {
    pub from: SocketAddrV4,
    pub to: SocketAddrV4,
    pub bytes: Vec<u8>,
}

/// Records every whole UDP datagram of a port on this namespace's loopback.
pub struct Recorder {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Recorded>>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    pub fn start(port: u16) -> Self {
        // ETH_P_IP in network order; SOCK_DGRAM leaves the link's header away.
        let protocol = Protocol::from(i32::from(0x0800u16.to_be()));
        let mut socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol)).expect("a packet socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        socket.set_recv_buffer_size(8 << 20).unwrap();
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let thread = {
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            std::thread::spawn(move || {
                let (mut buffer, mut known) = (vec![0; 65_536], HashSet::new());
                loop {
                    // What had come when it was told to stop is still read.
                    let ends = stop.load(Ordering::Relaxed);
                    let Ok(len) = socket.read(&mut buffer) else { if ends { break } else { continue } };
                    let Some(recorded) = datagram_in(&buffer[..len], port) else { continue };
                    // A packet on loopback is seen twice, going out and coming in.
                    if known.insert(recorded.clone()) {
                        seen.lock().unwrap().push(recorded);
                    }
                }
            })
        };
        Self { stop, seen, thread: Some(thread) }
    }

    /// What has passed until now.
    pub fn so_far(&self) -> Vec<Recorded> {
        self.seen.lock().unwrap().clone()
    }

    /// Ends recording.
    pub fn finish(mut self) -> Vec<Recorded> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.so_far()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The UDP datagram in an IPv4 packet, if it is a whole one to or from this port.
fn datagram_in(packet: &[u8], port: u16) -> Option<Recorded> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff;
    if packet[0] >> 4 != 4 || *packet.get(9)? != 17 || fragment != 0 {
        return None;
    }
    let octets = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    let udp = packet.get(header..)?;
    let number = |at: usize| Some(u16::from_be_bytes([*udp.get(at)?, *udp.get(at + 1)?]));
    let (from, to) = (SocketAddrV4::new(octets(12)?, number(0)?), SocketAddrV4::new(octets(16)?, number(2)?));
    let bytes = udp.get(8..usize::from(number(4)?))?.to_vec();
    (from.port() == port || to.port() == port).then_some(Recorded { from, to, bytes })
}

/// Sends datagrams under any source address of this namespace, one that a daemon has bound included.
pub struct Forger(Socket);

impl Forger {
    pub fn new(from: Ipv4Addr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).expect("a raw socket");
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        Self(socket)
    }

    pub fn send(&self, from_port: u16, to: SocketAddrV4, bytes: &[u8]) {
        let length = u16::try_from(8 + bytes.len()).unwrap();
        // Without a checksum, as IPv4 allows.
        let header = [from_port, to.port(), length, 0].map(u16::to_be_bytes).concat();
        let packet = [&header[..], bytes].concat();
        // A full queue: the next one gets through.
        drop(self.0.send_to(&packet, &SocketAddr::V4(to).into()));
    }
}

/// Sends the first fragments of datagrams whose others never come.
pub struct Fragmenter(Socket, Ipv4Addr);

impl Fragmenter {
    pub fn new(from: Ipv4Addr) -> Self {
        // IPPROTO_RAW: the header is ours to write.
        let protocol = Some(Protocol::from(255));
        Self(Socket::new(Domain::IPV4, Type::RAW, protocol).expect("a raw socket"), from)
    }

    /// `count` of them, each the beginning of a datagram of its own of 60,000 bytes.
    pub fn send_incomplete(&self, to: SocketAddrV4, count: u16) {
        let before = fragments_to_join();
        for id in 0..count {
            let udp = [7_946, to.port(), 60_008, 0].map(u16::to_be_bytes).concat();
            // Version and length, more fragments, time to live, UDP; the kernel fills in length and checksum.
            let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x20, 0, 64, 17, 0, 0];
            packet[4..6].copy_from_slice(&id.to_be_bytes());
            packet.extend_from_slice(&self.1.octets());
            packet.extend_from_slice(&to.ip().octets());
            packet.extend_from_slice(&udp);
            packet.resize(20 + 8 + 1_000, 7);
            self.0.send_to(&packet, &SocketAddr::V4(to).into()).expect("a fragment goes out");
        }
        assert!(
            fragments_to_join() >= before + u64::from(count),
            "the kernel did not take them for fragments"
        );
    }
}

/// How many fragments this namespace's kernel has had to join.
fn fragments_to_join() -> u64 {
    let counts = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut lines = counts.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "ReasmReqds");
    found.unwrap().1.parse().unwrap()
}

/// The IPv4 address and port of a daemon.
pub fn v4(address: IpAddr, port: u16) -> SocketAddrV4 {
    match address {
        IpAddr::V4(ip) => SocketAddrV4::new(ip, port),
        IpAddr::V6(_) => panic!("the tests' daemons are on 127.0.0.0/8"),
    }
}
