//! Two machines run with one key, as clones of a disk image do.

mod world;

use mesher_claims::event::Event;
use mesher_claims::node::Phase;
use world::World;

/// Who speaks last depends on when each starts and which has the larger instance.
#[test]
fn who_gives_way_to_its_copy_says_what_the_other_says_at_once() {
    for starts_before in [0, 5] {
        for pause_ms in [0, 3, 50, 500, 2_000] {
            copied(starts_before, pause_ms, true);
            copied(starts_before, pause_ms, false);
        }
    }
}

fn copied(starts_before: u64, pause_ms: u64, is_seen: bool) {
    let what = format!("after {starts_before} starts and {pause_ms} ms, seen by beta: {is_seen}");
    let mut world = World::new(&[("alpha", &["earth"]), ("beta", &["mars"]), ("twin", &["earth"])]);
    // Renewals come every 10 s: what is seen before cannot be one.
    world.ttl_ms = 30_000;
    world.seq_may_repeat = true;
    world.join_timeout_ms = 1_000;
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.run(3_000);
    world.stop("alpha");
    let (seed, own, store) = {
        let alpha = &world.machines["alpha"];
        (alpha.seed, alpha.own.clone(), alpha.store.clone())
    };
    let twin = world.machines.get_mut("twin").unwrap();
    (twin.seed, twin.own, twin.store, twin.starts) = (seed, own, store, starts_before);
    if !is_seen {
        world.cut_power("beta");
    }
    world.start("alpha");
    world.run(pause_ms);
    world.boot("twin");
    world.run(4_000);

    let told = |name: &str| {
        let events = &world.machines[name].events;
        events.iter().find_map(|event| match event {
            Event::KeyCopied { silenced } => Some(*silenced),
            _ => None,
        })
    };
    let silenced = match (told("alpha"), told("twin")) {
        (Some(true), Some(false)) => "alpha",
        (Some(false), Some(true)) => "twin",
        both => panic!("both are told, and one of them gives way: {both:?} {what}"),
    };
    let speaks = if silenced == "alpha" { "twin" } else { "alpha" };
    assert_eq!(world.node(silenced).phase(), Phase::Silenced);
    assert!(world.node(silenced).key_is_copied() && world.node(speaks).key_is_copied());
    for on in ["alpha", "twin", "beta"].into_iter().take(if is_seen { 3 } else { 2 }) {
        assert_eq!(world.lookup(on, "earth").as_deref(), Some(speaks), "on {on} {what}");
    }
}

/// The silent copy has all that the speaking one said. A peer that asks it must not take what it withholds for what nobody has.
#[test]
fn who_gave_way_to_its_copy_gives_it_its_claims_back() {
    let mut world = World::new(&[("alpha", &["earth"]), ("beta", &["mars"]), ("twin", &["earth"])]);
    world.ttl_ms = 30_000;
    world.seq_may_repeat = true;
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.run(3_000);
    world.stop("alpha");
    let alpha = &world.machines["alpha"];
    let (seed, own, store) = (alpha.seed, alpha.own.clone(), alpha.store.clone());
    let twin = world.machines.get_mut("twin").unwrap();
    (twin.seed, twin.own, twin.store) = (seed, own, store);
    world.start("alpha");
    world.boot("twin");
    world.run(4_000);
    assert_eq!(world.node("alpha").phase(), Phase::Silenced);
    let epoch = |world: &World, on: &str| {
        let node = world.machines[on].node.as_ref().unwrap();
        node.view().holder(&"earth".parse().unwrap()).map(|holder| holder.epoch)
    };
    let held = epoch(&world, "twin").expect("twin holds earth");
    // twin loses its state, and hears only alpha when it comes back.
    world.cut_power("twin");
    let twin = world.machines.get_mut("twin").unwrap();
    (twin.own, twin.store) = (None, None);
    world.cut.insert(("twin", "beta"));
    world.run(3_000);
    world.boot("twin");
    world.run(1_000);
    for on in ["twin", "alpha"] {
        assert_eq!(epoch(&world, on), Some(held), "earth's epoch as {on} sees it");
    }
    world.cut.clear();
    world.run(12_000);
    for on in ["twin", "alpha", "beta"] {
        assert_eq!(epoch(&world, on), Some(held), "earth's epoch as {on} sees it");
    }
}
