//! The modules that are measured: ours, one that returns a constant, and a naked lookup; built, laid out and loaded.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mesher_table::{Contents, Deadline, Entry, Published, TableWriter};
use nss_mesher_core::AddressTuple;

pub(crate) type ByName4 = unsafe extern "C" fn(
    *const c_char,
    *mut *mut AddressTuple,
    *mut c_char,
    usize,
    *mut c_int,
    *mut c_int,
    *mut i32,
) -> c_int;

/// The bare lookup's function.
pub(crate) type Bare = unsafe extern "C" fn(*const c_char, *mut u8) -> c_int;

/// The numbers of names that everything is measured with.
pub(crate) const SIZES: [u32; 4] = [8, 1000, 10_000, 100_000];

/// The project's folder.
pub(crate) fn project() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn run(command: &mut Command) {
    let status = command.status().expect("the program starts");
    assert!(status.success(), "{command:?}: {status}");
}

/// Builds all modules into `folder`, under the names by which glibc finds them.
pub(crate) fn build(folder: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .args(["build", "--quiet", "--profile", "nss", "-p", "nss_mesher"])
        .current_dir(project()));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project().join("target"), PathBuf::from);
    std::fs::copy(target.join("nss/libnss_mesher.so"), folder.join("libnss_mesher.so.2")).expect("copied");
    for (name, source) in [("mshconst", "constant.c"), ("mshnaked", "naked.c")] {
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        run(Command::new(compiler)
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-Wl,-z,now", "-o"])
            .arg(folder.join(format!("libnss_{name}.so.2")))
            .arg(project().join("benches/modules").join(source)));
    }
}

/// The `n`th host's name: 16 letters before the domain, in no order.
pub(crate) fn name(n: u32) -> String {
    format!("host{:012x}.sol", u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16)
}

fn entry(n: u32) -> Entry {
    Entry {
        name: name(n),
        canonical: None,
        v4: vec![(0x0a00_0000 + n).into()],
        v6: vec![std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(n)).into()],
        ttl_s: 60,
    }
}

/// A table's contents of this many names.
pub(crate) fn contents(names: u32) -> Contents {
    Contents { entries: (0..names).map(entry).collect(), contain: Vec::new() }
}

/// Where the table of this many names lies.
pub(crate) fn table(folder: &Path, names: u32) -> PathBuf {
    folder.join(format!("{names}.table"))
}

/// Where the naked lookup's file of this many names lies.
pub(crate) fn naked(folder: &Path, names: u32) -> PathBuf {
    folder.join(format!("{names}.naked"))
}

/// Writes the tables of all sizes, ours and the naked lookup's.
pub(crate) fn write_tables(folder: &Path) -> Vec<(u32, Published)> {
    let lease = || Deadline::after(Duration::from_secs(3600));
    SIZES
        .into_iter()
        .map(|names| {
            let mut writer = TableWriter::open_or_create(table(folder, names)).expect("a writer");
            let published = writer.publish(&contents(names), lease()).expect("published");
            std::fs::write(naked(folder, names), naked_file(&contents(names))).expect("written");
            (names, published)
        })
        .collect()
}

/// Writes the table through which glibc is measured, and a naked one and a hosts file that say the same: a thousand names with the
/// constant module's addresses.
pub(crate) fn write_same(folder: &Path) {
    let mut contents = contents(1000);
    // 10.0.0.1 and 2001:db8::1.
    let (v4, v6) = (contents.entries[1].v4.clone(), contents.entries[1].v6.clone());
    let mut hosts = String::new();
    for entry in &mut contents.entries {
        (entry.v4, entry.v6) = (v4.clone(), v6.clone());
        hosts += &format!("{} {}\n{} {}\n", v4[0], entry.name, v6[0].address, entry.name);
    }
    let mut writer = TableWriter::open_or_create(folder.join("same.table")).expect("a writer");
    writer.publish(&contents, Deadline::after(Duration::from_secs(3600))).expect("published");
    std::fs::write(folder.join("same.naked"), naked_file(&contents)).expect("written");
    std::fs::write(folder.join("same.hosts"), hosts).expect("written");
}

fn naked_file(contents: &Contents) -> Vec<u8> {
    let slots = (contents.entries.len() * 2).next_power_of_two();
    let mut file = (slots as u64).to_ne_bytes().to_vec();
    file.resize(8 + slots * 8, 0);
    for entry in &contents.entries {
        let hash = entry
            .name
            .bytes()
            .fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
        let mut at = hash as usize & (slots - 1);
        while file[8 + at * 8 + 4..8 + at * 8 + 8] != [0; 4] {
            at = (at + 1) & (slots - 1);
        }
        let place = u32::try_from(file.len()).expect("a small file");
        file[8 + at * 8..8 + at * 8 + 4].copy_from_slice(&hash.to_ne_bytes());
        file[8 + at * 8 + 4..8 + at * 8 + 8].copy_from_slice(&place.to_ne_bytes());
        file.push(u8::try_from(entry.name.len()).expect("a short name"));
        file.extend_from_slice(entry.name.as_bytes());
        file.push(0);
        file.extend_from_slice(&entry.v4[0].octets());
        file.extend_from_slice(&entry.v6[0].address.octets());
    }
    file
}

/// A loaded module. Copies loaded from different files have their own state.
pub(crate) struct Loaded(*mut c_void);

impl Loaded {
    /// Loads a copy of a module.
    pub(crate) fn copy_of(file: &Path, copy: &Path) -> Self {
        std::fs::copy(file, copy).expect("copied");
        let path = CString::new(copy.as_os_str().as_bytes()).expect("a path");
        // SAFETY: the path is a string, and the modules' initialisers do nothing.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "{} does not load", copy.display());
        Self(handle)
    }

    /// A function of the module.
    ///
    /// # Safety
    ///
    /// `F` is a function pointer of the function's type.
    pub(crate) unsafe fn function<F: Copy>(&self, name: &CStr) -> F {
        // SAFETY: the handle is open and the name a string.
        let symbol = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!symbol.is_null(), "{name:?} is not there");
        // SAFETY: the caller's promise.
        unsafe { std::mem::transmute_copy(&symbol) }
    }
}
