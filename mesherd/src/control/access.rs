//! Who may ask and who may change: decided by the kernel's word on the peer (unix(7), `SO_PEERCRED`).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{getsockopt, sockopt};

/// The number that stands for every user and group that a user namespace does not map (user_namespaces(7)), as under
/// `PrivateUsers=`. It says nothing about who it is.
const OVERFLOW_ID: u32 = 65_534;

/// More supplementary groups than a process can have (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;

/// The process at the other end of a connection, as it was when it connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its user.
    pub uid: u32,
    /// Its groups: the effective one, then the supplementary ones.
    pub gids: Vec<u32>,
    /// Its process id; 0 if it is of another pid namespace.
    pub pid: i32,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {}, process {}", self.uid, self.pid)
    }
}

impl Caller {
    /// The process that connected `socket`.
    ///
    /// # Errors
    ///
    /// When the kernel does not say; such a caller must get nothing.
    pub(super) fn of(socket: &impl AsFd) -> io::Result<Self> {
        let credentials = getsockopt(socket, sockopt::PeerCredentials)?;
        let mut gids = vec![credentials.gid()];
        gids.extend(supplementary_groups(socket)?);
        Ok(Self { uid: credentials.uid(), gids, pid: credentials.pid() })
    }
}

/// Who may change things: root, the daemon's own user, and the members of its group, if it has one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessPolicy {
    own_uid: u32,
    group: Option<u32>,
}

impl AccessPolicy {
    /// For a service, which has a group of its own.
    pub fn service() -> Self {
        Self::new(nix::unistd::geteuid().as_raw(), Some(nix::unistd::getegid().as_raw()))
    }

    /// For a daemon started by hand: its group may be one that all users share.
    pub fn by_hand() -> Self {
        Self::new(nix::unistd::geteuid().as_raw(), None)
    }

    /// For a daemon that runs as `own_uid` and lets the members of `group` change things.
    pub fn new(own_uid: u32, group: Option<u32>) -> Self {
        Self { own_uid, group }
    }

    /// Whether `caller` may change things.
    pub fn may_change(&self, caller: &Caller) -> bool {
        if caller.uid == 0 {
            return true;
        }
        let known = |id: u32| id != OVERFLOW_ID;
        (caller.uid == self.own_uid && known(caller.uid))
            || self.group.is_some_and(|group| known(group) && caller.gids.contains(&group))
    }
}

/// `SO_PEERGROUPS` (Linux 4.13): the supplementary groups of the peer. None where the kernel does not know the option.
fn supplementary_groups(socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let fd = socket.as_fd().as_raw_fd();
    let mut groups = vec![0u32; 64];
    loop {
        let mut length =
            libc::socklen_t::try_from(size_of_val(groups.as_slice())).unwrap_or(libc::socklen_t::MAX);
        // SAFETY: `groups` has room for `length` bytes, of which the kernel writes at most that many, and sets `length`.
        let result = unsafe {
            libc::getsockopt(
                fd,
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = length as usize / size_of::<u32>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        match io::Error::last_os_error() {
            // Too little room: the kernel has said how much is needed.
            error
                if error.raw_os_error() == Some(libc::ERANGE)
                    && count > groups.len()
                    && count <= MAX_GROUPS =>
            {
                groups.resize(count, 0);
            }
            error if error.raw_os_error() == Some(libc::ENOPROTOOPT) => return Ok(Vec::new()),
            error => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(uid: u32, gids: &[u32]) -> Caller {
        Caller { uid, gids: gids.to_vec(), pid: 1 }
    }

    #[test]
    fn root_the_own_user_and_the_group_may_change() {
        let policy = AccessPolicy::new(990, Some(980));
        assert!(policy.may_change(&caller(0, &[0])));
        assert!(policy.may_change(&caller(990, &[980])));
        assert!(policy.may_change(&caller(1000, &[980])), "primary group");
        assert!(policy.may_change(&caller(1000, &[1000, 27, 980])), "supplementary group");
        assert!(!policy.may_change(&caller(1000, &[1000, 27])));
        assert!(!AccessPolicy::new(1000, None).may_change(&caller(1001, &[100])));
    }

    #[test]
    fn the_unmapped_are_nobody_even_to_a_daemon_that_runs_as_nobody() {
        let policy = AccessPolicy::new(65_534, Some(65_534));
        assert!(!policy.may_change(&caller(65_534, &[65_534])));
        assert!(policy.may_change(&caller(0, &[0])));
    }

    #[test]
    fn the_kernel_tells_user_and_groups() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let caller = Caller::of(&socket).unwrap();
        assert_eq!(caller.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(caller.gids[0], nix::unistd::getegid().as_raw());
        let own: Vec<u32> =
            nix::unistd::getgroups().unwrap().into_iter().map(nix::unistd::Gid::as_raw).collect();
        assert_eq!(caller.gids[1..], own);
        assert_eq!(caller.pid, std::process::id().cast_signed());
    }
}
