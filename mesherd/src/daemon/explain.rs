//! The answer to `Explain`: who claims a name, who holds it and by which rule, and what the table says.

use mesher_claims::names::ClaimName;
use mesher_claims::record::SettingsBody;
use mesher_claims::view::{self, Standing};
use mesher_control::Error;
use mesher_control::types;

use super::{Daemon, clock};

impl Daemon {
    /// Explains a name, full or relative to the domain. Where nobody holds it and a wildcard above it answers, that is explained
    /// as well.
    ///
    /// # Errors
    /// When it is no name, nobody claims it or a wildcard above it, or the network's settings are not known yet.
    pub(super) fn explain(&self, asked: &str) -> Result<types::Explanation, Error> {
        let settings = self.node.settings().ok_or_else(|| Error::NotReady {
            reason: "the network's settings have not arrived yet".into(),
        })?;
        let invalid = |error: mesher_claims::names::NameError| Error::InvalidName {
            name: asked.into(),
            reason: error.to_string(),
        };
        let name = settings.domain.relative(asked).map_err(invalid)?;
        let full = name.under(&settings.domain);
        let mut claimants = self.claimants(settings, &name);
        let held = self.node.view().holder(&name).is_some();
        let wildcard = if held { None } else { self.wildcard_above(&name) };
        let rule = match &wildcard {
            Some(wildcard) => {
                let of_wildcard = self.claimants(settings, wildcard);
                let above = wildcard.under(&settings.domain);
                let why = rule(&above, self.node.view().name(wildcard), &of_wildcard);
                claimants.extend(of_wildcard);
                format!("nobody holds {full} itself, so {above} answers: {why}")
            }
            None => rule(&full, self.node.view().name(&name), &claimants),
        };
        if claimants.is_empty() {
            return Err(Error::UnknownName { name: full });
        }
        Ok(types::Explanation { table: self.table_entry(&full), name: full, rule, claimants })
    }

    /// The wildcard that answers a name nobody holds: of those that somebody holds, the one with the longest domain.
    fn wildcard_above(&self, name: &ClaimName) -> Option<ClaimName> {
        let above = above(name.as_str());
        let mut wildcards = above.filter_map(|above| format!("*.{above}").parse().ok());
        wildcards.find(|wildcard| self.node.view().holder(wildcard).is_some())
    }

    /// Everybody's claims of a name, the holder's first.
    fn claimants(&self, settings: &SettingsBody, name: &ClaimName) -> Vec<types::Claimant> {
        let (now, mesh_ms) = (clock::now(), self.node.mesh_ms(clock::now()));
        let standing = self.node.view().name(name);
        let mut claimants = Vec::new();
        for (host, entry) in self.node.store().hosts() {
            let (Some(claim), Some(record)) = (entry.claim(name), entry.record()) else { continue };
            let counted = view::admitted(settings, host, entry, record, now, mesh_ms)
                .and_then(|()| view::counts(settings, record, claim, entry));
            let place = standing.and_then(|s| s.claimants.iter().position(|claimant| claimant.host == *host));
            let rank = standing.and_then(|s| s.claimants.get(place?)).map(|c| c.rank_ms);
            let (standing, reason) = match (place, counted) {
                (Some(0), _) => (types::Standing::Holder, None),
                (Some(_), _) => (types::Standing::Waiting, None),
                (None, Err(reason)) => (types::Standing::NotCounted, Some(reason.to_string())),
                (None, Ok(())) => (types::Standing::NotCounted, Some("no witness has signed it yet".into())),
            };
            let end = entry.lease_end_boot_ms(settings.claim_ttl_ms);
            let is_leased = entry.is_leased(now, settings.claim_ttl_ms);
            let addresses = claim.addresses.as_ref().unwrap_or(&record.addresses);
            claimants.push(types::Claimant {
                name: name.under(&settings.domain),
                label: record.label.to_string(),
                key: host.to_string(),
                standing,
                reason,
                epoch_unix_ms: claim.epoch,
                rank_unix_ms: rank.unwrap_or(claim.epoch),
                lease_left_ms: is_leased.then(|| end.saturating_sub(now.boot_ms)),
                addresses: addresses.iter().map(|ip| ip.to_string()).collect(),
                this_machine: *host == self.node.me(),
            });
        }
        claimants.sort_by_key(|c| (rank_of(c.standing), c.rank_unix_ms, c.key.clone()));
        claimants
    }
}

/// The names above a name, the longest first.
fn above(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.split_once('.'), |(_, above)| above.split_once('.')).map(|(_, above)| above)
}

fn rank_of(standing: types::Standing) -> u8 {
    match standing {
        types::Standing::Holder => 0,
        types::Standing::Waiting => 1,
        types::Standing::NotCounted => 2,
    }
}

fn rule(full: &str, standing: Option<&Standing>, claimants: &[types::Claimant]) -> String {
    let counting = claimants.iter().filter(|c| c.standing != types::Standing::NotCounted).count();
    match standing.and_then(Standing::holder) {
        Some(holder) if counting == 1 => format!("{} holds {full}: nobody else's claim counts", holder.label),
        Some(holder) => format!(
            "{} holds {full}: of {counting} claims that count, its is the earliest unbroken one",
            holder.label
        ),
        None => format!("nobody holds {full}: no claim counts now"),
    }
}
