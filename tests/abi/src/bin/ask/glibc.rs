//! glibc's functions, and what they answer in a line.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr::{null, null_mut};

unsafe extern "C" {
    fn gethostbyname2_r(
        name: *const c_char,
        family: c_int,
        host: *mut libc::hostent,
        buffer: *mut c_char,
        size: usize,
        result: *mut *mut libc::hostent,
        h_errno: *mut c_int,
    ) -> c_int;
    fn gethostbyname_r(
        name: *const c_char,
        host: *mut libc::hostent,
        buffer: *mut c_char,
        size: usize,
        result: *mut *mut libc::hostent,
        h_errno: *mut c_int,
    ) -> c_int;
    fn gethostbyaddr_r(
        address: *const c_void,
        length: u32,
        family: c_int,
        host: *mut libc::hostent,
        buffer: *mut c_char,
        size: usize,
        result: *mut *mut libc::hostent,
        h_errno: *mut c_int,
    ) -> c_int;
    fn __nss_configure_lookup(database: *const c_char, sources: *const c_char) -> c_int;
    fn sethostent(stay_open: c_int);
    fn endhostent();
    fn gethostent_r(
        host: *mut libc::hostent,
        buffer: *mut c_char,
        size: usize,
        result: *mut *mut libc::hostent,
        h_errno: *mut c_int,
    ) -> c_int;
}

/// Sets this process's sources of host names, as `getent -s` does.
pub(crate) fn use_sources(sources: &str) {
    let sources = CString::new(sources).expect("no zero inside");
    // SAFETY: both are strings; no lookup has been made.
    assert_eq!(unsafe { __nss_configure_lookup(c"hosts".as_ptr(), sources.as_ptr()) }, 0);
}

/// A family by its name, or any number.
pub(crate) fn family(text: &str) -> c_int {
    match text {
        "any" => libc::AF_UNSPEC,
        "4" => libc::AF_INET,
        "6" => libc::AF_INET6,
        other => other.trim_start_matches("number ").parse().expect("a family"),
    }
}

/// `getaddrinfo`: the addresses in order, an interface behind `%`, and the canonical name behind `=`.
pub(crate) fn info(family: c_int, flags: &str, name: &str) -> String {
    let name = CString::new(name).expect("no zero inside");
    // SAFETY: zero is a value of every field.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = family;
    hints.ai_socktype = libc::SOCK_STREAM;
    for (letter, flag) in [('c', libc::AI_CANONNAME), ('a', libc::AI_ADDRCONFIG)] {
        hints.ai_flags |= if flags.contains(letter) { flag } else { 0 };
    }
    let mut found = null_mut();
    // SAFETY: all pointers are valid.
    let error = unsafe { libc::getaddrinfo(name.as_ptr(), null(), &raw const hints, &raw mut found) };
    if error != 0 {
        return format!("error {error}");
    }
    let mut said = Vec::new();
    let mut at = found;
    while !at.is_null() {
        // SAFETY: glibc's list, not yet freed, whose addresses have the type their family says.
        let (this, address) = unsafe { (&*at, &*(*at).ai_addr) };
        said.push(match address.sa_family.into() {
            libc::AF_INET => {
                // SAFETY: as above.
                let v4 = unsafe { &*this.ai_addr.cast::<libc::sockaddr_in>() };
                Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes()).to_string()
            }
            _ => {
                // SAFETY: as above.
                let v6 = unsafe { &*this.ai_addr.cast::<libc::sockaddr_in6>() };
                let scope = v6.sin6_scope_id;
                let address = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                if scope == 0 { address.to_string() } else { format!("{address}%{scope}") }
            }
        });
        if !this.ai_canonname.is_null() {
            // SAFETY: a string of glibc's.
            said.push(format!("={}", unsafe { CStr::from_ptr(this.ai_canonname) }.to_string_lossy()));
        }
        at = this.ai_next;
    }
    // SAFETY: freed once.
    unsafe { libc::freeaddrinfo(found) };
    said.join(" ")
}

fn empty() -> libc::hostent {
    // SAFETY: null and zero are values of every field.
    unsafe { std::mem::zeroed() }
}

/// What a function of the `_r` kind did: `found NAME [ALIASES] ADDRESSES`, or `returned R h_errno H`; and errno where it is
/// neither what it was nor what was returned, which glibc itself stores there.
fn describe(returned: c_int, result: *const libc::hostent, h_errno: c_int, errno: c_int) -> String {
    let errno = if [BEFORE, returned].contains(&errno) { String::new() } else { format!(" errno {errno}") };
    if result.is_null() {
        return format!("returned {returned} h_errno {h_errno}{errno}");
    }
    // SAFETY: glibc's answer, in a buffer that is still there.
    let host = unsafe { &*result };
    let text = |text: *mut c_char| {
        // SAFETY: as above.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    };
    let mut said = vec![format!("found {}", text(host.h_name))];
    said.push(format!("[{}]", pointers(host.h_aliases).map(text).collect::<Vec<_>>().join(" ")));
    for address in pointers(host.h_addr_list) {
        let address = match host.h_addrtype {
            // SAFETY: as above; four bytes.
            libc::AF_INET => IpAddr::from(unsafe { address.cast::<[u8; 4]>().read() }),
            // SAFETY: as above; sixteen bytes.
            _ => IpAddr::from(unsafe { address.cast::<[u8; 16]>().read() }),
        };
        said.push(address.to_string());
    }
    format!("{}{errno}", said.join(" "))
}

/// The pointers of an array that ends with null.
fn pointers(mut list: *mut *mut c_char) -> impl Iterator<Item = *mut c_char> {
    std::iter::from_fn(move || {
        // SAFETY: inside an array that ends with null, after which nothing is read.
        let pointer = unsafe { list.read_unaligned() };
        list = list.wrapping_add(1);
        (!pointer.is_null()).then_some(pointer)
    })
}

/// errno before a call.
const BEFORE: c_int = 7777;

fn set_errno() {
    // SAFETY: always valid in this thread.
    unsafe { *libc::__errno_location() = BEFORE };
}

fn errno() -> c_int {
    // SAFETY: always valid in this thread.
    unsafe { *libc::__errno_location() }
}

/// A buffer between walls that must stay as they are.
struct Buffer {
    memory: Vec<u8>,
    start: usize,
    size: usize,
}

impl Buffer {
    const CANARY: u8 = 0xa5;

    fn new(size: usize, offset: usize) -> Self {
        let mut memory = vec![Self::CANARY; size + 256];
        let base = memory.as_mut_ptr().addr();
        let start = (base + 64).next_multiple_of(16) - base + offset;
        Self { memory, start, size }
    }

    fn pointer(&mut self) -> *mut c_char {
        self.memory[self.start..].as_mut_ptr().cast()
    }

    fn check(&self) {
        let (before, rest) = self.memory.split_at(self.start);
        let whole = before.iter().chain(&rest[self.size..]).all(|byte| *byte == Self::CANARY);
        assert!(whole, "written outside the buffer");
    }
}

/// `gethostbyname2_r`, or `gethostbyname_r` without a family.
pub(crate) fn by_name(family: Option<c_int>, size: usize, offset: usize, name: &str) -> String {
    let name = CString::new(name).expect("no zero inside");
    let mut buffer = Buffer::new(size, offset);
    let (mut host, mut result, mut h_errno) = (empty(), null_mut(), 0);
    let (name, host, start) = (name.as_ptr(), &raw mut host, buffer.pointer());
    let (result_at, h_errno_at) = (&raw mut result, &raw mut h_errno);
    set_errno();
    // SAFETY: all pointers are valid.
    let returned = unsafe {
        match family {
            Some(family) => gethostbyname2_r(name, family, host, start, size, result_at, h_errno_at),
            None => gethostbyname_r(name, host, start, size, result_at, h_errno_at),
        }
    };
    let errno = errno();
    buffer.check();
    describe(returned, result, h_errno, errno)
}

/// `gethostbyaddr_r`.
pub(crate) fn by_address(family: c_int, size: usize, hex: &str) -> String {
    let mut odd = vec![0_u8];
    for at in (0..hex.len()).step_by(2) {
        odd.push(u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits"));
    }
    let length = u32::try_from(odd.len() - 1).expect("few");
    let mut buffer = Buffer::new(size, 0);
    let (mut host, mut result, mut h_errno) = (empty(), null_mut(), 0);
    let (address, start) = (odd[1..].as_ptr().cast(), buffer.pointer());
    set_errno();
    // SAFETY: all pointers are valid.
    let returned = unsafe {
        let (host, result, h_errno) = (&raw mut host, &raw mut result, &raw mut h_errno);
        gethostbyaddr_r(address, length, family, host, start, size, result, h_errno)
    };
    let errno = errno();
    buffer.check();
    describe(returned, result, h_errno, errno)
}

/// `gethostent_r` to the end; a line for each host, and `too small` where it was tried again.
pub(crate) fn list(size: usize) {
    // SAFETY: no pointers.
    unsafe { sethostent(0) };
    let mut now = size;
    loop {
        let mut buffer = Buffer::new(now, now % 16);
        let (mut host, mut result, mut h_errno) = (empty(), null_mut(), 0);
        let start = buffer.pointer();
        set_errno();
        // SAFETY: all pointers are valid.
        let returned = unsafe { gethostent_r(&raw mut host, start, now, &raw mut result, &raw mut h_errno) };
        let errno = errno();
        buffer.check();
        if returned == libc::ERANGE {
            println!("too small");
            now *= 2;
            continue;
        }
        println!("{}", describe(returned, result, h_errno, errno));
        if result.is_null() {
            break;
        }
        now = size;
    }
    // SAFETY: no pointers.
    unsafe { endhostent() };
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// A lookup, then something happens to the process, then the lookup again. Says how many descriptors the first one left.
pub(crate) fn after(what: &str, name: &str) {
    let before = descriptors();
    let first = by_name(Some(libc::AF_INET), 1024, 0, name);
    let kept = descriptors() - before;
    // SAFETY: each changes this process only; the child of a fork goes on with this thread.
    let done = unsafe {
        match what {
            "nothing" => 0,
            "close" => libc::close_range(3, u32::MAX, 0),
            "chroot" => libc::chroot(c"/proc/self/fdinfo".as_ptr()),
            "setuid" => libc::setresuid(1, 1, 1),
            "no descriptors" => {
                let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none)
            }
            "fork" => match libc::fork() {
                0 => 0,
                child => {
                    let mut status = 0;
                    assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                    std::process::exit(libc::WEXITSTATUS(status));
                }
            },
            other => panic!("unknown {other:?}"),
        }
    };
    assert_eq!(done, 0, "{what}: {}", std::io::Error::last_os_error());
    println!("{first}\n{}\nkept {kept}", by_name(Some(libc::AF_INET), 1024, 0, name));
}
