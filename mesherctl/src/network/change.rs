//! `network set` and `network revoke`: new settings, signed under the next revision.

use std::path::Path;

use mesher_claims::keys::HostKey;
use mesher_claims::record::{Admission, MAX_REVOKED, MAX_WITNESSES, SettingsBody};
use mesher_config::format_duration;

use super::signing::{Signer, how_to_spread};
use super::{Shown, admission_in_words, check_domain};
use crate::cli::{RevokeArguments, SetArguments};
use crate::failure::Failure;
use crate::output::Output;

/// `network set`.
pub(crate) fn set(out: &Output, socket: &Path, arguments: &SetArguments) -> Result<(), Failure> {
    let signer = Signer::open(&arguments.dir)?;
    let next = changed(&signer.settings, arguments)?;
    let same = SettingsBody { revision: signer.settings.revision, ..next.clone() } == signer.settings;
    if same && arguments.revision.is_none() {
        return Err(Failure::Other("nothing to change: see mesherctl network set --help".into()));
    }
    finish(out, socket, &signer, next, arguments.dry_run)
}

/// `network revoke`.
pub(crate) fn revoke(out: &Output, socket: &Path, arguments: &RevokeArguments) -> Result<(), Failure> {
    let signer = Signer::open(&arguments.dir)?;
    let mut next = SettingsBody { revision: signer.settings.revision + 1, ..signer.settings.clone() };
    for key in &arguments.keys {
        match (arguments.undo, next.revoked.contains(key)) {
            (false, false) => next.revoked.push(*key),
            (false, true) => return Err(Failure::Other(format!("{key} is revoked already"))),
            (true, true) => next.revoked.retain(|revoked| revoked != key),
            (true, false) => return Err(Failure::Other(format!("{key} is not revoked"))),
        }
    }
    if next.revoked.len() > MAX_REVOKED {
        return Err(Failure::Other(format!(
            "the settings list {MAX_REVOKED} revoked hosts at most. Those whose certificates have run out can go: \
             mesherctl network revoke --undo KEY; or leave all of them outside by another network secret: mesherctl network secret add"
        )));
    }
    if next.admission == Admission::Open && !arguments.undo {
        crate::output::tell(format_args!(
            "Note: this network is open to all that hold its secret: who holds it can come back under another host key. \
             Change the secret too (mesherctl network secret add), or ask for certificates (mesherctl network set --admission certified)."
        ));
    }
    finish(out, socket, &signer, next, arguments.dry_run)
}

fn finish(
    out: &Output,
    socket: &Path,
    signer: &Signer,
    next: SettingsBody,
    dry_run: bool,
) -> Result<(), Failure> {
    signer.check(&next, socket)?;
    signer.announce(differences(&signer.settings, &next));
    let revision = next.revision;
    let shown = Shown { id: signer.network().to_string(), settings: Some((&next).into()) };
    if dry_run {
        crate::output::tell(format_args!("Nothing was signed: --dry-run"));
        return if out.is_json() { out.json(&shown) } else { Ok(()) };
    }
    let file = signer.write(next)?;
    if out.is_json() { out.json(&shown) } else { how_to_spread(out, file, revision) }
}

fn changed(last: &SettingsBody, arguments: &SetArguments) -> Result<SettingsBody, Failure> {
    let mut next = last.clone();
    next.revision = arguments.revision.unwrap_or(last.revision + 1);
    if let Some(allowed) = arguments.allow_public_domain {
        next.allow_public_domain = allowed;
    }
    if let Some(domain) = &arguments.domain {
        check_domain(domain, next.allow_public_domain)?;
        next.domain = domain.clone();
    }
    if let Some(ttl) = arguments.claim_ttl {
        next.claim_ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    }
    if let Some(admission) = arguments.admission {
        next.admission = admission.into();
    }
    if let Some(allowed) = arguments.allow_loopback {
        next.allow_loopback = allowed;
    }
    if arguments.no_witnesses {
        appoint(&mut next, &[]);
    } else if !arguments.witness.is_empty() {
        appoint(&mut next, &arguments.witness);
    }
    Ok(next)
}

/// Makes `witnesses` the witnesses. What those before them have signed still counts: the names they saw claimed would fall
/// otherwise.
fn appoint(settings: &mut SettingsBody, witnesses: &[HostKey]) {
    let mut dismissed = std::mem::take(&mut settings.witnesses);
    settings.witnesses = witnesses.to_vec();
    dismissed.retain(|key| !witnesses.contains(key) && !settings.former_witnesses.contains(key));
    settings.former_witnesses.retain(|key| !witnesses.contains(key));
    settings.former_witnesses.extend(dismissed);
    // The oldest ones are left out: the settings must fit into one message.
    let over = settings.former_witnesses.len().saturating_sub(MAX_WITNESSES);
    settings.former_witnesses.drain(..over);
}

/// What changes, one line each.
fn differences(last: &SettingsBody, next: &SettingsBody) -> String {
    let ttl = |ms| format_duration(std::time::Duration::from_millis(ms));
    let mut lines = vec![format!("  settings of revision {} (after {})", next.revision, last.revision)];
    let mut value = |what: &str, old: String, new: String, note: &str| {
        if old != new {
            lines.push(format!("  {what}: {old} → {new}{note}"));
        }
    };
    value("domain", last.domain.to_string(), next.domain.to_string(), " (all names move)");
    value("claim TTL", ttl(last.claim_ttl_ms), ttl(next.claim_ttl_ms), "");
    let note = if next.admission == Admission::Certified {
        " (hosts without a certificate lose their names at once)"
    } else {
        ""
    };
    value(
        "admission",
        admission_in_words(last.admission).into(),
        admission_in_words(next.admission).into(),
        note,
    );
    value("loopback addresses allowed", last.allow_loopback.to_string(), next.allow_loopback.to_string(), "");
    let public = (last.allow_public_domain.to_string(), next.allow_public_domain.to_string());
    value("public domain allowed", public.0, public.1, "");
    for (what, old, new) in [
        ("witness", &last.witnesses, &next.witnesses),
        ("former witness", &last.former_witnesses, &next.former_witnesses),
        ("revoked host", &last.revoked, &next.revoked),
    ] {
        lines.extend(new.iter().filter(|key| !old.contains(key)).map(|key| format!("  {what} added: {key}")));
        lines.extend(
            old.iter().filter(|key| !new.contains(key)).map(|key| format!("  {what} taken out: {key}")),
        );
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> SettingsBody {
        SettingsBody::new("sol".parse().unwrap(), 10_000)
    }

    #[test]
    fn a_witness_that_is_replaced_becomes_a_former_one_and_may_come_back() {
        let keys: Vec<HostKey> =
            (0..20).map(|seed| mesher_claims::keys::SecretKey::from_seed(&[seed; 32]).host_key()).collect();
        let mut settings = settings();
        appoint(&mut settings, &keys[..2]);
        appoint(&mut settings, &keys[1..3]);
        assert_eq!((&settings.witnesses[..], &settings.former_witnesses[..]), (&keys[1..3], &keys[..1]));
        appoint(&mut settings, &keys[..1]);
        assert_eq!(settings.former_witnesses, keys[1..3]);
        for key in &keys {
            appoint(&mut settings, &[*key]);
        }
        assert_eq!(settings.former_witnesses.len(), MAX_WITNESSES);
        assert!(
            settings.former_witnesses.contains(&keys[18]) && !settings.former_witnesses.contains(&keys[0])
        );
    }

    #[test]
    fn every_change_has_its_line() {
        let key = mesher_claims::keys::SecretKey::from_seed(&[1; 32]).host_key();
        let next = SettingsBody {
            revision: 2,
            domain: "mesh".parse().unwrap(),
            claim_ttl_ms: 20_000,
            admission: Admission::Certified,
            witnesses: vec![key],
            former_witnesses: vec![key],
            revoked: vec![key],
            allow_loopback: true,
            allow_public_domain: true,
        };
        let lines = differences(&settings(), &next);
        assert_eq!(lines.lines().count(), 9, "{lines}");
        assert!(lines.contains("claim TTL: 10s → 20s"), "{lines}");
        assert!(differences(&next, &settings()).contains("revoked host taken out"));
    }
}
