//! The UDP socket: bound here when the daemon was started by hand, inherited from systemd otherwise.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// What is asked of the kernel for bursts of datagrams, in bytes. It gives what `net.core.rmem_max` allows.
const BUFFER: usize = 1 << 20;

/// Binds the gossip socket. An unspecified IPv6 address (`[::]:7946`) takes IPv4 as well; a machine without IPv6
/// should be given `0.0.0.0:7946`, see [`bind_any`].
///
/// # Errors
///
/// What the kernel says: the address is in use, is not this machine's, or its family is off.
pub fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&addr.into())?;
    prepare(socket)
}

/// Binds `port` on all of this machine's addresses, IPv4 and IPv6; on IPv4 alone where IPv6 is off.
///
/// # Errors
///
/// As for [`bind`].
pub fn bind_any(port: u16) -> io::Result<UdpSocket> {
    bind(SocketAddr::from(([0u16; 8], port))).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
        _ => bind(SocketAddr::from(([0u8; 4], port))),
    })
}

/// Makes a socket that systemd bound ready for [`super::Gossip::start`].
///
/// # Errors
///
/// If it is not an internet datagram socket.
pub fn inherit(socket: UdpSocket) -> io::Result<UdpSocket> {
    let socket = Socket::from(socket);
    let internet = socket.local_addr()?.as_socket().is_some();
    if socket.r#type()? != Type::DGRAM || !internet {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the socket is not an internet datagram socket",
        ));
    }
    prepare(socket)
}

fn prepare(socket: Socket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    // A smaller buffer works too, with more pieces to repeat.
    let current = socket.recv_buffer_size().unwrap_or(0);
    if current < BUFFER {
        drop(socket.set_recv_buffer_size(BUFFER));
    }
    Ok(socket.into())
}
