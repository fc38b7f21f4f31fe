//! What a large network costs one host: the store's and the view's work on so many hosts with five names each, and a record's
//! verification, first and again.
//!
//! `cargo run --release --example large_store -- [HOSTS]`

use std::hint::black_box;
use std::time::Instant;

use mesher_claims::address::Addresses;
use mesher_claims::keys::SecretKey;
use mesher_claims::record::{ClaimBody, ClaimState, HostBody, Record, SettingsBody, Signed, Verifier};
use mesher_claims::store::Store;
use mesher_claims::time::{Age, Now};
use mesher_claims::view::View;

const NOW: Now = Now { boot_ms: 1_000_000, wall_ms: 1_767_225_600_000 };
const NAMES: u64 = 5;

fn main() {
    let hosts = std::env::args().nth(1).map_or(1_000, |hosts| hosts.parse().expect("a number of hosts"));
    let network = SecretKey::from_seed(&[200; 32]);
    let records = records(&network, hosts);
    let mut store = Store::default();
    time("merge one record", records.len(), || {
        for record in &records {
            black_box(store.merge(NOW, record.clone(), Age::NEW));
        }
    });
    store.judge(true);
    let name = "h0-0".parse().expect("a name");
    time("the largest epoch known for a name", 100, || {
        (0..100).for_each(|_| _ = black_box(store.largest_epoch(&name)));
    });
    time("next lease end (several for each event)", 100, || {
        (0..100).for_each(|_| _ = black_box(store.next_lease_end_boot_ms()));
    });
    time("expire (at each tick)", 100, || (0..100).for_each(|_| drop(black_box(store.expire(NOW)))));
    time("view", 20, || (0..20).for_each(|_| drop(black_box(View::of(&store, NOW, NOW.wall_ms)))));
    let digest = store.digest(NOW);
    time("digest", 20, || (0..20).for_each(|_| drop(black_box(store.digest(NOW)))));
    time("compare with a digest", 20, || (0..20).for_each(|_| drop(black_box(store.compare(NOW, &digest)))));
    let texts: Vec<(String, String)> =
        records.iter().take(1_000).map(|record| (record.carrier_key(), record.carrier_value())).collect();
    let mut verifier = Verifier::new(network.network_id());
    for what in ["verify one record", "verify it again"] {
        time(what, texts.len(), || {
            for (key, value) in &texts {
                black_box(verifier.record(key, value)).expect("a good record");
            }
        });
    }
}

/// Settings, and for each host its record and its claims.
fn records(network: &SecretKey, hosts: u64) -> Vec<Record> {
    let id = network.network_id();
    let settings = SettingsBody::new("sol".parse().expect("a domain"), 86_400_000);
    let mut records = vec![Record::Settings(Signed::sign(&id, network, settings))];
    for number in 0..hosts {
        let mut seed = [1; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let key = SecretKey::from_seed(&seed);
        let host = key.host_key();
        for of_host in 0..NAMES {
            let name = format!("h{number}-{of_host}").parse().expect("a name");
            let body = ClaimBody {
                host,
                name,
                epoch: 1,
                state: ClaimState::Held,
                addresses: None,
                seq: of_host + 1,
            };
            records.push(Record::Claim(Signed::sign(&id, &key, body)));
        }
        let [.., high, low] = number.to_be_bytes();
        let addresses = Addresses::new([[10, 0, high, low].into()]).expect("an address");
        let label = format!("h{number}").parse().expect("a label");
        let body =
            HostBody { host, label, addresses, since: 0, instance: 1, renewed_at_ms: NOW.wall_ms, seq: 9 };
        records.push(Record::Host(Signed::sign(&id, &key, body)));
    }
    records
}

/// Prints how long one of `times` took.
fn time(what: &str, times: usize, work: impl FnOnce()) {
    let begin = Instant::now();
    work();
    println!("{:>9.1} µs  {what}", begin.elapsed().as_secs_f64() * 1e6 / times as f64);
}
