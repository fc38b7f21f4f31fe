//! Long absences: what the rest of the mesh keeps of a host that is away, and what it comes back to.

mod world;

use world::World;
use world::planets::{all_up, assert_sees};

const HOUR_MS: u64 = 3_600_000;

fn four(ttl_ms: u64) -> World {
    let mut world = World::new(&[
        ("alpha", &["mercury", "earth"]),
        ("beta", &["mars"]),
        ("gamma", &["earth", "saturn"]),
        ("delta", &["pluto"]),
    ]);
    world.ttl_ms = ttl_ms;
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.boot("gamma");
    world.run(3_000);
    world
}

#[test]
fn three_days_away_under_a_ttl_of_four_weeks_cost_nothing_whoever_restarts_and_joins_meanwhile() {
    let mut world = four(28 * 24 * HOUR_MS);
    world.run(HOUR_MS);
    world.stop("alpha");
    let found = |world: &World, on: &'static str| {
        assert_sees(world, on, "earth", Some("alpha"));
        assert_sees(world, on, "mercury", Some("alpha"));
    };
    // Each peer reboots once, and a newcomer comes that never met alpha.
    for peer in ["beta", "gamma"] {
        world.run(12 * HOUR_MS);
        world.stop(peer);
        world.run(60_000);
        world.boot(peer);
        world.run(1_000);
        found(&world, peer);
    }
    world.run(12 * HOUR_MS);
    world.boot("delta");
    world.run(1_000);
    found(&world, "delta");
    world.run(36 * HOUR_MS);
    ["beta", "gamma", "delta"].iter().for_each(|on| found(&world, on));
    world.boot("alpha");
    for _ in 0..100 {
        world.run(1_000);
        ["alpha", "beta", "gamma", "delta"].iter().for_each(|on| found(&world, on));
    }
}

#[test]
fn a_ttl_lowered_while_a_host_is_away_counts_for_it() {
    let mut world = four(60_000);
    world.run(2_000);
    world.stop("alpha");
    world.run(1_000);
    let (now, lower) = (world.now("beta"), world.settings(2, 10_000));
    world.node("beta").bring_settings(now, lower);
    // It comes into force one new TTL later, so that who is there has learnt of it.
    world.run(9_000);
    assert_sees(&world, "beta", "earth", Some("alpha"));
    world.run(2_000);
    assert_sees(&world, "beta", "earth", Some("gamma"));
    // alpha knows the old TTL, by which it was not away for long.
    world.boot("alpha");
    for _ in 0..100 {
        world.run(100);
        ["beta", "gamma"].iter().for_each(|on| assert_sees(&world, on, "earth", Some("gamma")));
    }
    assert_sees(&world, "alpha", "earth", Some("gamma"));
    assert_sees(&world, "beta", "mercury", Some("alpha"));
}

#[test]
fn a_ttl_raised_while_a_host_is_away_counts_for_it() {
    let mut world = four(10_000);
    world.run(2_000);
    world.stop("alpha");
    world.run(3_000);
    let (now, higher) = (world.now("beta"), world.settings(2, 60_000));
    world.node("beta").bring_settings(now, higher);
    world.run(30_000);
    assert_sees(&world, "beta", "earth", Some("alpha"));
    // By the TTL that alpha knows it was away for too long; by the one in force it was not.
    world.boot("alpha");
    for _ in 0..300 {
        world.run(100);
        ["beta", "gamma"].iter().for_each(|on| assert_sees(&world, on, "earth", Some("alpha")));
    }
    assert_sees(&world, "alpha", "earth", Some("alpha"));
}

#[test]
fn a_withdrawal_that_every_peer_has_forgotten_holds_against_one_who_missed_it() {
    let mut world = all_up();
    world.stop("beta");
    world.claim("alpha", &["mercury", "earth"]);
    world.run(1_000);
    assert_sees(&world, "gamma", "venus", None);
    // gamma forgets; beta, which was away, still has the claim, and teaches it to gamma before alpha is there again.
    world.isolate("alpha");
    world.stop("gamma");
    world.machines.get_mut("gamma").unwrap().store = None;
    world.run(1_000);
    world.boot("beta");
    world.boot("gamma");
    world.run(500);
    world.cut.clear();
    world.run(40_000);
    for _ in 0..100 {
        world.run(500);
        for on in ["alpha", "beta", "gamma"] {
            assert_sees(&world, on, "venus", None);
            assert_sees(&world, on, "mercury", Some("alpha"));
        }
    }
}

#[test]
fn a_host_record_that_everybody_has_forgotten_comes_back_with_all_its_claims() {
    let mut world = all_up();
    world.stop("alpha");
    // Twice the TTL, and then some: its claims are dropped, a stub is kept.
    world.run(60_000);
    world.boot("alpha");
    world.run(8_000);
    for on in ["alpha", "beta", "gamma"] {
        assert_sees(&world, on, "mercury", Some("alpha"));
        assert_sees(&world, on, "earth", Some("gamma"));
    }
}
