//! What a table is to say.

use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::format::{MAX_ADDRESSES, MAX_CONTAIN, MAX_NAME, RECORD_WORDS, words_for};

/// An IPv6 address, and for a link-local one the interface it lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopedV6 {
    /// The address.
    pub address: Ipv6Addr,
    /// The interface's index on this machine; 0 for anything but a link-local address.
    pub scope: u32,
}

impl From<Ipv6Addr> for ScopedV6 {
    fn from(address: Ipv6Addr) -> Self {
        Self { address, scope: 0 }
    }
}

/// One name and its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The full name as it is spelt, without a trailing dot: `earth.sol`, or `*.earth.sol` for a wildcard, or a short
    /// name such as `earth` if `canonical` says what it stands for.
    pub name: String,
    /// The name this one is an alias of. It must have an entry of its own that is no alias. Of a wildcard
    /// `*.earth` it is a wildcard too, `*.earth.sol`.
    pub canonical: Option<String>,
    /// IPv4 addresses, in the order they are to be answered.
    pub v4: Vec<Ipv4Addr>,
    /// IPv6 addresses, in the order they are to be answered.
    pub v6: Vec<ScopedV6>,
    /// How long an answer may be kept, in seconds. Stored in 16 bits: longer ones become 18 hours. Nothing in NSS uses it.
    pub ttl_s: u32,
}

/// Everything a table says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The names. Their order matters in one place: a reverse lookup names the host by the first entry that has the
    /// address (entries that are aliases come after all others), and the rest follow as aliases in this order.
    pub entries: Vec<Entry>,
    /// Domains under which a name the table does not hold, or not in the family asked for, ends the lookup with
    /// NSS_STATUS_RETURN instead of going on to the next source. 64 at most.
    pub contain: Vec<String>,
}

/// Why contents cannot be made into a table.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ContentsError {
    /// Not a host name.
    #[error(
        "`{0}` is not a host name: expected labels of 1 to 63 letters, digits, `-` and `_`, {MAX_NAME} bytes in all, \
         with `*` only as the first label"
    )]
    BadName(String),
    /// Named twice.
    #[error("`{0}` is there twice; a name has one entry")]
    Duplicate(String),
    /// The canonical name has no entry.
    #[error("`{name}` is an alias of `{canonical}`, which has no entry of its own")]
    NoCanonical {
        /// The alias.
        name: String,
        /// What it names.
        canonical: String,
    },
    /// A wildcard is an alias of a host, or a host of a wildcard.
    #[error("`{name}` cannot be an alias of `{canonical}`: one is a wildcard and the other is not")]
    MixedWildcard {
        /// The alias.
        name: String,
        /// What it names.
        canonical: String,
    },
    /// Too many addresses.
    #[error("`{name}` has {count} addresses of one family; a table holds {MAX_ADDRESSES} at most")]
    TooManyAddresses {
        /// The name.
        name: String,
        /// How many it has.
        count: usize,
    },
    /// Too many contained domains.
    #[error("{0} contained domains; a table holds {MAX_CONTAIN} at most")]
    TooManyContained(usize),
    /// More than 16 GiB of table.
    #[error("the table would need more than 2^32 words")]
    TooLarge,
}

/// Whether this is a host name: at most 253 bytes, labels of 1 to 63 letters, digits, `-` and `_`.
pub(crate) fn is_host_name(name: &str) -> bool {
    let mut label = 0;
    for byte in name.bytes() {
        match byte {
            b'.' if label > 0 => label = 0,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label < 63 => label += 1,
            _ => return false,
        }
    }
    label > 0 && name.len() <= MAX_NAME
}

impl Entry {
    /// Whether the name is a wildcard's.
    pub fn is_wildcard(&self) -> bool {
        self.name.starts_with("*.")
    }

    /// Whether any address has a scope.
    pub(crate) fn is_scoped(&self) -> bool {
        self.v6.iter().any(|v6| v6.scope != 0)
    }

    /// Words of the entry's record.
    pub(crate) fn len_words(&self) -> usize {
        let names = words_for(self.name.len()) + words_for(self.canonical.as_ref().map_or(0, String::len));
        let each_v6 = if self.is_scoped() { 5 } else { 4 };
        RECORD_WORDS + names + self.v4.len() + self.v6.len() * each_v6
    }

    pub(crate) fn check(&self) -> Result<(), ContentsError> {
        for name in [Some(&self.name), self.canonical.as_ref()].into_iter().flatten() {
            if name.len() > MAX_NAME || !is_host_name(name.strip_prefix("*.").unwrap_or(name)) {
                return Err(ContentsError::BadName(name.clone()));
            }
        }
        if let Some(canonical) = &self.canonical
            && canonical.starts_with("*.") != self.is_wildcard()
        {
            return Err(ContentsError::MixedWildcard {
                name: self.name.clone(),
                canonical: canonical.clone(),
            });
        }
        let count = self.v4.len().max(self.v6.len());
        if count > MAX_ADDRESSES {
            return Err(ContentsError::TooManyAddresses { name: self.name.clone(), count });
        }
        Ok(())
    }
}
