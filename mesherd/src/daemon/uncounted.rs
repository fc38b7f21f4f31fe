//! This machine's own claims that count nowhere: the network's rules refuse them, or no witness has signed them yet.

use std::collections::BTreeMap;

use mesher_claims::names::ClaimName;
use mesher_claims::node::Phase;
use mesher_claims::record::ClaimState;
use mesher_claims::view::{self, NotCounted};

use super::{Daemon, clock};
use crate::systemd::{events, journal};

/// More refused names than this get one line together.
const NAMES_TOLD: usize = 20;

/// The own claims that are refused.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Each with the reason.
    claims: BTreeMap<ClaimName, NotCounted>,
    /// The store's revision for which that was found out.
    judged: Option<u64>,
}

impl Daemon {
    /// Which rule refuses a claim of this machine's own, if one does.
    pub(super) fn refusal_of(&self, name: &ClaimName) -> Option<NotCounted> {
        self.refused.claims.get(name).copied()
    }

    /// Finds out which own claims are refused, though nothing need have changed but the time.
    pub(super) fn judge_own_claims_anew(&mut self) {
        self.refused.judged = None;
        self.judge_own_claims();
    }

    /// Finds out which own claims the network's rules refuse, if anything has changed, and tells of what is new.
    pub(super) fn judge_own_claims(&mut self) {
        let revision = self.node.store().revision();
        if self.refused.judged == Some(revision) || self.node.phase() != Phase::Running {
            return;
        }
        self.refused.judged = Some(revision);
        let refused = self.refused_claims();
        let before = std::mem::replace(&mut self.refused.claims, refused);
        let domain = self.node.settings().map(|settings| settings.domain.clone());
        let full =
            |name: &ClaimName| domain.as_ref().map_or_else(|| name.to_string(), |domain| name.under(domain));
        let new: Vec<_> =
            self.refused.claims.iter().filter(|(name, why)| before.get(*name) != Some(*why)).collect();
        for (name, why) in new.iter().take(NAMES_TOLD) {
            let (full, label) = (full(name), &self.config.host.label);
            journal::event(events::CLAIM_NOT_ADMITTED).name(&full.to_lowercase()).host(label).log(
                format_args!(
                    "this machine's claim on {full} counts nowhere: {why}. This machine's key is {}",
                    self.node.me()
                ),
            );
        }
        if new.len() > NAMES_TOLD {
            journal::event(events::CLAIM_NOT_ADMITTED)
                .log(format_args!("and {} more names in the same way", new.len() - NAMES_TOLD));
        }
        for name in before.keys().filter(|name| !self.refused.claims.contains_key(*name)) {
            log::info!("this machine's claim on {} is admitted, or given up", full(name));
        }
    }

    fn refused_claims(&self) -> BTreeMap<ClaimName, NotCounted> {
        let now = clock::now();
        let me = self.node.me();
        let (Some(settings), Some(entry)) = (self.node.settings(), self.node.store().host(&me)) else {
            return BTreeMap::new();
        };
        let Some(record) = entry.record() else { return BTreeMap::new() };
        let host = view::admitted(settings, &me, entry, record, now, self.node.mesh_ms(now));
        let held = entry.claims().filter(|claim| claim.state == ClaimState::Held);
        let refused = held.filter_map(|claim| {
            let why = host.and_then(|()| view::counts(settings, record, claim, entry)).err()?;
            is_of_trust(why).then(|| (claim.name.clone(), why))
        });
        refused.collect()
    }

    /// What an operator must see to.
    pub(super) fn uncounted_warnings(&self) -> Vec<String> {
        let refused = &self.refused.claims;
        let refused = refused.iter().next().map(|(name, why)| {
            let more =
                if refused.len() > 1 { format!(", and {} more", refused.len() - 1) } else { String::new() };
            format!("not admitted: {name} ({why}){more}")
        });
        refused.into_iter().chain(self.unwitnessed()).collect()
    }

    /// Own claims that wait for a witness: all of the network's are away, or do not see this machine.
    fn unwitnessed(&self) -> Option<String> {
        let witnesses = self.node.settings()?.witnesses.len();
        let me = self.node.me();
        let waits =
            |standing: &view::Standing| standing.unwitnessed.iter().any(|claimant| claimant.host == me);
        let names: Vec<_> =
            self.node.view().names().filter(|(_, standing)| waits(standing)).map(|(name, _)| name).collect();
        let first = names.first()?;
        let more = if names.len() > 1 { format!(", and {} more", names.len() - 1) } else { String::new() };
        Some(format!(
            "not witnessed: {first}{more} (none of the network's {witnesses} witnesses has signed the claim yet; is one of them up?)"
        ))
    }
}

/// Leases, withdrawals and the like are no matter of leave.
fn is_of_trust(why: NotCounted) -> bool {
    matches!(
        why,
        NotCounted::Revoked
            | NotCounted::NoCertificate
            | NotCounted::CertificateNotValid
            | NotCounted::CertificateLabel
            | NotCounted::CertificatePattern
            | NotCounted::TooLong
    )
}
