//! The daemon's files: there, right, and to be read by those who should and nobody else.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesher_config::secret::{Check, SecretError, read_secret, read_secrets};
use mesher_config::{Config, LoadError};
use mesher_table::{Header, TableFile};
use nix::unistd::User;

use super::{Finding, Machine};
use crate::table::DEFAULT_TABLE;

/// The service's user.
const USER: &str = "data-mesher";
const STATE_DIRECTORY: &str = "/var/lib/data-mesher";
const EXAMPLE: &str = "/usr/share/doc/data-mesher/examples/config.toml";
/// With less than this no state can be saved and no table grow.
const LITTLE_SPACE: u64 = 4 * 1024 * 1024;
/// So often a table that is not what the daemon says is looked at again, and so long apart.
const TRIES: u32 = 5;
const APART: Duration = Duration::from_millis(100);

pub(super) fn configuration(path: &Path, loaded: &Result<Config, LoadError>) -> Finding {
    const CHECK: &str = "configuration";
    match loaded {
        Ok(_) => Finding::ok(CHECK, path.display().to_string()),
        Err(LoadError::Read { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => Finding::wrong(
            CHECK,
            format!("{} is not there", path.display()),
            format!("cp {EXAMPLE} {}", path.display()),
        ),
        Err(error) => {
            let text = error.to_string();
            let mut lines = text.lines();
            let first = lines.next().unwrap_or_default();
            let more = match lines.count() {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            Finding::wrong(
                CHECK,
                format!("{first}{more}"),
                format!("mesherctl config check {}", path.display()),
            )
        }
    }
}

pub(super) fn secret(machine: &Machine<'_>) -> Finding {
    const CHECK: &str = "network secret";
    let file = match &machine.config {
        Some(config) => config.network.secret_file.clone(),
        None => PathBuf::from(mesher_config::DEFAULT_SECRET_FILE),
    };
    let (path, in_use) = (file.display(), machine.status().map_or(0, |status| status.network.secrets.len()));
    match read_secrets(&file, Check::Mode) {
        Ok(secrets) if machine.status().is_some() && secrets.len() != in_use => Finding::wrong(
            CHECK,
            format!("{path} holds {} secrets, and the daemon uses {in_use}", secrets.len()),
            "mesherctl reload",
        ),
        Ok(_) => Finding::ok(CHECK, format!("{path}, for nobody else to read")),
        Err(SecretError::Read { error, .. }) => match error.kind() {
            std::io::ErrorKind::PermissionDenied if !machine.is_root => {
                Finding::unclear(CHECK, format!("only root can look into {path}"), "sudo mesherctl doctor")
            }
            std::io::ErrorKind::NotFound if machine.config.is_none() => Finding::unclear(
                CHECK,
                format!("{path} is not there; the configuration, which may name another file, is wrong"),
                format!("mesherctl config check {}", machine.config_file.display()),
            ),
            std::io::ErrorKind::NotFound if in_use > 0 => {
                Finding::ok(CHECK, format!("{path} is not there; the daemon has its secret as a credential"))
            }
            _ => Finding::wrong(
                CHECK,
                format!("{path}: {error}; bring it from a machine that is in the network"),
                format!("install -m 600 network.secret {path}"),
            ),
        },
        Err(error @ SecretError::TooOpen { expected, .. }) => {
            let text = error.to_string();
            let what = text.split("; run:").next().unwrap_or_default().to_owned();
            Finding::wrong(CHECK, what, format!("chmod {expected:04o} {path}"))
        }
        Err(error) => {
            Finding::wrong(CHECK, error.to_string(), format!("install -m 600 network.secret {path}"))
        }
    }
}

pub(super) fn state(machine: &Machine<'_>) -> Finding {
    const CHECK: &str = "state directory";
    let directory = machine.status().map_or(Path::new(STATE_DIRECTORY), |s| Path::new(&s.state_directory));
    let path = directory.display();
    let metadata = match directory.metadata() {
        Ok(metadata) => metadata,
        Err(error) => {
            return Finding::wrong(
                CHECK,
                format!("{path}: {error}"),
                "systemctl restart data-mesher.service",
            );
        }
    };
    // Started by hand, the daemon is whoever started it.
    let owner = User::from_name(USER).ok().flatten().filter(|_| directory == Path::new(STATE_DIRECTORY));
    if let Some(owner) = owner
        && (metadata.uid() != owner.uid.as_raw() || metadata.mode() & 0o700 != 0o700)
    {
        return Finding::wrong(
            CHECK,
            format!(
                "{path} belongs to {}, mode {:04o}, and the daemon is {USER}",
                name_of(metadata.uid()),
                metadata.mode() & 0o7777
            ),
            format!("chown -R {USER}:{USER} {path} && chmod 0700 {path}"),
        );
    }
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o7777;
        return Finding::wrong(
            CHECK,
            format!("{path}: others may look into it (mode {mode:04o})"),
            format!("chmod 0700 {path}"),
        );
    }
    match nix::sys::statvfs::statvfs(directory) {
        Ok(space) if space.blocks_available() * space.fragment_size() < LITTLE_SPACE => {
            return Finding::wrong(
                CHECK,
                format!("{path}: its disk is full, and nothing can be saved"),
                format!("df -h {path}"),
            );
        }
        _ => {}
    }
    let key = directory.join("host.key");
    match read_secret(&key) {
        Ok(_) => Finding::ok(CHECK, format!("{path}, with this machine's key")),
        Err(SecretError::Read { error, .. })
            if error.kind() == std::io::ErrorKind::PermissionDenied && !machine.is_root =>
        {
            Finding::unclear(CHECK, format!("only root can look into {path}"), "sudo mesherctl doctor")
        }
        Err(SecretError::Read { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::unclear(
                CHECK,
                format!("{} is not there: the daemon makes it at its first start", key.display()),
                "systemctl start data-mesher.socket",
            )
        }
        Err(error @ SecretError::TooOpen { expected, .. }) => {
            let text = error.to_string();
            let what = text.split("; run:").next().unwrap_or_default().to_owned();
            Finding::wrong(CHECK, what, format!("chmod {expected:04o} {}", key.display()))
        }
        Err(error) => Finding::wrong(CHECK, error.to_string(), "journalctl -u data-mesher.service -b"),
    }
}

pub(super) fn table(machine: &Machine<'_>) -> Finding {
    const CHECK: &str = "hosts table";
    const RESTART: &str = "systemctl restart data-mesher.service";
    let told = machine.status().and_then(|status| status.table.as_ref());
    let file = told.map_or_else(|| PathBuf::from(DEFAULT_TABLE), |table| PathBuf::from(&table.path));
    let path = file.display();
    if let Some(closed) = closed_on_the_way(&file) {
        return closed;
    }
    let mut told = told.cloned();
    let mut tries = 0;
    let header = loop {
        let header = match header(&file) {
            Ok(header) => header,
            Err(error) => return Finding::wrong(CHECK, error, RESTART),
        };
        let is_the_daemons = told.as_ref().is_none_or(|told| told.generation == header.generation);
        if is_the_daemons || tries == TRIES {
            break header;
        }
        // Between the daemon's word and this look it may have written another.
        tries += 1;
        std::thread::sleep(APART);
        told = machine.ask().ok().and_then(|status| status.table);
    };
    if !header.leased {
        return Finding::wrong(
            CHECK,
            format!("{path} is stale: no daemon keeps it up any more, so programs get no answers from it"),
            "systemctl start data-mesher.socket",
        );
    }
    match told {
        Some(told) if told.generation != header.generation => Finding::wrong(
            CHECK,
            format!(
                "{path} says generation {}, the daemon wrote {}: it is another file",
                header.generation, told.generation
            ),
            RESTART,
        ),
        told => {
            let names =
                told.map_or(String::new(), |told| format!(", {}", crate::output::count(told.names, "name")));
            Finding::ok(CHECK, format!("{path}: fresh, generation {}{names}", header.generation))
        }
    }
}

fn header(file: &Path) -> Result<Header, String> {
    let table = TableFile::open(file).map_err(|error| error.to_string())?;
    table.header().map_err(|error| format!("{}: {error:?}", file.display()))
}

/// The first of the table and the directories above it that some users cannot pass, or that is not there.
fn closed_on_the_way(file: &Path) -> Option<Finding> {
    const CHECK: &str = "hosts table";
    let mut way: Vec<&Path> = file.ancestors().collect();
    way.reverse();
    for step in way {
        let metadata = match step.metadata() {
            Ok(metadata) => metadata,
            Err(error) => {
                let text = format!("{}: {error}", step.display());
                return Some(Finding::wrong(CHECK, text, "systemctl restart data-mesher.service"));
            }
        };
        let (needed, mode) = if metadata.is_dir() { (0o005, "a+rx") } else { (0o444, "a+r") };
        // A directory that may be passed and not listed does no harm.
        let needed = if metadata.is_dir() { needed & 0o001 } else { needed };
        if metadata.permissions().mode() & needed != needed {
            let text = format!(
                "{}: not everybody may read it (mode {:04o}), so some programs get no names",
                step.display(),
                metadata.permissions().mode() & 0o7777
            );
            return Some(Finding::wrong(CHECK, text, format!("chmod {mode} {}", step.display())));
        }
    }
    let (table, directory) = (file.metadata().ok()?, file.parent()?.metadata().ok()?);
    if table.uid() != directory.uid() || table.mode() & 0o022 != 0 {
        let (path, owner) = (file.display(), name_of(directory.uid()));
        return Some(Finding::wrong(
            CHECK,
            format!(
                "{path} belongs to {}, mode {:04o}: others than the daemon ({owner}) may change what this machine's programs are told",
                name_of(table.uid()),
                table.mode() & 0o7777
            ),
            format!("rm {path} && systemctl restart data-mesher.service"),
        ));
    }
    None
}

fn name_of(uid: u32) -> String {
    User::from_uid(uid.into()).ok().flatten().map_or_else(|| format!("user {uid}"), |user| user.name)
}
