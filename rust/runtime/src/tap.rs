//! Looking at the packets of a device from outside, as a packet analyser does: the data plane neither
//! knows of it nor pays for it. Linux (packet(7)).
// An interface's number as an address, and its counts, have no safe form.
#![allow(unsafe_code)]

use std::io::{self, IoSliceMut};
use std::mem;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::cmsg_space;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Socket, Type};

use crate::room;

/// Bytes that may wait while whoever writes them down is slow.
const RECEIVE_BUFFER: usize = 16 << 20;

/// Why a device cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// There is no such device here.
    #[error("there is no network interface {0:?} in this network namespace")]
    NoDevice(String),
    /// The kernel said no.
    #[error("looking at {device}: {source}; it needs CAP_NET_RAW")]
    Kernel {
        /// The device.
        device: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A packet that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tapped {
    /// Bytes of it that are in the buffer.
    pub len: usize,
    /// Bytes that it had.
    pub original: usize,
    /// When it passed, since the Unix epoch, by the kernel.
    pub at: Duration,
    /// Whether this host sent it.
    pub is_outgoing: bool,
}

/// A look at one device, from its opening on. Packets begin with their IP header.
#[derive(Debug)]
pub struct Tap {
    socket: Socket,
    /// Room for a time stamp.
    control: Vec<u8>,
}

impl Tap {
    /// Looks at `device` of this thread's network namespace.
    ///
    /// # Errors
    /// [`TapError`].
    pub fn open(device: &str) -> Result<Self, TapError> {
        let index = nix::net::if_::if_nametoindex(device)
            .map_err(|_| TapError::NoDevice(device.to_owned()))?;
        let socket = attach(index);
        let socket = socket.map_err(|source| TapError::Kernel { device: device.into(), source })?;
        Ok(Self { socket, control: cmsg_space!(TimeSpec) })
    }

    /// Waits until a packet is there, for `patience` at most; whether one is.
    ///
    /// # Errors
    /// What the kernel returned. A signal ends the wait and is none.
    pub fn wait(&self, patience: Duration) -> io::Result<bool> {
        let mut waits = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        match poll(&mut waits, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::Error::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads one packet into `buffer`, cut off at its end; `None` when nothing waits.
    ///
    /// # Errors
    /// What the kernel returned: the device is gone or was set down.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<Tapped>> {
        let room = buffer.len();
        let mut parts = [IoSliceMut::new(buffer)];
        let (socket, control) = (self.socket.as_raw_fd(), Some(&mut self.control[..]));
        // With it the length that the packet had is returned, and not what fitted.
        let flags = MsgFlags::MSG_TRUNC;
        let received = match recvmsg::<LinkAddr>(socket, &mut parts, control, flags) {
            Ok(received) => received,
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let is_outgoing =
            received.address.is_some_and(|address| address.pkttype() == libc::PACKET_OUTGOING);
        let at = received.cmsgs()?.find_map(time).unwrap_or_default();
        let original = received.bytes;
        Ok(Some(Tapped { len: original.min(room), original, at, is_outgoing }))
    }

    /// Packets that passed unseen, since this was last asked: nothing took them in time.
    ///
    /// # Errors
    /// What the kernel returned.
    pub fn take_missed(&mut self) -> io::Result<u32> {
        let mut counted = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut len = size_of_val(&counted) as libc::socklen_t;
        // SAFETY: the pointers are to locals that live through the call, with the true length.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut counted).cast(),
                &raw mut len,
            )
        };
        if result == 0 { Ok(counted.tp_drops) } else { Err(io::Error::last_os_error()) }
    }
}

fn attach(index: u32) -> io::Result<Socket> {
    // Without a protocol it sees nothing until it is bound, and then that device alone.
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    // With less room more is missed, which is counted.
    room::to_receive(&socket, RECEIVE_BUFFER);
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    // SAFETY: an all-zero sockaddr_ll is a valid one.
    let mut place: libc::sockaddr_ll = unsafe { mem::zeroed() };
    place.sll_family = libc::AF_PACKET as u16;
    place.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    place.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
    let len = size_of_val(&place) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `place`, which lives through the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const place).cast(), len) };
    if bound == 0 { Ok(socket) } else { Err(io::Error::last_os_error()) }
}

fn time(of: ControlMessageOwned) -> Option<Duration> {
    let ControlMessageOwned::ScmTimestampns(time) = of else { return None };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    Some(Duration::new(seconds, u32::try_from(time.tv_nsec()).unwrap_or(0)))
}
