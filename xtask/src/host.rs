//! The machine xtask runs on: its commands, its privileges, its ABI.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths;

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    // The second of the four user ids, the effective one, decides.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}

/// Runs a command to its end, with this process's terminal.
///
/// # Errors
///
/// When it cannot be started or does not succeed: the error names the command and how it ended.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs a command to its end and returns what it wrote to standard output.
///
/// # Errors
///
/// As [`run`]; the error holds what the command wrote to standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.output().with_context(|| format!("cannot run `{shown}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` ended with {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Cargo, in the repository, with this workspace's target directory.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).env("CARGO_TARGET_DIR", paths::target()).current_dir(paths::repository());
    command
}

/// A program's path, if it is installed. An absolute path stands for itself.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    // Not every user has the administrator's directories in PATH.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/local/sbin:/usr/sbin:/sbin";
    path.split(':').map(|directory| PathBuf::from(directory).join(program)).find(|file| file.is_file())
}

/// The directory below `/usr/lib` where this machine's dynamic linker looks for libraries: the multiarch triplet on
/// Debian and its relatives. Elsewhere libraries lie in `/usr/lib64` or `/usr/lib` itself: the result is relative to
/// `/usr`.
pub(crate) fn library_directory() -> Result<String> {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| OsStr::new("cc").into());
    let triplet = output(Command::new(compiler).arg("-print-multiarch"))
        .context("asking the C compiler for the library directory")?;
    Ok(match triplet.trim() {
        "" if PathBuf::from("/usr/lib64").is_dir() => "lib64".to_owned(),
        "" => "lib".to_owned(),
        triplet => format!("lib/{triplet}"),
    })
}

fn show(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}
