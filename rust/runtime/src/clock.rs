//! The clock: `CLOCK_BOOTTIME`, so that expiry and rekeying go on through a suspend.

use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};
use packet::Instant;

/// By how much the wall clock has to stand elsewhere than it was told before that counts as a step.
const WALL_STEP: Duration = Duration::from_secs(1);

/// The present instant. Nanoseconds since boot, suspends included.
pub fn now() -> Instant {
    // A kernel without CLOCK_BOOTTIME (before 2.6.39) could not run anything else of this either.
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000
            + u64::try_from(time.tv_nsec()).unwrap_or(0)
    });
    Instant::from_nanos(time)
}

/// Processor time of the calling thread.
pub(crate) fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Time since the Unix epoch by the wall clock; 0 if that stands before it.
pub fn wall() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// By how much the wall clock is ahead of `now`.
pub(crate) fn wall_ahead(now: Instant) -> Duration {
    wall().saturating_sub(now.saturating_duration_since(Instant::ZERO))
}

/// Whether a wall clock that was `told` to be so far ahead, and is `ahead` by that now, was set.
pub(crate) fn was_set(told: Duration, ahead: Duration) -> bool {
    ahead.abs_diff(told) > WALL_STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_is_set_either_way_is_noticed() {
        let told = Duration::from_secs(3_600);

        assert!(was_set(told, told + Duration::from_secs(2)));
        assert!(was_set(told, told - Duration::from_secs(2)), "expiries are told by it, too");
        assert!(!was_set(told, told + Duration::from_millis(900)));
        assert!(!was_set(told, told - Duration::from_millis(900)));
    }

    #[test]
    fn time_does_not_go_back() {
        let first = now();

        assert!(first > Instant::ZERO);
        assert!(now() >= first);
    }
}
