//! Leases end by the age of a host's record, whoever passes it on.

mod world;

use mesher_claims::keys::SecretKey;
use mesher_claims::node::{Effect, Via};
use mesher_claims::record::{HostBody, Record, Signed};
use mesher_claims::store::AgedRecord;
use mesher_claims::time::Age;
use world::World;
use world::planets::all_up;

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
