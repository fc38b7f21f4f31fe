//! Coverage-guided fuzzing: builds the targets of `fuzz/` on the stable toolchain, and runs them from the committed corpus.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::{host, paths};

/// Seconds for all targets together in the test command, on two processors.
const SECONDS_IN_TESTS: u64 = 60;

/// What the compiler is told, as `cargo fuzz run --sanitizer none` does: to count edges and to show the fuzzer what is
/// compared. Setting this keeps the target directory apart from the others as well.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Which targets to run, and for how long.
#[derive(Debug)]
pub(crate) struct Options {
    /// By name; all when empty.
    pub(crate) targets: Vec<String>,
    /// Seconds for each.
    pub(crate) seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { targets: Vec::new(), seconds: 60 }
    }
}

/// What came of them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

/// Runs targets for somebody at the terminal. What they find adds to `target/fuzz/corpus`, where the next run goes on.
///
/// # Errors
///
/// When the targets cannot be built. A finding is no error but an exit status.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let counts = run_targets(&selected(options)?, options.seconds)?;
    println!("{} passed, {} failed", counts.passed, counts.failed);
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All targets, a minute for all of them together, each from the committed corpus and nothing else.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn run_in_tests() -> Result<Counts> {
    let targets = selected(&Options::default())?;
    let found = folder().join("corpus");
    if found.exists() {
        fs::remove_dir_all(&found).with_context(|| format!("removing {}", found.display()))?;
    }
    let each = SECONDS_IN_TESTS * LANES as u64 / targets.len() as u64;
    run_targets(&targets, each.max(1))
}

/// Targets at a time: as many as the smallest machine that is expected has processors.
const LANES: usize = 2;

#[derive(Deserialize)]
struct Manifest {
    bin: Vec<Target>,
}

#[derive(Clone, Debug, Deserialize)]
struct Target {
    name: String,
    #[serde(default, rename = "required-features")]
    features: Vec<String>,
}

fn folder() -> PathBuf {
    paths::target().join("fuzz")
}

fn manifest() -> PathBuf {
    paths::repository().join("fuzz/Cargo.toml")
}

fn selected(options: &Options) -> Result<Vec<Target>> {
    let text = fs::read_to_string(manifest()).context("reading fuzz/Cargo.toml")?;
    let known = toml::from_str::<Manifest>(&text).context("fuzz/Cargo.toml")?.bin;
    if options.targets.is_empty() {
        return Ok(known);
    }
    let find = |name: &String| match known.iter().find(|target| target.name == *name) {
        Some(target) => Ok(target.clone()),
        None => {
            let names: Vec<&str> = known.iter().map(|target| target.name.as_str()).collect();
            bail!("there is no fuzz target {name:?}; there are {}", names.join(", "))
        }
    };
    options.targets.iter().map(find).collect()
}

fn run_targets(targets: &[Target], seconds: u64) -> Result<Counts> {
    let programs = build(targets)?;
    let queue = Mutex::new(targets.iter().collect::<VecDeque<_>>());
    let counts = Mutex::new(Counts::default());
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let Some(target) = lock(&queue).pop_front() else { break };
                    let outcome = run_target(&target.name, &programs, seconds);
                    let mut counts = lock(&counts);
                    match outcome {
                        Ok(executions) => {
                            counts.passed += 1;
                            println!("passed  {}: {executions} executions in {seconds} s", target.name);
                        }
                        Err(error) => {
                            counts.failed += 1;
                            println!("FAILED  {}: {error:#}", target.name);
                        }
                    }
                }
            });
        }
    });
    Ok(*lock(&counts))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Builds the targets; returns the folder they lie in.
fn build(targets: &[Target]) -> Result<PathBuf> {
    let triple = triple()?;
    // For a named target the flags go to the targets' code only, not to build scripts and macros.
    let mut cargo = host::cargo(&["build", "--quiet", "--release", "--target", &triple, "--manifest-path"]);
    cargo.arg(manifest());
    // The daemon takes most of the time, and the table's targets do without it.
    if targets.iter().all(|target| target.features.is_empty()) {
        cargo.arg("--no-default-features");
    }
    for target in targets {
        cargo.args(["--bin", &target.name]);
    }
    cargo.env("CARGO_TARGET_DIR", folder()).env("RUSTFLAGS", FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    host::run(&mut cargo)?;
    Ok(folder().join(triple).join("release"))
}

/// The machine's target triple, as its compiler names it.
fn triple() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = host::output(Command::new(rustc).arg("-vV"))?;
    let triple = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(triple.context("rustc does not say which machine it is for")?.to_owned())
}

/// Runs a target; returns how many inputs it tried.
fn run_target(name: &str, programs: &Path, seconds: u64) -> Result<u64> {
    let [found, artifacts, logs] = ["corpus", "artifacts", "logs"].map(|part| folder().join(part));
    let (found, artifacts) = (found.join(name), artifacts.join(name));
    for folder in [&found, &artifacts, &logs] {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let committed = paths::repository().join("fuzz/corpus").join(name);
    let seeds = fs::read_dir(&committed).with_context(|| format!("reading {}", committed.display()))?.count();
    let log = logs.join(name);
    let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let program = programs.join(name);
    let mut command = Command::new(&program);
    command.arg(&found).arg(&committed).arg(format!("-max_total_time={seconds}"));
    // A time-out far beyond any input's need: the machine may have much else to do.
    command.args(["-max_len=8192", "-timeout=120", "-print_final_stats=1"]);
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.stdout(output.try_clone()?).stderr(output);
    let mut child = command.spawn().with_context(|| format!("running {}", program.display()))?;
    let memory = PathBuf::from(format!("/dev/shm/mesher-fuzz-{}", child.id()));
    let status = child.wait()?;
    // The target's tables; it ends without destructors.
    if memory.exists() {
        fs::remove_dir_all(&memory).with_context(|| format!("removing {}", memory.display()))?;
    }
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    if !status.success() {
        let lines: Vec<&str> = said.lines().collect();
        let end = lines[lines.len().saturating_sub(30)..].join("\n");
        bail!(
            "it ended with {status}; run `{} FILE` on the file in {} again\n{end}",
            program.display(),
            artifacts.display()
        );
    }
    let executions = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let executions = executions.context("it does not say what it did")?.trim().parse()?;
    ensure!(
        executions > seeds as u64,
        "{executions} executions do not even try the {seeds} inputs there are"
    );
    Ok(executions)
}
