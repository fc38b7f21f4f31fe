//! What a member can send as records, certificates, settings and digests, into a running node.
//!
//! Signatures would keep the fuzzer from what lies behind them, so each input is tried three times: as a message, as one
//! record's text under each key, and as the bytes of bodies that are signed here.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use mesher_claims::keys::SecretKey;
use mesher_claims::message::Message;
use mesher_claims::node::{Node, NodeConfig, Via};
use mesher_claims::record::{
    Body, CertificateBody, ClaimBody, HostBody, Record, SettingsBody, Signed, StatementBody,
};
use mesher_claims::store::{AgedRecord, Store};
use mesher_claims::time::{Age, Now};

fuzz_target!(|data: &[u8]| {
    let network_key = SecretKey::from_seed(&[2; 32]);
    let network = network_key.network_id();
    let (now, mut node) = running_node(&network_key);
    if let Ok(decoded) = Message::decode(&network, data) {
        match decoded.message {
            Message::Records { pushed, records } => {
                node.receive(now, records, if pushed { Via::Push } else { Via::Sync });
            }
            Message::Digest { purpose, digest } => drop(node.receive_digest(now, digest, purpose)),
        }
    }
    let text = format!("1{}", data_encoding::BASE64URL_NOPAD.encode(data));
    for key in ["s", "n", "cert", "c/earth", "w/0000000000000000/earth"] {
        let _ = Record::from_carrier(&network, key, &text);
    }
    let Some((kind, body)) = data.split_first() else { return };
    let key = match kind % 3 {
        0 => &network_key,
        1 => &SecretKey::from_seed(&[3; 32]),
        _ => &SecretKey::from_seed(&[1; 32]),
    };
    let record = match kind % 5 {
        0 => signed::<HostBody>(key, &network_key, body).map(Record::Host),
        1 => signed::<ClaimBody>(key, &network_key, body).map(Record::Claim),
        2 => signed::<SettingsBody>(key, &network_key, body).map(Record::Settings),
        3 => signed::<CertificateBody>(key, &network_key, body).map(Record::Certificate),
        _ => signed::<StatementBody>(key, &network_key, body).map(Record::Statement),
    };
    if let Some(record) = record {
        let again = Record::from_carrier(&network, &record.carrier_key(), &record.carrier_value());
        if let Ok(again) = again {
            assert_eq!(again, record);
        }
        node.receive(now, vec![AgedRecord { record, age: Age::NEW }], Via::Push);
    }
    let later = Now { wall_ms: now.wall_ms + 11_000, boot_ms: now.boot_ms + 11_000 };
    node.refresh_view(now);
    node.tick(later);
    node.refresh_view(later);
    node.take_effects();
    std::hint::black_box((node.digest(later).encode(), node.next_tick_boot_ms()));
});

/// The body with a signature that is good if the key is its signer's; none if the bytes are no body that passes its checks.
fn signed<B: Body>(key: &SecretKey, network: &SecretKey, bytes: &[u8]) -> Option<Signed<B>> {
    let body = B::try_from_slice(bytes).ok()?;
    body.check().ok()?;
    Some(Signed::sign(&network.network_id(), key, body))
}

fn running_node(network: &SecretKey) -> (Now, Node) {
    let now = Now { wall_ms: 1_800_000_000_000, boot_ms: 1_000_000 };
    let config = NodeConfig {
        label: "alpha".parse().expect("a label"),
        names: BTreeMap::from([("earth".parse().expect("a name"), None)]),
        addresses: Default::default(),
        join_timeout_ms: 0,
        has_peers: false,
        certificate: None,
    };
    let settings = SettingsBody::new("sol".parse().expect("a domain"), 10_000);
    let key = SecretKey::from_seed(&[1; 32]);
    let mut node = Node::start(network.network_id(), key, 7, config, Store::default(), None, now);
    node.bring_settings(now, Signed::sign(&network.network_id(), network, settings));
    node.tick(now);
    node.take_effects();
    (now, node)
}
