//! The table's lease.

/// Until when a table may be believed, on CLOCK_MONOTONIC, in eighths of a second since boot.
///
/// The word shared with readers has 32 bits, because a read-only mapping allows no wider atomic load everywhere.
/// In eighths of a second it lasts for 17 years of uptime without ever wrapping; in milliseconds it would wrap after
/// 49 days, and a table left by a dead daemon would come back to life.
///
/// CLOCK_MONOTONIC starts anew at a reboot, so a table must lie on a file system that does not outlive one, such as
/// `/run`. As a second guard a deadline further away than [`MAX_LEASE`](Self::MAX_LEASE) counts as past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(u32);

impl Deadline {
    /// Eighths in a second.
    pub const TICKS_PER_SECOND: u32 = 8;
    /// The longest lease that is believed: one hour, in eighths of a second.
    pub const MAX_LEASE: u32 = 3600 * Self::TICKS_PER_SECOND;
    /// No lease: for tables that no daemon keeps up, such as those compiled from a hosts file.
    pub const NEVER: Self = Self(u32::MAX);
    /// Long past.
    pub const PAST: Self = Self(0);

    /// The deadline at this CLOCK_MONOTONIC time, rounded down to an eighth of a second. Times out of range become
    /// [`PAST`](Self::PAST) or the last deadline there is.
    #[inline]
    pub fn at(seconds: i64, nanoseconds: i64) -> Self {
        let Ok(seconds) = u32::try_from(seconds) else {
            return if seconds < 0 { Self::PAST } else { Self(u32::MAX.wrapping_sub(1)) };
        };
        // 125,000,000 ns are one eighth; a nanosecond field outside 0..1e9 does not come from a clock.
        let eighths = u32::try_from(nanoseconds).unwrap_or(0).wrapping_div(125_000_000);
        let ticks = seconds.saturating_mul(Self::TICKS_PER_SECOND).saturating_add(eighths);
        Self(ticks.min(u32::MAX.wrapping_sub(1)))
    }

    /// The word as it lies in the file.
    pub const fn to_word(self) -> u32 {
        self.0
    }

    /// From the word in the file.
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// Whether a table with this deadline may be believed at `now`.
    #[inline]
    pub fn is_ahead_of(self, now: Self) -> bool {
        // One comparison for "not past" and "not absurdly far".
        self.0.wrapping_sub(now.0).wrapping_sub(1) < Self::MAX_LEASE || self.0 == u32::MAX
    }
}

#[cfg(feature = "std")]
impl Deadline {
    /// The current CLOCK_MONOTONIC time as a deadline that passes now.
    pub fn now() -> Self {
        // CLOCK_MONOTONIC always exists on Linux; were it to fail, the table would be past its lease.
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
            .map_or(Self::PAST, |time| Self::at(time.tv_sec(), time.tv_nsec()))
    }

    /// A lease of this length from now, rounded up to the next eighth of a second, so that it is never shorter.
    pub fn after(lease: std::time::Duration) -> Self {
        let ticks = lease.as_millis().div_ceil(125).saturating_add(1);
        let ticks = u32::try_from(ticks).unwrap_or(Self::MAX_LEASE).min(Self::MAX_LEASE);
        Self(Self::now().0.saturating_add(ticks).min(u32::MAX.wrapping_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::Deadline;

    #[test]
    fn a_deadline_is_ahead_until_it_is_reached() {
        let now = Deadline::at(100, 500_000_000);
        assert_eq!(now.to_word(), 804);
        assert!(!Deadline::at(100, 500_000_000).is_ahead_of(now), "the deadline itself is past");
        assert!(Deadline::at(100, 625_000_000).is_ahead_of(now));
        assert!(!Deadline::at(99, 0).is_ahead_of(now));
        assert!(!Deadline::PAST.is_ahead_of(now));
        assert!(Deadline::NEVER.is_ahead_of(now));
    }

    #[test]
    fn a_deadline_beyond_the_longest_lease_counts_as_past() {
        let now = Deadline::at(0, 0);
        assert!(Deadline::at(3600, 0).is_ahead_of(now));
        assert!(!Deadline::at(3600, 125_000_000).is_ahead_of(now), "left over from before a reboot");
    }

    #[test]
    fn seventeen_years_of_uptime_do_not_wrap() {
        let late = Deadline::at(17 * 365 * 86_400, 0);
        assert!(!Deadline::at(1000, 0).is_ahead_of(late));
        assert_ne!(Deadline::at(i64::MAX, 0), Deadline::NEVER);
        assert_eq!(Deadline::at(-1, 0), Deadline::PAST);
    }
}
