//! The entry points on arbitrary names, addresses, buffers and tables: no write outside the buffer, only statuses
//! and error numbers of glibc's contract, and answers that hold together.
#![no_main]

use std::ffi::{CStr, CString, c_char, c_int};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{LazyLock, Mutex};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use mesher_fuzz::{Hosts, Name, folder};
use mesher_table::{Contents, Deadline, TableWriter};
use nss_mesher_core::{AddressTuple, Buffer, Errors};

#[derive(Arbitrary, Debug)]
struct Input {
    hosts: Hosts,
    /// Bytes to put into the table's file, and where.
    damage: Vec<(u16, u32)>,
    calls: Vec<Call>,
}

#[derive(Arbitrary, Debug)]
struct Call {
    what: What,
    buffer: u16,
    offset: u8,
    with_tuple: bool,
}

#[derive(Arbitrary, Debug)]
enum What {
    Known(Name, Option<bool>),
    Raw(Vec<u8>, Option<bool>),
    V4([u8; 4]),
    V6([u8; 16]),
    Rewind,
    Next,
}

struct Stage {
    writer: TableWriter,
    file: File,
}

static STAGE: LazyLock<Mutex<Stage>> = LazyLock::new(|| {
    let path = folder().join("answers.table");
    // SAFETY: the fuzzer runs this in its only thread, before the first lookup.
    unsafe { std::env::set_var("MESHER_TABLE", &path) };
    let mut writer = TableWriter::open_or_create(&path).expect("a writer");
    writer.publish(&Contents::default(), Deadline::NEVER).expect("published");
    let file = File::options().read(true).write(true).open(path).expect("the table");
    Mutex::new(Stage { writer, file })
});

const CANARY: u8 = 0xa5;
const MARGIN: usize = 64;

fuzz_target!(|input: Input| {
    let mut stage = STAGE.lock().expect("one thread");
    if stage.writer.publish(&input.hosts.contents(), Deadline::NEVER).is_err() {
        return;
    }
    let length = stage.file.metadata().expect("the table").len();
    let mut undo = Vec::new();
    for (at, word) in &input.damage {
        // Anywhere in the file but the two words that would end the experiment: the lease and the flag. The latter
        // makes the module open the file again, which is slow.
        let at = u64::from(*at) * 4;
        if at + 4 > length || at == 72 || at == 76 {
            continue;
        }
        let mut old = [0; 4];
        stage.file.read_exact_at(&mut old, at).expect("readable");
        undo.push((at, old));
        stage.file.write_all_at(&word.to_ne_bytes(), at).expect("writable");
    }
    for call in &input.calls {
        make(call);
    }
    for (at, old) in undo.into_iter().rev() {
        stage.file.write_all_at(&old, at).expect("writable");
    }
});

fn make(call: &Call) {
    let size = usize::from(call.buffer) % 4096;
    let offset = usize::from(call.offset % 16);
    let mut memory = vec![CANARY; MARGIN + offset + size + MARGIN];
    let inside = MARGIN + offset..MARGIN + offset + size;
    let start: *mut c_char = memory[inside.clone()].as_mut_ptr().cast();
    let (mut errno, mut h_errno) = (-77, -77);
    let errors = Errors::new(&raw mut errno, &raw mut h_errno);
    // SAFETY: `size` bytes from `start` lie in `memory`.
    let buffer = Buffer::new(start, size);
    let range = start as usize..start as usize + size;
    let status = match &call.what {
        What::Known(name, family) => {
            by_name(name.text().into_bytes(), *family, call.with_tuple, buffer, errors, &range)
        }
        What::Raw(name, family) => by_name(name.clone(), *family, call.with_tuple, buffer, errors, &range),
        What::V4(address) => by_address(address, libc::AF_INET, buffer, errors, &range),
        What::V6(address) => by_address(address, libc::AF_INET6, buffer, errors, &range),
        What::Rewind => {
            (errno, h_errno) = (-77, 0);
            nss_mesher_core::rewind()
        }
        What::Next => {
            let mut host = empty_host();
            // SAFETY: all pointers are valid for writing.
            let status = unsafe { nss_mesher_core::next_host(&raw mut host, buffer, errors) };
            check_host(status, &host, &range);
            status
        }
    };
    assert!(memory[..MARGIN + offset].iter().all(|byte| *byte == CANARY), "written before the buffer");
    assert!(memory[inside.end..].iter().all(|byte| *byte == CANARY), "written behind the buffer");
    let allowed: &[(c_int, c_int, c_int)] = &[
        (1, -77, 0),
        (-2, libc::ERANGE, -1),
        (-1, libc::ENOENT, 3),
        (0, libc::ENOENT, 1),
        (0, libc::ENOENT, 4),
        (2, libc::ENOENT, 1),
        (2, libc::ENOENT, 4),
    ];
    assert!(allowed.contains(&(status, errno, h_errno)), "status {status}, errno {errno}, h_errno {h_errno}");
}

fn empty_host() -> libc::hostent {
    // SAFETY: all fields are numbers or pointers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

fn by_name(
    mut name: Vec<u8>,
    family: Option<bool>,
    with_tuple: bool,
    buffer: Buffer,
    errors: Errors,
    range: &std::ops::Range<usize>,
) -> c_int {
    name.retain(|byte| *byte != 0);
    let name = CString::new(name).expect("no zero inside");
    let Some(v6) = family else {
        let mut first = AddressTuple {
            next: std::ptr::null_mut(),
            name: std::ptr::null_mut(),
            family: 0,
            addr: [0; 4],
            scopeid: 0,
        };
        let mut pat = if with_tuple { &raw mut first } else { std::ptr::null_mut() };
        // SAFETY: all pointers are valid.
        let status = unsafe {
            nss_mesher_core::addresses_by_name(
                name.as_ptr(),
                &raw mut pat,
                buffer,
                errors,
                std::ptr::null_mut(),
            )
        };
        if status == 1 {
            check_tuples(pat, with_tuple, range);
        }
        return status;
    };
    let (mut host, mut canonical, mut ttl) = (empty_host(), std::ptr::null_mut(), -77);
    let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
    // SAFETY: all pointers are valid.
    let status = unsafe {
        nss_mesher_core::host_by_name(
            name.as_ptr(),
            family,
            &raw mut host,
            buffer,
            errors,
            &raw mut ttl,
            &raw mut canonical,
        )
    };
    check_host(status, &host, range);
    if status == 1 {
        assert_eq!((ttl, canonical), (0, host.h_name));
        assert_eq!(host.h_addrtype, family);
    }
    status
}

fn by_address(
    address: &[u8],
    family: c_int,
    buffer: Buffer,
    errors: Errors,
    range: &std::ops::Range<usize>,
) -> c_int {
    let mut host = empty_host();
    // SAFETY: all pointers are valid.
    let status = unsafe {
        nss_mesher_core::host_by_address(
            address.as_ptr().cast(),
            address.len() as u32,
            family,
            &raw mut host,
            buffer,
            errors,
            std::ptr::null_mut(),
        )
    };
    check_host(status, &host, range);
    status
}

fn check_tuples(mut tuple: *mut AddressTuple, preset: bool, range: &std::ops::Range<usize>) {
    let mut first = preset;
    assert!(!tuple.is_null());
    while !tuple.is_null() {
        assert!(first || (range.contains(&(tuple as usize)) && tuple.is_aligned()));
        first = false;
        // SAFETY: in the buffer or our own, and aligned.
        let this = unsafe { *tuple };
        check_text(this.name, range);
        assert!(matches!(this.family, libc::AF_INET | libc::AF_INET6));
        tuple = this.next;
    }
}

fn check_text(text: *const c_char, range: &std::ops::Range<usize>) {
    assert!(range.contains(&(text as usize)), "a string outside the buffer");
    // SAFETY: it starts in the buffer, and the buffer is followed by memory without an end of 64 bytes' canary; a string
    // that runs on is found by the check below or by the sanitizer.
    let text = unsafe { CStr::from_ptr(text) };
    assert!(
        range.contains(&(text.as_ptr() as usize + text.count_bytes())),
        "a string that leaves the buffer"
    );
}

fn check_host(status: c_int, host: &libc::hostent, range: &std::ops::Range<usize>) {
    if status != 1 {
        return;
    }
    check_text(host.h_name, range);
    let size = if host.h_addrtype == libc::AF_INET { 4 } else { 16 };
    assert_eq!(host.h_length, size);
    assert!(range.contains(&(host.h_addr_list as usize)) && host.h_addr_list.is_aligned());
    assert!(range.contains(&(host.h_aliases as usize)) && host.h_aliases.is_aligned());
    // SAFETY: aligned arrays in the buffer, each ended by a null pointer.
    unsafe {
        assert!(!(*host.h_addr_list).is_null(), "an empty answer");
        let mut at = host.h_addr_list;
        while !(*at).is_null() {
            assert!(range.contains(&(*at as usize)) && range.contains(&(*at as usize + size as usize - 1)));
            at = at.add(1);
        }
        let mut at = host.h_aliases;
        while !(*at).is_null() {
            check_text(*at, range);
            at = at.add(1);
        }
    }
}
