//! Packets of a device into a pcapng file (draft-ietf-opsawg-pcapng), with the names of addresses.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::interface_statistics::{
    InterfaceStatisticsBlock, InterfaceStatisticsOption,
};
use pcap_file::pcapng::blocks::name_resolution::{
    Ipv4Record, Ipv6Record, NameResolutionBlock, Record,
};
use pcap_file::{DataLink, PcapError};
use pyo3::prelude::*;

use crate::convert::duration;
use crate::errors::{bad_argument, os_error, tap_error};

/// Time stamps are in nanoseconds: 10 to the minus 9.
const NANOSECONDS: u8 = 9;
/// Directions of a packet as its flags say it.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;
/// Packets between two looks at signals and at the clock.
const BATCH: u64 = 4096;

/// Looks at a network interface and writes what passes into a pcapng file.
///
/// Raises `NeedsPrivilege` without CAP_NET_RAW, `FirezoneError` if there is no such interface, and
/// `OSError` for a file that cannot be written.
#[pyclass(frozen, module = "firezone._core")]
pub(crate) struct Tap {
    open: Mutex<Option<Open>>,
}

struct Open {
    tap: runtime::Tap,
    writer: PcapNgWriter<BufWriter<File>>,
    buffer: Vec<u8>,
    missed: u64,
    last: Duration,
}

#[pymethods]
impl Tap {
    #[new]
    #[pyo3(signature = (device, path, snap_len=65_535))]
    fn new(device: &str, path: &str, snap_len: u32) -> PyResult<Self> {
        let tap = runtime::Tap::open(device).map_err(|error| tap_error(&error))?;
        let file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(os_error)?);
        let mut writer = PcapNgWriter::new(file).map_err(file_error)?;
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            snaplen: snap_len,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(device)),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        };
        writer.write_pcapng_block(interface).map_err(file_error)?;
        let buffer = vec![0; snap_len as usize];
        let open = Open { tap, writer, buffer, missed: 0, last: Duration::ZERO };
        Ok(Self { open: Mutex::new(Some(open)) })
    }

    /// Write names of addresses down, pairs of address and name: whoever reads the file sees names.
    fn name(&self, names: Vec<(IpAddr, String)>) -> PyResult<()> {
        let records = names.into_iter().map(|(address, name)| record(address, name)).collect();
        let block = NameResolutionBlock { records, options: Vec::new() };
        self.with_open(|open| open.writer.write_pcapng_block(block).map(drop).map_err(file_error))
    }

    /// Wait for packets, `patience` seconds at most, and write those that are there, `most` at most;
    /// how many were written. They are in the file when this returns.
    #[pyo3(signature = (patience, most=None))]
    fn write(&self, py: Python<'_>, patience: f64, most: Option<u64>) -> PyResult<u64> {
        let patience = duration(patience)?;
        let most = most.unwrap_or(BATCH).min(BATCH);
        py.detach(|| self.with_open(|open| open.write(patience, most)))
    }

    /// Packets that passed unseen, because nothing took them in time.
    fn missed(&self) -> PyResult<u64> {
        self.with_open(|open| {
            open.missed += u64::from(open.tap.take_missed().map_err(os_error)?);
            Ok(open.missed)
        })
    }

    /// Write the statistics and close the file. Closing again does nothing.
    fn close(&self) -> PyResult<()> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        open.map_or(Ok(()), Open::close)
    }
}

impl Tap {
    fn with_open<T>(&self, use_it: impl FnOnce(&mut Open) -> PyResult<T>) -> PyResult<T> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        use_it(open.as_mut().ok_or_else(|| bad_argument("the capture is closed"))?)
    }
}

impl Open {
    fn write(&mut self, patience: Duration, most: u64) -> PyResult<u64> {
        let mut written = 0;
        if most > 0 && self.tap.wait(patience).map_err(os_error)? {
            while written < most {
                let tapped = self.tap.read(&mut self.buffer).map_err(os_error)?;
                let Some(tapped) = tapped else { break };
                self.packet(tapped)?;
                written += 1;
            }
        }
        self.writer.get_mut().flush().map_err(os_error)?;
        Ok(written)
    }

    fn packet(&mut self, tapped: runtime::Tapped) -> PyResult<()> {
        self.last = tapped.at;
        let direction = if tapped.is_outgoing { OUTBOUND } else { INBOUND };
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: tapped.at,
            original_len: u32::try_from(tapped.original).unwrap_or(u32::MAX),
            data: Cow::Borrowed(&self.buffer[..tapped.len]),
            options: vec![EnhancedPacketOption::Flags(direction)],
        };
        self.writer.write_pcapng_block(block).map(drop).map_err(file_error)
    }

    fn close(mut self) -> PyResult<()> {
        let missed = self.tap.take_missed().map_or(0, u64::from) + self.missed;
        let statistics = InterfaceStatisticsBlock {
            interface_id: 0,
            timestamp: u64::try_from(self.last.as_nanos()).unwrap_or(u64::MAX),
            options: vec![InterfaceStatisticsOption::IsbIfDrop(missed)],
        };
        self.writer.write_pcapng_block(statistics).map_err(file_error)?;
        self.writer.get_mut().flush().map_err(os_error)
    }
}

fn record(address: IpAddr, name: String) -> Record<'static> {
    let names = vec![Cow::Owned(name)];
    match address {
        IpAddr::V4(address) => {
            Record::Ipv4(Ipv4Record { ip_addr: Cow::Owned(address.octets().to_vec()), names })
        }
        IpAddr::V6(address) => {
            Record::Ipv6(Ipv6Record { ip_addr: Cow::Owned(address.octets().to_vec()), names })
        }
    }
}

fn file_error(error: PcapError) -> PyErr {
    let text = error.to_string();
    os_error(if let PcapError::IoError(error) = error { error } else { io::Error::other(text) })
}
