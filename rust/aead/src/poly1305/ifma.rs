//! 8 packets in the 64-bit lanes of a register, numbers of 130 bits as limbs of 44, 44 and 42 bits:
//! what `vpmadd52` adds up are the halves of products of 52 bits by 52.
// Registers are loaded and stored by pointer; everything else here is safe.
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop, reason = "lanes and limbs have numbers")]

use std::arch::x86_64::*;

use super::{CLAMP, Span, Tags, extremes};
use crate::chacha20::OneTimeKeys;
use crate::packet::{Packet, TAG};
use crate::secret::Secret;

const LANES: usize = 8;
/// Bytes that are read from a packet at a time, four blocks.
const QUAD: usize = 64;
const BITS44: i64 = (1 << 44) - 1;
const BITS42: i64 = (1 << 42) - 1;

/// One number for each lane, below 2^44, 2^44 + 2^12 and 2^42.
type Limbs = [__m512i; 3];

/// 128 bits of each lane as lower and upper word.
type Words = [__m512i; 2];

/// A factor for each lane, and 20 times its upper two limbs: 2^132 is 20.
#[derive(Clone, Copy)]
struct Factor {
    r: Limbs,
    s: [__m512i; 2],
}

/// A sum of products: their lower 52 bits and those above, by the limb that they belong to.
#[derive(Clone, Copy)]
struct Sum {
    low: Limbs,
    high: Limbs,
}

/// Computes the tag of each of `packets` that `order` names. Neighbours in `order` had better be of
/// about the same length.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma")]
pub(crate) fn tags(
    buffer: &[u8],
    packets: &[Packet],
    order: &[u8],
    keys: &OneTimeKeys,
    tags: &mut Tags,
) {
    for order in order.chunks(LANES) {
        // A lane without a packet does what the last one does, and nobody asks for the result.
        let mut lanes = [0; LANES];
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane = usize::from(order[i.min(order.len() - 1)]);
        }
        let found = hash(buffer, packets, &lanes, keys);
        // Even lanes first, then the odd ones, as `hash` has them.
        for (i, lane) in lanes.iter().enumerate().take(order.len()) {
            tags[*lane] = found[i / 2 + i % 2 * 4];
        }
    }
}

/// The tags of eight packets, those of even lanes first.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma")]
fn hash(
    buffer: &[u8],
    packets: &[Packet],
    lanes: &[usize; LANES],
    keys: &OneTimeKeys,
) -> Secret<[u8; TAG], LANES> {
    let mut rows = [_mm512_setzero_si512(); LANES];
    let mut data = [Span::default(); LANES];
    let mut associated = [Span::default(); LANES];
    for i in 0..LANES {
        rows[i] = row(&keys[lanes[i]]);
        data[i] = Span::data(&packets[lanes[i]]);
        associated[i] = Span::associated(&packets[lanes[i]]);
    }
    let [r, s, _, _] = quad(rows);
    let by = factor(limbs([
        _mm512_and_si512(r[0], _mm512_set1_epi64(CLAMP[0])),
        _mm512_and_si512(r[1], _mm512_set1_epi64(CLAMP[1])),
    ]));
    let mut h = [_mm512_setzero_si512(); 3];
    if associated.iter().any(|span| span.len > 0) {
        h = absorb(buffer, &associated, &by, h);
    }
    h = absorb(buffer, &data, &by, h);
    h = step(h, block([lengths(&associated), lengths(&data)]), &by);
    finish(h, s)
}

/// Takes the blocks of every span into h. Neither lengths nor places are secret.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma")]
fn absorb(buffer: &[u8], spans: &[Span; LANES], by: &Factor, mut h: Limbs) -> Limbs {
    let (least, most) = extremes(spans);
    let whole = least - least % QUAD;
    if whole > 0 {
        let powers = powers(by);
        for at in (0..whole).step_by(QUAD) {
            let mut rows = [_mm512_setzero_si512(); LANES];
            for i in 0..LANES {
                rows[i] = whole_row(&buffer[spans[i].start + at..]);
            }
            h = four_steps(h, quad(rows), &powers);
        }
    }
    for at in (whole..most).step_by(QUAD) {
        let mut rows = [_mm512_setzero_si512(); LANES];
        for i in 0..LANES {
            rows[i] = row(spans[i].part(buffer, at, QUAD));
        }
        for (b, words) in quad(rows).into_iter().enumerate() {
            let mut live = 0;
            for i in 0..LANES {
                live |= u8::from(spans[i].len > at + 16 * b) << i;
            }
            if live == 0 {
                break;
            }
            let next = step(h, block(words), by);
            for l in 0..3 {
                h[l] = _mm512_mask_mov_epi64(h[l], live, next[l]);
            }
        }
    }
    h
}

/// At most 64 bytes, with zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn row(bytes: &[u8]) -> __m512i {
    let len = bytes.len().min(QUAD) as u32;
    let mask = u64::MAX.checked_shr(QUAD as u32 - len).unwrap_or(0);
    // SAFETY: the mask has a bit for each byte of `bytes` and for no other; those without one are not
    // read.
    unsafe { _mm512_maskz_loadu_epi8(mask, bytes.as_ptr().cast()) }
}

/// The first 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn whole_row(bytes: &[u8]) -> __m512i {
    let bytes = &bytes[..QUAD];
    // SAFETY: 64 bytes are as many as the register has.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Four blocks of each of eight lanes, from lane by lane to block by block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn quad(rows: [__m512i; LANES]) -> [Words; 4] {
    let mut low = [_mm512_setzero_si512(); 4];
    let mut high = [_mm512_setzero_si512(); 4];
    for i in 0..4 {
        low[i] = _mm512_unpacklo_epi64(rows[2 * i], rows[2 * i + 1]);
        high[i] = _mm512_unpackhi_epi64(rows[2 * i], rows[2 * i + 1]);
    }
    let (low, high) = (cells(low), cells(high));
    [[low[0], high[0]], [low[1], high[1]], [low[2], high[2]], [low[3], high[3]]]
}

/// The transpose of four by four cells of 128 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn cells(x: [__m512i; 4]) -> [__m512i; 4] {
    let front =
        [_mm512_shuffle_i64x2::<0x44>(x[0], x[1]), _mm512_shuffle_i64x2::<0x44>(x[2], x[3])];
    let back = [_mm512_shuffle_i64x2::<0xee>(x[0], x[1]), _mm512_shuffle_i64x2::<0xee>(x[2], x[3])];
    [
        _mm512_shuffle_i64x2::<0x88>(front[0], front[1]),
        _mm512_shuffle_i64x2::<0xdd>(front[0], front[1]),
        _mm512_shuffle_i64x2::<0x88>(back[0], back[1]),
        _mm512_shuffle_i64x2::<0xdd>(back[0], back[1]),
    ]
}

/// 128 bits as limbs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn limbs([low, high]: Words) -> Limbs {
    let mask = _mm512_set1_epi64(BITS44);
    let middle = _mm512_or_si512(_mm512_srli_epi64::<44>(low), _mm512_slli_epi64::<20>(high));
    [_mm512_and_si512(low, mask), _mm512_and_si512(middle, mask), _mm512_srli_epi64::<24>(high)]
}

/// A block as limbs, with the bit behind it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn block(words: Words) -> Limbs {
    let [low, middle, top] = limbs(words);
    [low, middle, _mm512_or_si512(top, _mm512_set1_epi64(1 << 40))]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn factor(r: Limbs) -> Factor {
    let five = [
        _mm512_add_epi64(r[1], _mm512_slli_epi64::<2>(r[1])),
        _mm512_add_epi64(r[2], _mm512_slli_epi64::<2>(r[2])),
    ];
    Factor { r, s: [_mm512_slli_epi64::<2>(five[0]), _mm512_slli_epi64::<2>(five[1])] }
}

/// r, r², r³ and r⁴.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma")]
fn powers(by: &Factor) -> [Factor; 4] {
    let zero = Sum { low: [_mm512_setzero_si512(); 3], high: [_mm512_setzero_si512(); 3] };
    let square = factor(carry(add_product(zero, by.r, by)));
    let cube = factor(carry(add_product(zero, square.r, by)));
    let fourth = factor(carry(add_product(zero, square.r, &square)));
    [*by, square, cube, fourth]
}

/// Four blocks: (h + m₀) r⁴ + m₁ r³ + m₂ r² + m₃ r, with a single carry.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma")]
fn four_steps(h: Limbs, m: [Words; 4], powers: &[Factor; 4]) -> Limbs {
    let mut sum = Sum { low: [_mm512_setzero_si512(); 3], high: [_mm512_setzero_si512(); 3] };
    // What does not wait for h first.
    for b in 1..4 {
        sum = add_product(sum, block(m[b]), &powers[3 - b]);
    }
    carry(add_product(sum, add(h, block(m[0])), &powers[3]))
}

/// One block: (h + m) r.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma")]
fn step(h: Limbs, m: Limbs, by: &Factor) -> Limbs {
    let zero = Sum { low: [_mm512_setzero_si512(); 3], high: [_mm512_setzero_si512(); 3] };
    carry(add_product(zero, add(h, m), by))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn add(a: Limbs, b: Limbs) -> Limbs {
    [_mm512_add_epi64(a[0], b[0]), _mm512_add_epi64(a[1], b[1]), _mm512_add_epi64(a[2], b[2])]
}

/// Limbs of `a` are below 2^46 and those of the factor below 2^49. So a product is below 2^95: twelve
/// lower halves stay below 2^56, twelve upper ones below 2^47.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma")]
fn add_product(mut sum: Sum, a: Limbs, Factor { r, s }: &Factor) -> Sum {
    let columns = [[r[0], s[1], s[0]], [r[1], r[0], s[1]], [r[2], r[1], r[0]]];
    for l in 0..3 {
        for i in 0..3 {
            sum.low[i] = _mm512_madd52lo_epu64(sum.low[i], a[l], columns[i][l]);
            sum.high[i] = _mm512_madd52hi_epu64(sum.high[i], a[l], columns[i][l]);
        }
    }
    sum
}

/// A sum as limbs again.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn carry(Sum { low, high }: Sum) -> Limbs {
    let (bits44, bits42) = (_mm512_set1_epi64(BITS44), _mm512_set1_epi64(BITS42));
    // Bit 52 of a product is bit 8 of the next limb, and bit 10 of the one that wraps.
    let over0 = _mm512_add_epi64(_mm512_srli_epi64::<44>(low[0]), _mm512_slli_epi64::<8>(high[0]));
    let d1 = _mm512_add_epi64(low[1], over0);
    let over1 = _mm512_add_epi64(_mm512_srli_epi64::<44>(d1), _mm512_slli_epi64::<8>(high[1]));
    let d2 = _mm512_add_epi64(low[2], over1);
    let over2 = _mm512_add_epi64(_mm512_srli_epi64::<42>(d2), _mm512_slli_epi64::<10>(high[2]));
    let five = _mm512_add_epi64(over2, _mm512_slli_epi64::<2>(over2));
    let d0 = _mm512_add_epi64(_mm512_and_si512(low[0], bits44), five);
    let h1 = _mm512_add_epi64(_mm512_and_si512(d1, bits44), _mm512_srli_epi64::<44>(d0));
    [_mm512_and_si512(d0, bits44), h1, _mm512_and_si512(d2, bits42)]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn lengths(spans: &[Span; LANES]) -> __m512i {
    let mut words = [0_u64; LANES];
    for (word, span) in words.iter_mut().zip(spans) {
        *word = span.len as u64;
    }
    // SAFETY: 8 words are the 64 bytes of the register.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// h modulo 2^130 - 5, plus s modulo 2^128: the tags, those of even lanes first.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn finish(h: Limbs, s: Words) -> Secret<[u8; TAG], LANES> {
    let (bits44, bits42) = (_mm512_set1_epi64(BITS44), _mm512_set1_epi64(BITS42));
    let over = |x| _mm512_srli_epi64::<44>(x);
    let rest = |x| _mm512_and_si512(x, bits44);
    // Below 2^130, or that exactly and a little more: then h + 5 reaches bit 130 too.
    let (h1, h2) = (rest(h[1]), _mm512_add_epi64(h[2], over(h[1])));
    let wrap = _mm512_srli_epi64::<42>(h2);
    let h2 = _mm512_and_si512(h2, bits42);
    let h0 = _mm512_add_epi64(h[0], _mm512_add_epi64(wrap, _mm512_slli_epi64::<2>(wrap)));
    let (h0, h1) = (rest(h0), _mm512_add_epi64(h1, over(h0)));
    let (h1, h2) = (rest(h1), _mm512_add_epi64(h2, over(h1)));
    // h + 5 without bit 130 is h less the prime. It is chosen by a mask where it is not negative.
    let g0 = _mm512_add_epi64(h0, _mm512_set1_epi64(5));
    let (g0, g1) = (rest(g0), _mm512_add_epi64(h1, over(g0)));
    let (g1, g2) = (rest(g1), _mm512_add_epi64(h2, over(g1)));
    let reaches = _mm512_cmpgt_epu64_mask(g2, bits42);
    let h0 = _mm512_mask_mov_epi64(h0, reaches, g0);
    let h1 = _mm512_mask_mov_epi64(h1, reaches, g1);
    let h2 = _mm512_mask_mov_epi64(h2, reaches, g2);
    let low = _mm512_or_si512(h0, _mm512_slli_epi64::<44>(h1));
    let high = _mm512_or_si512(_mm512_srli_epi64::<20>(h1), _mm512_slli_epi64::<24>(h2));
    let low = _mm512_add_epi64(low, s[0]);
    let carried = _mm512_cmplt_epu64_mask(low, s[0]);
    let high = _mm512_add_epi64(high, s[1]);
    let high = _mm512_mask_add_epi64(high, carried, high, _mm512_set1_epi64(1));
    let mut tags = Secret::<[u8; TAG], LANES>::new();
    let [even, odd] = [_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high)];
    // SAFETY: eight tags of 16 bytes are the 128 bytes of two registers.
    unsafe {
        let place = tags.as_mut_ptr().cast::<__m512i>();
        _mm512_storeu_si512(place, even);
        _mm512_storeu_si512(place.add(1), odd);
    }
    tags
}
