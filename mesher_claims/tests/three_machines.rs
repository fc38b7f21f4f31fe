//! The main job's scenario and its neighbours, on pure nodes.

mod world;

use mesher_claims::address::Addresses;
use mesher_claims::event::{BrokenBy, Event};
use mesher_claims::node::Via;
use mesher_claims::record::{ClaimBody, ClaimState, HostBody, Record, Signed};
use mesher_claims::store::AgedRecord;
use mesher_claims::time::Age;
use world::World;
use world::planets::{NAMES, all_up, assert_sees, expected};

#[test]
fn three_machines_agree_on_eight_names() {
    let world = all_up();
    for on in ["alpha", "beta", "gamma"] {
        for name in NAMES {
            assert_sees(&world, on, name, Some(expected(name)));
        }
    }
    assert!(
        world.machines["gamma"]
            .events
            .iter()
            .any(|e| matches!(e, Event::Waiting { name, .. } if name.as_str() == "earth"))
    );
}

#[test]
fn names_of_a_machine_that_is_gone_expire_and_the_next_in_line_gets_them() {
    let mut world = all_up();
    world.stop("alpha");
    world.run(5_000);
    assert_sees(&world, "beta", "mercury", Some("alpha"));
    world.run(6_000);
    for on in ["beta", "gamma"] {
        assert_sees(&world, on, "mercury", None);
        assert_sees(&world, on, "earth", Some("gamma"));
        assert_sees(&world, on, "mars", Some("beta"));
    }
    world.stop("beta");
    world.run(11_000);
    assert_sees(&world, "gamma", "mars", None);
    assert_sees(&world, "gamma", "saturn", Some("gamma"));
    world.boot("alpha");
    world.run(7_000);
    for on in ["alpha", "gamma"] {
        assert_sees(&world, on, "mercury", Some("alpha"));
        assert_sees(&world, on, "venus", Some("alpha"));
        assert_sees(&world, on, "earth", Some("gamma"));
    }
    let broken =
        |e: &Event| matches!(e, Event::ClaimsBroken { why: BrokenBy::Lapse | BrokenBy::Peer, names: 3 });
    assert!(world.machines["alpha"].events.iter().any(broken));
}

#[test]
fn a_reboot_inside_the_ttl_costs_nothing() {
    let mut world = all_up();
    world.stop("alpha");
    world.run(2_000);
    world.boot("alpha");
    for _ in 0..200 {
        world.run(100);
        for on in ["beta", "gamma"] {
            assert_sees(&world, on, "earth", Some("alpha"));
            assert_sees(&world, on, "mercury", Some("alpha"));
        }
    }
}

#[test]
fn a_restarted_daemon_publishes_what_its_store_holds_before_it_talks() {
    let mut world = all_up();
    world.stop("gamma");
    world.run(500);
    world.start("gamma");
    let now = world.now("gamma");
    world.node("gamma").refresh_view(now);
    for name in NAMES {
        assert_sees(&world, "gamma", name, Some(expected(name)));
    }
}

#[test]
fn a_suspended_machine_has_lost_its_claims_and_stands_in_line_again() {
    let mut world = all_up();
    let node = world.machines.get_mut("alpha").unwrap().node.take();
    world.run(12_000);
    world.machines.get_mut("alpha").unwrap().node = node;
    world.run(1_000);
    for on in ["alpha", "beta", "gamma"] {
        assert_sees(&world, on, "earth", Some("gamma"));
        assert_sees(&world, on, "venus", Some("alpha"));
    }
}

#[test]
fn after_a_partition_the_earliest_unbroken_claim_wins_everywhere() {
    let mut world = all_up();
    world.cut.extend([("alpha", "gamma"), ("alpha", "beta")]);
    world.run(30_000);
    assert_sees(&world, "alpha", "earth", Some("alpha"));
    assert_sees(&world, "gamma", "earth", Some("gamma"));
    world.cut.clear();
    world.run(40_000);
    for on in ["alpha", "beta", "gamma"] {
        assert_sees(&world, on, "earth", Some("alpha"));
    }
}

#[test]
fn losing_the_state_directory_costs_no_name() {
    let mut world = all_up();
    world.stop("alpha");
    let alpha = world.machines.get_mut("alpha").unwrap();
    (alpha.own, alpha.store) = (None, None);
    alpha.names.retain(|name| *name != "venus");
    world.run(1_000);
    world.boot("alpha");
    world.run(3_000);
    for on in ["alpha", "beta", "gamma"] {
        assert_sees(&world, on, "earth", Some("alpha"));
        assert_sees(&world, on, "venus", None);
    }
    assert!(world.machines["alpha"].events.iter().any(|e| matches!(e, Event::Adopted { names: 3 })));
}

#[test]
fn of_two_machines_with_one_key_one_falls_silent_and_both_say_so() {
    let mut world = World::new(&[("alpha", &["a"]), ("beta", &["a", "b"]), ("gamma", &["c"])]);
    world.machines.get_mut("beta").unwrap().seed = 1;
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.boot("gamma");
    world.run(30_000);
    let reports = |name: &str| {
        world.machines[name].events.iter().filter_map(|e| match e {
            Event::KeyCopied { silenced } => Some(*silenced),
            _ => None,
        })
    };
    let both: Vec<bool> = reports("alpha").chain(reports("beta")).collect();
    assert_eq!(both.len(), 2, "each says so once");
    assert_ne!(both[0], both[1], "and one of them falls silent");
}

/// A copy of beta's key, elsewhere, overtakes beta until it yields, and then says this of `a`.
fn overtake_beta(world: &mut World, state: ClaimState, seq: u64) -> Addresses {
    let (network, key) = (world.network(), world.key("beta"));
    let claim = ClaimBody {
        host: key.host_key(),
        name: "a".parse().unwrap(),
        epoch: world::EPOCH_2026,
        state,
        addresses: None,
        seq,
    };
    let elsewhere = Addresses::new(["192.168.2.1".parse().unwrap()]).unwrap();
    // The two overtake each other, until this one yields; the other one's instance is the smaller.
    for round in 0..5 {
        let body = HostBody {
            host: key.host_key(),
            label: "alpha".parse().unwrap(),
            addresses: elsewhere.clone(),
            since: world::EPOCH_2026,
            instance: 1,
            renewed_at_ms: world.now("beta").wall_ms,
            seq: seq + 100 + 10 * round,
        };
        hear(world, Record::Host(Signed::sign(&network, &key, body)));
    }
    let silenced = |e: &Event| matches!(e, Event::KeyCopied { silenced: true });
    assert!(world.machines["beta"].events.iter().any(silenced));
    hear(world, Record::Claim(Signed::sign(&network, &key, claim)));
    elsewhere
}

fn hear(world: &mut World, record: Record) {
    let now = world.now("beta");
    world.node("beta").receive(now, vec![AgedRecord { record, age: Age::NEW }], Via::Push);
    world.run(100);
}

fn where_beta_sees_a(world: &World) -> Option<Addresses> {
    let node = world.machines["beta"].node.as_ref().unwrap();
    node.view().holder(&"a".parse().unwrap()).map(|holder| holder.addresses.clone())
}

#[test]
fn the_silent_copy_takes_the_others_word_over_its_own_that_never_left_it() {
    let mut world = World::new(&[("beta", &["a", "b"])]);
    world.seq_may_repeat = true;
    world.boot_founder("beta");
    world.run(6_000);
    // Its word on a name is newer than what the other ever said of it.
    world.claim("beta", &["b"]);
    world.run(100);
    let elsewhere = overtake_beta(&mut world, ClaimState::Held, 1);
    assert_eq!(where_beta_sees_a(&world), Some(elsewhere), "a, where the other one says");
}

#[test]
fn who_yielded_to_a_copy_claims_its_names_again_after_a_restart() {
    let mut world = World::new(&[("beta", &["a", "b"])]);
    world.seq_may_repeat = true;
    world.boot_founder("beta");
    world.run(6_000);
    // The copy's last word, which is newer than beta's own, was that it gives the name up.
    overtake_beta(&mut world, ClaimState::Withdrawn, 1_000);
    assert_eq!(where_beta_sees_a(&world), None);
    world.stop("beta");
    world.start("beta");
    world.run(6_000);
    assert_eq!(
        where_beta_sees_a(&world).as_ref(),
        Some(&world.machines["beta"].addresses),
        "a, its own again"
    );
}

#[test]
fn who_yielded_to_a_copy_claims_nothing_when_it_finds_that_its_clock_was_slow() {
    let mut world = World::new(&[("alpha", &["c"]), ("beta", &["a", "b"])]);
    world.seq_may_repeat = true;
    world.ttl_ms = 60_000;
    world.isolate("beta");
    world.boot_founder("alpha");
    world.machines.get_mut("beta").unwrap().clock_off_ms = -world::EPOCH_2026.cast_signed();
    world.boot_founder("beta");
    world.run(6_000);
    overtake_beta(&mut world, ClaimState::Withdrawn, 1_000);
    assert_eq!(where_beta_sees_a(&world), None);
    // It has claimed alone, by a clock at 1970, and meets alpha's only now.
    world.cut.clear();
    world.run(20_000);
    assert_sees(&world, "beta", "c", Some("alpha"));
    assert_eq!(where_beta_sees_a(&world), None, "a, which the other one gave up");
}

#[test]
fn a_machine_at_1970_that_claimed_alone_is_raised_when_it_meets_the_others() {
    let mut world = World::new(&[("alpha", &["a"]), ("beta", &["x"]), ("gamma", &["x"])]);
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.run(3_000);
    // gamma knew the network before; it starts alone, at 1970, and claims what beta holds.
    world.machines.get_mut("gamma").unwrap().clock_off_ms = -world::EPOCH_2026.cast_signed();
    world.cut.extend([("alpha", "gamma"), ("beta", "gamma")]);
    world.boot_founder("gamma");
    world.run(10_000);
    assert_sees(&world, "gamma", "x", Some("gamma"));
    world.cut.clear();
    world.run(40_000);
    for on in ["alpha", "beta", "gamma"] {
        assert_sees(&world, on, "x", Some("beta"));
    }
    assert!(world.machines["gamma"].events.iter().any(|e| matches!(e, Event::EpochsRaised { .. })));
}

#[test]
fn an_epoch_that_was_ahead_of_a_slow_clock_is_not_moved_by_what_the_clock_was_slow() {
    const HOUR_MS: i64 = 3_600_000;
    let mut world = World::new(&[("alpha", &["a"]), ("beta", &["b"]), ("gamma", &["c"])]);
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.boot("gamma");
    world.run(3_000);
    // gamma restarts with a clock that is an hour slow, alone, and claims x: above its own last stamp, so rightly.
    world.stop("gamma");
    let gamma = world.machines.get_mut("gamma").unwrap();
    gamma.clock_off_ms = -HOUR_MS;
    gamma.names.push("x");
    world.cut.extend([("alpha", "gamma"), ("beta", "gamma")]);
    world.boot("gamma");
    world.run(6_000);
    assert_sees(&world, "gamma", "x", Some("gamma"));
    // Half a minute later beta claims it too.
    world.run(30_000);
    world.machines.get_mut("beta").unwrap().names.push("x");
    let (now, config) = (world.now("beta"), world.config("beta"));
    world.node("beta").set_config(now, config);
    world.run(1_000);
    assert_sees(&world, "beta", "x", Some("beta"));
    world.cut.clear();
    world.run(60_000);
    for on in ["alpha", "beta", "gamma"] {
        assert_sees(&world, on, "x", Some("gamma"));
    }
}
