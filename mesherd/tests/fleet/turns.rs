//! When a fleet may run, and how long its leases are: as the machine has time for.

use std::cell::Cell;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::time::{ClockId, clock_gettime};

/// Leases are this many times as long at most.
const LONGEST: u32 = 4;
/// So many fleets run at a time, those of other runs of these tests included. More of them get nowhere near to keeping their leases.
const AT_A_TIME: usize = 2;

thread_local! {
    static STRETCH: Cell<u32> = const { Cell::new(1) };
}

/// How many times as long as by default leases and patience are, in the test that this thread runs.
pub(crate) fn stretch() -> u32 {
    STRETCH.get()
}

pub(crate) fn set_stretch(times: u32) {
    STRETCH.set(times);
}

/// The right to run a fleet, until it is dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "kept for as long as it is locked")] Vec<Flock<File>>);

impl Turn {
    /// Waits for a turn beside another fleet.
    pub(crate) fn wait() -> Self {
        loop {
            if let Some(place) = (0..AT_A_TIME).find_map(lock) {
                return Self(vec![place]);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Gives this turn back, and waits for one with no other fleet.
    pub(crate) fn alone(self) -> Self {
        drop(self);
        let wait = |number| {
            loop {
                match lock(number) {
                    Some(place) => return place,
                    None => std::thread::sleep(Duration::from_millis(100)),
                }
            }
        };
        Self((0..AT_A_TIME).map(wait).collect())
    }
}

fn lock(number: usize) -> Option<Flock<File>> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fleet-{number}"));
    let file = File::options().create(true).append(true).open(&path).unwrap();
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(locked) => Some(locked),
        Err((_, Errno::EWOULDBLOCK)) => None,
        Err((_, error)) => panic!("{}: {error}", path.display()),
    }
}

/// How many times as long as on a machine with nothing else to do work takes here now, if all processors are asked for: 1 to
/// [`LONGEST`], and 1 below 2.
pub(crate) fn slowness() -> u32 {
    const WORK: Duration = Duration::from_millis(200);
    let used = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let work = || {
        let (begin, before) = (Instant::now(), used());
        while used() - before < WORK {}
        begin.elapsed()
    };
    let took: Duration = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).max().unwrap()
    });
    let times = took.as_millis() / WORK.as_millis();
    u32::try_from(times).unwrap_or(LONGEST).clamp(1, LONGEST)
}
