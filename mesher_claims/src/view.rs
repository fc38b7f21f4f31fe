//! The view: for every name its holder and addresses, and the claimants waiting behind it.
//!
//! A pure function of (records, ages, settings, now): two nodes with the same inputs compute the same view, whatever the
//! order in which the records arrived.

use std::collections::BTreeMap;

use crate::address::Addresses;
use crate::keys::HostKey;
use crate::names::{ClaimName, Label};
use crate::record::{Admission, ClaimBody, ClaimState, HostBody, SettingsBody};
use crate::store::{HostEntry, Store};
use crate::time::Now;

/// A claim that counts, or would if a witness had seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// Who claims.
    pub host: HostKey,
    /// What it calls itself.
    pub label: Label,
    /// The name as this claimant spells it.
    pub name: ClaimName,
    /// When its claim started.
    pub epoch: u64,
    /// What orders the claims: the epoch, or with witnesses the earliest witness's time.
    pub rank_ms: u64,
    /// Where the name points if this claimant holds it.
    pub addresses: Addresses,
}

/// One name: who holds it and who waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The claims that count, the holder's first.
    pub claimants: Vec<Claimant>,
    /// With witnesses: claims that none of them has signed yet.
    pub unwitnessed: Vec<Claimant>,
}

impl Standing {
    /// Who holds the name.
    pub fn holder(&self) -> Option<&Claimant> {
        self.claimants.first()
    }

    /// Who waits behind the holder, in order.
    pub fn waiting(&self) -> &[Claimant] {
        self.claimants.get(1..).unwrap_or_default()
    }
}

/// Every claimed name's standing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    names: BTreeMap<ClaimName, Standing>,
}

/// Why a claim that is in the store does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum NotCounted {
    /// Claims came, but no host record yet.
    #[error("its host's record has not arrived")]
    NoHostRecord,
    /// The host did not renew for the TTL.
    #[error("its host has not renewed it for the network's claim_ttl")]
    LeaseOver,
    /// Given up.
    #[error("it was withdrawn")]
    Withdrawn,
    /// Of before the host's last break.
    #[error("it was broken: its host was away for too long and claimed anew")]
    Void,
    /// In the settings' list.
    #[error("its host is revoked")]
    Revoked,
    /// The network asks for one.
    #[error("its host has no certificate")]
    NoCertificate,
    /// Too early or too late.
    #[error("its host's certificate is not valid now")]
    CertificateNotValid,
    /// The host calls itself otherwise.
    #[error("its host's certificate is for another label")]
    CertificateLabel,
    /// No pattern allows it.
    #[error("its host's certificate does not allow this name")]
    CertificatePattern,
    /// The full name would not fit into DNS's 253 bytes.
    #[error("with the domain it is longer than 253 bytes")]
    TooLong,
}

impl View {
    /// Computes the view. `mesh_ms` is mesh time, which only certificates are held against.
    pub fn of(store: &Store, now: Now, mesh_ms: u64) -> Self {
        let Some(settings) = store.settings() else { return Self::default() };
        let lease_ttl_ms = store.lease_ttl_ms(now).unwrap_or(settings.claim_ttl_ms);
        let mut names: BTreeMap<ClaimName, Standing> = BTreeMap::new();
        let witnessed = !settings.witnesses.is_empty();
        for (host, entry) in store.hosts() {
            let Some(record) = entry.record() else { continue };
            let welcome = welcome(settings, host, entry, record, mesh_ms).is_ok();
            if !welcome || !entry.is_leased(now, lease_ttl_ms) {
                continue;
            }
            for claim in entry.claims().filter(|claim| counts(settings, record, claim, entry).is_ok()) {
                let rank_ms =
                    if witnessed { witness_time(store, settings, claim) } else { Some(claim.epoch) };
                let standing = names.entry(claim.name.clone()).or_default();
                let claimant = claimant(settings, record, claim, rank_ms.unwrap_or(claim.epoch));
                match rank_ms {
                    Some(_) => standing.claimants.push(claimant),
                    None => standing.unwitnessed.push(claimant),
                }
            }
        }
        for standing in names.values_mut() {
            standing.claimants.sort_unstable_by_key(|claimant| (claimant.rank_ms, claimant.host));
            standing.unwitnessed.sort_unstable_by_key(|claimant| (claimant.rank_ms, claimant.host));
        }
        Self { names }
    }

    /// Leaves out the claimants that are not to be kept.
    pub(crate) fn retain(&mut self, keep: impl Fn(&ClaimName, &Claimant) -> bool) {
        self.names.retain(|name, standing| {
            standing.claimants.retain(|claimant| keep(name, claimant));
            standing.unwitnessed.retain(|claimant| keep(name, claimant));
            !standing.claimants.is_empty() || !standing.unwitnessed.is_empty()
        });
    }

    /// Every claimed name, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = (&ClaimName, &Standing)> {
        self.names.iter()
    }

    /// One name's standing.
    pub fn name(&self, name: &ClaimName) -> Option<&Standing> {
        self.names.get(name)
    }

    /// Who holds a name.
    pub fn holder(&self, name: &ClaimName) -> Option<&Claimant> {
        self.names.get(name)?.holder()
    }
}

/// Whether a host's claims count at all now, and if not, by which rule.
///
/// # Errors
/// The rule.
pub fn admitted(
    settings: &SettingsBody,
    host: &HostKey,
    entry: &HostEntry,
    record: &HostBody,
    now: Now,
    mesh_ms: u64,
) -> Result<(), NotCounted> {
    if !entry.is_leased(now, settings.claim_ttl_ms) {
        return Err(NotCounted::LeaseOver);
    }
    welcome(settings, host, entry, record, mesh_ms)
}

fn welcome(
    settings: &SettingsBody,
    host: &HostKey,
    entry: &HostEntry,
    record: &HostBody,
    mesh_ms: u64,
) -> Result<(), NotCounted> {
    if settings.revoked.contains(host) {
        return Err(NotCounted::Revoked);
    }
    if settings.admission == Admission::Certified {
        let certificate = entry.certificate().ok_or(NotCounted::NoCertificate)?;
        if !certificate.is_valid_at(mesh_ms) {
            return Err(NotCounted::CertificateNotValid);
        }
        if !certificate.label.as_str().eq_ignore_ascii_case(record.label.as_str()) {
            return Err(NotCounted::CertificateLabel);
        }
    }
    Ok(())
}

/// Whether one claim of an admitted host counts, and if not, by which rule. Witnesses come on top.
///
/// # Errors
/// The rule.
pub fn counts(
    settings: &SettingsBody,
    record: &HostBody,
    claim: &ClaimBody,
    entry: &HostEntry,
) -> Result<(), NotCounted> {
    if claim.state == ClaimState::Withdrawn {
        return Err(NotCounted::Withdrawn);
    }
    if claim.epoch < record.since {
        return Err(NotCounted::Void);
    }
    if !claim.name.fits(&settings.domain) {
        return Err(NotCounted::TooLong);
    }
    if settings.admission == Admission::Certified
        && !entry.certificate().is_some_and(|certificate| certificate.allows(&claim.name))
    {
        return Err(NotCounted::CertificatePattern);
    }
    Ok(())
}

/// The earliest time any present or former witness has signed for exactly this claim.
fn witness_time(store: &Store, settings: &SettingsBody, claim: &ClaimBody) -> Option<u64> {
    let witnesses = settings.witnesses.iter().chain(&settings.former_witnesses);
    let statements = witnesses.filter_map(|witness| store.host(witness)?.statement(&claim.host, &claim.name));
    statements
        .filter(|statement| statement.epoch == claim.epoch && !statement.void)
        .map(|statement| statement.at)
        .min()
}

fn claimant(settings: &SettingsBody, record: &HostBody, claim: &ClaimBody, rank_ms: u64) -> Claimant {
    let addresses = claim.addresses.as_ref().unwrap_or(&record.addresses);
    let addresses = if settings.allow_loopback { addresses.clone() } else { addresses.without_loopback() };
    Claimant {
        host: claim.host,
        label: record.label.clone(),
        name: claim.name.clone(),
        epoch: claim.epoch,
        rank_ms,
        addresses,
    }
}
