//! Records and the messages they are pushed in, as a member makes them: well signed, whatever they say.

use std::net::IpAddr;

use mesher_claims::address::Addresses;
use mesher_claims::keys::{HostKey, NetworkId, SecretKey};
use mesher_claims::message::Message;
use mesher_claims::record::{ClaimBody, ClaimState, HostBody, Record, Signed};
use mesher_claims::store::AgedRecord;
use mesher_claims::time::Age;

use crate::cluster::Daemon;

/// A host that signs what its holder likes.
pub struct Host {
    pub network: NetworkId,
    pub key: SecretKey,
    pub label: &'static str,
    pub addresses: Vec<IpAddr>,
    seq: u64,
}

impl Host {
    pub fn new(network: NetworkId, seed: [u8; 32], label: &'static str, address: IpAddr) -> Self {
        Self { network, key: SecretKey::from_seed(&seed), label, addresses: vec![address], seq: 0 }
    }

    pub fn host_key(&self) -> HostKey {
        self.key.host_key()
    }

    pub fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub fn record(&mut self) -> Record {
        let body = HostBody {
            host: self.host_key(),
            label: self.label.parse().unwrap(),
            addresses: Addresses::new(self.addresses.iter().copied()).unwrap(),
            since: 0,
            instance: 1,
            renewed_at_ms: now_ms(),
            seq: self.next_seq(),
        };
        Record::Host(Signed::sign(&self.network, &self.key, body))
    }

    pub fn claim(&mut self, name: &str, epoch: u64) -> Record {
        let body = ClaimBody {
            host: self.host_key(),
            name: name.parse().unwrap(),
            epoch,
            state: ClaimState::Held,
            addresses: None,
            seq: self.next_seq(),
        };
        Record::Claim(Signed::sign(&self.network, &self.key, body))
    }
}

/// Records in messages that tell them as news.
pub fn pushes(records: Vec<Record>) -> Vec<Vec<u8>> {
    let aged = records.into_iter().map(|record| AgedRecord { record, age: Age::NEW });
    Message::records(true, aged).iter().map(Message::encode).collect()
}

pub fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// Gives a daemon that has not run yet a key that the test knows.
pub fn give_key(daemon: &Daemon, seed: [u8; 32]) -> HostKey {
    use std::io::Write;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let key = SecretKey::from_seed(&seed);
    let state = daemon.dir.join("state");
    std::fs::DirBuilder::new().mode(0o700).create(&state).unwrap();
    let mut file = std::fs::File::options()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(state.join("host.key"))
        .unwrap();
    file.write_all(key.to_file_text().as_bytes()).unwrap();
    key.host_key()
}
