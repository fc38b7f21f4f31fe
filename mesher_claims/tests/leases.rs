//! Leases end by the age of a host's record, whoever passes it on.

mod world;

use mesher_claims::keys::SecretKey;
use mesher_claims::node::{Effect, Via};
use mesher_claims::record::{HostBody, Record, Signed};
use mesher_claims::store::AgedRecord;
use mesher_claims::time::Age;
use world::World;
use world::planets::{all_up, assert_sees, planets};

fn host_record(world: &World, seed: u8, label: &str, seq: u64) -> Record {
    let key = SecretKey::from_seed(&[seed; 32]);
    let body = HostBody {
        host: key.host_key(),
        label: label.parse().unwrap(),
        addresses: world.machines["alpha"].addresses.clone(),
        since: 0,
        instance: 1,
        renewed_at_ms: 0,
        seq,
    };
    Record::Host(Signed::sign(&world.network(), &key, body))
}

#[test]
fn a_second_truth_of_one_seq_is_passed_on_as_old_as_the_first() {
    let mut world = all_up();
    let now = world.now("beta");
    let mut passed_on = Vec::new();
    // Of two records with one seq one is greater, and news when it comes second: which one, chance decides.
    for (seed, labels) in [(77, ["one", "other"]), (78, ["other", "one"])] {
        let [first, second] = labels.map(|label| host_record(&world, seed, label, 5));
        let node = world.node("beta");
        node.receive(now, vec![AgedRecord { record: first, age: Age::Fresh(4_000) }], Via::Push);
        node.take_effects();
        node.receive(now, vec![AgedRecord { record: second, age: Age::NEW }], Via::Push);
        let forwarded = node.take_effects().into_iter().filter_map(|effect| match effect {
            Effect::Forward(records) => Some(records[0].age),
            _ => None,
        });
        passed_on.extend(forwarded);
    }
    assert!(!passed_on.is_empty(), "no second truth was news: other labels are needed");
    assert!(passed_on.iter().all(|age| *age == Age::Fresh(4_000)), "{passed_on:?}");
}

/// alpha is dead; beta and gamma restart in turn, each learning from the other, and must not keep alpha alive between them.
fn a_dead_host_stays_dead(mut world: World, set_reader_back_ms: i64) {
    world.cut_power("alpha");
    for round in 0..20 {
        let reader = if round % 2 == 0 { "gamma" } else { "beta" };
        world.stop(reader);
        world.machines.get_mut(reader).unwrap().clock_off_ms -= set_reader_back_ms;
        world.run(1_500);
        world.boot(reader);
        world.run(2_000);
        // alpha may have renewed up to a third of the TTL before it died, and no later than at its death.
        let over = 3_500 * (round + 1) >= world.ttl_ms + 200;
        for on in ["beta", "gamma"] {
            let holder = world.lookup(on, "mercury");
            assert!(!over || holder.is_none(), "round {round}: {on} still finds {holder:?}");
        }
    }
    assert_sees(&world, "gamma", "earth", Some("gamma"));
}

#[test]
fn a_dead_host_is_not_taught_anew_to_peers_that_restart() {
    a_dead_host_stays_dead(all_up(), 0);
}

#[test]
fn a_dead_host_with_a_fast_clock_stays_dead() {
    let mut world = planets();
    world.machines.get_mut("alpha").unwrap().clock_off_ms = 86_400_000;
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.boot("gamma");
    world.run(3_000);
    a_dead_host_stays_dead(world, 0);
}

#[test]
fn a_dead_host_stays_dead_for_readers_whose_clocks_go_back() {
    a_dead_host_stays_dead(all_up(), 3_600_000);
}

#[test]
fn who_missed_the_last_renewal_and_who_saw_it_count_to_the_same_end() {
    let mut world = planets();
    world.ttl_ms = 120_000;
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.boot("gamma");
    world.run(30_000);
    // Of alpha's renewals gamma hears no more; beta hears one.
    world.isolate("gamma");
    world.run(20_000);
    let last = renewal_age_ms(&mut world, "beta");
    assert!(last < 20_000 && renewal_age_ms(&mut world, "gamma") > 40_000, "{last}");
    world.cut_power("alpha");
    world.run(70_000);
    world.cut.clear();
    assert_sees(&world, "gamma", "mercury", None);
    // gamma's record of alpha is over and beta's is not: the next synchronisation tells gamma.
    let end_ms = 120_000 - renewal_age_ms(&mut world, "beta");
    world.run(end_ms - 100);
    for on in ["beta", "gamma"] {
        assert_sees(&world, on, "mercury", Some("alpha"));
    }
    world.run(200);
    for on in ["beta", "gamma"] {
        assert_sees(&world, on, "mercury", None);
    }
}

#[test]
fn a_late_joiner_counts_a_dead_host_as_old_as_those_it_learns_from() {
    let mut world =
        World::new(&[("alpha", &["mercury"]), ("beta", &["b"]), ("gamma", &["c"]), ("delta", &["d"])]);
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.boot("gamma");
    world.run(3_000);
    world.cut_power("alpha");
    let age_ms = renewal_age_ms(&mut world, "beta");
    world.run(3_000);
    // delta never heard alpha. It learns from beta, then from gamma, which sees beta no more.
    world.cut.extend([("delta", "gamma"), ("beta", "gamma")]);
    world.boot("delta");
    world.run(2_000);
    assert_sees(&world, "delta", "mercury", Some("alpha"));
    world.cut.insert(("beta", "delta"));
    world.cut.remove(&("delta", "gamma"));
    world.stop("delta");
    world.run(1_000);
    world.boot("delta");
    let left_ms = 10_000 - age_ms - 6_000;
    world.run(left_ms - 50);
    assert_sees(&world, "delta", "mercury", Some("alpha"));
    world.run(100);
    for on in ["beta", "gamma", "delta"] {
        assert_sees(&world, on, "mercury", None);
    }
}

/// How old alpha's newest record is on a machine.
fn renewal_age_ms(world: &mut World, on: &'static str) -> u64 {
    let (now, alpha) = (world.now(on), world.key("alpha").host_key());
    match world.node(on).store().host(&alpha).unwrap().age(now) {
        Age::Fresh(ms) => ms,
        Age::Expired => u64::MAX,
    }
}

#[test]
fn a_host_record_counts_with_its_new_claims_in_either_order() {
    for record_first in [true, false] {
        let mut world = all_up();
        world.isolate("alpha");
        world.claim("alpha", &["mercury", "venus", "earth", "pluto"]);
        world.run(100);
        let (now, alpha) = (world.now("alpha"), world.key("alpha").host_key());
        let mut records = world.node("alpha").store().records_of(now, &alpha, true);
        records.sort_by_key(|aged| matches!(aged.record, Record::Host(_)) != record_first);
        for aged in records {
            let now = world.now("gamma");
            let node = world.node("gamma");
            node.receive(now, vec![aged], Via::Push);
            node.refresh_view(now);
            for name in ["mercury", "venus", "earth"] {
                assert_sees(&world, "gamma", name, Some("alpha"));
            }
        }
        assert_sees(&world, "gamma", "pluto", Some("alpha"));
    }
}
