//! Signed records: what hosts and the network's administrator say, and the forms in which it travels.
//!
//! A record is a body, encoded with borsh (little-endian, one encoding for one value), and an ed25519 signature over
//! `"data-mesher/KIND/1\0"`, the network's id (32 bytes) and the encoded body. So a record of another network, or
//! of another kind, never verifies. A [`Signed`] value has been verified; there is no other way to have one but to sign it,
//! or to read it back from this machine's own state ([`Signed::decode_trusted`]).
//!
//! In the carrier a record is text: the format's version, `1`, and the base64url (RFC 4648 §5, no padding) of body and signature,
//! filed under a [`key`](Record::carrier_key).

mod certificate;
mod claim;
mod host;
mod settings;
mod signed;
mod statement;
mod verified;

use data_encoding::BASE64URL_NOPAD;

pub use certificate::CertificateBody;
pub use claim::{ClaimBody, ClaimState};
pub use host::{HostBody, MAX_STAMP};
pub use settings::{Admission, MAX_CLAIM_TTL_MS, MAX_REVOKED, MAX_WITNESSES, MIN_CLAIM_TTL_MS, SettingsBody};
pub use signed::{Body, Refusal, Signed};
pub use statement::StatementBody;
pub use verified::Verifier;

use crate::keys::{HostKey, NetworkId, NodeId};

/// The longest text form of a record signed by a host, or of a certificate, in bytes.
pub const MAX_RECORD_LENGTH: usize = 1_024;
/// The longest text form of the network's settings: they list revoked hosts, and only the administrator signs them.
pub const MAX_SETTINGS_LENGTH: usize = 8_192;
/// The format's version, the first character of every record's text.
const VERSION: char = '1';

/// A verified record of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A host's own record.
    Host(Signed<HostBody>),
    /// A claim on a name.
    Claim(Signed<ClaimBody>),
    /// The network's settings.
    Settings(Signed<SettingsBody>),
    /// A host's certificate.
    Certificate(Signed<CertificateBody>),
    /// A witness's statement on a claim.
    Statement(Signed<StatementBody>),
}

impl Record {
    /// The host that this record is filed under: who signed it, or for a certificate whom it is about. `None` for settings.
    pub fn host(&self) -> Option<HostKey> {
        match self {
            Self::Host(record) => Some(record.host),
            Self::Claim(record) => Some(record.host),
            Self::Certificate(record) => Some(record.host),
            Self::Statement(record) => Some(record.witness),
            Self::Settings(_) => None,
        }
    }

    /// The carrier's key: `s`, `c/NAME`, `n`, `cert`, or `w/NODE/NAME`, names in lower case.
    pub fn carrier_key(&self) -> String {
        match self {
            Self::Host(_) => "s".into(),
            Self::Claim(record) => format!("c/{}", record.name.folded()),
            Self::Settings(_) => "n".into(),
            Self::Certificate(_) => "cert".into(),
            Self::Statement(record) => format!("w/{}/{}", NodeId::from(record.host), record.name.folded()),
        }
    }

    /// The carrier's text.
    pub fn carrier_value(&self) -> String {
        let bytes = match self {
            Self::Host(record) => record.encode(),
            Self::Claim(record) => record.encode(),
            Self::Settings(record) => record.encode(),
            Self::Certificate(record) => record.encode(),
            Self::Statement(record) => record.encode(),
        };
        format!("{VERSION}{}", BASE64URL_NOPAD.encode(&bytes))
    }

    /// Reads and verifies a record as the carrier has it.
    ///
    /// # Errors
    /// When it is too long, not of this version, not canonical, not what its key says, or not signed as it must be.
    pub fn from_carrier(network: &NetworkId, key: &str, value: &str) -> Result<Self, Refusal> {
        Self::decode(Some(network), key, value)
    }

    /// Decodes, and verifies if a network is given: without one, this very text has been verified before.
    fn decode(network: Option<&NetworkId>, key: &str, value: &str) -> Result<Self, Refusal> {
        let longest = if key == "n" { MAX_SETTINGS_LENGTH } else { MAX_RECORD_LENGTH };
        if value.len() > longest {
            return Err(Refusal::TooLong { found: value.len(), longest });
        }
        let text = value.strip_prefix(VERSION).ok_or_else(|| Refusal::Version(value.chars().next()))?;
        let bytes = BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map_err(|_| Refusal::Malformed("not base64url".into()))?;
        let record = match key.split_once('/').map_or(key, |(kind, _)| kind) {
            "s" => Self::Host(signed(network, &bytes)?),
            "c" => Self::Claim(signed(network, &bytes)?),
            "n" => Self::Settings(signed(network, &bytes)?),
            "cert" => Self::Certificate(signed(network, &bytes)?),
            "w" => Self::Statement(signed(network, &bytes)?),
            _ => return Err(Refusal::UnknownKind),
        };
        if record.carrier_key() != key {
            return Err(Refusal::Misfiled);
        }
        Ok(record)
    }

    /// The kind, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Host(_) => "host record",
            Self::Claim(_) => "claim",
            Self::Settings(_) => "settings",
            Self::Certificate(_) => "certificate",
            Self::Statement(_) => "witness statement",
        }
    }
}

fn signed<B: Body>(network: Option<&NetworkId>, bytes: &[u8]) -> Result<Signed<B>, Refusal> {
    match network {
        Some(network) => Signed::decode(network, bytes),
        None => Signed::decode_trusted(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Addresses;
    use crate::keys::SecretKey;

    fn key() -> SecretKey {
        SecretKey::from_seed(&[1; 32])
    }

    fn network() -> NetworkId {
        SecretKey::from_seed(&[2; 32]).network_id()
    }

    fn host_body() -> HostBody {
        HostBody {
            host: key().host_key(),
            label: "alpha".parse().unwrap(),
            addresses: Addresses::new(["192.168.1.1".parse().unwrap(), "2001:db8:1::1".parse().unwrap()])
                .unwrap(),
            since: 1,
            instance: 2,
            renewed_at_ms: 3,
            seq: 4,
        }
    }

    fn claim(name: &str) -> Record {
        Record::Claim(Signed::sign(
            &network(),
            &key(),
            ClaimBody {
                host: key().host_key(),
                name: name.parse().unwrap(),
                epoch: 7,
                state: ClaimState::Held,
                addresses: None,
                seq: 1,
            },
        ))
    }

    #[test]
    fn records_travel_as_text_and_come_back_equal() {
        let records = [Record::Host(Signed::sign(&network(), &key(), host_body())), claim("Grafana.earth")];
        for record in records {
            let (key, value) = (record.carrier_key(), record.carrier_value());
            assert_eq!(Record::from_carrier(&network(), &key, &value).unwrap(), record);
        }
        assert_eq!(claim("Grafana.earth").carrier_key(), "c/grafana.earth");
    }

    #[test]
    fn every_changed_character_is_refused() {
        let record = Record::Host(Signed::sign(&network(), &key(), host_body()));
        let value = record.carrier_value();
        for at in 0..value.len() {
            for other in ['A', 'b', '_', '1'] {
                let mut changed = value.clone().into_bytes();
                if changed[at] == other as u8 {
                    continue;
                }
                changed[at] = other as u8;
                let changed = String::from_utf8(changed).unwrap();
                assert!(
                    Record::from_carrier(&network(), "s", &changed).is_err(),
                    "character {at} to {other}"
                );
            }
        }
    }

    #[test]
    fn what_breaks_its_own_rules_is_not_taken_from_disk_either() {
        let signed = |claim_ttl_ms| {
            let settings = SettingsBody::new("sol".parse().unwrap(), claim_ttl_ms);
            Signed::sign(&network(), &key(), settings).encode()
        };
        assert!(Signed::<SettingsBody>::decode_trusted(&signed(MIN_CLAIM_TTL_MS)).is_ok());
        assert!(Signed::<SettingsBody>::decode_trusted(&signed(u64::MAX)).is_err());
    }

    #[test]
    fn records_of_another_network_kind_host_or_place_are_refused() {
        let record = claim("earth");
        let value = record.carrier_value();
        let other = SecretKey::from_seed(&[3; 32]).network_id();
        assert_eq!(Record::from_carrier(&other, "c/earth", &value), Err(Refusal::BadSignature));
        assert_eq!(Record::from_carrier(&network(), "c/mars", &value), Err(Refusal::Misfiled));
        assert!(Record::from_carrier(&network(), "s", &value).is_err());
        assert_eq!(Record::from_carrier(&network(), "x/earth", &value), Err(Refusal::UnknownKind));
        assert_eq!(Record::from_carrier(&network(), "c/earth", ""), Err(Refusal::Version(None)));
        let stranger = Signed::sign(&network(), &SecretKey::from_seed(&[9; 32]), host_body());
        let value = Record::Host(stranger).carrier_value();
        assert_eq!(Record::from_carrier(&network(), "s", &value), Err(Refusal::BadSignature));
    }

    #[test]
    fn the_longest_host_record_fits() {
        let addresses = (0..32).map(|i| std::net::IpAddr::V6(((0x2001_0db8 << 96) | (i + 1)).into()));
        let label = "a".repeat(63).parse().unwrap();
        let body = HostBody { addresses: Addresses::new(addresses).unwrap(), label, ..host_body() };
        let record = Record::Host(Signed::sign(&network(), &key(), body));
        assert!(record.carrier_value().len() <= MAX_RECORD_LENGTH, "{}", record.carrier_value().len());
        assert!(Record::from_carrier(&network(), "s", &record.carrier_value()).is_ok());
    }
}
