//! A table in memory: its fixed geometry, checked once, and consistent looks at its contents.

use core::sync::atomic::AtomicU32;

use crate::deadline::Deadline;
use crate::format::{
    DIRECTORY_WORDS, H_ACTIVE, H_ARENA_WORDS, H_DEADLINE, H_FILE_WORDS, H_MAGIC, H_ORDER, H_SUPERSEDED, H_VERSION,
    HEADER_WORDS, LINE_WORDS, MAGIC, ORDER_MARK, VERSION,
};
use crate::protocol::{self, Memory};
use crate::snapshot::Snapshot;

/// Something in an arena contradicts itself. While the arena is being overwritten that is expected and tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage;

/// Why a table gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The contents contradict themselves although nobody is writing them.
    Damaged,
    /// The writer overtook the reader 16 times.
    Busy,
}

/// Why these bytes are no table that this reader can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file does not start with the table's magic.
    NotATable,
    /// Written by a machine of another byte order.
    OtherByteOrder,
    /// A table of this other version.
    OtherVersion(u32),
    /// The sizes in the header do not fit the file.
    BadGeometry,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotATable => f.write_str("not a hosts table"),
            Self::OtherByteOrder => f.write_str("a hosts table of a machine of the other byte order"),
            Self::OtherVersion(version) => {
                write!(f, "a hosts table of version {version}; this program reads version {VERSION}")
            }
            Self::BadGeometry => f.write_str("a hosts table whose header does not fit the file's size"),
        }
    }
}

impl core::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Damaged => "the table's contents contradict themselves",
            Self::Busy => "the table was rewritten faster than it could be read",
        })
    }
}

/// A mapped table whose header has been checked.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    header: &'a [AtomicU32; HEADER_WORDS],
    /// For the even publications and for the odd ones; both equally long, and no shorter than a directory.
    arenas: [&'a [AtomicU32]; 2],
}

impl<'a> Table<'a> {
    /// Checks the header of a mapped file. `words` is the whole file.
    ///
    /// # Errors
    ///
    /// What kind of file it is instead.
    pub fn new(words: &'a [AtomicU32]) -> Result<Self, Fault> {
        let [m0, m1, m2, m3, m4, m5, m6, m7] = MAGIC;
        let magic = [u32::from_ne_bytes([m0, m1, m2, m3]), u32::from_ne_bytes([m4, m5, m6, m7])];
        if [words.load(H_MAGIC), words.load(H_MAGIC.wrapping_add(1))] != magic {
            return Err(Fault::NotATable);
        }
        if words.load(H_ORDER) != ORDER_MARK {
            return Err(Fault::OtherByteOrder);
        }
        let version = words.load(H_VERSION);
        if version != VERSION {
            return Err(Fault::OtherVersion(version));
        }
        let arena_words = words.load(H_ARENA_WORDS) as usize;
        let fits = arena_words
            .checked_mul(2)
            .and_then(|arenas| arenas.checked_add(HEADER_WORDS))
            .is_some_and(|all| all == words.load(H_FILE_WORDS) as usize && all == words.len());
        if !fits || arena_words < DIRECTORY_WORDS || !arena_words.is_multiple_of(LINE_WORDS) {
            return Err(Fault::BadGeometry);
        }
        let (header, arenas) = words.split_first_chunk::<HEADER_WORDS>().ok_or(Fault::BadGeometry)?;
        let (even, odd) = arenas.split_at_checked(arena_words).ok_or(Fault::BadGeometry)?;
        Ok(Self { header, arenas: [even, odd] })
    }

    /// The lease's end.
    #[inline]
    pub fn deadline(&self) -> Deadline {
        Deadline::from_word(self.header.load(H_DEADLINE))
    }

    /// Whether a newer file has taken, or is about to take, this one's name.
    #[inline]
    pub fn is_superseded(&self) -> bool {
        self.header.load(H_SUPERSEDED) != 0
    }

    /// Words in each arena.
    pub fn arena_words(&self) -> usize {
        self.arenas[0].len()
    }

    /// Looks at the contents. `look` may run several times, and may see nonsense; only what it returns from a run
    /// that nobody wrote into is returned. It must therefore have no effect but to fill memory of its own.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]; nothing that `look` has left behind then counts.
    #[inline]
    pub fn read<R>(
        &self,
        mut look: impl FnMut(&Snapshot<'a>) -> Result<R, Damage>,
    ) -> Result<R, Unreadable> {
        let [even, odd] = self.arenas;
        let found = protocol::read(self.header, |publication| {
            let arena = if protocol::is_even(publication) { even } else { odd };
            look(&Snapshot::new(arena, publication)?)
        });
        match found {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(Damage)) => Err(Unreadable::Damaged),
            None => Err(Unreadable::Busy),
        }
    }

    /// The publication last finished. Two equal numbers mean that nothing was published in between.
    #[inline]
    pub fn publication(&self) -> u32 {
        self.header.load(H_ACTIVE)
    }
}
