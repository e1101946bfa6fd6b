//! A Linux TUN device: whole IP packets, one a system call.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use packet::{MAX_PACKET, Train, TrainSink};

use crate::namespace;

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
    segment: [u8; MAX_PACKET],
    counters: TunCounters,
}

/// What went through a device, and what the kernel did not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunCounters {
    /// Packets read.
    pub read: u64,
    /// Packets written.
    pub written: u64,
    /// Writes that the kernel refused (its queue full, the device down).
    pub refused: u64,
}

impl Tun {
    /// Opens device `name` inside the network namespace at `namespace`, without blocking mode and
    /// without offloads: a read gives one packet.
    ///
    /// # Errors
    /// [`TunError`].
    pub fn open(name: &str, namespace: Option<&Path>) -> Result<Self, TunError> {
        let bytes = name.as_bytes();
        let refused = |byte: &u8| *byte == b'/' || byte.is_ascii_whitespace() || *byte == 0;
        if bytes.is_empty() || bytes.len() >= libc::IFNAMSIZ || bytes.iter().any(refused) {
            return Err(TunError::Name(name.to_owned()));
        }
        let file = namespace::inside(namespace, || attach(bytes));
        let file = file.map_err(|source| TunError::Open { name: name.to_owned(), source })?;
        Ok(Self::over(file))
    }

    /// A device, or in a test any other file; it must not block.
    pub(crate) fn over(file: File) -> Self {
        Self { file, segment: [0; MAX_PACKET], counters: TunCounters::default() }
    }

    /// Takes over device `name`, which another process opened as [`Tun::open`] does. What arrived since
    /// it stopped to read waits in the device's queue.
    ///
    /// # Errors
    /// [`TunError::Other`]; the descriptor is closed then.
    pub fn adopt(descriptor: OwnedFd, name: &str) -> Result<Self, TunError> {
        let other = |found: String| TunError::Other { name: name.to_owned(), found };
        let file = File::from(descriptor);
        let (found, flags) = attached(&file).map_err(|_| other("no TUN device".to_owned()))?;
        if found != name {
            return Err(other(format!("that of {found}")));
        }
        let wanted = libc::IFF_TUN | libc::IFF_NO_PI;
        if i32::from(flags) & (wanted | libc::IFF_TAP | libc::IFF_VNET_HDR) != wanted {
            return Err(other("of another mode".to_owned()));
        }
        prepare(&file).map_err(|error| other(error.to_string()))?;
        Ok(Self::over(file))
    }

    /// The descriptor alone, for another process; the device lives as long as anybody holds it.
    pub fn into_fd(self) -> OwnedFd {
        self.file.into()
    }

    /// Reads one packet into `buffer`; `None` when nothing waits.
    ///
    /// # Errors
    /// What the kernel returned: the device is gone.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.file.read(buffer) {
            Ok(len) => {
                self.counters.read += 1;
                Ok(Some(len))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
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
}

impl TrainSink for Tun {
    fn accept(&mut self, train: &Train<'_>) {
        for i in 0..train.segments() {
            let len = train.write_segment(i, &mut self.segment);
            put(&mut self.file, &mut self.counters, &self.segment[..len]);
        }
    }
}

fn put(file: &mut File, counters: &mut TunCounters, packet: &[u8]) {
    match file.write(packet) {
        // A TUN device takes a packet whole or not at all.
        Ok(written) if written == packet.len() => counters.written += 1,
        Ok(_) | Err(_) => counters.refused += 1,
    }
}

/// The part of `struct ifreq` that TUNSETIFF reads.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    padding: [u8; 22],
}

#[allow(unsafe_code)]
fn attach(name: &[u8]) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    let mut request = InterfaceRequest {
        name: [0; libc::IFNAMSIZ],
        flags: (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short,
        padding: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name);
    // SAFETY: TUNSETIFF reads and writes one struct ifreq (40 bytes on 64-bit Linux, which
    // InterfaceRequest has) behind the pointer, and the struct outlives the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(file) }
}

/// The device that a descriptor is attached to, and its flags.
#[allow(unsafe_code)]
fn attached(file: &File) -> io::Result<(String, libc::c_short)> {
    let mut request = InterfaceRequest { name: [0; libc::IFNAMSIZ], flags: 0, padding: [0; 22] };
    // SAFETY: TUNGETIFF writes one struct ifreq behind the pointer; see `attach`.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNGETIFF, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let len = request.name.iter().position(|byte| *byte == 0).unwrap_or(libc::IFNAMSIZ);
    Ok((String::from_utf8_lossy(&request.name[..len]).into_owned(), request.flags))
}

/// Never blocks, and goes to no program that is started.
fn prepare(file: &File) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    fcntl(file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    fcntl(file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_as_large_as_the_kernels() {
        assert_eq!(size_of::<InterfaceRequest>(), size_of::<libc::ifreq>());
    }

    #[test]
    fn impossible_names_are_refused_before_the_kernel_is_asked() {
        for name in ["", "a-name-that-is-too-long", "a/b", "a b", "a\0b"] {
            assert!(matches!(Tun::open(name, None), Err(TunError::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn a_descriptor_of_something_else_is_no_device() {
        let file = File::open("/dev/null").expect("it is everywhere");

        let adopted = Tun::adopt(file.into(), "tun-firezone");

        let error = adopted.expect_err("no device").to_string();
        assert_eq!(
            error,
            "the descriptor that was left for TUN device tun-firezone is no TUN device"
        );
    }
}
