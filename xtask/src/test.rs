//! Runs everything there is to run, keeps going after a failure, and says at the end what ran.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{bench, deb, demo, deny, dist, fuzz, host, machines, paths, plants};

/// What a stage came to.
struct Outcome {
    stage: &'static str,
    passed: usize,
    failed: usize,
    took: Duration,
    /// What to show in the summary beside the counts: the first error, or what was left out.
    note: String,
}

/// Passed and failed of one stage.
#[derive(Clone, Copy, Default)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
}

type Run = fn() -> Result<Counts>;

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

/// What the stages use beside the machines' tools, each in the places where it may be, and its Debian package.
const TOOLS: &[(&[&str], &str)] = &[
    (&["cc"], "gcc"),
    (&["/usr/include/stdlib.h"], "libc6-dev"),
    (&["nm"], "binutils"),
    (&["c++"], "g++"),
    (&["valgrind"], "valgrind"),
    (&["curl"], "curl"),
    (&["nix-instantiate"], "nix-bin"),
    (&["nscd"], "nscd"),
    (&["lintian"], "lintian"),
    (&["mandoc"], "mandoc"),
    (&["script"], "bsdutils"),
    (&["zsh"], "zsh"),
    (&["fish"], "fish"),
    (&["unbound"], "unbound"),
    (&["/usr/share/dns/root.key"], "dns-root-data"),
    (&["dnsmasq"], "dnsmasq-base"),
    (&["named-checkconf"], "bind9-utils"),
    (&["pip3", "pip"], "python3-pip"),
    (&["apparmor_parser"], "apparmor"),
    (
        &["/usr/lib/systemd/tests/test-nss-hosts", "/usr/lib/systemd/tests/unit-tests/test-nss-hosts"],
        "systemd-tests",
    ),
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
    install_tools()?;
    let begun = Instant::now();
    let outcomes: Vec<Outcome> = STAGES.iter().map(|(stage, run)| run_stage(stage, *run)).collect();
    println!("\n== what ran");
    for outcome in &outcomes {
        println!(
            "{:<14} {:>5} passed {:>4} failed {:>8.1} s  {}",
            outcome.stage,
            outcome.passed,
            outcome.failed,
            outcome.took.as_secs_f64(),
            outcome.note
        );
    }
    let passed: usize = outcomes.iter().map(|outcome| outcome.passed).sum();
    let failed: usize = outcomes.iter().map(|outcome| outcome.failed).sum();
    println!("all of it in {:.0} s", begun.elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_stage(stage: &'static str, run: Run) -> Outcome {
    println!("\n== {stage}");
    let begun = Instant::now();
    let result = run();
    let took = begun.elapsed();
    let (counts, note) = match result {
        Ok(counts) if counts.ignored > 0 => (counts, format!("{} ignored", counts.ignored)),
        Ok(counts) => (counts, String::new()),
        Err(error) => {
            println!("{stage}: {error:#}");
            let first = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
            (Counts { failed: 1, ..Counts::default() }, first)
        }
    };
    Outcome { stage, passed: counts.passed, failed: counts.failed, took, note }
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
    let mut counts = Counts::default();
    let success = stream(&mut command, |line| {
        if let Some(one) = test_result(line) {
            counts.passed += one.passed;
            counts.failed += one.failed;
            counts.ignored += one.ignored;
        }
    })?;
    // A test that does not compile, or whose process dies, is in no "test result".
    if !success && counts.failed == 0 {
        counts.failed = 1;
    }
    if counts.passed == 0 {
        bail!("no test ran");
    }
    Ok(counts)
}

/// Licences, versions and sources of what this project is built from.
fn dependencies() -> Result<Counts> {
    let outcome = deny::run()?;
    Ok(Counts { passed: outcome.passed, failed: outcome.failed, ignored: outcome.left_out })
}

/// The faults that are cheap to look for; `cargo xtask plants --all` has the others.
fn planted_faults() -> Result<Counts> {
    let counts = plants::run_all(&plants::Options::default())?;
    Ok(Counts { passed: counts.found, failed: counts.missed, ignored: 0 })
}

/// How many instructions a lookup takes: a tenth more than was committed is a failure.
fn instructions() -> Result<Counts> {
    bench::run(&["--check".to_owned()])?;
    Ok(one())
}

/// A minute of all fuzz targets together; `cargo xtask fuzz` goes on from there.
fn fuzzing() -> Result<Counts> {
    let counts = fuzz::run_in_tests()?;
    Ok(Counts { passed: counts.passed, failed: counts.failed, ignored: 0 })
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
        counts.failed += usize::from(line.starts_with("FAILED  "));
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
    let counts = Counts { passed: count("passed"), failed: count("failed"), ignored: 0 };
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

/// The counts in the line with which a test binary ends.
fn test_result(line: &str) -> Option<Counts> {
    let (_, counts) = line.split_once("test result: ")?.1.split_once(". ")?;
    let count = |what: &str| {
        counts
            .split(';')
            .find_map(|part| part.trim().strip_suffix(what))
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or(0)
    };
    Some(Counts { passed: count("passed"), failed: count("failed"), ignored: count("ignored") })
}

/// Installs the Debian packages of the tools that are missing. Asks first where there is somebody to ask.
fn install_tools() -> Result<()> {
    let missing = |places: &[&str]| places.iter().all(|place| host::find(place).is_none());
    let mut packages: Vec<&str> =
        TOOLS.iter().filter(|(places, _)| missing(places)).map(|(_, package)| *package).collect();
    packages.extend(deb::TOOLS.iter().filter(|(tool, _)| missing(&[tool])).map(|(_, package)| *package));
    packages.extend(machines::TOOLS.iter().filter(|(tool, _)| missing(&[tool])).map(|(_, package)| *package));
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if host::find("apt-get").is_none() {
        bail!("install what the tests need with this system's package manager; on Debian it is {list}");
    }
    println!("The tests need packages that are not here: {list}");
    let ask = env::var_os("CI").is_none() && io::stdin().is_terminal();
    if ask && !confirmed("Install them with apt-get? [Y/n] ")? {
        bail!("install them, then run this again: apt-get install --no-install-recommends {list}");
    }
    let install = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        host::run(apt.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(&packages))
    };
    // The lists of a fresh or an old system do not know the packages that its mirror holds.
    if install().is_err() {
        host::run(Command::new("apt-get").args(["update", "--quiet"]))?;
        install()?;
    }
    // The tests run servers of their own; the machine's lookups are none of their business.
    for (package, units) in
        [("nscd", &["nscd.service", "nscd.socket"][..]), ("unbound", &["unbound.service"])]
    {
        if packages.contains(&package) && Path::new("/run/systemd/system").is_dir() {
            host::run(Command::new("systemctl").args(["disable", "--now", "--quiet"]).args(units))?;
        }
    }
    Ok(())
}

fn confirmed(question: &str) -> Result<bool> {
    print!("{question}");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes"))
}

#[cfg(test)]
mod unit_tests {
    use super::test_result;

    #[test]
    fn reads_the_counts_of_a_test_binary() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        let counts = test_result(line).expect("a result line");
        assert_eq!((counts.passed, counts.failed, counts.ignored), (12, 3, 1));
        assert!(test_result("running 12 tests").is_none());
    }
}
