//! Addresses as gossip compares and carries them.

use std::net::{IpAddr, SocketAddr};

/// The IPv4 address inside an IPv4-mapped IPv6 address: a dual-stack socket shows IPv4 peers so. Scope and flow
/// label are dropped from all but link-local addresses.
pub(crate) fn normalise(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, addr.port())),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => addr,
        IpAddr::V6(ip) => SocketAddr::from((ip, addr.port())),
    }
}

/// Whether another machine could be reached at `addr`. Scopes are not carried, so link-local is of no use.
pub(crate) fn is_usable(addr: SocketAddr) -> bool {
    let ip = addr.ip().to_canonical();
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !link_local
}
