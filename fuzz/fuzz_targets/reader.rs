//! The reader on arbitrary bytes: whatever they are, every lookup ends, in bounded time, without a panic.
//!
//! The words are memory of exactly their size, so a read outside them is found by the sanitizer, or by the bounds check
//! that panics. With the first byte odd, the header is put right, so that the fuzzer gets past it.
#![no_main]

use std::sync::atomic::AtomicU32;

use libfuzzer_sys::fuzz_target;
use mesher_table::{Damage, Family, Query, Record, Snapshot, Table, format};

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    let (whole, _) = data.as_chunks::<4>();
    let mut words: Vec<u32> = whole.iter().map(|bytes| u32::from_ne_bytes(*bytes)).collect();
    if first & 1 == 1 {
        put_header_right(&mut words);
    }
    let words: Vec<AtomicU32> = words.into_iter().map(AtomicU32::new).collect();
    let Ok(table) = Table::new(&words) else { return };
    let _ = table.read(look_everywhere);
});

fn put_header_right(words: &mut Vec<u32>) {
    let least = format::HEADER_WORDS + 2 * format::DIRECTORY_WORDS;
    words.resize(words.len().max(least), 0);
    let arena = (words.len() - format::HEADER_WORDS) / 2 / format::LINE_WORDS * format::LINE_WORDS;
    words.truncate(format::HEADER_WORDS + 2 * arena);
    for (at, bytes) in format::MAGIC.as_chunks::<4>().0.iter().enumerate() {
        words[format::H_MAGIC + at] = u32::from_ne_bytes(*bytes);
    }
    words[format::H_ORDER] = format::ORDER_MARK;
    words[format::H_VERSION] = format::VERSION;
    words[format::H_FILE_WORDS] = words.len() as u32;
    words[format::H_ARENA_WORDS] = arena as u32;
    words[format::H_SEQ] = words[format::H_ACTIVE];
    let start =
        if words[format::H_ACTIVE] & 1 == 0 { format::HEADER_WORDS } else { format::HEADER_WORDS + arena };
    words[start + format::D_SEAL] = words[format::H_ACTIVE] ^ format::SEAL;
}

fn look_everywhere(snapshot: &Snapshot<'_>) -> Result<(), Damage> {
    let mut names: Vec<Vec<u8>> =
        [&b"earth.sol"[..], b"a.b.earth.sol", b"*.earth.sol", b"EARTH.SOL."].map(Vec::from).into();
    let mut count = 0_usize;
    for record in snapshot.records() {
        let Ok(record) = record else { break };
        count += 1;
        touch(&record);
        if names.len() < 16 {
            names.push(record.name().bytes().collect());
        }
        let _ = snapshot.aliases(&record).map(|alias| touch(&alias)).count();
    }
    // Each record has two words at least.
    assert!(count <= snapshot.len_words() / 2, "{count} records");
    for name in &names {
        let Some(query) = Query::new(name) else { continue };
        if let Ok(Some(answer)) = snapshot.find(&query) {
            touch(&answer.record);
        }
        let _ = snapshot.contains(&query);
        let _ = snapshot.record_named(7, &query).map(|record| record.map(|record| record.is_up_to(&query)));
    }
    for (family, address) in
        [(Family::V4, &[10, 0, 0, 1][..]), (Family::V4, &[0; 4]), (Family::V6, &[0xfe; 16])]
    {
        if let Ok(records) = snapshot.find_address(family, address) {
            for record in records {
                let Ok(record) = record else { break };
                touch(&record);
            }
        }
    }
    let _ = (snapshot.generation(), snapshot.used_bytes(), snapshot.record_count());
    Ok(())
}

fn touch(record: &Record<'_>) {
    let mut sum =
        record.name().bytes().map(u64::from).sum::<u64>() + record.host().bytes().map(u64::from).sum::<u64>();
    sum += record.v4().map(u64::from).sum::<u64>();
    sum += record.v6().map(|(address, scope)| u64::from(address[0]) + u64::from(scope)).sum::<u64>();
    for family in [Family::V4, Family::V6] {
        let addresses = record.addresses(family);
        assert_eq!(addresses.len(), record.count(family) * family.size());
        sum += addresses.bytes().map(u64::from).sum::<u64>();
    }
    std::hint::black_box((sum, record.ttl_s(), record.is_wildcard(), record.canonical().is_some()));
}
