//! The glibc NSS module: lookups answered straight from the hosts table.
//!
//! This crate is only the module's outside: the names glibc looks for, and the proof that nothing in it can panic.
//! What it answers is in `nss_mesher_core`, an ordinary library.
//!
//! # Building
//!
//! `cargo build --profile nss -p nss_mesher` makes `target/nss/libnss_mesher.so`, which is installed as
//! `libnss_mesher.so.2`. In that profile a panic aborts, so the crate needs no unwinder and is `no_std`, and its panic handler
//! calls a function that does not exist. Link-time optimisation removes the handler unless something can reach it;
//! if something can, the link fails. So a module that has been built cannot panic.
//!
//! In every other profile the crate builds as well, so that `cargo check`, `clippy` and `test` work on the whole
//! workspace, but then it exports nothing: such a file is no module, and cannot be taken for one.
#![cfg_attr(panic = "abort", no_std)]

use libc::{c_char, c_int, c_void, hostent, size_t, socklen_t};
use nss_mesher_core::{self as core_, AddressTuple, Buffer, Errors};

#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        /// Defined nowhere: a link error that names it means that code in the module can panic.
        fn mesher_nss_has_a_reachable_panic() -> !;
    }
    // SAFETY: a module in which this call is left does not link.
    unsafe { mesher_nss_has_a_reachable_panic() }
}

/// `getaddrinfo(AF_UNSPEC)`: all addresses of a name.
///
/// # Safety
///
/// As glibc calls it: `name` is a string, the other pointers are valid for writing, `buf` for `len` bytes; `ttlp` may
/// be null. `*pat` is null or points to a tuple. The same holds for the functions below.
#[cfg_attr(panic = "abort", unsafe(no_mangle))]
pub unsafe extern "C" fn _nss_mesher_gethostbyname4_r(
    name: *const c_char,
    pat: *mut *mut AddressTuple,
    buf: *mut c_char,
    len: size_t,
    errnop: *mut c_int,
    h_errnop: *mut c_int,
    ttlp: *mut i32,
) -> c_int {
    // SAFETY: the caller's promises are the callee's conditions.
    unsafe { core_::addresses_by_name(name, pat, Buffer::new(buf, len), Errors::new(errnop, h_errnop), ttlp) }
}

/// One family's addresses, with TTL and canonical name.
///
/// # Safety
///
/// See [`_nss_mesher_gethostbyname4_r`]; `canonp` may be null.
#[cfg_attr(panic = "abort", unsafe(no_mangle))]
pub unsafe extern "C" fn _nss_mesher_gethostbyname3_r(
    name: *const c_char,
    af: c_int,
    host: *mut hostent,
    buf: *mut c_char,
    len: size_t,
    errnop: *mut c_int,
    h_errnop: *mut c_int,
    ttlp: *mut i32,
    canonp: *mut *mut c_char,
) -> c_int {
    let errors = Errors::new(errnop, h_errnop);
    // SAFETY: the caller's promises are the callee's conditions.
    unsafe { core_::host_by_name(name, af, host, Buffer::new(buf, len), errors, ttlp, canonp) }
}

/// One family's addresses.
///
/// # Safety
///
/// See [`_nss_mesher_gethostbyname4_r`].
#[cfg_attr(panic = "abort", unsafe(no_mangle))]
pub unsafe extern "C" fn _nss_mesher_gethostbyname2_r(
    name: *const c_char,
    af: c_int,
    host: *mut hostent,
    buf: *mut c_char,
    len: size_t,
    errnop: *mut c_int,
    h_errnop: *mut c_int,
) -> c_int {
    let (none, nowhere) = (core::ptr::null_mut(), core::ptr::null_mut());
    // SAFETY: the caller's promises are the callee's conditions.
    unsafe { _nss_mesher_gethostbyname3_r(name, af, host, buf, len, errnop, h_errnop, none, nowhere) }
}

/// IPv4 addresses.
///
/// # Safety
///
/// See [`_nss_mesher_gethostbyname4_r`].
#[cfg_attr(panic = "abort", unsafe(no_mangle))]
pub unsafe extern "C" fn _nss_mesher_gethostbyname_r(
    name: *const c_char,
    host: *mut hostent,
    buf: *mut c_char,
    len: size_t,
    errnop: *mut c_int,
    h_errnop: *mut c_int,
) -> c_int {
    // SAFETY: the caller's promises are the callee's conditions.
    unsafe { _nss_mesher_gethostbyname2_r(name, libc::AF_INET, host, buf, len, errnop, h_errnop) }
}

/// The names of an address, with TTL.
///
/// # Safety
///
/// See [`_nss_mesher_gethostbyname4_r`]; `addr` is valid for `addr_len` bytes.
#[cfg_attr(panic = "abort", unsafe(no_mangle))]
pub unsafe extern "C" fn _nss_mesher_gethostbyaddr2_r(
    addr: *const c_void,
    addr_len: socklen_t,
    af: c_int,
    host: *mut hostent,
    buf: *mut c_char,
    len: size_t,
    errnop: *mut c_int,
    h_errnop: *mut c_int,
    ttlp: *mut i32,
) -> c_int {
    let errors = Errors::new(errnop, h_errnop);
    // SAFETY: the caller's promises are the callee's conditions.
    unsafe { core_::host_by_address(addr, addr_len, af, host, Buffer::new(buf, len), errors, ttlp) }
}

/// The names of an address.
///
/// # Safety
///
/// See [`_nss_mesher_gethostbyaddr2_r`].
#[cfg_attr(panic = "abort", unsafe(no_mangle))]
pub unsafe extern "C" fn _nss_mesher_gethostbyaddr_r(
    addr: *const c_void,
    addr_len: socklen_t,
    af: c_int,
    host: *mut hostent,
    buf: *mut c_char,
    len: size_t,
    errnop: *mut c_int,
    h_errnop: *mut c_int,
) -> c_int {
    let none = core::ptr::null_mut();
    // SAFETY: the caller's promises are the callee's conditions.
    unsafe { _nss_mesher_gethostbyaddr2_r(addr, addr_len, af, host, buf, len, errnop, h_errnop, none) }
}

/// Starts the enumeration anew.
#[cfg_attr(panic = "abort", unsafe(no_mangle))]
pub extern "C" fn _nss_mesher_sethostent(_stay_open: c_int) -> c_int {
    core_::rewind()
}

/// Ends the enumeration.
#[cfg_attr(panic = "abort", unsafe(no_mangle))]
pub extern "C" fn _nss_mesher_endhostent() -> c_int {
    core_::rewind()
}

/// The next host.
///
/// # Safety
///
/// See [`_nss_mesher_gethostbyname4_r`].
#[cfg_attr(panic = "abort", unsafe(no_mangle))]
pub unsafe extern "C" fn _nss_mesher_gethostent_r(
    host: *mut hostent,
    buf: *mut c_char,
    len: size_t,
    errnop: *mut c_int,
    h_errnop: *mut c_int,
) -> c_int {
    // SAFETY: the caller's promises are the callee's conditions.
    unsafe { core_::next_host(host, Buffer::new(buf, len), Errors::new(errnop, h_errnop)) }
}
