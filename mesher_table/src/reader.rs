//! A reader for tools: opens a table file and tells everything about it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::contents::{Contents, Entry, ScopedV6};
use crate::deadline::Deadline;
use crate::file::{self, Mapping};
use crate::query::Query;
use crate::record::{Family, Record};
use crate::shared::Shared;
use crate::table::{Fault, Table, Unreadable};

/// An open table file. It goes on showing the file it opened when another takes its name.
pub struct TableFile {
    mapping: Mapping,
}

/// A table's header and the figures of its active arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many times contents have been published.
    pub generation: u64,
    /// The publication last finished, as readers count it.
    pub publication: u32,
    /// The lease's end.
    pub deadline: Deadline,
    /// Whether the lease still runs.
    pub leased: bool,
    /// Whether a newer file takes this one's place.
    pub superseded: bool,
    /// Names, wildcards and aliases.
    pub records: usize,
    /// Bytes the contents take up.
    pub used_bytes: usize,
    /// Bytes there is room for in each of the two arenas.
    pub arena_bytes: usize,
}

/// Why a file cannot be read as a table.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file system said no.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is {fault}", path.display())]
    Fault {
        /// Which file.
        path: PathBuf,
        /// What it is.
        fault: Fault,
    },
}

impl std::error::Error for Unreadable {}

impl TableFile {
    /// Opens a table. Its lease does not matter here; [`header`](Self::header) tells it.
    ///
    /// # Errors
    ///
    /// If there is no table of this version at `path`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let fault = |fault| OpenError::Fault { path: path.to_owned(), fault };
        let file = file::open(path, false).map_err(io)?;
        let words = file::len_words(&file).map_err(io)?;
        if words == 0 {
            return Err(fault(Fault::NotATable));
        }
        let mapping = Mapping::new(&file, words, false).map_err(io)?;
        Table::new(mapping.words()).map_err(fault)?;
        Ok(Self { mapping })
    }

    /// The table itself, for every lookup the module can make.
    ///
    /// # Panics
    ///
    /// Never, while writers keep to the format: `open` has checked these words, which are written once.
    pub fn table(&self) -> Table<'_> {
        Table::new(self.mapping.words()).expect("the header is written once and was checked when opened")
    }

    /// The header.
    ///
    /// # Errors
    ///
    /// If the contents are unreadable.
    pub fn header(&self) -> Result<Header, Unreadable> {
        let table = self.table();
        let deadline = table.deadline();
        table.read(|snapshot| {
            Ok(Header {
                generation: snapshot.generation(),
                publication: snapshot.publication(),
                deadline,
                leased: deadline.is_ahead_of(Deadline::now()),
                superseded: table.is_superseded(),
                records: snapshot.record_count(),
                used_bytes: snapshot.used_bytes(),
                arena_bytes: table.arena_words() * 4,
            })
        })
    }

    /// Everything the table says, entries in the table's order: by canonical name, each followed by its aliases.
    ///
    /// # Errors
    ///
    /// If the contents are unreadable.
    pub fn contents(&self) -> Result<Contents, Unreadable> {
        self.table().read(|snapshot| {
            let entries = snapshot.records().map(|record| record.map(|record| entry(&record)));
            let contain = snapshot.contained()?.iter().map(|domain| text(domain)).collect();
            Ok(Contents { entries: entries.collect::<Result<_, _>>()?, contain })
        })
    }

    /// What answers this name: its own entry or the wildcard above it.
    ///
    /// # Errors
    ///
    /// If the contents are unreadable.
    pub fn find(&self, name: &str) -> Result<Option<Entry>, Unreadable> {
        let Some(query) = Query::new(name.as_bytes()) else { return Ok(None) };
        self.table().read(|snapshot| Ok(snapshot.find(&query)?.map(|answer| entry(&answer.record))))
    }

    /// The names that have this address, canonical ones first.
    ///
    /// # Errors
    ///
    /// If the contents are unreadable.
    pub fn find_address(&self, address: IpAddr) -> Result<Vec<String>, Unreadable> {
        let names = |family, bytes: &[u8]| {
            self.table().read(|snapshot| {
                snapshot.find_address(family, bytes)?.map(|record| Ok(name(record?.name()))).collect()
            })
        };
        match address {
            IpAddr::V4(address) => names(Family::V4, &address.octets()),
            IpAddr::V6(address) => names(Family::V6, &address.octets()),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn name(shared: Shared<'_>) -> String {
    text(&shared.bytes().collect::<Vec<_>>())
}

fn entry(record: &Record<'_>) -> Entry {
    Entry {
        name: name(record.name()),
        canonical: record.canonical().map(name),
        v4: record.v4().map(|word| Ipv4Addr::from(word.to_ne_bytes())).collect(),
        v6: record
            .v6()
            .map(|(words, scope)| {
                let mut octets = [0; 16];
                octets.copy_from_slice(words.map(u32::to_ne_bytes).as_flattened());
                ScopedV6 { address: Ipv6Addr::from(octets), scope }
            })
            .collect(),
        ttl_s: record.ttl_s(),
    }
}
