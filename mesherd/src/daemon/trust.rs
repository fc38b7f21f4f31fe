//! What this machine is allowed to do in its network, and whether it keeps up: its certificate, its claims that the network's
//! rules refuse, and the network secret.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use mesher_claims::keys::HostKey;
use mesher_claims::names::ClaimName;
use mesher_claims::node::Phase;
use mesher_claims::record::{Admission, CertificateBody, ClaimState, Signed};
use mesher_claims::view::{self, NotCounted};
use mesher_config::format_duration;

use super::{Daemon, clock, files};
use crate::gossip::{KeyId, Secrets};
use crate::systemd::{events, journal};

/// A warning that still holds is repeated this often in the journal.
const REPEAT: Duration = Duration::from_secs(86_400);
/// After so long without a datagram that a lost secret would open, the rotation counts as caught up with.
const LOCKED_OUT_FOR: Duration = Duration::from_secs(60);
/// More refused names than this get one line together.
const NAMES_TOLD: usize = 20;

/// What the daemon remembers of all that.
#[derive(Debug)]
pub(super) struct Trust {
    /// The certificate's file as it was when it was last looked into.
    stamp: Option<Stamp>,
    /// Why the file is not a certificate for this machine.
    pub(super) certificate_problem: Option<String>,
    /// The certificate's serial, whether it was over, and when the journal was told.
    warned: Option<(u64, bool, Instant)>,
    /// The own claims that count nowhere, and why.
    refused: BTreeMap<ClaimName, NotCounted>,
    /// The store's revision for which that was found out.
    judged: Option<u64>,
    /// The secrets in use, the sealing one first.
    pub(super) secrets: Vec<KeyId>,
    /// The count of peers' datagrams that did not open, and when it last went up.
    locked_out: (u64, Option<Instant>),
}

/// Tells one state of a file from the next without reading it.
type Stamp = (u64, u64, i64, i64);

impl Trust {
    pub(super) fn new(secrets: &Secrets, certificate_file: &Path) -> Self {
        Self {
            stamp: stamp(certificate_file),
            certificate_problem: None,
            warned: None,
            refused: BTreeMap::new(),
            judged: None,
            secrets: secrets.key_ids().collect(),
            locked_out: (0, None),
        }
    }
}

/// The certificate, if it is for this host.
///
/// # Errors
/// In words, whom it is for.
pub(super) fn check_for(
    me: &HostKey,
    certificate: Signed<CertificateBody>,
) -> Result<Signed<CertificateBody>, String> {
    if certificate.host == *me {
        return Ok(certificate);
    }
    Err(format!(
        "the certificate is for the host key {} ({}), and this machine's is {me}; have one signed with: mesherctl network certify",
        certificate.host, certificate.label
    ))
}

impl Daemon {
    /// Every few seconds: takes up a certificate that was dropped in, and says what is running out.
    pub(super) fn keep_trust(&mut self) {
        let path = self.config.host.certificate_file.clone();
        let stamp = stamp(&path);
        if stamp != self.trust.stamp {
            self.trust.stamp = stamp;
            match files::load_certificate(&self.config) {
                Ok(certificate) => self.take_certificate(certificate),
                Err(failure) => self.certificate_is_bad(failure.message().to_owned()),
            }
        }
        self.warn_of_certificate();
        self.watch_rotation();
        self.trust.judged = None;
        self.judge_own_claims();
    }

    /// Takes up a certificate, if it is for this machine. A file that went away takes nothing back: only time and the
    /// network's settings do.
    pub(super) fn take_certificate(&mut self, certificate: Option<Signed<CertificateBody>>) {
        let Some(certificate) = certificate else {
            self.trust.certificate_problem = None;
            return;
        };
        match check_for(&self.node.me(), certificate) {
            Ok(certificate) => {
                self.trust.certificate_problem = None;
                let serial = self.certificate().map(|have| have.serial);
                let until = stamp_words(certificate.not_after_ms);
                let new = serial.is_none_or(|serial| certificate.serial > serial);
                self.apply_certificate(certificate);
                if new {
                    log::info!("took up a certificate that is valid until {until}");
                    self.store_dirty = true;
                }
            }
            Err(why) => self.certificate_is_bad(why),
        }
    }

    /// Notes a certificate that cannot be used; the one in force stays.
    pub(super) fn certificate_is_bad(&mut self, why: String) {
        log::error!("{why}; the certificate in force, if there is one, stays");
        self.trust.certificate_problem = Some(why);
    }

    /// The certificate in force for this machine.
    pub(super) fn certificate(&self) -> Option<&Signed<CertificateBody>> {
        self.node.store().host(&self.node.me())?.certificate()
    }

    /// Whether two thirds of a certificate's life are over.
    pub(super) fn is_expiring(&self, certificate: &CertificateBody) -> bool {
        self.node.mesh_ms(clock::now()) >= warn_from_ms(certificate)
    }

    /// Which rule refuses a claim of this machine's own, if one does.
    pub(super) fn refusal_of(&self, name: &ClaimName) -> Option<NotCounted> {
        self.trust.refused.get(name).copied()
    }

    /// What an operator must see to, each in a sentence.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.exporter.failures();
        warnings.extend(self.doubles_warnings());
        if self.saving_failed {
            warnings.push(
                "the state cannot be saved: this machine announces nothing, and elsewhere its names end with their lease"
                    .into(),
            );
        }
        if let Some(locked_out) = self.locked_out() {
            warnings.push(locked_out);
        }
        if self.is_certified_network() {
            warnings.extend(self.certificate_warning());
            warnings.extend(self.trust.certificate_problem.clone());
        }
        let refused = &self.trust.refused;
        if let Some((name, why)) = refused.iter().next() {
            let more =
                if refused.len() > 1 { format!(", and {} more", refused.len() - 1) } else { String::new() };
            warnings.push(format!("not admitted: {name} ({why}){more}"));
        }
        warnings.extend(self.unwitnessed());
        warnings
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

    /// These secrets are in force. Returns whether they are others than before.
    pub(super) fn secrets_changed(&mut self, secrets: &Secrets) -> bool {
        let ids: Vec<KeyId> = secrets.key_ids().collect();
        if ids == self.trust.secrets {
            return false;
        }
        let list: Vec<String> = ids.iter().map(ToString::to_string).collect();
        journal::event(events::SECRET_CHANGED).log(format_args!(
            "the network secrets have changed: seals with {}, opens {}",
            list.first().map_or("none", String::as_str),
            list.join(", ")
        ));
        self.trust.secrets = ids;
        self.trust.locked_out = (self.gossip.counters().unknown_key_peers, None);
        true
    }

    /// Finds out which own claims the network's rules refuse, if anything has changed, and tells of what is new.
    pub(super) fn judge_own_claims(&mut self) {
        let revision = self.node.store().revision();
        if self.trust.judged == Some(revision) || self.node.phase() != Phase::Running {
            return;
        }
        self.trust.judged = Some(revision);
        let refused = self.refused_claims();
        let before = std::mem::replace(&mut self.trust.refused, refused);
        let domain = self.node.settings().map(|settings| settings.domain.clone());
        let full =
            |name: &ClaimName| domain.as_ref().map_or_else(|| name.to_string(), |domain| name.under(domain));
        let new: Vec<_> =
            self.trust.refused.iter().filter(|(name, why)| before.get(*name) != Some(*why)).collect();
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
        for name in before.keys().filter(|name| !self.trust.refused.contains_key(*name)) {
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

    fn is_certified_network(&self) -> bool {
        self.node.settings().is_some_and(|settings| settings.admission == Admission::Certified)
    }

    fn certificate_warning(&self) -> Option<String> {
        let Some(certificate) = self.certificate() else {
            return Some(format!(
                "this network asks for a certificate, and this machine has none: have {} certified, and put the certificate into {}",
                self.node.me(),
                self.config.host.certificate_file.display()
            ));
        };
        let now_ms = self.node.mesh_ms(clock::now());
        let until = stamp_words(certificate.not_after_ms);
        if now_ms >= certificate.not_after_ms {
            return Some(format!("this machine's certificate expired at {until}: its claims count nowhere"));
        }
        let left = Duration::from_secs((certificate.not_after_ms - now_ms) / 60_000 * 60);
        (now_ms >= warn_from_ms(certificate)).then(|| {
            format!("this machine's certificate expires at {until}, in {}: have it renewed", rough(left))
        })
    }

    fn warn_of_certificate(&mut self) {
        let certified = self.is_certified_network();
        let Some(certificate) = self.certificate().filter(|_| certified) else { return };
        let over = self.node.mesh_ms(clock::now()) >= certificate.not_after_ms;
        let (serial, expiring) = (certificate.serial, self.is_expiring(certificate));
        let told = matches!(self.trust.warned, Some((s, o, at)) if s == serial && o == over && at.elapsed() < REPEAT);
        if expiring
            && !told
            && let Some(warning) = self.certificate_warning()
        {
            journal::event(events::CERTIFICATE_EXPIRING).log(format_args!("{warning}"));
            self.trust.warned = Some((serial, over, Instant::now()));
        }
    }

    /// Peers' datagrams that do not open for want of their secret: this machine missed a change of the secret.
    fn watch_rotation(&mut self) {
        let count = self.gossip.counters().unknown_key_peers;
        let (before, since) = self.trust.locked_out;
        if count == before {
            return;
        }
        let is_news = since.is_none_or(|at| at.elapsed() >= LOCKED_OUT_FOR);
        self.trust.locked_out = (count, Some(Instant::now()));
        if is_news && let Some(locked_out) = self.locked_out() {
            journal::event(events::SECRET_MISSED).log(format_args!("{locked_out}"));
        }
    }

    fn locked_out(&self) -> Option<String> {
        self.trust.locked_out.1.filter(|at| at.elapsed() < LOCKED_OUT_FOR)?;
        Some(format!(
            "peers seal with a network secret that this machine does not have: did it miss a change of the secret? Bring the \
             current {} here and run: mesherctl reload",
            self.config.network.secret_file.display()
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

/// From when on a certificate is reported as running out: two thirds of its life.
fn warn_from_ms(certificate: &CertificateBody) -> u64 {
    let life_ms = certificate.not_after_ms.saturating_sub(certificate.not_before_ms);
    certificate.not_before_ms.saturating_add(life_ms / 3 * 2)
}

/// A time span to the day, the hour or the minute.
fn rough(span: Duration) -> String {
    let seconds = span.as_secs();
    let unit = [86_400, 3_600, 60].into_iter().find(|unit| seconds >= *unit).unwrap_or(1);
    format_duration(Duration::from_secs(seconds / unit * unit))
}

fn stamp_words(ms: u64) -> String {
    super::words::stamp(ms / 1_000 * 1_000)
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_runs_out_from_two_thirds_of_its_life_on() {
        let key = mesher_claims::keys::SecretKey::from_seed(&[1; 32]);
        let certificate = |not_before_ms, not_after_ms| CertificateBody {
            host: key.host_key(),
            label: "alpha".parse().unwrap(),
            patterns: vec![],
            not_before_ms,
            not_after_ms,
            serial: 1,
        };
        assert_eq!(warn_from_ms(&certificate(1_000, 4_000)), 3_000);
        assert_eq!(warn_from_ms(&certificate(0, u64::MAX)), u64::MAX / 3 * 2);
    }

    #[test]
    fn spans_are_told_in_one_unit() {
        for (seconds, words) in [(30, "30s"), (150, "2m"), (7_300, "2h"), (90 * 86_400 + 5, "90d")] {
            assert_eq!(rough(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn a_file_that_was_replaced_shows_in_its_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.cert");
        assert_eq!(stamp(&path), None);
        std::fs::write(&path, "one").unwrap();
        let first = stamp(&path);
        assert!(first.is_some());
        std::fs::write(dir.path().join("new"), "two").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert_ne!(stamp(&path), first);
    }
}
