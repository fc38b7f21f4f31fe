//! The control socket as callers find it: by our own client, by another crate's, and by those who mean harm.

#![allow(unreachable_pub, reason = "modules of a test have no outside")]

mod access;
mod greed;
mod protocol;
mod server;

use std::time::Duration;

/// An answer comes within this, even on a machine that is busy with other tests; whoever had to wait for a caller that is slow on
/// purpose would wait for [`SLOW`].
const SOON: Duration = Duration::from_secs(90);
const SLOW: Duration = Duration::from_secs(300);
