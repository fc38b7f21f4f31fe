//! The programs that the tests use, and where they come from.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{deb, host, machines};

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

/// Installs the Debian packages of the tools that are missing. Asks first where there is somebody to ask.
pub(super) fn install() -> Result<()> {
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
