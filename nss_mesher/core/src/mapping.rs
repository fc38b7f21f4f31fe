//! Finding, checking, mapping and replacing the table.
//!
//! The current mapping hangs on one atomic pointer. It is never unmapped, because other threads may be reading it; when a
//! larger file takes its place, the new mapping is put in front with one compare-and-swap. So there is no moment
//! at which a thread that is cancelled, or a process that forks, leaves anything half done, and nobody ever waits.
//!
//! What goes with a mapping (which file, the path it came from) lies in the module's own memory for the first one, which is
//! the only one in most processes, and for later ones each in a page beside it.

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::mem::MaybeUninit;
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

static STATE: State = State {
    current: AtomicPtr::new(null_mut()),
    taken: AtomicU32::new(0),
    place: UnsafeCell::new(MaybeUninit::uninit()),
};

/// In this order, so that a process's first lookup writes to one page only.
#[repr(C)]
struct State {
    current: AtomicPtr<Mapped>,
    /// Not 0 once somebody uses the place, or has been stopped for ever while using it.
    taken: AtomicU32,
    place: UnsafeCell<MaybeUninit<Mapped>>,
}

// SAFETY: the place belongs to whoever has changed `taken` from 0; it is read by others only after it has been published
// through `current`, and is not changed from then on.
unsafe impl Sync for State {}

/// Room for a `Mapped`: the module's own, if it is free, or else a page.
fn take_room() -> Option<*mut Mapped> {
    match STATE.taken.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed) {
        Ok(_) => Some(STATE.place.get().cast()),
        Err(_) => system::allocate(size_of::<Mapped>()).map(<*mut _>::cast),
    }
}

/// Gives room back.
///
/// # Safety
///
/// It is from [`take_room`], and nobody will look at it again.
unsafe fn give_room(room: *mut Mapped) {
    if core::ptr::eq(room, STATE.place.get().cast()) {
        STATE.taken.store(0, Ordering::Release);
    } else {
        // SAFETY: the caller's promise.
        unsafe { system::unmap(room.cast_const().cast(), size_of::<Mapped>()) };
    }
}

/// A mapped table, and what goes with it.
#[repr(C)]
struct Mapped {
    table: Table<'static>,
    identity: Identity,
    bytes: usize,
    start: *const libc::c_void,
    /// How many mappings were kept before this one.
    older: u32,
    /// Empty for the path that is compiled in.
    path: [u8; MAX_PATH],
}

impl Mapped {
    fn path(&self) -> Option<&CStr> {
        match CStr::from_bytes_until_nul(&self.path).ok() {
            Some(path) if path.is_empty() => Some(DEFAULT_PATH),
            path => path,
        }
    }

    /// Whether its answers may be given at this moment.
    #[inline]
    fn is_leased(&self) -> bool {
        self.table.deadline().is_ahead_of(system::now())
    }
}

/// Runs `look` on the table, if there is one to be believed.
#[inline]
pub(crate) fn with_table<R>(look: impl FnOnce(&Table<'static>) -> R) -> Option<R> {
    let current = current();
    let copy;
    // An own mapping stays until its answer has been copied out.
    let (table, _own) = match current {
        Some(mapped) if !mapped.table.is_superseded() && mapped.is_leased() => (&mapped.table, None),
        _ => match refresh(current)? {
            Refreshed::Kept(mapped) => (&mapped.table, None),
            Refreshed::Own(own) => {
                copy = own.0.table;
                (&copy, Some(own))
            }
        },
    };
    // In one place only, so that it is not made a function of its own.
    Some(look(table))
}

#[inline]
fn current() -> Option<&'static Mapped> {
    // SAFETY: the pointer is null or was made by `install`, from a value that is never freed or changed again.
    unsafe { STATE.current.load(Ordering::Acquire).as_ref() }
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
        // SAFETY: nobody else has seen this mapping, nor what goes with it.
        unsafe {
            system::unmap(self.0.start, self.0.bytes);
            give_room(&raw mut *self.0);
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
    match STATE.current.compare_exchange(expected, fresh, Ordering::AcqRel, Ordering::Relaxed) {
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
        None => match system::environment(OVERRIDE, MAX_PATH).ok()? {
            Some(path) if !path.is_empty() => path,
            _ => DEFAULT_PATH,
        },
    };
    if path.to_bytes().first() != Some(&b'/') {
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
    let leased = |table: &Table<'_>| table.deadline().is_ahead_of(system::now());
    let room = match Table::new(words) {
        Ok(table) if leased(&table) => take_room().map(|room| (room, table)),
        _ => None,
    };
    let Some((room, table)) = room else {
        // SAFETY: the mapping was made above, and nothing refers to it any more.
        unsafe { system::unmap(start, status.size) };
        return None;
    };
    let older = current.map_or(0, |mapped| mapped.older.saturating_add(1));
    // SAFETY: the room is this thread's, aligned and large enough. All fields but the path are written here; the path's bytes
    // are zero or those of a mapping that was given up.
    let mapped = unsafe {
        (&raw mut (*room).table).write(table);
        (&raw mut (*room).identity).write(status.identity);
        (&raw mut (*room).bytes).write(status.size);
        (&raw mut (*room).start).write(start);
        (&raw mut (*room).older).write(older);
        &mut *room
    };
    // With its end.
    let path = if path == DEFAULT_PATH { c"" } else { path };
    for (to, from) in mapped.path.iter_mut().zip(path.to_bytes_with_nul()) {
        *to = *from;
    }
    Some(Own(mapped))
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
