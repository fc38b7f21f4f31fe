//! A deterministic simulation of whole networks: the very state machines that the daemon drives, under clocks that lie,
//! links that break and machines that die, with an oracle that knows what really happened.
//!
//! `MESHER_SIM_SEEDS=FROM..TO` runs other seeds, `MESHER_SIM_SEED=N MESHER_SIM_KEEP=1,2,3` replays a failure, and
//! `MESHER_SIM_QUICK=1` stops at the first failure and does not shorten it;
//! `MESHER_SIM_SECONDS=N` with `--ignored` runs fresh seeds for that long. `docs/reliability.md` says what is promised.

#![allow(unreachable_pub, reason = "modules of a test have no outside")]
#![allow(clippy::disallowed_methods, reason = "how long a search may take is told by a real clock")]

mod administrator;
mod agenda;
mod daemon;
mod machine;
mod network;
mod operations;
mod oracle;
mod plan;
mod random;
mod rng;
mod run;
mod traffic;
mod world;
