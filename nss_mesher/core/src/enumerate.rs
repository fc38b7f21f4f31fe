//! All hosts, one after the other.
//!
//! A name with addresses of both families comes twice, because a `struct hostent` has one family. Wildcards are no hosts
//! and do not come; a host's aliases come with it.
//!
//! The cursor is the name that came last, and where it was. It survives the table's changing in between: what was
//! added behind it still comes, and nothing comes twice. glibc calls these functions under a lock of its own; should
//! somebody not, the words of the cursor may mix, and the enumeration then goes on at some other name.

use core::sync::atomic::{AtomicU32, Ordering};

use libc::{c_int, hostent};
use mesher_table::{Answer, Damage, Family, Query, Record, Snapshot};

use crate::answer::{Buffer, Errors, Full, Outcome};
use crate::forward::fill_host;
use crate::mapping::with_table;

/// The words of the last name.
const NAME_WORDS: usize = 64;

static CURSOR: Cursor = Cursor {
    at: AtomicU32::new(0),
    families_done: AtomicU32::new(0),
    len: AtomicU32::new(0),
    name: [const { AtomicU32::new(0) }; NAME_WORDS],
};

struct Cursor {
    /// Where the last record lay.
    at: AtomicU32,
    /// How many of its families have been answered.
    families_done: AtomicU32,
    /// Bytes in the last name; 0 before the first.
    len: AtomicU32,
    name: [AtomicU32; NAME_WORDS],
}

/// Families in the order they come.
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// `sethostent` and `endhostent`: the next host is the first one again.
pub fn rewind() -> c_int {
    CURSOR.len.store(0, Ordering::Relaxed);
    // NSS_STATUS_SUCCESS
    1
}

/// `gethostent_r`: the next host. A buffer that is too small does not move the cursor.
///
/// # Safety
///
/// `host`, the buffer and the errors are valid for writing.
pub unsafe fn next_host(host: *mut hostent, buffer: Buffer, errors: Errors) -> c_int {
    let last = CURSOR.load();
    let found = with_table(|table| {
        table.read(|snapshot| {
            let Some((record, at, family)) = next(snapshot, last.as_ref())? else { return Ok(None) };
            let answer = Answer { record, wildcard: None };
            let parts = record.parts()?;
            // SAFETY: the caller's promise; each attempt starts with a fresh copy of the whole buffer.
            let filled = unsafe { fill_host(snapshot, &answer, &parts, family, b"", host, buffer) };
            Ok(Some((filled, Last::of(&record, at))))
        })
    });
    let outcome = match found {
        Some(Ok(Some((Ok(()), cursor)))) => {
            CURSOR.store(&cursor);
            Outcome::Success
        }
        Some(Ok(Some((Err(Full), _)))) => Outcome::TooSmall,
        Some(Ok(None)) => Outcome::Unknown,
        Some(Err(_)) | None => Outcome::Unavailable,
    };
    // SAFETY: the caller's promise.
    unsafe { errors.report(outcome) }
}

/// A position: the record that came last.
struct Last {
    name: [u8; NAME_WORDS * 4],
    len: usize,
    at: usize,
    families_done: usize,
}

impl Last {
    fn of(record: &Record<'_>, families_done: usize) -> Self {
        let mut name = [0; NAME_WORDS * 4];
        let len = record.name().len();
        if let Some(name) = name.get_mut(..len) {
            record.name().copy_into(name);
        }
        Self { name, len, at: record.at(), families_done }
    }
}

impl Cursor {
    fn load(&self) -> Option<Last> {
        let len = self.len.load(Ordering::Relaxed) as usize;
        let mut name = [0; NAME_WORDS * 4];
        for (to, word) in name.as_chunks_mut::<4>().0.iter_mut().zip(&self.name) {
            *to = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        let at = self.at.load(Ordering::Relaxed) as usize;
        let families_done = self.families_done.load(Ordering::Relaxed) as usize;
        (len > 0).then_some(Last { name, len, at, families_done })
    }

    fn store(&self, last: &Last) {
        for (word, bytes) in self.name.iter().zip(last.name.as_chunks::<4>().0) {
            word.store(u32::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        // These fit: the place is a word of a table, the others are small.
        self.at.store(u32::try_from(last.at).unwrap_or(0), Ordering::Relaxed);
        self.families_done.store(u32::try_from(last.families_done).unwrap_or(0), Ordering::Relaxed);
        self.len.store(u32::try_from(last.len).unwrap_or(0), Ordering::Relaxed);
    }
}

/// What comes after `last`: a record, how many of its families are done with it, and the family it comes with.
fn next<'a>(
    snapshot: &Snapshot<'a>,
    last: Option<&Last>,
) -> Result<Option<(Record<'a>, usize, Family)>, Damage> {
    let mut skip_families = 0;
    let mut not_after = None;
    let records = match last {
        None => snapshot.records(),
        Some(last) => {
            let Some(query) = last.name.get(..last.len).and_then(Query::new) else { return Ok(None) };
            match snapshot.record_named(last.at, &query)? {
                Some(record) => {
                    skip_families = last.families_done;
                    snapshot.records_from(record.at())
                }
                None => {
                    // It is gone. Its successor is the first one behind it in the order.
                    not_after = Some(query);
                    snapshot.records()
                }
            }
        }
    };
    for record in records {
        let record = record?;
        let passed = not_after.as_ref().is_some_and(|query| record.is_up_to(query));
        if record.is_wildcard() || record.is_alias() || passed {
            skip_families = 0;
            continue;
        }
        for (done, family) in FAMILIES.into_iter().enumerate().skip(skip_families) {
            if record.count(family) > 0 {
                return Ok(Some((record, done.saturating_add(1), family)));
            }
        }
        skip_families = 0;
    }
    Ok(None)
}
