//! TAI64N time stamps of initiations (paper §5.1): a peer accepts only greater ones than before.

use std::time::Duration;

use packet::Instant;

/// The steps of a stamp, about 17 ms: finer ones would tell others what the machine does.
const STEP: u32 = 1 << 24;
const SECOND: u32 = 1_000_000_000;
/// TAI64 label of the Unix epoch, with the ten seconds that TAI was ahead in 1970.
const EPOCH: u64 = (1 << 62) + 10;

/// Twelve bytes that order as time does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(pub(crate) [u8; 12]);

impl Timestamp {
    fn new(seconds: u64, nanos: u32) -> Self {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&seconds.to_be_bytes());
        bytes[8..].copy_from_slice(&nanos.to_be_bytes());
        Self(bytes)
    }

    /// The next stamp after this one.
    fn next(self) -> Self {
        let [a, b, c, d, e, f, g, h, nanos @ ..] = self.0;
        let seconds = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let nanos = (u32::from_be_bytes(nanos) & !(STEP - 1)).saturating_add(STEP);
        if nanos < SECOND {
            Self::new(seconds, nanos)
        } else {
            Self::new(seconds.saturating_add(1), 0)
        }
    }
}

/// Wall time, read once and carried on by the caller's clock: steps of the wall clock do not matter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    wall: Duration,
    at: Instant,
}

impl WallClock {
    pub(crate) fn new(wall: Duration, now: Instant) -> Self {
        Self { wall, at: now }
    }

    /// Follows the wall clock forward; what would lead back is ignored.
    pub(crate) fn adjust(&mut self, wall: Duration, now: Instant) {
        if wall > self.time(now) {
            *self = Self { wall, at: now };
        }
    }

    fn time(&self, now: Instant) -> Duration {
        self.wall.saturating_add(now - self.at)
    }

    /// The stamp of `now`, or the next after `last` if that is not earlier.
    pub(crate) fn stamp(&self, now: Instant, last: Timestamp) -> Timestamp {
        let time = self.time(now);
        let nanos = time.subsec_nanos() & !(STEP - 1);
        let stamp = Timestamp::new(EPOCH.saturating_add(time.as_secs()), nanos);
        if stamp > last { stamp } else { last.next() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn the_epoch_is_two_to_the_62_and_ten() {
        let clock = WallClock::new(Duration::ZERO, Instant::ZERO);
        let stamp = clock.stamp(Instant::ZERO, Timestamp::default());
        assert_eq!(stamp.0, [0x40, 0, 0, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0]);
        let later = clock.stamp(Instant::from_nanos(1_600_000_000), stamp);
        assert_eq!(later.0, [0x40, 0, 0, 0, 0, 0, 0, 0x0b, 0x23, 0, 0, 0]);
    }

    #[test]
    fn stamps_rise_strictly_also_within_one_step_and_over_a_second() {
        let clock = WallClock::new(HOUR, Instant::ZERO);
        let mut last = Timestamp::default();
        for _ in 0..200 {
            let next = clock.stamp(Instant::ZERO, last);
            assert!(next > last);
            last = next;
        }
    }

    #[test]
    fn the_wall_clock_is_followed_forward_only() {
        let mut clock = WallClock::new(HOUR, Instant::ZERO);
        let before = clock.stamp(at(10), Timestamp::default());
        clock.adjust(Duration::ZERO, at(10));
        assert!(clock.stamp(at(11), before) > before);
        assert_eq!(clock.time(at(10)), HOUR + Duration::from_secs(10));
        clock.adjust(HOUR * 2, at(10));
        assert_eq!(clock.time(at(11)), HOUR * 2 + Duration::from_secs(1));
    }

    #[test]
    fn a_clock_at_its_end_does_not_overflow() {
        let clock = WallClock::new(Duration::MAX, Instant::ZERO);
        let stamp = clock.stamp(Instant::MAX, Timestamp([255; 12]));
        assert!(stamp >= Timestamp::new(u64::MAX, 0));
    }
}
