//! The ceiling of any tunnel in user space: what one TUN device gives is written to another, nothing else.
//!
//! `tun_copy NAMESPACE DEVICE NAMESPACE DEVICE`: makes both devices, with all offloads, and copies both
//! ways until it is killed. One thread, one read and one write per super-packet. `make bench-macro` builds it.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};

/// Room for the largest super-packet and its virtio-net header.
const ROOM: usize = 65_536 + 10;
/// Super-packets copied one way before the other is looked at.
const BATCH: usize = 64;
/// TUN_F_CSUM, TSO4, TSO6, USO4 and USO6.
const OFFLOADS: libc::c_ulong = 0x01 | 0x02 | 0x04 | 0x20 | 0x40;

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [here, device, there, other] = given.as_slice() else {
        return Err("usage: tun_copy NAMESPACE DEVICE NAMESPACE DEVICE".into());
    };
    let mut ends = [open(here, device)?, open(there, other)?];
    let mut buffer = vec![0; ROOM];
    loop {
        let mut waiting =
            [0, 1].map(|end: usize| PollFd::new(ends[end].as_fd(), PollFlags::POLLIN));
        poll(&mut waiting, PollTimeout::NONE)?;
        let [first, second] = &mut ends;
        copy(first, second, &mut buffer)?;
        copy(second, first, &mut buffer)?;
    }
}

/// Copies what waits, but not more than a batch.
fn copy(from: &mut File, to: &mut File, buffer: &mut [u8]) -> io::Result<()> {
    for _ in 0..BATCH {
        match from.read(buffer) {
            // What the other device does not take is lost, as on any path.
            Ok(len) => drop(to.write(&buffer[..len])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes a device inside a namespace.
#[allow(unsafe_code)]
#[expect(clippy::disallowed_methods, reason = "it reads namespaces and /dev/net/tun")]
fn open(namespace: &str, device: &str) -> Result<File, Box<dyn Error>> {
    setns(File::open(format!("/var/run/netns/{namespace}"))?, CloneFlags::CLONE_NEWNET)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    if device.len() >= libc::IFNAMSIZ {
        return Err(format!("{device} is too long for a device's name").into());
    }
    // struct ifreq: 16 bytes of name, then the flags.
    let mut request = [0_u8; size_of::<libc::ifreq>()];
    request[..device.len()].copy_from_slice(device.as_bytes());
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    request[libc::IFNAMSIZ..][..2].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: TUNSETIFF reads and writes one struct ifreq behind the pointer, whose size the array has.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
    if made < 0 {
        return Err(io::Error::last_os_error().into());
    }
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    let set = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, OFFLOADS) };
    if set < 0 { Err(io::Error::last_os_error().into()) } else { Ok(file) }
}
