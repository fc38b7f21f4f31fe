//! Whether a daemon goes on feeding systemd's watchdog.

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cluster::Daemon;

/// Takes the place of systemd: reads what the daemon notifies, and notes when the watchdog was fed.
pub struct Manager {
    fed: Arc<Mutex<Vec<Instant>>>,
}

impl Manager {
    /// What the unit allows is twenty seconds; of eight the daemon feeds it every few.
    pub const WATCHDOG: Duration = Duration::from_secs(8);

    pub fn watch(daemon: &mut Daemon) -> Self {
        let path = daemon.dir.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        daemon.env.push(("NOTIFY_SOCKET".into(), path.into()));
        daemon.env.push(("WATCHDOG_USEC".into(), Self::WATCHDOG.as_micros().to_string().into()));
        let fed = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&fed);
        // Lives as long as the test's process.
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(len) = socket.recv(&mut buffer) {
                if String::from_utf8_lossy(&buffer[..len]).contains("WATCHDOG=1") {
                    noted.lock().unwrap().push(Instant::now());
                }
            }
        });
        Self { fed }
    }

    /// How often the watchdog was fed since then.
    pub fn fed_since(&self, begin: Instant) -> usize {
        self.fed.lock().unwrap().iter().filter(|fed| **fed > begin).count()
    }

    /// Asserts that since then it was fed as often as the unit asks for at least. How often beyond that is the machine's matter.
    #[track_caller]
    pub fn assert_fed_since(&self, begin: Instant) {
        let (fed, took) = (self.fed_since(begin), begin.elapsed());
        assert!(fed as u64 >= took.as_secs() / 20, "fed {fed} times in {took:?}");
    }
}
