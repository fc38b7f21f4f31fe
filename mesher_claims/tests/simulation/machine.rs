//! One machine: its clocks, its disk, its daemon.

use std::collections::BTreeMap;

use mesher_claims::address::Addresses;
use mesher_claims::keys::{HostKey, NetworkId, SecretKey};
use mesher_claims::names::ClaimName;
use mesher_claims::node::{Node, NodeConfig, OwnState, SavedOwn};
use mesher_claims::store::{SavedStore, Store};
use mesher_claims::time::Now;

use super::network::Flight;

/// True time 0 of a run, as right wall clocks show it: in 2026.
pub const EPOCH_2026_MS: u64 = 1_767_225_600_000;

/// What survives a power cut.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    pub own: Option<SavedOwn>,
    /// The largest `seq` in `own`.
    pub own_seq: u64,
    pub store: Option<SavedStore>,
    pub saved: Option<StoreSaved>,
    pub full: bool,
}

/// What the oracle must know of a saved store: when it was saved, and how late each age was then.
#[derive(Debug, Clone)]
pub struct StoreSaved {
    pub at_ms: u64,
    pub clocks: Now,
    pub lateness: BTreeMap<HostKey, (u64, u64)>,
}

pub struct Machine {
    pub number: usize,
    /// Whose key it has: its own number's, but for a copy.
    pub key_of: usize,
    pub me: HostKey,
    pub config: NodeConfig,
    pub node: Option<Node>,
    pub up: bool,
    pub suspended: bool,
    /// What the kernel keeps for a suspended daemon.
    pub inbox: Vec<Flight>,
    pub disk: Disk,
    /// Power is cut at the next save; whether the new state is in place by then.
    pub cut_at_save: Option<bool>,
    pub starts: u64,
    /// Wakes with another number are of the past.
    pub wake: u64,
    pub wake_at_ms: u64,
    /// When it last lost power.
    pub down_at_ms: u64,
    booted_at_ms: u64,
    boot_offset_ms: u64,
    pub wall_off_ms: i64,
    drift_ppm: i64,
}

impl Machine {
    pub fn new(number: usize, wall_off_ms: i64, drift_ppm: i64) -> Self {
        let me = key(number).host_key();
        let config = NodeConfig {
            label: format!("host{number}").parse().unwrap(),
            names: BTreeMap::new(),
            addresses: addresses(number, 1),
            join_timeout_ms: 5_000,
            has_peers: true,
            certificate: None,
        };
        Self {
            number,
            key_of: number,
            me,
            config,
            node: None,
            up: false,
            suspended: false,
            inbox: Vec::new(),
            disk: Disk::default(),
            cut_at_save: None,
            starts: 0,
            wake: 0,
            wake_at_ms: u64::MAX,
            down_at_ms: 0,
            booted_at_ms: 0,
            boot_offset_ms: 0,
            wall_off_ms,
            drift_ppm,
        }
    }

    /// Makes it a copy of another machine: one key, one label, and a clock that shows the same when it is booted.
    pub fn be_copy_of(&mut self, other: usize, wall_off_ms: i64) {
        self.wall_off_ms = wall_off_ms;
        self.key_of = other;
        self.me = key(other).host_key();
        self.config.label = format!("host{other}").parse().unwrap();
    }

    /// Both of its clocks at a true time.
    pub fn now(&self, true_ms: u64) -> Now {
        let since_boot = true_ms - self.booted_at_ms;
        let drift = (i128::from(since_boot) * i128::from(self.drift_ppm) / 1_000_000) as i64;
        let wall = i64::try_from(EPOCH_2026_MS + true_ms).unwrap() + self.wall_off_ms;
        Now {
            boot_ms: (since_boot + self.boot_offset_ms).saturating_add_signed(drift),
            wall_ms: u64::try_from(wall).unwrap_or(0),
        }
    }

    /// The true time at which its boot clock will show `boot_ms` or a little more.
    pub fn true_ms_at(&self, boot_ms: u64, true_ms: u64) -> u64 {
        let mut at = true_ms.saturating_add(boot_ms.saturating_sub(self.now(true_ms).boot_ms));
        if self.drift_ppm == 0 || boot_ms > 1 << 50 {
            return at;
        }
        for _ in 0..4 {
            let shown = self.now(at).boot_ms;
            at = if shown >= boot_ms { at } else { at + (boot_ms - shown) };
        }
        while at > true_ms && self.now(at - 1).boot_ms >= boot_ms {
            at -= 1;
        }
        at
    }

    pub fn boot(&mut self, true_ms: u64, boot_offset_ms: u64) {
        self.up = true;
        self.booted_at_ms = true_ms;
        self.boot_offset_ms = boot_offset_ms.min(true_ms - self.down_at_ms);
    }

    /// Starts the daemon with what the disk has.
    pub fn start(&mut self, network: NetworkId, true_ms: u64) {
        self.starts += 1;
        let now = self.now(true_ms);
        let store = self.disk.store.as_ref().map_or_else(Store::default, |s| Store::restore(s, now).unwrap());
        let own = self.disk.own.clone().map(|own| OwnState::from_saved(own).unwrap());
        let instance = (self.starts << 16 | self.number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.node =
            Some(Node::start(network, key(self.key_of), instance, self.config.clone(), store, own, now));
    }

    /// The daemon is gone.
    pub fn end(&mut self) {
        self.node = None;
        self.suspended = false;
        self.inbox.clear();
        self.wake += 1;
        self.wake_at_ms = u64::MAX;
    }

    pub fn runs(&self) -> bool {
        self.node.is_some() && !self.suspended
    }
}

/// The private key of a machine.
pub fn key(number: usize) -> SecretKey {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
    SecretKey::from_seed(&seed)
}

/// The addresses of a machine, in their `variant`th form.
pub fn addresses(number: usize, variant: u8) -> Addresses {
    let (high, low) = (number / 250, number % 250 + 1);
    let texts = [format!("10.{variant}.{high}.{low}"), format!("2001:db8:{variant}::{number:x}")];
    Addresses::new(texts.iter().map(|text| text.parse().unwrap())).unwrap()
}

pub fn name(number: usize) -> ClaimName {
    ["earth", "mars", "*.earth", "Grafana.earth", "venus", "pluto"][number].parse().unwrap()
}
