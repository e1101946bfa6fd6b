//! The seeded hash of all indexes.

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

/// Hashers that differ with the seed. The seed also makes the constants of the multiplications, which
/// would otherwise be known to whoever chooses addresses and ports.
pub(crate) struct Seeded {
    seed: u64,
    shared: Box<SharedSeed>,
}

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, shared: Box::new(SharedSeed::from_u64(seed)) }
    }

    /// A hasher for one kind of key; kinds have different `domain`s.
    #[inline]
    pub(crate) fn hasher(&self, domain: u64) -> FoldHasher<'_> {
        FoldHasher::with_seed(self.seed ^ domain, &self.shared)
    }
}
