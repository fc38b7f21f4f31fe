//! Sealing: what makes a datagram ours.
//!
//! `version (1) | key id (4) | nonce (24) | ciphertext | tag (16)`: XChaCha20-Poly1305 under a key derived from the
//! network secret. The associated data are a domain string, the network's id, and the version and key id bytes, so
//! a datagram of another protocol version or another network does not open even under the same secret. Nonces are
//! random: at 192 bits they never repeat in practice, whatever clones or restarts share the secret.

use std::borrow::Borrow;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

/// Version of the datagram format; part of what the seal covers.
pub(crate) const VERSION: u8 = 1;

const KEY_ID_LEN: usize = 4;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// Bytes that sealing adds to a datagram.
pub(crate) const OVERHEAD: usize = HEADER_LEN + TAG_LEN;

/// Which secret sealed a datagram: the first bytes of a hash of the secret. It tells nothing about the secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; KEY_ID_LEN]);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// The network's secrets: the first seals, all of them open. At least one.
///
/// To rotate without a gap: add the new secret behind the old one everywhere, then put it in front everywhere, then
/// take the old one out.
#[derive(Clone)]
pub struct Secrets {
    keys: Vec<Key>,
}

impl Secrets {
    /// Takes the secrets in order of preference; `None` if there are none.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item: Borrow<[u8; 32]>>) -> Option<Self> {
        let keys: Vec<Key> = secrets.into_iter().map(|secret| Key::derive(secret.borrow())).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// The id of the secret that seals what this node sends.
    #[must_use]
    pub fn sealing_key(&self) -> KeyId {
        self.keys[0].id
    }

    /// The ids of all secrets, in order.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(|key| key.id)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.key_ids()).finish()
    }
}

#[derive(Clone)]
struct Key {
    id: KeyId,
    cipher: XChaCha20Poly1305,
}

impl Key {
    fn derive(secret: &[u8; 32]) -> Self {
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&domain_hash(b"data-mesher gossip key id", secret)[..KEY_ID_LEN]);
        let mut key = domain_hash(b"data-mesher gossip seal key", secret);
        let cipher = XChaCha20Poly1305::new((&key).into());
        key.zeroize();
        Self { id: KeyId(id), cipher }
    }
}

fn domain_hash(domain: &[u8], secret: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update([domain.len() as u8])
        .chain_update(domain)
        .chain_update(secret)
        .finalize()
        .into()
}

/// Why a datagram was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// Too short, or of another version of the format.
    NotOurs,
    /// Sealed under a secret this node does not have.
    UnknownKey,
    /// The key id is known, but the datagram was made without the secret, for another network, or damaged.
    Forged,
}

/// Seals and opens datagrams of one network.
pub(crate) struct Sealer {
    secrets: Secrets,
    /// Associated data: domain, network id, then room for the version and key id.
    associated: Vec<u8>,
}

impl Sealer {
    pub(crate) fn new(secrets: Secrets, network: &[u8]) -> Self {
        let mut associated = b"data-mesher gossip datagram\0".to_vec();
        associated.extend_from_slice(&(network.len() as u64).to_le_bytes());
        associated.extend_from_slice(network);
        Self { secrets, associated }
    }

    #[cfg(test)]
    fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    pub(crate) fn set_secrets(&mut self, secrets: Secrets) {
        self.secrets = secrets;
    }

    fn associated(&self, key: KeyId) -> Vec<u8> {
        let mut associated = Vec::with_capacity(self.associated.len() + 1 + KEY_ID_LEN);
        associated.extend_from_slice(&self.associated);
        associated.push(VERSION);
        associated.extend_from_slice(&key.0);
        associated
    }

    /// Seals `plain` under the first secret. `nonce` must be fresh from a cryptographic generator.
    pub(crate) fn seal(&self, nonce: [u8; NONCE_LEN], plain: &[u8]) -> Vec<u8> {
        let key = &self.secrets.keys[0];
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.id.0);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = key
            .cipher
            .encrypt_inout_detached(
                &XNonce::from(nonce),
                &self.associated(key.id),
                sealed[HEADER_LEN..].as_mut().into(),
            )
            .expect("a datagram is far below the cipher's limit of 256 GiB");
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// Opens a datagram in place; the plain bytes are a part of `datagram`.
    pub(crate) fn open<'a>(&self, datagram: &'a mut [u8]) -> Result<(KeyId, &'a [u8]), OpenError> {
        if datagram.len() < OVERHEAD || datagram[0] != VERSION {
            return Err(OpenError::NotOurs);
        }
        let (header, body) = datagram.split_at_mut(HEADER_LEN);
        let (cipher_text, tag) = body.split_at_mut(body.len() - TAG_LEN);
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&header[1..=KEY_ID_LEN]);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&header[1 + KEY_ID_LEN..]);
        let mut tag_bytes = [0; TAG_LEN];
        tag_bytes.copy_from_slice(tag);
        // Of two secrets with the same id (once in four thousand million) only the first is tried: a failed
        // attempt destroys the ciphertext.
        let key = self.secrets.keys.iter().find(|key| key.id.0 == id).ok_or(OpenError::UnknownKey)?;
        key.cipher
            .decrypt_inout_detached(
                &XNonce::from(nonce),
                &self.associated(key.id),
                (&mut *cipher_text).into(),
                &Tag::from(tag_bytes),
            )
            .map_err(|_| OpenError::Forged)?;
        Ok((key.id, cipher_text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(secrets: &[[u8; 32]]) -> Sealer {
        Sealer::new(Secrets::new(secrets.iter().copied()).unwrap(), b"network")
    }

    #[test]
    fn opens_under_any_of_its_secrets_and_says_which() {
        let (old, new) = ([1; 32], [2; 32]);
        let mut datagram = sealer(&[old]).seal([7; 24], b"hello");
        let both = sealer(&[new, old]);
        let (key, plain) = both.open(&mut datagram).unwrap();
        assert_eq!((key, plain), (sealer(&[old]).secrets().sealing_key(), &b"hello"[..]));
        assert_eq!(both.seal([7; 24], b"")[1..5], sealer(&[new]).secrets().sealing_key().0);
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let sealer = sealer(&[[1; 32]]);
        let datagram = sealer.seal([7; 24], b"hello");
        for bit in 0..datagram.len() * 8 {
            let mut changed = datagram.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer.open(&mut changed).is_err(), "bit {bit}");
        }
        for len in 0..datagram.len() {
            assert!(sealer.open(&mut datagram[..len].to_vec()).is_err(), "length {len}");
        }
    }

    #[test]
    fn another_network_under_the_same_secret_stays_closed() {
        let mut datagram = sealer(&[[1; 32]]).seal([7; 24], b"hello");
        let other = Sealer::new(Secrets::new([[1; 32]]).unwrap(), b"another");
        assert_eq!(other.open(&mut datagram), Err(OpenError::Forged));
        let mut stranger = sealer(&[[3; 32]]).seal([7; 24], b"hello");
        assert_eq!(other.open(&mut stranger), Err(OpenError::UnknownKey));
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let text = format!("{:?}", Secrets::new([[0xab; 32]]).unwrap());
        assert!(!text.contains("abab") && !text.contains("171"), "{text}");
        assert!(Secrets::new([[0; 32]; 0]).is_none());
    }
}
