//! A network of its own for each test, whose loopback loses and cuts as it is told.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, unshare};

/// The port of every daemon (`Cluster::alone`): each test has all ports and all of 127.0.0.0/8 to itself.
pub(crate) const PORT: u16 = 7946;

/// Runs `test` on a thread in a network namespace of its own, which daemons started there inherit, when it is its turn. Fails without root where
/// `CI` is set; elsewhere says that nothing was tested.
pub(crate) fn in_network(test: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, for a network namespace");
        eprintln!("skipped: needs root, for a network namespace");
        return;
    }
    let body = move || {
        let _turn = take_turn();
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare");
        run("ip", &["link", "set", "lo", "up"]);
        test();
    };
    std::thread::spawn(body).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Two fleets run at a time, those of other runs of these tests included: a machine that has to run more of them is too slow for any
/// to keep its leases.
fn take_turn() -> Flock<File> {
    loop {
        for turn in ["fleet-1", "fleet-2"] {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(turn);
            let file = File::options().create(true).append(true).open(&path).unwrap();
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(taken) => return taken,
                Err((_, Errno::EWOULDBLOCK)) => {}
                Err((_, error)) => panic!("{}: {error}", path.display()),
            }
        }
        std::thread::sleep(Duration::from_millis(100));
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
