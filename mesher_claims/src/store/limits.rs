//! How much the store holds, so that no member can fill a machine's memory.

/// The most hosts, absent ones included.
pub const MAX_HOSTS: usize = 4_096;
/// The most names of all hosts together.
pub const MAX_NAMES: usize = 100_000;
/// The most names one host may claim, withdrawn ones included. Of a host that claims more, the first in the order of names
/// are kept, so that every node keeps the same.
pub const MAX_NAMES_PER_HOST: usize = 4_096;
