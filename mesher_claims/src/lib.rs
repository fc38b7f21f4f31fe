//! Who holds which name.
//!
//! This crate is the mesh's judgement, with its hands tied: names, signed records, leases, the store of records, the
//! view computed from it, and the state machine of one host ([`node::Node`]). Time and randomness come in as
//! arguments, everything that must happen in the world goes out as data ([`node::Effect`]). So the daemon, the
//! simulator and a unit test run the very same rules.
//!
//! The order of the modules is the order of the data: [`names`] and [`keys`] → [`record`] → [`store`] → [`view`];
//! [`node`] drives them for one host.

pub mod address;

pub mod keys;

pub mod names;

pub mod event;
pub mod message;
pub mod node;
pub mod record;
pub mod store;
pub mod view;

pub mod time;
