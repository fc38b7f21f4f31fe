//! What an operator should hear of, as data: the daemon words it for the journal.

use crate::keys::HostKey;
use crate::names::{ClaimName, Label};
use crate::record::Refusal;

/// Something worth a line in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A name resolves to somebody else than before, or to somebody or nobody for the first time.
    HolderChanged {
        /// The name.
        name: ClaimName,
        /// Who held it.
        before: Option<Holder>,
        /// Who holds it now.
        after: Option<Holder>,
    },
    /// This host claims a name that somebody else holds, and waits in line.
    Waiting {
        /// The name.
        name: ClaimName,
        /// Who holds it.
        holder: Holder,
        /// This host's own epoch.
        epoch: u64,
    },
    /// This host has joined: it knows what one peer knows, and its claims go out.
    Joined {
        /// How: by synchronising, by waiting in vain, or because there is nobody to wait for.
        how: JoinedBy,
    },
    /// The claims of this host were broken, and were made anew.
    ClaimsBroken {
        /// Why.
        why: BrokenBy,
        /// How many names.
        names: usize,
    },
    /// The settings are not known yet: nothing can be claimed or resolved until a peer has passed them on.
    WaitingForSettings,
    /// New settings came into force.
    SettingsChanged {
        /// Their revision.
        revision: u64,
        /// The domain.
        domain: String,
        /// The TTL in milliseconds.
        claim_ttl_ms: u64,
    },
    /// A host did not renew for the TTL.
    HostExpired {
        /// Who.
        host: HostKey,
        /// What it called itself.
        label: Label,
    },
    /// A host's clock is more than a minute off. At most once per host and hour.
    ClockSkew {
        /// Who.
        host: HostKey,
        /// What it calls itself.
        label: Label,
        /// By how many milliseconds it is ahead (positive) or behind.
        ahead_ms: i64,
    },
    /// Peers had a record of this host that is newer than what it remembers; it signed its truth again.
    OwnRecordAhead {
        /// The `seq` seen.
        seen: u64,
    },
    /// With nothing on disk, this host took up its claims as its peers had kept them.
    Adopted {
        /// How many names.
        names: usize,
    },
    /// The claims of a host whose clock was slow when it claimed alone were moved to when they really started.
    EpochsRaised {
        /// By how many milliseconds.
        by_ms: u64,
    },
    /// Another machine runs with a copy of this host's key.
    KeyCopied {
        /// Whether this machine is the one that stops announcing.
        silenced: bool,
    },
    /// A record was refused.
    Refused {
        /// Whose, if that much could be told.
        host: Option<HostKey>,
        /// The kind of record.
        kind: &'static str,
        /// Why.
        refusal: Refusal,
    },
}

/// Who holds or held a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its key.
    pub host: HostKey,
    /// What it calls itself.
    pub label: Label,
    /// The claim's epoch.
    pub epoch: u64,
}

/// How a host came to the end of joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinedBy {
    /// One peer's whole digest is satisfied.
    Synchronised,
    /// `join_timeout` passed without a peer.
    Timeout,
    /// `join_timeout` passed, and peers answered, but none that had joined, or none told all that it knows.
    TimeoutAnswered,
    /// There is no bootstrap node and no peer remembered.
    Alone,
}

/// Why claims were broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenBy {
    /// No renewal for nearly the TTL, by this machine's own clocks.
    Lapse,
    /// A peer reported this host's latest record as expired.
    Peer,
}
