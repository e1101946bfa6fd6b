//! 8 blocks a pass, one in each 32-bit lane of sixteen registers.
// Registers are loaded and stored by pointer; everything else here is safe.
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop, reason = "lanes and limbs have numbers")]

use std::arch::x86_64::*;

use super::{BLOCK, Blocks, CONSTANTS, Lanes, OneTimeKeys, Target};
use crate::secret::Secret;

const LANES: usize = 8;

/// A block of key stream.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Block([u8; BLOCK]);

impl Default for Block {
    fn default() -> Self {
        Self([0; BLOCK])
    }
}

/// The key stream of a pass, block after block.
type Stream = Secret<Block, LANES>;

/// Puts the key stream of `blocks` where it belongs: one-time keys into `keys`, over the data of
/// `buffer` by exclusive or.
#[target_feature(enable = "avx2")]
pub(crate) fn apply(
    key: &[u32; 8],
    mut blocks: Blocks<'_>,
    buffer: &mut [u8],
    keys: &mut OneTimeKeys,
) {
    let (mut lanes, mut next) = (&mut Lanes::<LANES>::new(), &mut Lanes::<LANES>::new());
    let mut stream = Stream::new();
    let mut used = blocks.fill(lanes);
    while used > 0 {
        // Lanes are written word by word and read as registers, which is slow until the words have
        // left the store buffer: a whole pass before they are read they have.
        let used_next = blocks.fill(next);
        pass(key, lanes, &mut stream);
        for (block, target) in stream.iter().zip(&lanes.target).take(used) {
            match *target {
                Target::Key(packet) => keys[packet].copy_from_slice(&block.0[..32]),
                Target::Data { at, len } => xor(&mut buffer[at..at + len], &block.0),
            }
        }
        std::mem::swap(&mut lanes, &mut next);
        used = used_next;
    }
}

/// `data`, at most a block, by exclusive or with as many bytes of `block`.
#[inline]
#[target_feature(enable = "avx2")]
fn xor(data: &mut [u8], block: &[u8; BLOCK]) {
    if let Ok(data) = <&mut [u8; BLOCK]>::try_from(&mut *data) {
        for half in [0, 32] {
            // SAFETY: both arrays have 64 bytes, of which these are the 32 from `half`.
            unsafe {
                let text = data.as_mut_ptr().add(half).cast::<__m256i>();
                let stream = _mm256_loadu_si256(block.as_ptr().add(half).cast());
                _mm256_storeu_si256(text, _mm256_xor_si256(_mm256_loadu_si256(text), stream));
            }
        }
        return;
    }
    for (byte, stream) in data.iter_mut().zip(block) {
        *byte ^= stream;
    }
}

/// Rotation by a number of whole bytes is a shuffle of bytes, any other two shifts.
macro_rules! rotate {
    ($x:expr, bytes $by:ident) => {
        _mm256_shuffle_epi8($x, $by)
    };
    ($x:expr, $left:literal, $right:literal) => {{
        let x = $x;
        _mm256_or_si256(_mm256_slli_epi32::<$left>(x), _mm256_srli_epi32::<$right>(x))
    }};
}

/// RFC 8439 §2.1: four quarter rounds, on columns or on diagonals, side by side.
macro_rules! quarters {
    ($x:ident, $by16:ident, $by8:ident, $(($a:literal, $b:literal, $c:literal, $d:literal)),*) => {
        $($x[$a] = _mm256_add_epi32($x[$a], $x[$b]);)*
        $($x[$d] = rotate!(_mm256_xor_si256($x[$d], $x[$a]), bytes $by16);)*
        $($x[$c] = _mm256_add_epi32($x[$c], $x[$d]);)*
        $($x[$b] = rotate!(_mm256_xor_si256($x[$b], $x[$c]), 12, 20);)*
        $($x[$a] = _mm256_add_epi32($x[$a], $x[$b]);)*
        $($x[$d] = rotate!(_mm256_xor_si256($x[$d], $x[$a]), bytes $by8);)*
        $($x[$c] = _mm256_add_epi32($x[$c], $x[$d]);)*
        $($x[$b] = rotate!(_mm256_xor_si256($x[$b], $x[$c]), 7, 25);)*
    };
}

#[inline]
#[target_feature(enable = "avx2")]
fn word(values: &[u32; LANES]) -> __m256i {
    // SAFETY: 8 words are the 32 bytes of the register.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn pass(key: &[u32; 8], lanes: &Lanes<LANES>, stream: &mut Stream) {
    let by16 = _mm256_set_epi8(
        13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2, 13, 12, 15, 14, 9, 8, 11, 10, 5, 4,
        7, 6, 1, 0, 3, 2,
    );
    let by8 = _mm256_set_epi8(
        14, 13, 12, 15, 10, 9, 8, 11, 6, 5, 4, 7, 2, 1, 0, 3, 14, 13, 12, 15, 10, 9, 8, 11, 6, 5,
        4, 7, 2, 1, 0, 3,
    );
    let all = |word: u32| _mm256_set1_epi32(word as i32);
    let first = |i: usize| match i {
        0..4 => all(CONSTANTS[i]),
        4..12 => all(key[i - 4]),
        12 => word(&lanes.counter),
        _ => word(&lanes.nonce[i - 13]),
    };
    let mut x = [_mm256_setzero_si256(); 16];
    for i in 0..16 {
        x[i] = first(i);
    }
    for _ in 0..10 {
        quarters!(x, by16, by8, (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15));
        quarters!(x, by16, by8, (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14));
    }
    for i in 0..16 {
        x[i] = _mm256_add_epi32(x[i], first(i));
    }
    write_blocks(&x, stream);
}

/// From word by word to block by block.
#[inline]
#[target_feature(enable = "avx2")]
fn write_blocks(x: &[__m256i; 16], stream: &mut Stream) {
    for half in 0..2 {
        // Four words of two blocks each: quad[g][b] has four words of blocks b and b + 4.
        let mut quad = [[_mm256_setzero_si256(); 4]; 2];
        for g in 0..2 {
            let from = 8 * half + 4 * g;
            let (low, high) = (
                _mm256_unpacklo_epi32(x[from], x[from + 1]),
                _mm256_unpackhi_epi32(x[from], x[from + 1]),
            );
            let (low2, high2) = (
                _mm256_unpacklo_epi32(x[from + 2], x[from + 3]),
                _mm256_unpackhi_epi32(x[from + 2], x[from + 3]),
            );
            quad[g] = [
                _mm256_unpacklo_epi64(low, low2),
                _mm256_unpackhi_epi64(low, low2),
                _mm256_unpacklo_epi64(high, high2),
                _mm256_unpackhi_epi64(high, high2),
            ];
        }
        for b in 0..4 {
            let front = _mm256_permute2x128_si256::<0x20>(quad[0][b], quad[1][b]);
            let back = _mm256_permute2x128_si256::<0x31>(quad[0][b], quad[1][b]);
            // SAFETY: 32 bytes from the begin or the middle of a block of 64, aligned as `Stream`.
            unsafe {
                _mm256_store_si256(stream[b].0.as_mut_ptr().add(32 * half).cast(), front);
                _mm256_store_si256(stream[b + 4].0.as_mut_ptr().add(32 * half).cast(), back);
            }
        }
    }
}
