//! Randomness as an argument: a seed comes in, a stream comes out, and who sees the state later
//! learns nothing of what was drawn before.

use std::fmt;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use zeroize::Zeroizing;

use crate::kdf::{Secret, hash};

/// A ChaCha20 generator that forgets: every draw takes 32 bytes of the key stream as the next key
/// before it gives any away (fast key erasure).
///
/// The same seed gives the same draws, so a simulation can be repeated; `runtime` seeds it from the
/// system.
pub struct Entropy {
    key: Secret,
}

impl Entropy {
    /// A generator from 32 bytes that nobody else knows.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(seed) }
    }

    /// Mixes further bytes in; what was secret stays so even if they are known or chosen by others.
    pub fn reseed(&mut self, seed: &[u8; 32]) {
        self.key = Zeroizing::new(hash(&[b"reseed", &self.key[..], seed]));
    }

    /// A generator of its own, for another part of the program.
    pub fn fork(&mut self) -> Self {
        Self { key: self.draw() }
    }

    /// The next `N` bytes.
    pub fn draw<const N: usize>(&mut self) -> Zeroizing<[u8; N]> {
        let mut stream = ChaCha20::new((&*self.key).into(), &[0; 12].into());
        let mut drawn = Zeroizing::new([0; N]);
        self.key.fill(0);
        stream.apply_keystream(&mut self.key[..]);
        stream.apply_keystream(&mut drawn[..]);
        drawn
    }

    /// A number below `bound`, which must be far below 2^64 for it to be even; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        u64::from_le_bytes(*self.draw()).checked_rem(bound).unwrap_or(0)
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_repeat_with_the_seed_and_with_nothing_else() {
        let (mut a, mut b) = (Entropy::new([1; 32]), Entropy::new([1; 32]));
        let first = a.draw::<32>();
        assert_eq!(first, b.draw::<32>());
        assert_ne!(first, a.draw::<32>());
        assert_ne!(a.draw::<32>(), Entropy::new([2; 32]).draw::<32>());
    }

    #[test]
    fn a_known_state_does_not_give_away_what_was_drawn() {
        let mut entropy = Entropy::new([1; 32]);
        let drawn = entropy.draw::<64>();
        let mut seen = Entropy::new(*entropy.key);
        for _ in 0..100 {
            let later = seen.draw::<64>();
            assert!(later[..32] != drawn[..32] && later[..32] != drawn[32..]);
        }
        assert_ne!(&entropy.key[..], &drawn[..32], "the next key is never part of a draw");
    }

    #[test]
    fn a_reseed_changes_what_follows_and_a_fork_goes_its_own_way() {
        let (mut a, mut b) = (Entropy::new([1; 32]), Entropy::new([1; 32]));
        a.reseed(&[0; 32]);
        assert_ne!(a.draw::<32>(), b.draw::<32>());
        let mut fork = b.fork();
        assert_ne!(fork.draw::<32>(), b.draw::<32>());
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut entropy = Entropy::new([3; 32]);
        assert!((0..1000).all(|_| entropy.below(333) < 333));
        assert_eq!(entropy.below(0), 0);
    }
}
