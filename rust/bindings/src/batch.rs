//! Packets in one contiguous buffer: how they cross between Python and the core.

use std::os::raw::c_int;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyIndexError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::bad_argument;

/// Packets, one behind the other in one buffer.
///
/// Made from any iterable of buffers (bytes, bytearray, memoryview, array), each one whole IP packet;
/// nothing is checked yet. Exports its bytes by the buffer protocol, read-only, without a copy.
#[pyclass(frozen, sequence, module = "firezone._core")]
#[derive(Debug, Default)]
pub(crate) struct PacketBatch {
    bytes: Vec<u8>,
    /// Where each packet ends.
    ends: Vec<usize>,
}

impl PacketBatch {
    /// An empty batch with room.
    pub(crate) fn with_capacity(bytes: usize, packets: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(packets) }
    }

    /// Appends a packet.
    pub(crate) fn push(&mut self, packet: &[u8]) {
        self.bytes.extend_from_slice(packet);
        self.ends.push(self.bytes.len());
    }

    /// The packets in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all of them.
    pub(crate) fn total_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn packet(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.bytes.get(start..end)
    }
}

#[pymethods]
impl PacketBatch {
    #[new]
    #[pyo3(signature = (packets = None, /))]
    fn new(packets: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let mut batch = Self::default();
        let Some(packets) = packets else { return Ok(batch) };
        for packet in packets.try_iter()? {
            let buffer = PyBuffer::<u8>::get(&packet?)?;
            let start = batch.bytes.len();
            batch.bytes.resize(start + buffer.item_count(), 0);
            buffer.copy_to_slice(packets.py(), &mut batch.bytes[start..])?;
            batch.ends.push(batch.bytes.len());
        }
        Ok(batch)
    }

    /// Make a batch of one buffer and the offset at which each packet begins.
    #[staticmethod]
    #[pyo3(signature = (buffer, offsets, /))]
    fn from_buffer(buffer: &Bound<'_, PyAny>, offsets: Vec<usize>) -> PyResult<Self> {
        let bytes = PyBuffer::<u8>::get(buffer)?.to_vec(buffer.py())?;
        let in_order = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        let inside = offsets.last().is_none_or(|last| *last <= bytes.len());
        if !in_order || !inside || offsets.first().is_some_and(|first| *first != 0) {
            return Err(bad_argument("offsets begin at 0, ascend, and lie inside the buffer"));
        }
        let ends = offsets.iter().skip(1).copied().chain([bytes.len()]);
        let ends = if offsets.is_empty() { Vec::new() } else { ends.collect() };
        Ok(Self { bytes, ends })
    }

    fn __len__(&self) -> usize {
        self.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyBytes>> {
        let len = self.len() as isize;
        let at = if index < 0 { index + len } else { index };
        let packet = usize::try_from(at).ok().and_then(|at| self.packet(at));
        packet
            .map(|packet| PyBytes::new(py, packet))
            .ok_or_else(|| PyIndexError::new_err(format!("packet {index} of {len}")))
    }

    /// Where each packet begins in the exported buffer.
    #[getter]
    fn offsets(&self) -> Vec<usize> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.take(self.len()).collect()
    }

    /// Bytes of all packets.
    #[getter]
    fn nbytes(&self) -> usize {
        self.total_bytes()
    }

    fn __repr__(&self) -> String {
        format!("<PacketBatch of {} packets, {} bytes>", self.len(), self.total_bytes())
    }

    /// # Safety
    /// Called by the interpreter alone, with a `Py_buffer` to be filled.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("the view is null"));
        }
        let bytes = &slf.get().bytes;
        // SAFETY: the object is frozen, so its bytes neither move nor change while the view holds the
        // reference that PyBuffer_FillInfo takes to it; read-only is set, so nobody writes.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                bytes.as_ptr().cast_mut().cast(),
                bytes.len() as isize,
                1,
                flags,
            )
        };
        if filled == -1 { Err(PyErr::fetch(slf.py())) } else { Ok(()) }
    }
}
