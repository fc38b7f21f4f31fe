//! What the ABI tests share: the finished module, loaded and called as glibc calls it ([`Module`]), tables to serve it
//! ([`tables`]), programs run with it ([`Machine`]), and the check of the shipped file ([`gate`]).
//!
//! The module under test is built with `cargo build --profile nss`, or given by `MESHER_MODULE=FILE`, so that a
//! release's own file can be tested. Nothing here needs root: `getent -s` takes its sources from the command line, and
//! programs without such an option run in a user and mount namespace of their own.

pub mod gate;
mod machine;
mod module;
pub mod tables;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub use machine::Machine;
pub use module::{Arena, Call, Host, Module, Name, Tuple, status};

/// The project's folder.
pub fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Builds a package in the module's profile and returns the target folder's file of that name.
fn build(package: &str, profile: &str, folder: &str, file: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--profile", profile, "-p", package]).current_dir(project());
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "{package} does not build in profile {profile}");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project().join("target"), PathBuf::from);
    target.join(folder).join(file)
}

/// The finished module.
pub fn module_file() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| match std::env::var_os("MESHER_MODULE") {
        Some(file) => file.into(),
        None => build("nss_mesher", "nss", "nss", "libnss_mesher.so"),
    })
}

/// The module made with libnss.
pub fn reference_file() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| build("reference_module", "dev", "debug", "libreference_module.so"))
}
