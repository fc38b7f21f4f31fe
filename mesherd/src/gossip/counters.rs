//! What the gossip layer counts, for the status and for tests.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        // Nothing is ordered by a count.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The living counts.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)+
        }

        /// The counts at one time, each since the start of the daemon.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct CountersSnapshot {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> CountersSnapshot {
                CountersSnapshot { $($name: self.$name.get(),)+ }
            }
        }

        impl CountersSnapshot {
            /// Every count with its name and what it counts, for a status page.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($doc),+).trim_ascii(), self.$name),)+].into_iter()
            }
        }
    };
}

counters! {
    /// Datagrams sent.
    datagrams_sent,
    /// Bytes of UDP payload sent.
    bytes_sent,
    /// Messages of the carrier sent, each in one datagram or several.
    carrier_messages_sent,
    /// Their bytes before sealing.
    carrier_bytes_sent,
    /// Datagrams received, good and bad.
    datagrams_received,
    /// Bytes of UDP payload received, good and bad.
    bytes_received,
    /// Datagrams that are not of this protocol.
    not_ours,
    /// Datagrams sealed under a secret this node does not have.
    unknown_key,
    /// Of these, those from addresses that this node sends to: peers with a secret this node missed.
    unknown_key_peers,
    /// Datagrams that name a known secret and do not open: made without it, for another network, or damaged.
    forged,
    /// Opened datagrams and messages that break the format.
    malformed,
    /// Datagrams seen before, or answers to nothing.
    replayed,
    /// Own datagrams that came back.
    own_echoes,
    /// Datagrams without a valid token; the sender was asked to prove that it is there.
    unproven,
    /// Datagrams and messages over a rate limit.
    rate_limited,
    /// Pieces of messages for which there was no memory left.
    no_room,
    /// Messages that never became whole.
    unfinished,
    /// Pieces sent again because a peer missed them.
    pieces_repeated,
    /// Messages given up before they were sent.
    send_dropped,
    /// Messages dropped because the daemon did not take its events in time.
    events_full,
    /// Carrier messages dropped whole: absurd versions or heartbeats.
    carrier_refused,
    /// Nodes refused because the digest is near its limit, or their ids or addresses are unusable.
    nodes_refused,
    /// Records dropped for their key or length.
    records_unfit,
    /// Records that the gate refused.
    records_refused,
    /// Times that a peer said more of this node than this node ever said, and the carrier was set right.
    carrier_healed,
    /// Times that the carrier ended and was rebuilt.
    carrier_restarts,
    /// Times that the whole layer was started anew, because a task of it had ended or did not answer.
    layer_restarts,
}
