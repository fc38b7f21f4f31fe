//! Readers and a writer at full speed, each doing everything a process may do to the other. Runs for ten seconds, or for
//! `MESHER_TORTURE_SECONDS`; prints its counts.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use abi_tests::{Module, Name, module_file, status, tables};
use mesher_table::format::H_SUPERSEDED;

fn writer(table: &Path, seconds: f64, most: u32) -> Child {
    Command::new(env!("CARGO_BIN_EXE_torture"))
        .args(["write", table.to_str().expect("a path"), &seconds.to_string(), &most.to_string()])
        .spawn()
        .expect("the writer starts")
}

#[test]
fn readers_and_a_writer_that_is_killed_at_full_speed() {
    let seconds: f64 =
        std::env::var("MESHER_TORTURE_SECONDS").map_or(10.0, |text| text.parse().expect("seconds"));
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let table = folder.path().join("hosts.table");
    // A table must stand before the first lookup.
    assert!(writer(&table, 0.1, 60).wait().expect("it ends").success());
    let mut reader = Command::new(env!("CARGO_BIN_EXE_torture"))
        .args([
            "read",
            module_file().to_str().expect("a path"),
            table.to_str().expect("a path"),
            &seconds.to_string(),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the reader starts");
    let random = RandomState::new();
    let started = Instant::now();
    let mut kills = 0_u32;
    while reader.try_wait().expect("known").is_none() {
        // Every six kills the largest table doubles, so that the file grows again and again under the readers.
        let most = 100 << (kills / 6).min(8);
        let mut child = writer(&table, 3600.0, most);
        std::thread::sleep(Duration::from_micros(2000 + random.hash_one(kills) % 150_000));
        assert!(child.try_wait().expect("known").is_none(), "the writer ended by itself");
        child.kill().expect("kill -9");
        child.wait().expect("it ends");
        kills += 1;
    }
    let output = reader.wait_with_output().expect("the reader ends");
    let text = String::from_utf8(output.stdout).expect("text");
    println!("{text}kills {kills}\nseconds {:.1}", started.elapsed().as_secs_f64());
    assert!(output.status.success(), "{}", output.status);
    let counts: BTreeMap<&str, u64> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, count)| (name, count.parse().expect("a count")))
        .collect();
    for none in ["torn", "older", "unavailable", "lost", "children_failed", "cancelled_inside"] {
        assert_eq!(counts[none], 0, "{none}\n{text}");
    }
    for some in ["lookups", "in_children", "in_handlers", "publications_seen", "children", "cancelled"] {
        assert!(counts[some] > 10, "{some}\n{text}");
    }
    // Eight are kept; each of the ten threads, and a handler on top of it, may for a moment have one of its own.
    assert!((1..=8 + 22).contains(&counts["most_mappings"]), "{text}");
}

/// However often the file is replaced, a process keeps eight mappings, and answers from the newest file.
#[test]
fn mappings_are_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    drop(tables::publish(&path, &tables::sol()));
    let module = Module::load(&path);
    for turn in 1..40_u32 {
        let call = module.by_name(Name::One, b"earth.sol", 4096, 0);
        assert_eq!(call.status, status::SUCCESS, "turn {turn}");
        if turn > 1 {
            assert_eq!(call.answer.expect("an answer").addresses, [tables::v4(turn - 1)], "the newest table");
        }
        let maps = std::fs::read_to_string("/proc/self/maps").expect("our mappings");
        let count = maps.lines().filter(|line| line.contains("hosts.table")).count();
        assert_eq!(count, (turn as usize).min(8), "turn {turn}");
        // What a growing writer does first; the next one finds the flag, and puts a new file into place.
        let file = std::fs::File::options().write(true).open(&path).expect("open");
        std::os::unix::fs::FileExt::write_all_at(&file, &1_u32.to_ne_bytes(), H_SUPERSEDED as u64 * 4)
            .expect("written");
        let entries = vec![tables::entry("earth.sol", &[tables::v4(turn)], &[])];
        drop(tables::publish(&path, &mesher_table::Contents { entries, contain: Vec::new() }));
    }
}
