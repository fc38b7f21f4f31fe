//! The hosts table: its binary format, its writer and its reader.
//!
//! One file holds every name this machine answers for. The daemon writes it with [`TableWriter`]; the NSS module,
//! which lives in every process of the machine, reads it with [`Table`]. `docs/table-format.md` describes the bytes;
//! the constants in [`format`](mod@format) are their one authority.
//!
//! Without the feature `std` only the reader is left: no operating system, no allocation, and no reachable panic.
//! Every number it takes from the file is read once, into a local, and checked against the mapping before it is
//! used, so a table of arbitrary bytes gives no answer, or [`Unreadable`], and never a wild read.
//!
//! | module | what is in it |
//! |---|---|
//! | [`format`](mod@format) | where each word lies |
//! | [`protocol`] | who writes which word in which order, so that a reader never sees half a table |
//! | [`Table`], [`Snapshot`], [`Record`] | the reader |
//! | [`Query`] | a name made ready to be looked up |
//! | [`Deadline`] | until when a table may be believed |
//! | [`Contents`], [`TableWriter`] | the writer (`std`) |
//! | [`TableFile`] | a reader for tools (`std`) |
#![cfg_attr(not(feature = "std"), no_std)]

/// The lints of the modules that run in strangers' processes: nothing in them may be able to panic.
macro_rules! no_panic {
    ($($(#[$doc:meta])* $vis:vis mod $name:ident;)*) => {$(
        $(#[$doc])*
        #[cfg_attr(
            not(test),
            deny(
                clippy::unwrap_used,
                clippy::expect_used,
                clippy::panic,
                clippy::indexing_slicing,
                clippy::arithmetic_side_effects,
                clippy::cast_possible_truncation
            )
        )]
        $vis mod $name;
    )*};
}

no_panic! {
    mod contained;
    mod deadline;
    pub mod format;
    mod index;
    pub mod protocol;
    mod query;
    mod record;
    mod reverse;
    mod shared;
    mod snapshot;
    mod table;
}

pub use deadline::Deadline;
pub use index::Answer;
pub use query::Query;
pub use record::{Family, Parts, Record};
pub use reverse::AddressRecords;
pub use shared::Shared;
pub use snapshot::{Records, Snapshot};
pub use table::{Damage, Fault, Table, Unreadable};

#[cfg(feature = "std")]
mod arena;
#[cfg(feature = "std")]
mod contents;
#[cfg(feature = "std")]
mod file;
#[cfg(feature = "std")]
mod reader;
#[cfg(feature = "std")]
mod writer;

#[cfg(feature = "std")]
pub use contents::{Contents, ContentsError, Entry, ScopedV6};
#[cfg(feature = "std")]
pub use reader::{Header, OpenError, TableFile};
#[cfg(feature = "std")]
pub use writer::{Found, Published, TableWriter, WriteError};
