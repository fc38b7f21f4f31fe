//! A cold start of all at once, each restarted in turn, half of them killed at one time.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::fleet::{Fleet, Spent, address, all_but, answers, patience, renewal_interval, size, ttl};
use crate::network::in_network;

const SOON: Duration = Duration::from_secs(60);

/// Who claims `shared`, beside its own name.
fn shared(number: usize) -> Vec<&'static str> {
    if number % 4 == 1 { vec!["shared"] } else { Vec::new() }
}

#[test]
fn all_start_at_once_and_each_restarts() {
    in_network(|| {
        let size = size();
        let mut fleet = Fleet::new("restarts", size, ttl(), shared);
        fleet.start_all();
        let holders: Vec<IpAddr> = (1..=size).filter(|n| !shared(*n).is_empty()).map(address).collect();
        fleet.agree("cold start", Duration::from_secs(120), |names| {
            all_but(names, size, &[])
                && names.get("shared.sol").is_some_and(|to| to.len() == 1 && holders.contains(&to[0]))
        });
        fleet.tell_spent(
            "while starting, in all of its life so far",
            Spent::default(),
            Duration::from_secs(1),
        );
        quiet(&fleet);
        news(&fleet);
        each_restarts(&mut fleet);
    });
}

#[test]
fn half_die_and_come_back() {
    in_network(|| {
        let mut fleet = Fleet::new("half", size(), ttl(), shared);
        fleet.start_and_settle();
        half_die(&mut fleet);
    });
}

/// What it costs that nothing happens but renewals.
fn quiet(fleet: &Fleet) {
    std::thread::sleep(Duration::from_secs(3));
    let (before, begin) = (fleet.spent(), Instant::now());
    std::thread::sleep(Duration::from_secs(5) * patience());
    fleet.tell_spent(&format!("quiet, under a TTL of {:?}", ttl()), before, begin.elapsed());
}

/// How fast a new name is everywhere.
fn news(fleet: &Fleet) {
    for round in 0..5 {
        let (number, name) = (1 + round * 3 % fleet.daemons.len(), format!("new{round}"));
        let before = fleet.spent();
        fleet.claim(number, &name);
        let full = format!("{name}.sol");
        fleet.agree("a new name", SOON, |names| names.get(&full) == Some(&vec![address(number)]));
        let after = fleet.spent();
        fleet.tell(&format!(
            "a new name: {} datagrams with {} bytes in all",
            after.datagrams - before.datagrams,
            after.bytes - before.bytes
        ));
    }
}

/// Nobody who looks at another machine's table sees a name go, or move.
fn each_restarts(fleet: &mut Fleet) {
    let size = fleet.daemons.len();
    let (watcher, begin) = (size, Instant::now());
    let before = answers(fleet.number(watcher));
    let tables: Vec<_> = fleet.daemons.iter().map(|daemon| daemon.dir.join("run/hosts.table")).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watched = scope.spawn(|| {
            let mut looks = 0u64;
            while !done.load(Ordering::Relaxed) {
                for (name, wanted) in &before {
                    let found = crate::cluster::lookup(&tables[watcher - 1], name);
                    assert_eq!(found, *wanted, "{name} after {:?}", begin.elapsed());
                    looks += 1;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            looks
        });
        for number in 1..size {
            let daemon = fleet.number_mut(number);
            daemon.stop();
            daemon.start();
            daemon.wait_socket(SOON);
            // From what is on disk, and not only from what its peers tell it.
            daemon.wait_for(&format!("h{number}.sol"), Some(address(number)), SOON);
            if watched.is_finished() {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
        let looks = watched.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        fleet.tell(&format!(
            "{} restarts in {:.1?}: {looks} lookups elsewhere, none failed",
            size - 1,
            begin.elapsed()
        ));
    });
    fleet.agree("after the restarts", SOON, |names| *names == before);
}

/// The lower half, which has the founder and everybody's bootstrap nodes, loses its power at one moment.
fn half_die(fleet: &mut Fleet) {
    let (size, half) = (fleet.daemons.len(), fleet.daemons.len() / 2);
    let ttl = ttl();
    let dead: Vec<usize> = (1..=half).collect();
    let begin = Instant::now();
    for number in 1..=half {
        fleet.number_mut(number).kill();
    }
    let names = answers(fleet.number(size));
    assert!(all_but(&names, size, &[]), "a lease outlives a crash: {names:?}");
    let heirs: Vec<IpAddr> = (half + 1..=size).filter(|n| !shared(*n).is_empty()).map(address).collect();
    // Leases end by age: at the earliest when the last renewal was just about due, at the latest one TTL after the crash.
    let times = fleet.agree("half killed", ttl + SOON, |names| {
        all_but(names, size, &dead)
            && names.get("shared.sol").is_some_and(|to| to.len() == 1 && heirs.contains(&to[0]))
    });
    // A lease that began anew, for any reason, would end later than a renewal's time after that.
    let latest = 2 * ttl - renewal_interval(ttl) + begin.elapsed().saturating_sub(times.longest());
    assert!(times.longest() < latest, "{:?} after a crash under a TTL of {ttl:?}", times.longest());
    let heir = answers(fleet.number(size))["shared.sol"].clone();

    fleet.claim(size, "amidst");
    fleet.agree("a new name among the rest", SOON, |names| names.contains_key("amidst.sol"));
    let before = fleet.spent();
    fleet.start_all();
    fleet.agree("the dead come back", Duration::from_secs(120), |names| {
        all_but(names, size, &[]) && names.contains_key("amidst.sol")
    });
    fleet.tell_sums("the dead come back", &before);
    // Who was away for longer than the TTL stands in line again.
    assert_eq!(answers(fleet.number(1))["shared.sol"], heir);
}
