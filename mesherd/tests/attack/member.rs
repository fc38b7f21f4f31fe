//! A member that lies, one byte at a time: it holds the network secret, and writes every datagram itself.

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use mesher_claims::keys::{self, HostKey};
use sha2::{Digest, Sha256};

use crate::cluster::{Cluster, Daemon};

/// Bytes of a message in one datagram (`docs/gossip.md`).
pub const MAX_PIECE: usize = 1_105;

pub const CARRIER: u8 = 1;
pub const APPLICATION: u8 = 2;

const HELLO: u8 = 1;
const TOKEN: u8 = 2;
const PIECE: u8 = 3;

/// What stands before the body of an opened datagram.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    pub kind: u8,
    pub session: u64,
    pub counter: u64,
    pub token: u64,
    pub grant: u64,
}

/// One session of a member towards one daemon.
pub struct Member {
    pub node: [u8; 8],
    pub session: u64,
    /// What the daemon gave this session to prove that it is there; 0 before [`Member::introduce`].
    pub token: u64,
    pub victim: SocketAddr,
    pub socket: UdpSocket,
    counter: u64,
    message: u32,
    nonce: u64,
    cipher: XChaCha20Poly1305,
    key_id: [u8; 4],
    network: [u8; 32],
}

impl Member {
    /// A member that says it is the node of `host`, sends from `from`, and has not spoken yet.
    pub fn new(cluster: &Cluster, host: HostKey, from: SocketAddr, victim: &Daemon) -> Self {
        let file = cluster.dir.path().join("network.secret");
        let secret = mesher_config::secret::read_secret(&file).unwrap();
        let hash = |domain: &[u8]| -> [u8; 32] {
            let sha = Sha256::new().chain_update([domain.len() as u8]).chain_update(domain);
            sha.chain_update(secret.expose()).finalize().into()
        };
        let key_id = *hash(b"data-mesher gossip key id").first_chunk().unwrap();
        let cipher = XChaCha20Poly1305::new((&hash(b"data-mesher gossip seal key")).into());
        let socket = UdpSocket::bind(from).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut session = [0; 8];
        getrandom::fill(&mut session).unwrap();
        Self {
            node: keys::NodeId::from(host).0,
            session: u64::from_le_bytes(session),
            token: 0,
            victim: SocketAddr::new(victim.address, cluster.port()),
            socket,
            counter: 0,
            message: 0,
            nonce: u64::from_le_bytes(session),
            cipher,
            key_id,
            network: cluster.key.network_id().0,
        }
    }

    /// Asks for a token until one comes.
    #[track_caller]
    pub fn introduce(&mut self) {
        let begin = Instant::now();
        while self.token == 0 {
            assert!(begin.elapsed() < Duration::from_secs(60), "no token");
            let hello = self.datagram(HELLO, &[0; 8]);
            self.send(&hello);
            while let Some((header, _)) = self.receive() {
                if header.kind == TOKEN && header.token == self.session {
                    self.token = header.grant;
                    break;
                }
            }
        }
    }

    /// A member that has introduced itself.
    #[track_caller]
    pub fn join(cluster: &Cluster, host: HostKey, from: SocketAddr, victim: &Daemon) -> Self {
        let mut member = Self::new(cluster, host, from, victim);
        member.introduce();
        member
    }

    pub fn send(&self, datagram: &[u8]) {
        // A full queue is no matter: what counts is asked for until it happens.
        drop(self.socket.send_to(datagram, self.victim));
    }

    /// A sealed datagram under the next counter.
    pub fn datagram(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        self.counter += 1;
        let mut plain = vec![kind];
        plain.extend_from_slice(&self.node);
        // The last is a token for the daemon's answers; this member takes them with any.
        for field in [self.session, self.counter, self.token, 7] {
            plain.extend_from_slice(&field.to_le_bytes());
        }
        plain.extend_from_slice(body);
        self.seal(plain)
    }

    /// Seals any bytes at all.
    pub fn seal(&mut self, mut plain: Vec<u8>) -> Vec<u8> {
        self.nonce += 1;
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&self.nonce.to_le_bytes());
        nonce[8..16].copy_from_slice(&self.session.to_le_bytes());
        let associated = self.associated();
        let tag = self.cipher.encrypt_inout_detached(
            &XNonce::from(nonce),
            &associated,
            plain.as_mut_slice().into(),
        );
        [&[1], &self.key_id[..], &nonce, &plain, &tag.unwrap()].concat()
    }

    fn associated(&self) -> Vec<u8> {
        let mut associated = b"data-mesher gossip datagram\0".to_vec();
        associated.extend_from_slice(&(self.network.len() as u64).to_le_bytes());
        associated.extend_from_slice(&self.network);
        associated.push(1);
        associated.extend_from_slice(&self.key_id);
        associated
    }

    /// One piece of a message, true or not.
    pub fn piece(&mut self, channel: u8, id: u32, index: u16, count: u16, bytes: &[u8]) -> Vec<u8> {
        let header = [&[channel], &id.to_le_bytes()[..], &index.to_le_bytes(), &count.to_le_bytes()].concat();
        self.datagram(PIECE, &[&header, bytes].concat())
    }

    /// Sends a whole message, slowly enough that none of it is lost on the way or to a limit.
    pub fn say(&mut self, channel: u8, bytes: &[u8]) {
        self.message += 1;
        let count = bytes.len().div_ceil(MAX_PIECE).max(1);
        for index in 0..count {
            let piece = &bytes[index * MAX_PIECE..bytes.len().min((index + 1) * MAX_PIECE)];
            let datagram = self.piece(channel, self.message, index as u16, count as u16, piece);
            self.send(&datagram);
            if index % 32 == 31 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    /// The next datagram of the daemon's, opened; none if none comes soon.
    pub fn receive(&self) -> Option<(Header, Vec<u8>)> {
        let mut buffer = [0; 2_048];
        let (len, from) = self.socket.recv_from(&mut buffer).ok()?;
        assert_eq!(from, self.victim);
        let (head, rest) = buffer[..len].split_at_checked(29).expect("a sealed datagram");
        let (cipher_text, tag) = rest.split_at(rest.len() - 16);
        let mut plain = cipher_text.to_vec();
        let nonce = XNonce::try_from(&head[5..]).unwrap();
        let tag = Tag::try_from(tag).unwrap();
        let associated = self.associated();
        self.cipher
            .decrypt_inout_detached(&nonce, &associated, plain.as_mut_slice().into(), &tag)
            .expect("sealed for us");
        let field = |at: usize| u64::from_le_bytes(plain[at..at + 8].try_into().unwrap());
        let header = Header {
            kind: plain[0],
            session: field(9),
            counter: field(17),
            token: field(25),
            grant: field(33),
        };
        Some((header, plain.split_off(41)))
    }

    /// The daemon's messages on a channel, until `wanted` says that one is what it waited for.
    #[track_caller]
    pub fn wait_message<T>(&mut self, channel: u8, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> T {
        let begin = Instant::now();
        let mut partials: HashMap<[u8; 4], BTreeMap<u16, Vec<u8>>> = HashMap::new();
        loop {
            assert!(begin.elapsed() < Duration::from_secs(60), "no such message");
            let Some((header, body)) = self.receive() else { continue };
            if header.kind != PIECE || body[0] != channel {
                continue;
            }
            let number = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
            let id = *body[1..].first_chunk().unwrap();
            let pieces = partials.entry(id).or_default();
            pieces.insert(number(5), body[9..].to_vec());
            if pieces.len() == usize::from(number(7)) {
                let whole: Vec<u8> = partials.remove(&id).unwrap().into_values().flatten().collect();
                if let Some(found) = wanted(&whole) {
                    return found;
                }
            }
        }
    }
}
