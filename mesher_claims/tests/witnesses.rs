//! Witnesses: their time orders the claims, for everybody alike.

mod world;

use mesher_claims::node::{Effect, Via};
use mesher_claims::record::Record;
use mesher_claims::store::AgedRecord;
use mesher_claims::time::Age;
use mesher_claims::view::Claimant;
use world::World;
use world::planets::assert_sees;

/// alpha and beta are witnesses and run; gamma and delta want the same name.
fn two_witnesses() -> World {
    let mut world = World::new(&[
        ("alpha", &["a"]),
        ("beta", &["b"]),
        ("gamma", &["earth"]),
        ("delta", &["earth"]),
        ("epsilon", &["e"]),
    ]);
    world.witnesses = vec!["alpha", "beta"];
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.run(1_000);
    world
}

/// gamma came first, then delta.
fn witnessed() -> World {
    let mut world = two_witnesses();
    world.boot("gamma");
    world.run(1_000);
    world.boot("delta");
    world.run(1_000);
    world
}

fn ranks(world: &World, on: &str, name: &str) -> Vec<(String, u64)> {
    let standing = world.machines[on].node.as_ref().unwrap().view().name(&name.parse().unwrap()).cloned();
    let rank = |claimant: &Claimant| (claimant.label.to_string(), claimant.rank_ms);
    standing.unwrap_or_default().claimants.iter().map(rank).collect()
}

#[test]
fn what_a_dead_witness_stated_is_learnt_by_newcomers_too() {
    let mut world = two_witnesses();
    // Only alpha sees the two claims when they are made; beta states later what it saw later.
    world.isolate("beta");
    world.boot("gamma");
    world.run(1_000);
    world.boot("delta");
    world.run(1_000);
    let before = ranks(&world, "gamma", "earth");
    assert_eq!(before.len(), 2);
    world.cut.clear();
    world.run(8_000);
    let stated = |world: &World, on: &str| {
        let store = world.machines[on].node.as_ref().unwrap().store();
        let earth = "earth".parse().unwrap();
        let beta = store.host(&world.key("beta").host_key()).unwrap();
        beta.statement(&world.key("gamma").host_key(), &earth).map(|statement| statement.at)
    };
    assert!(stated(&world, "delta") > Some(before[0].1 + 1_000), "beta's word alone says another time");
    assert_eq!(ranks(&world, "gamma", "earth"), before);
    world.cut_power("alpha");
    // Longer than the TTL: alpha's own claims are over. Its word as a witness is not.
    world.run(15_000);
    world.boot("epsilon");
    world.run(2_000);
    assert_sees(&world, "epsilon", "earth", Some("gamma"));
    for on in ["beta", "gamma", "delta", "epsilon"] {
        assert_eq!(ranks(&world, on, "earth"), before, "as {on} sees it");
    }
}

#[test]
fn a_claim_back_dated_by_a_lying_clock_waits_behind_what_witnesses_saw_before() {
    let mut world = witnessed();
    let epsilon = world.machines.get_mut("epsilon").unwrap();
    epsilon.names = vec!["earth"];
    epsilon.clock_off_ms = -86_400_000;
    // It claims alone, a day back, and then meets the others.
    world.isolate("epsilon");
    world.boot_founder("epsilon");
    world.run(8_000);
    world.cut.clear();
    world.run(40_000);
    for on in ["alpha", "beta", "gamma", "delta", "epsilon"] {
        assert_sees(&world, on, "earth", Some("gamma"));
        assert_eq!(ranks(&world, on, "earth").len(), 3, "{on}");
    }
}

#[test]
fn while_no_witness_lives_nobody_new_holds_a_name() {
    let mut world = witnessed();
    world.cut_power("alpha");
    world.cut_power("beta");
    world.boot("epsilon");
    world.run(20_000);
    assert_sees(&world, "gamma", "e", None);
    assert_sees(&world, "gamma", "earth", Some("gamma"));
    world.boot("beta");
    world.run(8_000);
    assert_sees(&world, "gamma", "e", Some("epsilon"));
    assert_sees(&world, "epsilon", "earth", Some("gamma"));
}

/// Its peers keep what it had stated before, with the very `seq` that it uses again, or with a higher one. Which of two that have one
/// `seq` is the greater depends on the bits of the epochs.
#[test]
fn a_witness_that_lost_its_state_stands_by_what_it_stated_since() {
    for away_ms in [1_000, 1_060, 1_120, 1_180, 1_240] {
        a_witness_loses_its_state(away_ms, false);
    }
    a_witness_loses_its_state(1_000, true);
}

fn a_witness_loses_its_state(away_ms: u64, higher: bool) {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let what = format!("after {away_ms} ms, higher: {higher}");
    let mut world = World::new(&[("alpha", if higher { &[] } else { &NAMES }), ("beta", &["z"])]);
    world.witnesses = vec!["alpha"];
    world.seq_may_repeat = true;
    world.boot_founder("alpha");
    world.run(15_000);
    world.claim("alpha", &NAMES);
    world.boot("beta");
    world.run(3_000);
    let all = |world: &World, on: &str| NAMES.map(|name| ranks(world, on, name));
    let before = all(&world, "beta");
    world.stop("alpha");
    let alpha = world.machines.get_mut("alpha").unwrap();
    (alpha.own, alpha.store) = (None, None);
    world.isolate("alpha");
    world.run(away_ms);
    world.boot_founder("alpha");
    world.run(6_000);
    let alone = all(&world, "alpha");
    assert!(alone.iter().zip(&before).all(|(now, before)| now.len() == 1 && now > before), "{alone:?}");
    world.cut.clear();
    for _ in 0..400 {
        world.run(100);
        assert_eq!(all(&world, "alpha"), alone, "as alpha sees it {what}");
    }
    assert_eq!(all(&world, "beta"), alone, "as beta sees it {what}");
}

#[test]
fn a_witness_that_lost_only_its_own_state_goes_by_what_its_store_has() {
    let mut world = World::new(&[("alpha", &["a"]), ("beta", &["b"])]);
    world.witnesses = vec!["alpha"];
    world.boot_founder("alpha");
    world.run(6_000);
    let before = ranks(&world, "alpha", "a");
    assert_eq!(before.len(), 1);
    world.stop("alpha");
    world.machines.get_mut("alpha").unwrap().own = None;
    world.boot("alpha");
    world.run(6_000);
    assert_eq!(ranks(&world, "alpha", "a"), before, "as alpha states it");
}

/// The settings first drop it altogether, so that everybody forgets what it stated, and name it again later.
#[test]
fn a_witness_that_is_named_again_stands_by_what_it_stated() {
    let mut world = World::new(&[("alpha", &["a"]), ("beta", &["b"]), ("gamma", &["earth"])]);
    world.witnesses = vec!["alpha"];
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.boot("gamma");
    world.run(6_000);
    let before = ranks(&world, "beta", "earth");
    assert_eq!(before.len(), 1);
    for (revision, witnesses) in [(2, vec!["beta"]), (3, vec!["alpha"])] {
        world.witnesses = witnesses;
        let (now, settings) = (world.now("gamma"), world.settings(revision, world.ttl_ms));
        world.node("gamma").bring_settings(now, settings);
        world.run(10_000);
        for on in ["alpha", "beta", "gamma"] {
            assert_sees(&world, on, "earth", Some("gamma"));
        }
    }
    for on in ["alpha", "beta", "gamma"] {
        assert_eq!(ranks(&world, on, "earth"), before, "as {on} sees it");
    }
}

/// It came from outside, and nothing of this host's is saved yet: what it says before that might be contradicted by what it says next.
#[test]
fn a_witness_that_lost_its_state_passes_nothing_of_its_own_on_before_it_has_joined() {
    let mut world = two_witnesses();
    world.run(2_000);
    let alpha = world.key("alpha").host_key();
    let stated: Vec<AgedRecord> = {
        let store = world.node("beta").store();
        let statements = store.host(&alpha).unwrap().statements();
        statements.cloned().map(|s| AgedRecord { record: Record::Statement(s), age: Age::NEW }).collect()
    };
    assert!(!stated.is_empty());
    world.stop("alpha");
    let machine = world.machines.get_mut("alpha").unwrap();
    (machine.own, machine.store) = (None, None);
    world.isolate("alpha");
    world.boot_founder("alpha");
    let now = world.now("alpha");
    let node = world.node("alpha");
    node.take_effects();
    node.receive(now, stated, Via::Push);
    for effect in node.take_effects() {
        let Effect::Forward(records) = effect else { continue };
        assert!(records.iter().all(|aged| aged.record.host() != Some(alpha)), "{records:?}");
    }
    let store = world.node("alpha").store();
    assert!(store.host(&alpha).unwrap().statements().next().is_some(), "it keeps them all the same");
}
