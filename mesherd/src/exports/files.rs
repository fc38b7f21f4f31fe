//! Writing the exports: each file whole or not at all, and only where it says something new.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Names;
use super::formats;

/// One export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// `exports.json_lines`.
    JsonLines,
    /// `exports.hosts`.
    Hosts,
    /// `exports.zone`.
    Zone,
    /// `exports.metrics`.
    Metrics,
}

impl Form {
    /// Its key in the configuration.
    pub fn key(self) -> &'static str {
        match self {
            Self::JsonLines => "exports.json_lines",
            Self::Hosts => "exports.hosts",
            Self::Zone => "exports.zone",
            Self::Metrics => "exports.metrics",
        }
    }
}

/// Brings the file at `path` up to date with `names`. `unix_s` is the time, for the zone's serial. A file that says the same
/// already is left alone, so that nobody is woken for nothing.
///
/// # Errors
/// When it could not be written; what was there is still there, whole.
pub fn write_names(form: Form, path: &Path, names: &Names, unix_s: u32) -> io::Result<()> {
    let before = fs::read_to_string(path).ok();
    let text = match form {
        Form::JsonLines => formats::json_lines(&names.contents),
        Form::Hosts => formats::hosts(&names.contents, &names.domain),
        Form::Zone => {
            let last = before.as_deref().and_then(formats::serial_of);
            let unchanged = last.map(|serial| formats::zone(&names.contents, &names.domain, serial));
            if unchanged.is_some() && unchanged == before {
                return Ok(());
            }
            // Above the last one even if the clock went back, or the file changes twice a second.
            let serial = last.map_or(unix_s, |last| unix_s.max(last.wrapping_add(1)));
            formats::zone(&names.contents, &names.domain, serial)
        }
        Form::Metrics => return Ok(()),
    };
    if before.as_ref() == Some(&text) { Ok(()) } else { replace(path, text.as_bytes()) }
}

/// Puts a file in the place of the one at `path` in one step. Everybody may read it.
///
/// # Errors
/// When it could not be written; what was there is still there, whole.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = temporary_of(path)?;
    // What a killed daemon left.
    remove(&temporary)?;
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        // The umask of the service is for its secrets; this is for everybody.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        // After a power cut the name must not stand for an empty file.
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    let written = write();
    if written.is_err() {
        // The error that matters is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Removes a file that may be gone already.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Beside the file, because a rename goes no further; hidden, and without the ending that node_exporter looks for.
fn temporary_of(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".new");
    Ok(path.with_file_name(hidden))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use mesher_table::{Contents, Entry};

    use super::*;

    fn names(addresses: &[&str]) -> Names {
        let entry = Entry {
            name: "earth.sol".into(),
            v4: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            ..Entry::default()
        };
        Names { domain: "sol".parse().unwrap(), contents: Contents { entries: vec![entry], contain: vec![] } }
    }

    #[test]
    fn a_file_is_replaced_whole_and_only_by_something_new() {
        let dir = tempfile::tempdir().unwrap();
        for form in [Form::JsonLines, Form::Hosts, Form::Zone] {
            let path = dir.path().join(form.key());
            write_names(form, &path, &names(&["192.0.2.1"]), 1_000).unwrap();
            let first = fs::metadata(&path).unwrap();
            assert_eq!(first.permissions().mode() & 0o777, 0o644);
            write_names(form, &path, &names(&["192.0.2.1"]), 2_000).unwrap();
            assert_eq!(
                fs::metadata(&path).unwrap().ino(),
                first.ino(),
                "{}: written for nothing",
                form.key()
            );
            // Who has it open keeps the old one whole.
            let open = fs::File::open(&path).unwrap();
            write_names(form, &path, &names(&["192.0.2.2"]), 2_000).unwrap();
            assert!(fs::read_to_string(&path).unwrap().contains("192.0.2.2"));
            assert!(io::read_to_string(open).unwrap().contains("192.0.2.1"));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "something was left over");
    }

    #[test]
    fn the_zones_serial_goes_up_although_the_clock_goes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zone");
        let serial = || formats::serial_of(&fs::read_to_string(&path).unwrap()).unwrap();
        for (address, unix_s, expected) in [
            ("192.0.2.1", 1_000, 1_000),
            ("192.0.2.2", 1_000, 1_001),
            ("192.0.2.3", 7, 1_002),
            ("192.0.2.4", 2_000, 2_000),
        ] {
            write_names(Form::Zone, &path, &names(&[address]), unix_s).unwrap();
            assert_eq!(serial(), expected);
        }
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        fs::create_dir(&path).unwrap();
        replace(&path, b"new").unwrap_err();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        replace(&dir.path().join("absent/hosts"), b"new").unwrap_err();
    }
}
