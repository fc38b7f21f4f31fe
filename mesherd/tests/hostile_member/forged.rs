//! Records that nobody may have, or that are not the attacker's to sign.

use borsh::{BorshDeserialize, BorshSerialize};
use mesher_claims::keys::HostKey;
use mesher_claims::record::{Body, CertificateBody, SettingsBody, Signed};

use crate::attack::records::now_ms;
use crate::mallory::Mallory;

/// A claim as anybody may write one who is not bound to our types.
#[derive(BorshSerialize, BorshDeserialize)]
struct AnyClaim {
    host: HostKey,
    name: Vec<u8>,
    epoch: u64,
    state: u8,
    addresses: u8,
    seq: u64,
}

impl Body for AnyClaim {
    const KIND: &'static str = "claim";

    fn signer(&self) -> Option<HostKey> {
        Some(self.host)
    }
}

/// A host record in the same way.
#[derive(BorshSerialize, BorshDeserialize)]
struct AnyHost {
    host: HostKey,
    label: String,
    v4: Vec<[u8; 4]>,
    v6: Vec<[u8; 16]>,
    since: u64,
    instance: u64,
    renewed_at_ms: u64,
    seq: u64,
}

impl Body for AnyHost {
    const KIND: &'static str = "host";

    fn signer(&self) -> Option<HostKey> {
        Some(self.host)
    }
}

pub fn text<B: Body>(signed: &Signed<B>) -> String {
    format!("1{}", data_encoding::BASE64URL_NOPAD.encode(&signed.encode()))
}

/// Others' records: signed with the wrong key, changed, filed elsewhere, far too long.
pub fn others_records(mallory: &Mallory, victim: HostKey, overheard: &str) -> Vec<(String, String)> {
    let (network, me) = (mallory.host.network, mallory.me());
    let mut forged = vec![];
    for (seq, epoch) in [(1 << 40, 0), (1 << 40, u64::MAX)] {
        let withdrawn =
            AnyClaim { host: victim, name: b"earth".to_vec(), epoch, state: 1, addresses: 0, seq };
        forged.push(("c/earth".to_owned(), text(&Signed::sign(&network, &mallory.host.key, withdrawn))));
    }
    let mut changed = overheard.to_owned().into_bytes();
    changed[40] ^= 1;
    forged.push(("c/earth".into(), String::from_utf8(changed).unwrap()));
    forged.push(("c/mars".into(), overheard.to_owned()));
    forged.push(("s".into(), overheard.to_owned()));
    forged.push(("c/earth".into(), "1".to_owned() + &"A".repeat(200_000)));
    forged.push(("n".into(), text(&Signed::sign(&network, &mallory.host.key, own_settings()))));
    forged.push(("cert".into(), text(&Signed::sign(&network, &mallory.host.key, certificate(me)))));
    forged
}

/// Names, addresses and numbers that nobody may have, signed by the attacker itself as they must be.
pub fn impossible_records(mallory: &mut Mallory) -> Vec<(String, String)> {
    let (network, me) = (mallory.host.network, mallory.me());
    let mut forged = vec![];
    let names: [&[u8]; 12] = [
        b"ear\0th",
        b"ear th",
        b"..",
        b".",
        b"earth.",
        b"",
        b"a..b",
        "ärth".as_bytes(),
        &[b'a'; 64],
        &[0xff, 0xfe],
        b"localhost",
        b"*.*.earth",
    ];
    for name in names {
        let claim = AnyClaim {
            host: me,
            name: name.to_vec(),
            epoch: 1,
            state: 0,
            addresses: 0,
            seq: mallory.host.next_seq(),
        };
        let key = format!("c/{}", String::from_utf8_lossy(name));
        forged.push((key, text(&Signed::sign(&network, &mallory.host.key, claim))));
    }
    for epoch in [1 << 63, u64::MAX, (1 << 48) + 1] {
        let claim = AnyClaim {
            host: me,
            name: b"mars".to_vec(),
            epoch,
            state: 0,
            addresses: 0,
            seq: mallory.host.next_seq(),
        };
        forged.push(("c/mars".into(), text(&Signed::sign(&network, &mallory.host.key, claim))));
    }
    for v4 in
        [vec![[0; 4]], vec![[224, 0, 0, 1]], vec![[255; 4]], vec![[10, 0, 0, 1]; 2], vec![[10, 0, 0, 1]; 40]]
    {
        let seq = mallory.host.next_seq();
        let host = AnyHost {
            host: me,
            label: "mallory".into(),
            v4,
            v6: vec![],
            since: 0,
            instance: 1,
            renewed_at_ms: now_ms(),
            seq,
        };
        forged.push(("s".into(), text(&Signed::sign(&network, &mallory.host.key, host))));
    }
    forged
}

fn own_settings() -> SettingsBody {
    SettingsBody { revision: 99, allow_loopback: true, ..SettingsBody::new("sol".parse().unwrap(), 3_000) }
}

/// A certificate for `host`, called mallory, on earth, for an hour.
pub fn certificate(host: HostKey) -> CertificateBody {
    let now = now_ms();
    CertificateBody {
        host,
        label: "mallory".parse().unwrap(),
        patterns: vec!["earth".parse().unwrap()],
        not_before_ms: now - 60_000,
        not_after_ms: now + 3_600_000,
        serial: now,
    }
}
