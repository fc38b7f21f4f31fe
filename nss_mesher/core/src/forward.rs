//! Names to addresses.

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};

use libc::{c_char, c_int, hostent};
use mesher_table::{Answer, Damage, Family, Parts, Query, Snapshot, format::MAX_NAME};

use crate::answer::{AddressTuple, Buffer, Errors, Full, Host, Outcome, list, put, put_typed};
use crate::mapping::with_table;

/// The bytes of a name, without its end; at most one more than any name can have.
///
/// # Safety
///
/// `name` is null or a string that lives for `'a`.
#[inline]
unsafe fn typed<'a>(name: *const c_char) -> &'a [u8] {
    if name.is_null() {
        return b"";
    }
    // SAFETY: the caller's promise; strnlen reads no further than the string's end.
    let len = unsafe { libc::strnlen(name, MAX_NAME.wrapping_add(2)) };
    // SAFETY: `len` bytes of the string were just read.
    unsafe { core::slice::from_raw_parts(name.cast(), len) }
}

/// Looks a name up and lets `fill` write the answer into the caller's buffer.
#[inline]
fn look_up<R>(
    name: &[u8],
    mut fill: impl FnMut(&Snapshot<'_>, &Answer<'_>) -> Result<Filled<R>, Damage>,
) -> Result<R, Outcome> {
    let mut query = Query::empty();
    if !query.set(name) {
        return Err(Outcome::Unknown { contained: false });
    }
    let found = with_table(|table| {
        table.read(|snapshot| {
            let filled = match snapshot.find(&query)? {
                Some(answer) if answer.wildcard.is_some_and(|before| is_too_long(&answer, before)) => {
                    Filled::Nothing
                }
                Some(answer) => fill(snapshot, &answer)?,
                None => Filled::Nothing,
            };
            Ok(match filled {
                Filled::Answer(answer) => Ok(answer),
                Filled::TooSmall => Err(Outcome::TooSmall),
                Filled::NoData => Err(Outcome::NoData { contained: snapshot.contains(&query)? }),
                Filled::Nothing => Err(Outcome::Unknown { contained: snapshot.contains(&query)? }),
            })
        })
    });
    // No table, or one that cannot be read: the next source is asked.
    match found {
        Some(Ok(answer)) => answer,
        _ => Err(Outcome::Unavailable),
    }
}

enum Filled<R> {
    Answer(R),
    TooSmall,
    NoData,
    Nothing,
}

impl<R> From<Result<R, Full>> for Filled<R> {
    fn from(filled: Result<R, Full>) -> Self {
        filled.map_or(Self::TooSmall, Self::Answer)
    }
}

/// `gethostbyname4_r`: all addresses of a name, IPv4 first; glibc sorts them afterwards.
///
/// # Safety
///
/// `name` is a string; `pat`, the buffer and the errors are valid for writing; `ttlp` is null or valid for writing.
/// `*pat` is null or, as before glibc 2.36, points to a tuple that takes the first address.
#[inline]
pub unsafe fn addresses_by_name(
    name: *const c_char,
    pat: *mut *mut AddressTuple,
    buffer: Buffer,
    errors: Errors,
    ttlp: *mut i32,
) -> c_int {
    // SAFETY: the caller's promise.
    let name = unsafe { typed(name) };
    let found = look_up(name, |_, answer| {
        let record = &answer.record;
        let count = record.count(Family::V4).saturating_add(record.count(Family::V6));
        if count == 0 {
            return Ok(Filled::NoData);
        }
        let parts = record.parts()?;
        let mut buffer = buffer;
        // SAFETY: the caller's promise; each attempt starts with a fresh copy of the whole buffer.
        let Ok(tuples) = (unsafe { buffer.array::<AddressTuple>(count) }) else {
            return Ok(Filled::TooSmall);
        };
        // SAFETY: as above.
        let name = unsafe {
            match answer.wildcard {
                None => put(parts.host, &mut buffer),
                Some(before) => put_wildcard(answer, name, before, buffer),
            }
        };
        let Ok(name) = name else { return Ok(Filled::TooSmall) };
        Ok(Filled::Answer(fill_tuples(tuples, &parts, name)))
    });
    let outcome = match found {
        Ok(first) => {
            // SAFETY: the caller's promises; `first` is in the caller's buffer and filled.
            unsafe {
                if (*pat).is_null() {
                    *pat = first;
                } else {
                    **pat = *first;
                }
                store(ttlp, 0);
            }
            Outcome::Success
        }
        Err(outcome) => outcome,
    };
    // SAFETY: the caller's promise.
    unsafe { errors.report(outcome) }
}

/// Chains the tuples, as many as there are addresses; returns the first.
#[inline]
fn fill_tuples(
    tuples: &mut [MaybeUninit<AddressTuple>],
    parts: &Parts<'_>,
    name: *mut c_char,
) -> *mut AddressTuple {
    let start = tuples.as_mut_ptr().cast::<AddressTuple>();
    let load = |word: &AtomicU32| word.load(Ordering::Relaxed);
    let mut last = None;
    let mut next = start;
    let mut places = tuples.iter_mut();
    // In this order, because a zip takes one more from its first half.
    for (address, tuple) in parts.v4.iter().zip(places.by_ref()) {
        next = next.wrapping_add(1);
        let (family, addr) = (libc::AF_INET, [load(address), 0, 0, 0]);
        last = Some(tuple.write(AddressTuple { next, name, family, addr, scopeid: 0 }));
    }
    let mut scopes = parts.scopes.iter();
    for (address, tuple) in parts.v6.iter().zip(places) {
        next = next.wrapping_add(1);
        let (addr, scopeid) = (address.each_ref().map(load), scopes.next().map_or(0, load));
        last = Some(tuple.write(AddressTuple { next, name, family: libc::AF_INET6, addr, scopeid }));
    }
    if let Some(last) = last {
        last.next = core::ptr::null_mut();
    }
    start
}

/// The name a wildcard answers with: as it was typed or, where the wildcard is an alias, what was typed before the
/// wildcard's domain and the canonical domain.
///
/// # Safety
///
/// As [`Buffer::bytes`].
#[cold]
#[inline(never)]
unsafe fn put_wildcard(
    answer: &Answer<'_>,
    typed: &[u8],
    before: usize,
    mut buffer: Buffer,
) -> Result<*mut c_char, Full> {
    let typed = without_dot(typed);
    let (typed, domain) = match answer.record.canonical() {
        None => (typed, None),
        Some(canonical) => (typed.get(..before).unwrap_or(typed), Some(canonical.skip_first())),
    };
    // SAFETY: the caller's promise.
    unsafe { put_typed(typed, domain, &mut buffer) }
}

/// Whether the name that a wildcard answers with is too long for a name.
#[cold]
fn is_too_long(answer: &Answer<'_>, before: usize) -> bool {
    let domain = answer.record.canonical().map_or(0, |canonical| canonical.len().saturating_sub(1));
    domain > 0 && before.saturating_add(domain) > MAX_NAME
}

fn without_dot(typed: &[u8]) -> &[u8] {
    typed.strip_suffix(b".").unwrap_or(typed)
}

/// `gethostbyname3_r`: one family's addresses of a name.
///
/// # Safety
///
/// `name` is a string; `host`, the buffer and the errors are valid for writing; `ttlp` and `canonp` are null or
/// valid for writing.
#[inline]
pub unsafe fn host_by_name(
    name: *const c_char,
    af: c_int,
    host: *mut hostent,
    buffer: Buffer,
    errors: Errors,
    ttlp: *mut i32,
    canonp: *mut *mut c_char,
) -> c_int {
    let family = match af {
        libc::AF_INET | libc::AF_UNSPEC => Family::V4,
        libc::AF_INET6 => Family::V6,
        // SAFETY: the caller's promise.
        _ => return unsafe { errors.report(Outcome::OtherFamily) },
    };
    // SAFETY: the caller's promise.
    let name = unsafe { typed(name) };
    let found = look_up(name, |snapshot, answer| {
        if answer.record.count(family) == 0 {
            return Ok(Filled::NoData);
        }
        // SAFETY: the caller's promise; each attempt starts with a fresh copy of the whole buffer.
        Ok(unsafe { fill_host(snapshot, answer, family, name, host, buffer) }.into())
    });
    let outcome = match found {
        Ok(()) => {
            // SAFETY: the caller's promises; the host is filled, and its name lies in the caller's buffer.
            unsafe {
                store(ttlp, 0);
                store(canonp, (*host).h_name);
            }
            Outcome::Success
        }
        Err(outcome) => outcome,
    };
    // SAFETY: the caller's promise.
    unsafe { errors.report(outcome) }
}

/// Writes a host: its pieces into the buffer, and where they lie into `host`; handing that over in memory would cost
/// more than filling it. On failure `host` holds nonsense. Its aliases are the name asked for, if that is not the
/// canonical one, or else the records of aliases that follow.
///
/// # Safety
///
/// As [`Buffer::bytes`]; `host` is valid for writing.
#[inline(never)]
pub(crate) unsafe fn fill_host(
    snapshot: &Snapshot<'_>,
    answer: &Answer<'_>,
    family: Family,
    typed: &[u8],
    host: *mut hostent,
    mut buffer: Buffer,
) -> Result<(), Full> {
    let record = &answer.record;
    // A wildcard's aliases are wildcards too, and no names.
    let further = record.aliases_follow() && !record.is_wildcard();
    let alias_count = match further {
        true => snapshot.aliases(record).count(),
        false => usize::from(record.is_alias()),
    };
    // SAFETY: the caller's promise, for all pieces taken here.
    unsafe {
        let pointers = buffer.array(record.count(family).saturating_add(1))?;
        let alias_pointers = buffer.array(alias_count.saturating_add(1))?;
        let bytes = record.addresses(family);
        let addresses = buffer.bytes(bytes.len())?;
        bytes.copy_to(addresses);
        let chunks = addresses.chunks_exact_mut(family.size()).map(|chunk| Ok(chunk.as_mut_ptr().cast()));
        let addresses = list(pointers, chunks)?;
        if let Some(before) = answer.wildcard {
            let found = fill_wildcard(answer, family, typed, before, addresses, alias_pointers, buffer)?;
            found.store(host);
            return Ok(());
        }
        let name = put(record.host(), &mut buffer)?;
        let aliases = if further {
            let names = snapshot.aliases(record).map(|alias| alias.name());
            list(alias_pointers, names.map(|name| put(name, &mut buffer)))?
        } else {
            let own = record.is_alias().then(|| record.name());
            list(alias_pointers, own.into_iter().map(|name| put(name, &mut buffer)))?
        };
        Host { name, aliases, addresses, family }.store(host);
        Ok(())
    }
}

/// The rest of a host that a wildcard answers for.
///
/// # Safety
///
/// As [`Buffer::bytes`].
#[cold]
#[inline(never)]
unsafe fn fill_wildcard(
    answer: &Answer<'_>,
    family: Family,
    typed: &[u8],
    before: usize,
    addresses: *mut *mut c_char,
    alias_pointers: &mut [MaybeUninit<*mut c_char>],
    mut buffer: Buffer,
) -> Result<Host, Full> {
    // SAFETY: the caller's promise, for all pieces taken here. What was typed comes first, because the name may be
    // longer and takes the rest.
    unsafe {
        let own = match answer.record.is_alias() {
            true => Some(put_typed(without_dot(typed), None, &mut buffer)?),
            false => None,
        };
        let aliases = list(alias_pointers, own.into_iter().map(Ok))?;
        let name = put_wildcard(answer, typed, before, buffer)?;
        Ok(Host { name, aliases, addresses, family })
    }
}

/// Stores through a pointer that may be null.
///
/// # Safety
///
/// It is null or valid for writing.
#[inline]
pub(crate) unsafe fn store<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: the caller's promise.
        unsafe { place.write(value) };
    }
}
