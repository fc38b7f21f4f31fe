//! What the shipped NSS module must be like, read off the file itself: it lives in strangers' processes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::host;

/// A plain release build, with the standard library in it, is ten times as large.
const LARGEST_BYTES: u64 = 64 * 1024;

/// All that the module may import: nothing here allocates, locks, is a cancellation point or ends the process. munmap is
/// for a mapping that lost the race to be published, and that nobody else has seen.
const IMPORTS: [&str; 19] = [
    "__cxa_finalize",
    "__errno_location",
    "__gmon_start__",
    "_ITM_deregisterTMCloneTable",
    "_ITM_registerTMCloneTable",
    "bcmp",
    "clock_gettime",
    "geteuid",
    "memchr",
    "memcmp",
    "memcpy",
    "memmove",
    "memset",
    "mmap",
    "munmap",
    "secure_getenv",
    "strlen",
    "strnlen",
    "syscall",
];

/// What glibc and nscd look up. `getcanonname_r` is left out on purpose (CVE-2023-4806).
const ENTRY_POINTS: [&str; 9] = [
    "gethostbyname4_r",
    "gethostbyname3_r",
    "gethostbyname2_r",
    "gethostbyname_r",
    "gethostbyaddr2_r",
    "gethostbyaddr_r",
    "sethostent",
    "gethostent_r",
    "endhostent",
];

/// A gate's name, and what is wrong where it does not hold.
pub(crate) type Gate = (&'static str, Result<(), String>);

/// Checks a module file.
///
/// # Errors
///
/// When the file is missing or the tools of binutils cannot read it. What is wrong with the module is in the gates.
pub(crate) fn check(module: &Path) -> Result<Vec<Gate>> {
    let size = fs::metadata(module).with_context(|| format!("{}", module.display()))?.len();
    let dynamic = host::output(Command::new("readelf").args(["--wide", "--dynamic"]).arg(module))?;
    let segments = host::output(Command::new("readelf").args(["--wide", "--segments"]).arg(module))?;
    let undefined = symbols(module, "--undefined-only")?;
    let exported = symbols(module, "--defined-only")?;

    let needed = bracketed(&dynamic, "(NEEDED)");
    let expected: BTreeSet<String> = ENTRY_POINTS.iter().map(|name| format!("_nss_mesher_{name}")).collect();
    let foreign: Vec<&String> = undefined.iter().filter(|name| !IMPORTS.contains(&name.as_str())).collect();
    let writable_code =
        segments.lines().any(|line| line.trim().starts_with("LOAD") && line.contains(" RWE "));
    Ok(vec![
        ("size", holds(size <= LARGEST_BYTES, || format!("{size} bytes, {LARGEST_BYTES} allowed"))),
        ("needs libc alone", holds(needed == ["libc.so.6"], || format!("needs {}", needed.join(", ")))),
        ("soname", {
            let soname = bracketed(&dynamic, "(SONAME)");
            holds(soname == ["libnss_mesher.so.2"], || format!("is {}", soname.join(", ")))
        }),
        (
            "no thread-local storage",
            holds(!segments.lines().any(|line| line.trim().starts_with("TLS")), || {
                "there is a TLS segment".into()
            }),
        ),
        (
            "no executable stack or writable code",
            holds(
                !writable_code && !segments.lines().any(|l| l.contains("GNU_STACK") && l.contains("RWE")),
                || "a segment is writable and executable".into(),
            ),
        ),
        (
            "bound at load, never unloaded",
            holds(
                dynamic.contains("NOW") && dynamic.contains("NODELETE") && segments.contains("GNU_RELRO"),
                || "expected -z now, -z nodelete and -z relro".into(),
            ),
        ),
        ("imports", holds(foreign.is_empty(), || format!("imports {foreign:?}"))),
        (
            "exports the entry points and nothing else",
            holds(exported == expected, || {
                let differing: Vec<_> = exported.symmetric_difference(&expected).collect();
                format!("missing or in excess: {differing:?}")
            }),
        ),
    ])
}

fn holds(good: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if good { Ok(()) } else { Err(why()) }
}

/// The names in a module's dynamic symbol table, without versions.
fn symbols(module: &Path, which: &str) -> Result<BTreeSet<String>> {
    let listing = host::output(
        Command::new("nm").args(["--dynamic", "--format=posix", "--no-sort", which]).arg(module),
    )?;
    Ok(listing
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|name| name.split('@').next().unwrap_or(name).to_owned())
        .collect())
}

/// The values in brackets of `readelf --dynamic` lines with that tag.
fn bracketed(dynamic: &str, tag: &str) -> Vec<String> {
    dynamic
        .lines()
        .filter(|line| line.contains(tag))
        .filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned()))
        .collect()
}
