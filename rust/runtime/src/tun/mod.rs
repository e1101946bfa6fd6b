//! A Linux TUN device: one system call for a packet, or for a whole train where the kernel leaves
//! cutting and joining to us (TSO, USO).
//!
//! A kernel that does not know an offload, or refuses a train later on, gets packet by packet.

mod device;
#[cfg(test)]
mod tests;
mod virtio;

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use packet::{MAX_PACKET, MAX_RUN_PACKETS, Protocol, Train, TrainSink};
use smallvec::SmallVec;

use crate::namespace;
use crate::offloads::Offloads;
use device::Offers;
pub(crate) use virtio::Left;

/// Room for the largest packet that a device hands over.
pub(crate) const READ_BUFFER: usize = 65_535 + 40;
/// Room for the headers of a packet, options and extension headers included.
const HEADERS: usize = 256;
/// Both headers in front, then a piece of payload for each packet.
const PIECES: usize = 2 + MAX_RUN_PACKETS;

/// Why a TUN device could not be opened; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TunError {
    /// The name is empty, too long, or has a character that the kernel refuses.
    #[error("{0:?} is no name for a network interface: 1 to 15 bytes without '/' and blanks")]
    Name(String),
    /// The kernel said no.
    #[error("TUN device {name}: {source}; it needs CAP_NET_ADMIN and a readable /dev/net/tun")]
    Open {
        /// The device's name.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A descriptor that another process left is not what it was said to be.
    #[error("the descriptor that was left for TUN device {name} is {found}")]
    Other {
        /// The device's name.
        name: String,
        /// What it is.
        found: String,
    },
}

/// An open TUN device.
#[derive(Debug)]
pub struct Tun {
    file: File,
    offers: Offers,
    segment: [u8; MAX_PACKET],
    counters: TunCounters,
}

/// What went through a device, and what the kernel did not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunCounters {
    /// Packets read, each segment counted.
    pub read: u64,
    /// Packets written, each segment counted.
    pub written: u64,
    /// Writes that the kernel refused (its queue full, the device down).
    pub refused: u64,
    /// System calls that read.
    pub reads: u64,
    /// System calls that wrote.
    pub writes: u64,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Bytes of the packet.
    pub(crate) len: usize,
    /// What is left to do of it.
    pub(crate) left: Left,
}

impl Tun {
    /// Opens device `name` inside the network namespace at `namespace`, without blocking mode.
    ///
    /// # Errors
    /// [`TunError`].
    pub fn open(
        name: &str,
        namespace: Option<&Path>,
        offloads: Offloads,
    ) -> Result<Self, TunError> {
        let bytes = name.as_bytes();
        let refused = |byte: &u8| *byte == b'/' || byte.is_ascii_whitespace() || *byte == 0;
        if bytes.is_empty() || bytes.len() >= libc::IFNAMSIZ || bytes.iter().any(refused) {
            return Err(TunError::Name(name.to_owned()));
        }
        let opened = namespace::inside(namespace, || {
            let file = device::attach(bytes)?;
            device::set_header(&file)?;
            // What the kernel refuses is done without: a queue of its own length.
            let _ = device::lengthen_queue(bytes);
            Ok(file)
        });
        let file = opened.map_err(|source| TunError::Open { name: name.to_owned(), source })?;
        let offers = device::offer(&file, offloads == Offloads::Auto);
        Ok(Self::over(file, offers))
    }

    /// A device, or in a test any other file; it must not block.
    fn over(file: File, offers: Offers) -> Self {
        Self { file, offers, segment: [0; MAX_PACKET], counters: TunCounters::default() }
    }

    /// Something else in the place of a device without offloads, for a test.
    #[cfg(test)]
    pub(crate) fn plain(file: File) -> Self {
        Self::over(file, Offers::default())
    }

    /// Takes over device `name`, which another process opened as [`Tun::open`] does. What arrived since
    /// it stopped to read waits in the device's queue.
    ///
    /// # Errors
    /// [`TunError::Other`]; the descriptor is closed then.
    pub fn adopt(descriptor: OwnedFd, name: &str, offloads: Offloads) -> Result<Self, TunError> {
        let other = |found: String| TunError::Other { name: name.to_owned(), found };
        let file = File::from(descriptor);
        let attached = device::attached(&file);
        let (found, flags) = attached.map_err(|_| other("no TUN device".to_owned()))?;
        if found != name {
            return Err(other(format!("that of {found}")));
        }
        if i32::from(flags) & (device::MODE | libc::IFF_TAP) != device::MODE {
            return Err(other("of another mode".to_owned()));
        }
        let prepared = device::prepare(&file).and_then(|()| device::set_header(&file));
        prepared.map_err(|error| other(error.to_string()))?;
        let offers = device::offer(&file, offloads == Offloads::Auto);
        Ok(Self::over(file, offers))
    }

    /// The descriptor alone, for another process; the device lives as long as anybody holds it.
    pub fn into_fd(self) -> OwnedFd {
        self.file.into()
    }

    /// Reads what comes next into `buffer`, of [`READ_BUFFER`] bytes; `None` when nothing waits.
    ///
    /// # Errors
    /// What the kernel returned: the device is gone.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<Taken>> {
        let mut header = [0; virtio::LEN];
        let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(buffer)];
        self.counters.reads += 1;
        match self.file.read_vectored(&mut parts) {
            Ok(len) => {
                self.counters.read += 1;
                let len = len.saturating_sub(virtio::LEN);
                // What was not offered does not come; cut short it is refused as malformed.
                let taken = virtio::read(&header).map(|left| Taken { len, left });
                Ok(Some(taken.unwrap_or(Taken { len: 0, left: Left::Nothing })))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What was read was `segments` packets and not one.
    pub(crate) fn count_segments(&mut self, segments: usize) {
        self.counters.read += (segments as u64).saturating_sub(1);
    }

    /// Writes one packet; one that the kernel does not take is counted.
    pub(crate) fn write(&mut self, packet: &[u8]) {
        put(&mut self.file, &mut self.counters, packet);
    }

    /// What went through.
    pub fn counters(&self) -> TunCounters {
        self.counters
    }

    /// The descriptor to wait on.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Writes a train as one packet; `false` if that is not possible, and nothing was written.
    fn write_whole(&mut self, train: &Train<'_>) -> bool {
        let mut headers = [0; HEADERS];
        let len = train.write_super_header(&mut headers);
        let Some(header) = virtio::of(train).filter(|_| len > 0) else { return false };
        let mut pieces: SmallVec<[IoSlice<'_>; PIECES]> = SmallVec::new();
        pieces.push(IoSlice::new(&header));
        pieces.push(IoSlice::new(&headers[..len]));
        pieces.extend(train.payloads().map(IoSlice::new));
        self.counters.writes += 1;
        match self.file.write_vectored(&pieces) {
            Ok(_) => self.counters.written += train.segments() as u64,
            Err(error) if is_about_trains(&error) && train.segments() > 1 => {
                // Some kernels refuse what others join (Linux 6.6.47, for one): from now on each alone.
                self.offers = Offers::default();
                return false;
            }
            Err(_) => self.counters.refused += 1,
        }
        true
    }
}

impl TrainSink for Tun {
    fn accept(&mut self, train: &Train<'_>) {
        let offered = match train.summary().transport.flow() {
            Some((Protocol::Tcp, _, _)) => self.offers.tcp,
            Some((Protocol::Udp, _, _)) => self.offers.udp,
            Some((Protocol::Icmp, _, _)) | None => false,
        };
        if train.segments() > 1 && offered && self.write_whole(train) {
            return;
        }
        for i in 0..train.segments() {
            let len = train.write_segment(i, &mut self.segment);
            put(&mut self.file, &mut self.counters, &self.segment[..len]);
        }
    }
}

/// Whether a write failed because of what its header said.
fn is_about_trains(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL)
}

fn put(file: &mut File, counters: &mut TunCounters, packet: &[u8]) {
    let complete = [0; virtio::LEN];
    counters.writes += 1;
    match file.write_vectored(&[IoSlice::new(&complete), IoSlice::new(packet)]) {
        // A TUN device takes a packet whole or not at all.
        Ok(written) if written == virtio::LEN + packet.len() => counters.written += 1,
        Ok(_) | Err(_) => counters.refused += 1,
    }
}
