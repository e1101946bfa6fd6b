//! Integers of 3, 5 and 6 bytes without alignment: what lets a flow fit its cache line.

use super::NONE;

/// An unsigned integer of `N` bytes, at most 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed<const N: usize>([u8; N]);

impl<const N: usize> Packed<N> {
    pub(crate) const MAX: u64 = u64::MAX >> (64 - 8 * N);

    /// `value`, or the highest value there is.
    pub(crate) fn saturating(value: u64) -> Self {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&value.min(Self::MAX).to_le_bytes()[..N]);
        Self(bytes)
    }

    pub(crate) const fn zero() -> Self {
        Self([0; N])
    }

    #[inline]
    pub(crate) fn get(self) -> u64 {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&self.0);
        u64::from_le_bytes(bytes)
    }

    #[inline]
    pub(crate) fn set(&mut self, value: u64) {
        *self = Self::saturating(value);
    }
}

/// A word for two: a number that is counted up, above, and one of `LOW` bits that stands below it. What
/// a packet changes is read and written as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shared<const LOW: u32>(u64);

impl<const LOW: u32> Shared<LOW> {
    const LOW_BITS: u64 = (1 << LOW) - 1;
    /// The highest number above.
    pub(crate) const MAX: u64 = u64::MAX >> LOW;

    /// Zero, over `low`.
    pub(crate) const fn over(low: u64) -> Self {
        Self(low & Self::LOW_BITS)
    }

    #[inline]
    pub(crate) fn get(self) -> u64 {
        self.0 >> LOW
    }

    /// `value`, or the highest number.
    #[inline]
    pub(crate) fn set(&mut self, value: u64) {
        self.0 = value.min(Self::MAX) << LOW | self.low();
    }

    /// Adds, up to the highest number.
    #[inline]
    pub(crate) fn add(&mut self, value: u64) {
        let sum = self.0.checked_add(value.min(Self::MAX) << LOW);
        self.0 = sum.unwrap_or(self.0 | !Self::LOW_BITS);
    }

    #[inline]
    pub(crate) fn low(self) -> u64 {
        self.0 & Self::LOW_BITS
    }

    #[inline]
    pub(crate) fn set_low(&mut self, low: u64) {
        self.0 = self.0 & !Self::LOW_BITS | low & Self::LOW_BITS;
    }
}

/// The two links of an entry in one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) previous: Packed<3>,
    pub(crate) next: Packed<3>,
}

impl Link {
    /// Of an entry that is in no list.
    pub(crate) const LOOSE: Self = Self { previous: Packed([0xFF; 3]), next: Packed([0xFF; 3]) };
}

const _: () = assert!(NONE as u64 == Packed::<3>::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_share_a_word_and_neither_spoils_the_other() {
        let mut word = Shared::<24>::over(0xFF_FFFF);
        word.add(5);
        word.set_low(0x12_3456);
        assert_eq!((word.get(), word.low()), (5, 0x12_3456));
        word.add(Shared::<24>::MAX - 6);
        assert_eq!(word.get(), Shared::<24>::MAX - 1);
        for _ in 0..2 {
            word.add(2);
            assert_eq!((word.get(), word.low()), (Shared::<24>::MAX, 0x12_3456));
        }
        word.set(7);
        word.add(u64::MAX);
        assert_eq!((word.get(), word.low()), (Shared::<24>::MAX, 0x12_3456));
    }

    #[test]
    fn values_come_back_and_saturate() {
        let mut three = Packed::<3>::zero();
        three.set(0x12_3456);
        assert_eq!(three.get(), 0x12_3456);
        three.set(u64::MAX);
        assert_eq!(three.get(), 0xFF_FFFF);
        assert_eq!(Packed::<6>::saturating(1 << 48).get(), (1 << 48) - 1);
        assert_eq!(Link::LOOSE.next.get(), u64::from(NONE));
    }
}
