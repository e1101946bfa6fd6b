//! Opening a TUN device, and what it may leave to us.
// Requests to a device have no safe form.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

use super::virtio;

/// The mode of our devices: whole IP packets, each with a header that says what is left to do.
pub(super) const MODE: libc::c_int = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;

/// Partial checksums and TCP segments; Linux 2.6.27.
const TCP: libc::c_uint =
    libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
/// Segments of UDP, both families or none; Linux 6.2.
const UDP: libc::c_uint = libc::TUN_F_USO4 | libc::TUN_F_USO6;

/// What a device does for us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers {
    /// It gives and takes TCP segments as one packet.
    pub(super) tcp: bool,
    /// The same for UDP.
    pub(super) udp: bool,
}

/// Asks for all that the kernel knows, or for nothing.
pub(super) fn offer(file: &File, wanted: bool) -> Offers {
    let asked = [TCP | UDP, TCP].into_iter().filter(|_| wanted);
    let taken = asked.into_iter().find(|flags| set_offloads(file, *flags).is_ok());
    if taken.is_none() {
        // Those of a former process may be set. What is on already stays correct either way.
        let _ = set_offloads(file, 0);
    }
    Offers { tcp: taken.is_some(), udp: taken.is_some_and(|flags| flags & UDP != 0) }
}

fn set_offloads(file: &File, flags: libc::c_uint) -> io::Result<()> {
    let flags = libc::c_ulong::from(flags);
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, flags) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The header has the short form, in the byte order of this machine: what a new device has.
pub(super) fn set_header(file: &File) -> io::Result<()> {
    let len = virtio::LEN as libc::c_int;
    // SAFETY: TUNSETVNETHDRSZ reads one int behind the pointer, which outlives the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const len) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The part of `struct ifreq` that TUNSETIFF reads.
#[repr(C)]
pub(super) struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    padding: [u8; 22],
}

pub(super) fn attach(name: &[u8]) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    let mut request = InterfaceRequest {
        name: [0; libc::IFNAMSIZ],
        flags: MODE as libc::c_short,
        padding: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name);
    // SAFETY: TUNSETIFF reads and writes one struct ifreq (40 bytes on 64-bit Linux, which
    // InterfaceRequest has) behind the pointer, and the struct outlives the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(file) }
}

/// Packets that a device holds for us. The kernel's own 500 are 8 ms of small packets at 600 Mb/s, less
/// than the thread may wait for a processor; TCP's windows bound what larger ones add up to.
const QUEUE: libc::c_int = 10_000;

/// Gives a device a longer queue. One that cannot have it, since it is somebody else's, works as it is.
pub(super) fn lengthen_queue(name: &[u8]) -> io::Result<()> {
    // Any socket of the namespace will do.
    let socket = UnixDatagram::unbound()?;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        // Each member that is an int stands where `ifr_qlen` does.
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_ifindex: QUEUE },
    };
    for (to, byte) in request.ifr_name.iter_mut().zip(name) {
        *to = *byte as libc::c_char;
    }
    // SAFETY: SIOCSIFTXQLEN reads one struct ifreq behind the pointer, which outlives the call.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFTXQLEN, &raw const request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The device that a descriptor is attached to, and its flags.
pub(super) fn attached(file: &File) -> io::Result<(String, libc::c_short)> {
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
pub(super) fn prepare(file: &File) -> io::Result<()> {
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
}
