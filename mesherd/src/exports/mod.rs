//! Files for programs that do not look names up through NSS, kept up to date beside the table.
//!
//! A task of its own writes them, so that a slow disk holds up neither gossip nor lookups; at most once a second each, so that
//! whoever is poked by a change is not poked without end.

pub mod files;
pub mod formats;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesher_claims::names::Domain;
use mesher_config::Exports;
use mesher_table::Contents;
use tokio::sync::watch;

use crate::systemd::{events, journal};
pub use files::Form;

/// How often the metrics are written. Prometheus asks four times a minute where nobody said otherwise.
pub const METRICS_EVERY: Duration = Duration::from_secs(15);
/// No file is written more often than this.
const APART: Duration = Duration::from_secs(1);
/// What could not be written is tried again after this long.
const RETRY: Duration = Duration::from_secs(10);

/// What the names are.
#[derive(Debug, Clone, PartialEq)]
pub struct Names {
    /// Of the network.
    pub domain: Domain,
    /// Of the table.
    pub contents: Contents,
}

/// What is to stand in the files.
#[derive(Debug, Clone, Default)]
struct Wanted {
    exports: Exports,
    /// Directories under it are made; others are the operator's.
    runtime_dir: PathBuf,
    names: Option<Arc<Names>>,
    metrics: Option<Arc<str>>,
}

/// Keeps the exports up.
#[derive(Debug)]
pub struct Exporter {
    wanted: watch::Sender<Wanted>,
    failures: Failures,
}

type Failures = Arc<Mutex<BTreeMap<Form, String>>>;

impl Exporter {
    /// Starts the task that writes. It ends with the exporter.
    pub fn start(exports: Exports, runtime_dir: &Path) -> Self {
        let wanted = Wanted { exports, runtime_dir: runtime_dir.to_owned(), ..Wanted::default() };
        let (wanted, received) = watch::channel(wanted);
        let failures = Failures::default();
        tokio::spawn(run(received, Arc::clone(&failures)));
        Self { wanted, failures }
    }

    /// Whether any export holds names, so that it is worth making them.
    pub fn wants_names(&self) -> bool {
        let wanted = self.wanted.borrow();
        wanted.exports.json_lines.is_some() || wanted.exports.hosts.is_some() || wanted.exports.zone.is_some()
    }

    /// Whether the metrics are exported.
    pub fn wants_metrics(&self) -> bool {
        self.wanted.borrow().exports.metrics.is_some()
    }

    /// Other exports are configured from now on. Files that are none any more are removed: nobody keeps them up.
    pub fn configure(&self, exports: Exports) {
        self.wanted.send_if_modified(|wanted| {
            let changed = wanted.exports != exports;
            wanted.exports = exports;
            changed
        });
    }

    /// The names have changed.
    pub fn names(&self, names: Names) {
        self.wanted.send_modify(|wanted| wanted.names = Some(Arc::new(names)));
    }

    /// The metrics by now.
    pub fn metrics(&self, text: String) {
        self.wanted.send_modify(|wanted| wanted.metrics = Some(text.into()));
    }

    /// At the daemon's end: metrics of a daemon that is not there would look like those of one that is.
    pub fn stop(&self) {
        if let Some(path) = &self.wanted.borrow().exports.metrics
            && let Err(error) = files::remove(path)
        {
            log::warn!("exports.metrics: {}: {error}", path.display());
        }
    }

    /// What cannot be written, each in a sentence.
    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

async fn run(mut received: watch::Receiver<Wanted>, failures: Failures) {
    let mut written = Written::default();
    loop {
        let wanted = received.borrow_and_update().clone();
        let before = std::mem::take(&mut written);
        let outcome = tokio::task::spawn_blocking(move || before.bring_up_to(&wanted)).await;
        let Ok((now, outcomes)) = outcome else { return };
        written = now;
        let failing = note(outcomes, &failures);
        tokio::time::sleep(APART).await;
        let again = if failing { RETRY } else { Duration::MAX };
        if let Ok(Err(_gone)) = tokio::time::timeout(again, received.changed()).await {
            return;
        }
    }
}

/// What stands in the files.
#[derive(Debug, Default)]
struct Written {
    files: BTreeMap<Form, PathBuf>,
    names: Option<Arc<Names>>,
    metrics: Option<Arc<str>>,
}

type Outcomes = Vec<(Form, PathBuf, io::Result<()>)>;

impl Written {
    fn bring_up_to(mut self, wanted: &Wanted) -> (Self, Outcomes) {
        let exports = &wanted.exports;
        let files: BTreeMap<Form, PathBuf> = [
            (Form::JsonLines, &exports.json_lines),
            (Form::Hosts, &exports.hosts),
            (Form::Zone, &exports.zone),
            (Form::Metrics, &exports.metrics),
        ]
        .into_iter()
        .filter_map(|(form, path)| Some((form, path.clone()?)))
        .collect();
        for stale in self.files.values().filter(|path| !files.values().any(|wanted| wanted == *path)) {
            if let Err(error) = files::remove(stale) {
                log::warn!("{}: it is no export any more and could not be removed: {error}", stale.display());
            }
        }
        let mut outcomes = Vec::new();
        let mut done = BTreeMap::new();
        for (form, path) in files {
            let result = self.write(form, &path, wanted);
            if result.is_ok() {
                done.insert(form, path.clone());
            }
            outcomes.push((form, path, result));
        }
        self.files = done;
        self.names.clone_from(&wanted.names);
        self.metrics.clone_from(&wanted.metrics);
        (self, outcomes)
    }

    fn write(&self, form: Form, path: &Path, wanted: &Wanted) -> io::Result<()> {
        let in_place = self.files.get(&form).is_some_and(|there| there == path);
        if let Some(directory) = path.parent().filter(|parent| parent.starts_with(&wanted.runtime_dir)) {
            make_directory(directory, &wanted.runtime_dir)?;
        }
        match (form, &wanted.names, &wanted.metrics) {
            (Form::Metrics, _, Some(text)) if !(in_place && is_same(&self.metrics, text)) => {
                files::replace(path, text.as_bytes())
            }
            (Form::JsonLines | Form::Hosts | Form::Zone, Some(names), _)
                if !(in_place && is_same(&self.names, names)) =>
            {
                files::write_names(form, path, names, unix_s())
            }
            _ => Ok(()),
        }
    }
}

/// Makes a directory below the runtime directory, which everybody may enter.
fn make_directory(directory: &Path, runtime_dir: &Path) -> io::Result<()> {
    if directory == runtime_dir || directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        make_directory(parent, runtime_dir)?;
    }
    std::fs::create_dir(directory)?;
    // Whatever the umask, which is for the daemon's secrets.
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))
}

fn is_same<T: ?Sized>(written: &Option<Arc<T>>, wanted: &Arc<T>) -> bool {
    written.as_ref().is_some_and(|written| Arc::ptr_eq(written, wanted))
}

/// Tells the journal what is new, and keeps what fails for the status. Returns whether anything fails.
fn note(outcomes: Outcomes, failures: &Failures) -> bool {
    let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
    failures.retain(|form, _| outcomes.iter().any(|(other, _, _)| other == form));
    for (form, path, result) in outcomes {
        let path = path.display();
        match result {
            Err(error) => {
                let text = format!("{}: {path} cannot be written: {error}{}", form.key(), hint(&error));
                if failures.get(&form) != Some(&text) {
                    journal::event(events::EXPORT_FAILED).log(format_args!("{text}"));
                }
                failures.insert(form, text);
            }
            Ok(()) => {
                if failures.remove(&form).is_some() {
                    journal::event(events::EXPORT_RECOVERED)
                        .log(format_args!("{}: {path} is written again", form.key()));
                }
            }
        }
    }
    !failures.is_empty()
}

/// What to do about an error, where its own words do not say.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            ". The service writes below /run/data-mesher and /var/lib/data-mesher; elsewhere it needs a directory of the user \
             data-mesher's and ReadWritePaths= (systemctl edit data-mesher.service)"
        }
        io::ErrorKind::NotFound => ". Its directory must be there",
        _ => "",
    }
}

fn unix_s() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Serials wrap around in 2106, and DNS compares them so (RFC 1982).
    (since.as_secs() % (1 << 32)) as u32
}
