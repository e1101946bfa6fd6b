//! The dice of one class: one stream per kind of decision, each thrown once per datagram whether the
//! outcome can matter or not. So no setting and no other datagram shifts a decision.

use std::time::Duration;

use packet::Class;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// What is decided about one datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decisions {
    loss: u64,
    duplicate: u64,
    reorder: u64,
    jitter: u64,
}

/// The streams of one class.
#[derive(Debug)]
pub(crate) struct Dice {
    loss: ChaCha8Rng,
    duplicate: ChaCha8Rng,
    reorder: ChaCha8Rng,
    jitter: ChaCha8Rng,
}

impl Dice {
    pub(crate) fn new(seed: u64, class: Class) -> Self {
        let base = match class {
            Class::Control => 0,
            Class::Data => 1 << 8,
        };
        let stream = |kind: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(base + kind);
            rng
        };
        Self { loss: stream(0), duplicate: stream(1), reorder: stream(2), jitter: stream(3) }
    }

    pub(crate) fn throw(&mut self) -> Decisions {
        Decisions {
            loss: self.loss.next_u64(),
            duplicate: self.duplicate.next_u64(),
            reorder: self.reorder.next_u64(),
            jitter: self.jitter.next_u64(),
        }
    }
}

impl Decisions {
    pub(crate) fn is_lost(&self, probability: f64) -> bool {
        happens(self.loss, probability)
    }

    pub(crate) fn is_duplicated(&self, probability: f64) -> bool {
        happens(self.duplicate, probability)
    }

    pub(crate) fn is_reordered(&self, probability: f64) -> bool {
        happens(self.reorder, probability)
    }

    /// Uniform from 0 to `most`, both included.
    pub(crate) fn jitter(&self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        let nanos = (u128::from(self.jitter) * (u128::from(most) + 1)) >> 64;
        Duration::from_nanos(nanos as u64)
    }
}

/// Whether the throw, as a number from 0 up to but not including 1, is below the probability.
fn happens(throw: u64, probability: f64) -> bool {
    const STEPS: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;
    ((throw >> (u64::BITS - f64::MANTISSA_DIGITS)) as f64 / STEPS) < probability
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_and_impossible_are_exact() {
        for throw in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(happens(throw, 1.0) && happens(throw, 2.0));
            assert!(!happens(throw, 0.0) && !happens(throw, -1.0) && !happens(throw, f64::NAN));
        }
        assert!(happens(u64::MAX / 2, 0.5) && !happens(u64::MAX / 2 + 1, 0.5));
    }

    #[test]
    fn jitter_reaches_both_ends() {
        let most = Duration::from_nanos(10);
        let at = |jitter| Decisions { loss: 0, duplicate: 0, reorder: 0, jitter }.jitter(most);
        assert_eq!((at(0), at(u64::MAX)), (Duration::ZERO, most));
        let all = Decisions { loss: 0, duplicate: 0, reorder: 0, jitter: u64::MAX };
        assert_eq!(all.jitter(Duration::MAX), Duration::from_nanos(u64::MAX));
    }
}
