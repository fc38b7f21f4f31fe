//! The check of the shipped file: what it must not need, have or offer.

use std::path::Path;

use object::elf;
use object::read::elf::{Dyn as _, ElfFile64, FileHeader as _, ProgramHeader as _, Sym as _};

/// Bytes of the largest file that may be shipped.
pub const MAX_BYTES: usize = 32 * 1024;

/// The functions the module takes from libc, and why. Every one of them is safe in any thread of any process: none
/// allocates, locks, waits or can be cancelled.
pub const IMPORTS: [&str; 7] = [
    "__errno_location", // errno is restored after system calls
    "clock_gettime",    // the lease
    "memcpy",           // the compiler's
    "memset",           // the compiler's
    "secure_getenv",    // MESHER_TABLE
    "strnlen",          // the name asked for, and the table's path
    "syscall",          // openat, fstat, mmap, close: without the cancellation points
];

/// The entry points, all of them and no more. `getcanonname_r` must not be among them (CVE-2023-4806).
pub const EXPORTS: [&str; 9] = [
    "_nss_mesher_endhostent",
    "_nss_mesher_gethostbyaddr2_r",
    "_nss_mesher_gethostbyaddr_r",
    "_nss_mesher_gethostbyname2_r",
    "_nss_mesher_gethostbyname3_r",
    "_nss_mesher_gethostbyname4_r",
    "_nss_mesher_gethostbyname_r",
    "_nss_mesher_gethostent_r",
    "_nss_mesher_sethostent",
];

/// Everything that is wrong with the file.
///
/// # Panics
///
/// If it is no ELF file of this machine's kind.
pub fn check(file: &Path) -> Vec<String> {
    let data = std::fs::read(file).expect("the module's file");
    let elf = ElfFile64::<object::NativeEndian>::parse(&*data).expect("an ELF file");
    let mut wrong = Vec::new();
    if data.len() > MAX_BYTES {
        wrong.push(format!("{} bytes; at most {MAX_BYTES} are allowed", data.len()));
    }
    if elf.elf_program_headers().iter().any(|header| header.p_type(elf.endian()) == elf::PT_TLS) {
        wrong.push("it has thread-local storage (PT_TLS)".into());
    }
    check_dynamic(&elf, &mut wrong);
    check_symbols(&elf, &mut wrong);
    wrong
}

fn check_dynamic(elf: &ElfFile64<'_, object::NativeEndian>, wrong: &mut Vec<String>) {
    let (endian, data) = (elf.endian(), elf.data());
    let sections = elf.elf_header().sections(endian, data).expect("sections");
    let (dynamic, strings) = sections.dynamic(endian, data).expect("readable").expect("a dynamic section");
    let strings = sections.strings(endian, data, strings).expect("strings");
    let mut flags = 0;
    let mut needed = Vec::new();
    let mut soname = String::new();
    for entry in dynamic {
        let text = || {
            let at = u32::try_from(entry.d_val(endian)).expect("an offset");
            String::from_utf8_lossy(strings.get(at).expect("a string")).into_owned()
        };
        match u32::try_from(entry.d_tag(endian)).unwrap_or(0) {
            elf::DT_NEEDED => needed.push(text()),
            elf::DT_SONAME => soname = text(),
            elf::DT_FLAGS_1 => flags = u32::try_from(entry.d_val(endian)).expect("flags"),
            elf::DT_TEXTREL => wrong.push("it relocates its code".into()),
            _ => {}
        }
    }
    if needed != ["libc.so.6"] {
        wrong.push(format!("it needs {needed:?}; only libc.so.6 is allowed"));
    }
    if soname != "libnss_mesher.so.2" {
        wrong.push(format!("its name is `{soname}`"));
    }
    if flags & elf::DF_1_NOW == 0 || flags & elf::DF_1_NODELETE == 0 {
        wrong.push("it lacks NOW or NODELETE".into());
    }
}

fn check_symbols(elf: &ElfFile64<'_, object::NativeEndian>, wrong: &mut Vec<String>) {
    let (endian, data) = (elf.endian(), elf.data());
    let sections = elf.elf_header().sections(endian, data).expect("sections");
    let symbols = sections.symbols(endian, data, elf::SHT_DYNSYM).expect("dynamic symbols");
    let versions = sections.versions(endian, data).expect("readable");
    let mut exports = Vec::new();
    for (index, symbol) in symbols.enumerate() {
        let name = String::from_utf8_lossy(symbols.symbol_name(endian, symbol).expect("a name")).into_owned();
        if name.is_empty() {
            continue;
        }
        if !symbol.is_undefined(endian) {
            exports.push(name);
            continue;
        }
        // s390x has no mmap that could be called otherwise.
        let mmap = cfg!(target_arch = "s390x") && name == "mmap";
        if !IMPORTS.contains(&name.as_str()) && !mmap {
            wrong.push(format!("it imports `{name}`"));
        }
        let version = versions.as_ref().and_then(|versions| {
            let version = versions.version(versions.version_index(endian, index)).ok()??;
            Some(String::from_utf8_lossy(version.name()).into_owned())
        });
        if let Some(version) = version
            && !is_old(&version)
        {
            wrong.push(format!("it imports `{name}` of {version}; GLIBC_2.17 is the newest allowed"));
        }
    }
    exports.sort();
    if exports != EXPORTS {
        wrong.push(format!("it exports {exports:?}"));
    }
}

/// Whether a symbol version is one of glibc 2.17 or older: the glibc of CentOS 7, the oldest that is still met.
fn is_old(version: &str) -> bool {
    let Some(numbers) = version.strip_prefix("GLIBC_") else { return false };
    let numbers: Vec<u32> = numbers.split('.').filter_map(|number| number.parse().ok()).collect();
    numbers.as_slice() < [2, 18].as_slice()
}
