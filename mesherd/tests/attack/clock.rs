//! A daemon's clocks, set by a test: time that passes in no time, and a wall clock that is wrong.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use crate::cluster::Daemon;

/// The clocks of one daemon or of several.
pub struct Clock {
    file: Mutex<(std::fs::File, i64, i64)>,
    path: std::path::PathBuf,
    library: std::path::PathBuf,
}

impl Clock {
    /// Clocks that are right, until they are told otherwise. Their files are made in `dir` under `name`.
    pub fn new(dir: &Path, name: &str) -> Self {
        let library = super::shim(dir, name, "clock.c");
        let path = dir.join(format!("{name}.clock"));
        let mut file = std::fs::File::options().create(true).truncate(true).write(true).open(&path).unwrap();
        file.write_all(&[0; 16]).unwrap();
        Self { file: Mutex::new((file, 0, 0)), path, library }
    }

    /// From its next start on the daemon goes by these clocks.
    pub fn give_to(&self, daemon: &mut Daemon) {
        daemon.env.push(("LD_PRELOAD".into(), self.library.clone().into()));
        daemon.env.push(("MESHER_TEST_CLOCK".into(), self.path.clone().into()));
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.set(|all, _| *all += i64::try_from(by.as_secs()).unwrap());
    }

    /// Puts the wall clock ahead of the truth, or behind it, by so many seconds.
    pub fn set_wall_ahead(&self, seconds: i64) {
        self.set(|_, wall| *wall = seconds);
    }

    fn set(&self, change: impl FnOnce(&mut i64, &mut i64)) {
        let mut guard = self.file.lock().unwrap();
        let (file, all, wall) = &mut *guard;
        change(all, wall);
        let bytes = [all.to_ne_bytes(), wall.to_ne_bytes()].concat();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(&bytes).unwrap();
    }
}
