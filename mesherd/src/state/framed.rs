//! Files that are whole or not there: framed, checked, and replaced by renaming.
//!
//! ```text
//! offset  size  what
//!      0    16  "data-mesher/st/1" (the format and its version)
//!     16     8  length of the payload in bytes, little-endian
//!     24    32  SHA-256 of the payload
//!     56     n  payload
//! ```

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 16] = b"data-mesher/st/1";
const HEADER: usize = 56;
/// More than a full store's; a file beyond it is no state of ours.
const MAX_LENGTH: u64 = 1 << 30;

/// Makes a directory and its parents if it is not there.
///
/// # Errors
/// When it cannot be made, or something else is there.
pub fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// Replaces `path` with a file of this payload: written beside it, synchronised, renamed over it, the directory
/// synchronised. After a crash at any moment either the former or the new file is there.
///
/// # Errors
/// When any step fails; the former file is still there.
pub fn write(path: &Path, payload: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let result =
        write_and_sync(&beside, &[&header(payload), payload]).and_then(|()| std::fs::rename(&beside, path));
    if let Err(error) = result {
        // A leftover would keep its blocks on a disk that may just have run full.
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    sync_directory_of(path)
}

/// As [`write`], for what has to be saved on a full disk too: a second file of this size is kept as `*.new`, the next payload is
/// written into its room, and the two change places. Only what has outgrown it needs more.
///
/// # Errors
/// When any step fails; the former file is still there.
pub fn write_in_kept_room(path: &Path, payload: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let is_new = !beside.exists();
    let parts = [&header(payload)[..], payload];
    let result = overwrite_and_sync(&beside, &parts).and_then(|()| swap(&beside, path));
    if let Err(error) = result {
        if is_new {
            // A leftover would keep its blocks on a disk that may just have run full.
            let _ = std::fs::remove_file(&beside);
        }
        return Err(error);
    }
    // Unless the swap is on disk, the former file is the one to be found after a crash: it must not be overwritten then.
    sync_directory_of(path).inspect_err(|_| drop(std::fs::remove_file(&beside)))?;
    let length = parts.iter().map(|part| part.len() as u64).sum();
    if std::fs::metadata(&beside).map_or(0, |kept| kept.len()) < length {
        // The room for the next: the former file was smaller, or there was none. If there is no room now, there may be then.
        let _ = overwrite_and_sync(&beside, &parts);
    }
    Ok(())
}

/// The payload of a file written by [`write`], or none if there is no such file.
///
/// # Errors
/// When the file cannot be read, or is torn, damaged or of another format.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_LENGTH).read_to_end(&mut bytes)?;
    payload(&bytes).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
    bytes.drain(..HEADER);
    Ok(Some(bytes))
}

/// Makes sure that a rename or a new link in this file's directory is on disk.
///
/// # Errors
/// When the directory cannot be synchronised.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Writes a new file, readable by its owner only, and synchronises it.
///
/// # Errors
/// When it cannot be written whole; what there is of it stays.
pub fn write_and_sync(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()
}

fn header(payload: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    header.extend_from_slice(&Sha256::digest(payload));
    header
}

/// As [`write_and_sync`], into the blocks that the file has already.
fn overwrite_and_sync(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.set_len(parts.iter().map(|part| part.len() as u64).sum())?;
    file.sync_all()
}

/// Gives the new file the name of the former one, and the former one that of the new.
fn swap(new: &Path, former: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, new, AT_FDCWD, former, RenameFlags::RENAME_EXCHANGE) {
        Ok(()) => Ok(()),
        // There is no former one, or the file system cannot swap: then the room is not kept.
        Err(_) => std::fs::rename(new, former),
    }
}

/// The payload in a file's bytes.
///
/// # Errors
/// What is wrong with them.
pub fn payload(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let (header, payload) = bytes.split_at_checked(HEADER).ok_or("torn: shorter than its header")?;
    if header[..8] != MAGIC[..8] {
        return Err("not a state file");
    }
    if &header[..16] != MAGIC {
        return Err("of another version of the format");
    }
    if header[16..24] != (payload.len() as u64).to_le_bytes() {
        return Err("torn: its length is not what its header says");
    }
    if header[24..] != Sha256::digest(payload)[..] {
        return Err("damaged: its checksum is wrong");
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_back_as_it_was_written_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.state");
        assert!(read(&path).unwrap().is_none());
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"second");
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read(&path).is_err(), "torn after {length} bytes");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, damaged).unwrap();
            assert!(read(&path).is_err(), "byte {at} damaged");
        }
    }

    #[test]
    fn what_is_written_in_kept_room_needs_no_other() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.state");
        let number = |path: &Path| std::fs::metadata(path).unwrap().ino();
        write_in_kept_room(&path, b"first").unwrap();
        let both = [number(&path), number(&path.with_extension("new"))];
        for payload in [&b"third"[..], b"", b"the fourth"] {
            write_in_kept_room(&path, payload).unwrap();
            assert_eq!(read(&path).unwrap().unwrap(), payload);
            let mut now = [number(&path), number(&path.with_extension("new"))];
            now.sort_by_key(|number| both.iter().position(|known| known == number));
            assert_eq!(now, both, "no file is made any more");
        }
    }

    #[test]
    fn the_kept_room_grows_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, kept) = (dir.path().join("x.state"), dir.path().join("x.new"));
        for length in [10, 5_000, 20_000, 20_000] {
            write_in_kept_room(&path, &vec![7; length]).unwrap();
            assert_eq!(read(&path).unwrap().unwrap().len(), length);
            let room = std::fs::metadata(&kept).unwrap().len();
            assert!(room >= (HEADER + length) as u64, "{room} bytes kept for {length}");
        }
    }

    #[test]
    fn a_write_that_fails_leaves_the_former_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.state");
        write(&path, b"first").unwrap();
        std::fs::create_dir(dir.path().join("x.new")).unwrap();
        assert!(write(&path, b"second").is_err());
        assert_eq!(read(&path).unwrap().unwrap(), b"first");
    }
}
