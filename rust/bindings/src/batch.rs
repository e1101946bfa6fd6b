//! Packets in one contiguous buffer: how they cross between Python and the core.

use std::borrow::Cow;
use std::os::raw::c_int;

use pyo3::buffer::{PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::{PyBufferError, PyIndexError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::capture_files::{self, Captured, Contents, Format};
use crate::columns::{Column, Columns};
use crate::errors::bad_argument;
use crate::memory::Memory;
use crate::verdicts::Verdicts;

/// Packets, one behind the other in one buffer.
///
/// Made from any iterable of buffers (bytes, bytearray, memoryview, array), each one whole IP packet;
/// nothing is checked yet. Exports its bytes by the buffer protocol, read-only, without a copy.
///
/// Args:
///     packets: The packets; none makes an empty batch.
///
/// Raises:
///     TypeError: One of them has no buffer.
///
/// >>> batch = PacketBatch([b"\x45one", b"\x45three"])
/// >>> len(batch), batch.nbytes, batch.offsets, bytes(batch)
/// (2, 10, [0, 4], b'EoneEthree')
#[pyclass(frozen, sequence, module = "firezone._core")]
#[derive(Debug)]
pub(crate) struct PacketBatch {
    memory: Memory,
    /// Where each packet ends.
    ends: Vec<usize>,
    /// When each was captured, in nanoseconds since the epoch; empty if nobody knows.
    times: Vec<u64>,
}

impl Default for PacketBatch {
    fn default() -> Self {
        Self::new_at(Memory::Own(Vec::new()), Vec::new())
    }
}

/// The packets of a batch, to be read.
pub(crate) struct Packets<'a> {
    bytes: Cow<'a, [u8]>,
    ends: &'a [usize],
}

impl Packets<'_> {
    /// The packets in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends).map(|(start, &end)| &self.bytes[start..end])
    }

    /// Up to `most` packets at a time: where they lie together, and where each of them ends in there.
    pub(crate) fn chunks(&self, most: usize) -> impl Iterator<Item = (&[u8], Vec<usize>)> {
        let mut begin = 0;
        self.ends.chunks(most).map(move |ends| {
            let (from, to) = (begin, ends.last().copied().unwrap_or(begin));
            begin = to;
            (&self.bytes[from..to], ends.iter().map(|end| end - from).collect())
        })
    }
}

impl PacketBatch {
    /// A batch of packets that lie in `memory`, up to where each one ends.
    pub(crate) fn new_at(memory: Memory, ends: Vec<usize>) -> Self {
        Self { memory, ends, times: Vec::new() }
    }

    /// A batch of copies.
    pub(crate) fn of<'a>(packets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for packet in packets {
            bytes.extend_from_slice(packet);
            ends.push(bytes.len());
        }
        Self::new_at(Memory::Own(bytes), ends)
    }

    /// The packets, as they are now.
    pub(crate) fn packets(&self) -> Packets<'_> {
        Packets { bytes: self.memory.read(0..self.memory.len()), ends: &self.ends }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all of them.
    pub(crate) fn total_bytes(&self) -> usize {
        self.memory.len()
    }

    fn packet(&self, index: usize) -> Option<Cow<'_, [u8]>> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(self.memory.read(start..end))
    }

    fn read_capture(py: Python<'_>, format: Format, source: &Bound<'_, PyAny>) -> PyResult<Self> {
        let contents = Contents::of(source)?;
        let file = contents.as_slice();
        let Captured { bytes, ends, times } = py.detach(|| capture_files::read(format, file))?;
        Ok(Self { memory: Memory::Own(bytes), ends, times })
    }

    fn write_capture(
        &self,
        py: Python<'_>,
        format: Format,
        target: &Bound<'_, PyAny>,
        timestamps: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let times = match timestamps {
            None => self.times.clone(),
            Some(given) => numbers(given, "timestamps")?,
        };
        if timestamps.is_some() && times.len() != self.len() {
            let (times, packets) = (times.len(), self.len());
            return Err(bad_argument(format!("{times} timestamps for {packets} packets")));
        }
        let file = py.detach(|| capture_files::write(format, &self.packets(), &times))?;
        capture_files::put(target, &file)
    }
}

#[pymethods]
impl PacketBatch {
    #[new]
    #[pyo3(signature = (packets = None, /))]
    fn new(packets: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(packets) = packets else { return Ok(Self::default()) };
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for packet in packets.try_iter()? {
            let packet = packet?;
            // The buffer protocol costs ten times as much, and they cannot change.
            if let Ok(packet) = packet.cast::<PyBytes>() {
                bytes.extend_from_slice(packet.as_bytes());
                ends.push(bytes.len());
                continue;
            }
            let buffer = PyBuffer::<u8>::get(&packet)?;
            let start = bytes.len();
            bytes.resize(start + buffer.item_count(), 0);
            buffer.copy_to_slice(packets.py(), &mut bytes[start..])?;
            ends.push(bytes.len());
        }
        Ok(Self::new_at(Memory::Own(bytes), ends))
    }

    /// Make a batch of one buffer and the offset at which each packet begins; the last one goes on to
    /// the buffer's end. The bytes are copied.
    ///
    /// Args:
    ///     buffer: The packets, one behind the other.
    ///     offsets: In bytes, ascending from 0: a sequence of int, or a buffer of unsigned numbers of 4
    ///         or 8 bytes (`array("I")`, numpy's uint32 and uint64).
    ///
    /// Raises:
    ///     InvalidArgument: The offsets do not begin at 0, descend, or lead outside.
    ///
    /// >>> PacketBatch.from_buffer(b"onethree", [0, 3])[1]
    /// b'three'
    #[staticmethod]
    #[pyo3(signature = (buffer, offsets, /))]
    fn from_buffer(buffer: &Bound<'_, PyAny>, offsets: &Bound<'_, PyAny>) -> PyResult<Self> {
        let bytes = PyBuffer::<u8>::get(buffer)?.to_vec(buffer.py())?;
        let offsets = numbers(offsets, "offsets")?;
        let in_order = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        let inside = offsets.last().is_none_or(|last| *last <= bytes.len() as u64);
        if !in_order || !inside || offsets.first().is_some_and(|first| *first != 0) {
            return Err(bad_argument("offsets begin at 0, ascend, and lie inside the buffer"));
        }
        if offsets.is_empty() {
            return Ok(Self::default());
        }
        let ends = offsets.iter().skip(1).map(|&offset| offset as usize).chain([bytes.len()]);
        let ends = ends.collect();
        Ok(Self::new_at(Memory::Own(bytes), ends))
    }

    /// Read a pcap file (draft-ietf-opsawg-pcap) of link type RAW, IPv4 or IPv6.
    ///
    /// Args:
    ///     source: A path; or the contents as bytes or another buffer; or a file that is open for
    ///         reading bytes.
    ///
    /// Raises:
    ///     CaptureUnreadable: It is something else, breaks off, or has another link type.
    ///     OSError: It cannot be read.
    #[staticmethod]
    #[pyo3(signature = (source, /))]
    fn from_pcap(py: Python<'_>, source: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::read_capture(py, Format::Pcap, source)
    }

    /// Read a pcapng file (draft-ietf-opsawg-pcapng), whose interfaces are all of link type RAW, IPv4 or
    /// IPv6.
    ///
    /// Args:
    ///     source: As for `from_pcap`.
    ///
    /// Raises:
    ///     CaptureUnreadable: As for `from_pcap`.
    ///     OSError: It cannot be read.
    #[staticmethod]
    #[pyo3(signature = (source, /))]
    fn from_pcapng(py: Python<'_>, source: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::read_capture(py, Format::Pcapng, source)
    }

    /// Write a pcap file with link type RAW and nanoseconds.
    ///
    /// Args:
    ///     target: A path, or a file that is open for writing bytes.
    ///     timestamps: Nanoseconds since the epoch, one per packet: a sequence of int, or a buffer of
    ///         unsigned numbers of 4 or 8 bytes. Without, those of the batch; 0 if it has none.
    ///
    /// Raises:
    ///     InvalidArgument: There are not as many timestamps as packets, one is after the year 2106, or
    ///         a packet has more than 262,144 bytes.
    ///     OSError: It cannot be written.
    ///
    /// >>> import io
    /// >>> file = io.BytesIO()
    /// >>> PacketBatch([b"\x45", b"\x60"]).to_pcap(file, timestamps=[1_500_000_000, 2_000_000_000])
    /// >>> again = PacketBatch.from_pcap(file.getvalue())
    /// >>> again[1], again.timestamps.tolist()
    /// (b'`', [1500000000, 2000000000])
    #[pyo3(signature = (target, /, timestamps = None))]
    fn to_pcap(
        &self,
        py: Python<'_>,
        target: &Bound<'_, PyAny>,
        timestamps: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.write_capture(py, Format::Pcap, target, timestamps)
    }

    /// Write a pcapng file with link type RAW and nanoseconds.
    ///
    /// Args:
    ///     target: As for `to_pcap`.
    ///     timestamps: As for `to_pcap`; any year will do.
    ///
    /// Raises:
    ///     InvalidArgument: There are not as many timestamps as packets, or a packet has more than
    ///         262,144 bytes.
    ///     OSError: It cannot be written.
    #[pyo3(signature = (target, /, timestamps = None))]
    fn to_pcapng(
        &self,
        py: Python<'_>,
        target: &Bound<'_, PyAny>,
        timestamps: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.write_capture(py, Format::Pcapng, target, timestamps)
    }

    /// Parse all packets into columns, a row per packet. What does not parse has zeros.
    ///
    /// Args:
    ///     verdicts: Those that a call gave for this batch, for the column `verdict`. Without, it says
    ///         `malformed` or `undecided`.
    ///
    /// Raises:
    ///     InvalidArgument: There are not as many verdicts as packets.
    #[pyo3(signature = (verdicts = None))]
    fn columns(&self, py: Python<'_>, verdicts: Option<&Bound<'_, Verdicts>>) -> PyResult<Columns> {
        Columns::new(py, &self.packets(), verdicts.map(|verdicts| verdicts.get().codes()))
    }

    fn __len__(&self) -> usize {
        self.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyBytes>> {
        let len = self.len() as isize;
        let at = if index < 0 { index + len } else { index };
        let packet = usize::try_from(at).ok().and_then(|at| self.packet(at));
        packet
            .map(|packet| PyBytes::new(py, &packet))
            .ok_or_else(|| PyIndexError::new_err(format!("packet {index} of {len}")))
    }

    /// Where each packet begins in the exported buffer, in bytes.
    #[getter]
    fn offsets(&self) -> Vec<usize> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.take(self.len()).collect()
    }

    /// When each packet was captured, in nanoseconds since the epoch: a memoryview of format `Q`, or
    /// None if the packets come from no capture.
    #[getter]
    fn timestamps<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyMemoryView>>> {
        let times = (!self.times.is_empty()).then(|| Column::from(self.times.clone()));
        times.map(|column| column.view(py)).transpose()
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
        let memory = &slf.get().memory;
        // SAFETY: the object is frozen, so its bytes do not move while the view holds the reference
        // that PyBuffer_FillInfo takes to it: they are its own, or it keeps the caller's in place.
        // Read-only is set, so nobody writes through the view.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                memory.as_ptr().cast_mut().cast(),
                memory.len() as isize,
                1,
                flags,
            )
        };
        if filled == -1 { Err(PyErr::fetch(slf.py())) } else { Ok(()) }
    }
}

/// Numbers of a sequence of int, or of a buffer of unsigned numbers of 4 or 8 bytes.
fn numbers(given: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<u64>> {
    let Ok(buffer) = PyUntypedBuffer::get(given) else { return given.extract() };
    let py = given.py();
    if let Ok(buffer) = buffer.as_typed::<u64>() {
        return buffer.to_vec(py);
    }
    if let Ok(buffer) = buffer.as_typed::<u32>() {
        return Ok(buffer.to_vec(py)?.into_iter().map(u64::from).collect());
    }
    Err(bad_argument(format!("{what} are int, or unsigned numbers of 4 or 8 bytes in a buffer")))
}
