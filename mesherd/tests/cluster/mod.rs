//! Real daemons on loopback, each with its own directories, looked at through their hosts tables.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of tests has no outside")]

mod place;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mesher_claims::keys::SecretKey;
use mesher_claims::record::{Record, SettingsBody, Signed};
use mesher_config::secret::SecretBytes;
use mesher_control::types::{Metrics, Reloaded, Status};
use mesher_control::{Call, Client, ClientError};
use mesher_table::TableFile;
use place::Place;
use tempfile::TempDir;

/// A daemon that does not answer within this is wedged.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// A network, and the directory with its files and its daemons'.
pub struct Cluster {
    pub dir: TempDir,
    pub key: SecretKey,
    pub ttl_ms: u64,
    place: Place,
}

/// One daemon's place; the daemon runs while `child` is there.
pub struct Daemon {
    pub name: String,
    pub dir: PathBuf,
    pub address: IpAddr,
    pub child: Option<Child>,
    /// Set in its environment at the next start.
    pub env: Vec<(OsString, OsString)>,
    /// Runs as this user and group, which takes root.
    pub user: Option<u32>,
    /// Runs with no limit on core dumps.
    pub unlimited_core: bool,
}

impl Cluster {
    /// A new network under a domain `sol`, with addresses and a port of its own.
    pub fn new(ttl_ms: u64) -> Self {
        Self::at(Place::beside_others(), ttl_ms)
    }

    /// The same for a test that has a network namespace to itself: on 127.0.0.0/24, port 7946.
    pub fn alone(ttl_ms: u64) -> Self {
        Self::at(Place::alone(), ttl_ms)
    }

    fn at(place: Place, ttl_ms: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        let key = SecretKey::from_seed(&seed);
        write_private(
            &dir.path().join("network.secret"),
            &SecretBytes::new(seed.map(|b| b ^ 0x55)).to_file_text(),
        );
        let cluster = Self { dir, key, ttl_ms, place };
        cluster.write_settings(1);
        cluster
    }

    /// The address that has this last number.
    pub fn ip(&self, number: u8) -> IpAddr {
        self.place.ip(number)
    }

    /// That address with the port of all daemons.
    pub fn at_port(&self, number: u8) -> SocketAddr {
        SocketAddr::new(self.ip(number), self.port())
    }

    /// The port of all daemons.
    pub fn port(&self) -> u16 {
        self.place.port
    }

    pub fn write_settings(&self, revision: u64) {
        self.write_settings_with(revision, |_| {});
    }

    /// Signs settings that differ from the usual ones by what `change` does.
    pub fn write_settings_with(&self, revision: u64, change: impl FnOnce(&mut SettingsBody)) {
        let mut settings = SettingsBody {
            revision,
            allow_loopback: true,
            ..SettingsBody::new("sol".parse().unwrap(), self.ttl_ms)
        };
        change(&mut settings);
        let record = Record::Settings(Signed::sign(&self.key.network_id(), &self.key, settings));
        let text = mesher_config::settings::to_file_text(&record);
        std::fs::write(self.dir.path().join("network.settings"), text).unwrap();
    }

    /// The place of a daemon on the address with that last number; only the first, the founder, has the settings.
    pub fn daemon(&self, name: &str, number: u8, names: &[&str], bootstrap: &[u8]) -> Daemon {
        let dir = self.dir.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        let address = self.ip(number);
        let quoted =
            |items: Vec<String>| items.iter().map(|i| format!("{i:?}")).collect::<Vec<_>>().join(", ");
        let settings = if number == 1 {
            format!("settings_file = {:?}\n", self.dir.path().join("network.settings"))
        } else {
            String::new()
        };
        let config = format!(
            "[network]\nid = \"{}\"\nsecret_file = {:?}\n{settings}[host]\nlabel = \"{name}\"\ncertificate_file = {:?}\nnames = [{}]\naddresses = [\"{address}\"]\n[cluster]\nbind = \"{address}\"\nport = {}\nbootstrap_nodes = [{}]\njoin_timeout = \"1s\"\n",
            self.key.network_id(),
            self.dir.path().join("network.secret"),
            dir.join("host.cert"),
            quoted(names.iter().map(|name| (*name).to_owned()).collect()),
            self.port(),
            quoted(bootstrap.iter().map(|n| self.at_port(*n).to_string()).collect()),
        );
        std::fs::write(dir.join("config.toml"), config).unwrap();
        Daemon {
            name: name.to_owned(),
            dir,
            address,
            child: None,
            env: Vec::new(),
            user: None,
            unlimited_core: false,
        }
    }
}

impl Daemon {
    pub fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_mesherd"));
        if self.user.is_some() {
            // Where that user may run it from, whatever the modes of the directories above the build's.
            let copy = self.dir.join("mesherd");
            if !copy.exists() {
                copy_program(&program, &copy);
            }
            program = copy;
        }
        let mut command = Command::new(program);
        if let Some(id) = self.user {
            command.uid(id).gid(id);
        }
        if self.unlimited_core {
            // SAFETY: between fork and exec only setrlimit is called, a system call on data that is ready.
            unsafe { command.current_dir(&self.dir).pre_exec(unlimit_core) };
        }
        let child = command
            .arg("--config")
            .arg(self.dir.join("config.toml"))
            .arg("--state-dir")
            .arg(self.dir.join("state"))
            .arg("--runtime-dir")
            .arg(self.dir.join("run"))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        signal(&child, nix::libc::SIGTERM);
        assert!(child.wait().unwrap().success(), "{}", self.log());
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until the control socket answers.
    #[track_caller]
    pub fn wait_socket(&self, within: Duration) {
        let begin = Instant::now();
        let socket = self.dir.join("run").join(mesher_control::SOCKET_NAME);
        while Client::connect(&socket).is_err() {
            assert!(begin.elapsed() < within, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks on the control socket.
    pub fn ask<T: serde::de::DeserializeOwned>(&self, call: &Call) -> T {
        self.try_ask(call).unwrap_or_else(|error| panic!("{call:?}: {error}\n{}", self.log()))
    }

    /// What it answers, a refusal included. Asks again where the machine is so busy that the time which the daemon, or the client,
    /// gives an answer is over.
    pub fn try_ask<T: serde::de::DeserializeOwned>(&self, call: &Call) -> Result<T, ClientError> {
        let (begin, socket) = (Instant::now(), self.dir.join("run").join(mesher_control::SOCKET_NAME));
        loop {
            let answer = Client::connect(&socket).and_then(|mut client| client.call(call));
            let busy = match &answer {
                Err(ClientError::Io { .. }) => true,
                Err(error) => error.to_string().contains("it is busy; try again"),
                Ok(_) => false,
            };
            if !busy || begin.elapsed() > ANSWERS_WITHIN {
                return answer;
            }
        }
    }

    /// A metric's value.
    pub fn metric(&self, name: &str) -> u64 {
        let metrics: Metrics = self.ask(&Call::Metrics {});
        let value =
            metrics.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no metric {name} in {}", metrics.text))
    }

    /// Resident memory in bytes, now and at its highest.
    pub fn memory(&self) -> (u64, u64) {
        let process = self.child.as_ref().expect("it runs").id();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let kib = |field: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
            line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().unwrap()
        };
        (kib("VmRSS") * 1024, kib("VmHWM") * 1024)
    }

    pub fn status(&self) -> Status {
        self.ask(&Call::Status {})
    }

    pub fn reload(&self) -> Reloaded {
        self.ask(&Call::Reload { secrets: None })
    }

    /// Waits until the status is as wanted.
    #[track_caller]
    pub fn wait_status(&self, what: &str, within: Duration, wanted: impl Fn(&Status) -> bool) -> Status {
        let begin = Instant::now();
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(begin.elapsed() < within, "no {what} after {within:?}: {status:#?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        format!("log of {}:\n{log}", self.name)
    }

    /// Waits until the log has this in one line.
    #[track_caller]
    pub fn wait_log(&self, text: &str, within: Duration) {
        let begin = Instant::now();
        while !self.log().contains(text) {
            assert!(begin.elapsed() < within, "no {text:?} after {within:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The addresses a name has in this daemon's table, while its lease runs.
    pub fn lookup(&self, name: &str) -> Vec<IpAddr> {
        lookup(&self.dir.join("run/hosts.table"), name)
    }

    /// Starts the daemon and waits until it holds this name.
    #[track_caller]
    pub fn start_and_hold(&mut self, name: &str, within: Duration) {
        self.start();
        self.wait_for(name, Some(self.address), within);
    }

    /// The daemon works as before: it answers, keeps its name, and its engine neither panicked nor ended.
    #[track_caller]
    pub fn assert_unharmed(&self, name: &str) {
        self.wait_for(name, Some(self.address), Duration::ZERO);
        assert_eq!(self.status().host.label, self.name);
        let log = self.log();
        assert!(!log.contains("panicked") && !log.contains("its task"), "{log}");
    }

    /// Waits until a name has exactly this one address, or none.
    #[track_caller]
    pub fn wait_for(&self, name: &str, address: Option<IpAddr>, within: Duration) {
        let (begin, wanted) = (Instant::now(), Vec::from_iter(address));
        while self.lookup(name) != wanted {
            assert!(
                begin.elapsed() < within,
                "{name} on {}: {:?} after {within:?}, expected {wanted:?}\n{}",
                self.name,
                self.lookup(name),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn lookup(table: &Path, name: &str) -> Vec<IpAddr> {
    let Ok(table) = TableFile::open(table) else { return Vec::new() };
    let alive = table.header().is_ok_and(|header| header.deadline.is_ahead_of(mesher_table::Deadline::now()));
    let Some(entry) = table.find(name).ok().flatten().filter(|_| alive) else { return Vec::new() };
    let v6 = entry.v6.iter().map(|v6| IpAddr::V6(v6.address));
    entry.v4.into_iter().map(IpAddr::V4).chain(v6).collect()
}

/// Copies a program that is to be run. Not in this process: what another of its threads starts meanwhile would have the new file open
/// for writing until it runs a program of its own, and for so long nobody can run the file (ETXTBSY).
pub fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status().expect("cp");
    assert!(status.success(), "{status}");
}

/// What a process may dump when it crashes has no limit from now on.
pub fn unlimit_core() -> std::io::Result<()> {
    let limit = nix::libc::rlimit { rlim_cur: nix::libc::RLIM_INFINITY, rlim_max: nix::libc::RLIM_INFINITY };
    // SAFETY: a plain system call on data that lives until it returns.
    let set = unsafe { nix::libc::setrlimit(nix::libc::RLIMIT_CORE, &raw const limit) };
    if set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: the child has not been waited for, so its id is still its own.
    let sent = unsafe { nix::libc::kill(i32::try_from(child.id()).unwrap(), signal) };
    assert_eq!(sent, 0);
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::File::options().create_new(true).write(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}
