//! The limit on ICMP errors sent (RFC 4443 §2.4(f), RFC 1812 §4.3.2.8).

use crate::Instant;

/// Level that one token is worth, so that rates need no division.
const TOKEN: u64 = 1_000_000_000;

/// A token bucket: `burst` at once, `per_second` in the long run, exact to the nanosecond.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    per_second: u64,
    capacity: u64,
    level: u64,
    updated: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let capacity = u64::from(burst) * TOKEN;
        Self { per_second: per_second.into(), capacity, level: capacity, updated: Instant::ZERO }
    }

    /// Takes one token if there is one. A clock that goes back adds nothing.
    pub fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.as_nanos().saturating_sub(self.updated.as_nanos());
        let gained = elapsed.saturating_mul(self.per_second);
        self.level = self.level.saturating_add(gained).min(self.capacity);
        self.updated = self.updated.max(now);
        let granted = self.level >= TOKEN;
        if granted {
            self.level -= TOKEN;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut bucket = TokenBucket::new(3, 5);
        let start = Instant::from_nanos(1_000);
        assert_eq!((0..10).filter(|_| bucket.take(start)).count(), 5);
        assert!(!bucket.take(start + Duration::from_nanos(333_333_333)));
        assert!(bucket.take(start + Duration::from_nanos(333_333_334)));
        let mut granted = 0;
        for tenth in 0..1000u64 {
            let now = start + Duration::from_millis(1000 + tenth * 100);
            granted += u32::from(bucket.take(now));
        }
        assert_eq!(granted, 301, "100.9 s at 3 a second, but for the one already taken");
    }

    #[test]
    fn neither_a_clock_that_goes_back_nor_zeros_give_tokens() {
        let mut bucket = TokenBucket::new(1000, 1);
        let late = Instant::from_nanos(1 << 62);
        assert!(bucket.take(late));
        assert!(!bucket.take(Instant::ZERO));
        assert!(!bucket.take(late));
        assert!(!TokenBucket::new(u32::MAX, 0).take(late));
        let mut once = TokenBucket::new(0, 1);
        assert!(once.take(late) && !once.take(Instant::MAX));
    }
}
