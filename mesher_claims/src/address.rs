//! The addresses a host announces, and which of them may be believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use borsh::{BorshDeserialize, BorshSerialize};

/// The most addresses one host may announce, both families together.
pub const MAX_ADDRESSES: usize = 32;

/// Addresses in the order in which they were announced, each family on its own. At most [`MAX_ADDRESSES`], each once.
///
/// Link-local IPv6 addresses travel without a scope: an interface's index means nothing on another machine, so whoever
/// publishes them adds its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize)]
pub struct Addresses {
    v4: Vec<[u8; 4]>,
    v6: Vec<[u8; 16]>,
}

/// Why a set of addresses was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Over [`MAX_ADDRESSES`].
    #[error("{0} addresses; a host may announce {MAX_ADDRESSES} at most")]
    TooMany(usize),
    /// An address that names no host.
    #[error("{0} is {1} and cannot be a host's address")]
    NotAHost(IpAddr, &'static str),
    /// The same address twice: sets with one meaning have one encoding.
    #[error("{0} is listed twice")]
    Twice(IpAddr),
}

impl Addresses {
    /// Takes addresses in order.
    ///
    /// # Errors
    /// When there are too many, one is listed twice, or one names no host (unspecified, multicast, broadcast,
    /// IPv4-mapped).
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Result<Self, AddressError> {
        let mut set = Self::default();
        for address in addresses {
            match address {
                IpAddr::V4(v4) => set.v4.push(v4.octets()),
                IpAddr::V6(v6) => set.v6.push(v6.octets()),
            }
        }
        set.check()?;
        Ok(set)
    }

    /// The IPv4 addresses.
    pub fn v4(&self) -> impl ExactSizeIterator<Item = Ipv4Addr> + '_ {
        self.v4.iter().map(|octets| Ipv4Addr::from(*octets))
    }

    /// The IPv6 addresses.
    pub fn v6(&self) -> impl ExactSizeIterator<Item = Ipv6Addr> + '_ {
        self.v6.iter().map(|octets| Ipv6Addr::from(*octets))
    }

    /// All addresses, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.v4().map(IpAddr::V4).chain(self.v6().map(IpAddr::V6))
    }

    /// Whether there is no address.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The same without loopback addresses, for networks whose settings do not allow them.
    #[must_use]
    pub fn without_loopback(&self) -> Self {
        Self {
            v4: self.v4().filter(|a| !a.is_loopback()).map(|a| a.octets()).collect(),
            v6: self.v6().filter(|a| !a.is_loopback()).map(|a| a.octets()).collect(),
        }
    }

    fn check(&self) -> Result<(), AddressError> {
        let count = self.v4.len() + self.v6.len();
        if count > MAX_ADDRESSES {
            return Err(AddressError::TooMany(count));
        }
        let all: Vec<IpAddr> = self.iter().collect();
        for (at, address) in all.iter().enumerate() {
            if let Some(why) = why_not_a_host(*address) {
                return Err(AddressError::NotAHost(*address, why));
            }
            if all[..at].contains(address) {
                return Err(AddressError::Twice(*address));
            }
        }
        Ok(())
    }
}

fn why_not_a_host(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some("of the network 0.0.0.0/8"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4 address in IPv6 form"),
        _ => None,
    }
}

impl BorshDeserialize for Addresses {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let invalid =
            |error: AddressError| borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, error.to_string());
        // The counts are bounded before anything is read for them.
        let mut set = Self::default();
        let count = u32::deserialize_reader(reader)? as usize;
        if count > MAX_ADDRESSES {
            return Err(invalid(AddressError::TooMany(count)));
        }
        for _ in 0..count {
            set.v4.push(<[u8; 4]>::deserialize_reader(reader)?);
        }
        let count = u32::deserialize_reader(reader)? as usize;
        if count > MAX_ADDRESSES {
            return Err(invalid(AddressError::TooMany(count)));
        }
        for _ in 0..count {
            set.v6.push(<[u8; 16]>::deserialize_reader(reader)?);
        }
        set.check().map_err(invalid)?;
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Result<Addresses, AddressError> {
        Addresses::new(texts.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn addresses_that_name_no_host_are_refused() {
        for text in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "::ffff:10.0.0.1"]
        {
            assert!(matches!(addresses(&[text]), Err(AddressError::NotAHost(..))), "{text}");
        }
        assert_eq!(
            addresses(&["10.0.0.1", "10.0.0.1"]),
            Err(AddressError::Twice("10.0.0.1".parse().unwrap()))
        );
        let many: Vec<IpAddr> = (1..=33).map(|i| IpAddr::V4(Ipv4Addr::new(10, 0, 0, i))).collect();
        assert_eq!(Addresses::new(many), Err(AddressError::TooMany(33)));
    }

    #[test]
    fn decoding_checks_as_parsing_does() {
        let good = addresses(&["10.0.0.1", "2001:db8::1", "127.0.0.1", "fe80::1"]).unwrap();
        let bytes = borsh::to_vec(&good).unwrap();
        assert_eq!(borsh::from_slice::<Addresses>(&bytes).unwrap(), good);
        assert_eq!(good.without_loopback().iter().count(), 3);
        let bad = Addresses { v4: vec![[255; 4]], v6: vec![] };
        assert!(borsh::from_slice::<Addresses>(&borsh::to_vec(&bad).unwrap()).is_err());
        assert!(borsh::from_slice::<Addresses>(&[0xff; 8]).is_err());
    }
}
