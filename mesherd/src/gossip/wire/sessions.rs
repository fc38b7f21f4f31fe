//! Who has proven to be there, and which of its datagrams have been seen.
//!
//! A *token* ties a sender's session to the address it sends from. It is a keyed hash, so giving one out costs no
//! memory; the key changes every [`TOKEN_KEY_LIFETIME`], and the one before still counts. A datagram is taken only
//! with a valid token and a counter not seen before in its (session, address). A window is forgotten only after no
//! datagram it could have seen still has a valid token: so there is no time at which a replay is taken, whatever
//! the clocks say, and after a restart of either side no old datagram is.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::super::node_id::NodeId;
use super::seal::KeyId;

/// For how long one key makes tokens. A token is good for one to two of these.
pub(crate) const TOKEN_KEY_LIFETIME: Duration = Duration::from_secs(600);

/// Sessions remembered in all, and from one address (one /64 of IPv6).
const MAX_SESSIONS: usize = 4096;
const MAX_SESSIONS_PER_HOST: usize = 256;

const WINDOW_WORDS: usize = 16;

/// How far behind the newest counter a datagram may arrive. The counter runs over all of a sender's datagrams, not
/// only those for us, so this also bounds how much it may send elsewhere while one to us is delayed.
const WINDOW: u64 = (WINDOW_WORDS as u64) * 64;

/// The keys that make and check tokens.
pub(crate) struct TokenKeys {
    current: [u8; 32],
    former: [u8; 32],
    changed: Instant,
}

impl TokenKeys {
    pub(crate) fn new(now: Instant, random: &mut dyn FnMut(&mut [u8])) -> Self {
        let (mut current, mut former) = ([0; 32], [0; 32]);
        random(&mut current);
        random(&mut former);
        Self { current, former, changed: now }
    }

    /// Changes the key if its time has come.
    pub(crate) fn rotate(&mut self, now: Instant, random: &mut dyn FnMut(&mut [u8])) {
        let age = now.saturating_duration_since(self.changed);
        if age < TOKEN_KEY_LIFETIME {
            return;
        }
        self.former = self.current;
        random(&mut self.current);
        if age >= 2 * TOKEN_KEY_LIFETIME {
            random(&mut self.former);
        }
        self.changed = now;
    }

    /// The token that `session` must show when it sends from `source`. Never 0, which means "none".
    pub(crate) fn token(&self, session: u64, source: SocketAddr) -> u64 {
        token(&self.current, session, source)
    }

    pub(crate) fn accepts(&self, shown: u64, session: u64, source: SocketAddr) -> bool {
        // A timing difference tells a member what it may simply ask for.
        shown == token(&self.current, session, source) || shown == token(&self.former, session, source)
    }
}

fn token(key: &[u8; 32], session: u64, source: SocketAddr) -> u64 {
    let ip = match source.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let hash = Sha256::new()
        .chain_update(key)
        .chain_update(session.to_le_bytes())
        .chain_update(ip.octets())
        .chain_update(source.port().to_le_bytes())
        .finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(first).max(1)
}

/// What is known of one session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) node: NodeId,
    pub(crate) key: KeyId,
    pub(crate) last_heard: Instant,
    newest: u64,
    seen: [u64; WINDOW_WORDS],
}

impl Session {
    /// Whether `counter` is new; remembers it.
    fn take(&mut self, counter: u64) -> bool {
        if counter > self.newest {
            let ahead = counter - self.newest;
            if ahead >= WINDOW {
                self.seen = [0; WINDOW_WORDS];
            } else {
                for skipped in self.newest + 1..=counter {
                    let (word, bit) = position(skipped);
                    self.seen[word] &= !bit;
                }
            }
            self.newest = counter;
        } else if self.newest - counter >= WINDOW {
            return false;
        }
        let (word, bit) = position(counter);
        let new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        new
    }
}

fn position(counter: u64) -> (usize, u64) {
    ((counter / 64) as usize % WINDOW_WORDS, 1 << (counter % 64))
}

/// Whether a datagram may be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Fresh,
    Replayed,
    /// Too many sessions are known, in all or from this address.
    Crowded,
}

/// All sessions that have shown a valid token.
pub(crate) struct Sessions {
    known: HashMap<(u64, SocketAddr), Session>,
    per_host: HashMap<IpAddr, usize>,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self { known: HashMap::new(), per_host: HashMap::new() }
    }

    /// Takes a datagram whose token was found good.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        node: NodeId,
        key: KeyId,
        session: u64,
        counter: u64,
        source: SocketAddr,
    ) -> Admission {
        if let Some(known) = self.known.get_mut(&(session, source)) {
            if !known.take(counter) {
                return Admission::Replayed;
            }
            (known.node, known.key, known.last_heard) = (node, key, now);
            return Admission::Fresh;
        }
        let host = host_of(source.ip());
        let from_host = self.per_host.entry(host).or_insert(0);
        if self.known.len() >= MAX_SESSIONS || *from_host >= MAX_SESSIONS_PER_HOST {
            if *from_host == 0 {
                self.per_host.remove(&host);
            }
            return Admission::Crowded;
        }
        *from_host += 1;
        let mut new = Session { node, key, last_heard: now, newest: counter, seen: [0; WINDOW_WORDS] };
        new.take(counter);
        self.known.insert((session, source), new);
        Admission::Fresh
    }

    /// Forgets sessions none of whose datagrams can have a valid token any more.
    pub(crate) fn expire(&mut self, now: Instant) {
        let per_host = &mut self.per_host;
        self.known.retain(|(_, source), session| {
            let keep = now.saturating_duration_since(session.last_heard) <= 2 * TOKEN_KEY_LIFETIME;
            if !keep && let Some(count) = per_host.get_mut(&host_of(source.ip())) {
                *count -= 1;
                if *count == 0 {
                    per_host.remove(&host_of(source.ip()));
                }
            }
            keep
        });
    }

    /// Every session with the address it was heard from.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &Session)> {
        self.known.iter().map(|((_, source), session)| (*source, session))
    }
}

/// What counts as one host in limits: an IPv4 address, or the /64 an IPv6 host may choose its addresses from.
pub(crate) fn host_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !(u128::from(u64::MAX)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn admit(sessions: &mut Sessions, now: Instant, session: u64, counter: u64, port: u16) -> Admission {
        sessions.admit(now, NodeId::from_bytes([1; 8]), KeyId([0; 4]), session, counter, source(port))
    }

    #[test]
    fn the_window_agrees_with_a_plain_set() {
        for seed in 1..200u64 {
            let (mut sessions, now) = (Sessions::new(), Instant::now());
            let (mut seen, mut newest, mut state) = (std::collections::HashSet::new(), 0u64, seed);
            for _ in 0..400 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let jump = if state >> 60 == 0 { 2_000 } else { 40 };
                let counter = (newest + jump).saturating_sub((state >> 33) % (jump + 1_100)).max(1);
                let expected = counter + WINDOW > newest && seen.insert(counter);
                newest = newest.max(counter);
                let taken = admit(&mut sessions, now, 1, counter, 1) == Admission::Fresh;
                assert_eq!(taken, expected, "seed {seed}, counter {counter}, newest {newest}");
            }
        }
    }

    #[test]
    fn the_largest_counter_is_no_accident() {
        let (mut sessions, now) = (Sessions::new(), Instant::now());
        assert_eq!(admit(&mut sessions, now, 1, u64::MAX, 1), Admission::Fresh);
        assert_eq!(admit(&mut sessions, now, 1, u64::MAX, 1), Admission::Replayed);
        // Somebody else's use of the session's number, from its own address, leaves the owner's window alone.
        assert_eq!(admit(&mut sessions, now, 1, 1, 2), Admission::Fresh);
    }

    #[test]
    fn sessions_are_bounded_and_forgotten_only_when_no_token_can_be_valid() {
        let (mut sessions, now) = (Sessions::new(), Instant::now());
        for session in 0..MAX_SESSIONS_PER_HOST as u64 {
            assert_eq!(admit(&mut sessions, now, session, 1, 1), Admission::Fresh);
        }
        assert_eq!(admit(&mut sessions, now, u64::MAX, 1, 1), Admission::Crowded);
        sessions.expire(now + 2 * TOKEN_KEY_LIFETIME);
        assert_eq!(admit(&mut sessions, now, 0, 1, 1), Admission::Replayed);
        sessions.expire(now + 2 * TOKEN_KEY_LIFETIME + Duration::from_millis(1));
        assert_eq!((sessions.known.len(), sessions.per_host.len()), (0, 0));
    }

    #[test]
    fn tokens_are_bound_to_session_address_and_time() {
        let mut fill = 0u8;
        let mut random = |bytes: &mut [u8]| {
            fill += 1;
            bytes.fill(fill);
        };
        let start = Instant::now();
        let mut keys = TokenKeys::new(start, &mut random);
        let token = keys.token(1, source(1));
        assert!(keys.accepts(token, 1, source(1)));
        assert!(!keys.accepts(token, 2, source(1)) && !keys.accepts(token, 1, source(2)));
        assert!(!keys.accepts(0, 1, source(1)));
        keys.rotate(start + TOKEN_KEY_LIFETIME, &mut random);
        assert!(keys.accepts(token, 1, source(1)), "good for one more lifetime");
        keys.rotate(start + 2 * TOKEN_KEY_LIFETIME, &mut random);
        assert!(!keys.accepts(token, 1, source(1)));
    }
}
