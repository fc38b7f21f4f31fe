//! The two clocks that everything is told by.

use std::time::Duration;

use mesher_claims::time::Now;
use nix::time::{ClockId, clock_gettime};

/// Both clocks, read one after the other.
pub fn now() -> Now {
    Now { boot_ms: read(ClockId::CLOCK_BOOTTIME), wall_ms: read(ClockId::CLOCK_REALTIME) }
}

fn read(clock: ClockId) -> u64 {
    // Both clocks exist on every Linux since 2.6.39; a time before 1970 counts as 1970.
    let Ok(time) = clock_gettime(clock) else { return 0 };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    seconds * 1_000 + u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000_000
}

/// The processor's time that this thread has had.
pub fn used() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
