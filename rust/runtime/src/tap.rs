//! Looking at the packets of a device from outside, as a packet analyser does: the data plane neither
//! knows of it nor pays for it. Linux (packet(7)).
// Time stamps and lengths come beside the bytes; the calls for these have no safe form.
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Socket, Type};

/// Bytes that may wait while whoever writes them down is slow.
const RECEIVE_BUFFER: usize = 16 << 20;
/// Room for a time stamp with its header.
const CONTROL: usize = 64;

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
}

#[repr(C, align(8))]
struct Control([u8; CONTROL]);

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
        Ok(Self { socket })
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
        match receive(&self.socket, buffer) {
            Ok(tapped) => Ok(Some(tapped)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
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
    // The wish is enough where the limit is lower: what is missed is counted.
    let _ = set(&socket, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER as i32)
        .or_else(|_| socket.set_recv_buffer_size(RECEIVE_BUFFER));
    set(&socket, libc::SO_TIMESTAMPNS, 1)?;
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

fn set(socket: &Socket, option: i32, value: i32) -> io::Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`, which lives through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            len,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<Tapped> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = MaybeUninit::<Control>::zeroed();
    // SAFETY: all-zero structures of both kinds are valid ones.
    let (mut place, mut header): (libc::sockaddr_ll, libc::msghdr) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    header.msg_name = (&raw mut place).cast();
    header.msg_namelen = size_of_val(&place) as libc::socklen_t;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = CONTROL as _;
    // With MSG_TRUNC the length that it had is returned, and not what fitted.
    // SAFETY: every pointer in `header` is to a local or to `buffer`, with its true length, and
    // nothing else refers to them during the call.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_TRUNC) };
    let original = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: `header` is what recvmsg filled in; `control` is still there.
    let at = unsafe { time_of(&header) };
    let is_outgoing = place.sll_pkttype == libc::PACKET_OUTGOING;
    Ok(Tapped { len: original.min(buffer.len()), original, at, is_outgoing })
}

/// When a packet passed.
///
/// # Safety
/// `header` must have been filled in by recvmsg, and its control buffer must still exist.
unsafe fn time_of(header: &libc::msghdr) -> Duration {
    // SAFETY: the caller's promise; the kernel wrote well-formed messages of the lengths they state,
    // and a time stamp is a whole timespec.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(own) = message.as_ref() {
            if (own.cmsg_level, own.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
                let data = libc::CMSG_DATA(message).cast::<libc::timespec>();
                let time = ptr::read_unaligned(data);
                let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
                return Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0));
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    Duration::ZERO
}
