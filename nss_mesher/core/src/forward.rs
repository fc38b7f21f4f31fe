//! Names to addresses.

use core::mem::MaybeUninit;

use libc::{c_char, c_int, hostent};
use mesher_table::{Answer, Damage, Family, Query, Record, Snapshot, format::MAX_NAME};

use crate::answer::{AddressTuple, Buffer, Errors, Full, Host, Outcome, Spelling, list};
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
    mut fill: impl FnMut(&Snapshot<'_>, &Query, &Answer<'_>) -> Result<Filled<R>, Damage>,
) -> Result<R, Outcome> {
    let mut query = Query::empty();
    if !query.set(name) {
        return Err(Outcome::Unknown { contained: false });
    }
    let found = with_table(|table| {
        table.read(|snapshot| {
            let filled = match snapshot.find(&query)? {
                Some(answer) => fill(snapshot, &query, &answer)?,
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
    let found = look_up(name, |_, _, answer| {
        let record = &answer.record;
        let count = record.count(Family::V4).saturating_add(record.count(Family::V6));
        if count == 0 {
            return Ok(Filled::NoData);
        }
        let Some(spelling) = host_name(answer, name) else { return Ok(Filled::Nothing) };
        let mut buffer = buffer;
        // SAFETY: the caller's promise; each attempt starts with a fresh copy of the whole buffer.
        let Ok(tuples) = (unsafe { buffer.array::<AddressTuple>(count) }) else {
            return Ok(Filled::TooSmall);
        };
        // SAFETY: as above.
        let Ok(name) = (unsafe { spelling.put(&mut buffer) }) else { return Ok(Filled::TooSmall) };
        Ok(Filled::Answer(fill_tuples(tuples, record, name)))
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

/// Chains the tuples, as many as the record has addresses; returns the first.
#[inline]
fn fill_tuples(
    tuples: &mut [MaybeUninit<AddressTuple>],
    record: &Record<'_>,
    name: *mut c_char,
) -> *mut AddressTuple {
    let start = tuples.as_mut_ptr().cast::<AddressTuple>();
    let mut last = None;
    let mut next = start;
    let mut places = tuples.iter_mut();
    // In this order, because a zip takes one more from its first half.
    for (address, tuple) in record.v4().zip(places.by_ref()) {
        next = next.wrapping_add(1);
        let (family, addr) = (libc::AF_INET, [address, 0, 0, 0]);
        last = Some(tuple.write(AddressTuple { next, name, family, addr, scopeid: 0 }));
    }
    for ((addr, scopeid), tuple) in record.v6().zip(places) {
        next = next.wrapping_add(1);
        last = Some(tuple.write(AddressTuple { next, name, family: libc::AF_INET6, addr, scopeid }));
    }
    if let Some(last) = last {
        last.next = core::ptr::null_mut();
    }
    start
}

/// The name to answer with: the stored spelling of the canonical name. A wildcard's answer has the name as it was typed
/// or, where the wildcard is an alias, what was typed before the wildcard's domain and the canonical domain. `None` if
/// that is too long for a name.
#[inline]
fn host_name<'a>(answer: &Answer<'a>, typed: &'a [u8]) -> Option<Spelling<'a>> {
    match answer.wildcard {
        None => Some(Spelling::Stored(answer.record.host())),
        Some(before) => wildcard_name(answer, typed, before),
    }
}

#[cold]
fn wildcard_name<'a>(answer: &Answer<'a>, typed: &'a [u8], before: usize) -> Option<Spelling<'a>> {
    let typed = without_dot(typed);
    let Some(canonical) = answer.record.canonical() else { return Some(Spelling::Typed(typed, None)) };
    let domain = canonical.skip_first();
    let fits = before.saturating_add(domain.len()) <= MAX_NAME;
    fits.then_some(Spelling::Typed(typed.get(..before)?, Some(domain)))
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
    let found = look_up(name, |snapshot, _, answer| {
        if answer.record.count(family) == 0 {
            return Ok(Filled::NoData);
        }
        let Some(spelling) = host_name(answer, name) else { return Ok(Filled::Nothing) };
        let record = &answer.record;
        let own = match (record.is_alias(), answer.wildcard) {
            (false, _) => None,
            (true, None) => Some(Spelling::Stored(record.name())),
            (true, Some(_)) => Some(Spelling::Typed(without_dot(name), None)),
        };
        // SAFETY: the caller's promise; each attempt starts with a fresh copy of the whole buffer.
        Ok(unsafe { fill_host(snapshot, record, family, spelling, own, buffer) }.into())
    });
    let outcome = match found {
        Ok(found) => {
            // SAFETY: the caller's promises; the name lies in the caller's buffer.
            unsafe {
                found.store(host);
                store(ttlp, 0);
                store(canonp, found.name);
            }
            Outcome::Success
        }
        Err(outcome) => outcome,
    };
    // SAFETY: the caller's promise.
    unsafe { errors.report(outcome) }
}

/// Writes a host into the buffer. Its aliases are `own`, the name asked for if that is not the canonical one, or else the
/// records that follow.
///
/// # Safety
///
/// As [`Buffer::bytes`].
#[inline(never)]
pub(crate) unsafe fn fill_host(
    snapshot: &Snapshot<'_>,
    record: &Record<'_>,
    family: Family,
    name: Spelling<'_>,
    own: Option<Spelling<'_>>,
    mut buffer: Buffer,
) -> Result<Host, Full> {
    let count = record.count(family);
    // SAFETY: the caller's promise, for all pieces taken here.
    unsafe {
        let pointers = buffer.array(count.saturating_add(1))?;
        // A wildcard's aliases are wildcards too, and no names.
        let further = record.aliases_follow() && own.is_none() && !record.is_wildcard();
        let alias_count = match own {
            Some(_) => 1,
            None if further => snapshot.aliases(record).count(),
            None => 0,
        };
        let alias_pointers = buffer.array(alias_count.saturating_add(1))?;
        let bytes = record.addresses(family);
        let addresses = buffer.bytes(bytes.len())?;
        bytes.copy_to(addresses);
        let chunks = addresses.chunks_exact_mut(family.size()).map(|chunk| Ok(chunk.as_mut_ptr().cast()));
        let addresses = list(pointers, chunks)?;
        let name = name.put(&mut buffer)?;
        let aliases = if alias_count == 0 {
            list(alias_pointers, core::iter::empty())?
        } else {
            let further = snapshot.aliases(record).take(if further { alias_count } else { 0 });
            let names = own.into_iter().chain(further.map(|alias| Spelling::Stored(alias.name())));
            list(alias_pointers, names.map(|name| name.put(&mut buffer)))?
        };
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
