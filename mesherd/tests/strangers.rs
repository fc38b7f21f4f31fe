//! Attacks from outside on running daemons, without the network's secret: floods, forgeries, replays.
//!
//! A stranger here sees every datagram and may send any under any address; what it lacks is the secret.

mod attack;
mod cluster;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attack::Rng;
use attack::clock::Clock;
use attack::stranger::{Forger, Fragmenter, Recorded, Recorder, in_namespace, v4};
use cluster::{Cluster, Daemon};
use mesher_control::Call;
use mesher_control::types::{Names, PeerState, Status};

const SOON: Duration = Duration::from_secs(60);
/// How long a flood lasts; longer by `MESHER_FLOOD_SECONDS`.
const FLOOD: Duration = Duration::from_secs(5);
const MIB: u64 = 1 << 20;
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

fn flood_time() -> Duration {
    let seconds = std::env::var("MESHER_FLOOD_SECONDS").ok().and_then(|text| text.parse().ok());
    seconds.map_or(FLOOD, Duration::from_secs)
}

/// Alpha and beta, who know each other's names, and what passed between them until then.
fn two(cluster: &Cluster, alpha: &mut Daemon, beta: &mut Daemon) -> Vec<Recorded> {
    let recorder = Recorder::start(cluster.port());
    alpha.start_and_hold("earth.sol", SOON);
    beta.start_and_hold("mars.sol", SOON);
    alpha.wait_for("mars.sol", Some(beta.address), SOON);
    beta.wait_for("earth.sol", Some(alpha.address), SOON);
    let recorded = recorder.finish();
    let to_alpha = recorded.iter().filter(|datagram| datagram.to == v4(alpha.address, cluster.port()));
    assert!(to_alpha.count() > 5, "{} datagrams were recorded", recorded.len());
    recorded
}

fn claim(daemon: &Daemon, name: &str) {
    let _: serde_json::Value = daemon.ask(&Call::Claim { name: name.into() });
}

/// Takes the place of systemd: reads what the daemon notifies, and notes when the watchdog was fed.
struct Manager {
    fed: Arc<Mutex<Vec<Instant>>>,
}

impl Manager {
    /// What the unit allows is twenty seconds; of eight the daemon feeds it every few.
    const WATCHDOG: Duration = Duration::from_secs(8);

    fn watch(daemon: &mut Daemon) -> Self {
        let path = daemon.dir.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        daemon.env.push(("NOTIFY_SOCKET".into(), path.into()));
        daemon.env.push(("WATCHDOG_USEC".into(), Self::WATCHDOG.as_micros().to_string().into()));
        let fed = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&fed);
        // Lives as long as the test's process.
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(len) = socket.recv(&mut buffer) {
                if String::from_utf8_lossy(&buffer[..len]).contains("WATCHDOG=1") {
                    noted.lock().unwrap().push(Instant::now());
                }
            }
        });
        Self { fed }
    }

    /// How often the watchdog was fed since then.
    fn fed_since(&self, begin: Instant) -> usize {
        self.fed.lock().unwrap().iter().filter(|fed| **fed > begin).count()
    }

    /// Asserts that since then it was fed as often as the unit asks for at least. How often beyond that is the machine's matter.
    #[track_caller]
    fn assert_fed_since(&self, begin: Instant) {
        let (fed, took) = (self.fed_since(begin), begin.elapsed());
        assert!(fed as u64 >= took.as_secs() / 20, "fed {fed} times in {took:?}");
    }
}

/// The shortest datagrams that get as far as the seal, one after the other without a pause, so that one is always waiting: the
/// daemon still answers and feeds its watchdog. (A queue that is full loses honest datagrams too: of gossip nothing is asked.)
fn line_rate(daemon: &Daemon, manager: &Manager, genuine: &Recorded) {
    let datagram = [&genuine.bytes[..29], &[0; 16]].concat();
    let done = Arc::new(AtomicBool::new(false));
    let flooders: Vec<_> = (0..2)
        .map(|_| {
            let (done, datagram, to) = (Arc::clone(&done), datagram.clone(), v4(daemon.address, 7_946));
            std::thread::spawn(move || {
                let (socket, mut sent) = (UdpSocket::bind((STRANGER, 0)).unwrap(), 0u64);
                while !done.load(Ordering::Relaxed) {
                    sent += u64::from(socket.send_to(&datagram, to).is_ok());
                }
                sent
            })
        })
        .collect();
    let begin = Instant::now();
    while manager.fed_since(begin) < 3 {
        assert!(begin.elapsed() < 2 * SOON, "fed {} times in the flood", manager.fed_since(begin));
        let asked = daemon.try_ask::<Status>(&Call::Status {});
        assert!(asked.is_ok(), "no answer in the middle of the flood: {asked:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    done.store(true, Ordering::Relaxed);
    let sent: u64 = flooders.into_iter().map(|flooder| flooder.join().unwrap()).sum();
    eprintln!("{sent} datagrams of {} bytes in {:?}", datagram.len(), begin.elapsed());
}

/// A datagram that a stranger makes up, of every kind that there is.
fn made_up(rng: &mut Rng, recorded: &[Recorded]) -> Vec<u8> {
    let genuine = &recorded[rng.below(recorded.len())].bytes;
    let mut bytes = genuine.clone();
    match rng.below(8) {
        0 => {
            let len = rng.below(1_400);
            rng.bytes(len)
        }
        // A version and a key id that are known, and then nothing that is.
        1 => {
            let len = rng.below(1_171);
            let noise = rng.bytes(len);
            [&genuine[..29], &noise].concat()
        }
        2 => {
            bytes.truncate(rng.below(bytes.len()));
            bytes
        }
        // Cut in two, as a fragment would be: the end.
        3 => bytes.split_off(1 + rng.below(bytes.len() - 1)),
        4 => {
            let at = rng.below(bytes.len());
            bytes[at] ^= 1 << rng.below(8);
            bytes
        }
        5 => {
            bytes.resize(1_201 + rng.below(8_000), 0);
            bytes
        }
        // So long that IP cuts it into dozens of fragments.
        6 => vec![1; 20_000 + rng.below(45_000)],
        _ => Vec::new(),
    }
}

/// How many datagrams a daemon has looked at and dropped.
fn looked_at_and_dropped(daemon: &Daemon) -> u64 {
    let kinds = ["not_ours", "unknown_key", "forged"];
    kinds.iter().map(|kind| daemon.metric(&format!("mesher_gossip_{kind}_total"))).sum()
}

#[test]
fn floods_of_garbage_get_no_answer_and_hinder_nothing() {
    in_namespace(|| {
        let cluster = Cluster::alone(60_000);
        let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
        let mut beta = cluster.daemon("beta", 2, &["mars"], &[1]);
        let manager = Manager::watch(&mut alpha);
        let recorded = two(&cluster, &mut alpha, &mut beta);
        let before = alpha.memory();

        let done = Arc::new(AtomicBool::new(false));
        let (sent, answers) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let target = v4(alpha.address, cluster.port());
        let flooder = {
            let (done, sent, answers) = (Arc::clone(&done), Arc::clone(&sent), Arc::clone(&answers));
            let mut rng = Rng::new();
            // Made beforehand, so that they go out as fast as the kernel takes them.
            let datagrams: Vec<Vec<u8>> = (0..4_096).map(|_| made_up(&mut rng, &recorded)).collect();
            std::thread::spawn(move || {
                let socket = UdpSocket::bind((STRANGER, 7_946)).unwrap();
                let watcher = socket.try_clone().unwrap();
                let mut buffer = [0; 2_048];
                while !done.load(Ordering::Relaxed) {
                    for datagram in &datagrams {
                        sent.fetch_add(
                            u64::from(socket.send_to(datagram, target).is_ok()),
                            Ordering::Relaxed,
                        );
                    }
                    watcher.set_nonblocking(true).unwrap();
                    while watcher.recv(&mut buffer).is_ok() {
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                    watcher.set_nonblocking(false).unwrap();
                }
            })
        };
        let fragments = Fragmenter::new(STRANGER);
        let begin = Instant::now();
        // It keeps gossiping: what either claims now, the other learns.
        let mut rounds = 0;
        // On a busy machine longer, until it is a flood.
        let flooded = || sent.load(Ordering::Relaxed) > 20_000 && looked_at_and_dropped(&alpha) > 10_000;
        while begin.elapsed() < flood_time() || !flooded() {
            assert!(begin.elapsed() < flood_time() + 3 * SOON, "the flood was none");
            rounds += 1;
            fragments.send_incomplete(target, 1_000);
            claim(&alpha, &format!("a{rounds}"));
            claim(&beta, &format!("b{rounds}"));
            beta.wait_for(&format!("a{rounds}.sol"), Some(alpha.address), SOON);
            alpha.wait_for(&format!("b{rounds}.sol"), Some(beta.address), SOON);
            std::thread::sleep(Duration::from_millis(200));
        }
        let took = begin.elapsed();
        manager.assert_fed_since(begin);
        done.store(true, Ordering::Relaxed);
        flooder.join().unwrap();
        line_rate(&alpha, &manager, &recorded[0]);
        let (sent, answers, after) =
            (sent.load(Ordering::Relaxed), answers.load(Ordering::Relaxed), alpha.memory());
        let counted = looked_at_and_dropped(&alpha);
        let per_second = sent as f64 / took.as_secs_f64();
        eprintln!(
            "{sent} datagrams in {took:?} ({per_second:.0}/s), {counted} looked at and dropped, {answers} answered; \
             {rounds} names each way; {} KiB resident before, {} at most",
            before.0 >> 10,
            after.1 >> 10
        );
        assert_eq!(answers, 0, "a stranger was answered");
        assert!(after.1 < before.0 + 16 * MIB, "{} MiB at most", after.1 / MIB);
        assert_eq!(alpha.metric("mesher_gossip_carrier_restarts_total"), 0);
        let lines = alpha.log().lines().filter(|line| line.contains("was dropped")).count();
        assert!(lines <= 6 * (1 + begin.elapsed().as_secs() as usize / 60), "{lines} lines in the journal");
    });
}

#[test]
fn a_flood_from_ten_thousand_addresses_costs_little_and_keeps_no_newcomer_out() {
    in_namespace(|| {
        let cluster = Cluster::alone(60_000);
        let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
        let mut beta = cluster.daemon("beta", 2, &["mars"], &[1]);
        let manager = Manager::watch(&mut alpha);
        let recorded = two(&cluster, &mut alpha, &mut beta);
        let target = v4(alpha.address, cluster.port());
        // The worst that a stranger has: datagrams that open. The first of all was a hello.
        let genuine: Vec<Vec<u8>> =
            recorded.iter().filter(|one| one.to == target).map(|one| one.bytes.clone()).take(2).collect();
        let (before, begin) = (alpha.memory(), Instant::now());
        let mut flood = Flood { target, genuine, recorded, rng: Rng::new(), sums: Sums::default() };
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
    rng: Rng,
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

/// Sends what was recorded towards a daemon once more, from where it came, and waits until it has looked at all of it.
fn replay(recorded: &[Recorded], daemon: &Daemon) {
    let to = v4(daemon.address, 7_946);
    for datagram in recorded.iter().filter(|datagram| datagram.to == to) {
        Forger::new(*datagram.from.ip()).send(datagram.from.port(), datagram.to, &datagram.bytes);
        std::thread::sleep(Duration::from_micros(500));
    }
    wait_looked_at(daemon);
}

/// Waits until a daemon has looked at every datagram that has come so far: one that is dropped stands behind them all.
fn wait_looked_at(daemon: &Daemon) {
    let dropped = || daemon.metric("mesher_gossip_not_ours_total");
    let (before, begin) = (dropped(), Instant::now());
    Forger::new(STRANGER).send(1, v4(daemon.address, 7_946), b"marker");
    while dropped() == before {
        assert!(begin.elapsed() < SOON, "a datagram was never looked at: {}", daemon.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Who holds a name, as the daemon says: a table whose lease is on a clock of the future is not believed.
fn holder(daemon: &Daemon, name: &str) -> Option<String> {
    let names: Names = daemon.ask(&Call::Names {});
    names.names.into_iter().find(|one| one.name == name).and_then(|one| one.holder)
}

#[track_caller]
fn wait_holder(daemon: &Daemon, name: &str, wanted: Option<&str>) {
    let begin = Instant::now();
    while holder(daemon, name).as_deref() != wanted {
        assert!(
            begin.elapsed() < SOON,
            "{name}: {:?}, expected {wanted:?}\n{}",
            holder(daemon, name),
            daemon.log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How long ago beta was last heard at alpha, as alpha says; none if never.
fn last_heard(alpha: &Daemon) -> Option<Duration> {
    let peers = alpha.status().peers;
    let beta = peers.iter().find(|peer| peer.label == "beta")?;
    beta.last_contact_ms.map(Duration::from_millis)
}

/// What passes while beta claims a name and gives it up again: replayed, it would bring the name back, if it counted.
fn claim_and_release(cluster: &Cluster, alpha: &Daemon, beta: &Daemon, name: &str) -> Vec<Recorded> {
    let recorder = Recorder::start(cluster.port());
    let full = format!("{name}.sol");
    claim(beta, name);
    wait_holder(alpha, &full, Some("beta"));
    let _: serde_json::Value = beta.ask(&Call::Release { name: name.into() });
    wait_holder(alpha, &full, None);
    recorder.finish()
}

/// Whoever had been forgotten still is, and whoever had not was heard longer ago than before.
fn not_heard_since(before: Option<Duration>, now: Option<Duration>) -> bool {
    now.is_none() || before.is_some() && now > before
}

#[test]
fn recorded_traffic_is_worth_nothing_at_once_after_minutes_and_after_days() {
    in_namespace(|| {
        let cluster = Cluster::alone(3_600_000);
        let clock = Clock::new(cluster.dir.path(), "everybody's");
        let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
        let mut beta = cluster.daemon("beta", 2, &["mars"], &[1]);
        clock.give_to(&mut alpha);
        clock.give_to(&mut beta);
        let mut recorded = two(&cluster, &mut alpha, &mut beta);
        recorded.extend(claim_and_release(&cluster, &alpha, &beta, "venus"));
        beta.kill();
        let gone = |alpha: &Daemon, when: &str| {
            assert_eq!(holder(alpha, "venus.sol"), None, "{when}");
            let restarts = alpha.metric("mesher_gossip_carrier_restarts_total");
            assert_eq!(restarts, 0, "{when}");
        };

        // At once: nothing of it is taken for a sign of life.
        wait_looked_at(&alpha);
        std::thread::sleep(Duration::from_millis(300));
        let (heard, replayed) = (last_heard(&alpha).unwrap(), alpha.metric("mesher_gossip_replayed_total"));
        replay(&recorded, &alpha);
        assert!(last_heard(&alpha).unwrap() > heard, "a replay counts as hearing from beta");
        let taken_for_replays = alpha.metric("mesher_gossip_replayed_total") - replayed;
        assert!(taken_for_replays >= 5, "{taken_for_replays} datagrams were taken for replays");
        gone(&alpha, "at once");

        // After half an hour, when the daemon has forgotten what it saw.
        for minutes in [11, 11, 11] {
            clock.advance(Duration::from_secs(60 * minutes));
            std::thread::sleep(Duration::from_millis(300));
            let heard = last_heard(&alpha);
            replay(&recorded, &alpha);
            let now = last_heard(&alpha);
            assert!(
                not_heard_since(heard, now),
                "after {minutes} minutes more: {now:?} ago, {heard:?} before"
            );
            gone(&alpha, "after minutes");
        }
        assert_eq!(holder(&alpha, "mars.sol").as_deref(), Some("beta"));

        // After three days: beta's names have long run out.
        clock.advance(Duration::from_secs(3 * 86_400));
        wait_holder(&alpha, "mars.sol", None);
        let dead = |alpha: &Daemon, when: &str| {
            replay(&recorded, alpha);
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(holder(alpha, "mars.sol"), None, "{when}: {}", alpha.log());
            let beta = alpha.status().peers.into_iter().find(|peer| peer.label == "beta");
            assert!(beta.is_none_or(|beta| beta.state == PeerState::Expired), "{when}: {}", alpha.log());
            gone(alpha, when);
        };
        dead(&alpha, "after days");
        alpha.stop();
        alpha.start();
        alpha.wait_socket(SOON);
        wait_holder(&alpha, "earth.sol", Some("alpha"));
        dead(&alpha, "after days and a restart");
        // The worst case: alpha has lost all that it knew of beta, so any record of its would be news.
        alpha.kill();
        std::fs::remove_dir_all(alpha.dir.join("state")).unwrap();
        alpha.start();
        alpha.wait_socket(SOON);
        wait_holder(&alpha, "earth.sol", Some("alpha"));
        dead(&alpha, "after days, with the state lost");
        assert!(alpha.metric("mesher_gossip_unproven_total") > 5, "nothing was replayed");
        wait_holder(&alpha, "earth.sol", Some("alpha"));
    });
}
