//! chitchat behind our transport, filter and supervision. Its types go no further than this folder.

pub(crate) mod filter;
pub(crate) mod intake;
mod members;
pub(crate) mod message;
mod pace;
mod run;
pub(crate) mod socket;
pub(crate) mod supervisor;
#[cfg(test)]
mod tests;
mod translate;
