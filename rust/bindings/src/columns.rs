//! Packets as columns of numbers that others read without a copy.

use std::ffi::CStr;
use std::net::IpAddr;
use std::os::raw::c_int;

use packet::{Summary, Transport};
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

use crate::batch::Packets;
use crate::errors::bad_argument;
use crate::verdicts::Verdict;

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

/// Numbers of one width, exported by the buffer protocol in the machine's byte order.
#[pyclass(frozen, module = "firezone._core")]
pub(crate) struct Column {
    numbers: Numbers,
    /// Rows, and numbers per row if a row has several.
    shape: [isize; 2],
    strides: [isize; 2],
}

enum Numbers {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
}

impl Numbers {
    /// Where they lie, how many there are, bytes of each, and its format as `struct` writes it.
    fn layout(&self) -> (*const u8, usize, usize, &'static CStr) {
        match self {
            Self::U8(numbers) => (numbers.as_ptr(), numbers.len(), 1, c"B"),
            Self::U16(numbers) => (numbers.as_ptr().cast(), numbers.len(), 2, c"H"),
            Self::U32(numbers) => (numbers.as_ptr().cast(), numbers.len(), 4, c"I"),
            Self::U64(numbers) => (numbers.as_ptr().cast(), numbers.len(), 8, c"Q"),
            Self::F64(numbers) => (numbers.as_ptr().cast(), numbers.len(), 8, c"d"),
            Self::Bool(numbers) => (numbers.as_ptr().cast(), numbers.len(), 1, c"?"),
        }
    }
}

impl Column {
    fn new(numbers: Numbers, per_row: usize) -> Self {
        let (_, count, width, _) = numbers.layout();
        let shape = [(count / per_row) as isize, per_row as isize];
        let strides = [(per_row * width) as isize, width as isize];
        Self { numbers, shape, strides }
    }

    /// A view of it, which keeps it alive.
    pub(crate) fn view(self, py: Python<'_>) -> PyResult<Bound<'_, PyMemoryView>> {
        PyMemoryView::from(Bound::new(py, self)?.as_any())
    }

    /// The numbers, if they are bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.numbers {
            Numbers::U8(bytes) => bytes,
            Numbers::U16(_)
            | Numbers::U32(_)
            | Numbers::U64(_)
            | Numbers::F64(_)
            | Numbers::Bool(_) => &[],
        }
    }
}

macro_rules! columns_of {
    ($($number:ty => $numbers:ident),+ $(,)?) => {
        $(impl From<Vec<$number>> for Column {
            fn from(numbers: Vec<$number>) -> Self {
                Self::new(Numbers::$numbers(numbers), 1)
            }
        })+
    };
}

columns_of!(u8 => U8, u16 => U16, u32 => U32, u64 => U64, f64 => F64, bool => Bool);

impl From<Vec<[u8; 16]>> for Column {
    fn from(rows: Vec<[u8; 16]>) -> Self {
        Self::new(Numbers::U8(rows.into_flattened()), 16)
    }
}

#[pymethods]
impl Column {
    /// # Safety
    /// Called by the interpreter alone, with a `Py_buffer` to be filled.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        // SAFETY: as promised above; the object is frozen.
        unsafe { fill(&slf, slf.get(), view, flags) }
    }
}

/// Fills `view` with a column of `owner`'s.
///
/// # Safety
/// `view` is null or a `Py_buffer` to be filled, and `owner` keeps `column` as and where it is.
pub(crate) unsafe fn fill<T>(
    owner: &Bound<'_, T>,
    column: &Column,
    view: *mut ffi::Py_buffer,
    flags: c_int,
) -> PyResult<()> {
    if view.is_null() || flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
        return Err(PyBufferError::new_err("columns are read-only"));
    }
    let (numbers, count, width, format) = column.numbers.layout();
    let is_plain = flags & ffi::PyBUF_ND != ffi::PyBUF_ND;
    let has = |flag: c_int| flags & flag == flag;
    // SAFETY: the caller's promise: `view` may be written, and all that it is made to point to lies in
    // `owner`, to which it takes a reference. Nobody writes: it is read-only, which was told above.
    unsafe {
        (*view).buf = numbers.cast_mut().cast();
        (*view).len = (count * width) as isize;
        (*view).readonly = 1;
        (*view).itemsize = width as isize;
        (*view).format = std::ptr::null_mut();
        if has(ffi::PyBUF_FORMAT) {
            (*view).format = format.as_ptr().cast_mut();
        }
        (*view).ndim = if is_plain || column.shape[1] == 1 { 1 } else { 2 };
        (*view).shape = std::ptr::null_mut();
        if !is_plain {
            (*view).shape = column.shape.as_ptr().cast_mut();
        }
        (*view).strides = std::ptr::null_mut();
        if has(ffi::PyBUF_STRIDES) {
            (*view).strides = column.strides.as_ptr().cast_mut();
        }
        (*view).suboffsets = std::ptr::null_mut();
        (*view).internal = std::ptr::null_mut();
        (*view).obj = owner.clone().into_ptr();
    }
    Ok(())
}

/// The packets of a batch as columns, a row per packet: read-only memoryviews that numpy reads without
/// a copy (`numpy.asarray(columns.length)`). What a packet does not have is 0.
///
/// >>> from firezone.nat import udp
/// >>> batch = PacketBatch([udp("100.64.0.1", 5000, "100.96.0.1", 53, b"ping"), b"?"])
/// >>> columns = batch.columns()
/// >>> columns.destination_port.tolist(), columns.length.tolist(), columns.protocol.tolist()
/// ([53, 0], [32, 1], [17, 0])
/// >>> bytes(columns.destination)[:16].hex()
/// '00000000000000000000ffff64600001'
#[pyclass(frozen, get_all, module = "firezone._core")]
pub(crate) struct Columns {
    /// Source addresses: 16 bytes each, IPv4 as IPv6 has it mapped (RFC 4291 §2.5.5.2). Shape (n, 16),
    /// format `B`: as text of 16 bytes numpy would drop the zeros at its end.
    source: Py<PyMemoryView>,
    /// Destination addresses, likewise.
    destination: Py<PyMemoryView>,
    /// Source ports, for echo the identifier. Format `H`.
    source_port: Py<PyMemoryView>,
    /// Destination ports. Format `H`.
    destination_port: Py<PyMemoryView>,
    /// Numbers of the protocols (IANA). Format `B`.
    protocol: Py<PyMemoryView>,
    /// Bytes of the whole packets. Format `I`.
    length: Py<PyMemoryView>,
    /// Where the packets begin in the batch, in bytes. Format `Q`.
    offset: Py<PyMemoryView>,
    /// Codes of the verdicts, names of which are `VERDICTS`. Format `B`.
    verdict: Py<PyMemoryView>,
}

impl Columns {
    pub(crate) fn new(
        py: Python<'_>,
        packets: &Packets<'_>,
        verdicts: Option<&[u8]>,
    ) -> PyResult<Self> {
        let mut rows = Rows::default();
        py.detach(|| packets.iter().for_each(|packet| rows.push(packet)));
        if let Some(verdicts) = verdicts {
            if verdicts.len() != rows.verdict.len() {
                let (given, packets) = (verdicts.len(), rows.verdict.len());
                return Err(bad_argument(format!("{given} verdicts for {packets} packets")));
            }
            rows.verdict = verdicts.to_vec();
        }
        let view = |column: Column| column.view(py).map(Bound::unbind);
        Ok(Self {
            source: view(rows.source.into())?,
            destination: view(rows.destination.into())?,
            source_port: view(rows.source_port.into())?,
            destination_port: view(rows.destination_port.into())?,
            protocol: view(rows.protocol.into())?,
            length: view(rows.length.into())?,
            offset: view(rows.offset.into())?,
            verdict: view(rows.verdict.into())?,
        })
    }
}

#[derive(Default)]
struct Rows {
    source: Vec<[u8; 16]>,
    destination: Vec<[u8; 16]>,
    source_port: Vec<u16>,
    destination_port: Vec<u16>,
    protocol: Vec<u8>,
    length: Vec<u32>,
    offset: Vec<u64>,
    verdict: Vec<u8>,
    /// Bytes of the packets so far.
    end: u64,
}

impl Rows {
    fn push(&mut self, packet: &[u8]) {
        self.length.push(u32::try_from(packet.len()).unwrap_or(u32::MAX));
        self.offset.push(self.end);
        self.end += packet.len() as u64;
        let parsed = packet::parse(packet).ok();
        let verdict = if parsed.is_some() { Verdict::Undecided } else { Verdict::Malformed };
        self.verdict.push(verdict as u8);
        let address =
            |of: fn(&Summary) -> IpAddr| parsed.as_ref().map_or([0; 16], |p| mapped(of(p)));
        self.source.push(address(|parsed| parsed.source));
        self.destination.push(address(|parsed| parsed.destination));
        let flow = parsed.as_ref().and_then(|parsed| parsed.transport.flow());
        let (source, destination) = flow.map_or((0, 0), |(_, source, to)| (source, to));
        self.source_port.push(source);
        self.destination_port.push(destination);
        self.protocol.push(parsed.as_ref().map_or(0, protocol));
    }
}

pub(crate) fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn protocol(parsed: &Summary) -> u8 {
    match parsed.transport {
        Transport::Tcp { .. } => TCP,
        Transport::Udp { .. } => UDP,
        Transport::Other { protocol } => protocol,
        Transport::Echo { .. } | Transport::IcmpError => {
            if parsed.source.is_ipv4() {
                ICMP
            } else {
                ICMPV6
            }
        }
    }
}
