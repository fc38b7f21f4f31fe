//! Installs the release files on a systemd machine, and takes them off again.
//!
//! The order is what keeps the machine's lookups whole: the module is in place before nsswitch.conf names it, and
//! stays until nsswitch.conf no longer does.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::{dist, host, nsswitch};

/// What `install` was asked for.
#[derive(Default)]
pub(crate) struct Install {
    /// The system to install into, when it is not the running one.
    pub(crate) root: Option<PathBuf>,
    /// A finished dist tree to take the files from, instead of building them.
    pub(crate) from: Option<PathBuf>,
}

/// What `uninstall` was asked for.
#[derive(Default)]
pub(crate) struct Uninstall {
    /// The system to uninstall from, when it is not the running one.
    pub(crate) root: Option<PathBuf>,
    /// Whether the configuration and the state (the host's key) go too.
    pub(crate) purge: bool,
}

const UNITS: [&str; 2] = ["data-mesher.service", "data-mesher.socket"];
/// The list of what was installed: uninstall goes by it, whatever the version that runs it.
const MANIFEST: &str = "usr/share/data-mesher/installed";
const BACKUP: &str = "etc/nsswitch.conf.before-mesher";

/// Installs or upgrades. Repeating it changes nothing.
///
/// # Errors
///
/// Without root, without systemd, when a build fails or a file cannot be written. The files written until then stay;
/// nsswitch.conf names the module only once it is complete.
pub(crate) fn install(options: &Install) -> Result<ExitCode> {
    need_root("install")?;
    let system = System::new(options.root.as_deref())?;
    if system.path(Path::new("var/lib/dpkg/info/data-mesher.list")).exists() {
        bail!(
            "the Debian package data-mesher is installed, and these are its files: upgrade it, with `cargo xtask deb`"
        );
    }
    let tree = dist::given_or_built(options.from.as_deref())?;
    let files = dist::list(&tree)?;
    for file in &files {
        system.write_from(&tree.join(file), file)?;
    }
    let listing: String = files.iter().map(|file| format!("{}\n", file.display())).collect();
    system.write(Path::new(MANIFEST), listing.as_bytes(), 0o644)?;
    system.configuration(&tree)?;
    system.user()?;
    system.update_catalog()?;
    system.edit_nsswitch(nsswitch::add)?;
    system.systemctl(&["daemon-reload"])?;
    system.systemctl_any_root(&["enable", UNITS[0]])?;
    // An upgrade takes effect at once; a first installation waits for its configuration.
    system.systemctl(&["try-restart", UNITS[0]])?;
    println!("Installed {} files below {}.", files.len(), system.root.display());
    if options.root.is_none() {
        println!("{}", next_steps());
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes off what `install` put on, in the reverse order.
///
/// # Errors
///
/// Without root, when nothing is installed, or when a file cannot be changed.
pub(crate) fn uninstall(options: &Uninstall) -> Result<ExitCode> {
    need_root("uninstall")?;
    let system = System::new(options.root.as_deref())?;
    let listing = match fs::read_to_string(system.path(Path::new(MANIFEST))) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Taken off before, and purged now. Where the daemon is, it came by another way, and goes by that.
            if options.purge && system.has_leftovers() {
                system.purge()?;
                println!("Took the configuration and this host's key off {}.", system.root.display());
                return Ok(ExitCode::SUCCESS);
            }
            bail!("nothing to take off: {} is not there", system.path(Path::new(MANIFEST)).display())
        }
        listing => listing.context("reading the list of installed files")?,
    };
    system.systemctl(&["stop", UNITS[0], UNITS[1]])?;
    system.systemctl_any_root(&["disable", "--quiet", UNITS[0], UNITS[1]])?;
    system.edit_nsswitch(nsswitch::remove)?;
    system.drop_backup()?;
    let mut files: Vec<&Path> = listing.lines().map(Path::new).collect();
    files.push(Path::new(MANIFEST));
    for file in files.iter().rev() {
        system.remove(file)?;
    }
    system.update_catalog()?;
    system.systemctl(&["daemon-reload"])?;
    if options.purge {
        system.purge()?;
    } else {
        println!(
            "Kept: the configuration in /etc/data-mesher, this host's key in /var/lib/data-mesher (--purge)."
        );
    }
    println!("Took {} files off {}. The user data-mesher stays.", files.len(), system.root.display());
    Ok(ExitCode::SUCCESS)
}

fn next_steps() -> &'static str {
    "
Next:
  1. One machine creates the network; the last word printed is its id.
       mesherctl network init --domain sol --claim-ttl 24h --out /etc/data-mesher
     Move network.key to a safe place, and copy network.secret to /etc/data-mesher on every member.
  2. Edit /etc/data-mesher/config.toml (id, names, interfaces, bootstrap_nodes; settings_file on that one machine).
       mesherctl config check
  3. systemctl start data-mesher.socket
     It also starts at every boot."
}

fn need_root(command: &str) -> Result<()> {
    if host::is_root() {
        return Ok(());
    }
    bail!(
        "{command} changes the system and needs root. Build as yourself, then install:\n  \
         cargo xtask dist && sudo {} {command}{}",
        std::env::current_exe().map_or_else(|_| "cargo xtask".into(), |exe| exe.display().to_string()),
        if command == "install" { " --from target/dist" } else { "" },
    )
}

/// The system files are installed into: the running one, or one below a directory.
struct System {
    root: PathBuf,
    running: bool,
}

impl System {
    fn new(root: Option<&Path>) -> Result<Self> {
        let system = System { root: root.unwrap_or(Path::new("/")).to_path_buf(), running: root.is_none() };
        if system.path(Path::new("etc/NIXOS")).exists() {
            bail!(
                "this is NixOS, whose configuration is not edited in place: import the flake's nixosModules.default"
            );
        }
        if system.running && !Path::new("/run/systemd/system").is_dir() {
            bail!("this machine was not booted with systemd; `mesherd --config FILE` runs without it");
        }
        Ok(system)
    }

    fn path(&self, file: &Path) -> PathBuf {
        self.root.join(file)
    }

    /// Copies a file in by way of a rename: processes that run it, or have it mapped, keep the old one whole.
    fn write_from(&self, source: &Path, file: &Path) -> Result<()> {
        let content = fs::read(source).with_context(|| format!("reading {}", source.display()))?;
        let mode = fs::metadata(source)?.permissions().mode() & 0o777;
        self.write(file, &content, mode)
    }

    fn write(&self, file: &Path, content: &[u8], mode: u32) -> Result<()> {
        let path = self.path(file);
        let directory = path.parent().context("an installed file has a directory")?;
        fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
        let mut name = path.file_name().context("an installed file has a name")?.to_owned();
        name.push(".mesher-new");
        let fresh = path.with_file_name(name);
        fs::write(&fresh, content).with_context(|| format!("writing {}", fresh.display()))?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))?;
        chown(&fresh, Some(0), Some(0))?;
        fs::rename(&fresh, &path).with_context(|| format!("renaming {} into place", path.display()))
    }

    fn remove(&self, file: &Path) -> Result<()> {
        let path = self.path(file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
        // Directories of ours that are empty now; the system's own hold other files and stay.
        let mut directory = path.parent();
        while let Some(empty) = directory.filter(|path| path.to_string_lossy().contains("data-mesher")) {
            if fs::remove_dir(empty).is_err() {
                break;
            }
            directory = empty.parent();
        }
        Ok(())
    }

    fn remove_tree(&self, directory: &Path) -> Result<()> {
        let path = self.path(directory);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Whether an earlier `uninstall` left something for a purge.
    fn has_leftovers(&self) -> bool {
        let there = |path: &str| self.path(Path::new(path)).exists();
        !there("usr/bin/mesherd") && (there("etc/data-mesher/config.toml") || there("var/lib/data-mesher"))
    }

    /// Removes configuration and state.
    fn purge(&self) -> Result<()> {
        for directory in ["var/lib/data-mesher", "run/data-mesher"] {
            self.remove_tree(Path::new(directory))?;
        }
        self.remove_configuration()
    }

    /// Removes `/etc/data-mesher`, but for the network's private key: it is the whole network's, and cannot be made again.
    fn remove_configuration(&self) -> Result<()> {
        let directory = Path::new("etc/data-mesher");
        let key = self.path(&directory.join("network.key"));
        if !key.exists() {
            return self.remove_tree(directory);
        }
        for entry in fs::read_dir(self.path(directory)).context("reading the configuration's directory")? {
            let path = entry?.path();
            if path == key {
                continue;
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("removing {}", path.display()))?;
        }
        println!("Left {}, the network's private key: move it to a safe place.", key.display());
        Ok(())
    }

    /// `/etc/data-mesher`, with the example configuration where there is none yet.
    fn configuration(&self, tree: &Path) -> Result<()> {
        let file = Path::new("etc/data-mesher/config.toml");
        if self.path(file).exists() {
            return Ok(());
        }
        self.write_from(&tree.join("usr/share/doc/data-mesher/examples/config.toml"), file)
    }

    fn user(&self) -> Result<()> {
        let mut command = Command::new("systemd-sysusers");
        if !self.running {
            command.arg(format!("--root={}", self.root.display()));
        }
        host::run(command.arg("data-mesher.conf"))
    }

    /// What `journalctl -x` explains events with is a compiled copy of the catalogues.
    fn update_catalog(&self) -> Result<()> {
        let mut command = Command::new("journalctl");
        if !self.running {
            command.arg(format!("--root={}", self.root.display()));
        }
        host::run(command.arg("--update-catalog"))
    }

    /// Changes nsswitch.conf, following a link to the file itself, by way of a rename. The text from before our first
    /// change is kept beside it.
    fn edit_nsswitch(&self, edit: impl Fn(&str) -> String) -> Result<()> {
        let named = self.path(Path::new("etc/nsswitch.conf"));
        let path = named.canonicalize().unwrap_or(named);
        let (before, mode) = match fs::read_to_string(&path) {
            Ok(text) => (Some(text), fs::metadata(&path)?.permissions().mode() & 0o777),
            Err(error) if error.kind() == ErrorKind::NotFound => (None, 0o644),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let after = edit(before.as_deref().unwrap_or_default());
        if before.as_deref().unwrap_or_default() == after {
            return Ok(());
        }
        if let Some(before) = before.filter(|_| !self.path(Path::new(BACKUP)).exists()) {
            self.write(Path::new(BACKUP), before.as_bytes(), mode)?;
        }
        // A link in another system's tree may lead out of it, to this machine's own file.
        let Ok(file) = path.strip_prefix(&self.root) else {
            bail!("{} lies outside {}: edit it by hand", path.display(), self.root.display());
        };
        self.write(file, after.as_bytes(), mode)
    }

    /// Removes the backup where nsswitch.conf is again what it was; says so where it is not.
    fn drop_backup(&self) -> Result<()> {
        let backup = self.path(Path::new(BACKUP));
        let Ok(before) = fs::read(&backup) else { return Ok(()) };
        if fs::read(self.path(Path::new("etc/nsswitch.conf"))).is_ok_and(|now| now == before) {
            fs::remove_file(&backup).with_context(|| format!("removing {}", backup.display()))
        } else {
            println!("/etc/nsswitch.conf has other changes too; as it was before: {}", backup.display());
            Ok(())
        }
    }

    /// A command for the running systemd; nothing to do for a system that is not running.
    fn systemctl(&self, arguments: &[&str]) -> Result<()> {
        if self.running { host::run(Command::new("systemctl").args(arguments)) } else { Ok(()) }
    }

    /// A command that works on unit files only, so also on a system that is not running.
    fn systemctl_any_root(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("systemctl");
        if !self.running {
            command.arg(format!("--root={}", self.root.display())).arg("--quiet");
        }
        host::run(command.args(arguments))
    }
}
