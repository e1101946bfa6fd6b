//! The replay window (paper §5.4.6, RFC 6479): which counters were seen.

const WORDS: usize = 128;
/// Bits that are kept.
const BITS: u64 = WORDS as u64 * 64;
/// Counters behind the greatest that are still told apart: one word is always being cleared.
pub(crate) const USABLE: u64 = BITS - 64;

/// The last [`USABLE`] counters of a session, one bit each.
pub(crate) struct Window {
    /// One more than the greatest counter seen.
    next: u64,
    words: [u64; WORDS],
}

impl Window {
    /// A window that has seen every counter below `next`.
    pub(crate) fn from(next: u64) -> Self {
        let mut words = [u64::MAX; WORDS];
        words[(next / 64) as usize % WORDS] = (1 << (next % 64)) - 1;
        Self { next, words }
    }

    /// One more than the greatest counter seen.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Marks `counter` as seen; `false` if it was, or if it lies too far behind to tell.
    ///
    /// Only for counters of messages whose tag is right: anybody else could move the window away.
    pub(crate) fn accept(&mut self, counter: u64) -> bool {
        if counter >= self.next {
            self.advance(counter);
        } else if self.next - counter > USABLE {
            return false;
        }
        let word = &mut self.words[(counter / 64) as usize % WORDS];
        let bit = 1 << (counter % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// Makes `counter` the greatest: every word that lies between holds older counters.
    fn advance(&mut self, counter: u64) {
        let first = match self.next.checked_sub(1) {
            Some(greatest) => greatest / 64 + 1,
            None => 0,
        };
        let last = counter / 64;
        let stale = (last + 1).saturating_sub(first).min(WORDS as u64);
        for word in last + 1 - stale..=last {
            self.words[word as usize % WORDS] = 0;
        }
        self.next = counter.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    /// The same, with all counters that were ever seen.
    struct Naive {
        from: u64,
        seen: BTreeSet<u64>,
    }

    impl Naive {
        fn accept(&mut self, counter: u64) -> bool {
            let greatest = self.seen.last().copied().or_else(|| self.from.checked_sub(1));
            let behind = greatest.is_some_and(|of| counter <= of && of - counter >= USABLE);
            let before = counter < self.from;
            !behind && !before && self.seen.insert(counter)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 300,
            rng_seed: RngSeed::Fixed(6479),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Steps forward and back of all sizes, many of them about the size of a word or the window.
        #[test]
        fn it_agrees_with_a_naive_one(
            from in prop_oneof![Just(0u64), 0u64..20_000, any::<u64>().prop_map(|of| of >> 1)],
            steps in prop::collection::vec(prop_oneof![
                -5i64..6, -70i64..70, -8200i64..8200, -8130i64..-8120, 8120i64..8200, 0i64..40_000,
            ], 1..400),
        ) {
            let mut window = Window::from(from);
            let mut naive = Naive { from, seen: BTreeSet::new() };
            let mut counter = from;
            for step in steps {
                counter = counter.saturating_add_signed(step);
                prop_assert_eq!(window.accept(counter), naive.accept(counter), "{}", counter);
            }
        }
    }

    #[test]
    fn each_counter_is_accepted_once_within_the_window() {
        assert_eq!(USABLE, 8192 - 64, "as many as other programs tell apart");
        let mut window = Window::from(0);
        assert!(window.accept(USABLE - 1));
        assert!(window.accept(0), "{USABLE} counters are told apart");
        assert!(!window.accept(0) && !window.accept(USABLE - 1));
        assert!(window.accept(USABLE));
        assert!(!window.accept(0), "too old now");
        assert!(window.accept(1) && !window.accept(1));
    }

    #[test]
    fn a_leap_forgets_everything_behind_it() {
        let mut window = Window::from(0);
        assert!((0..100).all(|counter| window.accept(counter)));
        assert!(window.accept(1 << 40));
        assert!(!window.accept(99));
        assert!((1..USABLE).all(|back| window.accept((1 << 40) - back)));
        assert!(!window.accept((1 << 40) - USABLE));
    }

    #[test]
    fn a_window_from_elsewhere_starts_at_its_top() {
        let mut window = Window::from(1000);
        assert!((0..1000).all(|counter| !window.accept(counter)));
        assert!(window.accept(1001) && window.accept(1000) && !window.accept(1000));
    }

    #[test]
    fn the_last_counters_do_not_overflow() {
        let mut window = Window::from(0);
        assert!(window.accept(u64::MAX - 1));
        assert!(window.accept(u64::MAX - 2) && !window.accept(u64::MAX - 1));
    }
}
