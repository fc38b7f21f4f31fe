//! Floods from one address, of everything that a stranger can make up.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mesher_control::Call;
use mesher_control::types::Status;

use crate::attack::stranger::{Fragmenter, Recorded, in_namespace, v4};
use crate::attack::{random_bytes, seeded};
use crate::cluster::Daemon;
use crate::watchdog::Manager;
use crate::{SOON, STRANGER, Watched, claim};

/// How long a flood lasts; longer by `MESHER_FLOOD_SECONDS`.
const FLOOD: Duration = Duration::from_secs(5);

pub const MIB: u64 = 1 << 20;

fn flood_time() -> Duration {
    let seconds = std::env::var("MESHER_FLOOD_SECONDS").ok().and_then(|text| text.parse().ok());
    seconds.map_or(FLOOD, Duration::from_secs)
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
pub fn made_up(rng: &mut fastrand::Rng, recorded: &[Recorded]) -> Vec<u8> {
    let genuine = &recorded[rng.usize(..recorded.len())].bytes;
    let mut bytes = genuine.clone();
    match rng.usize(..8) {
        0 => {
            let len = rng.usize(..1_400);
            random_bytes(rng, len)
        }
        // A version and a key id that are known, and then nothing that is.
        1 => {
            let len = rng.usize(..1_171);
            let noise = random_bytes(rng, len);
            [&genuine[..29], &noise].concat()
        }
        2 => {
            bytes.truncate(rng.usize(..bytes.len()));
            bytes
        }
        // Cut in two, as a fragment would be: the end.
        3 => bytes.split_off(1 + rng.usize(..bytes.len() - 1)),
        4 => {
            let at = rng.usize(..bytes.len());
            bytes[at] ^= 1 << rng.usize(..8);
            bytes
        }
        5 => {
            bytes.resize(1_201 + rng.usize(..8_000), 0);
            bytes
        }
        // So long that IP cuts it into dozens of fragments.
        6 => vec![1; 20_000 + rng.usize(..45_000)],
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
        let Watched { cluster, alpha, beta, manager, recorded } = Watched::start();
        let before = alpha.memory();

        let done = Arc::new(AtomicBool::new(false));
        let (sent, answers) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let target = v4(alpha.address, cluster.port());
        let flooder = {
            let (done, sent, answers) = (Arc::clone(&done), Arc::clone(&sent), Arc::clone(&answers));
            let mut rng = seeded();
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
