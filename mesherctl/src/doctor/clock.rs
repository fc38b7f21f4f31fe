//! The clock. Leases do not depend on it; the order of new claims, and certificates, do.

use mesher_control::types::{PeerState, Status};

use super::Finding;

const CHECK: &str = "time";
const RUN: &str = "timedatectl";
/// As much as the daemon lets pass without a word.
const AGREES_MS: u64 = 60_000;

pub(super) fn time(status: Option<&Status>) -> Finding {
    judge(is_synchronised(), &peers_ahead(status))
}

/// How far the clocks of the peers that are there are ahead of this one.
fn peers_ahead(status: Option<&Status>) -> Vec<i64> {
    let peers = status.map(|status| status.peers.as_slice()).unwrap_or_default();
    peers.iter().filter(|peer| peer.state == PeerState::Alive).filter_map(|peer| peer.ahead_ms).collect()
}

fn judge(synchronised: Option<bool>, ahead: &[i64]) -> Finding {
    let mut sorted = ahead.to_vec();
    sorted.sort_unstable();
    // Of the whole group the one in the middle: one peer's wrong clock is that peer's trouble.
    let middle = sorted.get(sorted.len() / 2).copied();
    if let Some(ahead) = middle.filter(|ahead| ahead.unsigned_abs() > AGREES_MS) {
        let (by, way) =
            (crate::output::span(ahead.unsigned_abs()), if ahead > 0 { "behind" } else { "ahead of" });
        return Finding::wrong(CHECK, format!("this machine's clock is {by} {way} its peers'"), RUN);
    }
    let peers = match ahead.len() {
        0 => "",
        _ => "; the peers' clocks agree with it",
    };
    match synchronised {
        Some(true) => Finding::ok(CHECK, format!("the clock is synchronised{peers}")),
        Some(false) if middle.is_some() => {
            Finding::unclear(CHECK, format!("the clock is not synchronised by NTP{peers}"), RUN)
        }
        // It may be right all the same, and names resolve with any.
        Some(false) => Finding::unclear(
            CHECK,
            "the clock is not synchronised, and there is no peer to compare it with: leases do not depend on it, certificates do",
            "timedatectl set-ntp true",
        ),
        None => Finding::unclear(
            CHECK,
            format!("the kernel does not say whether the clock is synchronised{peers}"),
            RUN,
        ),
    }
}

/// What the kernel has been told by whatever disciplines its clock (adjtimex(2)).
fn is_synchronised() -> Option<bool> {
    // SAFETY: timex is a struct of integers, for which all zeros are values; with no bit in `modes` nothing is set.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: adjtimex writes into the struct it is given and keeps no pointer.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    (state >= 0).then_some(state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn the_middle_of_the_peers_decides() {
        let outcome = |synchronised, ahead: &[i64]| judge(synchronised, ahead).outcome;
        assert_eq!(outcome(Some(true), &[]), Outcome::Ok);
        assert_eq!(
            outcome(Some(true), &[10, -400_000, 20]),
            Outcome::Ok,
            "one wrong peer is that peer's trouble"
        );
        assert_eq!(outcome(Some(true), &[90_000, 91_000, 0]), Outcome::Wrong);
        assert_eq!(outcome(Some(false), &[]), Outcome::Unclear, "no name is lost by it");
        assert_eq!(outcome(Some(false), &[3]), Outcome::Unclear);
        assert_eq!(outcome(None, &[]), Outcome::Unclear);
        let found = judge(Some(true), &[-120_000]);
        assert_eq!(found.message, "this machine's clock is 2 min ahead of its peers'");
        assert_eq!(judge(Some(true), &[120_000]).message, "this machine's clock is 2 min behind its peers'");
    }
}
