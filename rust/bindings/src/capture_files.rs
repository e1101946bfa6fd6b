//! Batches from and to capture files: pcap (draft-ietf-opsawg-pcap) and pcapng
//! (draft-ietf-opsawg-pcapng).

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapReader, PcapWriter, RawPcapPacket};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{Block, PcapNgReader, PcapNgWriter};
use pcap_file::{DataLink, PcapError, TsResolution};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::batch::Packets;
use crate::errors::{bad_argument, capture_unreadable, os_error};

/// Longest packet of a file (libpcap's own limit), in bytes.
const SNAP_LEN: u32 = 262_144;
const NANOS: u64 = 1_000_000_000;
/// Time stamps are in nanoseconds: 10 to the minus 9.
const NANOSECONDS: u8 = 9;
/// Resolution of an interface that says none: microseconds.
const MICROSECONDS: u8 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Pcap,
    Pcapng,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
        }
    }

    /// What a file is by its first bytes.
    fn of(file: &[u8]) -> Option<Self> {
        match file.first_chunk()? {
            [0x0a, 0x0d, 0x0d, 0x0a] => Some(Self::Pcapng),
            [0xa1, 0xb2, 0xc3, 0xd4] | [0xd4, 0xc3, 0xb2, 0xa1] => Some(Self::Pcap),
            [0xa1, 0xb2, 0x3c, 0x4d] | [0x4d, 0x3c, 0xb2, 0xa1] => Some(Self::Pcap),
            _ => None,
        }
    }
}

/// The packets of a file.
#[derive(Default)]
pub(crate) struct Captured {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: Vec<usize>,
    /// Nanoseconds since the epoch.
    pub(crate) times: Vec<u64>,
}

impl Captured {
    fn push(&mut self, packet: &[u8], at: u64) {
        self.bytes.extend_from_slice(packet);
        self.ends.push(self.bytes.len());
        self.times.push(at);
    }
}

/// The contents of a file.
pub(crate) enum Contents<'py> {
    /// They cannot change, so they are read where they lie.
    Bytes(Bound<'py, PyBytes>),
    Own(Vec<u8>),
}

impl<'py> Contents<'py> {
    /// Those of a path, a buffer or an open file.
    pub(crate) fn of(source: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = source.py();
        if let Some(contents) = Self::of_buffer(source)? {
            return Ok(contents);
        }
        if source.hasattr(intern!(py, "read"))? {
            let contents = Self::of_buffer(&source.call_method0(intern!(py, "read"))?)?;
            let hint = "the file gives text; open it for reading bytes (\"rb\")";
            return contents.ok_or_else(|| bad_argument(hint));
        }
        let path: PathBuf = source.extract()?;
        let read = py.detach(|| std::fs::read(&path));
        read.map(Self::Own).map_err(|error| at_path(error, &path))
    }

    fn of_buffer(source: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        if let Ok(bytes) = source.cast::<PyBytes>() {
            return Ok(Some(Self::Bytes(bytes.clone())));
        }
        let Ok(buffer) = PyBuffer::<u8>::get(source) else { return Ok(None) };
        Ok(Some(Self::Own(buffer.to_vec(source.py())?)))
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(),
            Self::Own(bytes) => bytes,
        }
    }
}

/// Writes the contents of a file to a path or an open file.
pub(crate) fn put(target: &Bound<'_, PyAny>, file: &[u8]) -> PyResult<()> {
    let py = target.py();
    if target.hasattr(intern!(py, "write"))? {
        target.call_method1(intern!(py, "write"), (PyBytes::new(py, file),))?;
        return Ok(());
    }
    let path: PathBuf = target.extract()?;
    py.detach(|| std::fs::write(&path, file)).map_err(|error| at_path(error, &path))
}

fn at_path(error: std::io::Error, path: &std::path::Path) -> PyErr {
    match error.raw_os_error() {
        Some(code) => PyOSError::new_err((code, error.to_string(), path.to_path_buf())),
        None => os_error(error),
    }
}

/// Reads the packets of a file.
pub(crate) fn read(format: Format, file: &[u8]) -> PyResult<Captured> {
    if Format::of(file) != Some(format) {
        return Err(match Format::of(file) {
            Some(other) => capture_unreadable(
                &format!("this is a {} file, no {}", other.name(), format.name()),
                &format!("read it with from_{}", other.name()),
            ),
            None => capture_unreadable(
                &format!("this is no {} file", format.name()),
                "give a file as tcpdump -w writes it, unpacked",
            ),
        });
    }
    match format {
        Format::Pcap => read_pcap(file),
        Format::Pcapng => read_pcapng(file),
    }
}

fn read_pcap(file: &[u8]) -> PyResult<Captured> {
    let mut captured = Captured::default();
    let broken = |packets: usize| move |error: PcapError| broken(packets, &error);
    let mut reader = PcapReader::new(file).map_err(broken(0))?;
    let header = reader.header();
    check_link(header.datalink)?;
    let unit = match header.ts_resolution {
        TsResolution::MicroSecond => 1_000,
        TsResolution::NanoSecond => 1,
    };
    // Raw, because the parsed form refuses packets that were cut to the snapshot length.
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet.map_err(broken(captured.ends.len()))?;
        let at = u64::from(packet.ts_sec) * NANOS + u64::from(packet.ts_frac) * unit;
        captured.push(&packet.data, at);
    }
    Ok(captured)
}

fn read_pcapng(file: &[u8]) -> PyResult<Captured> {
    let mut captured = Captured::default();
    let broken = |packets: usize| move |error: PcapError| broken(packets, &error);
    let mut reader = PcapNgReader::new(file).map_err(broken(0))?;
    let mut clocks: Vec<Clock> = Vec::new();
    while let Some(block) = reader.next_block() {
        let clock = |clocks: &[Clock], interface: usize| {
            clocks.get(interface).copied().ok_or(PcapError::InvalidInterfaceId(interface as u32))
        };
        let packets = captured.ends.len();
        match block.map_err(broken(packets))? {
            Block::SectionHeader(_) => clocks.clear(),
            Block::InterfaceDescription(interface) => {
                check_link(interface.linktype)?;
                clocks.push(Clock::of(&interface));
            }
            Block::EnhancedPacket(packet) => {
                let clock =
                    clock(&clocks, packet.interface_id as usize).map_err(broken(packets))?;
                // The reader takes the ticks of the interface's clock for nanoseconds.
                let ticks = u64::try_from(packet.timestamp.as_nanos()).unwrap_or(u64::MAX);
                captured.push(&packet.data, clock.nanos(ticks));
            }
            Block::Packet(packet) => {
                let clock = clock(&clocks, packet.interface_id.into()).map_err(broken(packets))?;
                captured.push(&packet.data, clock.nanos(packet.timestamp));
            }
            Block::SimplePacket(packet) => {
                clock(&clocks, 0).map_err(broken(packets))?;
                let len = packet.data.len().min(packet.original_len as usize);
                captured.push(&packet.data[..len], 0);
            }
            Block::NameResolution(_)
            | Block::InterfaceStatistics(_)
            | Block::SystemdJournalExport(_)
            | Block::Unknown(_) => {}
        }
    }
    Ok(captured)
}

/// What the ticks of an interface are.
#[derive(Clone, Copy)]
struct Clock {
    per_second: u128,
    /// Seconds between its zero and the epoch.
    offset: u64,
}

impl Clock {
    fn of(interface: &InterfaceDescriptionBlock<'_>) -> Self {
        let (mut resolution, mut offset) = (MICROSECONDS, 0);
        for option in &interface.options {
            if let InterfaceDescriptionOption::IfTsResol(given) = option {
                resolution = *given;
            } else if let InterfaceDescriptionOption::IfTsOffset(given) = option {
                offset = *given;
            }
        }
        // The highest bit says: a power of two, not of ten.
        let exponent = u32::from(resolution & 0x7f);
        let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
        Self { per_second: base.checked_pow(exponent).unwrap_or(u128::MAX), offset }
    }

    fn nanos(self, ticks: u64) -> u64 {
        let nanos = u128::from(ticks) * u128::from(NANOS) / self.per_second;
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        nanos.saturating_add(self.offset.saturating_mul(NANOS))
    }
}

fn check_link(link: DataLink) -> PyResult<()> {
    // 12 and 14 are what some systems call RAW.
    if let DataLink::RAW
    | DataLink::IPV4
    | DataLink::IPV6
    | DataLink::Unknown(12)
    | DataLink::Unknown(14) = link
    {
        return Ok(());
    }
    let hint = "capture on a TUN device, or cut the packets' link header off: \
                editcap -C 14 -T rawip in.pcap out.pcap";
    let (number, name) = (u32::from(link), format!("{link:?}"));
    let what = format!("the capture has link type {name} ({number}); whole IP packets are needed");
    Err(capture_unreadable(&what, hint))
}

fn broken(packets: usize, error: &PcapError) -> PyErr {
    capture_unreadable(
        &format!("the capture is broken after {packets} packets: {error}"),
        "take it anew; what is readable of it, editcap and tcpdump -r can save",
    )
}

/// The file of packets; times in nanoseconds since the epoch, or none.
pub(crate) fn write(format: Format, packets: &Packets<'_>, times: &[u64]) -> PyResult<Vec<u8>> {
    let times = times.iter().copied().chain(std::iter::repeat(0));
    let packets = packets.iter().zip(times);
    let written = match format {
        Format::Pcap => write_pcap(packets),
        Format::Pcapng => write_pcapng(packets),
    };
    written.map_err(|error| {
        if let PcapError::InvalidField(what) = error {
            return bad_argument(format!("not for a {} file: {what}", format.name()));
        }
        bad_argument(error)
    })
}

fn write_pcap<'a>(packets: impl Iterator<Item = (&'a [u8], u64)>) -> Result<Vec<u8>, PcapError> {
    let header = PcapHeader {
        datalink: DataLink::RAW,
        ts_resolution: TsResolution::NanoSecond,
        snaplen: SNAP_LEN,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(Vec::new(), header)?;
    for (packet, at) in packets {
        let len = length(packet)?;
        let seconds = u32::try_from(at / NANOS)
            .map_err(|_| PcapError::InvalidField("a time after the year 2106; write pcapng"))?;
        writer.write_raw_packet(&RawPcapPacket {
            ts_sec: seconds,
            ts_frac: (at % NANOS) as u32,
            incl_len: len,
            orig_len: len,
            data: Cow::Borrowed(packet),
        })?;
    }
    Ok(writer.into_writer())
}

fn write_pcapng<'a>(packets: impl Iterator<Item = (&'a [u8], u64)>) -> Result<Vec<u8>, PcapError> {
    let mut writer = PcapNgWriter::new(Vec::new())?;
    writer.write_pcapng_block(InterfaceDescriptionBlock {
        linktype: DataLink::RAW,
        snaplen: SNAP_LEN,
        options: vec![InterfaceDescriptionOption::IfTsResol(NANOSECONDS)],
    })?;
    for (packet, at) in packets {
        writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::from_nanos(at),
            original_len: length(packet)?,
            data: Cow::Borrowed(packet),
            options: Vec::new(),
        })?;
    }
    Ok(writer.into_inner())
}

fn length(packet: &[u8]) -> Result<u32, PcapError> {
    u32::try_from(packet.len())
        .ok()
        .filter(|len| *len <= SNAP_LEN)
        .ok_or(PcapError::InvalidField("a packet of more than 262144 bytes"))
}
