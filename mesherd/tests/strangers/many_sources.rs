//! A flood from thousands of addresses.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::attack::seeded;
use crate::attack::stranger::{Recorded, in_namespace, v4};
use crate::cluster::Daemon;
use crate::floods::{MIB, made_up};
use crate::{SOON, Watched, claim};

#[test]
fn a_flood_from_ten_thousand_addresses_costs_little_and_keeps_no_newcomer_out() {
    in_namespace(|| {
        let Watched { cluster, alpha, beta, manager, recorded } = Watched::start();
        let target = v4(alpha.address, cluster.port());
        // The worst that a stranger has: datagrams that open. The first of all was a hello.
        let genuine: Vec<Vec<u8>> =
            recorded.iter().filter(|one| one.to == target).map(|one| one.bytes.clone()).take(2).collect();
        let (before, begin) = (alpha.memory(), Instant::now());
        let mut flood = Flood { target, genuine, recorded, rng: seeded(), sums: Sums::default() };
        let mut gamma = cluster.daemon("gamma", 3, &["saturn"], &[1]);
        let (mut in_after, mut drones) = (None, None);
        while flood.sums.sources < 10_000 || in_after.is_none() {
            flood.batch(&alpha);
            // By then no host that was not heard before has a rate limit to itself.
            if flood.sums.sources >= 5_000 && gamma.child.is_none() {
                drones = Some(Drones::send(target, flood.genuine.clone()));
                gamma.start();
            }
            let both = || !alpha.lookup("saturn.sol").is_empty() && !gamma.lookup("earth.sol").is_empty();
            if in_after.is_none() && gamma.child.is_some() && both() {
                in_after = Some(flood.sums.sources - 5_000);
            }
            assert!(flood.sums.sources < 25_000, "no newcomer gets in: {:?}\n{}", flood.sums, gamma.log());
        }
        let drones = drones.map_or(0, Drones::end);
        claim(&beta, "late");
        alpha.wait_for("late.sol", Some(beta.address), SOON);
        manager.assert_fed_since(begin);
        let (sums, took, after) = (flood.sums, begin.elapsed(), alpha.memory());
        eprintln!(
            "{sums:?} in {took:?}, and {drones} requests from a thousand more; a newcomer was in {in_after:?} sources after it came; {} KiB resident before, {} at most",
            before.0 >> 10,
            after.1 >> 10
        );
        assert_eq!(sums.answered_garbage, 0, "garbage was answered");
        assert!(sums.bytes_back <= sums.bytes_replayed, "an answer larger than its question");
        assert!(after.1 < before.0 + 16 * MIB, "{} MiB at most", after.1 / MIB);
        alpha.wait_for("earth.sol", Some(alpha.address), Duration::ZERO);
    });
}

/// A thousand addresses beyond those that have a rate limit to themselves, each of which asks a few times a second without a pause:
/// thousands of requests a second, which leave a limit that all shared nothing for a newcomer.
struct Drones(Arc<AtomicBool>, Option<std::thread::JoinHandle<u64>>);

impl Drones {
    const PAUSE: Duration = Duration::from_micros(100);

    fn send(target: SocketAddrV4, genuine: Vec<Vec<u8>>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&done);
        let drones = move || {
            let sockets: Vec<_> = (0..1_000u32)
                .map(|n| UdpSocket::bind((Ipv4Addr::from(0x7f02_0000 + n), 7_947)).unwrap())
                .collect();
            let mut sent = 0;
            for (socket, datagram) in sockets.iter().cycle().zip(genuine.iter().cycle()) {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                sent += u64::from(socket.send_to(datagram, target).is_ok());
                std::thread::sleep(Self::PAUSE);
            }
            sent
        };
        Self(done, Some(std::thread::spawn(drones)))
    }

    fn end(mut self) -> u64 {
        self.0.store(true, Ordering::Relaxed);
        self.1.take().map_or(0, |thread| thread.join().unwrap())
    }
}

impl Drop for Drones {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A flood from many addresses, as fast as its target takes it in: a queue that is full keeps out everybody alike, and would
/// hide what the many addresses do.
struct Flood {
    target: SocketAddrV4,
    genuine: Vec<Vec<u8>>,
    recorded: Vec<Recorded>,
    rng: fastrand::Rng,
    sums: Sums,
}

/// What a flood came to.
#[derive(Debug, Default)]
struct Sums {
    sources: u64,
    answered_garbage: u64,
    bytes_replayed: u64,
    bytes_back: u64,
}

impl Flood {
    /// Fifty addresses more: from each garbage from one port, and replays from another.
    fn batch(&mut self, target: &Daemon) {
        let bind = |n: u64, port| {
            let ip = Ipv4Addr::from(0x7f01_0000 + u32::try_from(n % 60_000).unwrap());
            let socket = UdpSocket::bind((ip, port)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let first = self.sums.sources;
        let sockets: Vec<[UdpSocket; 2]> =
            (first..first + 50).map(|n| [bind(n, 7_946), bind(n, 7_947)]).collect();
        self.sums.sources += 50;
        let received = target.metric("mesher_gossip_datagrams_received_total");
        let mut sent = 0;
        for [garbage, replays] in &sockets {
            sent += u64::from(garbage.send_to(&made_up(&mut self.rng, &self.recorded), self.target).is_ok());
            for datagram in &self.genuine {
                let bytes = replays.send_to(datagram, self.target).unwrap_or(0);
                self.sums.bytes_replayed += bytes as u64;
                sent += u64::from(bytes > 0);
            }
        }
        let begin = Instant::now();
        while target.metric("mesher_gossip_datagrams_received_total") < received + sent * 9 / 10
            && begin.elapsed() < Duration::from_secs(2)
        {}
        let mut buffer = [0; 2_048];
        for [garbage, replays] in &sockets {
            while garbage.recv(&mut buffer).is_ok() {
                self.sums.answered_garbage += 1;
            }
            while let Ok(len) = replays.recv(&mut buffer) {
                self.sums.bytes_back += len as u64;
            }
        }
    }
}
