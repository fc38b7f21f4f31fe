//! Where things are: the repository, the target directory, and the tree of release files.

use std::env;
use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Cargo's target directory: `CARGO_TARGET_DIR`, or `target` in the repository.
pub(crate) fn target() -> PathBuf {
    let repository = repository().canonicalize().unwrap_or_else(|_| repository().to_path_buf());
    match env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => repository.join(directory),
        None => repository.join("target"),
    }
}

/// The release files, laid out as they are installed.
pub(crate) fn dist() -> PathBuf {
    target().join("dist")
}
