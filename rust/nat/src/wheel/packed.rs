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
