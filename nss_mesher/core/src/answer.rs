//! Answers in glibc's terms: status, errno and h_errno, and pieces of the caller's buffer.

use core::mem::MaybeUninit;

use libc::{c_char, c_int, hostent};
use mesher_table::{Family, Shared};

/// `enum nss_status` (nss.h). glibc aborts the process on any other number.
mod status {
    use libc::c_int;

    pub(super) const TRYAGAIN: c_int = -2;
    pub(super) const UNAVAIL: c_int = -1;
    pub(super) const NOTFOUND: c_int = 0;
    pub(super) const SUCCESS: c_int = 1;
    pub(super) const RETURN: c_int = 2;
}

/// `h_errno` (netdb.h).
mod h_errno {
    use libc::c_int;

    pub(super) const NETDB_INTERNAL: c_int = -1;
    pub(super) const NETDB_SUCCESS: c_int = 0;
    pub(super) const HOST_NOT_FOUND: c_int = 1;
    pub(super) const NO_RECOVERY: c_int = 3;
    pub(super) const NO_DATA: c_int = 4;
}

/// How a lookup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered.
    Success,
    /// The buffer is too small: glibc asks again with a larger one.
    TooSmall,
    /// No table to be believed: glibc asks the next source.
    Unavailable,
    /// No such name.
    Unknown,
    /// No such name, and nobody else is to be asked.
    UnknownContained,
    /// The name has no address of this family.
    NoData,
    /// The same, and nobody else is to be asked.
    NoDataContained,
    /// Not an address family of hosts.
    OtherFamily,
    /// An address of the wrong length.
    BadAddress,
}

/// `struct gaih_addrtuple` (nss.h).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AddressTuple {
    /// The next tuple, or null.
    pub next: *mut AddressTuple,
    /// The canonical name; never null, because glibc, nscd and nsncd read it unchecked.
    pub name: *mut c_char,
    /// AF_INET or AF_INET6.
    pub family: c_int,
    /// The address's bytes, in memory order.
    pub addr: [u32; 4],
    /// The interface's index for a link-local address, else 0.
    pub scopeid: u32,
}

/// Where errno and h_errno go.
#[derive(Clone, Copy)]
pub struct Errors {
    errno: *mut c_int,
    h_errno: *mut c_int,
}

impl Errors {
    /// From glibc's two arguments. Null is tolerated.
    pub fn new(errno: *mut c_int, h_errno: *mut c_int) -> Self {
        Self { errno, h_errno }
    }

    /// Says how the lookup ended. h_errno is always written: left unset, or NETDB_INTERNAL with any status but
    /// TRYAGAIN, it ends the lookup of every name of the machine. errno is written last, and only for an error,
    /// because `errnop` usually is `&errno`.
    ///
    /// # Safety
    ///
    /// The two pointers are null or valid for writing.
    #[inline]
    pub(crate) unsafe fn report(self, outcome: Outcome) -> c_int {
        let (status, errno, h_errno) = match outcome {
            Outcome::Success => (status::SUCCESS, 0, h_errno::NETDB_SUCCESS),
            Outcome::TooSmall => (status::TRYAGAIN, libc::ERANGE, h_errno::NETDB_INTERNAL),
            Outcome::Unavailable => (status::UNAVAIL, libc::ENOENT, h_errno::NO_RECOVERY),
            Outcome::Unknown => (status::NOTFOUND, libc::ENOENT, h_errno::HOST_NOT_FOUND),
            Outcome::UnknownContained => (status::RETURN, libc::ENOENT, h_errno::HOST_NOT_FOUND),
            Outcome::NoData => (status::NOTFOUND, libc::ENOENT, h_errno::NO_DATA),
            Outcome::NoDataContained => (status::RETURN, libc::ENOENT, h_errno::NO_DATA),
            Outcome::OtherFamily => (status::UNAVAIL, libc::EAFNOSUPPORT, h_errno::NO_DATA),
            Outcome::BadAddress => (status::UNAVAIL, libc::EINVAL, h_errno::NO_RECOVERY),
        };
        // SAFETY: the caller's promise.
        if let Some(place) = unsafe { self.h_errno.as_mut() } {
            *place = h_errno;
        }
        if outcome != Outcome::Success {
            // SAFETY: the caller's promise.
            if let Some(place) = unsafe { self.errno.as_mut() } {
                *place = errno;
            }
        }
        status
    }
}

/// What is left of the caller's buffer. It may start at any address.
#[derive(Clone, Copy)]
pub struct Buffer {
    at: *mut u8,
    left: usize,
}

/// The buffer has no more room.
pub(crate) struct Full;

impl Buffer {
    /// From glibc's two arguments.
    pub fn new(buf: *mut c_char, len: usize) -> Self {
        Self { at: buf.cast(), left: if buf.is_null() { 0 } else { len } }
    }

    /// Takes `bytes` bytes.
    ///
    /// # Safety
    ///
    /// The buffer given to [`Buffer::new`] is valid for writing for `'a`, and is taken from by one copy only.
    #[inline]
    pub(crate) unsafe fn bytes<'a>(&mut self, bytes: usize) -> Result<&'a mut [MaybeUninit<u8>], Full> {
        self.left = self.left.checked_sub(bytes).ok_or(Full)?;
        let start = self.at;
        self.at = self.at.wrapping_add(bytes);
        // SAFETY: `start` and `bytes` lie in the buffer, by the subtraction above, and no piece is handed out twice.
        Ok(unsafe { core::slice::from_raw_parts_mut(start.cast(), bytes) })
    }

    /// Takes an array of `count` values, aligned.
    ///
    /// # Safety
    ///
    /// As [`Buffer::bytes`].
    #[inline]
    pub(crate) unsafe fn array<'a, T>(&mut self, count: usize) -> Result<&'a mut [MaybeUninit<T>], Full> {
        let padding = self.at.addr().wrapping_neg() & align_of::<T>().wrapping_sub(1);
        let bytes = size_of::<T>().checked_mul(count).ok_or(Full)?;
        // SAFETY: the caller's promise.
        unsafe { self.bytes(padding) }?;
        // SAFETY: the caller's promise.
        let piece = unsafe { self.bytes(bytes) }?;
        // SAFETY: the piece is aligned by the padding before it, and has the size of `count` values.
        Ok(unsafe { core::slice::from_raw_parts_mut(piece.as_mut_ptr().cast(), count) })
    }
}

/// The pieces of a `struct hostent`, in the caller's buffer.
#[derive(Clone, Copy)]
pub(crate) struct Host {
    pub(crate) name: *mut c_char,
    pub(crate) aliases: *mut *mut c_char,
    pub(crate) addresses: *mut *mut c_char,
    pub(crate) family: Family,
}

impl Host {
    /// Fills glibc's struct.
    ///
    /// # Safety
    ///
    /// `host` is valid for writing.
    #[inline]
    pub(crate) unsafe fn store(self, host: *mut hostent) {
        let (family, size) = match self.family {
            Family::V4 => (libc::AF_INET, 4),
            Family::V6 => (libc::AF_INET6, 16),
        };
        // SAFETY: the caller's promise.
        unsafe {
            host.write(hostent {
                h_name: self.name,
                h_aliases: self.aliases,
                h_addrtype: family,
                h_length: size,
                h_addr_list: self.addresses,
            });
        }
    }
}

/// Terminates an array of pointers and returns its start.
#[inline]
pub(crate) fn list(
    pointers: &mut [MaybeUninit<*mut c_char>],
    mut items: impl Iterator<Item = Result<*mut c_char, Full>>,
) -> Result<*mut *mut c_char, Full> {
    let start = pointers.as_mut_ptr().cast();
    if let Some((last, rest)) = pointers.split_last_mut() {
        last.write(core::ptr::null_mut());
        for place in rest {
            place.write(items.next().transpose()?.unwrap_or(core::ptr::null_mut()));
        }
    }
    Ok(start)
}

/// Copies a name of the table into the buffer and ends it with a zero.
///
/// # Safety
///
/// As [`Buffer::bytes`].
#[inline]
pub(crate) unsafe fn put(name: Shared<'_>, buffer: &mut Buffer) -> Result<*mut c_char, Full> {
    // SAFETY: the caller's promise.
    let place = unsafe { buffer.bytes(name.len().wrapping_add(1)) }?;
    if let Some((end, bytes)) = place.split_last_mut() {
        name.copy_to(bytes);
        end.write(0);
    }
    Ok(place.as_mut_ptr().cast())
}

/// As [`put`], a name the caller typed and, for a wildcard that is an alias, the canonical domain behind it.
///
/// # Safety
///
/// As [`Buffer::bytes`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn put_typed(
    typed: &[u8],
    domain: Option<Shared<'_>>,
    buffer: &mut Buffer,
) -> Result<*mut c_char, Full> {
    let domain_len = domain.map_or(0, Shared::len);
    // SAFETY: the caller's promise.
    let place = unsafe { buffer.bytes(typed.len().saturating_add(domain_len).saturating_add(1)) }?;
    for (to, from) in place.iter_mut().zip(typed) {
        to.write(*from);
    }
    if let (Some(domain), Some(rest)) = (domain, place.get_mut(typed.len()..)) {
        domain.copy_to(rest);
    }
    if let Some(end) = place.last_mut() {
        end.write(0);
    }
    Ok(place.as_mut_ptr().cast())
}
