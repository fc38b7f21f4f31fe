//! Runs the whole-machine scenarios: builds what they install, and hands over to the driver in `tests/machines`.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::{deb, dist, host, paths};

/// What the driver was asked to run.
pub(crate) struct Options {
    /// Scenarios by folder name; all when empty.
    pub(crate) scenarios: Vec<String>,
    /// The Debian release the machines run.
    pub(crate) suite: String,
    /// How many scenarios run at a time.
    pub(crate) lanes: usize,
    /// Whether the machines stay up after the script, for a look around.
    pub(crate) keep: bool,
    /// A script from elsewhere, with its machines.
    pub(crate) script: Option<PathBuf>,
    /// The machines of `script`.
    pub(crate) nodes: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            scenarios: Vec::new(),
            suite: "bookworm".to_owned(),
            lanes: LANES,
            keep: false,
            script: None,
            nodes: None,
        }
    }
}

/// A scenario mostly waits: two fill a machine of two processors.
const LANES: usize = 2;

/// What the driver calls, and the Debian package each comes in.
pub(crate) const TOOLS: [(&str, &str); 10] = [
    ("python3", "python3"),
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("mkfs.ext4", "e2fsprogs"),
    ("zstd", "zstd"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("journalctl", "systemd"),
];

/// Runs the scenarios. Does not return when the driver could be started: it takes this process's place, so that a
/// signal meant for one meets the other.
///
/// # Errors
///
/// Without root, without the tools, with an unknown scenario, or when a build fails.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut driver = driver(options)?;
    Err(driver.exec()).context("cannot run python3")
}

/// The driver's command, ready to run. Builds the release files when a scenario installs them.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn driver(options: &Options) -> Result<Command> {
    if !host::is_root() {
        bail!("machines need root, for namespaces and mounts: run this as root, or in a container that is");
    }
    let missing: Vec<&str> =
        TOOLS.iter().filter(|(tool, _)| host::find(tool).is_none()).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        bail!(
            "machines need tools that are not here: apt-get install --no-install-recommends {}",
            missing.join(" ")
        );
    }
    let folder = paths::repository().join("tests/machines");
    let scenarios = selected(options, &folder)?;
    let mut driver = Command::new("python3");
    driver.env("PYTHONPATH", &folder).env("PYTHONDONTWRITEBYTECODE", "1").args(["-m", "driver"]);
    driver.args(["--suite", &options.suite]).arg("--cache").arg(paths::target().join("machines"));
    if scenarios.iter().any(|(_, nodes)| needs_release_files(nodes)) {
        let tree = dist::build()?;
        if scenarios.iter().any(|(_, nodes)| needs_packages(nodes)) {
            driver.arg("--packages").arg(packages(&tree)?);
        }
        driver.arg("--dist").arg(tree).arg("--installer").arg(std::env::current_exe()?);
    }
    driver.args(["--lanes", &options.lanes.to_string()]);
    if options.keep {
        driver.arg("--keep");
    }
    for (script, nodes) in &scenarios {
        driver.arg(script).arg(nodes);
    }
    Ok(driver)
}

/// The script and the machines of every scenario asked for.
fn selected(options: &Options, folder: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    match (&options.script, &options.nodes) {
        (Some(script), Some(nodes)) if options.scenarios.is_empty() => {
            return Ok(vec![(script.clone(), nodes.clone())]);
        }
        (None, None) => {}
        _ => bail!("--script and --nodes go together, and without scenarios' names"),
    }
    let known = known(folder)?;
    let names = if options.scenarios.is_empty() { &known } else { &options.scenarios };
    names
        .iter()
        .map(|name| {
            if !known.contains(name) {
                bail!("there is no scenario {name:?}; there are {}", known.join(", "));
            }
            Ok((folder.join(name).join("script.py"), folder.join(name).join("nodes.toml")))
        })
        .collect()
}

fn known(folder: &Path) -> Result<Vec<String>> {
    let mut known = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        if entry.path().join("nodes.toml").is_file() {
            known.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    known.sort();
    Ok(known)
}

/// Whether the scenario's machines need the release files, as members of a network or to install them themselves.
fn needs_release_files(nodes: &Path) -> bool {
    let needs = |line: &str| line.trim() == "[network]" || line.starts_with("release_files");
    fs::read_to_string(nodes).is_ok_and(|text| text.lines().any(needs))
}

fn needs_packages(nodes: &Path) -> bool {
    let needs = |line: &str| {
        line.starts_with("release_files") && (line.contains("packages") || line.contains("both"))
    };
    fs::read_to_string(nodes).is_ok_and(|text| text.lines().any(needs))
}

/// The Debian packages of this tree, and the same under an older version, in a directory `previous` beside them.
fn packages(tree: &Path) -> Result<PathBuf> {
    let directory = paths::target().join("machines/packages");
    dist::remove_tree(&directory)?;
    for (place, version) in
        [("", None), ("previous", Some(format!("{}~previous", env!("CARGO_PKG_VERSION"))))]
    {
        let place = directory.join(place);
        fs::create_dir_all(&place).with_context(|| format!("creating {}", place.display()))?;
        for package in deb::build(&deb::Options { version, from: Some(tree.to_path_buf()) })? {
            let name = package.file_name().context("a package has a name")?;
            fs::copy(&package, place.join(name)).with_context(|| format!("copying {}", package.display()))?;
        }
    }
    Ok(directory)
}
