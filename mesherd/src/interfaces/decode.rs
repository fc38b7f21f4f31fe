//! The two messages of rtnetlink(7) that matter here, and of them only what matters. What is unknown is passed over: new
//! kernels add attributes all the time.

use std::net::IpAddr;

use netlink_packet_core::{NLA_TYPE_MASK, NlaBuffer, NlasIterator};

/// The lengths of `struct ifinfomsg` and `struct ifaddrmsg`.
const LINK_HEADER_LEN: usize = 16;
const ADDRESS_HEADER_LEN: usize = 8;

/// `RTEXT_FILTER_SKIP_STATS` (linux/rtnetlink.h): leave out the counters, a kilobyte an interface.
const SKIP_STATS: u32 = 1 << 3;

/// `IFLA_PROP_LIST` and in it `IFLA_ALT_IFNAME` (linux/if_link.h).
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name, then its alternative names.
    pub names: Vec<String>,
    /// `IFF_UP`: whether it is switched on; says nothing about a cable.
    pub up: bool,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
}

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The interface's index.
    pub link: u32,
    /// The machine's own address; on a point-to-point interface not the peer's.
    pub address: IpAddr,
    /// `IFA_F_…` (linux/if_addr.h).
    pub flags: u32,
    /// `RT_SCOPE_…`: 0 for everywhere, 253 for the link, 254 for the machine.
    pub scope: u8,
}

impl Link {
    /// From the payload of an `RTM_NEWLINK`; `None` if it is none.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let header = payload.get(..LINK_HEADER_LEN)?;
        let index = u32_at(header, 4)?;
        let flags = u32_at(header, 8)?;
        let mut names = Vec::new();
        for (kind, value) in attributes(payload.get(LINK_HEADER_LEN..)?) {
            if kind == libc::IFLA_IFNAME {
                names.insert(0, text(value)?);
            } else if kind == IFLA_PROP_LIST {
                names.extend(
                    attributes(value)
                        .filter(|(kind, _)| *kind == IFLA_ALT_IFNAME)
                        .filter_map(|(_, v)| text(v)),
                );
            }
        }
        let flag = |flag: libc::c_int| flags & flag.cast_unsigned() != 0;
        (!names.is_empty()).then(|| Self {
            index,
            names,
            up: flag(libc::IFF_UP),
            loopback: flag(libc::IFF_LOOPBACK),
        })
    }
}

impl Address {
    /// From the payload of an `RTM_NEWADDR`; `None` if it is none, or of another family than IPv4 and IPv6.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let header = payload.get(..ADDRESS_HEADER_LEN)?;
        let family = header[0];
        // The header has room for eight flags; all of them are in an attribute that came later.
        let mut flags = u32::from(header[2]);
        let (scope, link) = (header[3], u32_at(header, 4)?);
        let (mut address, mut local) = (None, None);
        for (kind, value) in attributes(payload.get(ADDRESS_HEADER_LEN..)?) {
            match kind {
                libc::IFA_ADDRESS => address = ip(family, value),
                libc::IFA_LOCAL => local = ip(family, value),
                libc::IFA_FLAGS => flags = u32_at(value, 0)?,
                _ => {}
            }
        }
        Some(Self { link, address: local.or(address)?, flags, scope })
    }
}

/// The body of the request for all links.
pub(super) fn link_request() -> Vec<u8> {
    let mut body = vec![0; LINK_HEADER_LEN];
    body.extend(8u16.to_ne_bytes());
    body.extend(libc::IFLA_EXT_MASK.to_ne_bytes());
    body.extend(SKIP_STATS.to_ne_bytes());
    body
}

/// The body of the request for all addresses, of both families.
pub(super) fn address_request() -> Vec<u8> {
    vec![0; ADDRESS_HEADER_LEN]
}

/// The attributes as type and value. Ends at the first that is malformed.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(Result::ok).filter_map(move |attribute: NlaBuffer<&[u8]>| {
        let kind = attribute.kind() & NLA_TYPE_MASK;
        let length = attribute.value_length();
        let inner = attribute.into_inner();
        Some((kind, inner.get(netlink_packet_core::NLA_HEADER_SIZE..)?.get(..length)?))
    })
}

fn text(value: &[u8]) -> Option<String> {
    let value = value.strip_suffix(&[0]).unwrap_or(value);
    String::from_utf8(value.to_vec()).ok()
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match libc::c_int::from(family) {
        libc::AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
        libc::AF_INET6 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => None,
    }
}

/// A number in the machine's byte order, as netlink has it.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (u16::try_from(value.len()).unwrap() + 4).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_link_with_alternative_names_and_unknown_attributes() {
        let mut message = vec![0, 0, 1, 0];
        message.extend(7u32.to_ne_bytes());
        message.extend((libc::IFF_UP.cast_unsigned()).to_ne_bytes());
        message.extend([0; 4]);
        let list = [
            attribute(IFLA_ALT_IFNAME, b"enp1s0\0"),
            attribute(IFLA_ALT_IFNAME, b"a-name-of-more-than-15\0"),
        ];
        message.extend(attribute(999, b"whatever"));
        message.extend(attribute(IFLA_PROP_LIST | 0x8000, &list.concat()));
        message.extend(attribute(libc::IFLA_IFNAME, b"eth0\0"));
        let names = ["eth0", "enp1s0", "a-name-of-more-than-15"].map(str::to_owned).to_vec();
        assert_eq!(Link::decode(&message), Some(Link { index: 7, names, up: true, loopback: false }));
    }

    #[test]
    fn the_local_address_counts_and_all_the_flags() {
        let mut message = vec![2, 32, 0x80, 0];
        message.extend(3u32.to_ne_bytes());
        message.extend(attribute(libc::IFA_ADDRESS, &[192, 0, 2, 2]));
        message.extend(attribute(libc::IFA_LOCAL, &[192, 0, 2, 1]));
        message.extend(attribute(libc::IFA_FLAGS, &0x280u32.to_ne_bytes()));
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(Address::decode(&message), Some(Address { link: 3, address, flags: 0x280, scope: 0 }));
    }

    #[test]
    fn nothing_short_or_torn_leads_astray() {
        let mut message = vec![10, 64, 0, 0];
        message.extend(3u32.to_ne_bytes());
        message.extend(attribute(libc::IFA_ADDRESS, &[0xfd; 16]));
        for end in 0..message.len() {
            assert_eq!(Address::decode(&message[..end]), None, "{end}");
            assert_eq!(Link::decode(&message[..end]), None, "{end}");
        }
        assert!(Address::decode(&message).is_some());
        message[8] = 0xff;
        assert_eq!(Address::decode(&message), None);
    }
}
