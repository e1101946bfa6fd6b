//! 16 blocks a pass, one in each 32-bit lane of sixteen registers.
// Registers are loaded and stored by pointer; everything else here is safe.
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop, reason = "lanes and limbs have numbers")]

use std::arch::x86_64::*;

use super::{BLOCK, Blocks, CONSTANTS, Lanes, OneTimeKeys, Target};
use crate::secret::Secret;

const LANES: usize = 16;

/// A block of key stream.
#[derive(Clone, Copy)]
#[repr(align(64))]
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn xor(data: &mut [u8], block: &[u8; BLOCK]) {
    let len = data.len().min(BLOCK);
    let mask = u64::MAX >> (BLOCK - len).min(63);
    if len == 0 {
        return;
    }
    // SAFETY: the mask has a bit for each of the first `len` bytes of `data` and for no other; bytes
    // without one are neither read nor written. `block` has 64 bytes.
    unsafe {
        let stream = _mm512_loadu_si512(block.as_ptr().cast());
        let text = _mm512_maskz_loadu_epi8(mask, data.as_ptr().cast());
        let text = _mm512_xor_si512(text, stream);
        _mm512_mask_storeu_epi8(data.as_mut_ptr().cast(), mask, text);
    }
}

/// RFC 8439 §2.1: four quarter rounds, on columns or on diagonals, side by side.
macro_rules! quarters {
    ($x:ident, $(($a:literal, $b:literal, $c:literal, $d:literal)),*) => {
        $($x[$a] = _mm512_add_epi32($x[$a], $x[$b]);)*
        $($x[$d] = _mm512_rol_epi32::<16>(_mm512_xor_si512($x[$d], $x[$a]));)*
        $($x[$c] = _mm512_add_epi32($x[$c], $x[$d]);)*
        $($x[$b] = _mm512_rol_epi32::<12>(_mm512_xor_si512($x[$b], $x[$c]));)*
        $($x[$a] = _mm512_add_epi32($x[$a], $x[$b]);)*
        $($x[$d] = _mm512_rol_epi32::<8>(_mm512_xor_si512($x[$d], $x[$a]));)*
        $($x[$c] = _mm512_add_epi32($x[$c], $x[$d]);)*
        $($x[$b] = _mm512_rol_epi32::<7>(_mm512_xor_si512($x[$b], $x[$c]));)*
    };
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn word(values: &[u32; LANES]) -> __m512i {
    // SAFETY: 16 words are the 64 bytes of the register.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn pass(key: &[u32; 8], lanes: &Lanes<LANES>, stream: &mut Stream) {
    let all = |word: u32| _mm512_set1_epi32(word as i32);
    let first = |i: usize| match i {
        0..4 => all(CONSTANTS[i]),
        4..12 => all(key[i - 4]),
        12 => word(&lanes.counter),
        _ => word(&lanes.nonce[i - 13]),
    };
    let mut x = [_mm512_setzero_si512(); 16];
    for i in 0..16 {
        x[i] = first(i);
    }
    for _ in 0..10 {
        quarters!(x, (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15));
        quarters!(x, (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14));
    }
    for i in 0..16 {
        x[i] = _mm512_add_epi32(x[i], first(i));
    }
    let blocks = transpose(x);
    for (block, bytes) in blocks.iter().zip(stream.iter_mut()) {
        // SAFETY: a block has the 64 bytes of the register, and the alignment is that of `Stream`.
        unsafe { _mm512_store_si512(bytes.0.as_mut_ptr().cast(), *block) };
    }
}

/// From word by word to block by block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn transpose(x: [__m512i; 16]) -> [__m512i; 16] {
    // Four words of four blocks each: quad[g][b] has words 4g to 4g+3 of blocks b, b+4, b+8, b+12.
    let mut quad = [[_mm512_setzero_si512(); 4]; 4];
    for g in 0..4 {
        let low = [
            _mm512_unpacklo_epi32(x[4 * g], x[4 * g + 1]),
            _mm512_unpacklo_epi32(x[4 * g + 2], x[4 * g + 3]),
        ];
        let high = [
            _mm512_unpackhi_epi32(x[4 * g], x[4 * g + 1]),
            _mm512_unpackhi_epi32(x[4 * g + 2], x[4 * g + 3]),
        ];
        quad[g] = [
            _mm512_unpacklo_epi64(low[0], low[1]),
            _mm512_unpackhi_epi64(low[0], low[1]),
            _mm512_unpacklo_epi64(high[0], high[1]),
            _mm512_unpackhi_epi64(high[0], high[1]),
        ];
    }
    let mut blocks = [_mm512_setzero_si512(); 16];
    for b in 0..4 {
        let (front, back) = (
            _mm512_shuffle_i32x4::<0x44>(quad[0][b], quad[1][b]),
            _mm512_shuffle_i32x4::<0x44>(quad[2][b], quad[3][b]),
        );
        blocks[b] = _mm512_shuffle_i32x4::<0x88>(front, back);
        blocks[b + 4] = _mm512_shuffle_i32x4::<0xdd>(front, back);
        let (front, back) = (
            _mm512_shuffle_i32x4::<0xee>(quad[0][b], quad[1][b]),
            _mm512_shuffle_i32x4::<0xee>(quad[2][b], quad[3][b]),
        );
        blocks[b + 8] = _mm512_shuffle_i32x4::<0x88>(front, back);
        blocks[b + 12] = _mm512_shuffle_i32x4::<0xdd>(front, back);
    }
    blocks
}
