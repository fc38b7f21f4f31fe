//! What the NSS module answers, as a library: every rule of glibc's contract for a `hosts` module, over the reader of
//! `mesher_table`.
//!
//! It runs inside every program of the machine, so it allocates nothing, takes no lock, keeps no file descriptor, has
//! no thread-local storage, calls no cancellation point, and cannot panic. What it has of its own is one pointer
//! to the current mapping, swapped atomically, and the cursor of `gethostent`.
//!
//! | module | what is in it |
//! |---|---|
//! | [`answer`](mod@answer) | statuses, errno and h_errno; the caller's buffer |
//! | `forward` | names to addresses |
//! | `reverse` | addresses to names |
//! | `enumerate` | all hosts, one after the other |
//! | `mapping` | finding, checking, mapping and replacing the table |
//! | `system` | the few system calls |
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
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

pub mod answer;
mod enumerate;
mod forward;
mod mapping;
mod reverse;
mod system;

pub use answer::{AddressTuple, Buffer, Errors};
pub use enumerate::{next_host, rewind};
pub use forward::{addresses_by_name, host_by_name};
pub use reverse::host_by_address;
