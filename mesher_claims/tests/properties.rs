//! Properties of the store and the view: merging is commutative, associative and idempotent, and the view is a pure function
//! of what was merged. On failure the seed is printed.

use mesher_claims::address::Addresses;
use mesher_claims::keys::SecretKey;
use mesher_claims::record::{
    CertificateBody, ClaimBody, ClaimState, HostBody, Record, SettingsBody, Signed, StatementBody,
};
use mesher_claims::store::{AgedRecord, Store};
use mesher_claims::time::{Age, Now};
use mesher_claims::view::View;

const NOW: Now = Now { boot_ms: 1_000_000, wall_ms: 1_767_225_600_000 };

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn key(number: u64) -> SecretKey {
    SecretKey::from_seed(&[u8::try_from(number).unwrap(); 32])
}

fn settings(revision: u64) -> Record {
    let network = SecretKey::from_seed(&[200; 32]);
    let body = SettingsBody {
        revision,
        witnesses: (1..=2).map(|number| key(number).host_key()).collect(),
        ..SettingsBody::new("sol".parse().unwrap(), 10_000)
    };
    Record::Settings(Signed::sign(&network.network_id(), &network, body))
}

/// Few hosts, names and numbers, so that records collide in every way, equal `seq` included.
fn record(random: &mut Random) -> AgedRecord {
    let network = SecretKey::from_seed(&[200; 32]).network_id();
    let key = key(1 + random.below(3));
    let address = format!("10.0.0.{}", 1 + random.below(3));
    let addresses = Addresses::new([address.parse().unwrap()]).unwrap();
    let (host, seq) = (key.host_key(), 1 + random.below(4));
    if random.below(2) == 0 {
        let body = HostBody {
            host,
            label: "host".parse().unwrap(),
            addresses,
            since: random.below(4),
            instance: 1,
            renewed_at_ms: 0,
            seq,
        };
        let age = if random.below(5) == 0 { Age::Expired } else { Age::Fresh(random.below(15) * 1_000) };
        return AgedRecord { record: Record::Host(Signed::sign(&network, &key, body)), age };
    }
    let plain = |record| AgedRecord { record, age: Age::NEW };
    match random.below(6) {
        0 => return plain(Record::Statement(statement(random))),
        1 => return plain(Record::Certificate(certificate(random))),
        _ => {}
    }
    let name = ["earth", "Mars", "EARTH"][usize::try_from(random.below(3)).unwrap()].parse().unwrap();
    let state = if random.below(4) == 0 { ClaimState::Withdrawn } else { ClaimState::Held };
    let elsewhere = (random.below(3) == 0).then_some(addresses);
    let body = ClaimBody { host, name, epoch: random.below(5), state, addresses: elsewhere, seq };
    plain(Record::Claim(Signed::sign(&network, &key, body)))
}

fn statement(random: &mut Random) -> Signed<StatementBody> {
    let network = SecretKey::from_seed(&[200; 32]).network_id();
    let witness = key(1 + random.below(2));
    let body = StatementBody {
        witness: witness.host_key(),
        host: key(1 + random.below(3)).host_key(),
        name: "earth".parse().unwrap(),
        epoch: random.below(5),
        at: random.below(10),
        void: random.below(3) == 0,
        seq: 1 + random.below(4),
    };
    Signed::sign(&network, &witness, body)
}

fn certificate(random: &mut Random) -> Signed<CertificateBody> {
    let network = SecretKey::from_seed(&[200; 32]);
    let body = CertificateBody {
        host: key(1 + random.below(3)).host_key(),
        label: "host".parse().unwrap(),
        patterns: vec!["earth".parse().unwrap()],
        not_before_ms: random.below(3),
        not_after_ms: 1 << 47,
        serial: 1 + random.below(3),
    };
    Signed::sign(&network.network_id(), &network, body)
}

fn store_of(records: &[AgedRecord]) -> Store {
    let mut store = Store::default();
    store.judge(true);
    store.merge(NOW, settings(1), Age::NEW);
    for aged in records {
        store.merge(NOW, aged.record.clone(), aged.age);
    }
    store
}

/// Takes in all that another store has. (To others a store passes less on: of an expired host no claims.)
fn take_in(store: &mut Store, other: &Store) {
    for (_, entry) in other.hosts() {
        let claims = entry.claims().cloned().map(Record::Claim);
        let statements = entry.statements().cloned().map(Record::Statement);
        let certificate = entry.certificate().cloned().map(Record::Certificate);
        let record = entry.record().cloned().map(Record::Host);
        for record in claims.chain(statements).chain(certificate).chain(record) {
            store.merge(NOW, record, entry.age(NOW));
        }
    }
}

/// All that two stores can differ in: their digests, which hash every record, and their views.
fn outcome(records: &[AgedRecord]) -> (mesher_claims::store::Digest, View) {
    compared(&store_of(records))
}

fn compared(store: &Store) -> (mesher_claims::store::Digest, View) {
    let digest = store.digest(NOW);
    (digest, View::of(store, NOW, NOW.wall_ms))
}

#[test]
fn merging_is_commutative() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let mut records: Vec<AgedRecord> = (0..12).map(|_| record(&mut random)).collect();
        let first = outcome(&records);
        for _ in 0..6 {
            for at in (1..records.len()).rev() {
                records.swap(at, usize::try_from(random.below(at as u64 + 1)).unwrap());
            }
            assert_eq!(outcome(&records), first, "seed {seed}");
        }
    }
}

#[test]
fn merging_stores_is_associative() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let parts = [(); 3].map(|()| {
            let records: Vec<AgedRecord> = (0..6).map(|_| record(&mut random)).collect();
            store_of(&records)
        });
        let [mut left, b, c] = parts.clone();
        take_in(&mut left, &b);
        take_in(&mut left, &c);
        let [mut right, mut b, c] = parts;
        take_in(&mut b, &c);
        take_in(&mut right, &b);
        assert_eq!(compared(&left), compared(&right), "seed {seed}");
    }
}

#[test]
fn merging_is_idempotent() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let records: Vec<AgedRecord> = (0..12).map(|_| record(&mut random)).collect();
        let twice: Vec<AgedRecord> = records.iter().chain(&records).cloned().collect();
        assert_eq!(outcome(&twice), outcome(&records), "seed {seed}");
    }
}

#[test]
fn the_view_is_a_function_of_the_store_and_the_time() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut store = Store::default();
        store.merge(NOW, settings(1), Age::NEW);
        for _ in 0..12 {
            let aged = record(&mut random);
            store.merge(NOW, aged.record, aged.age);
        }
        let restored = Store::restore(&store.save(NOW), NOW).unwrap();
        for later_ms in [0, 4_000, 9_999, 10_000] {
            let now = Now { boot_ms: NOW.boot_ms + later_ms, wall_ms: NOW.wall_ms };
            assert_eq!(View::of(&store, now, 0), View::of(&store.clone(), now, 0), "seed {seed}");
            assert_eq!(View::of(&store, now, 0), View::of(&restored, now, 0), "seed {seed}, restored");
        }
    }
}
