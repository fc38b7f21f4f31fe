//! The daemon's parts. `main.rs` is the program; everything it is made of can be tested here.

pub mod cli;
pub mod control;
pub mod daemon;
pub mod exports;
pub mod gossip;
pub mod interfaces;
pub mod publish;
pub mod state;
pub mod systemd;
