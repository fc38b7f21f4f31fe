//! Single machines that are not as they should be: state or key lost, clocks wrong, labels and keys used twice.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mesher_control::types::Status;

use crate::attack::{self, clock::Clock};
use crate::cluster::lookup;
use crate::fleet::{Fleet, address, all_but, answers, renewal_interval};
use crate::network::in_network;
use crate::turns::stretch;

const SOON: Duration = Duration::from_secs(60);

const SIZE: usize = 6;

/// The TTL of so few.
fn ttl_of_few() -> Duration {
    Duration::from_secs(12) * stretch()
}

/// Six daemons that know each other; number 5 claims `contested` first, and number 6 after it.
fn started(what: &str) -> Fleet {
    let mut fleet = Fleet::new(what, SIZE, ttl_of_few(), |_| Vec::new());
    fleet.start_and_settle();
    contested(&fleet);
    fleet
}

fn contested(fleet: &Fleet) {
    fleet.claim(5, "contested");
    fleet.agree("first claim", SOON, |names| names.get("contested.sol") == Some(&vec![address(5)]));
    fleet.claim(6, "contested");
}

fn state(fleet: &Fleet, number: usize) -> PathBuf {
    fleet.number(number).dir.join("state")
}

#[test]
fn the_state_is_lost_and_the_key_is_left() {
    in_network(|| {
        let mut fleet = started("state lost");
        fleet.number_mut(5).stop();
        for entry in std::fs::read_dir(state(&fleet, 5)).unwrap() {
            let path = entry.unwrap().path();
            // What `mesherctl claim` was told is the operator's word, as the configuration is.
            if !path.ends_with("host.key") && !path.ends_with("claims.state") {
                std::fs::remove_file(path).unwrap();
            }
        }
        let (before, watch) = (answers(fleet.number(4)), Watch::begin(&fleet, 4));
        fleet.number_mut(5).start();
        fleet.agree("with the key alone", SOON, |names| *names == before);
        std::thread::sleep(ttl_of_few() + Duration::from_secs(2));
        assert_eq!(answers(fleet.number(4)), before);
        assert_eq!(watch.end(), [], "nobody sees that anything was lost");
        let log = fleet.number(5).log();
        assert!(log.contains("took up the claims on 2 names as the peers had kept them"), "{log}");
    });
}

/// All machines may have one configuration: the first one's list of bootstrap nodes has nobody but itself.
#[test]
fn a_founder_does_not_wait_for_itself() {
    in_network(|| {
        let mut fleet = Fleet::new("founder", 1, ttl_of_few(), |_| Vec::new());
        let config = fleet.number(1).dir.join("config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let alone = format!("bootstrap_nodes = [\"{}:{}\"]", address(1), crate::network::PORT);
        let lines = text.lines().map(|line| match line.split(' ').next() {
            Some("bootstrap_nodes") => &*alone,
            Some("join_timeout") => "join_timeout = \"60s\"",
            _ => line,
        });
        std::fs::write(&config, Vec::from_iter(lines).join("\n")).unwrap();
        fleet.start_all();
        // With a join_timeout of a minute it would not be there.
        fleet.agree("its own name", SOON, |names| all_but(names, 1, &[]));
        fleet.number(1).wait_log("names no other machine, and no peer is remembered", SOON);
    });
}

#[test]
fn the_key_is_lost() {
    in_network(|| {
        let mut fleet = started("key lost");
        fleet.number_mut(5).stop();
        std::fs::remove_dir_all(state(&fleet, 5)).unwrap();
        let watch = Watch::begin(&fleet, 4);
        fleet.number_mut(5).start();
        let begin = Instant::now();
        // The new host waits for the old one's lease to end, as any other would.
        let times = fleet.agree("a new key", ttl_of_few() + SOON, |names| {
            all_but(names, SIZE, &[]) && names.get("contested.sol") == Some(&vec![address(6)])
        });
        // A lease that began anew would end later.
        assert!(times.longest() < 2 * ttl_of_few() - renewal_interval(ttl_of_few()), "{times:?}");
        fleet.number(5).wait_log("h5.sol passed from n5", SOON);
        fleet.tell(&format!("its own name is its own again after {:.1?}", begin.elapsed()));
        let moved = watch.end();
        assert!(moved.iter().all(|change| change.0 == "contested.sol"), "the address is the same: {moved:?}");
        let log = fleet.number(5).log();
        assert!(log.contains("h5.sol is held by n5 since"), "{log}");
    });
}

#[test]
fn a_clock_is_an_hour_off() {
    in_network(|| {
        let mut fleet = Fleet::new("clocks", SIZE, ttl_of_few(), |_| Vec::new());
        for (number, ahead_s) in [(3, -3_600), (4, 3_600)] {
            let clock = Clock::new(fleet.cluster.dir.path(), &format!("n{number}"));
            clock.set_wall_ahead(ahead_s);
            clock.give_to(fleet.number_mut(number));
        }
        fleet.start_and_settle();
        // No clock gives precedence: who claims first holds.
        for (first, second, name) in
            [(5, 3, "early"), (4, 6, "late"), (3, 1, "slow-first"), (2, 4, "fast-second")]
        {
            let full = format!("{name}.sol");
            fleet.claim(first, name);
            fleet.agree(name, SOON, |names| names.get(&full) == Some(&vec![address(first)]));
            fleet.claim(second, name);
            fleet.number(second).wait_log(&format!("{full} is held by n{first} since"), SOON);
        }
        let (before, watch) = (answers(fleet.number(1)), Watch::begin(&fleet, 1));
        for number in [3, 4] {
            fleet.number_mut(number).stop();
            fleet.number_mut(number).start();
            fleet.number(number).wait_socket(SOON);
        }
        std::thread::sleep(ttl_of_few());
        fleet.agree("after a TTL and a restart of both", SOON, |names| *names == before);
        assert_eq!(watch.end(), [], "no name moved meanwhile");
        for (number, word) in [(3, "behind"), (4, "ahead of")] {
            let log = fleet.number(1).log();
            let told = log
                .lines()
                .any(|line| line.contains(&format!("the clock of n{number} is ")) && line.contains(word));
            assert!(told, "{log}");
        }
        // Leases do not ask what the clock says: the dead expire in time, whoever restarts meanwhile.
        let begin = Instant::now();
        fleet.number_mut(3).kill();
        fleet.number_mut(4).kill();
        fleet.number_mut(2).stop();
        fleet.number_mut(2).start();
        let times = fleet.agree("both killed", ttl_of_few() + SOON, |names| all_but(names, SIZE, &[3, 4]));
        let latest = begin.elapsed().saturating_sub(times.longest()) + 2 * ttl_of_few()
            - renewal_interval(ttl_of_few());
        assert!(times.longest() < latest, "{times:?}");
    });
}

/// One of the gossip layer's tasks panics in a running daemon: the kernel has no random numbers for a nonce.
#[test]
fn a_task_of_gossip_dies() {
    in_network(|| {
        let mut fleet = Fleet::new("gossip dies", SIZE, ttl_of_few(), |_| Vec::new());
        let dir = fleet.cluster.dir.path();
        let (library, switch) = (attack::shim(dir, "random", "random.c"), dir.join("no-random"));
        fleet.number_mut(5).env = vec![
            ("LD_PRELOAD".into(), library.into()),
            ("MESHER_TEST_NO_RANDOM".into(), switch.clone().into()),
        ];
        fleet.start_and_settle();
        let watch = Watch::begin(&fleet, 1);
        std::fs::write(&switch, "").unwrap();
        fleet.number(5).wait_log("gossip cannot be started anew, trying again", SOON);
        std::fs::remove_file(&switch).unwrap();
        let begin = Instant::now();
        fleet.number(5).wait_log("gossip was started anew: a task of it had ended", SOON);
        for number in [5, 2] {
            let (name, full) = (format!("after{number}"), format!("after{number}.sol"));
            fleet.claim(number, &name);
            fleet.agree("a new name", SOON, |names| names.get(&full) == Some(&vec![address(number)]));
        }
        fleet.tell(&format!("it takes part again {:.1?} after the kernel is well", begin.elapsed()));
        std::thread::sleep(ttl_of_few());
        assert_eq!(watch.end(), [], "the daemon lives, and renews");
    });
}

#[test]
fn two_machines_call_themselves_the_same() {
    in_network(|| {
        let mut fleet =
            Fleet::new(
                "labels",
                SIZE,
                ttl_of_few(),
                |number| if number > 4 { vec!["both"] } else { Vec::new() },
            );
        let config = fleet.number(6).dir.join("config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replace("label = \"n6\"", "label = \"n5\"")).unwrap();
        fleet.start_and_settle();
        let holder = answers(fleet.number(1))["both.sol"].clone();
        let watch = Watch::begin(&fleet, 1);
        // Hosts are told apart by their keys; the label is what people read.
        let peers = fleet.number(1).status().peers;
        let same: Vec<_> = peers.iter().filter(|peer| peer.label == "n5").collect();
        assert_eq!(same.len(), 2, "{peers:?}");
        assert_ne!(same[0].key, same[1].key);
        for number in [1, 5, 6] {
            let warned = |status: &Status| {
                status.warnings.iter().any(|warning| warning.contains("2 machines call themselves n5"))
            };
            fleet.number(number).wait_status("a warning of the label", SOON, warned);
        }
        std::thread::sleep(ttl_of_few());
        assert_eq!(watch.end(), []);
        // Each leaves with its own names only.
        let (gone, stays) = if holder == [address(5)] { (5, 6) } else { (6, 5) };
        fleet.number_mut(gone).kill();
        fleet.agree("one of them killed", ttl_of_few() + SOON, |names| {
            all_but(names, SIZE, &[gone]) && names.get("both.sol") == Some(&vec![address(stays)])
        });
    });
}

/// Number 6 becomes a clone of number 5: the same key and state, names and label, at another address.
#[test]
fn a_machine_is_cloned_with_its_key() {
    in_network(|| {
        let mut fleet = started("cloned key");
        fleet.number_mut(6).stop();
        fleet.agree("without the machine that becomes the copy", ttl_of_few() + SOON, |names| {
            all_but(names, SIZE, &[6])
        });
        fleet.number_mut(5).stop();
        let (original, copy) = (fleet.number(5).dir.clone(), fleet.number(6).dir.clone());
        std::fs::remove_dir_all(copy.join("state")).unwrap();
        std::fs::create_dir(copy.join("state")).unwrap();
        for entry in std::fs::read_dir(original.join("state")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.join("state").join(entry.file_name())).unwrap();
        }
        let config = std::fs::read_to_string(original.join("config.toml")).unwrap();
        std::fs::write(copy.join("config.toml"), config.replace("127.0.0.5\"", "127.0.0.6\"")).unwrap();
        std::fs::write(copy.join("log"), "").unwrap();
        let watch = Watch::begin(&fleet, 1);
        let begin = Instant::now();
        fleet.number_mut(5).start();
        fleet.number_mut(6).start();
        for number in [5, 6] {
            fleet.number(number).wait_log("another machine runs with a copy of this machine's key", SOON);
        }
        fleet.tell(&format!("both have noticed after {:.1?}", begin.elapsed()));
        let silenced =
            [5, 6].map(|number| fleet.number(number).log().contains("this machine stops announcing"));
        assert!(silenced[0] != silenced[1], "one of them stops: {silenced:?}");
        let stays = if silenced[0] { 6 } else { 5 };
        fleet.agree("one of the two announces", SOON, |names| {
            names.get("h5.sol") == Some(&vec![address(stays)])
        });
        for number in [5, 6] {
            let word = "runs with a copy of this machine's key";
            let warned = |status: &Status| status.warnings.iter().any(|warning| warning.contains(word));
            fleet.number(number).wait_status("a warning", SOON, warned);
        }
        let first = watch.end();
        fleet.tell(&format!("before that, at another machine: {first:?}"));
        // Each time that one overtakes the other is a change: four times each, before whoever is to stop has been overtaken a fourth
        // time.
        assert!(first.iter().filter(|change| change.0 == "h5.sol").count() <= 8, "{first:?}");
        // From then on nothing moves.
        let (before, watch) = (answers(fleet.number(1)), Watch::begin(&fleet, 1));
        std::thread::sleep(ttl_of_few());
        fleet.agree("a TTL later", SOON, |names| *names == before);
        assert_eq!(watch.end(), [], "names flap");
    });
}

/// Notes every change of every name in one daemon's table, by looking every few milliseconds.
struct Watch {
    done: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<Vec<(String, Vec<std::net::IpAddr>)>>,
}

impl Watch {
    fn begin(fleet: &Fleet, number: usize) -> Self {
        let table = fleet.number(number).dir.join("run/hosts.table");
        let mut last = answers(fleet.number(number));
        let (done, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut changes = Vec::new();
            while told.recv_timeout(Duration::from_millis(5))
                == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                for (name, was) in &mut last {
                    let now = lookup(&table, name);
                    if now != *was {
                        was.clone_from(&now);
                        changes.push((name.clone(), now));
                    }
                }
            }
            changes
        });
        Self { done, thread }
    }

    /// Every change: the name, and what it has been from then on.
    fn end(self) -> Vec<(String, Vec<std::net::IpAddr>)> {
        drop(self.done);
        self.thread.join().unwrap()
    }
}
