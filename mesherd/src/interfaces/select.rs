//! Which addresses are announced. Pure: interfaces and addresses in, a snapshot out.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv6Addr};

use super::decode::{Address, Link};

/// The most addresses a host may announce (`mesher_claims::address::MAX_ADDRESSES`).
const MAX_ADDRESSES: usize = mesher_claims::address::MAX_ADDRESSES;

/// Interfaces that container and virtual machine managers make for themselves: every machine has them, with the same
/// addresses. Left out unless they are named.
const MANAGED: [&str; 15] = [
    "br-",
    "cali",
    "cbr",
    "cni",
    "docker",
    "dummy",
    "flannel",
    "kube-",
    "lxcbr",
    "lxdbr",
    "nodelocaldns",
    "podman",
    "tunl",
    "veth",
    "virbr",
];

/// The scope of addresses that mean something on one link only, and on this machine only (`RT_SCOPE_LINK` and
/// `RT_SCOPE_HOST`).
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;

/// What the configuration says about addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// `host.interfaces`, by names or alternative names, in the order of preference.
    pub interfaces: Vec<String>,
    /// `host.addresses`.
    pub addresses: Vec<IpAddr>,
    /// `host.link_local`.
    pub link_local: bool,
}

/// An address to announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostAddress {
    /// The address.
    pub address: IpAddr,
    /// The index of the interface that has it: the scope of a link-local address. `None` if it was listed by hand.
    pub interface: Option<u32>,
}

/// What is to be announced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The addresses, the most preferred first: those listed by hand, then the interfaces' in the order they are named,
    /// of each the IPv4 ones first. No address twice.
    pub addresses: Vec<HostAddress>,
    /// Interfaces that are named and do not exist; they may appear later.
    pub absent: Vec<String>,
    /// How many addresses are not in the list because it is full.
    pub left_out: usize,
}

impl Snapshot {
    /// The addresses alone.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().map(|a| a.address)
    }
}

impl From<&mesher_config::Host> for Selection {
    fn from(host: &mesher_config::Host) -> Self {
        Self {
            interfaces: host.interfaces.clone(),
            addresses: host.addresses.clone(),
            link_local: host.link_local,
        }
    }
}

impl Selection {
    /// Picks what is to be announced.
    ///
    /// Of an interface that is switched on (`IFF_UP`; a cable need not be in it, for the machine itself still answers there)
    /// the addresses count that others can reach: global and unique-local ones, and link-local ones if asked for; never
    /// those of scope "host", and none of the loopback range. Not yet or not usable are *tentative* ones and those that
    /// failed duplicate address detection. *Temporary* ones are made to be changed and not to be known. *Deprecated* ones
    /// count only where an interface has no other of that family: a renumbered network moves on, a machine with nothing
    /// else keeps its name.
    pub fn pick(&self, links: &[Link], addresses: &[Address]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for &address in &self.addresses {
            snapshot.push(HostAddress { address, interface: None });
        }
        for link in self.links(links, &mut snapshot.absent) {
            for address in self.of_link(link, addresses) {
                snapshot.push(HostAddress { address: address.address, interface: Some(link.index) });
            }
        }
        snapshot
    }

    /// The interfaces that count, in the order of preference.
    fn links<'l>(&self, links: &'l [Link], absent: &mut Vec<String>) -> Vec<&'l Link> {
        if self.interfaces.is_empty() && self.addresses.is_empty() {
            let managed = |link: &Link| MANAGED.iter().any(|prefix| link.names[0].starts_with(prefix));
            let mut all: Vec<&Link> = links.iter().filter(|link| !link.loopback && !managed(link)).collect();
            all.sort_by_key(|link| link.index);
            return all;
        }
        let mut found: Vec<&Link> = Vec::new();
        for name in &self.interfaces {
            match links.iter().find(|link| link.names.contains(name)) {
                Some(link) if !found.iter().any(|other| other.index == link.index) => found.push(link),
                Some(_) => {}
                None => absent.push(name.clone()),
            }
        }
        found
    }

    /// The addresses of one interface that count, in the order of preference.
    fn of_link<'a>(&self, link: &Link, addresses: &'a [Address]) -> Vec<&'a Address> {
        if !link.up {
            return Vec::new();
        }
        let of_link = addresses.iter().filter(|a| a.link == link.index);
        let mut usable: Vec<&Address> = of_link.filter(|a| self.is_usable(a)).collect();
        for is_family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
            let fresh = usable.iter().any(|a| is_family(&a.address) && !a.is_deprecated());
            usable.retain(|a| !is_family(&a.address) || !fresh || !a.is_deprecated());
        }
        usable.sort_by(|a, b| a.preference(b));
        usable
    }

    fn is_usable(&self, address: &Address) -> bool {
        let pending = address.has(libc::IFA_F_TENTATIVE) && !address.has(libc::IFA_F_OPTIMISTIC);
        if pending
            || address.has(libc::IFA_F_DADFAILED)
            || is_temporary(address)
            || address.scope >= SCOPE_HOST
        {
            return false;
        }
        match address.address {
            ip if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() => false,
            IpAddr::V4(v4) if v4.is_link_local() => self.link_local,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => self.link_local,
            _ => address.scope < SCOPE_LINK,
        }
    }
}

/// For IPv4 the same bit means "secondary", a further address of a subnet, which is as good as the first.
fn is_temporary(address: &Address) -> bool {
    address.address.is_ipv6() && address.has(libc::IFA_F_TEMPORARY)
}

impl Address {
    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn is_deprecated(&self) -> bool {
        self.has(libc::IFA_F_DEPRECATED)
    }

    /// IPv4 before IPv6; of a subnet the first before the further ones; wide scopes before narrow ones. Where nothing
    /// else decides, the number does: the kernel's order is not the same at every reading.
    fn preference(&self, other: &Self) -> Ordering {
        let key = |a: &Self| {
            let width = match a.address {
                IpAddr::V4(v4) => u8::from(v4.is_link_local()),
                IpAddr::V6(v6) => ipv6_width(v6),
            };
            let secondary = a.address.is_ipv4() && a.has(libc::IFA_F_SECONDARY);
            (a.address.is_ipv6(), width, secondary, a.address)
        };
        key(self).cmp(&key(other))
    }
}

fn ipv6_width(address: Ipv6Addr) -> u8 {
    match address {
        v6 if v6.is_unicast_link_local() => 2,
        v6 if v6.is_unique_local() => 1,
        _ => 0,
    }
}

impl Snapshot {
    fn push(&mut self, address: HostAddress) {
        if self.addresses.iter().any(|known| known.address == address.address) {
            return;
        }
        if self.addresses.len() == MAX_ADDRESSES {
            self.left_out += 1;
        } else {
            self.addresses.push(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTATIVE: u32 = libc::IFA_F_TENTATIVE;
    const DEPRECATED: u32 = libc::IFA_F_DEPRECATED;

    fn link(index: u32, names: &[&str]) -> Link {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Link { index, names, up: true, loopback: index == 1 }
    }

    fn links() -> Vec<Link> {
        vec![link(1, &["lo"]), link(2, &["eth0", "uplink"]), link(3, &["docker0"]), link(4, &["wg0"])]
    }

    fn address(link: u32, address: &str, flags: u32) -> Address {
        let ip: IpAddr = address.parse().unwrap();
        let scope = match ip {
            _ if ip.is_loopback() => 254,
            IpAddr::V4(v4) if v4.is_link_local() => 253,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => 253,
            _ => 0,
        };
        Address { link, address: ip, flags, scope }
    }

    fn picked(selection: &Selection, links: &[Link], addresses: &[Address]) -> Vec<String> {
        selection.pick(links, addresses).ips().map(|ip| ip.to_string()).collect()
    }

    fn named(names: &[&str]) -> Selection {
        let interfaces = names.iter().map(|&name| name.to_owned()).collect();
        Selection { interfaces, ..Selection::default() }
    }

    #[test]
    fn global_and_unique_local_addresses_of_named_interfaces_in_their_order() {
        let addresses = [
            address(1, "127.0.0.1", 0),
            address(2, "fe80::2", 0),
            address(2, "fd00::2", 0),
            address(2, "2001:db8::2", 0),
            address(2, "192.0.2.7", libc::IFA_F_SECONDARY),
            address(2, "192.0.2.9", 0),
            address(3, "172.17.0.1", 0),
            address(4, "10.0.0.1", 0),
        ];
        let eth0 = ["192.0.2.9", "192.0.2.7", "2001:db8::2", "fd00::2"];
        assert_eq!(picked(&named(&["eth0"]), &links(), &addresses), eth0);
        assert_eq!(
            picked(&named(&["uplink", "eth0"]), &links(), &addresses),
            eth0,
            "one interface by two names"
        );
        assert_eq!(
            picked(&named(&["wg0", "eth0"]), &links(), &addresses),
            [&["10.0.0.1"][..], &eth0[..]].concat()
        );
        assert_eq!(picked(&named(&["docker0", "lo"]), &links(), &addresses), ["172.17.0.1"]);
        let with_link_local = Selection { link_local: true, ..named(&["eth0"]) };
        assert_eq!(picked(&with_link_local, &links(), &addresses), [&eth0[..], &["fe80::2"]].concat());
    }

    #[test]
    fn with_nothing_named_all_but_loopback_and_managed_interfaces() {
        let addresses = [address(4, "10.0.0.1", 0), address(3, "172.17.0.1", 0), address(2, "192.0.2.1", 0)];
        assert_eq!(picked(&Selection::default(), &links(), &addresses), ["192.0.2.1", "10.0.0.1"]);
    }

    #[test]
    fn listed_addresses_come_first_and_alone_unless_interfaces_are_named() {
        let addresses = [address(2, "192.0.2.1", 0)];
        let listed = Selection { addresses: vec!["198.51.100.1".parse().unwrap()], ..Selection::default() };
        assert_eq!(picked(&listed, &links(), &addresses), ["198.51.100.1"]);
        let both = Selection { interfaces: vec!["eth0".into()], ..listed };
        assert_eq!(picked(&both, &links(), &addresses), ["198.51.100.1", "192.0.2.1"]);
    }

    #[test]
    fn addresses_that_cannot_be_used_yet_or_for_long_are_left_out() {
        let usable =
            |flags| !picked(&named(&["eth0"]), &links(), &[address(2, "2001:db8::1", flags)]).is_empty();
        assert!(usable(0));
        assert!(usable(libc::IFA_F_PERMANENT));
        assert!(!usable(TENTATIVE));
        assert!(usable(TENTATIVE | libc::IFA_F_OPTIMISTIC));
        assert!(!usable(libc::IFA_F_DADFAILED));
        assert!(!usable(libc::IFA_F_TEMPORARY));
    }

    #[test]
    fn a_deprecated_address_is_the_last_resort_of_its_family() {
        let old = address(2, "2001:db8:0::1", DEPRECATED);
        let new = address(2, "2001:db8:1::1", 0);
        let v4 = address(2, "192.0.2.1", DEPRECATED);
        assert_eq!(
            picked(&named(&["eth0"]), &links(), &[old.clone(), new.clone(), v4.clone()]),
            ["192.0.2.1", "2001:db8:1::1"]
        );
        assert_eq!(picked(&named(&["eth0"]), &links(), &[old, v4]), ["192.0.2.1", "2001:db8::1"]);
    }

    #[test]
    fn the_order_does_not_depend_on_the_kernels() {
        let mut addresses = vec![
            address(2, "2001:db8::2", 0),
            address(2, "2001:db8::1", 0),
            address(2, "192.0.2.2", 0),
            address(2, "192.0.2.1", 0),
        ];
        let forwards = picked(&named(&["eth0"]), &links(), &addresses);
        addresses.reverse();
        assert_eq!(picked(&named(&["eth0"]), &links(), &addresses), forwards);
    }

    #[test]
    fn an_interface_that_is_off_or_absent_has_no_addresses() {
        let mut off = links();
        off[1].up = false;
        let addresses = [address(2, "192.0.2.1", 0)];
        assert!(picked(&named(&["eth0"]), &off, &addresses).is_empty());
        let snapshot = named(&["eth0", "later0"]).pick(&links(), &addresses);
        assert_eq!(snapshot.absent, ["later0"]);
        assert_eq!(snapshot.addresses[0].interface, Some(2));
    }

    #[test]
    fn no_more_than_a_host_may_announce() {
        let addresses: Vec<Address> = (1..=40).map(|i| address(2, &format!("192.0.2.{i}"), 0)).collect();
        let snapshot = named(&["eth0"]).pick(&links(), &addresses);
        assert_eq!((snapshot.addresses.len(), snapshot.left_out), (32, 8));
    }
}
