//! Slabs that grow piece by piece: nothing that lies in them is ever copied, so that growth makes no
//! pause however many flows there are.

use std::ops;

use crate::wheel::NONE;

/// An array of pieces of `N` elements (a power of two).
pub(crate) struct Chunks<T, const N: usize> {
    chunks: Vec<Box<[T; N]>>,
}

impl<T, const N: usize> Chunks<T, N> {
    pub(crate) const fn new() -> Self {
        assert!(N.is_power_of_two());
        Self { chunks: Vec::new() }
    }

    pub(crate) fn capacity(&self) -> u32 {
        (self.chunks.len() * N) as u32
    }

    /// An element, if there is one.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        self.chunks.get(index / N).map(|chunk| &chunk[index % N])
    }

    /// Adds one piece; an allocation of `N` elements.
    pub(crate) fn grow(&mut self, fill: impl Fn() -> T) {
        let chunk: Box<[T]> = (0..N).map(|_| fill()).collect();
        if let Ok(chunk) = chunk.try_into() {
            self.chunks.push(chunk);
        }
    }
}

impl<T, const N: usize> ops::Index<u32> for Chunks<T, N> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        let index = index as usize;
        &self.chunks[index / N][index % N]
    }
}

impl<T, const N: usize> ops::IndexMut<u32> for Chunks<T, N> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        let index = index as usize;
        &mut self.chunks[index / N][index % N]
    }
}

/// Elements of a [`Pool`] per piece.
const POOL_CHUNK: usize = 64;

/// A slab: places are used again.
pub(crate) struct Pool<T> {
    places: Chunks<Place<T>, POOL_CHUNK>,
    free: u32,
}

enum Place<T> {
    /// With the next free place.
    Free(u32),
    Used(T),
}

impl<T> Pool<T> {
    pub(crate) const fn new() -> Self {
        Self { places: Chunks::new(), free: NONE }
    }

    /// Number of elements.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        (0..self.places.capacity()).filter(|index| self.get(*index).is_some()).count()
    }

    pub(crate) fn insert(&mut self, element: T) -> u32 {
        if self.free == NONE {
            let start = self.places.capacity();
            self.places.grow(|| Place::Free(NONE));
            for index in (start..self.places.capacity()).rev() {
                self.places[index] = Place::Free(self.free);
                self.free = index;
            }
        }
        let index = self.free;
        if let Place::Free(next) = std::mem::replace(&mut self.places[index], Place::Used(element))
        {
            self.free = next;
        }
        index
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        match std::mem::replace(&mut self.places[index], Place::Free(self.free)) {
            Place::Used(element) => {
                self.free = index;
                Some(element)
            }
            Place::Free(next) => {
                self.places[index] = Place::Free(next);
                None
            }
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match self.places.get(index)? {
            Place::Used(element) => Some(element),
            Place::Free(_) => None,
        }
    }
}

impl<T> ops::Index<u32> for Pool<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        match &self.places[index] {
            Place::Used(element) => element,
            Place::Free(_) => unreachable!("only handles of elements are kept"),
        }
    }
}

impl<T> ops::IndexMut<u32> for Pool<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        match &mut self.places[index] {
            Place::Used(element) => element,
            Place::Free(_) => unreachable!("only handles of elements are kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again() {
        let mut pool = Pool::new();
        let first: Vec<u32> = (0..100).map(|n| pool.insert(n)).collect();
        assert_eq!(first, (0..100).collect::<Vec<_>>());
        assert_eq!(pool.remove(7), Some(7));
        assert_eq!(pool.remove(7), None);
        assert_eq!(pool.get(7), None);
        assert_eq!(pool.insert(200), 7);
        assert_eq!((pool[7], pool.len()), (200, 100));
    }
}
