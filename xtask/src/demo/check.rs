//! The demonstration as a test: to its end, and cut short.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{dist, host, paths};

/// The demonstration checks every answer it shows. It runs without the capabilities that its users have not got either.
///
/// Returns how often it ran to the end it was to come to: to its own, and twice cut short.
///
/// # Errors
///
/// When it failed, or, cut short, did not end as it should or left something behind.
pub(crate) fn check() -> Result<usize> {
    host::run(demo()?.stdin(Stdio::null()))?;
    for end in [DemoEnd::CtrlC, DemoEnd::NobodyReads] {
        cut_short(end).with_context(|| format!("the demonstration, ended by {end:?}"))?;
    }
    Ok(3)
}

fn demo() -> Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-all", "--"]).arg(env::current_exe()?).arg("demo");
    Ok(command)
}

/// What ends a demonstration before its time.
#[derive(Debug, Clone, Copy)]
enum DemoEnd {
    CtrlC,
    /// As `cargo xtask demo | head` does it.
    NobodyReads,
}

/// Ends it in the middle: it says so by its exit status, and leaves nothing behind.
fn cut_short(end: DemoEnd) -> Result<()> {
    let scratch = paths::target().join("demo-test");
    dist::remove_tree(&scratch)?;
    fs::create_dir(&scratch)?;
    let mut command = demo()?;
    command.env("TMPDIR", &scratch).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("running the demonstration")?;
    let output = BufReader::new(child.stdout.take().context("its output is piped")?);
    let begun = |line: &io::Result<String>| line.as_ref().is_ok_and(|line| line.contains("alpha started"));
    let mut lines = output.lines();
    if !lines.by_ref().any(|line| begun(&line)) {
        bail!("it ended by itself, with {}", child.wait()?);
    }
    match end {
        DemoEnd::CtrlC => host::run(Command::new("kill").args(["-INT", &child.id().to_string()]))?,
        DemoEnd::NobodyReads => drop(lines),
    }
    let ended = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    if ended.status.code() != Some(130) || said.contains("panicked") {
        bail!("{}, and it said:\n{said}", ended.status);
    }
    let left: Vec<_> = fs::read_dir(&scratch)?.collect::<io::Result<_>>()?;
    if !left.is_empty() {
        bail!("it left {left:?}");
    }
    dist::remove_tree(&scratch)
}
