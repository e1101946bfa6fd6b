//! `sendmsg` and `recvmsg` with what rides beside the bytes: segment sizes and ECN. Linux.
// The calls and their ancillary data have no safe form that allocates nothing.
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

use packet::Run;
use socket2::{SockAddr, SockAddrStorage};

/// Room for two control messages of an `int` each, with their headers.
const CONTROL: usize = 64;

/// Control messages, as aligned as their headers must be.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// What one receive call returned.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) from: SocketAddr,
    pub(super) len: usize,
    /// Size of each datagram but the last, if there are several.
    pub(super) segment: Option<usize>,
    pub(super) ecn: u8,
}

/// Whether a send failed because the datagrams were sent as one run: no such offload (EIO, EINVAL),
/// or the path takes only smaller ones unless they are cut up (EMSGSIZE).
pub(super) fn is_about_runs(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE))
}

/// Asks for GRO and for the ECN bits of what arrives, and lets the kernel cut up what a path of a
/// smaller MTU does not take.
pub(super) fn prepare(socket: &UdpSocket, ipv6: bool) -> io::Result<()> {
    // A kernel without GRO gives datagrams one by one.
    let _ = set(socket, libc::SOL_UDP, libc::UDP_GRO, 1);
    if ipv6 {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)
    } else {
        set(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
        set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)
    }
}

fn set(socket: &UdpSocket, level: i32, option: i32, value: i32) -> io::Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`, which lives through the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends `bytes` to where `run` goes, cut up into datagrams of `segment` bytes if that is given.
pub(super) fn send(
    socket: &UdpSocket,
    run: &Run,
    bytes: &[u8],
    segment: Option<u16>,
) -> io::Result<()> {
    let to = SockAddr::from(run.remote);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = Control([0; CONTROL]);
    let mut used = 0;
    if let Some(segment) = segment {
        used += put(&mut control, used, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    if run.ecn != 0 {
        let (level, kind) = if run.remote.is_ipv4() {
            (libc::IPPROTO_IP, libc::IP_TOS)
        } else {
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)
        };
        used += put(&mut control, used, level, kind, &i32::from(run.ecn).to_ne_bytes());
    }
    // SAFETY: an all-zero msghdr is a valid one that describes nothing.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = to.as_ptr().cast_mut().cast();
    header.msg_namelen = to.len();
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    if used > 0 {
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = used as _;
    }
    // SAFETY: every pointer in `header` is to a local or an argument that lives through the call, with
    // its true length; sendmsg writes to none of them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Appends a control message at `used`; the room it takes.
fn put(control: &mut Control, used: usize, level: i32, kind: i32, data: &[u8]) -> usize {
    let header_len = size_of::<libc::cmsghdr>();
    let len = header_len + data.len();
    let space = len.next_multiple_of(align_of::<libc::cmsghdr>());
    let Some(place) = control.0.get_mut(used..used + space) else { return 0 };
    place[..size_of::<usize>()].copy_from_slice(&len.to_ne_bytes());
    place[size_of::<usize>()..][..4].copy_from_slice(&level.to_ne_bytes());
    place[size_of::<usize>() + 4..][..4].copy_from_slice(&kind.to_ne_bytes());
    place[header_len..len].copy_from_slice(data);
    space
}

/// Receives one batch into `buffer`.
pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
    let mut from = SockAddrStorage::zeroed();
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = MaybeUninit::<Control>::zeroed();
    // SAFETY: an all-zero msghdr is a valid one that describes nothing.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = (&raw mut from).cast();
    header.msg_namelen = from.size_of();
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = CONTROL as _;
    // SAFETY: every pointer in `header` is to a local or to `buffer`, with its true length, and
    // nothing else refers to them during the call.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) };
    if len < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel wrote an address of `msg_namelen` bytes into the storage.
    let from = unsafe { SockAddr::new(from, header.msg_namelen) };
    let from = from.as_socket().ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))?;
    let mut received = Received { from, len: len as usize, segment: None, ecn: 0 };
    // SAFETY: `header` is what recvmsg filled in; `control` is still there.
    unsafe { read_control(&header, &mut received) };
    Ok(received)
}

/// Reads what came beside the bytes.
///
/// # Safety
/// `header` must have been filled in by recvmsg, and its control buffer must still exist.
unsafe fn read_control(header: &libc::msghdr, received: &mut Received) {
    // SAFETY: the caller's promise; the kernel wrote well-formed messages of the lengths they state,
    // and at least as many bytes of data as each kind is read for.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(own) = message.as_ref() {
            let data = libc::CMSG_DATA(message);
            match (own.cmsg_level, own.cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let size = ptr::read_unaligned(data.cast::<i32>());
                    received.segment = usize::try_from(size).ok().filter(|size| *size > 0);
                }
                (libc::IPPROTO_IP, libc::IP_TOS) => received.ecn = data.read() & 3,
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    received.ecn = (ptr::read_unaligned(data.cast::<i32>()) & 3) as u8;
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
}
