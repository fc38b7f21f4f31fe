//! The test of the tests: faults planted in a copy of the tree, each of which a test must find, for the reason stated.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::{host, paths};

/// Which plants to run.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Also those that the test command leaves out.
    pub(crate) all: bool,
    /// Only those of these files (`claims` is `tests/plants/claims.toml`), or whose names contain one of these.
    pub(crate) only: Vec<String>,
}

/// What came of them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) found: usize,
    pub(crate) missed: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlantFile {
    plant: Vec<Plant>,
}

/// A fault, and the test that is to find it. `docs/testing.md` describes the fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plant {
    name: String,
    #[serde(flatten)]
    single: Option<Edit>,
    #[serde(default)]
    edit: Vec<Edit>,
    run: Vec<String>,
    expect: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    ci: bool,
    /// A fault that makes a test hang is found as well, by the end of this time.
    #[serde(default = "five_minutes")]
    seconds: u64,
    #[serde(skip)]
    area: String,
}

#[derive(Debug, Deserialize)]
struct Edit {
    file: PathBuf,
    find: String,
    replace: String,
}

fn five_minutes() -> u64 {
    300
}

/// Runs the plants for somebody at the terminal.
///
/// # Errors
///
/// When the plants cannot be read or the copy cannot be made. A fault that is missed is no error but an exit status.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let counts = run_all(options)?;
    println!("{} passed, {} failed", counts.found, counts.missed);
    Ok(if counts.missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the plants that the options name, one after the other.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn run_all(options: &Options) -> Result<Counts> {
    let plants: Vec<Plant> = read_plants()?.into_iter().filter(|plant| options.name(plant)).collect();
    ensure!(!plants.is_empty(), "no plant in tests/plants is named so");
    let tree = paths::target().join("plants/tree");
    copy_tree(&tree)?;
    share_machines()?;
    let mut counts = Counts::default();
    for plant in &plants {
        let begun = Instant::now();
        let outcome = plant.grow(&tree);
        let took = begun.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                counts.found += 1;
                println!("found   {}: {}, {took:.1} s", plant.area, plant.name);
            }
            Err(error) => {
                counts.missed += 1;
                println!("MISSED  {}: {}, {took:.1} s: {error:#}", plant.area, plant.name);
            }
        }
    }
    Ok(counts)
}

impl Options {
    fn name(&self, plant: &Plant) -> bool {
        if self.only.is_empty() {
            return self.all || plant.ci;
        }
        self.only.iter().any(|word| plant.area == *word || plant.name.contains(word.as_str()))
    }
}

impl Plant {
    /// Puts the fault in, runs the test, and takes the fault out again.
    fn grow(&self, tree: &Path) -> Result<()> {
        let mut originals: BTreeMap<PathBuf, String> = BTreeMap::new();
        let planted = self.plant(tree, &mut originals);
        let outcome = planted.and_then(|()| self.is_found(tree));
        for (path, text) in originals {
            fs::write(&path, text).with_context(|| format!("restoring {}", path.display()))?;
        }
        outcome
    }

    fn plant(&self, tree: &Path, originals: &mut BTreeMap<PathBuf, String>) -> Result<()> {
        for edit in self.single.iter().chain(&self.edit) {
            let path = tree.join(&edit.file);
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", edit.file.display()))?;
            let places = text.matches(&edit.find).count();
            ensure!(
                places == 1,
                "{} has {:?} {places} times, expected once: the plant no longer fits the code",
                edit.file.display(),
                edit.find
            );
            fs::write(&path, text.replace(&edit.find, &edit.replace))?;
            originals.entry(path).or_insert(text);
        }
        Ok(())
    }

    /// The test must fail, and say what it is about: a fault that merely does not compile is not found.
    fn is_found(&self, tree: &Path) -> Result<()> {
        let log_path = paths::target().join("plants/logs").join(format!("{}.log", slug(&self.name)));
        fs::create_dir_all(log_path.parent().expect("in a directory"))?;
        let log = File::create(&log_path)?;
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", &self.seconds.to_string()]).args(&self.run).envs(&self.env);
        command.current_dir(tree).env("CARGO_TARGET_DIR", paths::target().join("plants/build"));
        // What the test command gives to its own tests is not made of this tree.
        command.env_remove("MESHER_MODULE");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let status = command.status().with_context(|| format!("cannot run {:?}", self.run))?;
        let said = String::from_utf8_lossy(&fs::read(&log_path)?).into_owned();
        let log = log_path.strip_prefix(paths::target()).unwrap_or(&log_path).display();
        ensure!(!status.success(), "the test passes with the fault in place (target/{log})");
        ensure!(
            said.contains(&self.expect),
            "the test ended with {status} and did not say {:?} (target/{log})",
            self.expect
        );
        Ok(())
    }
}

/// Machines with faults in them have the same Debian as others: it is not built a second time.
fn share_machines() -> Result<()> {
    let (bases, link) =
        (paths::target().join("machines/base"), paths::target().join("plants/build/machines/base"));
    if link.symlink_metadata().is_ok() {
        return Ok(());
    }
    for directory in [&bases, link.parent().expect("in a directory")] {
        fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    }
    std::os::unix::fs::symlink(&bases, &link).with_context(|| format!("linking {}", link.display()))
}

fn read_plants() -> Result<Vec<Plant>> {
    let directory = paths::repository().join("tests/plants");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut names = BTreeSet::new();
    let mut plants = Vec::new();
    for file in files {
        let area = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file)?;
        let parsed: PlantFile = toml::from_str(&text).with_context(|| format!("tests/plants/{area}.toml"))?;
        for mut plant in parsed.plant {
            plant.area.clone_from(&area);
            ensure!(names.insert(slug(&plant.name)), "two plants are named {:?}", plant.name);
            if plant.single.is_none() && plant.edit.is_empty()
                || plant.run.is_empty()
                || plant.expect.is_empty()
            {
                bail!(
                    "tests/plants/{area}.toml: {:?} lacks an edit, a command or what to expect",
                    plant.name
                );
            }
            plants.push(plant);
        }
    }
    Ok(plants)
}

/// The files git knows and those it would take, as they are now. What is already the same is left alone, so that
/// cargo builds anew only what changed.
fn copy_tree(tree: &Path) -> Result<()> {
    let mut list = Command::new("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(paths::repository());
    let listed = host::output(&mut list)?;
    let wanted: BTreeSet<PathBuf> = listed.split_terminator('\0').map(PathBuf::from).collect();
    for file in &wanted {
        let (from, to) = (paths::repository().join(file), tree.join(file));
        // Deleted and not yet committed.
        if !from.is_file() {
            continue;
        }
        let bytes = fs::read(&from)?;
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        fs::create_dir_all(to.parent().expect("in the tree"))?;
        fs::copy(&from, &to).with_context(|| format!("copying {}", file.display()))?;
    }
    remove_others(tree, tree, &wanted)
}

fn remove_others(tree: &Path, directory: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            remove_others(tree, &path, wanted)?;
        } else if !wanted.contains(path.strip_prefix(tree)?) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn slug(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

#[cfg(test)]
mod unit_tests {
    use super::{read_plants, slug};

    #[test]
    fn the_plants_in_the_repository_can_be_read() {
        assert!(!read_plants().expect("every file of tests/plants parses").is_empty());
    }

    #[test]
    fn a_name_becomes_a_file_name() {
        assert_eq!(slug("Lease ends: late/never"), "lease-ends--late-never");
    }
}
