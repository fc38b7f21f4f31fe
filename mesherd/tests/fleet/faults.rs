//! Loss and cuts.

use std::time::{Duration, Instant};

use crate::fleet::{Fleet, Names, address, all_but, answers, patience, size, ttl};
use crate::network::{Cut, cut, dropped, heal, in_network, lose, seen};

#[test]
fn a_tenth_of_all_datagrams_is_lost() {
    in_network(|| under_loss(10, Duration::from_secs(120)));
}

#[test]
fn a_third_of_all_datagrams_is_lost() {
    in_network(|| under_loss(30, Duration::from_secs(120)));
}

fn under_loss(percent: u32, within: Duration) {
    let size = size();
    let mut fleet = Fleet::new(&format!("{percent} % lost"), size, ttl(), |_| Vec::new());
    lose(percent);
    fleet.start_all();
    fleet.agree("cold start", within, |names| all_but(names, size, &[]));
    for (round, number) in [size, 2, size / 2].into_iter().enumerate() {
        let name = format!("new{round}");
        fleet.claim(number, &name);
        let full = format!("{name}.sol");
        fleet.agree("a new name", within, |names| names.get(&full) == Some(&vec![address(number)]));
    }
    let (expected, begin) = (answers(fleet.number(size)), Instant::now());
    let watch = ttl() * patience();
    let mut looks = 0;
    while begin.elapsed() < watch {
        for daemon in &fleet.daemons {
            let found = answers(daemon);
            assert!(
                found == expected,
                "{} after {:?}: {found:?}\n{}",
                daemon.name,
                begin.elapsed(),
                daemon.log()
            );
            looks += 1;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let (dropped, seen) = (dropped(), seen());
    let lost = dropped * 100 / seen;
    fleet.tell(&format!(
        "{looks} tables seen in {watch:?}, none lacked a name; {dropped} of {seen} datagrams lost"
    ));
    assert!(lost.abs_diff(u64::from(percent)) <= 3, "{lost} % were lost");
    heal();
}

/// Both ways, and each way alone.
#[test]
fn cut_in_halves_and_healed() {
    in_network(|| {
        let (size, ttl) = (size(), ttl());
        let mut fleet = Fleet::new("cut", size, ttl, |_| Vec::new());
        fleet.start_and_settle();
        // Each side has the earlier claim on one name, and a later one on the other.
        for (name, first, second) in [("low-first", 4, size), ("high-first", size - 1, 5)] {
            let full = format!("{name}.sol");
            fleet.claim(first, name);
            fleet.agree("first claim", SOON, |names| names.get(&full) == Some(&vec![address(first)]));
            fleet.claim(second, name);
        }
        for (round, way) in [Cut::Both, Cut::LowToHigh, Cut::HighToLow].into_iter().enumerate() {
            cut_and_heal(&fleet, round, way, ttl);
        }
    });
}

const SOON: Duration = Duration::from_secs(60);

fn cut_and_heal(fleet: &Fleet, round: usize, way: Cut, ttl: Duration) {
    let (size, half) = (fleet.daemons.len(), fleet.daemons.len() / 2);
    let (low, high): (Vec<_>, Vec<_>) =
        (1..=size).map(|n| fleet.number(n)).partition(|d| d.address <= address(half));
    let (lows, highs): (Vec<usize>, Vec<usize>) = (1..=size).partition(|n| *n <= half);
    let before = answers(fleet.number(1));
    let wanted = |names: &Names, gone: &[usize], low_first, high_first| {
        all_but(names, size, gone)
            && names.get("low-first.sol") == Some(&vec![address(low_first)])
            && names.get("high-first.sol") == Some(&vec![address(high_first)])
    };
    assert!(wanted(&before, &[], 4, size - 1), "{before:?}");

    cut(way, half, size);
    // Both sides claim a name that is new; the low side is first, by more than what their clocks are apart: each took the others' over
    // as they were when it joined, with what a busy machine needed to hear of them.
    let (new, full) = (format!("new{round}"), format!("new{round}.sol"));
    fleet.claim(7, &new);
    std::thread::sleep(Duration::from_secs(2));
    fleet.claim(size - 2, &new);
    // Whoever hears nothing of the other side gives its names up. What goes on being heard may stay or go: those who send do
    // not know that they are heard, and send there less and less.
    let within = ttl + SOON;
    if way != Cut::LowToHigh {
        fleet.agree_among(&low, &format!("{way:?} cut, low side"), within, |names| {
            wanted(names, &highs, 4, 5) && names.get(&full) == Some(&vec![address(7)])
        });
    }
    if way != Cut::HighToLow {
        fleet.agree_among(&high, &format!("{way:?} cut, high side"), within, |names| {
            wanted(names, &lows, size, size - 1) && names.get(&full) == Some(&vec![address(size - 2)])
        });
    }
    // By default not for longer; with patience, for minutes.
    std::thread::sleep(ttl * (patience() - 1));
    let lost = dropped();
    heal();
    // Those cut off still renewed: whoever holds the earlier claim has it back, and nobody's claim was broken.
    fleet.agree(&format!("{way:?} healed"), SOON * 2, |names| {
        wanted(names, &[], 4, size - 1) && names.get(&full) == Some(&vec![address(7)])
    });
    fleet.tell(&format!("{way:?}: {lost} datagrams lost"));
    for daemon in &fleet.daemons {
        assert!(!daemon.log().contains("are broken"), "{}", daemon.log());
    }
    // The loser is told; one that heard the earlier claim in time never held the name.
    let log = fleet.number(size - 2).log();
    let word = if way == Cut::HighToLow { "waits in line" } else { "passed from this machine" };
    assert!(log.lines().any(|line| line.contains(&full) && line.contains(word)), "{log}");
}
