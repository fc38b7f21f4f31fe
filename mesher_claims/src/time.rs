//! Time as it comes in: two clocks, both in milliseconds, and what is made of them.

use borsh::{BorshDeserialize, BorshSerialize};

/// The two clocks of one machine, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Now {
    /// CLOCK_BOOTTIME: milliseconds since this machine booted, time asleep included. Never jumps; starts anew at a boot.
    pub boot_ms: u64,
    /// CLOCK_REALTIME: milliseconds since 1970. May be wrong, may jump.
    pub wall_ms: u64,
}

impl Now {
    /// The time that has passed since an earlier reading of the same machine's clocks, possibly before a reboot, in
    /// milliseconds: what the wall clock says, but not less than what CLOCK_BOOTTIME proves. A boot clock behind the earlier one
    /// means another boot, since when at least its whole reading has passed; ahead of it, at least the difference has, whether
    /// it is the same boot or not.
    pub fn passed_since(self, earlier: Now) -> u64 {
        let by_boot = self.boot_ms.checked_sub(earlier.boot_ms).unwrap_or(self.boot_ms);
        self.wall_ms.saturating_sub(earlier.wall_ms).max(by_boot)
    }
}

/// How long ago any node first had a host record's `seq`.
///
/// Ordered: the older of two reports about one `seq` is the truer one, and an expired `seq` stays expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Age {
    /// Milliseconds.
    Fresh(u64),
    /// The record had reached the network's `claim_ttl` somewhere; whatever later settings say, it is over.
    Expired,
}

impl Age {
    /// New: nobody had it before.
    pub const NEW: Age = Age::Fresh(0);

    /// The age as it counts under a TTL: at the TTL it is over.
    #[must_use]
    pub fn under(self, claim_ttl_ms: u64) -> Age {
        match self {
            Age::Fresh(ms) if ms < claim_ttl_ms => self,
            _ => Age::Expired,
        }
    }
}

/// How often a host renews: a third of the TTL, at least 1 s and at most 10 min apart.
pub fn renewal_interval_ms(claim_ttl_ms: u64) -> u64 {
    (claim_ttl_ms / 3).clamp(1_000, 600_000)
}

/// After how long without a renewal a host's claims are broken: the TTL less a tenth, and less 3 s at least, so that the
/// host gives its names up before any peer does. Never under half the TTL: with a TTL of a few seconds the 3 s would eat it.
pub fn broken_after_ms(claim_ttl_ms: u64) -> u64 {
    claim_ttl_ms.saturating_sub((claim_ttl_ms / 10).max(3_000)).max(claim_ttl_ms / 2)
}

/// Mesh time: an own clock corrected by the peers' clocks, then carried on CLOCK_BOOTTIME.
///
/// The correction is the upper median of (0, each peer's clock − own clock), so one wrong clock in a group of
/// three or more moves nothing, and a jump of the own wall clock between two corrections moves nothing either.
#[derive(Debug, Clone, Copy)]
pub struct MeshClock {
    anchor: Now,
}

impl MeshClock {
    /// A clock that knows only this machine's own.
    pub fn new(now: Now) -> Self {
        Self { anchor: now }
    }

    /// Mesh time in milliseconds since 1970.
    pub fn at(&self, now: Now) -> u64 {
        self.anchor.wall_ms.saturating_add(now.boot_ms.saturating_sub(self.anchor.boot_ms))
    }

    /// Anchors the clock anew by the peers' clocks as they read now (each peer's `renewed_at` + age). Returns by how
    /// many milliseconds mesh time moved.
    pub fn correct(&mut self, now: Now, peers_wall_ms: impl IntoIterator<Item = u64>) -> i64 {
        let before = self.at(now);
        let mut readings: Vec<u64> = peers_wall_ms.into_iter().collect();
        readings.push(now.wall_ms);
        readings.sort_unstable();
        let wall_ms = readings[readings.len() / 2];
        self.anchor = Now { boot_ms: now.boot_ms, wall_ms };
        wall_ms.cast_signed().saturating_sub(before.cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_age_is_older_than_any() {
        assert!(Age::Expired > Age::Fresh(u64::MAX));
        assert_eq!(Age::Fresh(9_999).under(10_000), Age::Fresh(9_999));
        assert_eq!(Age::Fresh(10_000).under(10_000), Age::Expired);
        assert_eq!(Age::Expired.under(u64::MAX), Age::Expired);
    }

    #[test]
    fn renewals_fit_three_times_into_the_ttl_and_breaking_comes_before_expiry() {
        assert_eq!(renewal_interval_ms(10_000), 3_333);
        assert_eq!(renewal_interval_ms(86_400_000), 600_000);
        assert_eq!(broken_after_ms(10_000), 7_000);
        assert_eq!(broken_after_ms(86_400_000), 77_760_000);
        for ttl in 2_000..200_000 {
            assert!(renewal_interval_ms(ttl) <= broken_after_ms(ttl) && broken_after_ms(ttl) < ttl, "{ttl}");
        }
    }

    #[test]
    fn one_wrong_clock_in_a_group_moves_nothing() {
        let now = Now { boot_ms: 1_000, wall_ms: 1_700_000_000_000 };
        let mut clock = MeshClock::new(now);
        let moved = clock.correct(now, [now.wall_ms + 5, now.wall_ms + 3_600_000]);
        assert_eq!(moved, 5);
        let moved = clock.correct(now, [0, now.wall_ms]);
        assert_eq!(moved, -5);
    }

    #[test]
    fn mesh_time_is_carried_on_the_boot_clock() {
        let now = Now { boot_ms: 1_000, wall_ms: 50_000 };
        let clock = MeshClock::new(now);
        assert_eq!(clock.at(Now { boot_ms: 3_000, wall_ms: 9_000_000 }), 52_000);
    }
}
