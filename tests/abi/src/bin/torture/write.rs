//! The writer: publishes as fast as it can, tables of ever changing size, until it is killed.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use mesher_table::{Contents, Deadline, Entry, Found, TableWriter};

use crate::ALWAYS;

/// Every address of a table carries its generation, so that a torn or an old answer can be told.
fn contents(generation: u32, names: u32) -> Contents {
    let v4 = vec![Ipv4Addr::from_bits(generation); 3];
    let four_times = [generation; 4].map(u32::to_be_bytes);
    let octets: [u8; 16] = four_times.as_flattened().try_into().expect("sixteen bytes");
    let v6 = vec![Ipv6Addr::from(octets).into(); 3];
    // The enduring host's fixed address is what the reader asks backwards for.
    let entry = |n: u32| {
        let mut entry = Entry {
            name: format!("Host-{n}.sol"),
            canonical: None,
            v4: v4.clone(),
            v6: v6.clone(),
            ttl_s: generation,
        };
        if n == 0 {
            entry.v4.push(Ipv4Addr::new(10, 0, 0, 1));
        }
        entry
    };
    Contents { entries: (0..names).map(entry).collect(), contain: vec!["sol".into()] }
}

pub(crate) fn run(table: &Path, time: Duration, most: u32) {
    let mut writer = TableWriter::open_or_create(table).expect("a writer");
    let mut generation = match writer.found() {
        Found::Table { generation } => u32::try_from(*generation).expect("few"),
        Found::Nothing => 0,
        Found::Foreign(what) => panic!("the table was spoilt: {what}"),
    };
    let random = RandomState::new();
    let started = Instant::now();
    let lease = || Deadline::after(Duration::from_secs(120));
    loop {
        generation += 1;
        // Mostly small and quick, now and then as large as allowed.
        let chance = random.hash_one(generation);
        let names =
            if chance.is_multiple_of(6) { most } else { ALWAYS + u32::try_from(chance % 64).expect("small") };
        let published = writer.publish(&contents(generation, names), lease()).expect("published");
        assert_eq!(published.generation, u64::from(generation), "generations go on after a crash");
        if started.elapsed() >= time {
            return;
        }
    }
}
