//! Join, then claim: with whom a machine may be synchronised before it claims anything.

mod world;

use mesher_claims::event::{Event, JoinedBy};
use mesher_claims::record::Admission;
use world::planets::{NAMES, all_up, assert_sees, expected, planets};
use world::{EPOCH_2026, World};

#[test]
fn a_newcomer_does_not_claim_by_the_word_of_a_peer_that_knows_nobody() {
    let mut world = planets();
    world.boot_founder("alpha");
    world.run(6_000);
    // beta has just come too: it has the settings, and nothing of alpha yet.
    world.cut.extend([("alpha", "beta"), ("alpha", "gamma")]);
    world.boot_founder("beta");
    world.boot("gamma");
    for _ in 0..5 {
        world.run(100);
        assert_sees(&world, "gamma", "earth", None);
    }
    world.cut.clear();
    for _ in 0..100 {
        world.run(100);
        assert_ne!(world.lookup("gamma", "earth").as_deref(), Some("gamma"));
    }
    assert_sees(&world, "gamma", "earth", Some("alpha"));
}

#[test]
fn a_newcomer_does_not_claim_by_the_word_of_a_peer_that_was_away() {
    let mut world = all_up();
    world.stop("beta");
    world.run(12_000);
    // gamma's own state is lost: it is new, and its old claims are over.
    world.stop("gamma");
    world.run(12_000);
    let gamma = world.machines.get_mut("gamma").unwrap();
    (gamma.own, gamma.store) = (None, None);
    world.cut.extend([("alpha", "beta"), ("alpha", "gamma")]);
    world.boot("beta");
    world.boot("gamma");
    world.run(500);
    assert_sees(&world, "gamma", "earth", None);
    assert_sees(&world, "gamma", "saturn", None);
    world.cut.clear();
    for _ in 0..100 {
        world.run(100);
        assert_ne!(world.lookup("gamma", "earth").as_deref(), Some("gamma"));
    }
    assert_sees(&world, "gamma", "saturn", Some("gamma"));
}

#[test]
fn two_newcomers_do_not_wait_for_each_other_for_ever() {
    let mut world = planets();
    world.boot_founder("alpha");
    world.run(100);
    world.boot("gamma");
    world.run(4_800);
    for on in ["alpha", "gamma"] {
        assert_sees(&world, on, "earth", None);
    }
    // alpha's join_timeout is over, and its news brings gamma in at once.
    world.run(150);
    for on in ["alpha", "gamma"] {
        assert_sees(&world, on, "earth", Some("alpha"));
        assert_sees(&world, on, "saturn", Some("gamma"));
    }
}

#[test]
fn machines_that_all_restart_at_once_are_back_at_once() {
    let mut world = all_up();
    let all = ["alpha", "beta", "gamma"];
    all.iter().for_each(|name| world.stop(name));
    // Each has renewed since the others' stores were saved, as after a power cut.
    let stale: Vec<_> = all.iter().map(|name| world.machines[name].store.clone()).collect();
    all.iter().for_each(|name| world.start(name));
    world.run(100);
    all.iter().for_each(|name| world.stop(name));
    for (name, store) in all.iter().zip(stale) {
        world.machines.get_mut(name).unwrap().store = store;
    }
    world.run(3_000);
    all.iter().for_each(|name| {
        world.machines.get_mut(name).unwrap().events.clear();
        world.boot(name);
    });
    world.run(100);
    for on in all {
        for name in NAMES {
            assert_sees(&world, on, name, Some(expected(name)));
        }
        let joined = |e: &Event| matches!(e, Event::Joined { how: JoinedBy::Synchronised });
        assert!(world.machines[on].events.iter().any(joined), "{on} waits");
    }
}

#[test]
fn who_waits_long_for_the_mesh_still_has_its_certificate_then() {
    let mut world = planets();
    world.admission = Admission::Certified;
    world.join_timeout_ms = 30_000;
    world.boot_founder("alpha");
    // Longer than twice the TTL, after which the store forgets whoever has no host record.
    world.run(31_000);
    assert_sees(&world, "alpha", "earth", Some("alpha"));
}

/// Lets time pass until a machine asks for a synchronisation, and that question has gone astray.
fn ask_in_vain(world: &mut World, name: &'static str) {
    let asked = world.questions[name];
    while world.questions[name] == asked {
        world.run(100);
    }
    world.run(100);
}

/// beta is cut off and has missed that gamma claims pluto.
fn beta_lacks_pluto() -> World {
    let mut world = planets();
    // Renewals, which would show that something was missed, are rare.
    world.ttl_ms = 600_000;
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.boot("gamma");
    world.run(3_000);
    world.isolate("beta");
    world.claim("gamma", &["earth", "saturn", "uranus", "neptune", "pluto"]);
    world
}

#[test]
fn a_question_that_nobody_answers_is_asked_again_soon() {
    let mut world = beta_lacks_pluto();
    ask_in_vain(&mut world, "beta");
    assert_sees(&world, "beta", "pluto", None);
    world.cut.clear();
    // The next question that is due by the clock is further away than 20 s.
    world.run(4_500);
    assert_sees(&world, "beta", "pluto", Some("gamma"));
}

#[test]
fn a_machine_that_joined_in_vain_asks_again_as_soon_as_any_other() {
    let mut world = World::new(&[("alpha", &["a"]), ("beta", &["x"]), ("gamma", &["x"])]);
    // Renewals, which would show that something was missed, are rare.
    world.ttl_ms = 600_000;
    world.machines.get_mut("gamma").unwrap().clock_off_ms = -EPOCH_2026.cast_signed();
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.run(1_000);
    // gamma's clock says 1970, and it finds nobody: in its own eyes it is the first to claim x.
    world.isolate("gamma");
    world.boot_founder("gamma");
    world.run(5_100);
    assert_sees(&world, "gamma", "x", Some("gamma"));
    ask_in_vain(&mut world, "gamma");
    world.cut.clear();
    world.run(4_500);
    for on in ["alpha", "beta", "gamma"] {
        assert_sees(&world, on, "x", Some("beta"));
    }
    assert!(world.machines["gamma"].events.iter().any(|e| matches!(e, Event::EpochsRaised { .. })));
}

#[test]
fn long_silence_makes_nobody_ask_more_rarely() {
    let mut world = beta_lacks_pluto();
    world.run(60_000);
    let asked = world.questions["beta"];
    world.run(120_000);
    // Turns are 23 to 38 s apart, and in each it asks anew after 4, 8 and, if there is time, 16 s.
    let asked = world.questions["beta"] - asked;
    assert!((11..=20).contains(&asked), "beta asked {asked} times in two minutes");
    assert_sees(&world, "beta", "pluto", None);
    world.cut.clear();
    world.run(16_100);
    assert_sees(&world, "beta", "pluto", Some("gamma"));
}

#[test]
fn a_machine_whose_state_was_set_back_joins_by_what_its_peers_know() {
    let mut world = all_up();
    world.save_store("alpha");
    let alpha = &world.machines["alpha"];
    let (own, store, events) = (alpha.own.clone(), alpha.store.clone(), alpha.events.len());
    world.run(4_000);
    world.stop("alpha");
    world.seq_may_repeat = true;
    let alpha = world.machines.get_mut("alpha").unwrap();
    (alpha.own, alpha.store) = (own, store);
    world.boot("alpha");
    world.run(100);
    let told = &world.machines["alpha"].events[events..];
    assert!(told.contains(&Event::Joined { how: JoinedBy::Synchronised }), "{told:?}");
    assert!(told.iter().any(|event| matches!(event, Event::OwnRecordAhead { .. })), "{told:?}");
    for on in ["alpha", "beta", "gamma"] {
        assert_sees(&world, on, "earth", Some("alpha"));
    }
}

#[test]
fn who_met_only_peers_that_were_joining_too_does_not_say_that_nobody_answered() {
    let mut world = planets();
    world.boot_founder("alpha");
    world.run(100);
    world.boot("gamma");
    world.run(6_000);
    let how = |name: &str| {
        world.machines[name].events.iter().find_map(|event| match event {
            Event::Joined { how } => Some(*how),
            _ => None,
        })
    };
    assert_eq!(how("alpha"), Some(JoinedBy::TimeoutAnswered));
    assert_eq!(how("gamma"), Some(JoinedBy::Synchronised));
}
