//! Runs everything there is to run, keeps going after a failure, and says at the end what ran.

mod cargo_output;
mod tools;

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use cargo_output::CargoOutput;

use crate::{bench, deb, demo, deny, dist, fuzz, host, machines, paths, plants};

/// What a stage came to.
struct Outcome {
    stage: &'static str,
    counts: Counts,
    took: Duration,
}

/// What one stage ran.
#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
    /// What failed and why, in a line each, as far as the stage can tell.
    failures: Vec<String>,
}

type Run = fn() -> Result<Counts>;

/// The seeds of the simulation of whole networks, in two minutes of processor time; `cargo test` alone runs through fewer.
const SEEDS: (&str, &str) = ("MESHER_SIM_SEEDS", "0..1000");

/// The stages. The release files come before the tests, which test the shipped module.
const STAGES: [(&str, Run); 12] = [
    ("format", format),
    ("lints", lints),
    ("dependencies", dependencies),
    ("release files", release_files),
    ("tests", tests),
    ("planted faults", planted_faults),
    ("instructions", instructions),
    ("fuzzing", fuzzing),
    ("packages", packages),
    ("nix", nix),
    ("demonstration", demonstration),
    ("machines", whole_machines),
];

/// Installs what is missing, runs every stage, and prints what ran. The last line is `N passed, N failed`.
///
/// # Errors
///
/// Without root, and when what the tests need cannot be had.
pub(crate) fn run() -> Result<ExitCode> {
    if !host::is_root() {
        bail!(
            "the tests need root: they boot whole machines and act as other users. As yourself:\n  \
             cargo test --workspace"
        );
    }
    tools::install()?;
    let begun = Instant::now();
    let outcomes: Vec<Outcome> = STAGES.iter().map(|(stage, run)| run_stage(stage, *run)).collect();
    println!("\n== what ran");
    for Outcome { stage, counts, took } in &outcomes {
        let ignored = if counts.ignored > 0 { format!("{} ignored", counts.ignored) } else { String::new() };
        let (passed, failed, took) = (counts.passed, counts.failed, took.as_secs_f64());
        println!("{stage:<14} {passed:>5} passed {failed:>4} failed {took:>8.1} s  {ignored}");
    }
    let passed: usize = outcomes.iter().map(|outcome| outcome.counts.passed).sum();
    let failed: usize = outcomes.iter().map(|outcome| outcome.counts.failed).sum();
    println!("all of it in {:.0} s", begun.elapsed().as_secs_f64());
    if failed > 0 {
        // Here too: what a stage printed of it may lie thousands of lines above.
        println!("\n== what failed");
        for Outcome { stage, counts, .. } in &outcomes {
            for failure in &counts.failures {
                println!("{stage}: {failure}");
            }
            let unnamed = counts.failed.saturating_sub(counts.failures.len());
            if unnamed > 0 {
                println!("{stage}: {unnamed} more, named above");
            }
        }
        println!();
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_stage(stage: &'static str, run: Run) -> Outcome {
    println!("\n== {stage}");
    let begun = Instant::now();
    let counts = run().unwrap_or_else(|error| {
        let failure = format!("{error:#}");
        println!("{stage}: {failure}");
        let first = failure.lines().next().unwrap_or_default().to_owned();
        Counts { failed: 1, failures: vec![first], ..Counts::default() }
    });
    Outcome { stage, counts, took: begun.elapsed() }
}

/// One check that ran to a good end.
fn one() -> Counts {
    Counts { passed: 1, ..Counts::default() }
}

fn format() -> Result<Counts> {
    host::run(&mut host::cargo(&["fmt", "--all", "--check"]))?;
    Ok(one())
}

fn lints() -> Result<Counts> {
    host::run(&mut host::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--quiet",
        "--",
        "--deny=warnings",
    ]))?;
    Ok(one())
}

fn tests() -> Result<Counts> {
    let mut command = host::cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    // What is shipped is what is tested; where it could not be built, the ABI tests build a module and say why.
    let module = paths::dist().join(dist::module_path()?);
    if module.is_file() {
        command.env("MESHER_MODULE", module);
    }
    if env::var_os(SEEDS.0).is_none() {
        command.env(SEEDS.0, SEEDS.1);
    }
    let mut output = CargoOutput::default();
    let success = stream(&mut command, |line| output.line(line))?;
    let CargoOutput { passed, mut failed, ignored, mut failures, .. } = output;
    if !success && failed == 0 {
        failed = 1;
        failures.push("a test did not compile, or its process died: it is in no \"test result\"".to_owned());
    }
    if passed == 0 {
        bail!("no test ran");
    }
    Ok(Counts { passed, failed, ignored, failures })
}

/// Licences, versions and sources of what this project is built from.
fn dependencies() -> Result<Counts> {
    let outcome = deny::run()?;
    Ok(Counts {
        passed: outcome.passed,
        failed: outcome.failed,
        ignored: outcome.left_out,
        ..Counts::default()
    })
}

/// The faults that are cheap to look for; `cargo xtask plants --all` has the others.
fn planted_faults() -> Result<Counts> {
    let counts = plants::run_all(&plants::Options::default())?;
    Ok(Counts { passed: counts.found, failed: counts.missed, ..Counts::default() })
}

/// How many instructions a lookup takes: a tenth more than was committed is a failure.
fn instructions() -> Result<Counts> {
    bench::run(&["--check".to_owned()])?;
    Ok(one())
}

/// A minute of all fuzz targets together; `cargo xtask fuzz` goes on from there.
fn fuzzing() -> Result<Counts> {
    let counts = fuzz::run_in_tests()?;
    Ok(Counts { passed: counts.passed, failed: counts.failed, ..Counts::default() })
}

fn release_files() -> Result<Counts> {
    // The stages that follow must not take an older build for this one.
    let tree = paths::dist();
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("removing {}", tree.display()))?;
    }
    dist::build()?;
    Ok(one())
}

/// The Debian packages, by Debian's own rules, and the manual pages. What they do on machines is in the scenarios.
fn packages() -> Result<Counts> {
    let packages = deb::build(&deb::Options { from: Some(paths::dist()), ..deb::Options::default() })?;
    let mut lintian = Command::new("lintian");
    host::run(
        lintian.args(["--fail-on", "error", "--allow-root", "--tag-display-limit", "0"]).args(packages),
    )?;
    let manual = paths::dist().join("usr/share/man");
    let mut mandoc = Command::new("mandoc");
    mandoc.current_dir(&manual).args(["-T", "lint", "-W", "warning"]).args(dist::list(&manual)?);
    host::run(&mut mandoc).context("checking the manual pages")?;
    Ok(one())
}

/// What is written in Nix. The checks that evaluate the module need nixpkgs' lib (`docs/nixos.md`).
fn nix() -> Result<Counts> {
    let mut checks = Command::new("python3");
    checks.env("PYTHONPATH", paths::repository().join("tests/nix")).env("PYTHONDONTWRITEBYTECODE", "1");
    checks.args(["-m", "checks", "--target"]).arg(paths::target());
    let mut counts = Counts::default();
    let success = stream(&mut checks, |line| {
        counts.passed += usize::from(line.starts_with("passed  "));
        if let Some(failure) = line.strip_prefix("FAILED  ") {
            counts.failed += 1;
            counts.failures.push(failure.to_owned());
        }
        let left_out = line.split_once(" more need nixpkgs' lib").and_then(|(count, _)| count.parse().ok());
        counts.ignored = left_out.unwrap_or(counts.ignored);
    })?;
    if success != (counts.failed == 0) || counts.passed + counts.failed == 0 {
        bail!("the checks ended before they were done");
    }
    Ok(counts)
}

fn demonstration() -> Result<Counts> {
    Ok(Counts { passed: demo::check()?, ..Counts::default() })
}

fn whole_machines() -> Result<Counts> {
    let report = paths::target().join("machines/report");
    let mut driver = machines::driver(&machines::Options::default())?;
    driver.arg("--report").arg(&report);
    if report.exists() {
        fs::remove_file(&report)?;
    }
    let success = driver.status().context("running the driver")?.success();
    let text = fs::read_to_string(&report).context("the driver ended without a report")?;
    let count = |word| text.lines().filter(|line| line.starts_with(word)).count();
    let failures = text.lines().filter_map(|line| line.strip_prefix("failed\t"));
    let failures = failures.map(|line| line.replace('\t', ", ")).collect();
    let counts = Counts { passed: count("passed"), failed: count("failed"), ignored: 0, failures };
    if success != (counts.failed == 0) || counts.passed + counts.failed == 0 {
        bail!("the driver's report and its exit status disagree:\n{text}");
    }
    Ok(counts)
}

/// Runs a command, shows its output as it comes, and hands every line to `each`. Returns whether it succeeded.
fn stream(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    let (reader, writer) = io::pipe().context("making a pipe")?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("running cargo")?;
    // The command keeps its ends of the pipe open: reading would never come to an end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        each(&line);
    }
    Ok(child.wait()?.success())
}
