//! Finding, checking, mapping and replacing the table.
//!
//! The current mapping hangs on one atomic pointer. It is never unmapped, because other threads may be reading it; when a
//! larger file takes its place, the new mapping is put in front with one compare-and-swap. So there is no moment
//! at which a thread that is cancelled, or a process that forks, leaves anything half done, and nobody ever waits.
//!
//! What goes with a mapping (which file, the path it came from) lies in a page of its own beside it.

use core::ffi::CStr;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use mesher_table::{Table, format::HEADER_WORDS};

use crate::system::{self, File, Identity, KeepErrno, Status};

/// Where the daemon keeps the table.
const DEFAULT_PATH: &CStr = c"/run/data-mesher/hosts.table";

/// Names another table; an absolute path. For trying things out, and for several daemons on one machine.
const OVERRIDE: &CStr = c"MESHER_TABLE";

/// Bytes of the longest path that is followed, its end included.
const MAX_PATH: usize = 2048;

/// Mappings a process keeps. The writer doubles the file each time, so this is enough from a few hundred names to
/// a hundred thousand. After that every lookup maps the table for itself and unmaps it again, which nobody else
/// can see, and costs some microseconds.
const MAX_KEPT: u32 = 8;

static CURRENT: AtomicPtr<Mapped> = AtomicPtr::new(null_mut());

/// A mapped table, and what goes with it.
struct Mapped {
    table: Table<'static>,
    identity: Identity,
    bytes: usize,
    start: *const libc::c_void,
    /// How many mappings were kept before this one.
    older: u32,
    path: [u8; MAX_PATH],
}

impl Mapped {
    fn path(&self) -> Option<&CStr> {
        CStr::from_bytes_until_nul(&self.path).ok()
    }

    /// Whether its answers may be given at this moment.
    #[inline]
    fn is_leased(&self) -> bool {
        self.table.deadline().is_ahead_of(system::now())
    }
}

/// Runs `look` on the table, if there is one to be believed.
#[inline]
pub(crate) fn with_table<R>(mut look: impl FnMut(&Table<'static>) -> R) -> Option<R> {
    let current = current();
    match current {
        Some(mapped) if !mapped.table.is_superseded() && mapped.is_leased() => Some(look(&mapped.table)),
        _ => match refresh(current)? {
            Refreshed::Kept(mapped) => Some(look(&mapped.table)),
            Refreshed::Own(own) => Some(look(&own.0.table)),
        },
    }
}

#[inline]
fn current() -> Option<&'static Mapped> {
    // SAFETY: the pointer is null or was made by `install`, from a value that is never freed or changed again.
    unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
}

enum Refreshed {
    /// The process's mapping.
    Kept(&'static Mapped),
    /// A mapping of this lookup's own.
    Own(Own),
}

/// A mapping that only this thread knows; unmapped when dropped.
struct Own(&'static mut Mapped);

impl Drop for Own {
    fn drop(&mut self) {
        let (start, bytes) = (self.0.start, self.0.bytes);
        // SAFETY: nobody else has seen this mapping, nor the page beside it.
        unsafe {
            system::unmap(start, bytes);
            system::unmap((&raw const *self.0).cast(), size_of::<Mapped>());
        }
    }
}

/// Looks for a table to be believed: the one under the table's name, or the current one while its lease runs.
#[cold]
#[inline(never)]
fn refresh(current: Option<&'static Mapped>) -> Option<Refreshed> {
    let _errno = KeepErrno::new();
    let newer = open(current);
    let Some(newer) = newer else {
        // Nothing new, or nothing good. A superseded table whose successor is not there yet still holds.
        return current.filter(|mapped| mapped.is_leased()).map(Refreshed::Kept);
    };
    if newer.0.older >= MAX_KEPT {
        return Some(Refreshed::Own(newer));
    }
    let expected = current.map_or(null_mut(), |mapped| (&raw const *mapped).cast_mut());
    let fresh: *mut Mapped = &raw mut *newer.0;
    match CURRENT.compare_exchange(expected, fresh, Ordering::AcqRel, Ordering::Relaxed) {
        Ok(_) => {
            core::mem::forget(newer);
            // SAFETY: it is now installed, and never freed or changed again.
            unsafe { fresh.as_ref() }.map(Refreshed::Kept)
        }
        // Another thread was faster. Its mapping is as good, but this one is at hand.
        Err(_) => Some(Refreshed::Own(newer)),
    }
}

/// Opens and maps what lies under the table's name, if it is another file than the current one, is a table to be
/// trusted, and its lease runs.
fn open(current: Option<&Mapped>) -> Option<Own> {
    let path = match current {
        Some(mapped) => mapped.path()?,
        None => match system::environment(OVERRIDE) {
            Some(path) if !path.is_empty() => path,
            _ => DEFAULT_PATH,
        },
    };
    if path.to_bytes().first() != Some(&b'/') || path.count_bytes() >= MAX_PATH {
        return None;
    }
    let file = File::open(path)?;
    let status = file.status()?;
    if current.is_some_and(|mapped| mapped.identity == status.identity) {
        return None;
    }
    let whole =
        status.size >= HEADER_WORDS.wrapping_mul(4) && status.size.is_multiple_of(4) && status.allocated;
    if !status.regular || !whole || !is_trusted(&status, path) {
        return None;
    }
    let start = file.map(status.size)?;
    drop(file);
    // SAFETY: the mapping is page-aligned, `status.size` bytes long, stays until it is unmapped through `Own` below,
    // and is only reached through atomics.
    let words = unsafe { core::slice::from_raw_parts(start.cast::<AtomicU32>(), status.size >> 2) };
    let own = Table::new(words).ok().and_then(|table| {
        let page = system::allocate(size_of::<Mapped>())?.cast::<Mapped>();
        let older = current.map_or(0, |mapped| mapped.older.saturating_add(1));
        // SAFETY: fresh zeroed memory, page-aligned and large enough, whose bytes are written before they are
        // read: all fields but the path here, and the path is zero already.
        let mapped = unsafe {
            (&raw mut (*page).table).write(table);
            (&raw mut (*page).identity).write(status.identity);
            (&raw mut (*page).bytes).write(status.size);
            (&raw mut (*page).start).write(start);
            (&raw mut (*page).older).write(older);
            &mut *page
        };
        for (to, from) in mapped.path.iter_mut().zip(path.to_bytes()) {
            *to = *from;
        }
        Some(Own(mapped))
    });
    match own {
        // An `Own` that is not returned unmaps itself.
        Some(own) => own.0.is_leased().then_some(own),
        None => {
            // SAFETY: the mapping was made above, and nothing refers to it any more.
            unsafe { system::unmap(start, status.size) };
            None
        }
    }
}

/// Whether a file's owner may tell this process who is who: root, the process's own user, or the owner of the
/// directory, which is how the daemon's user is recognised: it alone can make files there. Nobody else may be able to write to
/// the file, nor, in the last case, to the directory.
fn is_trusted(status: &Status, path: &CStr) -> bool {
    if status.shared_writable {
        return false;
    }
    status.owner == 0 || status.owner == system::user() || is_directory_owners(status, path)
}

#[inline(never)]
fn is_directory_owners(status: &Status, path: &CStr) -> bool {
    let bytes = path.to_bytes();
    let last = bytes.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let mut directory = [0_u8; MAX_PATH];
    // The last slash stays: "/" must not become "".
    for (to, from) in directory.iter_mut().zip(bytes.iter().take(last.saturating_add(1))) {
        *to = *from;
    }
    CStr::from_bytes_until_nul(&directory)
        .ok()
        .and_then(Status::of)
        .is_some_and(|directory| directory.owner == status.owner && !directory.shared_writable)
}
