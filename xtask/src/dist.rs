//! The release files: built, and laid out in `target/dist` as they are installed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{host, paths};

/// A release file: where it comes from, where it is installed below the root, and with which mode.
struct File {
    source: PathBuf,
    target: String,
    mode: u32,
}

/// Each shell, and where it looks for the completions of others' programs.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/mesherctl"),
    ("fish", "usr/share/fish/vendor_completions.d/mesherctl.fish"),
    ("zsh", "usr/share/zsh/vendor-completions/_mesherctl"),
];

/// The pages for operators.
const PAGES: [&str; 9] = [
    "configuration.md",
    "control.md",
    "exports.md",
    "getting-started.md",
    "installing.md",
    "migration.md",
    "nss.md",
    "sandbox.md",
    "troubleshooting.md",
];
/// AppArmor has no place for abstractions but this one.
const APPARMOR_RULE: &str = "etc/apparmor.d/abstractions/nameservice.d/data-mesher";

/// Builds the release files and lays them out. A tree that is there already is replaced whole, or, when anything
/// fails, not touched. Returns the tree's path.
///
/// # Errors
///
/// When a build fails or a file cannot be written.
pub(crate) fn build() -> Result<PathBuf> {
    host::run(&mut host::cargo(&[
        "build",
        "--release",
        "--locked",
        "-p",
        "mesherd",
        "-p",
        "mesherctl",
        "-p",
        "mesher_manual",
    ]))?;
    host::run(&mut host::cargo(&["build", "--profile", "nss", "--locked", "-p", "nss_mesher"]))?;
    let manual = paths::target().join("man");
    remove_tree(&manual)?;
    host::output(Command::new(paths::target().join("release/mesher_manual")).arg(&manual).arg(date()?))?;
    completions()?;

    let tree = paths::dist();
    let fresh = tree.with_extension("new");
    remove_tree(&fresh)?;
    for file in files()? {
        place(&file, &fresh)?;
    }
    remove_tree(&tree)?;
    fs::rename(&fresh, &tree).with_context(|| format!("renaming {} into place", fresh.display()))?;
    Ok(tree)
}

/// The installed path of the NSS module, relative to the root.
///
/// # Errors
///
/// When the C compiler cannot be asked where libraries go.
pub(crate) fn module_path() -> Result<String> {
    Ok(format!("usr/{}/libnss_mesher.so.2", host::library_directory()?))
}

/// The dist tree that was given, if it is a finished one; without, one that is built.
///
/// # Errors
///
/// When the build fails, and for a directory that is something else.
pub(crate) fn given_or_built(given: Option<&Path>) -> Result<PathBuf> {
    let Some(tree) = given else { return build() };
    for part in ["mesherd", "mesherctl", "libnss_mesher.so.2"] {
        if !list(tree)?.iter().any(|file| file.ends_with(part)) {
            bail!("{} is no finished dist tree: it holds no {part}", tree.display());
        }
    }
    Ok(tree.to_path_buf())
}

/// Every file of a dist tree, relative to it, sorted.
///
/// # Errors
///
/// When the tree cannot be read.
pub(crate) fn list(tree: &Path) -> Result<Vec<PathBuf>> {
    fn walk(root: &Path, directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
        let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                walk(root, &path, found)?;
            } else {
                found.push(path.strip_prefix(root)?.to_path_buf());
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(tree, tree, &mut found)?;
    found.sort();
    Ok(found)
}

fn files() -> Result<Vec<File>> {
    let target = paths::target();
    let repository = paths::repository();
    let file = |source: PathBuf, target: &str, mode| File { source, target: target.to_owned(), mode };
    let units = repository.join("units");
    let doc = "usr/share/doc/data-mesher";
    let mut files = vec![
        file(target.join("release/mesherd"), "usr/bin/mesherd", 0o755),
        file(target.join("release/mesherctl"), "usr/bin/mesherctl", 0o755),
        file(target.join("nss/libnss_mesher.so"), &module_path()?, 0o644),
        file(units.join("data-mesher.socket"), "usr/lib/systemd/system/data-mesher.socket", 0o644),
        file(units.join("data-mesher.service"), "usr/lib/systemd/system/data-mesher.service", 0o644),
        file(
            units.join("data-mesher-reload@.path"),
            "usr/lib/systemd/system/data-mesher-reload@.path",
            0o644,
        ),
        file(
            units.join("data-mesher-reload@.service"),
            "usr/lib/systemd/system/data-mesher-reload@.service",
            0o644,
        ),
        file(units.join("data-mesher.preset"), "usr/lib/systemd/system-preset/70-data-mesher.preset", 0o644),
        file(units.join("hardened/service.conf"), "usr/share/data-mesher/hardened/service.conf", 0o644),
        file(units.join("hardened/socket.conf"), "usr/share/data-mesher/hardened/socket.conf", 0o644),
        file(units.join("tmpfiles.conf"), "usr/lib/tmpfiles.d/data-mesher.conf", 0o644),
        file(units.join("apparmor-nameservice"), APPARMOR_RULE, 0o644),
        file(units.join("data-mesher.catalog"), "usr/lib/systemd/catalog/data-mesher.catalog", 0o644),
        file(units.join("sysusers.conf"), "usr/lib/sysusers.d/data-mesher.conf", 0o644),
        file(units.join("config.toml"), &format!("{doc}/examples/config.toml"), 0o644),
    ];
    for text in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "CHANGELOG.md"] {
        files.push(file(repository.join(text), &format!("{doc}/{text}"), 0o644));
    }
    for page in list(&target.join("man"))? {
        files.push(file(target.join("man").join(&page), &format!("usr/share/man/{}", page.display()), 0o644));
    }
    for (shell, place) in COMPLETIONS {
        files.push(file(target.join("completions").join(shell), place, 0o644));
    }
    // What somebody on a machine without the repository wants to read.
    for page in PAGES {
        files.push(file(repository.join("docs").join(page), &format!("{doc}/{page}"), 0o644));
    }
    Ok(files)
}

fn place(file: &File, tree: &Path) -> Result<()> {
    let target = tree.join(&file.target);
    let directory = target.parent().context("a release file has a directory")?;
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    if !file.source.is_file() {
        bail!("{} was not built", file.source.display());
    }
    fs::copy(&file.source, &target).with_context(|| format!("writing {}", target.display()))?;
    fs::set_permissions(&target, fs::Permissions::from_mode(file.mode))
        .with_context(|| format!("setting the mode of {}", target.display()))
}

/// Removes a tree, if it is there.
///
/// # Errors
///
/// When it cannot be removed.
pub(crate) fn remove_tree(tree: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree).with_context(|| format!("removing {}", tree.display()))?;
    }
    Ok(())
}

/// Has the tool write its completions.
fn completions() -> Result<()> {
    let directory = paths::target().join("completions");
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    for (shell, _) in COMPLETIONS {
        let mut tool = Command::new(paths::target().join("release/mesherctl"));
        let script = host::output(tool.args(["completions", shell]))?;
        fs::write(directory.join(shell), script)
            .with_context(|| format!("writing completions for {shell}"))?;
    }
    Ok(())
}

/// The time of the files' making, in seconds since 1970: `SOURCE_DATE_EPOCH`, or the last commit's, or, outside a repository, now.
///
/// # Errors
///
/// When not even `date` can be run.
pub(crate) fn epoch() -> Result<String> {
    if let Ok(given) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(given);
    }
    let mut git = Command::new("git");
    let last = host::output(git.current_dir(paths::repository()).args(["log", "-1", "--format=%ct"]));
    let seconds = last.or_else(|_| host::output(Command::new("date").arg("+%s")))?;
    Ok(seconds.trim().to_owned())
}

/// The day of [`epoch`].
fn date() -> Result<String> {
    let mut date = Command::new("date");
    let day = host::output(date.args(["--utc", "+%F", &format!("--date=@{}", epoch()?)]))?;
    Ok(day.trim().to_owned())
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    /// A copy of this machine's AppArmor profiles, to try rules in.
    struct Profiles(PathBuf);

    impl Profiles {
        fn new(test: &str) -> Self {
            let base = paths::target().join(format!("apparmor-{test}-{}", std::process::id()));
            remove_tree(&base).unwrap();
            let copy = Command::new("cp").arg("-r").arg("/etc/apparmor.d").arg(&base).status().unwrap();
            assert!(copy.success(), "apparmor is needed (Debian: apparmor)");
            Self(base)
        }

        /// What the parser says of a profile, which must be a right one.
        fn parse(&self, profile: &str, options: &[&str]) -> String {
            let mut parser = Command::new("apparmor_parser");
            parser.args(options).args(["--skip-cache", "--base"]).arg(&self.0).arg(self.0.join(profile));
            let output = parser.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        }
    }

    impl Drop for Profiles {
        fn drop(&mut self) {
            remove_tree(&self.0).unwrap();
        }
    }

    /// A profile that includes the abstraction gets the rule, where the shipped file is installed.
    #[test]
    fn apparmor_lets_programs_that_look_names_up_read_the_table() {
        let profiles = Profiles::new("table");
        let place = profiles.0.join(APPARMOR_RULE.strip_prefix("etc/apparmor.d/").unwrap());
        // Where this machine has it installed.
        let _ = fs::remove_file(&place);
        fs::write(
            profiles.0.join("profile"),
            "include <tunables/global>\nprofile reader /bin/reader {\n  include <abstractions/nameservice>\n}\n",
        )
        .unwrap();
        let rules = || profiles.parse("profile", &["--preprocess"]);
        let table = "/data-mesher/hosts.table r,";
        assert!(!rules().contains(table), "apparmor's own files have it");
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(paths::repository().join("units/apparmor-nameservice"), &place).unwrap();
        assert!(rules().contains(table), "the abstraction does not take it up");
        // And it is a rule: the profile compiles with it.
        profiles.parse("profile", &["--skip-kernel-load"]);
    }

    /// Debian's profile of unbound takes up the rule that the page gives.
    #[test]
    fn apparmor_lets_unbound_read_the_zone_as_the_page_says() {
        let profiles = Profiles::new("unbound");
        let page = fs::read_to_string(paths::repository().join("docs/exports.md")).unwrap();
        let (_, rest) = page.split_once("alpha /etc/apparmor.d/local/usr.sbin.unbound\n").unwrap();
        let rule = rest.split_once("\n```").unwrap().0;
        let rules = || profiles.parse("usr.sbin.unbound", &["--preprocess"]);
        assert!(!rules().contains(rule), "Debian's own profile has it");
        fs::write(profiles.0.join("local/usr.sbin.unbound"), format!("{rule}\n")).unwrap();
        assert!(rules().contains(rule), "unbound's profile does not take it up");
        profiles.parse("usr.sbin.unbound", &["--skip-kernel-load"]);
    }

    #[test]
    fn a_tree_that_is_not_finished_is_refused() {
        let tree = paths::target().join(format!("unfinished-{}", std::process::id()));
        for (part, missing) in [
            ("bin/mesherd", "mesherctl"),
            ("bin/mesherctl", "libnss_mesher.so.2"),
            ("lib/libnss_mesher.so.2", ""),
        ] {
            let file = tree.join(part);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
            match given_or_built(Some(&tree)) {
                Ok(found) => assert_eq!((found, missing), (tree.clone(), "")),
                Err(error) => assert!(error.to_string().ends_with(&format!("holds no {missing}")), "{error}"),
            }
        }
        remove_tree(&tree).unwrap();
    }
}
