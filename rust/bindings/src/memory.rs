//! Where the bytes of a batch lie: in memory of ours, or in memory that the caller lends.

use std::borrow::Cow;
use std::ops::Range;

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;

use crate::errors::bad_argument;

/// The bytes of a batch.
#[derive(Debug)]
pub(crate) enum Memory {
    Own(Vec<u8>),
    /// The first `len` bytes of a buffer of the caller's.
    Lent {
        room: Room,
        len: usize,
    },
}

impl Memory {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Own(bytes) => bytes.len(),
            Self::Lent { len, .. } => *len,
        }
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        match self {
            Self::Own(bytes) => bytes.as_ptr(),
            Self::Lent { room, .. } => room.as_ptr(),
        }
    }

    /// Bytes of a range inside. Lent ones are copied first: the caller may write to them at any time,
    /// and what was checked must be what is used.
    pub(crate) fn read(&self, range: Range<usize>) -> Cow<'_, [u8]> {
        match self {
            Self::Own(bytes) => Cow::Borrowed(&bytes[range]),
            Self::Lent { room, len } => {
                Cow::Owned(room.read(range.start.min(*len)..range.end.min(*len)))
            }
        }
    }
}

/// Writable memory of the caller's, kept in place for as long as this lives.
#[derive(Debug)]
pub(crate) struct Room(PyBuffer<u8>);

impl Room {
    /// Takes `into`, in which `needed` bytes must have room.
    pub(crate) fn new(into: &Bound<'_, PyAny>, needed: usize) -> PyResult<Self> {
        let buffer = PyBuffer::<u8>::get(into)?;
        if buffer.readonly() || !buffer.is_c_contiguous() {
            return Err(bad_argument(
                "`into` is read-only or not contiguous; give a bytearray or an array of bytes",
            ));
        }
        let room = buffer.item_count();
        if room < needed {
            return Err(bad_argument(format!(
                "`into` has room for {room} bytes; this batch needs {needed}"
            )));
        }
        Ok(Self(buffer))
    }

    fn len(&self) -> usize {
        self.0.item_count()
    }

    fn as_ptr(&self) -> *const u8 {
        self.0.buf_ptr().cast_const().cast()
    }

    fn read(&self, range: Range<usize>) -> Vec<u8> {
        let len = range.len();
        assert!(range.end <= self.len(), "a batch ends inside the memory that it lies in");
        let mut bytes = Vec::with_capacity(len);
        // SAFETY: the range lies inside the buffer (above), which the buffer protocol keeps in place
        // while this holds it. No reference to it is made, so nothing is assumed of bytes that Python
        // changes meanwhile; of such it is open which are read, as with every user of the protocol.
        unsafe {
            let from = self.as_ptr().add(range.start);
            std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), len);
            bytes.set_len(len);
        }
        bytes
    }

    /// Writes bytes at a place. Panics if they end outside; callers ask for enough room first.
    pub(crate) fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.len(), "room was asked for");
        let to = self.0.buf_ptr().cast::<u8>();
        // SAFETY: writable and large enough (above), kept in place as in `read`; `bytes` are memory of
        // ours and do not overlap it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.add(at), bytes.len()) }
    }
}
