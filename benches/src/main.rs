//! Measures the hosts table and the NSS module, each against a floor that is built beside it and measured in the same
//! run: `cargo run --release -p mesher_benches`. `--write` also puts the results into `docs/performance.md`;
//! `--check` only compares the instructions a hit with the committed number, and fails at a tenth more.
//!
//! Needs cc, strace, unshare, and valgrind for the instructions.

mod alone;
mod counts;
mod glibc;
mod modules;
mod report;

use std::path::Path;
use std::process::{Command, ExitCode};

use report::Report;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["worker", rest @ ..] => glibc::worker(rest),
        ["count", folder] => counts::worker(Path::new(folder)),
        // For a profiler: lays everything out in a folder, for `count` to run in.
        ["prepare", folder] => {
            modules::build(Path::new(folder));
            modules::write_tables(Path::new(folder));
            modules::write_same(Path::new(folder));
        }
        // The module alone, in a folder laid out by `prepare`.
        ["alone", folder] => alone::run(Path::new(folder), &mut Report::default()),
        // What goes through glibc, likewise.
        ["glibc", folder] => glibc::run(Path::new(folder), &mut Report::default()),
        ["publish", folder] => counts::publish(Path::new(folder), &[], &mut Report::default()),
        [] | ["--write" | "--check"] => return measure(arguments.first().copied()),
        other => {
            eprintln!("unknown arguments {other:?}; expected none, --write or --check");
            return ExitCode::from(64);
        }
    }
    ExitCode::SUCCESS
}

fn measure(option: Option<&str>) -> ExitCode {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let folder = folder.path();
    modules::build(folder);
    modules::write_same(folder);
    let mut report = Report::default();
    counts::run(folder, &mut report);
    if option == Some("--check") {
        return ExitCode::from(u8::from(report.missed() > 0));
    }
    let tables = modules::write_tables(folder);
    alone::run(folder, &mut report);
    glibc::run(folder, &mut report);
    alone::threads(folder, &mut report);
    counts::publish(folder, &tables, &mut report);
    let text = format!("{}\n\n{}", machine(), report.table());
    println!("{text}");
    if option == Some("--write") {
        write(&text);
    }
    eprintln!("{} goals missed", report.missed());
    ExitCode::SUCCESS
}

/// The machine and the day, in a line.
fn machine() -> String {
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    format!(
        "{}; {} cores of {}; Linux {}, glibc {}; {}.",
        output("date", &["-u", "+%Y-%m-%d"]),
        std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        model.map_or("an unnamed processor", |(_, model)| model),
        output("uname", &["-r"]),
        output("getconf", &["GNU_LIBC_VERSION"]).replace("glibc ", ""),
        output("rustc", &["--version"]),
    )
}

/// Replaces what stands between the two marks of `docs/performance.md`.
fn write(text: &str) {
    let path = modules::project().join("docs/performance.md");
    let page = std::fs::read_to_string(&path).expect("docs/performance.md");
    let (before, rest) = page.split_once("<!-- results -->").expect("the first mark");
    let (_, after) = rest.split_once("<!-- end of results -->").expect("the second mark");
    let page = format!("{before}<!-- results -->\n{text}<!-- end of results -->{after}");
    std::fs::write(path, page).expect("written");
}
