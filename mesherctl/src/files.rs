//! Several files that come into being together or not at all, and never over existing ones; and one in another's place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A file to be made.
#[derive(Debug)]
pub(crate) struct NewFile<'a> {
    pub(crate) name: &'a str,
    pub(crate) mode: u32,
    pub(crate) content: &'a str,
}

/// An error if one of the files is in `directory` already.
pub(crate) fn refuse_existing<'a>(
    directory: &Path,
    mut names: impl Iterator<Item = &'a str>,
) -> Result<(), Failure> {
    let existing =
        names.find_map(|name| Some(directory.join(name)).filter(|path| path.symlink_metadata().is_ok()));
    existing.map_or(Ok(()), |existing| Err(exists(&existing)))
}

/// Makes `files` in `directory`, which is made too if it is not there. When this returns without an error all of them are on
/// the disk, with their content and their modes; with one, none is.
///
/// Each is first written under another name and then linked, because a link, unlike a rename, is never over an existing file.
pub(crate) fn create_all(directory: &Path, files: &[NewFile<'_>]) -> Result<(), Failure> {
    refuse_existing(directory, files.iter().map(|file| file.name))?;
    fs::create_dir_all(directory).map_err(Failure::file(directory))?;
    let mut made = Made(Vec::new());
    let mut linked = Made(Vec::new());
    for file in files {
        let temporary = directory.join(format!(".{}.{}", file.name, std::process::id()));
        write_new(&temporary, file).map_err(Failure::file(&temporary))?;
        made.0.push(temporary);
    }
    for (file, temporary) in files.iter().zip(&made.0) {
        let path = directory.join(file.name);
        match fs::hard_link(temporary, &path) {
            Ok(()) => linked.0.push(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(exists(&path)),
            Err(error) => return Err(Failure::file(&path)(error)),
        }
    }
    File::open(directory).and_then(|dir| dir.sync_all()).map_err(Failure::file(directory))?;
    linked.0.clear();
    Ok(())
}

/// Puts a file in the place of the one at `path`, if there is one, in one step: with its mode and owner, or 0644 for a new one.
/// When this fails the old one stands as it was.
pub(crate) fn replace(path: &Path, content: &str) -> Result<(), Failure> {
    let old = match fs::metadata(path) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::file(path)(error)),
    };
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        return Err(Failure::Other(format!("{}: expected a regular file", path.display())));
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mode = old.as_ref().map_or(0o644, |old| old.permissions().mode() & 0o777);
    let temporary = directory.join(format!(".{name}.{}", std::process::id()));
    let mut made = Made(vec![temporary.clone()]);
    let write = || -> io::Result<()> {
        write_new(&temporary, &NewFile { name: &name, mode, content })?;
        if let Some(old) = &old {
            std::os::unix::fs::chown(&temporary, Some(old.uid()), Some(old.gid()))?;
        }
        fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(Failure::file(path))?;
    made.0.clear();
    Ok(())
}

fn exists(path: &Path) -> Failure {
    Failure::Other(format!(
        "{}: is there already, and nothing is written over a network's files; nothing was changed. Name another --out, or \
         move the old network away",
        path.display()
    ))
}

fn write_new(path: &Path, file: &NewFile<'_>) -> io::Result<()> {
    // The mode from the first instant on, whatever the umask: it can only take bits away, and then they are put back.
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(file.mode & 0o600).open(path)?;
    opened.write_all(file.content.as_bytes())?;
    opened.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(file.mode))?;
    opened.sync_all()
}

/// Files that are removed again unless they are taken out of here.
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        for path in &self.0 {
            // What cannot be removed now could not be made any better by failing here.
            let _ = fs::remove_file(path);
        }
    }
}
