//! State files of arbitrary content: an error, or a state that a node can start with and go on from.
#![no_main]

use borsh::BorshDeserialize;
use libfuzzer_sys::fuzz_target;
use mesher_claims::keys::SecretKey;
use mesher_claims::node::{Node, NodeConfig, OwnState, SavedOwn};
use mesher_claims::store::{SavedStore, Store};
use mesher_claims::time::Now;
use std::collections::BTreeMap;

fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else { return };
    let (own, store) = data.split_at(data.len() * usize::from(*cut) / 256);
    let now = Now { wall_ms: 1_800_000_000_000, boot_ms: 1_000_000 };
    let own = SavedOwn::try_from_slice(own).ok().and_then(|own| OwnState::from_saved(own).ok());
    let store = SavedStore::try_from_slice(store).ok().and_then(|saved| Store::restore(&saved, now).ok());
    if own.is_none() && store.is_none() {
        return;
    }
    let key = SecretKey::from_seed(&[1; 32]);
    let network = SecretKey::from_seed(&[2; 32]).network_id();
    let config = NodeConfig {
        label: "alpha".parse().expect("a label"),
        names: BTreeMap::from([("earth".parse().expect("a name"), None)]),
        addresses: Default::default(),
        join_timeout_ms: 0,
        has_peers: false,
        certificate: None,
    };
    let mut node = Node::start(network, key, 7, config, store.unwrap_or_default(), own, now);
    for step in 0..4 {
        let now = Now { wall_ms: now.wall_ms + step * 5_000, boot_ms: now.boot_ms + step * 5_000 };
        node.tick(now);
        node.refresh_view(now);
        node.take_effects();
        std::hint::black_box((node.digest(now).encode(), node.next_tick_boot_ms()));
    }
    std::hint::black_box(node.store().save(now));
});
