//! The state directory: what must survive the daemon.
//!
//! | file | what | written |
//! |---|---|---|
//! | `host.key` | the host's private key, base64, mode 0600 | once, at the first start; never over an existing one |
//! | `own.state` | what this host signed last ([`OwnState`]) | before any datagram carries it |
//! | `store.state` | every record known, with ages ([`SavedStore`]) | every now and then, and on a clean stop |
//! | `generation.state` | the carrier's last generation | before the carrier starts under it |
//! | `peers.state` | addresses of peers met | when they change, at most every minute |
//! | `claims.state` | names claimed at run time | when they change |
//! | `lock` | held by the daemon that uses the directory | |
//!
//! The `.state` files are framed and checked ([`framed`]); a torn or foreign one is set aside as `*.corrupt-DATE`, and the
//! node goes on without it: it rejoins and claims again.
//!
//! Without `own.state` and `generation.state` nothing may be sent, so those two keep the room that they need: a full disk keeps
//! no host from renewing its claims. On a read-only one the daemon runs and announces nothing.

pub mod framed;
mod key;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use borsh::{BorshDeserialize, BorshSerialize};
use mesher_claims::keys::SecretKey;
use mesher_claims::names::ClaimName;
use mesher_claims::node::{OwnState, SavedOwn};
use mesher_claims::store::{SavedStore, Store};
use mesher_claims::time::Now;
use nix::fcntl::{Flock, FlockArg};

use crate::systemd::{events, journal};
pub use key::KeyError;

const OWN: &str = "own.state";
const STORE: &str = "store.state";
const GENERATION: &str = "generation.state";
const PEERS: &str = "peers.state";
const CLAIMS: &str = "claims.state";

/// Up to this many bytes of store, room for the next is kept on the disk.
const ROOM_FOR_STORE: usize = 1 << 20;

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Making or opening it failed.
    #[error("{path}: {error}; expected a directory that the daemon's user may write", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// Another daemon has it.
    #[error("{path}: another mesherd uses this state directory; give each its own with --state-dir", path = path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The host's key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The state directory, held by this process alone.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    _lock: Flock<File>,
}

/// Opened for reading, which is enough for a lock: a disk on which a file is open for writing cannot be made read-only. On one that is,
/// nothing can be saved, so nothing will be sent; but what others hold can be looked up.
fn open_lock(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            drop(File::options().create(true).truncate(false).write(true).open(path)?);
            File::open(path)
        }
        other => other,
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct SavedPeers(Vec<String>);

impl StateDirectory {
    /// Opens the directory, made if need be (mode 0700), and locks it.
    ///
    /// # Errors
    /// When it cannot be made or locked, or written, unless it is merely read-only and has been used before.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let directory = |error| StateError::Directory { path: path.to_owned(), error };
        framed::make_directory(path, 0o700).map_err(directory)?;
        let lock = open_lock(&path.join("lock")).map_err(directory)?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|_| StateError::InUse { path: path.to_owned() })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The host's key: read, or made from `seed` if there is none.
    ///
    /// # Errors
    /// When it is unreadable, damaged or too open; it is never overwritten.
    pub fn host_key(&self, seed: impl FnOnce() -> [u8; 32]) -> Result<SecretKey, StateError> {
        Ok(key::load_or_create(&self.path.join(key::FILE), seed)?)
    }

    /// The own state, if there is one that can be read.
    pub fn load_own(&self) -> Option<OwnState> {
        let own = self.load::<SavedOwn>(OWN)?;
        match OwnState::from_saved(own) {
            Ok(own) => Some(own),
            Err(refusal) => {
                self.set_aside(OWN, &refusal.to_string());
                None
            }
        }
    }

    /// Saves the own state; when this returns well it is on disk.
    ///
    /// # Errors
    /// When it could not be written; the former one is still there, whole.
    pub fn save_own(&self, own: &SavedOwn) -> io::Result<()> {
        framed::write_in_kept_room(&self.path.join(OWN), &borsh::to_vec(own)?)
    }

    /// The store as it was saved, with ages as they are by now; empty if there is none that can be read.
    pub fn load_store(&self, now: Now) -> Store {
        let Some(saved) = self.load::<SavedStore>(STORE) else { return Store::default() };
        Store::restore(&saved, now).unwrap_or_else(|refusal| {
            self.set_aside(STORE, &refusal.to_string());
            Store::default()
        })
    }

    /// Saves the store.
    ///
    /// # Errors
    /// When it could not be written; the former one is still there, whole.
    pub fn save_store(&self, store: &SavedStore) -> io::Result<()> {
        let (path, bytes) = (self.path.join(STORE), borsh::to_vec(store)?);
        // A restart on a full disk should find the peers' records too, where they are not too many to be kept room for.
        if bytes.len() <= ROOM_FOR_STORE {
            framed::write_in_kept_room(&path, &bytes)
        } else {
            framed::write(&path, &bytes)
        }
    }

    /// A generation for the carrier, above all before, on disk when this returns: the unix time in milliseconds, or one more
    /// than the last where the clock went backwards.
    ///
    /// # Errors
    /// When it could not be written.
    pub fn next_generation(&self, wall_ms: u64) -> io::Result<u64> {
        let last = self.load::<u64>(GENERATION).unwrap_or(0);
        let next = wall_ms.max(last + 1);
        framed::write_in_kept_room(&self.path.join(GENERATION), &borsh::to_vec(&next)?)?;
        Ok(next)
    }

    /// Addresses of peers met before.
    pub fn load_peers(&self) -> Vec<SocketAddr> {
        let saved = self.load::<SavedPeers>(PEERS).map(|SavedPeers(peers)| peers).unwrap_or_default();
        saved.iter().filter_map(|peer| peer.parse().ok()).collect()
    }

    /// Saves addresses of peers met.
    ///
    /// # Errors
    /// When they could not be written; the former ones are still there.
    pub fn save_peers(&self, peers: &[SocketAddr]) -> io::Result<()> {
        let peers = SavedPeers(peers.iter().map(SocketAddr::to_string).collect());
        framed::write(&self.path.join(PEERS), &borsh::to_vec(&peers)?)
    }

    /// Names claimed at run time, beside those of the configuration.
    pub fn load_claims(&self) -> BTreeSet<ClaimName> {
        self.load::<Vec<ClaimName>>(CLAIMS).unwrap_or_default().into_iter().collect()
    }

    /// Saves the names claimed at run time.
    ///
    /// # Errors
    /// When they could not be written; the former ones are still there.
    pub fn save_claims(&self, names: &BTreeSet<ClaimName>) -> io::Result<()> {
        let names: Vec<&ClaimName> = names.iter().collect();
        framed::write(&self.path.join(CLAIMS), &borsh::to_vec(&names)?)
    }

    fn load<T: BorshDeserialize>(&self, file: &str) -> Option<T> {
        match framed::read(&self.path.join(file)) {
            Ok(Some(payload)) => {
                T::try_from_slice(&payload).map_err(|error| self.set_aside(file, &error.to_string())).ok()
            }
            Ok(None) => None,
            Err(error) => {
                self.set_aside(file, &error.to_string());
                None
            }
        }
    }

    /// Renames a file that cannot be read, so that it can be looked at later and is not in the way.
    fn set_aside(&self, file: &str, why: &str) {
        let from = self.path.join(file);
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(':', "-");
        let to = self.path.join(format!("{file}.corrupt-{date}"));
        let outcome = match std::fs::rename(&from, &to) {
            Ok(()) => format!("set aside as {}", to.display()),
            Err(error) => format!("it could not be set aside: {error}"),
        };
        journal::event(events::STATE_SET_ASIDE)
            .log(format_args!("{}: {why}; {outcome}; going on without it", from.display()));
    }
}
