//! Sockets inherited through `LISTEN_FDS` (sd_listen_fds(3)), told apart by what they are, not by their order.

use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};

/// What systemd handed in. Each is `None` where the unit has no such line.
#[derive(Debug, Default)]
pub struct Inherited {
    /// `ListenDatagram=7946`: the gossip socket, non-blocking.
    pub gossip: Option<UdpSocket>,
    /// `ListenStream=/run/data-mesher/mesherd.sock`: the control socket, listening and non-blocking.
    pub control: Option<UnixListener>,
    /// `ListenNetlink=route …`: a netlink socket that is in the groups of address and link changes already.
    pub netlink: Option<OwnedFd>,
}

/// Why the inherited sockets cannot be used. Nothing was taken.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// The variables or a descriptor are not what systemd makes.
    #[error("sockets from systemd: {0}")]
    Io(#[from] io::Error),
    /// A socket of a kind the daemon has no use for.
    #[error(
        "sockets from systemd: {name:?} (descriptor {fd}) is {found}; expected ListenDatagram=PORT, ListenStream=/run/data-mesher/mesherd.sock or ListenNetlink=route …; correct data-mesher.socket"
    )]
    Unexpected {
        /// Its number.
        fd: i32,
        /// Its `FileDescriptorName=`.
        name: String,
        /// What it is.
        found: Kind,
    },
    /// Two sockets of one kind.
    #[error("sockets from systemd: there are two that are {found}; expected one; correct data-mesher.socket")]
    Twice {
        /// What both are.
        found: Kind,
    },
}

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A UDP socket, bound.
    Udp,
    /// A Unix stream socket that listens.
    UnixListener,
    /// A netlink socket.
    Netlink,
    /// Something else.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "a UDP socket",
            Self::UnixListener => "a listening Unix stream socket",
            Self::Netlink => "a netlink socket",
            Self::Other => "something else",
        })
    }
}

/// Takes the sockets handed to this process. The first call takes them; later calls find none.
///
/// `LISTEN_PID` is checked, so variables that a parent left in the environment do no harm.
///
/// # Errors
///
/// When a descriptor is not open, is none of the kinds of [`Inherited`], or is the second of its kind: the unit is
/// wrong, and the daemon must not run half deaf.
pub fn inherit() -> Result<Inherited, InheritError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Inherited::default());
    }
    let mut inherited = Inherited::default();
    // Not `listen_fds_with_names`: it takes names left over from a parent for an error, although no socket is ours.
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').chain(std::iter::repeat("unknown"));
    for (raw, name) in sd_notify::listen_fds()?.zip(names) {
        // SAFETY: systemd opened this descriptor for this very process (LISTEN_PID), `listen_fds` found it open (fcntl
        // succeeded), and TAKEN lets nobody take it a second time.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        inherited.put(fd, name)?;
    }
    Ok(inherited)
}

impl Inherited {
    fn put(&mut self, fd: OwnedFd, name: &str) -> Result<(), InheritError> {
        let found = kind(fd.as_fd())?;
        let taken = match found {
            Kind::Udp => self.gossip.is_some(),
            Kind::UnixListener => self.control.is_some(),
            Kind::Netlink => self.netlink.is_some(),
            Kind::Other => {
                return Err(InheritError::Unexpected { fd: fd.as_raw_fd(), name: name.to_owned(), found });
            }
        };
        if taken {
            return Err(InheritError::Twice { found });
        }
        match found {
            Kind::Udp => {
                let socket = UdpSocket::from(fd);
                socket.set_nonblocking(true)?;
                self.gossip = Some(socket);
            }
            Kind::UnixListener => {
                let listener = UnixListener::from(fd);
                listener.set_nonblocking(true)?;
                self.control = Some(listener);
            }
            Kind::Netlink | Kind::Other => self.netlink = Some(fd),
        }
        Ok(())
    }
}

/// What the kernel says about a descriptor: its domain and type, and for a stream whether it listens.
fn kind(fd: BorrowedFd<'_>) -> io::Result<Kind> {
    let socket_type = match getsockopt(&fd, sockopt::SockType) {
        Ok(socket_type) => socket_type,
        // A pipe, a file: ENOTSOCK. A type that nix does not know: EINVAL.
        Err(nix::Error::ENOTSOCK | nix::Error::EINVAL) => return Ok(Kind::Other),
        Err(error) => return Err(error.into()),
    };
    let family = getsockname::<SockaddrStorage>(fd.as_raw_fd())?.family();
    Ok(match (family, socket_type) {
        (Some(AddressFamily::Inet | AddressFamily::Inet6), SockType::Datagram) => Kind::Udp,
        (Some(AddressFamily::Unix), SockType::Stream) if getsockopt(&fd, sockopt::AcceptConn)? => {
            Kind::UnixListener
        }
        (Some(AddressFamily::Netlink), _) => Kind::Netlink,
        _ => Kind::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_known_by_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let udp4 = UdpSocket::bind("127.0.0.1:0").unwrap();
        let listener = UnixListener::bind(dir.path().join("sock")).unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (stream, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let datagram = std::os::unix::net::UnixDatagram::unbound().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(kind(udp4.as_fd()).unwrap(), Kind::Udp);
        assert_eq!(kind(listener.as_fd()).unwrap(), Kind::UnixListener);
        assert_eq!(kind(tcp.as_fd()).unwrap(), Kind::Other);
        assert_eq!(kind(stream.as_fd()).unwrap(), Kind::Other);
        assert_eq!(kind(datagram.as_fd()).unwrap(), Kind::Other);
        assert_eq!(kind(file.as_fd()).unwrap(), Kind::Other);
    }

    #[test]
    fn the_second_of_a_kind_and_the_unknown_are_refused_by_name() {
        let udp = || OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut inherited = Inherited::default();
        inherited.put(udp(), "a").unwrap();
        let error = inherited.put(udp(), "b").unwrap_err();
        assert!(error.to_string().contains("two that are a UDP socket"), "{error}");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error = inherited.put(tcp.into(), "web").unwrap_err();
        assert!(error.to_string().contains("\"web\""), "{error}");
    }
}
