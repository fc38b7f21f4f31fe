//! The table's one writer.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

use crate::arena::{Arena, random_seed};
use crate::contents::{Contents, ContentsError};
use crate::deadline::Deadline;
use crate::file::{self, Mapping};
use crate::format::{
    D_USED, H_ACTIVE, H_ARENA_WORDS, H_DEADLINE, H_FILE_WORDS, H_MAGIC, H_ORDER, H_SEQ, H_SUPERSEDED,
    H_VERSION, HEADER_WORDS, LINE_WORDS, MAGIC, ORDER_MARK, VERSION,
};
use crate::protocol::{self, Memory, arena_of};
use crate::table::{Fault, Table};

/// The smallest arena that is made, in words: 32 KiB, some 400 names.
const LEAST_ARENA: usize = 8192;

/// Writes a table, and keeps it up.
///
/// A writer that was killed at any instruction is followed by one that goes on where it stopped: readers keep the
/// publication that was last finished, and publications and generations only grow.
pub struct TableWriter {
    path: PathBuf,
    live: Option<Live>,
    found: Found,
    /// Held, so that there is one writer.
    _lock: Flock<File>,
}

/// The file under the table's name.
struct Live {
    file: File,
    mapping: Mapping,
    arena_words: usize,
}

/// What a writer found under the table's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: the first publication makes the file.
    Nothing,
    /// A table; it is continued from this generation.
    Table {
        /// Of its contents.
        generation: u64,
    },
    /// A file that cannot be continued, for this reason: the first publication takes its place. Say so in the
    /// journal: programs that run with another version of the module get no answers until they are restarted.
    Foreign(String),
}

/// What a publication did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// How many times contents have been published under this name, over crashes and replacements.
    pub generation: u64,
    /// Bytes the contents take up.
    pub bytes: usize,
    /// Bytes there is room for without a larger file.
    pub room_bytes: usize,
    /// Whether a new file took the old one's place, because there was none, or it was too small, or gone.
    pub replaced: bool,
}

/// Why the table could not be written. The last good table stays as it was, with the lease it had.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The contents break a rule of the format.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// Another process writes this table.
    #[error("{} is being written by another process; two daemons cannot share a table", .0.display())]
    Locked(PathBuf),
    /// The file system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Locks the table's name for this writer: a file beside it, `….lock`, that only its owner can open. The table itself will not
/// do, for whoever may read a file may lock it too, and could so keep a daemon from ever starting again.
fn lock(path: &Path) -> Result<Flock<File>, WriteError> {
    let mut beside = path.to_owned().into_os_string();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let file = file::open_lock(&beside).map_err(io_error("open", &beside))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(WriteError::Locked(path.to_owned())),
        Err((_, error)) => Err(io_error("lock", &beside)(error.into())),
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError::Io { action, path, source }
}

impl TableWriter {
    /// Becomes the writer of the table at `path`, whose directory must exist. An existing table is continued, with the
    /// contents and the lease it has; anything else stays until the first publication takes its place (a table of
    /// another version only gets its flag, so that its readers look for the new one).
    ///
    /// # Errors
    ///
    /// [`WriteError::Locked`] if it has a writer already, [`WriteError::Io`] if the file that shows so (`….lock`) cannot be made.
    pub fn open_or_create(path: impl Into<PathBuf>) -> Result<Self, WriteError> {
        let path = path.into();
        let lock = lock(&path)?;
        let (live, found) = Live::open(&path)?;
        Ok(Self { path, live, found, _lock: lock })
    }

    /// What was there when the writer was opened.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Where the table lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Publishes contents, to be believed until `deadline`. Readers see all of them or what was there before.
    ///
    /// # Errors
    ///
    /// The table then is as it was; it can be [extended](Self::extend), and publishing tried again.
    pub fn publish(&mut self, contents: &Contents, deadline: Deadline) -> Result<Published, WriteError> {
        let mut arena = Arena::build(contents, random_seed())?;
        self.publish_arena(&mut arena, deadline)
    }

    /// Moves the lease's end, forward to keep the names, or nearer to let them go: a daemon that stops sets it two
    /// seconds ahead, so that its successor can take over without a gap. Without a table it does nothing.
    ///
    /// # Errors
    ///
    /// If the file had been removed or replaced by a foreign one, it is put back with its contents; what went wrong then.
    pub fn extend(&mut self, deadline: Deadline) -> Result<(), WriteError> {
        if self.live.is_some() && !self.is_in_place()? {
            return self.put_back(deadline);
        }
        if let Some(live) = &self.live {
            live.mapping.words().store(H_DEADLINE, deadline.to_word());
        }
        Ok(())
    }

    pub(crate) fn publish_arena(
        &mut self,
        arena: &mut Arena,
        deadline: Deadline,
    ) -> Result<Published, WriteError> {
        let used = arena.len_words();
        let generation = self.generation() + 1;
        let in_place = self.is_in_place()?;
        let room = match &self.live {
            Some(live) if in_place && used <= live.arena_words && !live.is_superseded() => {
                live.publish(arena, generation, deadline);
                live.arena_words
            }
            live => {
                let publication = live.as_ref().map_or(0, Live::publication).wrapping_add(1);
                // Twice as large each time, so that no process ever has to keep many mappings.
                let grown = live
                    .as_ref()
                    .filter(|live| used > live.arena_words)
                    .map_or(0, |live| live.arena_words * 2);
                let room = grown.max(used + used / 4).max(LEAST_ARENA).next_multiple_of(LINE_WORDS);
                self.replace(room, publication, arena.numbered(publication, generation), deadline)?;
                return Ok(Published { generation, bytes: used * 4, room_bytes: room * 4, replaced: true });
            }
        };
        Ok(Published { generation, bytes: used * 4, room_bytes: room * 4, replaced: false })
    }

    fn generation(&self) -> u64 {
        self.live.as_ref().map_or(0, Live::generation)
    }

    /// Whether the name still leads to the file we write.
    fn is_in_place(&self) -> Result<bool, WriteError> {
        let Some(live) = &self.live else { return Ok(false) };
        let ours = live.file.metadata().map_err(io_error("look at", &self.path))?;
        match std::fs::symlink_metadata(&self.path) {
            Ok(theirs) => Ok(file::identity(&ours) == file::identity(&theirs)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_error("look at", &self.path)(error)),
        }
    }

    /// Makes a new file with the contents we have.
    fn put_back(&mut self, deadline: Deadline) -> Result<(), WriteError> {
        let Some(live) = &self.live else { return Ok(()) };
        let (publication, room) = (live.publication(), live.arena_words);
        let words = live.mapping.words();
        let start = arena_of(publication, room);
        let used = (words.load(start + D_USED) as usize).min(room);
        let copy: Vec<u32> = (start..start + used).map(|at| words.load(at)).collect();
        self.replace(room, publication, &copy, deadline)
    }

    /// Puts a new file into place: written whole under another name, then the old one's flag, then the rename. A
    /// crash before the flag leaves the old table; one between flag and rename leaves readers looking for the new file
    /// while they answer from the old one.
    fn replace(
        &mut self,
        arena_words: usize,
        publication: u32,
        arena: &[u32],
        deadline: Deadline,
    ) -> Result<(), WriteError> {
        if !self.is_in_place()?
            && let (Some(other), _) = Live::open(&self.path)?
        {
            // Another table has taken the name, and nobody writes it: its readers are told.
            self.live = Some(other);
        }
        let mut new_path = self.path.clone().into_os_string();
        new_path.push(".new");
        let new_path = PathBuf::from(new_path);
        let new = Live::create(&new_path, arena_words, publication, arena, deadline)?;
        let old = self.live.as_ref().map(|live| live.mapping.words());
        if let Some(old) = old {
            old.release();
            old.store(H_SUPERSEDED, 1);
        }
        if let Err(error) = std::fs::rename(&new_path, &self.path) {
            if let Some(old) = old {
                old.store(H_SUPERSEDED, 0);
            }
            return Err(io_error("put a new table into place at", &self.path)(error));
        }
        self.live = Some(new);
        Ok(())
    }
}

impl Live {
    fn open(path: &Path) -> Result<(Option<Self>, Found), WriteError> {
        let foreign = |why: String| Ok((None, Found::Foreign(why)));
        let file = match file::open(path, true) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, Found::Nothing)),
            Err(error) => return foreign(error.to_string()),
        };
        let words = file::len_words(&file).map_err(io_error("look at", path))?;
        if words < HEADER_WORDS {
            return foreign(Fault::NotATable.to_string());
        }
        let mapping = Mapping::new(&file, words, true).map_err(io_error("map", path))?;
        let table = match Table::new(mapping.words()) {
            Ok(table) => table,
            Err(fault) => {
                if matches!(fault, Fault::OtherVersion(_)) {
                    // Its readers are of that version and understand the flag, but not the file that comes.
                    mapping.words().store(H_SUPERSEDED, 1);
                }
                return foreign(fault.to_string());
            }
        };
        let arena_words = table.arena_words();
        let generation = match table.read(|snapshot| Ok(snapshot.generation())) {
            Ok(generation) => generation,
            Err(unreadable) => return foreign(unreadable.to_string()),
        };
        Ok((Some(Self { file, mapping, arena_words }), Found::Table { generation }))
    }

    /// Makes a file that is complete before it gets the table's name.
    fn create(
        path: &Path,
        arena_words: usize,
        publication: u32,
        arena: &[u32],
        deadline: Deadline,
    ) -> Result<Self, WriteError> {
        let file_words = HEADER_WORDS + arena_words * 2;
        let file_words_word = u32::try_from(file_words).map_err(|_| ContentsError::TooLarge)?;
        let arena_words_word = u32::try_from(arena_words).map_err(|_| ContentsError::TooLarge)?;
        let file = file::create(path, file_words).map_err(io_error("make", path))?;
        let mapping = Mapping::new(&file, file_words, true).map_err(io_error("map", path))?;
        let words = mapping.words();
        for (at, bytes) in MAGIC.as_chunks::<4>().0.iter().enumerate() {
            words.store(H_MAGIC + at, u32::from_ne_bytes(*bytes));
        }
        words.store(H_ORDER, ORDER_MARK);
        words.store(H_VERSION, VERSION);
        words.store(H_FILE_WORDS, file_words_word);
        words.store(H_ARENA_WORDS, arena_words_word);
        write_arena(words, publication, arena_words, arena);
        words.store(H_SEQ, publication);
        words.store(H_ACTIVE, publication);
        words.store(H_DEADLINE, deadline.to_word());
        words.release();
        Ok(Self { file, mapping, arena_words })
    }

    fn publish(&self, arena: &mut Arena, generation: u64, deadline: Deadline) {
        let words = self.mapping.words();
        protocol::publish(words, |publication| {
            write_arena(words, publication, self.arena_words, arena.numbered(publication, generation));
        });
        words.store(H_DEADLINE, deadline.to_word());
    }

    fn publication(&self) -> u32 {
        self.mapping.words().load(H_ACTIVE)
    }

    fn generation(&self) -> u64 {
        let table = Table::new(self.mapping.words());
        table.ok().and_then(|table| table.read(|snapshot| Ok(snapshot.generation())).ok()).unwrap_or(0)
    }

    fn is_superseded(&self) -> bool {
        self.mapping.words().load(H_SUPERSEDED) != 0
    }
}

fn write_arena(words: &[std::sync::atomic::AtomicU32], publication: u32, arena_words: usize, arena: &[u32]) {
    let start = arena_of(publication, arena_words);
    for (at, word) in arena.iter().enumerate() {
        words.store(start + at, *word);
    }
}
