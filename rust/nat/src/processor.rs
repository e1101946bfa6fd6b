//! Two things that processors do and the language has no word for: fetching memory before it is
//! needed, and comparing many small numbers at once.

#![allow(
    unsafe_code,
    reason = "instructions are only to be had so; each has a plain form beside it"
)]

/// Begins to fetch the cache line of `of`, and goes on without it.
#[inline]
pub(crate) fn prefetch<T>(of: &T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: it neither reads nor writes as far as a program can tell, whatever the address; and
        // every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(of).cast()) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = of;
}

/// Which of the numbers have the highest byte of `sought`, a bit for each.
#[inline]
pub(crate) fn with_highest_byte(numbers: &[u32; 16], sought: u32) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has SSE2.
    return unsafe { x86_64::with_highest_byte(numbers, sought) };
    #[cfg(not(target_arch = "x86_64"))]
    one_by_one(numbers, sought)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn one_by_one(numbers: &[u32; 16], sought: u32) -> u32 {
    let same = |number: &u32| u32::from(number >> 24 == sought >> 24);
    numbers.iter().enumerate().fold(0, |found, (at, number)| found | same(number) << at)
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::{
        __m128i, _mm_and_si128, _mm_cmpeq_epi32, _mm_movemask_epi8, _mm_packs_epi16,
        _mm_packs_epi32, _mm_set1_epi32, _mm_setr_epi32,
    };

    const HIGHEST: i32 = 0xFF00_0000_u32 as i32;

    /// The compiler makes twenty instructions of these and sixty of a loop.
    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn with_highest_byte(numbers: &[u32; 16], sought: u32) -> u32 {
        let [a, b, c, d] = *numbers.as_chunks::<4>().0.as_array().unwrap_or(&[[0; 4]; 4]);
        let sought = _mm_set1_epi32(sought as i32 & HIGHEST);
        let low = _mm_packs_epi32(same(a, sought), same(b, sought));
        let high = _mm_packs_epi32(same(c, sought), same(d, sought));
        _mm_movemask_epi8(_mm_packs_epi16(low, high)) as u32
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn same(four: [u32; 4], sought: __m128i) -> __m128i {
        let [a, b, c, d] = four.map(|number| number as i32);
        let highest = _mm_and_si128(_mm_setr_epi32(a, b, c, d), _mm_set1_epi32(HIGHEST));
        _mm_cmpeq_epi32(highest, sought)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_highest_byte_wherever_they_stand() {
        for at in 0..16 {
            for sought in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut numbers: [u32; 16] = std::array::from_fn(|i| (i as u32 * 16) << 24 | 7);
                (numbers[at], numbers[(at + 5) % 16]) = (sought << 24, sought << 24 | 0xFF_FFFF);
                let found = with_highest_byte(&numbers, sought << 24 | 0x12_3456);
                assert_eq!(found, one_by_one(&numbers, sought << 24));
                assert_eq!(found >> at & 1, 1);
            }
        }
    }
}
