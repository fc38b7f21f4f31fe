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

/// Looks a name up and lets `fill` write the answer into the caller's buffer. What it comes to fits a register; an answer
/// handed over in memory would cost more than filling it.
#[inline]
fn look_up(
    name: &[u8],
    mut fill: impl FnMut(&Snapshot<'_>, &Answer<'_>) -> Result<Outcome, Damage>,
) -> Outcome {
    let mut query = Query::empty();
    if !query.set(name) {
        return Outcome::Unknown;
    }
    let found = with_table(|table| {
        table.read(|snapshot| {
            let outcome = match snapshot.find(&query)? {
                Some(answer) if answer.wildcard.is_some_and(|before| is_too_long(&answer, before)) => {
                    Outcome::Unknown
                }
                Some(answer) => fill(snapshot, &answer)?,
                None => Outcome::Unknown,
            };
            Ok(match outcome {
                Outcome::Unknown if snapshot.contains(&query)? => Outcome::UnknownContained,
                Outcome::NoData if snapshot.contains(&query)? => Outcome::NoDataContained,
                outcome => outcome,
            })
        })
    });
    // No table, or one that cannot be read: the next source is asked.
    match found {
        Some(Ok(outcome)) => outcome,
        _ => Outcome::Unavailable,
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
    let mut first = core::ptr::null_mut();
    let outcome = look_up(name, |_, answer| {
        let record = &answer.record;
        let count = record.count(Family::V4).saturating_add(record.count(Family::V6));
        if count == 0 {
            return Ok(Outcome::NoData);
        }
        let parts = record.parts()?;
        let mut buffer = buffer;
        // SAFETY: the caller's promise; each attempt starts with a fresh copy of the whole buffer.
        let Ok(tuples) = (unsafe { buffer.array::<AddressTuple>(count) }) else {
            return Ok(Outcome::TooSmall);
        };
        // SAFETY: as above.
        let name = unsafe {
            match answer.wildcard {
                None => put(parts.host, &mut buffer),
                Some(before) => put_wildcard(answer, name, before, buffer),
            }
        };
        let Ok(name) = name else { return Ok(Outcome::TooSmall) };
        first = fill_tuples(tuples, &parts, name);
        Ok(Outcome::Success)
    });
    if outcome == Outcome::Success {
        // SAFETY: the caller's promises; `first` is in the caller's buffer and filled.
        unsafe {
            if (*pat).is_null() {
                *pat = first;
            } else {
                **pat = *first;
            }
            store(ttlp, 0);
        }
    }
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
    let outcome = look_up(name, |snapshot, answer| {
        if answer.record.count(family) == 0 {
            return Ok(Outcome::NoData);
        }
        let parts = answer.record.parts()?;
        // SAFETY: the caller's promise; each attempt starts with a fresh copy of the whole buffer.
        let filled = unsafe { fill_host(snapshot, answer, &parts, family, name, host, buffer) };
        Ok(filled.map_or(Outcome::TooSmall, |()| Outcome::Success))
    });
    if outcome == Outcome::Success {
        // SAFETY: the caller's promises; the host is filled, and its name lies in the caller's buffer.
        unsafe {
            store(ttlp, 0);
            store(canonp, (*host).h_name);
        }
    }
    // SAFETY: the caller's promise.
    unsafe { errors.report(outcome) }
}

/// Writes a host: its pieces into the buffer, and where they lie into `host`; handing that over in memory would cost
/// more than filling it. On failure `host` holds nonsense. Its aliases are the name asked for, if that is not the
/// canonical one, or else the records of aliases that follow.
///
/// # Safety
///
/// As [`Buffer::bytes`]; `host` is valid for writing; `parts` are the record's.
#[inline(never)]
pub(crate) unsafe fn fill_host(
    snapshot: &Snapshot<'_>,
    answer: &Answer<'_>,
    parts: &Parts<'_>,
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
    let load = |word: &AtomicU32| word.load(Ordering::Relaxed);
    // SAFETY: the caller's promise, for all pieces taken here.
    unsafe {
        let addresses = match family {
            Family::V4 => put_addresses(parts.v4, load, &mut buffer),
            Family::V6 => put_addresses(parts.v6, |words| words.each_ref().map(load), &mut buffer),
        }?;
        let alias_pointers = buffer.array(alias_count.saturating_add(1))?;
        if let Some(before) = answer.wildcard {
            let found = fill_wildcard(answer, family, typed, before, addresses, alias_pointers, buffer)?;
            found.store(host);
            return Ok(());
        }
        let name = put(parts.host, &mut buffer)?;
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

/// Copies addresses out, and makes the array of pointers to them, which it returns.
///
/// # Safety
///
/// As [`Buffer::bytes`].
#[inline]
unsafe fn put_addresses<S, T>(
    shared: &[S],
    load: impl Fn(&S) -> T,
    buffer: &mut Buffer,
) -> Result<*mut *mut c_char, Full> {
    // SAFETY: the caller's promise.
    let pointers = unsafe { buffer.array::<*mut c_char>(shared.len().saturating_add(1)) }?;
    // SAFETY: as above.
    let addresses = unsafe { buffer.array::<T>(shared.len()) }?;
    let start = pointers.as_mut_ptr().cast();
    let (last, pointers) = pointers.split_last_mut().ok_or(Full)?;
    for ((shared, place), pointer) in shared.iter().zip(addresses).zip(pointers) {
        pointer.write(core::ptr::from_mut(place.write(load(shared))).cast());
    }
    last.write(core::ptr::null_mut());
    Ok(start)
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
