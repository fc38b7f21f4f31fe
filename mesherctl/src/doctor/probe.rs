//! Whether anything speaks against an address: an empty datagram is sent there, and errors are waited for.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

/// How long a node may take to refuse: on one link the kernel gives up on a machine that is not there after some 3 s.
pub(super) const PROBE_WITHIN: Duration = Duration::from_millis(4_500);

/// Whether an address is this machine's: only such can be bound.
pub(super) fn is_own(address: &SocketAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(address.ip(), 0)).is_ok()
}

/// What is known of one address of a node.
pub(super) enum Probe {
    /// This machine itself.
    Own,
    /// A datagram was sent, which nobody answers; if the port is closed there, or there is no way, an error comes back.
    Sent(SocketAddr, UdpSocket),
    NotSent(SocketAddr, io::Error),
}

pub(super) fn probe(address: SocketAddr) -> Probe {
    if is_own(&address) {
        return Probe::Own;
    }
    let any: IpAddr =
        if address.is_ipv4() { IpAddr::from([0, 0, 0, 0]) } else { Ipv6Addr::UNSPECIFIED.into() };
    let send = || {
        let socket = UdpSocket::bind((any, 0))?;
        hear_of_errors(&socket, address)?;
        socket.connect(address)?;
        // Empty: it is dropped there without a word.
        socket.send(&[])?;
        Ok(socket)
    };
    match send() {
        Ok(socket) => Probe::Sent(address, socket),
        Err(error) => Probe::NotSent(address, error),
    }
}

/// Of itself a socket hears of a closed port only; a machine that is not there counts as something that may pass (ip(7)).
fn hear_of_errors(socket: &UdpSocket, address: SocketAddr) -> nix::Result<()> {
    if address.is_ipv4() {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)
    } else {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)
    }
}

/// The error that comes back, if one does in time.
pub(super) fn refusal(socket: &UdpSocket, begun: Instant) -> Option<io::Error> {
    let left = PROBE_WITHIN.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
    socket.set_read_timeout(Some(left)).ok()?;
    match socket.recv(&mut [0; 1]) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Some(error)
        }
        _ => None,
    }
}
