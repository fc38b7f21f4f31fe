//! A network of its own for each test, whose loopback loses and cuts as it is told.

use std::process::Command;
use std::sync::{Arc, OnceLock};

use nix::sched::{CloneFlags, unshare};

use crate::turns::{Turn, set_stretch, slowness};

/// The port of every daemon (`Cluster::alone`): each test has all ports and all of 127.0.0.0/8 to itself.
pub(crate) const PORT: u16 = 7946;

/// How busy the machine was before the first fleet of this run.
static AT_THE_START: OnceLock<u32> = OnceLock::new();

/// Runs `test` on a thread in a network namespace of its own, which daemons started there inherit, when it is its turn. Fails
/// without root where `CI` is set; elsewhere says that nothing was tested.
///
/// Leases end by the clock, whatever else a machine does. On one that is found busy they are longer; one that is found so only after a
/// failure runs the test once more. With nothing else to do on the machine a failure is one at once.
pub(crate) fn in_network(test: impl Fn() + Send + Sync + 'static) {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, for a network namespace");
        eprintln!("skipped: needs root, for a network namespace");
        return;
    }
    let test = Arc::new(test);
    let mut turn = Turn::wait();
    // Once, before the first fleet: the others of this run are no reason for longer leases.
    let mut stretch = *AT_THE_START.get_or_init(slowness);
    if stretch > 1 {
        turn = turn.alone();
    }
    loop {
        if stretch > 1 {
            println!("the machine is busy: leases are {stretch} times as long");
        }
        let test = Arc::clone(&test);
        let body = move || {
            set_stretch(stretch);
            unshare(CloneFlags::CLONE_NEWNET).expect("unshare");
            run("ip", &["link", "set", "lo", "up"]);
            test();
        };
        let Err(panic) = std::thread::spawn(body).join() else { return };
        turn = turn.alone();
        match slowness() {
            busier if busier > stretch => stretch = busier,
            _ => std::panic::resume_unwind(panic),
        }
    }
}

/// Which way is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing passes between the two sides.
    Both,
    /// What the low numbers send does not reach the high ones.
    LowToHigh,
    /// And the other way round.
    HighToLow,
}

/// Loses `percent` of all datagrams, from now on until [`heal`].
pub(crate) fn lose(percent: u32) {
    let gossip = format!("udp dport {PORT}");
    rules(&[
        format!("{gossip} counter name seen"),
        format!("{gossip} numgen random mod 100 < {percent} counter name dropped drop"),
    ]);
}

/// Cuts daemons 1 to `low` off from those up to `all`.
pub(crate) fn cut(way: Cut, low: usize, all: usize) {
    let low_side = format!("127.0.0.1-127.0.0.{low}");
    let high_side = format!("127.0.0.{}-127.0.0.{all}", low + 1);
    let drop = |from: &str, to: &str| format!("ip saddr {from} ip daddr {to} counter name dropped drop");
    let mut list = Vec::new();
    if way != Cut::HighToLow {
        list.push(drop(&low_side, &high_side));
    }
    if way != Cut::LowToHigh {
        list.push(drop(&high_side, &low_side));
    }
    rules(&list);
}

/// Everything passes again.
pub(crate) fn heal() {
    run("nft", &["delete table inet faults"]);
}

/// How many datagrams were dropped since the fault began.
pub(crate) fn dropped() -> u64 {
    counter("dropped")
}

/// How many datagrams the rule of [`lose`] has seen.
pub(crate) fn seen() -> u64 {
    counter("seen")
}

fn counter(name: &str) -> u64 {
    let listed = run("nft", &[&format!("list counter inet faults {name}")]);
    let packets = listed.split_once("packets ").and_then(|(_, rest)| rest.split(' ').next());
    packets.and_then(|packets| packets.parse().ok()).unwrap_or_else(|| panic!("no count in {listed}"))
}

fn rules(rules: &[String]) {
    let rules = rules.join("\n");
    run(
        "nft",
        &[&format!(
            "table inet faults {{
                counter seen {{ }}
                counter dropped {{ }}
                chain faults {{
                    type filter hook input priority 0;
                    {rules}
                }}
            }}"
        )],
    );
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} (Debian: iproute2, nftables): {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
