//! Addresses to names.

use libc::{c_int, c_void, hostent, socklen_t};
use mesher_table::{Damage, Family, Snapshot};

use crate::answer::{Buffer, Errors, Full, Host, Outcome, list, put};
use crate::forward::store;
use crate::mapping::with_table;

/// The most names one answer lists besides the first: as many as a host may hold.
const MAX_NAMES: usize = 4096;

/// `::ffff:0:0/96`: an IPv4 address written as IPv6 (RFC 4291, section 2.5.5.2).
const V4_MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// `gethostbyaddr2_r`: the names of an address. The first name the table lists for it is the host's, the others are
/// aliases. An IPv4 address in IPv6 form finds the IPv4 address's names, and is answered in the form asked.
///
/// # Safety
///
/// `address` is valid for `len` bytes, at any alignment; `host`, the buffer and the errors are valid for writing; `ttlp`
/// is null or valid for writing.
pub unsafe fn host_by_address(
    address: *const c_void,
    len: socklen_t,
    af: c_int,
    host: *mut hostent,
    buffer: Buffer,
    errors: Errors,
    ttlp: *mut i32,
) -> c_int {
    let family = match af {
        libc::AF_INET => Family::V4,
        libc::AF_INET6 => Family::V6,
        // SAFETY: the caller's promise.
        _ => return unsafe { errors.report(Outcome::OtherFamily) },
    };
    if address.is_null() || usize::try_from(len) != Ok(family.size()) {
        // SAFETY: the caller's promise.
        return unsafe { errors.report(Outcome::BadAddress) };
    }
    // SAFETY: the caller's promise; bytes have no alignment.
    let asked = unsafe { core::slice::from_raw_parts(address.cast::<u8>(), family.size()) };
    let (table_family, wanted) = match asked.strip_prefix(&V4_MAPPED) {
        Some(v4) if family == Family::V6 => (Family::V4, v4),
        _ => (family, asked),
    };
    let found = with_table(|table| {
        table.read(|snapshot| {
            // SAFETY: the caller's promise; each attempt starts with a fresh copy of the whole buffer.
            unsafe { fill(snapshot, table_family, wanted, family, asked, buffer) }
        })
    });
    let outcome = match found {
        Some(Ok(Some(Ok(found)))) => {
            // SAFETY: the caller's promises.
            unsafe {
                found.store(host);
                store(ttlp, 0);
            }
            Outcome::Success
        }
        Some(Ok(Some(Err(Full)))) => Outcome::TooSmall,
        Some(Ok(None)) => Outcome::Unknown,
        Some(Err(_)) | None => Outcome::Unavailable,
    };
    // SAFETY: the caller's promise.
    unsafe { errors.report(outcome) }
}

/// Writes the names into the buffer; `None` if there are none.
///
/// # Safety
///
/// As [`Buffer::bytes`].
unsafe fn fill(
    snapshot: &Snapshot<'_>,
    table_family: Family,
    wanted: &[u8],
    family: Family,
    asked: &[u8],
    mut buffer: Buffer,
) -> Result<Option<Result<Host, Full>>, Damage> {
    let mut records = snapshot.find_address(table_family, wanted)?;
    let first = match records.next() {
        Some(first) => first?,
        None => return Ok(None),
    };
    // An address that only an alias has names the alias's host, and the alias.
    let own = first.is_alias().then(|| first.name());
    let mut count = usize::from(own.is_some());
    for record in records.clone().take(MAX_NAMES) {
        record?;
        count = count.saturating_add(1);
    }
    let names = own.into_iter().chain(records.map_while(Result::ok).map(|record| record.name()));
    // SAFETY: the caller's promise, for all pieces taken here.
    let host = unsafe {
        (|| {
            let pointers = buffer.array(2)?;
            let aliases = buffer.array(count.saturating_add(1))?;
            let address = buffer.bytes(asked.len())?;
            for (to, from) in address.iter_mut().zip(asked) {
                to.write(*from);
            }
            let addresses = list(pointers, core::iter::once(Ok(address.as_mut_ptr().cast())))?;
            let name = put(first.host(), &mut buffer)?;
            let aliases = list(aliases, names.map(|name| put(name, &mut buffer)))?;
            Ok(Host { name, aliases, addresses, family })
        })()
    };
    Ok(Some(host))
}
