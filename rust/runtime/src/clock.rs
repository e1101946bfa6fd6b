//! The clock: `CLOCK_BOOTTIME`, so that expiry and rekeying go on through a suspend.

use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};
use packet::Instant;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_back() {
        let first = now();

        assert!(first > Instant::ZERO);
        assert!(now() >= first);
    }
}
