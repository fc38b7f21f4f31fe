//! Through glibc: `getaddrinfo` with one source of names at a time, set as `getent -s` sets it.

use std::ffi::{CString, c_char, c_int};
use std::path::Path;
use std::process::Command;
use std::ptr::null_mut;

use crate::modules::name;
use crate::report::{Report, cpu_time, median};

unsafe extern "C" {
    /// Sets a database's sources for this process, as `getent -s` does.
    fn __nss_configure_lookup(database: *const c_char, sources: *const c_char) -> c_int;
}

/// The table through which glibc is measured: its names all have the constant module's addresses, because what sorting
/// them costs in the kernel depends on which they are.
const TABLE: &str = "same";

/// How many names it holds.
const NAMES: u32 = 1000;

/// Lookups in one measurement.
const BATCH: usize = 64;

/// Sets this process's source of host names.
fn use_source(source: &str) {
    let source = CString::new(source).expect("a source");
    // SAFETY: both are strings; this process has one thread.
    assert_eq!(unsafe { __nss_configure_lookup(c"hosts".as_ptr(), source.as_ptr()) }, 0);
}

/// What a worker process does; it prints nanoseconds.
pub(crate) fn worker(arguments: &[&str]) {
    match arguments {
        ["first", source] => {
            use_source(source);
            let name = CString::new(name(1)).expect("a name");
            let started = cpu_time();
            look_up(&name, libc::AF_UNSPEC);
            println!("{}", (cpu_time() - started).as_nanos());
        }
        ["by turns", how, ours, other, batches] => {
            by_turns(family(how), [ours, other], batches.parse().expect("a number"));
        }
        ["lookups", how, source, count] => {
            use_source(source);
            for name in names().iter().cycle().take(count.parse().expect("a number")) {
                look_up(name, family(how));
            }
        }
        other => panic!("unknown worker {other:?}"),
    }
}

fn family(how: &str) -> c_int {
    if how == "one" { libc::AF_INET } else { libc::AF_UNSPEC }
}

/// All names, in no order.
fn names() -> Vec<CString> {
    (0..NAMES).map(|n| CString::new(name(n.wrapping_mul(7919) % NAMES)).expect("a name")).collect()
}

/// Measures two sources in one process, batch by batch, so that both meet the same weather, in processor time, in user and
/// kernel.
fn by_turns(family: c_int, sources: [&str; 2], batches: usize) {
    let names = names();
    let mut times = [Vec::new(), Vec::new()];
    for batch in 0..batches {
        for (source, times) in sources.iter().zip(&mut times) {
            use_source(source);
            // The first lookup with a source loads its module.
            look_up(&names[0], family);
            let started = cpu_time();
            for name in names.iter().cycle().skip(batch * BATCH % names.len()).take(BATCH) {
                look_up(name, family);
            }
            times.push((cpu_time() - started).as_nanos() as f64 / BATCH as f64);
        }
    }
    let [ours, other] = &mut times;
    println!("{} {}", median(ours), median(other));
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

/// Runs a worker with the modules, the table, and a hosts file of the same names; returns what it printed.
fn run_worker(folder: &Path, arguments: &[&str]) -> Vec<f64> {
    let program = std::env::current_exe().expect("this program");
    let mut command = if arguments.contains(&"files") {
        let mut command = Command::new("unshare");
        let script =
            format!("mount --bind {}/{TABLE}.hosts /etc/hosts && exec \"$0\" \"$@\"", folder.display());
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.arg("worker").args(arguments);
    command.env("LD_LIBRARY_PATH", folder).env("MESHER_TABLE", folder.join(format!("{TABLE}.table")));
    command.env("NAKED_TABLE", folder.join(format!("{TABLE}.naked")));
    let output = command.output().expect("the worker starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text.split_whitespace().map(|number| number.parse().expect("a number")).collect()
}

/// The nanoseconds of two sources, measured by turns in a few processes: medians.
fn compare(folder: &Path, how: &str, sources: [&str; 2], batches: usize, processes: usize) -> (f64, f64) {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for _ in 0..processes {
        let batches = batches.to_string();
        let medians = run_worker(folder, &["by turns", how, sources[0], sources[1], &batches]);
        let [our, other] = medians[..] else { panic!("two numbers, not {medians:?}") };
        ours.push(our);
        others.push(other);
    }
    (median(&mut ours), median(&mut others))
}

/// Everything that goes through getaddrinfo.
pub(crate) fn run(folder: &Path, report: &mut Report) {
    for (how, what, goal) in [("one", "one address", 1.10), ("two", "two addresses", 1.03)] {
        let (ours, constant) = compare(folder, how, ["mesher", "mshconst"], 500, 9);
        let detail = format!("{ours:.0} ns against {constant:.0} ns");
        let what = format!("getaddrinfo, {what}, against the constant module");
        report.ratio(&what, ours / constant, goal, &detail);
        let (naked, constant) = compare(folder, how, ["mshnaked", "mshconst"], 500, 9);
        let detail = format!("{naked:.0} ns against {constant:.0} ns");
        let what = format!("the same of the naked module, {what}");
        report.reported(&what, naked / constant, "×", &detail);
    }
    let (ours, files) = compare(folder, "two", ["mesher", "files"], 20, 5);
    let detail = format!("files {:.0} µs, ours {:.1} µs", files / 1e3, ours / 1e3);
    report.at_least("against glibc's files, 1,000 names, two addresses", files / ours, 12.0, &detail);
    let (constant, files) = compare(folder, "two", ["mshconst", "files"], 20, 5);
    let detail = format!("files {:.0} µs, constant {:.1} µs", files / 1e3, constant / 1e3);
    report.reported("the same of the constant module", files / constant, "×", &detail);
    first_lookups(folder, report);
    system_calls(folder, report);
}

/// The first lookup of a fresh process, in processor time: the module's loading and the table's mapping included.
fn first_lookups(folder: &Path, report: &mut Report) {
    let sources = ["mesher", "mshnaked", "mshconst"];
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..501 {
        for (source, times) in sources.iter().zip(&mut times) {
            times.extend(run_worker(folder, &["first", source]));
        }
    }
    let [ours, naked, constant] = times.each_mut().map(|times| median(times));
    let detail = |time| format!("{:.1} µs of processor time against {:.1} µs", time / 1e3, constant / 1e3);
    let what = "first lookup of a fresh process, against the constant module";
    report.ratio(what, ours / constant, 1.05, &detail(ours));
    report.reported("the same of the naked module", naked / constant, "×", &detail(naked));
}

/// System calls a lookup makes after the first one: those of 2,000 lookups less those of 1,000. One address in one
/// family, because glibc's sorting makes system calls of its own.
fn system_calls(folder: &Path, report: &mut Report) {
    let count = |lookups: u32| {
        let trace = folder.join("trace");
        let mut command = Command::new("strace");
        command.arg("-f").arg("-o").arg(&trace).arg(std::env::current_exe().expect("this program"));
        command.args(["worker", "lookups", "one", "mesher", &lookups.to_string()]);
        command.env("LD_LIBRARY_PATH", folder).env("MESHER_TABLE", folder.join(format!("{TABLE}.table")));
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
