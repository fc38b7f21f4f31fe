//! This machine's certificate: its file, which may be replaced at any time, and its end.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use mesher_claims::keys::HostKey;
use mesher_claims::record::{Admission, CertificateBody, Signed};
use mesher_config::format_duration;

use super::{Daemon, clock, files};
use crate::systemd::{events, journal};

/// A warning that still holds is repeated this often in the journal.
const REPEAT: Duration = Duration::from_secs(86_400);

/// What the daemon remembers of it.
#[derive(Debug)]
pub(super) struct OwnCertificate {
    /// The certificate's file as it was when it was last looked into.
    stamp: Option<Stamp>,
    /// Why the file is not a certificate for this machine.
    problem: Option<String>,
    /// The certificate's serial, whether it was over, and when the journal was told.
    warned: Option<(u64, bool, Instant)>,
}

/// Tells one state of a file from the next without reading it.
type Stamp = (u64, u64, i64, i64);

impl OwnCertificate {
    pub(super) fn new(file: &Path) -> Self {
        Self { stamp: stamp(file), problem: None, warned: None }
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
    /// Every few seconds: takes up a certificate that was dropped in, and says when it is running out.
    pub(super) fn keep_certificate(&mut self) {
        let path = self.config.host.certificate_file.clone();
        let stamp = stamp(&path);
        if stamp != self.own_certificate.stamp {
            self.own_certificate.stamp = stamp;
            match files::load_certificate(&self.config) {
                Ok(certificate) => self.take_certificate(certificate),
                Err(failure) => self.certificate_is_bad(failure.message().to_owned()),
            }
        }
        self.warn_of_certificate();
    }

    /// Takes up a certificate, if it is for this machine. A file that went away takes nothing back: only time and the
    /// network's settings do.
    pub(super) fn take_certificate(&mut self, certificate: Option<Signed<CertificateBody>>) {
        let Some(certificate) = certificate else {
            self.own_certificate.problem = None;
            return;
        };
        match check_for(&self.node.me(), certificate) {
            Ok(certificate) => {
                self.own_certificate.problem = None;
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
        self.own_certificate.problem = Some(why);
    }

    /// The certificate in force for this machine.
    pub(super) fn certificate(&self) -> Option<&Signed<CertificateBody>> {
        self.node.store().host(&self.node.me())?.certificate()
    }

    /// Whether two thirds of a certificate's life are over.
    pub(super) fn is_expiring(&self, certificate: &CertificateBody) -> bool {
        self.node.mesh_ms(clock::now()) >= warn_from_ms(certificate)
    }

    /// What an operator must see to, where the network asks for certificates.
    pub(super) fn certificate_warnings(&self) -> Vec<String> {
        if !self.is_certified_network() {
            return Vec::new();
        }
        self.certificate_warning().into_iter().chain(self.own_certificate.problem.clone()).collect()
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
        let told = matches!(self.own_certificate.warned, Some((s, o, at)) if s == serial && o == over && at.elapsed() < REPEAT);
        if expiring
            && !told
            && let Some(warning) = self.certificate_warning()
        {
            journal::event(events::CERTIFICATE_EXPIRING).log(format_args!("{warning}"));
            self.own_certificate.warned = Some((serial, over, Instant::now()));
        }
    }
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
