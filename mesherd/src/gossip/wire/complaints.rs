//! Journal lines about what was dropped: one for each reason and minute, however much comes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::systemd::{events, journal};

const EVERY: Duration = Duration::from_secs(60);

/// Why something was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Complaint {
    NotOurs,
    UnknownKey,
    Forged,
    Malformed,
    Replayed,
    RateLimited,
}

impl Complaint {
    fn text(self) -> &'static str {
        match self {
            Self::NotOurs => "is not of this protocol or version",
            Self::UnknownKey => {
                "is sealed under a secret this node does not have: compare the network secrets"
            }
            Self::Forged => "does not open under the secret it names: another network, damaged, or forged",
            Self::Malformed => "comes from a member and breaks the format: compare the versions",
            Self::Replayed => "was seen before",
            Self::RateLimited => "is more than its sender may send",
        }
    }
}

/// When each was last told, and how often it happened since.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    told: [Option<(Instant, u64)>; 6],
}

impl Complaints {
    /// Tells the journal, unless it was told of the same within the minute. Says whether it did.
    pub(crate) fn tell(&mut self, now: Instant, complaint: Complaint, from: SocketAddr) -> bool {
        let slot = &mut self.told[complaint as usize];
        if let Some((at, more)) = slot
            && now.saturating_duration_since(*at) < EVERY
        {
            *more += 1;
            return false;
        }
        let more = slot.replace((now, 0)).map_or(0, |(_, more)| more);
        let what = complaint.text();
        let text = format_args!(
            "a gossip datagram from {from} was dropped: it {what} ({more} more since the last line)"
        );
        match complaint {
            Complaint::NotOurs | Complaint::UnknownKey | Complaint::Forged => {
                journal::event(events::STRANGER).peer(&from).log(text)
            }
            Complaint::Malformed | Complaint::Replayed | Complaint::RateLimited => log::warn!("{text}"),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_reason_and_minute() {
        let (mut complaints, start) = (Complaints::default(), Instant::now());
        let from = SocketAddr::from(([192, 0, 2, 1], 1));
        let told = (0..300)
            .filter(|second| complaints.tell(start + Duration::from_secs(*second), Complaint::Forged, from));
        assert_eq!(told.count(), 5);
        assert!(complaints.tell(start, Complaint::RateLimited, from));
    }
}
