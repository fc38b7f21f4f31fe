//! Table files on disk: mapping them, and making new ones.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::stat::{Mode, fchmod};

/// A shared mapping of a whole file, unmapped when dropped.
pub(crate) struct Mapping {
    start: NonNull<AtomicU32>,
    words: usize,
}

// SAFETY: the mapping belongs to this value alone until it is dropped, and is only reached through atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `words` words of a file. The file must be at least that long, and nobody may truncate it: tables never are.
    pub(crate) fn new(file: &File, words: usize, writable: bool) -> io::Result<Self> {
        let length = words.checked_mul(4).and_then(NonZeroUsize::new).ok_or(io::ErrorKind::InvalidInput)?;
        let protection =
            if writable { ProtFlags::PROT_READ | ProtFlags::PROT_WRITE } else { ProtFlags::PROT_READ };
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Self { start: start.cast(), words })
    }

    pub(crate) fn words(&self) -> &[AtomicU32] {
        // SAFETY: the mapping is page-aligned, `words` words long, and lives as long as `self`; other processes write
        // it, but only atomics look at it.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` made exactly this mapping, and no borrow of it outlives `self`. It cannot fail for a range
        // that is mapped.
        let _ = unsafe { munmap(self.start.cast(), self.words * 4) };
    }
}

/// Opens an existing file without following a link at its end and without waiting, should it be a FIFO.
pub(crate) fn open(path: &Path, write: bool) -> io::Result<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = File::options().read(true).write(write).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// Opens a file that exists to be locked, made if need be, for its owner alone. A link under its name is not followed.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// How many whole words a file has.
pub(crate) fn len_words(file: &File) -> io::Result<usize> {
    usize::try_from(file.metadata()?.len() / 4).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

/// Makes a file of this many words, all zero and all really there: writing to it later cannot fail for want of
/// space. World-readable whatever the umask. A file of that name is removed first.
pub(crate) fn create(path: &Path, words: usize) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    let made = allocate(&file, words);
    if made.is_err() {
        // The caller needs to hear why it could not be made, not that the rest of it could not be removed.
        let _ = std::fs::remove_file(path);
    }
    made.map(|()| file)
}

fn allocate(file: &File, words: usize) -> io::Result<()> {
    let bytes = words.checked_mul(4).and_then(|bytes| i64::try_from(bytes).ok());
    let bytes = bytes.ok_or(io::ErrorKind::FileTooLarge)?;
    nix::fcntl::posix_fallocate(file, 0, bytes)?;
    fchmod(file, Mode::from_bits_truncate(0o644))?;
    let metadata = file.metadata()?;
    if metadata.blocks() * 512 < metadata.len() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the file system does not allocate space when asked to; put the table on a tmpfs",
        ));
    }
    Ok(())
}

/// Which file this is, whatever its name.
pub(crate) fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
