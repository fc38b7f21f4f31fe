//! The module's entry points, called directly.

mod arena;
mod entry_points;

use std::ffi::{CString, c_char, c_int, c_void};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nss_mesher_core::AddressTuple;

pub use arena::{Arena, Host, Tuple};
pub use entry_points::status;
use entry_points::{ByAddress, ByAddress2, ByName, ByName2, ByName3, ByName4, Next};

/// One loaded copy of a module, with the table it was given. Copies have their own state, as in separate processes.
pub struct Module {
    handle: *mut c_void,
    prefix: &'static str,
    _folder: tempfile::TempDir,
    /// One at a time: the table's path comes from the environment, which all threads share.
    _one: MutexGuard<'static, ()>,
}

static ONE: Mutex<()> = Mutex::new(());

/// Which entry point looks a name up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `gethostbyname3_r` in this family.
    Three(c_int),
    /// `gethostbyname2_r` in this family.
    Two(c_int),
    /// `gethostbyname_r`.
    One,
}

/// A call's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call<T> {
    /// `enum nss_status`.
    pub status: c_int,
    /// errno after the call; [`Arena::ERRNO`] if it was left alone.
    pub errno: c_int,
    /// h_errno after the call; [`Arena::ERRNO`] if it was left alone.
    pub h_errno: c_int,
    /// What was answered, if the status is SUCCESS.
    pub answer: Option<T>,
    /// The TTL written, [`Arena::ERRNO`] if none was.
    pub ttl: i32,
}

impl<T> Call<T> {
    /// The three numbers of the contract.
    pub fn numbers(&self) -> (c_int, c_int, c_int) {
        (self.status, self.errno, self.h_errno)
    }
}

fn errno() -> *mut c_int {
    // SAFETY: always valid in this thread.
    unsafe { libc::__errno_location() }
}

fn empty_host() -> libc::hostent {
    libc::hostent {
        h_name: null_mut(),
        h_aliases: null_mut(),
        h_addrtype: 0,
        h_length: 0,
        h_addr_list: null_mut(),
    }
}

impl Module {
    /// Loads our module; it finds its table at `table`.
    pub fn load(table: &Path) -> Self {
        Self::load_file(crate::module_file(), "_nss_mesher_", table)
    }

    /// Loads the reference module.
    pub fn load_reference(table: &Path) -> Self {
        Self::load_file(crate::reference_file(), "_nss_meshref_", table)
    }

    fn load_file(file: &Path, prefix: &'static str, table: &Path) -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("module.so");
        std::fs::copy(file, &copy).expect("copied");
        // SAFETY: all tests that load a module hold the lock, and nothing else here changes the environment.
        unsafe { std::env::set_var("MESHER_TABLE", table) };
        let path = CString::new(copy.as_os_str().as_bytes()).expect("a path");
        // SAFETY: the path is a string, and the module's initialisers do nothing.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "the module does not load");
        Self { handle, prefix, _folder: folder, _one: one }
    }

    /// An entry point by its name without the prefix.
    pub fn symbol(&self, name: &str) -> *mut c_void {
        let name = CString::new(format!("{}{name}", self.prefix)).expect("a name");
        // SAFETY: the handle is open.
        unsafe { libc::dlsym(self.handle, name.as_ptr()) }
    }

    /// An entry point as a function.
    ///
    /// # Safety
    ///
    /// `F` is a function pointer of the entry point's type.
    unsafe fn function<F: Copy>(&self, name: &str) -> F {
        let symbol = self.symbol(name);
        assert!(!symbol.is_null(), "{name} is not exported");
        // SAFETY: the caller's promise; all function pointers have this size.
        unsafe { std::mem::transmute_copy(&symbol) }
    }

    /// Makes a call in a buffer of this size and alignment, and checks everything that holds for every call.
    fn call<T>(
        &self,
        size: usize,
        offset: usize,
        make: impl FnOnce(*mut c_char, *mut c_int, &mut i32) -> (c_int, libc::hostent),
        read: impl FnOnce(&Arena, &libc::hostent) -> T,
    ) -> Call<T> {
        let mut arena = Arena::new(size, offset);
        arena.aligned = self.prefix == "_nss_mesher_";
        let (mut h_errno, mut ttl) = (Arena::ERRNO, Arena::ERRNO);
        let buffer = arena.pointer();
        // SAFETY: errno may be written.
        unsafe { *errno() = Arena::ERRNO };
        let (status, host) = make(buffer, &raw mut h_errno, &mut ttl);
        // SAFETY: errno may be read.
        let errno = unsafe { *errno() };
        arena.check();
        let answer = (status == status::SUCCESS).then(|| read(&arena, &host));
        Call { status, errno, h_errno, answer, ttl }
    }

    /// Looks a name up.
    pub fn by_name(&self, how: Name, name: &[u8], size: usize, offset: usize) -> Call<Host> {
        let name = CString::new(name).expect("no zero inside");
        let mut canonical = null_mut();
        // SAFETY: the functions have these types, and all pointers are valid.
        self.call(
            size,
            offset,
            |buffer, h_errno, ttl| unsafe {
                let (mut host, name) = (empty_host(), name.as_ptr());
                let status = match how {
                    Name::Three(family) => self.function::<ByName3>("gethostbyname3_r")(
                        name,
                        family,
                        &raw mut host,
                        buffer,
                        size,
                        errno(),
                        h_errno,
                        ttl,
                        &raw mut canonical,
                    ),
                    Name::Two(family) => self.function::<ByName2>("gethostbyname2_r")(
                        name,
                        family,
                        &raw mut host,
                        buffer,
                        size,
                        errno(),
                        h_errno,
                    ),
                    Name::One => self.function::<ByName>("gethostbyname_r")(
                        name,
                        &raw mut host,
                        buffer,
                        size,
                        errno(),
                        h_errno,
                    ),
                };
                if status == status::SUCCESS && matches!(how, Name::Three(_)) && self.prefix == "_nss_mesher_"
                {
                    assert_eq!(canonical, host.h_name, "the canonical name lies in the buffer");
                }
                (status, host)
            },
            Arena::host,
        )
    }

    /// Looks a name up in all families; with `preset`, as glibc before 2.36 does.
    pub fn by_name4(&self, name: &[u8], size: usize, offset: usize, preset: bool) -> Call<Vec<Tuple>> {
        let name = CString::new(name).expect("no zero inside");
        let mut first =
            AddressTuple { next: null_mut(), name: null_mut(), family: -1, addr: [0; 4], scopeid: 99 };
        let own = &raw mut first;
        let mut pat = if preset { own } else { null_mut() };
        let pat = &raw mut pat;
        // SAFETY: the function has this type, and all pointers are valid.
        self.call(
            size,
            offset,
            |buffer, h_errno, ttl| unsafe {
                let function = self.function::<ByName4>("gethostbyname4_r");
                let status = function(name.as_ptr(), pat, buffer, size, errno(), h_errno, ttl);
                (status, empty_host())
            },
            |arena, _| {
                let mut tuples = Vec::new();
                // SAFETY: our own variable.
                let start = unsafe { *pat };
                let mut at = start;
                while !at.is_null() {
                    if at != own {
                        arena.assert_inside(at.cast(), size_of::<AddressTuple>(), align_of::<AddressTuple>());
                    }
                    // SAFETY: inside the buffer and aligned, or our own.
                    let tuple = unsafe { at.read() };
                    let bytes = tuple.addr.map(u32::to_ne_bytes);
                    let address = match tuple.family {
                        libc::AF_INET => IpAddr::V4(Ipv4Addr::from(bytes[0])),
                        libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(
                            <[u8; 16]>::try_from(bytes.as_flattened()).expect("16"),
                        )),
                        other => panic!("family {other}"),
                    };
                    tuples.push(Tuple { name: arena.text(tuple.name), address, scope: tuple.scopeid });
                    at = tuple.next;
                }
                assert_eq!(start == own, preset, "a preset tuple is used, and only that");
                tuples
            },
        )
    }

    /// Looks an address up, given as bytes of any length, at an odd address.
    pub fn by_address(&self, family: c_int, address: &[u8], size: usize, offset: usize) -> Call<Host> {
        let mut odd = vec![0];
        odd.extend_from_slice(address);
        let length = u32::try_from(address.len()).expect("short");
        // SAFETY: the functions have these types, and all pointers are valid.
        self.call(
            size,
            offset,
            |buffer, h_errno, ttl| unsafe {
                let (mut host, bytes) = (empty_host(), odd[1..].as_ptr().cast());
                let host_at = &raw mut host;
                let status = if self.symbol("gethostbyaddr2_r").is_null() {
                    let function = self.function::<ByAddress>("gethostbyaddr_r");
                    function(bytes, length, family, host_at, buffer, size, errno(), h_errno)
                } else {
                    let function = self.function::<ByAddress2>("gethostbyaddr2_r");
                    function(bytes, length, family, host_at, buffer, size, errno(), h_errno, ttl)
                };
                (status, host)
            },
            Arena::host,
        )
    }

    /// As [`by_address`](Self::by_address), through `gethostbyaddr_r`.
    pub fn by_address1(&self, family: c_int, address: &[u8], size: usize) -> Call<Host> {
        let length = u32::try_from(address.len()).expect("short");
        // SAFETY: the function has this type, and all pointers are valid.
        self.call(
            size,
            0,
            |buffer, h_errno, _| unsafe {
                let mut host = empty_host();
                let function = self.function::<ByAddress>("gethostbyaddr_r");
                let bytes = address.as_ptr().cast();
                (function(bytes, length, family, &raw mut host, buffer, size, errno(), h_errno), host)
            },
            Arena::host,
        )
    }

    /// The next host of the enumeration.
    pub fn next(&self, size: usize, offset: usize) -> Call<Host> {
        // SAFETY: the function has this type, and all pointers are valid.
        self.call(
            size,
            offset,
            |buffer, h_errno, _| unsafe {
                let mut host = empty_host();
                let function = self.function::<Next>("gethostent_r");
                (function(&raw mut host, buffer, size, errno(), h_errno), host)
            },
            Arena::host,
        )
    }

    /// Starts the enumeration anew.
    pub fn rewind(&self) -> c_int {
        // SAFETY: the function has this type.
        unsafe { self.function::<unsafe extern "C" fn(c_int) -> c_int>("sethostent")(0) }
    }

    /// Ends the enumeration.
    pub fn end(&self) -> c_int {
        // SAFETY: the function has this type.
        unsafe { self.function::<unsafe extern "C" fn() -> c_int>("endhostent")() }
    }
}
