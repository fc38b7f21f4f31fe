//! A routing netlink socket (rtnetlink(7)): the bell, and the reading of all interfaces and addresses.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};

use netlink_packet_core::{
    ErrorBuffer, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN,
    NetlinkBuffer,
};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockname, recvmsg,
    sendto, setsockopt, socket, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::decode::{self, Address, Link};

// Message types (linux/rtnetlink.h); libc has them in another integer type.
const RTM_NEWLINK: u16 = libc::RTM_NEWLINK;
const RTM_DELLINK: u16 = libc::RTM_DELLINK;
const RTM_GETLINK: u16 = libc::RTM_GETLINK;
const RTM_NEWADDR: u16 = libc::RTM_NEWADDR;
const RTM_DELADDR: u16 = libc::RTM_DELADDR;
const RTM_GETADDR: u16 = libc::RTM_GETADDR;

/// The groups of link and address changes (`RTMGRP_…`).
const GROUPS: u32 = (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR) as u32;

/// The length of `struct nlmsghdr` (netlink(7)).
const NETLINK_HEADER_LEN: usize = 16;

/// What the kernel fills at most in one go, when the reader offers it (netlink_dump() in af_netlink.c).
const BUFFER_LEN: usize = 32 * 1024;

/// Room for bursts, so that `ENOBUFS` is rare. Capped by net.core.rmem_max.
const RECEIVE_BUFFER_LEN: usize = 1024 * 1024;

/// How often one reading is begun again because the interfaces changed under it, before it is taken as it is: the bell has
/// rung then, and another reading follows.
const MAX_INTERRUPTIONS: usize = 5;

/// A routing netlink socket in the groups of link and address changes.
#[derive(Debug)]
pub struct Netlink {
    fd: AsyncFd<OwnedFd>,
    /// The socket's own address: replies carry it.
    port: u32,
    /// Of the last request.
    sequence: u32,
    /// Whether a change was told while a reply was being read.
    rung: bool,
    buffer: Vec<u8>,
}

/// What one datagram held of the reply.
#[derive(Debug, Default)]
struct Reply {
    done: bool,
    interrupted: bool,
}

impl Netlink {
    /// Makes a socket. Needs no privilege, and nothing but `AF_NETLINK`.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        Self::new(fd)
    }

    /// Takes over a socket that is bound and in the groups already.
    pub(super) fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Self::new(fd)
    }

    fn new(fd: OwnedFd) -> io::Result<Self> {
        // A wish: without it bursts are lost sooner, which is noticed and mended.
        if let Err(error) = setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER_LEN) {
            log::debug!("cannot enlarge the netlink socket's buffer: {error}");
        }
        let port = getsockname::<NetlinkAddr>(fd.as_raw_fd())?.pid();
        // SAFETY: an OwnedFd keeps its descriptor, the same one, open until it is dropped, and nothing replaces it in there.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Self { fd, port, sequence: 0, rung: false, buffer: vec![0; BUFFER_LEN] })
    }

    /// Returns when links or addresses may have changed since the last [`Netlink::dump`] began. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the socket fails. Lost messages are no error: something has changed then.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        while !self.rung {
            match self.receive().await {
                Ok(length) => {
                    self.read_messages(length, |_, _| ())?;
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.rung = true,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads all links and all addresses.
    pub(super) async fn dump(&mut self) -> io::Result<(Vec<Link>, Vec<Address>)> {
        for attempt in 1.. {
            self.rung = false;
            let mut links = Vec::new();
            let mut addresses = Vec::new();
            let mut whole = self
                .request(RTM_GETLINK, &decode::link_request(), |message_type, payload| {
                    if message_type == RTM_NEWLINK {
                        links.extend(Link::decode(payload));
                    }
                })
                .await?;
            whole &= self
                .request(RTM_GETADDR, &decode::address_request(), |message_type, payload| {
                    if message_type == RTM_NEWADDR {
                        addresses.extend(Address::decode(payload));
                    }
                })
                .await?;
            if whole || attempt >= MAX_INTERRUPTIONS {
                self.rung |= !whole;
                return Ok((links, addresses));
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Asks for a dump and hands every message of the reply to `take`. `false` if the reply has gaps.
    async fn request(
        &mut self,
        message_type: u16,
        body: &[u8],
        mut take: impl FnMut(u16, &[u8]) + Send,
    ) -> io::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = encode(message_type, self.sequence, body);
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.fd.as_raw_fd(), &request, &kernel, MsgFlags::empty())?;
        let mut whole = true;
        loop {
            match self.receive().await {
                Ok(length) => {
                    let reply = self.read_messages(length, &mut take)?;
                    whole &= !reply.interrupted;
                    if reply.done {
                        return Ok(whole);
                    }
                }
                // The kernel holds the dump back until there is room, so the lost ones are messages of change.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.rung = true,
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for a datagram: its length in the buffer. Cancel safe.
    async fn receive(&mut self) -> io::Result<usize> {
        let buffer = &mut self.buffer;
        self.fd.async_io(Interest::READABLE, |fd| receive_from_kernel(fd, buffer)).await
    }

    /// Goes through the messages of a datagram: those of the last request go to `take`, changes ring the bell.
    fn read_messages(&mut self, length: usize, mut take: impl FnMut(u16, &[u8])) -> io::Result<Reply> {
        let mut reply = Reply::default();
        let mut rest = self.buffer.get(..length).unwrap_or_default();
        while let Ok(message) = NetlinkBuffer::new_checked(rest) {
            let (message_type, payload) = (message.message_type(), message.payload());
            // A message of change carries the number of the request that led to it, somebody else's: only with the port is
            // it certain that one is ours.
            if (message.port_number(), message.sequence_number()) == (self.port, self.sequence) {
                reply.interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
                match message_type {
                    NLMSG_DONE => reply.done = true,
                    NLMSG_ERROR => return Err(refusal(payload)),
                    NLMSG_OVERRUN => reply.interrupted = true,
                    _ => take(message_type, payload),
                }
            } else if matches!(message_type, RTM_NEWLINK | RTM_DELLINK | RTM_NEWADDR | RTM_DELADDR) {
                self.rung = true;
            }
            let advance = (message.length() as usize).next_multiple_of(4);
            rest = rest.get(advance..).unwrap_or_default();
        }
        Ok(reply)
    }
}

/// One datagram of the kernel's into `buffer`: its length, or 0 for one that somebody else sent.
fn receive_from_kernel(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<NetlinkAddr>(fd.as_raw_fd(), &mut slices, None, MsgFlags::MSG_DONTWAIT)?;
    if message.flags.contains(MsgFlags::MSG_TRUNC) {
        // Cannot be: the kernel fits dumps to what the reader offers, and a message of change is far smaller. Were it
        // otherwise, reading on would miss an interface for good.
        return Err(io::Error::other("a netlink message was longer than 32 KiB"));
    }
    Ok(if message.address.is_some_and(|sender| sender.pid() == 0) { message.bytes } else { 0 })
}

fn refusal(payload: &[u8]) -> io::Error {
    let code = ErrorBuffer::new_checked(payload).ok().and_then(|buffer| buffer.code());
    code.map_or_else(
        || io::Error::other("the kernel refused to list the interfaces"),
        |code| io::Error::from_raw_os_error(code.get().saturating_neg()),
    )
}

/// A dump request: the header (netlink(7)) and the body.
fn encode(message_type: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = NETLINK_HEADER_LEN + body.len();
    let mut request = vec![0; length];
    let mut header = NetlinkBuffer::new(&mut request);
    header.set_length(u32::try_from(length).unwrap_or(u32::MAX));
    header.set_message_type(message_type);
    header.set_flags(NLM_F_REQUEST | NLM_F_DUMP);
    header.set_sequence_number(sequence);
    request[NETLINK_HEADER_LEN..].copy_from_slice(body);
    request
}
