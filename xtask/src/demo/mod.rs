//! The demonstration: three daemons on one machine find each other by name. No root, nothing installed, nothing left.

mod check;
mod member;
mod resolver;
mod screen;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

pub(crate) use check::check;

use crate::{dist, host};
use member::Member;
use resolver::Resolver;
use screen::Screen;

const DOMAIN: &str = "sol";
/// Short, so that a holder's end is worth watching; a real network takes hours.
const CLAIM_TTL: Duration = Duration::from_secs(10);
/// How long anything else may take before the demonstration gives up.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Who claims what. Both alpha and gamma claim earth.
const MEMBERS: [(&str, &str, &[&str]); 3] = [
    ("alpha", "127.0.0.1", &["mercury", "venus", "earth"]),
    ("beta", "127.0.0.2", &["mars", "jupiter"]),
    ("gamma", "127.0.0.3", &["earth", "saturn", "uranus", "neptune"]),
];
const PLANETS: [&str; 8] = ["mercury", "venus", "earth", "mars", "jupiter", "saturn", "uranus", "neptune"];

/// What a member's lookups answer: the address of every name that resolves.
type Answers = BTreeMap<&'static str, String>;

/// Shows it, from the build to the last daemon's end.
///
/// # Errors
///
/// When something cannot be built or started, or does not come about within its time. Everything is cleaned up first.
pub(crate) fn run() -> Result<ExitCode> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).context("catching signals")?;
    }
    let mut screen = Screen::new(Arc::clone(&interrupted));
    screen.title(
        "Three daemons on this machine find each other by name. Nothing is installed; Ctrl-C ends it.",
    );
    let tree = match dist::build() {
        // Ctrl-C reaches cargo as well.
        Err(_) if interrupted.load(Ordering::Relaxed) => {
            screen.say("\nInterrupted while it was being built.");
            return Ok(ExitCode::from(130));
        }
        tree => tree?,
    };
    screen.event("built mesherd, mesherctl and libnss_mesher.so.2");
    // What is worth timing begins here.
    screen.restart_clock();
    let directory = Scratch::new()?;
    let show = Show { screen, interrupted: &interrupted, directory: directory.0.clone(), tree };
    let outcome = show.run();
    let (said, status) = match outcome {
        Err(_) if interrupted.load(Ordering::Relaxed) => ("Interrupted: the", ExitCode::from(130)),
        Err(error) => return Err(error),
        Ok(()) => ("The", ExitCode::SUCCESS),
    };
    let more = if status == ExitCode::SUCCESS { " What to do on real machines: README.md." } else { "" };
    show.screen.say(format_args!("\n{said} daemons are stopped, their files removed.{more}"));
    Ok(status)
}

/// A running demonstration.
struct Show<'a> {
    screen: Screen,
    interrupted: &'a AtomicBool,
    directory: PathBuf,
    tree: PathBuf,
}

impl Show<'_> {
    fn run(&self) -> Result<()> {
        let id = self.create_network()?;
        let mut resolver = Resolver::start(&self.tree, &self.directory)?;
        self.screen.event(&format!("lookups: {}", resolver.describe()));
        let (port, _keeper) = member::free_port(&MEMBERS.map(|(_, address, _)| address))?;
        let bootstrap = MEMBERS.map(|(_, address, _)| format!("{address}:{port}"));
        let setting = self.setting(&id, port, &bootstrap);
        let start = |label, address, names: &[&str]| {
            let member = Member::start(label, address, names, &setting)?;
            self.screen.event(&format!("{label} started on {address}, claims {}", names.join(", ")));
            anyhow::Ok(member)
        };

        self.screen.heading("alpha, alone");
        let (label, address, names) = MEMBERS[0];
        let mut members = vec![start(label, address, names)?];
        let alone = names.iter().map(|&name| (name, address.to_owned())).collect();
        self.until(&mut resolver, &mut members, &alone, PATIENCE)?;

        self.screen.heading("beta and gamma join; they learn each other's names");
        for (label, address, names) in &MEMBERS[1..] {
            members.push(start(label, address, names)?);
        }
        let all = expected(&[("earth", 0), ("mercury", 0), ("venus", 0)]);
        self.until(&mut resolver, &mut members, &all, PATIENCE)?;
        self.show_lookup(&mut resolver, &members[2], "earth", "earth is alpha's: it claimed it first")?;
        self.show_lookup(&mut resolver, &members[0], "neptune", "claimed by gamma, found by alpha")?;

        self.screen.heading("alpha is killed");
        members[0].kill()?;
        let mut rest = members.split_off(1);
        self.screen
            .event("alpha got SIGKILL; its names stay until its claims run out, in 10 s at the latest");
        let without = expected(&[("earth", 2)]);
        self.until(&mut resolver, &mut rest, &without, CLAIM_TTL + PATIENCE)?;
        self.show_lookup(&mut resolver, &rest[0], "earth", "gamma was next in line")?;

        self.screen.heading("alpha comes back");
        members[0].restart()?;
        self.screen.event("alpha started again");
        members.append(&mut rest);
        let back = expected(&[("earth", 2), ("mercury", 0), ("venus", 0)]);
        self.until(&mut resolver, &mut members, &back, PATIENCE)?;
        self.show_lookup(&mut resolver, &members[0], "earth", "gamma keeps it: alpha was away for too long")?;
        self.screen.event("everybody agrees");
        Ok(())
    }

    fn create_network(&self) -> Result<String> {
        let out = self.directory.join("network");
        let said = host::output(
            Command::new(self.tree.join("usr/bin/mesherctl"))
                .args(["network", "init", "--domain", DOMAIN, "--claim-ttl"])
                .arg(format!("{}s", CLAIM_TTL.as_secs()))
                .args(["--allow-loopback", "--out"])
                .arg(&out),
        )?;
        let id = said.split_whitespace().last().context("mesherctl network init printed nothing")?;
        self.screen.event(&format!("created the network {DOMAIN}, {id}"));
        Ok(id.to_owned())
    }

    fn setting<'b>(&'b self, id: &'b str, port: u16, bootstrap: &'b [String]) -> member::Setting<'b> {
        member::Setting {
            program: self.tree.join("usr/bin/mesherd"),
            directory: &self.directory,
            network_id: id,
            port,
            bootstrap,
        }
    }

    /// Waits until every member's lookups answer as expected, showing each change as it comes.
    fn until(
        &self,
        resolver: &mut Resolver,
        members: &mut [Member],
        expected: &Answers,
        patience: Duration,
    ) -> Result<()> {
        let begun = Instant::now();
        let mut agreed = false;
        while !agreed {
            agreed = true;
            for member in &mut *members {
                self.check_interrupted()?;
                member.check_alive()?;
                let answers = resolver.answers(&member.table(), &PLANETS)?;
                self.screen.changes(member.label(), &member.seen, &answers);
                agreed &= answers == *expected;
                member.seen = answers;
            }
            if begun.elapsed() > patience {
                self.screen.clear();
                bail!(
                    "this did not come about within {} s; the daemons' last words:\n{}",
                    patience.as_secs(),
                    {
                        let logs: Vec<String> = members.iter().map(Member::last_words).collect();
                        logs.join("\n")
                    }
                );
            }
            self.screen.waiting(begun.elapsed());
            std::thread::sleep(POLL);
        }
        self.screen.clear();
        Ok(())
    }

    fn show_lookup(&self, resolver: &mut Resolver, member: &Member, planet: &str, why: &str) -> Result<()> {
        let name = format!("{planet}.{DOMAIN}");
        let answer = resolver.raw(&member.table(), &name)?;
        self.screen.lookup(member.label(), &name, &answer, why);
        Ok(())
    }

    fn check_interrupted(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            self.screen.clear();
            bail!("interrupted");
        }
        Ok(())
    }
}

/// All that resolves once everything has settled: what beta and gamma hold always, and the given ones' holders.
fn expected(others: &[(&'static str, usize)]) -> Answers {
    let always = [("mars", 1), ("jupiter", 1), ("saturn", 2), ("uranus", 2), ("neptune", 2)];
    always.iter().chain(others).map(|&(name, holder)| (name, MEMBERS[holder].1.to_owned())).collect()
}

/// A directory that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("data-mesher-demo.{}", std::process::id()));
        // It holds keys.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("creating {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Scratch(path) = self;
        if let Err(error) = fs::remove_dir_all(Path::new(path)) {
            eprintln!("removing {}: {error}", path.display());
        }
    }
}
