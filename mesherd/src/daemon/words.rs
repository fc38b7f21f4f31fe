//! What happened, in the journal's words.

use mesher_claims::event::{BrokenBy, Event, Holder, JoinedBy};
use mesher_claims::keys::HostKey;
use mesher_claims::names::{ClaimName, Domain};

use crate::systemd::rate_limit::RateLimit;
use crate::systemd::{events, journal};
use mesher_config::format_duration;
use std::time::{Duration, Instant};

/// Whose journal it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speaker<'a> {
    /// This host's key.
    pub(super) me: &'a HostKey,
    /// The network's domain, once known.
    pub(super) domain: Option<&'a Domain>,
}

impl Speaker<'_> {
    /// Writes an event to the journal.
    pub(super) fn say(&self, event: &Event) {
        match event {
            Event::HolderChanged { name, before, after } => self.holder_changed(name, before.as_ref(), after.as_ref()),
            Event::Waiting { name, holder, epoch } => {
                let name = self.full(name);
                journal::event(events::NAME_WAITING).name(&name.to_lowercase()).host(&holder.label).log(format_args!(
                    "{name} is held by {} since {}; this machine's claim of {} waits in line",
                    holder.label,
                    stamp(holder.epoch),
                    stamp(*epoch)
                ));
            }
            Event::Joined { how } => joined(*how),
            Event::ClaimsBroken { why, names } => {
                let why = match why {
                    BrokenBy::Lapse => "this machine did not renew them for nearly the network's claim_ttl",
                    BrokenBy::Peer => "a peer saw them run out",
                };
                journal::event(events::CLAIMS_BROKEN).log(format_args!(
                    "the claims on {names} names are broken: {why}; they are made anew, behind whoever holds them now"
                ));
            }
            Event::WaitingForSettings => journal::event(events::SETTINGS_MISSING).log(format_args!(
                "no peer has passed on the network's settings yet; nothing can be claimed or looked up before that. Check cluster.bootstrap_nodes and the network secret, or set network.settings_file"
            )),
            Event::SettingsChanged { revision, domain, claim_ttl_ms } => journal::event(events::SETTINGS_CHANGED)
                .log(format_args!(
                    "settings of revision {revision} are in force: domain {domain}, claim_ttl {}",
                    format_duration(Duration::from_millis(*claim_ttl_ms))
                )),
            Event::HostExpired { host: _, label } => journal::event(events::HOST_EXPIRED)
                .host(label)
                .log(format_args!("{label} has not renewed its claims for the network's claim_ttl; its names are free")),
            Event::ClockSkew { host: _, label, ahead_ms } => {
                let seconds = (ahead_ms.unsigned_abs() + 500) / 1_000;
                let (by, way) = (format_duration(Duration::from_secs(seconds)), direction(*ahead_ms));
                journal::event(events::CLOCK_SKEW)
                    .host(label)
                    .log(format_args!("the clock of {label} is {by} {way} the mesh's; leases do not depend on it"));
            }
            Event::OwnRecordAhead { seen } => journal::event(events::OWN_RECORD_AHEAD).log(format_args!(
                "a peer has a record of this machine that is newer (seq {seen}) than what it remembers; signing the present state again"
            )),
            Event::Adopted { names } => journal::event(events::NAMES_ADOPTED).log(format_args!(
                "nothing was on disk; took up the claims on {names} names as the peers had kept them"
            )),
            Event::EpochsRaised { by_ms } => journal::event(events::EPOCHS_RAISED).log(format_args!(
                "the clock was {} slow when this machine claimed alone; its claims now start when they really did",
                format_duration(Duration::from_millis(*by_ms))
            )),
            Event::KeyCopied { silenced } => copied(*silenced),
            Event::Refused { host: _, kind, refusal } => {
                journal::event(events::RECORD_REFUSED).log(format_args!("{kind} refused: {refusal}"));
            }
        }
    }

    fn holder_changed(&self, name: &ClaimName, before: Option<&Holder>, after: Option<&Holder>) {
        let full = self.full(name);
        let folded = full.to_lowercase();
        let mine = |holder: &Holder| holder.host == *self.me;
        match (before, after) {
            (None, Some(new)) if mine(new) => journal::event(events::NAME_HELD).name(&folded).host(&new.label).log(
                format_args!("{full} is held by this machine, by its claim of {}", stamp(new.epoch)),
            ),
            (Some(old), Some(new)) if mine(new) => journal::event(events::NAME_HELD).name(&folded).host(&new.label).log(
                format_args!("{full} passed from {} ({}) to this machine ({})", old.label, stamp(old.epoch), stamp(new.epoch)),
            ),
            (Some(old), Some(new)) if mine(old) => journal::event(events::NAME_LOST).name(&folded).host(&new.label).log(
                format_args!(
                    "{full} passed from this machine ({}) to {} ({}), whose claim is the earliest unbroken one",
                    stamp(old.epoch),
                    new.label,
                    stamp(new.epoch)
                ),
            ),
            (Some(old), None) if mine(old) => journal::event(events::NAME_RELEASED).name(&folded).host(&old.label).log(
                format_args!("{full} is no longer held by this machine"),
            ),
            (Some(old), Some(new)) => journal::event(events::NAME_TAKEN).name(&folded).host(&new.label).log(format_args!(
                "{full} passed from {} ({}) to {} ({})",
                old.label,
                stamp(old.epoch),
                new.label,
                stamp(new.epoch)
            )),
            (None, Some(new)) => journal::event(events::NAME_TAKEN)
                .name(&folded)
                .host(&new.label)
                .log(format_args!("{full} is held by {}, by its claim of {}", new.label, stamp(new.epoch))),
            (Some(old), None) => journal::event(events::NAME_GONE)
                .name(&folded)
                .host(&old.label)
                .log(format_args!("{full} is held by nobody any more; {} held it", old.label)),
            (None, None) => {}
        }
    }

    fn full(&self, name: &ClaimName) -> String {
        self.domain.map_or_else(|| name.to_string(), |domain| name.under(domain))
    }
}

/// An epoch as people read it. Epochs are hybrid times: close to the wall clock, not equal to it.
pub(super) fn stamp(ms: u64) -> String {
    let time = std::time::UNIX_EPOCH.checked_add(Duration::from_millis(ms));
    // The formatter knows years up to 9999.
    match time {
        Some(time) if ms < 253_402_300_800_000 => humantime::format_rfc3339_millis(time).to_string(),
        _ => format!("{ms} ms"),
    }
}

fn direction(ahead_ms: i64) -> &'static str {
    if ahead_ms > 0 { "ahead of" } else { "behind" }
}

fn joined(how: JoinedBy) {
    match how {
        JoinedBy::Synchronised => {
            journal::event(events::JOINED).log(format_args!("joined: knows what a peer knows; claiming its names"));
        }
        JoinedBy::Timeout => journal::event(events::JOIN_TIMEOUT).log(format_args!(
            "no peer answered within cluster.join_timeout; claiming its names alone, and going on looking for peers"
        )),
        JoinedBy::TimeoutAnswered => journal::event(events::JOIN_TIMEOUT).log(format_args!(
            "within cluster.join_timeout only peers answered that are joining themselves, or whose answer did not arrive whole; claiming its names now"
        )),
        JoinedBy::Alone => journal::event(events::JOINED).log(format_args!(
            "cluster.bootstrap_nodes names no other machine, and no peer is remembered; claiming its names alone"
        )),
    }
}

/// The line that says a record was refused, if one is due: of each sender and reason one in a while, with the count of the others.
pub(super) fn refusal(limit: &mut RateLimit<String>, from: &str, why: &str, now: Instant) -> Option<String> {
    let left_out = limit.check(format!("{from}: {why}"), now)?;
    let more = if left_out > 0 { format!(" ({left_out} more like it since)") } else { String::new() };
    Some(format!("refused from {from}: {why}{more}"))
}

fn copied(silenced: bool) {
    let what = if silenced {
        "this machine stops announcing its names. Stop the daemon, move host.key and the *.state files out of the state directory, and start it again"
    } else {
        "the other one stops announcing its names"
    };
    journal::event(events::CLONED_KEY).log(format_args!(
        "another machine runs with a copy of this machine's key (a cloned disk image?); {what}"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_once_in_a_while_for_each_sender_and_reason_and_the_others_are_counted() {
        let hour = Duration::from_secs(3_600);
        let (mut limit, begin) = (RateLimit::new(hour, 256), Instant::now());
        let mut tell = |from: &str, why: &str, at: Duration| refusal(&mut limit, from, why, begin + at);
        assert_eq!(
            tell("beta", "a bad signature", Duration::ZERO).unwrap(),
            "refused from beta: a bad signature"
        );
        for second in 1..=41 {
            assert_eq!(tell("beta", "a bad signature", Duration::from_secs(second)), None);
        }
        assert!(tell("gamma", "a bad signature", Duration::ZERO).is_some(), "another sender");
        assert!(tell("beta", "a replay", Duration::ZERO).is_some(), "another reason");
        let line = tell("beta", "a bad signature", hour).unwrap();
        assert_eq!(line, "refused from beta: a bad signature (41 more like it since)");
    }
}
