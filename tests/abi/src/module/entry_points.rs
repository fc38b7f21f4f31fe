//! The types of the entry points, and what they return.

use std::ffi::{c_char, c_int, c_void};

use nss_mesher_core::AddressTuple;

/// glibc's statuses.
pub mod status {
    /// Buffer too small.
    pub const TRYAGAIN: i32 = -2;
    /// No table.
    pub const UNAVAIL: i32 = -1;
    /// No such name.
    pub const NOTFOUND: i32 = 0;
    /// Answered.
    pub const SUCCESS: i32 = 1;
    /// No such name, and nobody else is to be asked.
    pub const RETURN: i32 = 2;
}

pub(super) type ByName4 = unsafe extern "C" fn(
    *const c_char,
    *mut *mut AddressTuple,
    *mut c_char,
    usize,
    *mut c_int,
    *mut c_int,
    *mut i32,
) -> c_int;
pub(super) type ByName3 = unsafe extern "C" fn(
    *const c_char,
    c_int,
    *mut libc::hostent,
    *mut c_char,
    usize,
    *mut c_int,
    *mut c_int,
    *mut i32,
    *mut *mut c_char,
) -> c_int;
pub(super) type ByName2 = unsafe extern "C" fn(
    *const c_char,
    c_int,
    *mut libc::hostent,
    *mut c_char,
    usize,
    *mut c_int,
    *mut c_int,
) -> c_int;
pub(super) type ByName = unsafe extern "C" fn(
    *const c_char,
    *mut libc::hostent,
    *mut c_char,
    usize,
    *mut c_int,
    *mut c_int,
) -> c_int;
pub(super) type ByAddress2 = unsafe extern "C" fn(
    *const c_void,
    u32,
    c_int,
    *mut libc::hostent,
    *mut c_char,
    usize,
    *mut c_int,
    *mut c_int,
    *mut i32,
) -> c_int;
pub(super) type ByAddress = unsafe extern "C" fn(
    *const c_void,
    u32,
    c_int,
    *mut libc::hostent,
    *mut c_char,
    usize,
    *mut c_int,
    *mut c_int,
) -> c_int;
pub(super) type Next =
    unsafe extern "C" fn(*mut libc::hostent, *mut c_char, usize, *mut c_int, *mut c_int) -> c_int;
