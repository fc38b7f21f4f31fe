//! From this machine's addresses to what is announced, what peers are told, and which bootstrap node is this machine itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use mesher_claims::address::Addresses;
use mesher_config::BootstrapNode;
use nix::net::if_::if_nametoindex;

use crate::gossip;
use crate::interfaces::Snapshot;

/// What the host record says: each address once, those that name no host left out with a warning.
pub(super) fn announced(snapshot: &Snapshot) -> Addresses {
    let good = snapshot.ips().filter(|ip| match Addresses::new([*ip]) {
        Ok(_) => true,
        Err(error) => {
            log::warn!("not announced: {error}");
            false
        }
    });
    let good: Vec<IpAddr> = good.collect();
    Addresses::new(good).unwrap_or_default()
}

/// The interface on which peers' link-local addresses are reached: that of this host's own first one.
pub(super) fn link_local_scope(snapshot: &Snapshot) -> u32 {
    let link_local =
        snapshot.addresses.iter().find(|a| matches!(a.address, IpAddr::V6(v6) if v6.is_unicast_link_local()));
    link_local.and_then(|a| a.interface).unwrap_or(0)
}

/// The address that peers are told to use: where the socket is bound, or else the first address that others can reach; while
/// there is none, a loopback address, which is replaced as soon as there is one.
pub(super) fn to_advertise(bound: SocketAddr, snapshot: &Snapshot) -> SocketAddr {
    let fits = |ip: &IpAddr| {
        let link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        // A socket bound to all of IPv4 is not reached over IPv6; one bound to all of IPv6 takes both.
        !link_local && (bound.is_ipv6() || ip.is_ipv4())
    };
    if !bound.ip().is_unspecified() {
        return bound;
    }
    let ip = snapshot.ips().find(fits).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    SocketAddr::new(ip, bound.port())
}

/// The bootstrap nodes as gossip takes them; an interface that does not exist (yet) leaves its node out.
pub(super) fn bootstrap(nodes: &[BootstrapNode]) -> Vec<gossip::BootstrapNode> {
    let convert = |node: &BootstrapNode| match node {
        BootstrapNode::Address(address) => Some(gossip::BootstrapNode::Addr(*address)),
        BootstrapNode::Name { name, port } => Some(gossip::BootstrapNode::Name(name.clone(), *port)),
        BootstrapNode::Scoped { address, interface, port } => match if_nametoindex(interface.as_str()) {
            Ok(index) => {
                Some(gossip::BootstrapNode::Addr(SocketAddrV6::new(*address, *port, 0, index).into()))
            }
            Err(error) => {
                log::warn!("cluster.bootstrap_nodes: {node} is left out: interface {interface}: {error}");
                None
            }
        },
    };
    nodes.iter().filter_map(convert).collect()
}

/// Whether a bootstrap address is this machine itself.
pub(super) fn is_self(address: SocketAddr, bound: SocketAddr, snapshot: &Snapshot) -> bool {
    address.port() == bound.port()
        && (address.ip() == bound.ip() || snapshot.ips().any(|ip| ip == address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interfaces::HostAddress;

    fn snapshot(addresses: &[(&str, Option<u32>)]) -> Snapshot {
        let addresses = addresses
            .iter()
            .map(|(ip, interface)| HostAddress { address: ip.parse().unwrap(), interface: *interface });
        Snapshot { addresses: addresses.collect(), ..Snapshot::default() }
    }

    #[test]
    fn peers_are_told_an_address_they_can_reach() {
        let all: SocketAddr = "[::]:7946".parse().unwrap();
        let two = snapshot(&[("fe80::1", Some(2)), ("2001:db8::1", Some(2)), ("192.0.2.1", Some(2))]);
        assert_eq!(to_advertise(all, &two), "[2001:db8::1]:7946".parse().unwrap());
        assert_eq!(to_advertise("0.0.0.0:7946".parse().unwrap(), &two), "192.0.2.1:7946".parse().unwrap());
        let bound: SocketAddr = "127.0.0.2:7000".parse().unwrap();
        assert_eq!(to_advertise(bound, &two), bound);
        assert_eq!(to_advertise(all, &Snapshot::default()), "127.0.0.1:7946".parse().unwrap());
        assert_eq!(link_local_scope(&two), 2);
    }

    #[test]
    fn a_bootstrap_list_may_contain_the_machine_itself() {
        let two = snapshot(&[("192.0.2.1", None)]);
        let bound = "[::]:7946".parse().unwrap();
        assert!(is_self("192.0.2.1:7946".parse().unwrap(), bound, &two));
        assert!(!is_self("192.0.2.1:7947".parse().unwrap(), bound, &two));
        assert!(!is_self("192.0.2.2:7946".parse().unwrap(), bound, &two));
    }
}
