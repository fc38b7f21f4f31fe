//! Commands that have the daemon do something, or that show what it says as it is.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use mesher_config::Config;
use mesher_config::secret::{Check, SecretBytes, SecretError, read_secrets};
use mesher_control::types::{Change, Claimed, LogLevelSet, Metrics, Released, Reloaded, Status, Watched};
use mesher_control::{Call, Client, SecretText};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::config::host_name;
use crate::failure::Failure;
use crate::output::{Mood, Output, safe, time};

/// `claim`.
pub(crate) fn claim(out: &Output, socket: &Path, name: &str) -> Result<(), Failure> {
    let claimed: Claimed = Client::connect(socket)?.call(&Call::Claim { name: name.to_owned() })?;
    if out.is_json() {
        return out.json(&claimed);
    }
    match &claimed.holder {
        _ if claimed.held => out.print(format_args!("{} is claimed, and held by this machine", claimed.name)),
        Some(holder) => out.print(format_args!(
            "{} is claimed. It is held by {} now; this machine waits in line (see: mesherctl explain {0})",
            claimed.name,
            safe(holder)
        )),
        None => out.print(format_args!("{} is claimed", claimed.name)),
    }
}

/// `release`.
pub(crate) fn release(out: &Output, socket: &Path, name: &str) -> Result<(), Failure> {
    let released: Released = Client::connect(socket)?.call(&Call::Release { name: name.to_owned() })?;
    if out.is_json() { out.json(&released) } else { out.print(format_args!("{} is released", released.name)) }
}

/// `reload`. The network secret goes along where this process may read it: the daemon, as a service, may not.
pub(crate) fn reload(out: &Output, socket: &Path, config: &Path) -> Result<(), Failure> {
    let mut client = Client::connect(socket)?;
    let status: Status = client.call(&Call::Status {})?;
    // Not those of some other daemon, such as one that was started by hand.
    let is_its_own = Path::new(&status.config_file) == config;
    if !is_its_own && config != Path::new(mesher_config::DEFAULT_CONFIG_FILE) {
        crate::output::tell(format_args!(
            "mesherctl: the daemon reads {}, as it was started with, and not {}",
            status.config_file,
            config.display()
        ));
    }
    let secrets = if is_its_own { secrets_to_bring(config)? } else { None };
    let reloaded: Reloaded = client.call(&Call::Reload { secrets })?;
    if out.is_json() {
        return out.json(&reloaded);
    }
    let changed = if reloaded.changed.is_empty() {
        "nothing has changed".to_owned()
    } else {
        reloaded.changed.join(", ")
    };
    out.print(format_args!("reloaded: {changed}"))?;
    if !reloaded.needs_restart.is_empty() {
        let keys = reloaded.needs_restart.join(", ");
        out.print(format_args!(
            "{} {keys} (run: systemctl restart data-mesher.service)",
            out.paint(Mood::Warning, "takes effect only with a restart:")
        ))?;
    }
    reloaded.warnings.iter().try_for_each(|warning| {
        out.print(format_args!("{} {}", out.paint(Mood::Warning, "warning:"), safe(warning)))
    })
}

/// The text of the file with the network secrets; none where there is no such file or it is not ours to read. What is wrong with
/// the configuration itself is for the daemon to tell.
fn secrets_to_bring(config: &Path) -> Result<Option<SecretText>, Failure> {
    let Ok(config) = Config::load(config, &host_name()) else { return Ok(None) };
    match read_secrets(&config.network.secret_file, Check::Mode) {
        Ok(secrets) => {
            let text: Vec<_> = secrets.iter().map(SecretBytes::to_file_text).collect();
            Ok(Some(SecretText::new(text.iter().map(|line| line.as_str()).collect())))
        }
        Err(SecretError::Read { error, .. })
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// `log-level`.
pub(crate) fn log_level(out: &Output, socket: &Path, level: &str) -> Result<(), Failure> {
    let set: LogLevelSet = Client::connect(socket)?.call(&Call::SetLogLevel { level: level.to_owned() })?;
    if out.is_json() {
        return out.json(&set);
    }
    out.print(format_args!("log level {level} until the next restart or reload; it was {}", set.previous))
}

/// `metrics`: as Prometheus has them, or with `--json` as one string in an object.
pub(crate) fn metrics(out: &Output, socket: &Path) -> Result<(), Failure> {
    let metrics: Metrics = Client::connect(socket)?.call(&Call::Metrics {})?;
    if out.is_json() { out.json(&metrics) } else { out.raw(metrics.text.as_bytes()) }
}

/// `watch`: one line a change, until interrupted.
pub(crate) fn watch(out: &Output, socket: &Path) -> Result<(), Failure> {
    let stream = Client::connect(socket)?.stream::<Watched>(&Call::Watch {})?;
    end_with_the_reader();
    for watched in stream {
        let watched = watched?;
        if out.is_json() {
            out.json_line(&watched)?;
            continue;
        }
        if watched.missed > 0 {
            let missed = format!("{} changes were missed: this terminal was too slow", watched.missed);
            out.print(out.paint(Mood::Warning, missed))?;
        }
        if let Some(change) = watched.change {
            out.print(describe(out, &change))?;
        }
    }
    Ok(())
}

/// Ends this process when whoever reads its output has gone: in a quiet network it may be hours before the next write would tell.
fn end_with_the_reader() {
    std::thread::spawn(|| {
        let stdout = io::stdout();
        // Asked for nothing, poll(2) still tells of an error or a hang-up; of a file it never does.
        let mut polled = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        loop {
            match nix::poll::poll(&mut polled, PollTimeout::NONE) {
                Ok(_) => std::process::exit(0),
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    });
}

fn describe(out: &Output, change: &Change) -> String {
    let mood = match change.kind.as_str() {
        "name_held" | "peer_up" | "joined" | "started" => Mood::Good,
        "name_lost" | "name_waiting" | "peer_down" | "join_timeout" => Mood::Warning,
        _ => Mood::Heading,
    };
    let when = out.paint(Mood::Faint, time(change.time_unix_ms));
    format!("{when}  {}  {}", out.paint(mood, safe(&change.kind)), safe(&change.message))
}
