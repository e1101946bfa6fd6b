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
