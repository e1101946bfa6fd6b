//! What the public calls do not reach: nonces of 96 bits, associated data, one-time keys, and the two
//! halves of opening apart.

mod constant_time;
mod edges;
mod registers;
mod vectors;

use crate::backend::{Kind, Vectored};

/// Every vectored implementation of this processor.
fn vectored() -> impl Iterator<Item = Vectored> {
    [Kind::Avx512Ifma, Kind::Avx512, Kind::Avx2].into_iter().filter_map(Vectored::detect)
}

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
