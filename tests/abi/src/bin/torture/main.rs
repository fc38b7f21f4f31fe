//! The two sides of the torture test, each a process of its own: `torture write TABLE SECONDS MOST` and
//! `torture read MODULE TABLE SECONDS`. `tests/torture.rs` starts them, kills the first, and reads the second's counts.

mod read;
mod write;

use std::path::Path;
use std::time::Duration;

/// Names in every table; the reader asks for these.
const ALWAYS: u32 = 50;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seconds = |text: &str| Duration::from_secs_f64(text.parse().expect("seconds"));
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["write", table, time, most] => {
            write::run(Path::new(table), seconds(time), most.parse().expect("a number of names"));
        }
        ["read", module, table, time] => read::run(Path::new(module), Path::new(table), seconds(time)),
        other => panic!("write TABLE SECONDS MOST, or read MODULE TABLE SECONDS; got {other:?}"),
    }
}
