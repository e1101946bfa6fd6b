//! 4 packets in the 64-bit lanes of a register, numbers of 130 bits as five limbs of 26 bits: what
//! `vpmuludq` multiplies are 32 bits by 32.
// Registers are loaded and stored by pointer; everything else here is safe.
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop, reason = "lanes and limbs have numbers")]

use std::arch::x86_64::*;

use super::{CLAMP, Span, Tags, extremes};
use crate::chacha20::OneTimeKeys;
use crate::packet::{Packet, TAG};
use crate::secret::Secret;

const LANES: usize = 4;
/// Bytes that are read from a packet at a time, two blocks.
const PAIR: usize = 32;
const BITS: i64 = (1 << 26) - 1;

/// One number for each lane, the second and the fifth limb a little above 2^26.
type Limbs = [__m256i; 5];

/// 128 bits of each lane as lower and upper word.
type Words = [__m256i; 2];

/// A factor for each lane, and 5 times its upper four limbs: 2^130 is 5.
#[derive(Clone, Copy)]
struct Factor {
    r: Limbs,
    s: [__m256i; 4],
}

/// Computes the tag of each of `packets` that `order` names. Neighbours in `order` had better be of
/// about the same length.
#[target_feature(enable = "avx2")]
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
            tags[*lane] = found[i / 2 + i % 2 * 2];
        }
    }
}

/// The tags of four packets, those of even lanes first.
#[inline]
#[target_feature(enable = "avx2")]
fn hash(
    buffer: &[u8],
    packets: &[Packet],
    lanes: &[usize; LANES],
    keys: &OneTimeKeys,
) -> Secret<[u8; TAG], LANES> {
    let mut rows = [_mm256_setzero_si256(); LANES];
    let mut data = [Span::default(); LANES];
    let mut associated = [Span::default(); LANES];
    for i in 0..LANES {
        rows[i] = row(&keys[lanes[i]]);
        data[i] = Span::data(&packets[lanes[i]]);
        associated[i] = Span::associated(&packets[lanes[i]]);
    }
    let [r, s] = pair(rows);
    let by = factor(limbs([
        _mm256_and_si256(r[0], _mm256_set1_epi64x(CLAMP[0])),
        _mm256_and_si256(r[1], _mm256_set1_epi64x(CLAMP[1])),
    ]));
    let mut h = [_mm256_setzero_si256(); 5];
    if associated.iter().any(|span| span.len > 0) {
        h = absorb(buffer, &associated, &by, h);
    }
    h = absorb(buffer, &data, &by, h);
    h = step(h, block([lengths(&associated), lengths(&data)]), &by);
    finish(h, s)
}

/// Takes the blocks of every span into h. Neither lengths nor places are secret.
#[inline]
#[target_feature(enable = "avx2")]
fn absorb(buffer: &[u8], spans: &[Span; LANES], by: &Factor, mut h: Limbs) -> Limbs {
    let (least, most) = extremes(spans);
    let whole = least - least % PAIR;
    if whole > 0 {
        let square = factor(carry(product(by.r, by)));
        for at in (0..whole).step_by(PAIR) {
            let mut rows = [_mm256_setzero_si256(); LANES];
            for i in 0..LANES {
                rows[i] = row(&buffer[spans[i].start + at..][..PAIR]);
            }
            h = two_steps(h, pair(rows), by, &square);
        }
    }
    for at in (whole..most).step_by(PAIR) {
        let mut rows = [_mm256_setzero_si256(); LANES];
        for i in 0..LANES {
            rows[i] = row(spans[i].part(buffer, at, PAIR));
        }
        for (b, words) in pair(rows).into_iter().enumerate() {
            let ends = _mm256_set1_epi64x((at + 16 * b) as i64);
            let live = _mm256_cmpgt_epi64(lengths(spans), ends);
            let next = step(h, block(words), by);
            for l in 0..5 {
                h[l] = _mm256_blendv_epi8(h[l], next[l], live);
            }
        }
    }
    h
}

/// At most 32 bytes, with zeros behind them.
#[inline]
#[target_feature(enable = "avx2")]
fn row(bytes: &[u8]) -> __m256i {
    let mut padded = [0; PAIR];
    let whole = bytes.first_chunk::<PAIR>().unwrap_or_else(|| {
        padded[..bytes.len()].copy_from_slice(bytes);
        &padded
    });
    // SAFETY: an array of 32 bytes is as large as the register.
    unsafe { _mm256_loadu_si256(whole.as_ptr().cast()) }
}

/// Two blocks of each of four lanes, from lane by lane to block by block.
#[inline]
#[target_feature(enable = "avx2")]
fn pair(rows: [__m256i; LANES]) -> [Words; 2] {
    let low = [_mm256_unpacklo_epi64(rows[0], rows[1]), _mm256_unpacklo_epi64(rows[2], rows[3])];
    let high = [_mm256_unpackhi_epi64(rows[0], rows[1]), _mm256_unpackhi_epi64(rows[2], rows[3])];
    [
        [
            _mm256_permute2x128_si256::<0x20>(low[0], low[1]),
            _mm256_permute2x128_si256::<0x20>(high[0], high[1]),
        ],
        [
            _mm256_permute2x128_si256::<0x31>(low[0], low[1]),
            _mm256_permute2x128_si256::<0x31>(high[0], high[1]),
        ],
    ]
}

/// 128 bits as limbs.
#[inline]
#[target_feature(enable = "avx2")]
fn limbs([low, high]: Words) -> Limbs {
    let mask = _mm256_set1_epi64x(BITS);
    let middle = _mm256_or_si256(_mm256_srli_epi64::<52>(low), _mm256_slli_epi64::<12>(high));
    [
        _mm256_and_si256(low, mask),
        _mm256_and_si256(_mm256_srli_epi64::<26>(low), mask),
        _mm256_and_si256(middle, mask),
        _mm256_and_si256(_mm256_srli_epi64::<14>(high), mask),
        _mm256_srli_epi64::<40>(high),
    ]
}

/// A block as limbs, with the bit behind it.
#[inline]
#[target_feature(enable = "avx2")]
fn block(words: Words) -> Limbs {
    let [a, b, c, d, e] = limbs(words);
    [a, b, c, d, _mm256_or_si256(e, _mm256_set1_epi64x(1 << 24))]
}

#[inline]
#[target_feature(enable = "avx2")]
fn factor(r: Limbs) -> Factor {
    let five = |x| _mm256_add_epi64(x, _mm256_slli_epi64::<2>(x));
    Factor { r, s: [five(r[1]), five(r[2]), five(r[3]), five(r[4])] }
}

/// Two blocks: (h + m₀) r² + m₁ r, with a single carry.
#[inline]
#[target_feature(enable = "avx2")]
fn two_steps(h: Limbs, m: [Words; 2], by: &Factor, square: &Factor) -> Limbs {
    let second = product(block(m[1]), by);
    carry(add(product(add(h, block(m[0])), square), second))
}

/// One block: (h + m) r.
#[inline]
#[target_feature(enable = "avx2")]
fn step(h: Limbs, m: Limbs, by: &Factor) -> Limbs {
    carry(product(add(h, m), by))
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: Limbs, b: Limbs) -> Limbs {
    [
        _mm256_add_epi64(a[0], b[0]),
        _mm256_add_epi64(a[1], b[1]),
        _mm256_add_epi64(a[2], b[2]),
        _mm256_add_epi64(a[3], b[3]),
        _mm256_add_epi64(a[4], b[4]),
    ]
}

/// Limbs of `a` are below 2^28 and those of the factor below 2^29, so that ten products stay below
/// 2^61.
#[inline]
#[target_feature(enable = "avx2")]
fn product(a: Limbs, Factor { r, s }: &Factor) -> Limbs {
    let columns = [
        [r[0], s[3], s[2], s[1], s[0]],
        [r[1], r[0], s[3], s[2], s[1]],
        [r[2], r[1], r[0], s[3], s[2]],
        [r[3], r[2], r[1], r[0], s[3]],
        [r[4], r[3], r[2], r[1], r[0]],
    ];
    let mut sum = [_mm256_setzero_si256(); 5];
    for i in 0..5 {
        sum[i] = _mm256_mul_epu32(a[0], columns[i][0]);
        for l in 1..5 {
            sum[i] = _mm256_add_epi64(sum[i], _mm256_mul_epu32(a[l], columns[i][l]));
        }
    }
    sum
}

/// Sums of products, as limbs again: two chains of carries at once.
#[inline]
#[target_feature(enable = "avx2")]
fn carry([d0, d1, d2, d3, d4]: Limbs) -> Limbs {
    let mask = _mm256_set1_epi64x(BITS);
    let over = |x| _mm256_srli_epi64::<26>(x);
    let rest = |x| _mm256_and_si256(x, mask);
    let (d1, d4) = (_mm256_add_epi64(d1, over(d0)), _mm256_add_epi64(d4, over(d3)));
    let (d0, d3) = (rest(d0), rest(d3));
    let wrap = over(d4);
    let five = _mm256_add_epi64(wrap, _mm256_slli_epi64::<2>(wrap));
    let (d2, d0) = (_mm256_add_epi64(d2, over(d1)), _mm256_add_epi64(d0, five));
    let (d1, d4) = (rest(d1), rest(d4));
    let (d3, d1) = (_mm256_add_epi64(d3, over(d2)), _mm256_add_epi64(d1, over(d0)));
    let (d2, d0) = (rest(d2), rest(d0));
    let d4 = _mm256_add_epi64(d4, over(d3));
    [d0, d1, d2, rest(d3), d4]
}

#[inline]
#[target_feature(enable = "avx2")]
fn lengths(spans: &[Span; LANES]) -> __m256i {
    let [a, b, c, d] = spans;
    _mm256_set_epi64x(d.len as i64, c.len as i64, b.len as i64, a.len as i64)
}

/// Carries from limb to limb, once around and to the end; the last limb keeps what is above.
#[inline]
#[target_feature(enable = "avx2")]
fn propagate(mut h: Limbs) -> Limbs {
    for l in 0..4 {
        h[l + 1] = _mm256_add_epi64(h[l + 1], _mm256_srli_epi64::<26>(h[l]));
        h[l] = _mm256_and_si256(h[l], _mm256_set1_epi64x(BITS));
    }
    h
}

/// h modulo 2^130 - 5, plus s modulo 2^128: the tags, those of even lanes first.
#[inline]
#[target_feature(enable = "avx2")]
fn finish(h: Limbs, s: Words) -> Secret<[u8; TAG], LANES> {
    // Below 2^130, or that exactly and a little more: then h + 5 reaches bit 130 too.
    let mut h = propagate(h);
    let wrap = _mm256_srli_epi64::<26>(h[4]);
    h[4] = _mm256_and_si256(h[4], _mm256_set1_epi64x(BITS));
    h[0] = _mm256_add_epi64(h[0], _mm256_add_epi64(wrap, _mm256_slli_epi64::<2>(wrap)));
    let h = propagate(h);
    // h + 5 without bit 130 is h less the prime. It is chosen by a mask where it is not negative.
    let mut g = h;
    g[0] = _mm256_add_epi64(g[0], _mm256_set1_epi64x(5));
    let g = propagate(g);
    let reaches = _mm256_cmpgt_epi64(g[4], _mm256_set1_epi64x(BITS));
    let mut sum = limbs(s);
    for l in 0..5 {
        sum[l] = _mm256_add_epi64(sum[l], _mm256_blendv_epi8(h[l], g[l], reaches));
    }
    let [a, b, c, d, e] = propagate(sum);
    let low =
        _mm256_or_si256(_mm256_or_si256(a, _mm256_slli_epi64::<26>(b)), _mm256_slli_epi64::<52>(c));
    let high = _mm256_or_si256(
        _mm256_or_si256(_mm256_srli_epi64::<12>(c), _mm256_slli_epi64::<14>(d)),
        _mm256_slli_epi64::<40>(e),
    );
    let mut tags = Secret::<[u8; TAG], LANES>::new();
    let [even, odd] = [_mm256_unpacklo_epi64(low, high), _mm256_unpackhi_epi64(low, high)];
    // SAFETY: four tags of 16 bytes are the 64 bytes of two registers.
    unsafe {
        let place = tags.as_mut_ptr().cast::<__m256i>();
        _mm256_storeu_si256(place, even);
        _mm256_storeu_si256(place.add(1), odd);
    }
    tags
}
