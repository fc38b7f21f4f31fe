//! A caller's buffer, and what is read from it.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::net::IpAddr;

/// A copy of a `struct hostent`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    /// The canonical name.
    pub name: String,
    /// Further names.
    pub aliases: Vec<String>,
    /// Addresses, all of one family.
    pub addresses: Vec<IpAddr>,
}

/// A copy of a `struct gaih_addrtuple`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// The canonical name.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// The interface's index, for link-local addresses.
    pub scope: u32,
}

/// A caller's buffer between two walls of canaries.
pub struct Arena {
    memory: Vec<u8>,
    start: usize,
    size: usize,
    /// Whether pointers and what they point to must be aligned; libnss does not care.
    pub(super) aligned: bool,
}

impl Arena {
    /// What errno, h_errno and TTL hold before a call.
    pub const ERRNO: c_int = 7777;
    const WALL: usize = 64;
    const CANARY: u8 = 0xa5;

    /// A buffer of `size` bytes, `offset` bytes past a multiple of 16.
    pub fn new(size: usize, offset: usize) -> Self {
        let mut memory = vec![Self::CANARY; size + 3 * Self::WALL];
        let base = memory.as_mut_ptr().addr();
        let start = (base + Self::WALL).next_multiple_of(16) - base + offset;
        Self { memory, start, size, aligned: true }
    }

    pub(super) fn pointer(&mut self) -> *mut c_char {
        self.memory[self.start..].as_mut_ptr().cast()
    }

    pub(super) fn check(&self) {
        let (before, rest) = self.memory.split_at(self.start);
        let after = &rest[self.size..];
        assert!(before.iter().all(|byte| *byte == Self::CANARY), "written before the buffer");
        assert!(after.iter().all(|byte| *byte == Self::CANARY), "written behind the buffer");
    }

    /// Everything an answer points to must lie here.
    pub(super) fn assert_inside(&self, pointer: *const c_void, bytes: usize, align: usize) {
        let start = self.memory.as_ptr().addr() + self.start;
        let at = pointer.addr();
        assert!(at >= start && at + bytes <= start + self.size, "an answer points outside the buffer");
        assert!(!self.aligned || at.is_multiple_of(align), "an answer is not aligned");
    }

    pub(super) fn text(&self, text: *const c_char) -> String {
        self.assert_inside(text.cast(), 1, 1);
        // SAFETY: it starts in the buffer and, by the next check, ends there.
        let text = unsafe { CStr::from_ptr(text) };
        self.assert_inside(text.as_ptr().cast(), text.to_bytes_with_nul().len(), 1);
        text.to_string_lossy().into_owned()
    }

    fn pointers(&self, mut list: *mut *mut c_char) -> Vec<*mut c_char> {
        let mut found = Vec::new();
        loop {
            self.assert_inside(list.cast(), size_of::<*mut c_char>(), align_of::<*mut c_char>());
            // SAFETY: inside the buffer.
            let pointer = unsafe { list.read_unaligned() };
            if pointer.is_null() {
                return found;
            }
            found.push(pointer);
            list = list.wrapping_add(1);
        }
    }

    pub(super) fn host(&self, host: &libc::hostent) -> Host {
        let size = usize::try_from(host.h_length).expect("a length");
        let address = |pointer: *mut c_char| {
            self.assert_inside(pointer.cast(), size, 4);
            // SAFETY: inside the buffer.
            let bytes = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), size) };
            match host.h_addrtype {
                libc::AF_INET => IpAddr::from(<[u8; 4]>::try_from(bytes).expect("four bytes")),
                _ => IpAddr::from(<[u8; 16]>::try_from(bytes).expect("sixteen bytes")),
            }
        };
        Host {
            name: self.text(host.h_name),
            aliases: self.pointers(host.h_aliases).into_iter().map(|alias| self.text(alias)).collect(),
            addresses: self.pointers(host.h_addr_list).into_iter().map(address).collect(),
        }
    }
}
