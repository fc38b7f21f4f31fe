//! What may be a dependency, by `deny.toml`: licences, duplicate versions, forbidden crates, sources.
//!
//! cargo-deny checks the same file and more, and takes minutes to build; these four need nothing but what cargo says of the
//! tree. Where cargo-deny is installed and can fetch the list of known vulnerabilities, it is asked about those.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{host, paths};

/// How many of the checks passed and failed, and what was left out.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) left_out: usize,
}

/// The parts of `deny.toml` that are checked here.
#[derive(Debug, Deserialize)]
struct Rules {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
    exceptions: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Bans {
    multiple_versions: String,
    #[serde(default)]
    skip: Vec<Named>,
    deny: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
}

/// What cargo says of the tree.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

/// Holds the dependencies to the rules, and prints what breaks them.
///
/// # Errors
///
/// When the rules cannot be read, or cargo cannot tell what the dependencies are.
pub(crate) fn run() -> Result<Outcome> {
    let text = fs::read_to_string(paths::repository().join("deny.toml"))?;
    let rules: Rules = toml::from_str(&text).context("deny.toml")?;
    let mut arguments = vec!["metadata", "--locked", "--format-version=1", "--all-features"];
    for target in &rules.graph.targets {
        arguments.extend(["--filter-platform", target]);
    }
    let metadata: Metadata = serde_json::from_str(&host::output(&mut host::cargo(&arguments))?)?;
    let mut outcome = Outcome::default();
    for (what, broken) in [
        ("licences", licences(&rules.licenses, &metadata.packages)?),
        ("versions", duplicates(&rules.bans, &metadata.packages)?),
        ("forbidden crates", forbidden(&rules.bans, &metadata.packages)),
        ("sources", sources(&rules.sources, &metadata.packages)?),
    ] {
        let said = if broken.is_empty() { "as deny.toml wants them" } else { "not as deny.toml wants them" };
        println!("{what}: {} packages, {said}", metadata.packages.len());
        broken.iter().for_each(|line| println!("  {line}"));
        outcome.passed += usize::from(broken.is_empty());
        outcome.failed += usize::from(!broken.is_empty());
    }
    advisories(&mut outcome);
    Ok(outcome)
}

/// Packages whose licence is not one of those allowed.
fn licences(rules: &Licenses, packages: &[Package]) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for package in packages {
        let own = rules.exceptions.iter().filter(|exception| exception.name == package.name);
        let allowed: BTreeSet<&str> = rules
            .allow
            .iter()
            .chain(own.flat_map(|exception| &exception.allow))
            .map(String::as_str)
            .collect();
        let Some(license) = &package.license else {
            broken.push(format!("{} {}: names no licence", package.name, package.version));
            continue;
        };
        let expression = spdx::Expression::parse_mode(license, spdx::ParseMode::LAX)
            .with_context(|| format!("the licence of {}", package.name))?;
        if !expression.evaluate(|requirement| allowed.contains(requirement.to_string().as_str())) {
            broken.push(format!("{} {}: {license}", package.name, package.version));
        }
    }
    Ok(broken)
}

/// Packages that are there in more than one version, those aside that the rules name with a reason.
fn duplicates(rules: &Bans, packages: &[Package]) -> Result<Vec<String>> {
    if rules.multiple_versions != "deny" {
        bail!("deny.toml: bans.multiple-versions: expected \"deny\", found {:?}", rules.multiple_versions);
    }
    let skipped = |package: &Package| {
        rules.skip.iter().any(|skip| match skip.name.split_once('@') {
            Some((name, version)) => {
                name == package.name && package.version.starts_with(&format!("{version}."))
            }
            None => skip.name == package.name,
        })
    };
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages.iter().filter(|package| !skipped(package)) {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let more = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    Ok(more.map(|(name, versions)| format!("{name}: {}", versions.join(" and "))).collect())
}

fn forbidden(rules: &Bans, packages: &[Package]) -> Vec<String> {
    let denied = |package: &&Package| rules.deny.iter().any(|deny| deny.name == package.name);
    packages.iter().filter(denied).map(|package| format!("{} {}", package.name, package.version)).collect()
}

/// Packages from elsewhere than this tree and the public registry.
fn sources(rules: &Sources, packages: &[Package]) -> Result<Vec<String>> {
    if (rules.unknown_registry.as_str(), rules.unknown_git.as_str()) != ("deny", "deny") {
        bail!("deny.toml: sources: expected \"deny\" for unknown registries and repositories");
    }
    let public = "registry+https://github.com/rust-lang/crates.io-index";
    let foreign =
        packages.iter().filter(|package| package.source.as_deref().is_some_and(|source| source != public));
    Ok(foreign.map(|package| format!("{} {}: {:?}", package.name, package.version, package.source)).collect())
}

/// Known vulnerabilities, where cargo-deny is there and can fetch the list of them.
fn advisories(outcome: &mut Outcome) {
    let deny = |arguments: &[&str]| host::run(host::cargo(&["deny"]).args(arguments));
    if host::cargo(&["deny", "--version"]).output().is_ok_and(|output| output.status.success())
        && deny(&["fetch", "db"]).is_ok()
    {
        match deny(&["check", "advisories"]) {
            Ok(()) => outcome.passed += 1,
            Err(error) => {
                println!("known vulnerabilities: {error:#}");
                outcome.failed += 1;
            }
        }
    } else {
        println!(
            "known vulnerabilities: NOT CHECKED, for their list (RustSec's) is not part of this tree and could not be fetched; \
             with cargo-deny and a network: cargo deny check advisories"
        );
        outcome.left_out += 1;
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    fn package(name: &str, version: &str, license: &str, source: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            license: (!license.is_empty()).then(|| license.into()),
            source: (!source.is_empty()).then(|| source.into()),
        }
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        let text = fs::read_to_string(paths::repository().join("deny.toml")).expect("deny.toml");
        let rules: Rules = toml::from_str(&text).expect("the rules are as they are read here");
        let good = package("one", "1.0.0", "MIT/Apache-2.0", "");
        let broken =
            |license| licences(&rules.licenses, &[package("one", "1.0.0", license, "")]).expect("SPDX");
        assert!(licences(&rules.licenses, std::slice::from_ref(&good)).expect("SPDX").is_empty());
        assert_eq!(broken("GPL-3.0-only OR MIT"), [] as [&str; 0]);
        assert_eq!(broken("GPL-3.0-only AND MIT"), ["one 1.0.0: GPL-3.0-only AND MIT"]);
        assert_eq!(broken(""), ["one 1.0.0: names no licence"]);
        let two = [good, package("one", "2.0.0", "MIT", "")];
        assert_eq!(duplicates(&rules.bans, &two).expect("rules"), ["one: 1.0.0 and 2.0.0"]);
        assert_eq!(
            forbidden(&rules.bans, &[package("openssl-sys", "0.9.1", "MIT", "")]),
            ["openssl-sys 0.9.1"]
        );
        let git = [package("one", "1.0.0", "MIT", "git+https://example.org/one")];
        assert_eq!(sources(&rules.sources, &git).expect("rules").len(), 1);
    }

    #[test]
    fn every_dependency_has_its_line_in_the_page() {
        let read = |name: &str| fs::read_to_string(paths::repository().join(name)).expect(name);
        let manifest: toml::Table = toml::from_str(&read("Cargo.toml")).expect("the workspace");
        let page = read("docs/dependencies.md");
        let (used, _) = page.split_once("## Looked at and not used").expect("the page's two parts");
        let named: Vec<&str> =
            used.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).collect();
        let dependencies = manifest["workspace"]["dependencies"].as_table().expect("dependencies");
        // The workspace's own crates are given by their paths.
        let foreign = dependencies.iter().filter(|(_, how)| how.get("path").is_none());
        let missing: Vec<&String> =
            foreign.map(|(name, _)| name).filter(|name| !named.contains(&name.as_str())).collect();
        assert!(missing.is_empty(), "no word in docs/dependencies.md on {missing:?}");
    }
}
