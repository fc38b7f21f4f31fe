//! What the network's administrator signs.

use mesher_claims::keys::{HostKey, SecretKey};
use mesher_claims::record::{Admission, CertificateBody, SettingsBody, Signed};

use super::machine::{Machine, name};
use super::plan::Plan;

pub fn network_key() -> SecretKey {
    SecretKey::from_seed(&[200; 32])
}

pub fn certificate(machine: &Machine) -> Signed<CertificateBody> {
    let body = CertificateBody {
        host: machine.me,
        label: machine.config.label.clone(),
        patterns: (0..6).map(|number| name(number).as_str().parse().unwrap()).collect(),
        not_before_ms: 0,
        not_after_ms: 1 << 47,
        serial: 1,
    };
    Signed::sign(&network_key().network_id(), &network_key(), body)
}

/// Settings as the administrator signs them: the first machines are the witnesses.
pub fn sign_settings(
    plan: &Plan,
    machines: &[Machine],
    revision: u64,
    claim_ttl_ms: u64,
    witnesses: usize,
    former: &[HostKey],
) -> Signed<SettingsBody> {
    let witnesses: Vec<HostKey> = machines.iter().map(|machine| machine.me).take(witnesses).collect();
    let body = SettingsBody {
        revision,
        admission: if plan.certified { Admission::Certified } else { Admission::Open },
        former_witnesses: former.iter().copied().filter(|host| !witnesses.contains(host)).collect(),
        witnesses,
        ..SettingsBody::new("sol".parse().unwrap(), claim_ttl_ms)
    };
    let network = network_key();
    Signed::sign(&network.network_id(), &network, body)
}
