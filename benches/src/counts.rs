//! What does not depend on the weather: instructions, bytes; and the writer's times.

use std::ffi::CString;
use std::path::Path;
use std::process::Command;
use std::ptr::null_mut;
use std::time::Duration;

use mesher_table::{Deadline, Published, TableWriter};

use crate::modules::{ByName4, Loaded, contents, name, project};
use crate::report::cpu_time;
use crate::report::{Report, median};

/// Calls in the counted run.
const CALLS: u32 = 1000;

/// What the counted process does: loads the module and asks for held names.
pub(crate) fn worker(folder: &Path) {
    // SAFETY: this process has one thread; the function has this type; all pointers are valid.
    unsafe {
        std::env::set_var("MESHER_TABLE", folder.join("same.table"));
        let module = Loaded::copy_of(&folder.join("libnss_mesher.so.2"), &folder.join("counted.so"));
        let function: ByName4 = module.function(c"_nss_mesher_gethostbyname4_r");
        for n in 0..=CALLS {
            let name = CString::new(name(n % 1000)).expect("a name");
            let mut buffer = [0_u64; 128];
            let (mut pat, mut errno, mut h_errno) = (null_mut(), 0, 0);
            let buf = buffer.as_mut_ptr().cast();
            let status = function(
                name.as_ptr(),
                &raw mut pat,
                buf,
                1024,
                &raw mut errno,
                &raw mut h_errno,
                null_mut(),
            );
            assert_eq!(status, 1);
        }
    }
}

/// Instructions inside the module, and what it calls, a hit; counted by callgrind. `None` where there is no valgrind.
fn instructions(folder: &Path) -> Option<f64> {
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--toggle-collect=_nss_mesher_gethostbyname4_r",
            "--callgrind-out-file=/dev/null",
        ])
        .arg(std::env::current_exe().expect("this program"))
        .arg("count")
        .arg(folder)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let line = text.lines().find(|line| line.contains("Collected"))?;
    let total: f64 = line.rsplit(' ').next()?.trim().parse().ok()?;
    Some(total / f64::from(CALLS + 1))
}

/// Instructions, against the committed number: more than a tenth above it is a regression.
pub(crate) fn run(folder: &Path, report: &mut Report) {
    let path = project().join("benches/instructions-per-hit");
    let committed: f64 = std::fs::read_to_string(path).expect("committed").trim().parse().expect("a number");
    match instructions(folder) {
        Some(instructions) => report.number(
            "instructions a hit (callgrind; the first call's mapping included, spread over 1,001)",
            instructions,
            "",
            (committed * 1.1).round(),
            &format!("{committed:.0} when last committed, in `benches/instructions-per-hit`"),
        ),
        // Not to be taken for a good result.
        None => panic!("instructions are counted by valgrind, which is not there"),
    }
}

/// Publishing, and the table's size.
pub(crate) fn publish(folder: &Path, tables: &[(u32, Published)], report: &mut Report) {
    let mut all = contents(100_000);
    let lease = || Deadline::after(Duration::from_secs(3600));
    let mut writer = TableWriter::open_or_create(folder.join("published.table")).expect("a writer");
    let first = cpu_time();
    writer.publish(&all, lease()).expect("published");
    let first_ms = (cpu_time() - first).as_secs_f64() * 1e3;
    let mut times = Vec::new();
    for n in 0..15 {
        all.entries[n * 1000].v4[0] = std::net::Ipv4Addr::new(192, 0, 2, 1);
        let started = cpu_time();
        writer.publish(&all, lease()).expect("published");
        times.push((cpu_time() - started).as_secs_f64() * 1e3);
    }
    let again = median(&mut times);
    report.number(
        "publish 100,000 names, build and write",
        first_ms,
        "ms",
        60.0,
        "into a new file, with its allocation",
    );
    report.reported("publish 100,000 names, one of them changed", again, "ms", "into the file that is there");
    let Some((names, published)) = tables.iter().max_by_key(|(names, _)| *names) else { return };
    let each = published.bytes as f64 / f64::from(*names);
    let detail = format!("{} bytes for {names} names of 16 letters and `.sol`", published.bytes);
    report.number(
        "bytes of an arena a name with one IPv4 and one IPv6 address",
        each,
        "bytes",
        80.0,
        &detail,
    );
}
