//! The seeds of the scenarios: fixed, so that nothing is left to chance.

/// Each scenario runs once per seed.
pub(crate) const SEEDS: [u64; 3] = [1, 20_261, 0x5eed_0bad_cafe];
