//! Twenty real daemons (or `MESHER_FLEET`) in a network that loses, cuts and dies: the same answer everywhere. Needs root.
//!
//! What is printed (`--nocapture`) is in `docs/reliability.md`.

#[path = "../attack/mod.rs"]
mod attack;
#[path = "../cluster/mod.rs"]
mod cluster;
mod faults;
mod fleet;
mod network;
mod oddities;
mod restarts;
mod turns;
