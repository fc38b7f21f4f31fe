//! Through glibc: `getaddrinfo` with one source of names, in a process of its own for each, because a process reads its
//! sources once.

use std::ffi::{CString, c_char, c_int};
use std::path::Path;
use std::process::Command;
use std::ptr::null_mut;
use std::time::Instant;

use crate::modules::{name, table};
use crate::report::{Report, median};

unsafe extern "C" {
    /// Sets a database's sources for this process, as `getent -s` does.
    fn __nss_configure_lookup(database: *const c_char, sources: *const c_char) -> c_int;
}

/// What a worker process does: sets its source, looks up, prints nanoseconds.
pub(crate) fn worker(arguments: &[&str]) {
    let [how, source, names, count] = arguments else { panic!("how, source, names, count") };
    let count: u32 = count.parse().expect("a number");
    let names: u32 = names.parse().expect("a number");
    let source = CString::new(*source).expect("a source");
    // SAFETY: both are strings; no lookup has been made.
    assert_eq!(unsafe { __nss_configure_lookup(c"hosts".as_ptr(), source.as_ptr()) }, 0);
    let family = if *how == "one" { libc::AF_INET } else { libc::AF_UNSPEC };
    let picks: Vec<CString> = (0..count.min(4096))
        .map(|n| CString::new(name(n.wrapping_mul(7919) % names)).expect("a name"))
        .collect();
    let mut times = Vec::new();
    for n in 0..count {
        let started = Instant::now();
        look_up(&picks[n as usize % picks.len()], family);
        times.push(started.elapsed().as_nanos() as f64);
    }
    let first = times[0];
    println!("{first} {}", median(&mut times));
}

fn look_up(name: &CString, family: c_int) {
    // SAFETY: zero is a value of every field.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = family;
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut found = null_mut();
    // SAFETY: all pointers are valid; what is found is freed once.
    unsafe {
        let error = libc::getaddrinfo(name.as_ptr(), std::ptr::null(), &raw const hints, &raw mut found);
        assert_eq!(error, 0, "{name:?} is not found");
        libc::freeaddrinfo(found);
    }
}

/// Runs a worker; its first and its median lookup, in nanoseconds.
fn run_worker(folder: &Path, how: &str, source: &str, names: u32, count: u32) -> (f64, f64) {
    let program = std::env::current_exe().expect("this program");
    let mut command = if source == "files" {
        let mut command = Command::new("unshare");
        let script =
            format!("mount --bind {}/{names}.hosts /etc/hosts && exec \"$0\" \"$@\"", folder.display());
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(["worker", how, source, &names.to_string(), &count.to_string()]);
    command.env("LD_LIBRARY_PATH", folder).env("MESHER_TABLE", table(folder, names));
    let output = command.output().expect("the worker starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{how} {source}: {text}{}", String::from_utf8_lossy(&output.stderr));
    let (first, median) = text.trim().split_once(' ').expect("two numbers");
    (first.parse().expect("a number"), median.parse().expect("a number"))
}

/// The median ratio of two sources' medians, measured by turns, and both in nanoseconds.
fn compare(folder: &Path, how: &str, ours: &str, other: &str, count: u32, rounds: u32) -> (f64, f64, f64) {
    let (mut ratios, mut ours_ns, mut others_ns) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let our = run_worker(folder, how, ours, 1000, count).1;
        let their = run_worker(folder, how, other, 1000, count).1;
        ratios.push(our / their);
        ours_ns.push(our);
        others_ns.push(their);
    }
    (median(&mut ratios), median(&mut ours_ns), median(&mut others_ns))
}

/// Everything that goes through getaddrinfo.
pub(crate) fn run(folder: &Path, report: &mut Report) {
    for (how, what, goal) in [("one", "one address", 1.10), ("two", "two addresses", 1.03)] {
        let (ratio, ours, constant) = compare(folder, how, "mesher", "mshconst", 20_000, 15);
        let detail = format!("{ours:.0} ns against {constant:.0} ns");
        report.ratio(&format!("getaddrinfo, {what}, against the constant module"), ratio, goal, &detail);
    }
    let (ratio, files, ours) = compare(folder, "two", "files", "mesher", 2000, 5);
    let detail = format!("files {:.0} µs, ours {:.1} µs", files / 1e3, ours / 1e3);
    report.at_least("against glibc's files, 1,000 names, two addresses", ratio, 12.0, &detail);

    let (mut ratios, mut ours, mut constants) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..301 {
        let our = run_worker(folder, "two", "mesher", 1000, 1).0;
        let constant = run_worker(folder, "two", "mshconst", 1000, 1).0;
        ratios.push(our / constant);
        ours.push(our);
        constants.push(constant);
    }
    let detail = format!("{:.0} µs against {:.0} µs", median(&mut ours) / 1e3, median(&mut constants) / 1e3);
    let ratio = median(&mut ours) / median(&mut constants);
    report.ratio("first lookup of a fresh process, against the constant module", ratio, 1.05, &detail);
    system_calls(folder, report);
}

/// System calls a lookup makes after the first one: those of 2,000 lookups less those of 1,000. One address in one
/// family, because glibc's sorting makes system calls of its own.
fn system_calls(folder: &Path, report: &mut Report) {
    let count = |lookups: u32| {
        let trace = folder.join("trace");
        let mut command = Command::new("strace");
        command.arg("-f").arg("-o").arg(&trace).arg(std::env::current_exe().expect("this program"));
        command.args(["worker", "one", "mesher", "1000", &lookups.to_string()]);
        command.env("LD_LIBRARY_PATH", folder).env("MESHER_TABLE", table(folder, 1000));
        assert!(command.output().expect("strace runs").status.success());
        let text = std::fs::read_to_string(trace).expect("the trace");
        // What the C library's allocator asks of the kernel is not the module's, nor a lookup's.
        text.lines()
            .filter(|line| {
                !line.contains("brk(") && !line.contains("newfstatat(AT_FDCWD, \"/etc/resolv.conf\"")
            })
            .count()
    };
    let (some, more) = (count(1000), count(2000));
    let each = (more as f64 - some as f64) / 1000.0;
    let detail = format!(
        "{some} in a process of 1,000 lookups, {more} in one of 2,000; allocations: none are imported"
    );
    report.number("system calls a lookup after the first", each, "", 0.0, &detail);
}
