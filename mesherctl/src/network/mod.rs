//! Networks: their key, their secret, their signed settings; and the host's own key.

mod certify;
mod change;
mod secret;
mod signing;

use std::path::Path;

use mesher_claims::keys::{HostKey, NetworkId, SecretKey};
use mesher_claims::names::Domain;
use mesher_claims::record::{Admission, Body, Record, SettingsBody, Signed};
use mesher_config::secret::{SecretBytes, read_secret};
use mesher_config::{Config, format_duration, settings};
use mesher_control::types::Status;
use mesher_control::{Call, Client};
use serde::Serialize;

use crate::admission::is_public;
use crate::cli::InitArguments;
use crate::config::host_name;
use crate::failure::Failure;
use crate::files::{NewFile, create_all, refuse_existing};
use crate::output::{Mood, Output};

pub(crate) use certify::certify;
pub(crate) use change::{revoke, set};
pub(crate) use secret::step as secret_step;

const KEY_FILE: &str = "network.key";
const SECRET_FILE: &str = "network.secret";
const SETTINGS_FILE: &str = "network.settings";

/// What `--json` prints of a network. The fields of the settings are absent where there are none.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    #[serde(flatten)]
    settings: Option<ShownSettings>,
}

#[derive(Debug, Serialize)]
struct ShownSettings {
    revision: u64,
    domain: String,
    claim_ttl_ms: u64,
    admission: Admission,
    witnesses: Vec<HostKey>,
    former_witnesses: Vec<HostKey>,
    revoked: Vec<HostKey>,
    allow_loopback: bool,
    allow_public_domain: bool,
}

impl From<&SettingsBody> for ShownSettings {
    fn from(body: &SettingsBody) -> Self {
        Self {
            revision: body.revision,
            domain: body.domain.to_string(),
            claim_ttl_ms: body.claim_ttl_ms,
            admission: body.admission,
            witnesses: body.witnesses.clone(),
            former_witnesses: body.former_witnesses.clone(),
            revoked: body.revoked.clone(),
            allow_loopback: body.allow_loopback,
            allow_public_domain: body.allow_public_domain,
        }
    }
}

/// `network init`.
pub(crate) fn init(out: &Output, arguments: &InitArguments) -> Result<(), Failure> {
    let body = first_settings(arguments)?;
    // Before it is told that something is about to be signed; `create_all` sees to it that nothing comes in between.
    refuse_existing(&arguments.out, [KEY_FILE, SECRET_FILE, SETTINGS_FILE].into_iter())?;
    std::fs::create_dir_all(&arguments.out).map_err(Failure::file(&arguments.out))?;
    let key = SecretKey::from_seed(&random()?);
    let id = key.network_id();
    let secret = SecretBytes::new(random()?);
    let what = format!("  settings of revision 1: {}", in_words(&body));
    signing::announce(&arguments.out.join(KEY_FILE), id, what);
    let record = Record::Settings(Signed::sign(&id, &key, body.clone()));
    let files = [
        NewFile { name: KEY_FILE, mode: 0o600, content: &key.to_file_text() },
        NewFile { name: SECRET_FILE, mode: 0o600, content: &secret.to_file_text() },
        NewFile { name: SETTINGS_FILE, mode: 0o644, content: &settings::to_file_text(&record) },
    ];
    create_all(&arguments.out, &files)?;
    if out.is_json() {
        return out.json(&Shown { id: id.to_string(), settings: Some((&body).into()) });
    }
    out.print(describe_new(out, &body, &arguments.out, id))
}

fn first_settings(arguments: &InitArguments) -> Result<SettingsBody, Failure> {
    let domain = &arguments.domain;
    check_domain(domain, arguments.allow_public_domain)?;
    let body = SettingsBody {
        admission: arguments.admission.into(),
        allow_loopback: arguments.allow_loopback,
        allow_public_domain: arguments.allow_public_domain,
        ..SettingsBody::new(
            domain.clone(),
            u64::try_from(arguments.claim_ttl.as_millis()).unwrap_or(u64::MAX),
        )
    };
    body.check().map_err(|refusal| {
        Failure::Other(format!("--claim-ttl {}: {refusal}", format_duration(arguments.claim_ttl)))
    })?;
    Ok(body)
}

/// Refuses a domain that is not for a network, unless that is meant.
fn check_domain(domain: &Domain, allow_public: bool) -> Result<(), Failure> {
    if is_public(domain) && !allow_public {
        return Err(Failure::Other(format!(
            "--domain {domain}: names under {domain} are others' (the public DNS has them, or multicast DNS and the like), and a \
             network under it would hide all of them from its machines. Choose a domain of your own (mesh.example.org, or one the DNS does not have, \
             such as mesh.internal); if this is meant, add --allow-public-domain"
        )));
    }
    Ok(())
}

fn describe_new(out: &Output, body: &SettingsBody, directory: &Path, id: NetworkId) -> String {
    let path = |name: &str| directory.join(name).display().to_string();
    let row = |name: &str, what: String| vec![(path(name), Some(Mood::Heading)), (what, None)];
    let rows = [
        row(KEY_FILE, "private: signs settings and certificates; keep it safe, no daemon needs it".into()),
        row(SECRET_FILE, "private: every machine of the network needs a copy".into()),
        row(SETTINGS_FILE, format!("not secret: one machine brings it in; signed: {}", in_words(body))),
    ];
    format!(
        "Made a network:\n{}\nIn every machine's configuration:\n  [network]\n  id = \"{id}\"\nThe network's id is {id}",
        out.table(&["FILE", "WHAT IT IS"], &rows)
    )
}

fn in_words(body: &SettingsBody) -> String {
    let admission = admission_in_words(body.admission);
    let ttl = format_duration(std::time::Duration::from_millis(body.claim_ttl_ms));
    let mut words = format!("domain {}, claim TTL {ttl}, {admission}", body.domain);
    for (flag, word) in [
        (body.allow_loopback, "loopback addresses allowed"),
        (body.allow_public_domain, "public domain allowed"),
    ] {
        if flag {
            words += ", ";
            words += word;
        }
    }
    words
}

fn admission_in_words(admission: Admission) -> &'static str {
    match admission {
        Admission::Open => "open to all that hold the secret",
        Admission::Certified => "only hosts with a certificate",
    }
}

/// `network show`.
pub(crate) fn show(out: &Output, directory: Option<&Path>, config: &Path) -> Result<(), Failure> {
    let (id, file) = match directory {
        Some(directory) => {
            let seed = read_secret(&directory.join(KEY_FILE))?;
            (SecretKey::from_seed(seed.expose()).network_id(), Some(directory.join(SETTINGS_FILE)))
        }
        None => {
            let config = Config::load(config, &host_name())?;
            (config.network.id, config.network.settings_file)
        }
    };
    let signed = file.filter(|file| file.exists()).map(|file| settings::read(&file, &id));
    let body = signed.transpose().map_err(|error| Failure::Other(error.to_string()))?;
    if out.is_json() {
        return out.json(&Shown { id: id.to_string(), settings: body.as_deref().map(ShownSettings::from) });
    }
    let settings = match &body {
        Some(body) => format!("revision {}: {}", body.revision, in_words(body)),
        None => "not here; members learn them from their peers".to_owned(),
    };
    let mut text = format!("network   {id}\nsettings  {settings}");
    if let Some(body) = &body {
        for (what, keys) in
            [("witness", &body.witnesses), ("former", &body.former_witnesses), ("revoked", &body.revoked)]
        {
            keys.iter().for_each(|key| text += &format!("\n{what:<8}  {key}"));
        }
    }
    out.print(text)
}

/// `host show`.
pub(crate) fn host_show(out: &Output, socket: &Path, state_dir: Option<&Path>) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct ShownHost {
        key: String,
        label: Option<String>,
    }
    let shown = match state_dir {
        Some(directory) => {
            let seed = read_secret(&directory.join("host.key"))?;
            ShownHost { key: SecretKey::from_seed(seed.expose()).host_key().to_string(), label: None }
        }
        None => {
            let status: Status = Client::connect(socket)?.call(&Call::Status {})?;
            ShownHost { key: status.host.key, label: Some(status.host.label) }
        }
    };
    if out.is_json() { out.json(&shown) } else { out.print(shown.key) }
}

fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Other(format!("the kernel gives no random numbers: {error}")))?;
    Ok(bytes)
}
