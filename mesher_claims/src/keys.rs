//! Keys: a host's, a network's, and the short id under which the carrier files a host's records.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found}; expected {expected}")]
pub struct KeyError {
    found: String,
    expected: &'static str,
}

macro_rules! public_key {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        ///
        /// 32 bytes, ed25519 (RFC 8032 §5.1.5); as text, base64 (RFC 4648 §4).
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
        pub struct $type(pub [u8; 32]);

        impl $type {
            /// Whether `signature` is this key's over `message`: strict, so one message has one valid signature form.
            pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
                VerifyingKey::from_bytes(&self.0)
                    .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&BASE64.encode(&self.0))
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($type))
            }
        }
        impl FromStr for $type {
            type Err = KeyError;
            fn from_str(text: &str) -> Result<Self, KeyError> {
                let bytes = decode_32(text)?;
                VerifyingKey::from_bytes(&bytes).map(|_| Self(*bytes)).map_err(|_| KeyError {
                    found: "32 bytes that are no point of the curve".into(),
                    expected: "an ed25519 public key",
                })
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
public_key! {
    /// The public key of one host: its identity in every record.
    HostKey
}
public_key! {
    /// The public key of a network: its id.
    NetworkId
}

/// A private signing key, wiped from memory when dropped; never printed.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key made from 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The 32 bytes to keep, wiped when dropped.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half, where this is a host's key.
    pub fn host_key(&self) -> HostKey {
        HostKey(self.0.verifying_key().to_bytes())
    }

    /// The public half, where this is a network's key.
    pub fn network_id(&self) -> NetworkId {
        NetworkId(self.0.verifying_key().to_bytes())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The key as the text of a key file: base64 of the 32 bytes and a newline.
    pub fn to_file_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}\n", BASE64.encode(&self.0.to_bytes())))
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Ok(Self::from_seed(&*decode_32(text)?))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// What the carrier files a host's records under: the first 8 bytes of the SHA-256 of the host's public key. As text,
/// 16 lower-case hexadecimal digits. Short, because every gossip digest lists it once a node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct NodeId(pub [u8; 8]);

impl From<HostKey> for NodeId {
    fn from(key: HostKey) -> Self {
        let hash: [u8; 32] = Sha256::digest(key.0).into();
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        Self(id)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 32 bytes of base64, with or without white space around them.
///
/// # Errors
/// When the text is not base64, or not of 32 bytes. The error never repeats the text: it may be a secret.
pub fn decode_32(text: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let expected = "32 bytes in base64 (43 characters and '=')";
    let text = text.trim();
    let bytes = Zeroizing::new(BASE64.decode(text.as_bytes()).map_err(|error| KeyError {
        found: format!("{} characters that are not base64 (at character {})", text.len(), error.position + 1),
        expected,
    })?);
    let bytes: &[u8; 32] = bytes
        .as_slice()
        .try_into()
        .map_err(|_| KeyError { found: format!("base64 of {} bytes", bytes.len()), expected })?;
    Ok(Zeroizing::new(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_travel_as_base64() {
        let key = SecretKey::from_seed(&[7; 32]);
        let host = key.host_key();
        assert_eq!(host.to_string().parse::<HostKey>().unwrap(), host);
        assert_eq!(key.to_file_text().parse::<SecretKey>().unwrap().host_key(), host);
        assert_eq!(NodeId::from(host).to_string().len(), 16);
    }

    #[test]
    fn a_bad_key_says_what_was_expected_and_not_what_it_was() {
        let error = "c2VjcmV0".parse::<SecretKey>().unwrap_err().to_string();
        assert_eq!(error, "base64 of 6 bytes; expected 32 bytes in base64 (43 characters and '=')");
        let error = "secret!".parse::<SecretKey>().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(format!("{:?}", SecretKey::from_seed(&[1; 32])), "SecretKey(..)");
    }

    #[test]
    fn signatures_are_checked() {
        let key = SecretKey::from_seed(&[7; 32]);
        let signature = key.sign(b"text");
        assert!(key.host_key().verifies(b"text", &signature));
        assert!(!key.host_key().verifies(b"texT", &signature));
        assert!(!HostKey([0; 32]).verifies(b"text", &signature));
    }
}
