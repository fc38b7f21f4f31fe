//! The few system calls. `open` and `close` of libc are cancellation points, and `fstat` as a function needs glibc 2.33,
//! so those go to the kernel directly; so do the others, because each function taken from libc is a name that the dynamic
//! loader has to find in every process. All of them restore errno: on success it must be as the caller left it.

use core::ffi::CStr;

use libc::{c_char, c_int, c_long, c_void};
use mesher_table::Deadline;

/// Keeps errno as it was, until dropped.
pub(crate) struct KeepErrno(c_int);

impl KeepErrno {
    pub(crate) fn new() -> Self {
        // SAFETY: glibc's errno always has an address, valid in this thread.
        Self(unsafe { *libc::__errno_location() })
    }
}

impl Drop for KeepErrno {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = self.0 };
    }
}

/// An open file, closed when dropped, so that the module keeps no descriptor.
pub(crate) struct File(c_int);

/// What is asked about a file.
pub(crate) struct Status {
    pub(crate) identity: Identity,
    pub(crate) regular: bool,
    /// Writable by its group or by everybody.
    pub(crate) shared_writable: bool,
    pub(crate) owner: u32,
    pub(crate) size: usize,
    /// Whether space is allocated for all of it: a hole in a mapped tmpfs file can raise SIGBUS when it is read.
    pub(crate) allocated: bool,
}

/// Which file this is, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

#[cfg(target_pointer_width = "64")]
mod abi {
    pub(super) use libc::{SYS_fstat, SYS_geteuid, SYS_mmap, SYS_newfstatat as SYS_fstatat, stat};
}
#[cfg(target_pointer_width = "32")]
mod abi {
    pub(super) use libc::{SYS_fstat64 as SYS_fstat, SYS_fstatat64 as SYS_fstatat, stat64 as stat};
    // The older calls have user ids of 16 bits, and take mmap's arguments in memory.
    pub(super) use libc::{SYS_geteuid32 as SYS_geteuid, SYS_mmap2 as SYS_mmap};
}

impl File {
    /// Opens for reading: no link at the end of the path, no waiting for a FIFO's writer, not across exec.
    pub(crate) fn open(path: &CStr) -> Option<Self> {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        // SAFETY: the path is a string; the kernel only reads it.
        let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0) };
        c_int::try_from(fd).ok().filter(|fd| *fd >= 0).map(Self)
    }

    pub(crate) fn status(&self) -> Option<Status> {
        let mut raw = core::mem::MaybeUninit::<abi::stat>::uninit();
        // SAFETY: the kernel fills the struct, whose layout is its own for this system call.
        let result = unsafe { libc::syscall(abi::SYS_fstat, self.0, raw.as_mut_ptr()) };
        // SAFETY: on success the kernel has filled it.
        (result == 0).then(|| Status::from_raw(unsafe { raw.assume_init_ref() }))
    }

    /// Maps the file's first `len` bytes for reading, shared with its writer.
    pub(crate) fn map(&self, len: usize) -> Option<*const c_void> {
        map(len, libc::PROT_READ, libc::MAP_SHARED, self.0).map(<*mut c_void>::cast_const)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor was opened by this value and is used by nobody else.
        unsafe { libc::syscall(libc::SYS_close, self.0) };
    }
}

impl Status {
    #[expect(clippy::unnecessary_cast, reason = "the fields' widths differ between architectures")]
    fn from_raw(raw: &abi::stat) -> Self {
        let size = u64::try_from(raw.st_size).unwrap_or(0);
        let allocated = u64::try_from(raw.st_blocks).unwrap_or(0).saturating_mul(512);
        Self {
            identity: Identity { device: raw.st_dev as u64, inode: raw.st_ino as u64 },
            regular: raw.st_mode & libc::S_IFMT == libc::S_IFREG,
            shared_writable: raw.st_mode & 0o022 != 0,
            owner: raw.st_uid,
            size: usize::try_from(size).unwrap_or(0),
            allocated: allocated >= size,
        }
    }

    /// Of a directory, by path.
    pub(crate) fn of(path: &CStr) -> Option<Self> {
        let mut raw = core::mem::MaybeUninit::<abi::stat>::uninit();
        let no_flags: c_long = 0;
        // SAFETY: the path is a string, and the kernel fills the struct, whose layout is its own for this system call.
        let result = unsafe {
            libc::syscall(abi::SYS_fstatat, libc::AT_FDCWD, path.as_ptr(), raw.as_mut_ptr(), no_flags)
        };
        // SAFETY: on success the kernel has filled it.
        (result == 0).then(|| Self::from_raw(unsafe { raw.assume_init_ref() }))
    }
}

/// Fresh zeroed memory of whole pages.
pub(crate) fn allocate(len: usize) -> Option<*mut c_void> {
    map(len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
}

#[cfg(not(target_arch = "s390x"))]
fn map(len: usize, protection: c_int, flags: c_int, fd: c_int) -> Option<*mut c_void> {
    // The kernel takes whole registers.
    let [anywhere, offset]: [c_long; 2] = [0, 0];
    let [protection, flags, fd] = [protection, flags, fd].map(c_long::from);
    // SAFETY: a new mapping at an address of the kernel's choice touches nobody's memory.
    let start = unsafe { libc::syscall(abi::SYS_mmap, anywhere, len, protection, flags, fd, offset) };
    // The highest addresses are the kernel's: as a number only -1 stands for failure.
    let start = isize::try_from(start).ok().filter(|start| *start != -1)?;
    Some(core::ptr::with_exposed_provenance_mut(start.cast_unsigned()))
}

/// s390x's system call takes its arguments in memory, in a form that only libc need know.
#[cfg(target_arch = "s390x")]
fn map(len: usize, protection: c_int, flags: c_int, fd: c_int) -> Option<*mut c_void> {
    // SAFETY: a new mapping at an address of the kernel's choice touches nobody's memory.
    let start = unsafe { libc::mmap(core::ptr::null_mut(), len, protection, flags, fd, 0) };
    (start != libc::MAP_FAILED).then_some(start)
}

/// Gives a mapping back.
///
/// # Safety
///
/// It is a whole mapping made here, and nobody will look at it again.
pub(crate) unsafe fn unmap(start: *const c_void, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { libc::syscall(libc::SYS_munmap, start, len) };
}

/// The time of the table's lease. The coarse clock is read without a system call in 4 ns and lags by a tick of the kernel
/// at most, 10 ms; leases count in eighths of a second.
#[inline]
#[allow(clippy::useless_conversion, reason = "the fields have 32 bits on some architectures")]
pub(crate) fn now() -> Deadline {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is valid for writing. The clock always exists; were it to fail, time would stand at zero and
    // every lease would be too far ahead to be believed.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    Deadline::at(time.tv_sec.into(), time.tv_nsec.into())
}

/// The effective user of this process.
pub(crate) fn user() -> u32 {
    // SAFETY: always succeeds and touches no memory.
    let user = unsafe { libc::syscall(abi::SYS_geteuid) };
    u32::try_from(user).unwrap_or(u32::MAX)
}

/// An environment variable's value, and its end, in less than `room` bytes; `Err` if it is longer. Nothing if the process
/// runs with more rights than its caller.
pub(crate) fn environment(name: &CStr, room: usize) -> Result<Option<&'static CStr>, TooLong> {
    unsafe extern "C" {
        fn secure_getenv(name: *const c_char) -> *mut c_char;
    }
    // SAFETY: the name is a string.
    let value = unsafe { secure_getenv(name.as_ptr()) };
    if value.is_null() {
        return Ok(None);
    }
    // SAFETY: a value in the environment is a string; strnlen reads no further than its end.
    let len = unsafe { libc::strnlen(value, room) };
    if len >= room {
        return Err(TooLong);
    }
    // SAFETY: `len` bytes and their end have just been read, and lie in one object; they stay while nobody changes the
    // environment, and are copied before this lookup ends.
    let value = unsafe { core::slice::from_raw_parts(value.cast::<u8>(), len.wrapping_add(1)) };
    // SAFETY: strnlen found no zero before the last byte, which is one.
    Ok(Some(unsafe { CStr::from_bytes_with_nul_unchecked(value) }))
}

/// The variable has no value that can be used.
pub(crate) struct TooLong;
