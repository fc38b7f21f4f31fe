//! `network certify`: the network's leave for one host to claim names.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesher_claims::names::NamePattern;
use mesher_claims::record::{Body, CertificateBody, MAX_RECORD_LENGTH, Record};
use mesher_config::certificate;
use serde::Serialize;

use super::signing::Signer;
use crate::cli::CertifyArguments;
use crate::failure::Failure;
use crate::files::replace;
use crate::output::{Output, time};

/// A certificate counts from so long before it was signed: the hosts' clocks and the signing machine's differ.
const BEFORE: Duration = Duration::from_secs(300);

/// What `--json` prints of a certificate.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    key: String,
    label: &'a str,
    names: Vec<String>,
    not_before_unix_ms: u64,
    not_after_unix_ms: u64,
    serial: u64,
    /// The record, the one line of the certificate's file. Null with `--dry-run`.
    certificate: Option<String>,
}

/// `network certify`.
pub(crate) fn certify(out: &Output, arguments: &CertifyArguments) -> Result<(), Failure> {
    let signer = Signer::open(&arguments.dir)?;
    let body = body(&signer, arguments)?;
    // An earlier certificate is what a new one takes the place of; nothing else is: the key lies in the same directory.
    if let Some(path) = arguments.out.as_deref().filter(|path| path.symlink_metadata().is_ok()) {
        certificate::read(path, &signer.network()).map_err(|error| {
            Failure::Other(format!(
                "--out: {error}; nothing was signed. Only an earlier certificate is written over"
            ))
        })?;
    }
    signer.announce(describe(&body));
    if arguments.dry_run {
        crate::output::tell(format_args!("Nothing was signed: --dry-run"));
        return if out.is_json() { out.json(&shown(&body, None)) } else { Ok(()) };
    }
    let record = Record::Certificate(signer.sign(body.clone()));
    let line = record.carrier_value();
    if line.len() > MAX_RECORD_LENGTH {
        return Err(Failure::Other(format!(
            "--names: a certificate of {} names takes {} bytes, of {MAX_RECORD_LENGTH} at most. Use patterns such as '*.alpha'",
            body.patterns.len(),
            line.len()
        )));
    }
    let text = certificate::to_file_text(&record, &format!("Not secret.\n{}", describe(&body)));
    if let Some(path) = &arguments.out {
        replace(path, &text)?;
    }
    match &arguments.out {
        _ if out.is_json() => out.json(&shown(&body, Some(line))),
        Some(path) => out.print(format_args!(
            "Signed into {}\nPut it on {} where its host.certificate_file points (/etc/data-mesher/host.cert); it is taken up within seconds",
            path.display(),
            body.label
        )),
        None => out.raw(text.as_bytes()),
    }
}

fn body(signer: &Signer, arguments: &CertifyArguments) -> Result<CertificateBody, Failure> {
    let settings = &signer.settings;
    let key = arguments.key;
    if arguments.valid.is_zero() {
        return Err(Failure::Other(
            "--valid 0s: it would have run out already; nothing was signed".to_owned(),
        ));
    }
    if settings.revoked.contains(&key) {
        return Err(Failure::Other(format!(
            "{key} is revoked, and no certificate changes that; first: mesherctl network revoke --undo {key}"
        )));
    }
    let pattern = |name: &String| -> Result<NamePattern, Failure> {
        let wrong = |error| Failure::Other(format!("--names: {name:?}: {error}"));
        let relative = settings.domain.relative(name).map_err(wrong)?;
        relative.as_str().parse().map_err(wrong)
    };
    let now = SystemTime::now();
    let ms = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    };
    let body = CertificateBody {
        host: key,
        label: arguments.label.clone(),
        patterns: arguments.names.iter().map(pattern).collect::<Result<_, _>>()?,
        not_before_ms: ms(now).saturating_sub(u64::try_from(BEFORE.as_millis()).unwrap_or(0)),
        not_after_ms: ms(now).saturating_add(u64::try_from(arguments.valid.as_millis()).unwrap_or(u64::MAX)),
        serial: ms(now),
    };
    body.check().map_err(|refusal| Failure::Other(format!("such a certificate cannot be: {refusal}")))?;
    Ok(body)
}

fn describe(body: &CertificateBody) -> String {
    let names: Vec<String> = body.patterns.iter().map(ToString::to_string).collect();
    format!(
        "  a certificate for the host key {}\n  label: {}\n  names it may claim: {}\n  valid until: {}",
        body.host,
        body.label,
        names.join(" "),
        time(body.not_after_ms)
    )
}

fn shown(body: &CertificateBody, certificate: Option<String>) -> Shown<'_> {
    Shown {
        key: body.host.to_string(),
        label: body.label.as_str(),
        names: body.patterns.iter().map(ToString::to_string).collect(),
        not_before_unix_ms: body.not_before_ms,
        not_after_unix_ms: body.not_after_ms,
        serial: body.serial,
        certificate,
    }
}
