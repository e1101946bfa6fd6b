//! Memory that is overwritten when it is no longer needed.

use std::ops::{Deref, DerefMut};

use zeroize::optimization_barrier;

/// An array of secrets. Erased as a whole: `Zeroizing` writes element by element, which for a kilobyte
/// of bytes takes as long as sealing half a packet.
pub(crate) struct Secret<T: Copy + Default, const N: usize>([T; N]);

impl<T: Copy + Default, const N: usize> Secret<T, N> {
    pub(crate) fn new() -> Self {
        Self([T::default(); N])
    }
}

impl<T: Copy + Default, const N: usize> Drop for Secret<T, N> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0 = [T::default(); N];
        // The compiler has to assume that somebody reads the zeros.
        optimization_barrier(&self.0);
    }
}

impl<T: Copy + Default, const N: usize> Deref for Secret<T, N> {
    type Target = [T; N];

    fn deref(&self) -> &[T; N] {
        &self.0
    }
}

impl<T: Copy + Default, const N: usize> DerefMut for Secret<T, N> {
    fn deref_mut(&mut self) -> &mut [T; N] {
        &mut self.0
    }
}
