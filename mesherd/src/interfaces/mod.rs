//! This machine's addresses, as the interfaces have them, followed as they change.
//!
//! The kernel's messages of change (rtnetlink(7)) serve as a bell only: after each burst of them the interfaces and
//! addresses are read anew, and what is to be announced is picked from that ([`select`]). So messages that were lost
//! (`ENOBUFS`), came out of order, or mean something unknown can lead to no wrong state.

mod decode;
mod netlink;
pub mod select;

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::sync::watch;

pub use netlink::Netlink;
pub use select::{HostAddress, Selection, Snapshot};

/// After a change the kernel is given this long to finish what it is about (an interface that comes up brings half a
/// dozen messages) before the addresses are read.
const QUIET: Duration = Duration::from_millis(50);

/// A reading that fails is tried again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// Reads and follows the addresses.
#[derive(Debug)]
pub struct Watcher {
    netlink: Netlink,
}

impl Watcher {
    /// A watcher on a netlink socket of its own, or on the one inherited from systemd (`ListenNetlink=route 1361`), which
    /// may be that of another network namespace.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made: without `AF_NETLINK` in `RestrictAddressFamilies=`, or outside a tokio runtime.
    pub fn new(inherited: Option<OwnedFd>) -> io::Result<Self> {
        let netlink = match inherited {
            Some(fd) => Netlink::from_fd(fd)?,
            None => Netlink::open()?,
        };
        Ok(Self { netlink })
    }

    /// What is to be announced now.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to tell; no state is left behind, so it can be tried again.
    pub async fn snapshot(&mut self, selection: &Selection) -> io::Result<Snapshot> {
        let (links, addresses) = self.netlink.dump().await?;
        Ok(selection.pick(&links, &addresses))
    }

    /// Keeps `snapshots` up to date, for ever: after every change of the interfaces and of the selection. The value is
    /// replaced only when it differs. Returns when nobody holds a receiver, or the selection's sender is gone.
    pub async fn run(
        mut self,
        mut selection: watch::Receiver<Selection>,
        snapshots: watch::Sender<Snapshot>,
    ) {
        loop {
            let wanted = selection.borrow_and_update().clone();
            match self.snapshot(&wanted).await {
                Ok(snapshot) => {
                    snapshots.send_if_modified(|last| {
                        let changed = *last != snapshot;
                        *last = snapshot;
                        changed
                    });
                }
                Err(error) => {
                    log::warn!("cannot read the interfaces' addresses, trying again: {error}");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
            tokio::select! {
                changed = self.netlink.changed() => {
                    if let Err(error) = changed {
                        log::warn!("cannot follow the interfaces' addresses, reading them anew: {error}");
                        tokio::time::sleep(RETRY).await;
                    }
                    tokio::time::sleep(QUIET).await;
                }
                changed = selection.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = snapshots.closed() => return,
            }
        }
    }
}
