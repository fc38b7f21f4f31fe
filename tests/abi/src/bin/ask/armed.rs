//! Every entry point of the module, first calls included, in a process whose allocator aborts meanwhile.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::null_mut;

use nss_mesher_core::AddressTuple;

type Arm = unsafe extern "C" fn(c_int);
type Shared = (*mut c_char, usize, *mut c_int, *mut c_int);

fn symbol(handle: *mut c_void, name: &CStr) -> *mut c_void {
    // SAFETY: the handle is open or the default, and the name a string.
    let symbol = unsafe { libc::dlsym(handle, name.as_ptr()) };
    assert!(!symbol.is_null(), "{name:?} is not there");
    symbol
}

/// Calls `$name` as a function of `$type`.
macro_rules! call {
    ($handle:expr, $name:literal, ($($type:ty),*), ($($argument:expr),*)) => {{
        let function = symbol($handle, $name);
        // SAFETY: the entry point has this type.
        let function: unsafe extern "C" fn($($type),*) -> c_int = unsafe { std::mem::transmute(function) };
        // SAFETY: all pointers are valid.
        unsafe { function($($argument),*) }
    }};
}

/// Prints the statuses of all entry points, once the allocator is at peace again.
pub(crate) fn run(file: &str, name: &str) {
    let path = CString::new(file).expect("a path");
    let name = CString::new(name).expect("a name");
    // SAFETY: the path is a string, and the module's initialisers do nothing.
    let module = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!module.is_null(), "the module does not load");
    // SAFETY: the allocator's switch has this type.
    let arm: Arm = unsafe { std::mem::transmute(symbol(libc::RTLD_DEFAULT, c"arm")) };
    let mut memory = [0_u64; 512];
    let (mut errno, mut h_errno, mut ttl) = (0, 0, 0);
    let shared: Shared = (memory.as_mut_ptr().cast(), size_of_val(&memory), &raw mut errno, &raw mut h_errno);
    // SAFETY: zero is a value of every field.
    let mut host: libc::hostent = unsafe { std::mem::zeroed() };
    let (host, ttl) = (&raw mut host, &raw mut ttl);
    let (mut tuples, mut canonical) = (null_mut(), null_mut());
    let (name, address) = (name.as_ptr(), [10_u8, 0, 0, 1]);
    // SAFETY: no pointers.
    unsafe { arm(1) };
    let statuses = calls(module, name, &address, host, shared, ttl, &raw mut tuples, &raw mut canonical);
    // SAFETY: no pointers.
    unsafe { arm(0) };
    println!("{statuses:?}");
}

#[expect(clippy::too_many_arguments, reason = "the entry points' own")]
fn calls(
    module: *mut c_void,
    name: *const c_char,
    address: &[u8; 4],
    host: *mut libc::hostent,
    (buffer, size, errno, h_errno): Shared,
    ttl: *mut i32,
    tuples: *mut *mut AddressTuple,
    canonical: *mut *mut c_char,
) -> [c_int; 10] {
    type Host = *mut libc::hostent;
    type Errors = *mut c_int;
    type Text = *const c_char;
    type Buffer = *mut c_char;
    let by_3 = |family| {
        call!(
            module,
            c"_nss_mesher_gethostbyname3_r",
            (Text, c_int, Host, Buffer, usize, Errors, Errors, *mut i32, *mut Buffer),
            (name, family, host, buffer, size, errno, h_errno, ttl, canonical)
        )
    };
    let (address, length, v4) = (address.as_ptr().cast::<c_void>(), 4, libc::AF_INET);
    [
        // The first call maps the table.
        call!(
            module,
            c"_nss_mesher_gethostbyname4_r",
            (Text, *mut *mut AddressTuple, Buffer, usize, Errors, Errors, *mut i32),
            (name, tuples, buffer, size, errno, h_errno, ttl)
        ),
        by_3(libc::AF_INET),
        by_3(libc::AF_INET6),
        call!(
            module,
            c"_nss_mesher_gethostbyname2_r",
            (Text, c_int, Host, Buffer, usize, Errors, Errors),
            (name, v4, host, buffer, size, errno, h_errno)
        ),
        call!(
            module,
            c"_nss_mesher_gethostbyname_r",
            (Text, Host, Buffer, usize, Errors, Errors),
            (name, host, buffer, size, errno, h_errno)
        ),
        call!(
            module,
            c"_nss_mesher_gethostbyaddr2_r",
            (*const c_void, u32, c_int, Host, Buffer, usize, Errors, Errors, *mut i32),
            (address, length, v4, host, buffer, size, errno, h_errno, ttl)
        ),
        call!(
            module,
            c"_nss_mesher_gethostbyaddr_r",
            (*const c_void, u32, c_int, Host, Buffer, usize, Errors, Errors),
            (address, length, v4, host, buffer, size, errno, h_errno)
        ),
        call!(module, c"_nss_mesher_sethostent", (c_int), (0)),
        call!(
            module,
            c"_nss_mesher_gethostent_r",
            (Host, Buffer, usize, Errors, Errors),
            (host, buffer, size, errno, h_errno)
        ),
        call!(module, c"_nss_mesher_endhostent", (), ()),
    ]
}
