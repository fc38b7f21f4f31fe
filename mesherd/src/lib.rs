//! The daemon's parts. `main.rs` is the program; everything it is made of can be tested here.

pub mod control;
pub mod gossip;
pub mod interfaces;
pub mod systemd;
