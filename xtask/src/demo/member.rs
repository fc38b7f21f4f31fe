//! One daemon of the demonstration.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Answers;
use crate::host;

/// Where a demonstration keeps its port from others: beside its daemons' addresses.
const KEEPER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 254);

/// What every member of the network shares.
pub(super) struct Setting<'a> {
    pub(super) program: PathBuf,
    pub(super) directory: &'a Path,
    pub(super) network_id: &'a str,
    pub(super) port: u16,
    pub(super) bootstrap: &'a [String],
}

/// A daemon that runs, or is to run again. It is stopped when this is dropped.
pub(super) struct Member {
    label: &'static str,
    program: PathBuf,
    directory: PathBuf,
    child: Option<Child>,
    /// What this member's lookups last answered.
    pub(super) seen: Answers,
}

/// A port that is free for UDP on all the addresses: 7946, or one the system chooses. While the socket that comes with it is kept, no
/// other demonstration takes the same, nor does the kernel give it to anybody who asks for a port on all addresses.
pub(super) fn free_port(addresses: &[&str]) -> Result<(u16, UdpSocket)> {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
    let free =
        |port| addresses.iter().all(|&address| UdpSocket::bind(SocketAddr::new(address, port)).is_ok());
    for port in std::iter::once(7946).chain([0; 20]) {
        let Ok(keeper) = UdpSocket::bind((KEEPER, port)) else { continue };
        let port = keeper.local_addr()?.port();
        if free(port) {
            return Ok((port, keeper));
        }
    }
    bail!("no UDP port is free on all of 127.0.0.1 to 127.0.0.3")
}

impl Member {
    /// Writes a member's configuration and starts its daemon.
    pub(super) fn start(
        label: &'static str,
        address: &str,
        names: &[&str],
        setting: &Setting<'_>,
    ) -> Result<Self> {
        let directory = setting.directory.join(label);
        fs::create_dir(&directory)?;
        for part in ["state", "run"] {
            fs::create_dir(directory.join(part))?;
        }
        let network = setting.directory.join("network");
        let mut text = String::new();
        writeln!(text, "[network]\nid = {:?}", setting.network_id)?;
        writeln!(text, "secret_file = {:?}", network.join("network.secret"))?;
        // One member brings the settings; the others learn them from it.
        if label == "alpha" {
            writeln!(text, "settings_file = {:?}", network.join("network.settings"))?;
        }
        writeln!(
            text,
            "[host]\nlabel = {label:?}\nnames = {names:?}\naddresses = [{address:?}]\ninterfaces = []"
        )?;
        writeln!(text, "[cluster]\nbind = {address:?}\nport = {}", setting.port)?;
        // Long enough to meet a daemon that has just been started on the same machine.
        writeln!(text, "bootstrap_nodes = {:?}\njoin_timeout = \"1s\"", setting.bootstrap)?;
        fs::write(directory.join("config.toml"), text)?;
        let program = setting.program.clone();
        let mut member = Member { label, program, directory, child: None, seen: Answers::new() };
        member.restart()?;
        Ok(member)
    }

    pub(super) fn label(&self) -> &'static str {
        self.label
    }

    /// The hosts table this member keeps.
    pub(super) fn table(&self) -> PathBuf {
        self.directory.join("run/hosts.table")
    }

    /// Starts the daemon, for the first time or again.
    pub(super) fn restart(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        // Where setpriv is at hand, the kernel ends the daemon when this process is killed.
        let mut command = match host::find("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL"]).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.arg("--config").arg(self.directory.join("config.toml"));
        command.arg("--state-dir").arg(self.directory.join("state"));
        command.arg("--runtime-dir").arg(self.directory.join("run"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Not in the terminal's foreground group: Ctrl-C is for us, who then stop the daemons.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        self.child = Some(command.spawn().with_context(|| format!("starting {}", self.program.display()))?);
        Ok(())
    }

    /// Kills the daemon without warning.
    pub(super) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        self.seen.clear();
        Ok(())
    }

    /// Fails when the daemon has ended by itself.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() else {
            return Ok(());
        };
        bail!("{} ended with {status}:\n{}", self.label, self.last_words())
    }

    /// The end of what the daemon wrote.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(8)..];
        last.iter().map(|line| format!("  {}: {line}", self.label)).collect::<Vec<_>>().join("\n")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}
