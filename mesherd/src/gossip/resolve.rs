//! Names in the bootstrap list. They are looked up without this machine's own mesh module: with it, a node would
//! wait for its own table to find the peers that fill the table.

use std::ffi::{CStr, c_char, c_int};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Once;

/// A peer to begin with: an address, or a name to look up at every attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BootstrapNode {
    /// An address and port.
    Addr(SocketAddr),
    /// A host name and port.
    Name(String, u16),
}

/// The text names no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not ADDRESS:PORT, [IPV6-ADDRESS]:PORT or NAME:PORT")]
pub struct BootstrapNodeError(String);

impl FromStr for BootstrapNode {
    type Err = BootstrapNodeError;

    fn from_str(text: &str) -> Result<Self, BootstrapNodeError> {
        if let Ok(addr) = text.parse::<SocketAddr>()
            && addr.port() != 0
        {
            return Ok(Self::Addr(addr));
        }
        let error = || BootstrapNodeError(text.to_owned());
        let (name, port) = text.rsplit_once(':').ok_or_else(error)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(error)?;
        let is_name = !name.is_empty()
            && name.len() <= 253
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            // What is all digits and dots is a mistyped address.
            && name.bytes().any(|byte| byte.is_ascii_alphabetic());
        if is_name { Ok(Self::Name(name.to_owned(), port)) } else { Err(error()) }
    }
}

impl std::fmt::Display for BootstrapNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Addr(addr) => addr.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// A lookup under way.
pub type Lookup<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Looks up the names in the bootstrap list.
pub trait Resolver: Send + Sync {
    /// The addresses of `name`. Must not ask this machine's own mesh module.
    fn lookup<'a>(&'a self, name: &'a str) -> Lookup<'a>;
}

/// The C library's lookup, told to use only the hosts file and DNS, whatever `nsswitch.conf` says.
///
/// That holds for every lookup of this process from the first use on. glibc keeps the setting when
/// `nsswitch.conf` changes.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn lookup<'a>(&'a self, name: &'a str) -> Lookup<'a> {
        bypass_own_module();
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|addr| addr.ip()).collect()) })
    }
}

unsafe extern "C" {
    /// `<nss.h>` of the GNU C library: sets the sources of one database for this process. `getent -s` is made of it.
    fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
}

fn bypass_own_module() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let (database, services): (&CStr, &CStr) = (c"hosts", c"files dns");
        // SAFETY: both are NUL-terminated and live for ever; glibc guards its own state with a lock.
        let failed = unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) } != 0;
        if failed {
            log::warn!("the C library keeps nsswitch.conf's sources for bootstrap names");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_addresses_or_names() {
        assert_eq!(
            "192.0.2.1:7946".parse(),
            Ok(BootstrapNode::Addr(SocketAddr::from(([192, 0, 2, 1], 7946))))
        );
        assert!(matches!("[2001:db8::1]:7946".parse(), Ok(BootstrapNode::Addr(SocketAddr::V6(_)))));
        assert_eq!("alpha.example:1".parse(), Ok(BootstrapNode::Name("alpha.example".into(), 1)));
        for wrong in
            ["", ":1", "alpha", "alpha:0", "alpha:65536", "2001:db8::1:7946", "192.0.2:1", "al pha:1", "é:1"]
        {
            assert!(wrong.parse::<BootstrapNode>().is_err(), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn the_hosts_file_is_used() {
        let found = SystemResolver.lookup("localhost").await.unwrap();
        assert!(found.iter().any(IpAddr::is_loopback), "{found:?}");
    }
}
