//! What a restart may cost, and what not: nothing, a place in line, or a word never said twice.

mod world;

use mesher_claims::event::{BrokenBy, Event};
use mesher_claims::names::ClaimName;
use world::World;
use world::planets::{NAMES, all_up, assert_sees, expected, planets};

fn epoch(world: &World, on: &str, name: &str) -> u64 {
    let name: ClaimName = name.parse().unwrap();
    world.machines[on].node.as_ref().unwrap().own().claim(&name).unwrap().epoch
}

/// The planets under a TTL of 30 s; alpha's power goes 9 s after its last renewal, and comes back after so long.
fn alpha_is_away_for(away_ms: u64) -> World {
    let mut world = planets();
    world.ttl_ms = 30_000;
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.boot("gamma");
    world.run(4_000);
    let alpha = world.key("alpha").host_key();
    // Renewals come every 10 s.
    while world.node("beta").store().host(&alpha).unwrap().record().unwrap().seq < 6 {
        world.run(10);
    }
    world.run(9_000);
    world.save_store("alpha");
    world.cut_power("alpha");
    world.run(away_ms);
    world.boot("alpha");
    world
}

#[test]
fn back_after_half_the_ttl_a_host_has_its_names() {
    let mut world = alpha_is_away_for(15_000);
    for _ in 0..300 {
        for on in ["beta", "gamma"] {
            assert_sees(&world, on, "earth", Some("alpha"));
        }
        world.run(100);
    }
    assert_sees(&world, "alpha", "earth", Some("alpha"));
}

#[test]
fn back_after_eight_tenths_of_the_ttl_a_host_that_renewed_three_tenths_before_stands_in_line_again() {
    let mut world = alpha_is_away_for(24_000);
    for step in 0..300 {
        world.run(100);
        // gamma had it before alpha was back, and keeps it; alpha itself never thinks otherwise.
        for on in ["beta", "gamma"] {
            assert_sees(&world, on, "earth", Some("gamma"));
        }
        assert_ne!(world.lookup("alpha", "earth").as_deref(), Some("alpha"), "after {step} steps");
    }
    assert_sees(&world, "gamma", "mercury", Some("alpha"));
    let broken =
        |e: &Event| matches!(e, Event::ClaimsBroken { why: BrokenBy::Lapse | BrokenBy::Peer, names: 3 });
    assert!(world.machines["alpha"].events.iter().any(broken));
}

#[test]
fn losing_only_the_store_of_others_records_costs_nothing() {
    let mut world = all_up();
    let before = epoch(&world, "alpha", "earth");
    world.stop("alpha");
    world.machines.get_mut("alpha").unwrap().store = None;
    world.run(1_500);
    world.boot("alpha");
    world.run(2_000);
    for on in ["alpha", "beta", "gamma"] {
        for name in NAMES {
            assert_sees(&world, on, name, Some(expected(name)));
        }
    }
    assert_eq!(epoch(&world, "alpha", "earth"), before);
}

#[test]
fn reinstalled_with_its_key_but_without_one_of_its_names_a_host_gives_that_one_up() {
    let mut world = all_up();
    let before = epoch(&world, "alpha", "mercury");
    world.stop("alpha");
    let alpha = world.machines.get_mut("alpha").unwrap();
    (alpha.own, alpha.store) = (None, None);
    alpha.names = vec!["mercury", "venus"];
    world.run(1_500);
    world.boot("alpha");
    world.run(3_000);
    for on in ["alpha", "beta", "gamma"] {
        assert_sees(&world, on, "earth", Some("gamma"));
        assert_sees(&world, on, "mercury", Some("alpha"));
    }
    assert_eq!(epoch(&world, "alpha", "mercury"), before, "what it goes on claiming it claims as before");
}

#[test]
fn after_a_power_cut_at_a_save_nothing_is_signed_twice_with_one_seq() {
    // The world checks every message for that.
    for written in [false, true] {
        for at_ms in (0..6_000).step_by(250) {
            let mut world = all_up();
            world.run(at_ms);
            world.save_store("alpha");
            world.machines.get_mut("alpha").unwrap().cut_at_save = Some(written);
            world.claim("alpha", &["mercury", "venus", "earth", "pluto"]);
            world.run(10);
            assert!(world.machines["alpha"].node.is_none(), "a new claim is saved before it is sent");
            assert_sees(&world, "gamma", "pluto", None);
            world.run(1_000);
            world.boot("alpha");
            world.run(4_000);
            for on in ["alpha", "beta", "gamma"] {
                assert_sees(&world, on, "earth", Some("alpha"));
                assert_sees(&world, on, "pluto", Some("alpha"));
            }
        }
    }
}

/// That no peer heard of it is nothing this host can know.
#[test]
fn a_name_given_up_in_a_save_before_a_power_cut_is_claimed_anew() {
    let mut world = all_up();
    let before = epoch(&world, "alpha", "earth");
    world.machines.get_mut("alpha").unwrap().cut_at_save = Some(true);
    world.claim("alpha", &["mercury", "venus"]);
    world.run(10);
    assert!(world.machines["alpha"].node.is_none(), "what is given up is saved before it is sent");
    assert_sees(&world, "gamma", "earth", Some("alpha"));
    world.machines.get_mut("alpha").unwrap().names.push("earth");
    world.boot("alpha");
    world.run(2_000);
    assert!(epoch(&world, "alpha", "earth") > before);
    for on in ["alpha", "beta", "gamma"] {
        assert_sees(&world, on, "earth", Some("gamma"));
        assert_sees(&world, on, "mercury", Some("alpha"));
    }
}

#[test]
fn with_a_full_disk_nothing_leaves_that_is_not_saved_and_the_names_stay_when_there_is_room_in_time() {
    let mut world = all_up();
    world.machines.get_mut("alpha").unwrap().disk_full = true;
    world.claim("alpha", &["mercury", "venus", "earth", "pluto"]);
    world.run(4_000);
    assert_sees(&world, "gamma", "pluto", None);
    assert_sees(&world, "gamma", "earth", Some("alpha"));
    world.machines.get_mut("alpha").unwrap().disk_full = false;
    world.run(1_500);
    assert_sees(&world, "gamma", "pluto", Some("alpha"));
    // Full for longer than the TTL: for its peers alpha is away, and it stands in line again.
    world.machines.get_mut("alpha").unwrap().disk_full = true;
    world.run(12_000);
    assert_sees(&world, "gamma", "earth", Some("gamma"));
    world.machines.get_mut("alpha").unwrap().disk_full = false;
    world.run(8_000);
    for on in ["alpha", "beta", "gamma"] {
        assert_sees(&world, on, "earth", Some("gamma"));
        assert_sees(&world, on, "pluto", Some("alpha"));
    }
}

#[test]
fn a_founder_that_restarts_with_its_old_settings_changes_nothing() {
    let mut world = all_up();
    let before = epoch(&world, "alpha", "earth");
    let (now, newer) = (world.now("beta"), world.settings(2, 20_000));
    world.node("beta").bring_settings(now, newer);
    world.run(500);
    world.stop("alpha");
    world.run(2_000);
    // It has the settings' first revision in a file, and brings it again.
    world.boot_founder("alpha");
    world.run(40_000);
    for on in ["alpha", "beta", "gamma"] {
        assert_eq!(world.node(on).settings().unwrap().revision, 2, "{on}");
        for name in NAMES {
            assert_sees(&world, on, name, Some(expected(name)));
        }
    }
    assert_eq!(epoch(&world, "alpha", "earth"), before);
}

#[test]
fn a_founder_that_lost_everything_is_nobody_special() {
    let mut world = all_up();
    world.stop("alpha");
    let alpha = world.machines.get_mut("alpha").unwrap();
    (alpha.own, alpha.store, alpha.seed) = (None, None, 99);
    world.run(12_000);
    world.boot_founder("alpha");
    for _ in 0..100 {
        world.run(100);
        assert_ne!(world.lookup("alpha", "earth").as_deref(), Some("alpha"));
    }
    assert_sees(&world, "beta", "mercury", Some("alpha"));
    assert_sees(&world, "alpha", "earth", Some("gamma"));
}

#[test]
fn who_waits_for_a_name_does_not_publish_it_while_it_restarts() {
    let mut world = all_up();
    // gamma's store is of before alpha's last renewals: by it alone, alpha is gone.
    world.save_store("gamma");
    world.run(4_000);
    let gamma = world.key("gamma").host_key();
    world.cut_power("gamma");
    let renewed = |world: &mut World| {
        let now = world.now("alpha");
        world.node("alpha").store().host(&gamma).unwrap().age(now)
    };
    while renewed(&mut world) < mesher_claims::time::Age::Fresh(6_900) {
        world.run(10);
    }
    world.boot("gamma");
    let now = world.now("gamma");
    world.node("gamma").refresh_view(now);
    assert_ne!(world.lookup("gamma", "earth").as_deref(), Some("gamma"), "before it has talked to anyone");
    // What it held it publishes.
    assert_sees(&world, "gamma", "saturn", Some("gamma"));
    for _ in 0..100 {
        assert_ne!(world.lookup("gamma", "earth").as_deref(), Some("gamma"));
        world.run(100);
    }
    assert_sees(&world, "gamma", "earth", Some("alpha"));
}

#[test]
fn a_name_won_since_the_store_was_saved_is_published_at_once_after_a_kill() {
    let mut world = all_up();
    world.save_store("gamma");
    world.cut_power("alpha");
    world.run(11_000);
    assert_sees(&world, "gamma", "earth", Some("gamma"));
    world.cut_power("gamma");
    world.run(300);
    world.start("gamma");
    let now = world.now("gamma");
    world.node("gamma").refresh_view(now);
    assert_sees(&world, "gamma", "earth", Some("gamma"));
}

#[test]
fn a_host_whose_state_was_set_back_to_before_its_claims_were_broken_does_not_bring_them_back() {
    let mut world = all_up();
    let backup = world.machines["alpha"].own.clone();
    world.stop("alpha");
    world.run(12_000);
    world.boot("alpha");
    world.run(8_000);
    assert_sees(&world, "alpha", "earth", Some("gamma"));
    // A backup of the state is put back: it knows nothing of the break, and its last renewal is long ago by the clock, unless
    // that was set back with it.
    world.stop("alpha");
    world.seq_may_repeat = true;
    let alpha = world.machines.get_mut("alpha").unwrap();
    (alpha.own, alpha.store, alpha.clock_off_ms) = (backup, None, -22_000);
    world.run(1_500);
    world.boot("alpha");
    for _ in 0..100 {
        world.run(100);
        for on in ["beta", "gamma"] {
            assert_sees(&world, on, "earth", Some("gamma"));
            assert_sees(&world, on, "mercury", Some("alpha"));
        }
    }
    assert_sees(&world, "alpha", "mercury", Some("alpha"));
    assert_sees(&world, "alpha", "earth", Some("gamma"));
}

#[test]
fn a_machine_whose_clock_stood_still_while_it_was_off_believes_its_peers() {
    let mut world = all_up();
    world.stop("alpha");
    world.run(12_000);
    // It has no battery: by its own clocks it was away for the second it took to boot.
    world.machines.get_mut("alpha").unwrap().clock_off_ms = -11_000;
    world.boot("alpha");
    for _ in 0..100 {
        world.run(100);
        for on in ["beta", "gamma"] {
            assert_sees(&world, on, "earth", Some("gamma"));
        }
    }
    assert_sees(&world, "alpha", "earth", Some("gamma"));
    assert_sees(&world, "beta", "mercury", Some("alpha"));
    let broken = |e: &Event| matches!(e, Event::ClaimsBroken { why: BrokenBy::Peer, names: 3 });
    assert!(world.machines["alpha"].events.iter().any(broken));
}
