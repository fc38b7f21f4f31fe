//! Addresses and a port that nobody else on this machine has.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

/// The last number of the address on which a [`Place`] keeps its port.
const KEEPER: u8 = 254;

/// A /24 of loopback with one port: each daemon has an address of its own there, and all have the port.
pub struct Place {
    network: [u8; 3],
    pub port: u16,
    /// Neither sends nor receives. While it is bound on one address, the kernel gives the port to nobody who asks for it on all
    /// addresses, or asks for any port that is free.
    _keeper: Option<(UdpSocket, TcpListener)>,
}

impl Place {
    /// Where others run as well, this same test included. The kernel chooses the port, so no two keepers of a /24 have the same;
    /// the /24 is one of 64,000, in which nobody binds by chance.
    pub fn beside_others() -> Self {
        loop {
            let mut random = [0; 2];
            getrandom::fill(&mut random).unwrap();
            // Not where names and resolvers of the machine's own are (127.0.0.0/16), nor at the ends.
            let network = [127, 1 + random[0] % 254, random[1]];
            let keeper = SocketAddr::from((address(network, KEEPER), 0));
            let udp = UdpSocket::bind(keeper).unwrap();
            let port = udp.local_addr().unwrap().port();
            // DNS servers take the port for both protocols.
            if let Ok(tcp) = TcpListener::bind((keeper.ip(), port)) {
                return Self { network, port, _keeper: Some((udp, tcp)) };
            }
        }
    }

    /// The usual port on 127.0.0.0/24, in a network namespace that the test has to itself.
    pub fn alone() -> Self {
        Self { network: [127, 0, 0], port: 7_946, _keeper: None }
    }

    pub fn ip(&self, number: u8) -> IpAddr {
        address(self.network, number).into()
    }
}

fn address([a, b, c]: [u8; 3], number: u8) -> [u8; 4] {
    [a, b, c, number]
}
