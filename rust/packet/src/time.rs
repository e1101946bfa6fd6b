//! The clock's type. Owns nothing that reads a clock: `runtime` feeds CLOCK_BOOTTIME, a simulation
//! its virtual time.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Nanoseconds on the caller's clock (CLOCK_BOOTTIME in `runtime`, virtual in `simulation`).
///
/// All arithmetic saturates: a far-away deadline is the last instant, never a wrapped one.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    /// The beginning of the clock.
    pub const ZERO: Self = Self(0);
    /// The last instant the clock can tell, 584 years after [`Self::ZERO`].
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after [`Self::ZERO`].
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since [`Self::ZERO`].
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Nanoseconds of a duration, at most what the clock can tell.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let second = Duration::from_secs(1);
        assert_eq!(Instant::MAX + second, Instant::MAX);
        assert_eq!(Instant::ZERO - second, Instant::ZERO);
        assert_eq!(Instant::ZERO - Instant::MAX, Duration::ZERO);
        assert_eq!(Instant::ZERO + Duration::MAX, Instant::MAX);
    }

    #[test]
    fn difference_undoes_addition() {
        let start = Instant::from_nanos(7);
        let mut later = start;
        later += Duration::from_nanos(5);
        assert_eq!(later - start, Duration::from_nanos(5));
        assert_eq!(later.as_nanos(), 12);
    }
}
