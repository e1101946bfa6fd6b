//! `sendmmsg` and `recvmmsg` with what rides beside the bytes: segment sizes, ECN, and the address
//! of this host that is spoken to. Linux.
// The calls and their ancillary data have no safe form that allocates nothing.
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

use packet::Run;
use smallvec::SmallVec;
use socket2::{SockAddr, SockAddrStorage};
use tunnel::{Arrival, Datagrams};

use crate::offloads::Offloads;

/// Room for control messages with their headers: two of an `int` each, and one of an address.
const CONTROL: usize = 128;

/// Control messages, as aligned as their headers must be.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Most messages that one receive call returns.
pub(super) const MESSAGES: usize = 64;
/// Room for one message: as many datagrams as GRO joins. A little more than the power of two, so that
/// the beginnings of messages do not all fall into the same few lines of the processor's caches.
const ROOM: usize = 65_536 + 1344;

/// Where messages are received to.
#[derive(Debug)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    arrivals: Vec<Arrival>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; MESSAGES * ROOM], arrivals: Vec::with_capacity(MESSAGES) }
    }

    /// What the last call to [`receive`] brought.
    pub(super) fn datagrams(&mut self) -> Datagrams<'_> {
        Datagrams::many(&mut self.bytes, &self.arrivals)
    }

    pub(super) fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }
}

/// Whether a send failed because the datagrams were sent as one run: no such offload (EIO, EINVAL),
/// or the path takes only smaller ones unless they are cut up (EMSGSIZE).
pub(super) fn is_about_runs(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE))
}

/// Whether a send may have failed because its address is not this host's any more.
pub(super) fn is_about_address(error: &io::Error) -> bool {
    let codes = [libc::EINVAL, libc::EADDRNOTAVAIL, libc::ENETUNREACH, libc::ENODEV];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Asks for GRO, for the ECN bits and the destination of what arrives, and lets the kernel cut up what a path of a
/// smaller MTU does not take.
pub(super) fn prepare(socket: &UdpSocket, ipv6: bool, offloads: Offloads) -> io::Result<()> {
    // A kernel without GRO gives datagrams one by one.
    let joined = i32::from(offloads == Offloads::Auto);
    let _ = set(socket, libc::SOL_UDP, libc::UDP_GRO, joined);
    if ipv6 {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)
    } else {
        set(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
        set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
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

/// Most messages that one send call takes: all runs of most turns.
pub(super) const SENDS: usize = 8;

/// One message to be sent, and what the kernel reads of it.
struct Outgoing {
    to: SockAddr,
    part: libc::iovec,
    control: Control,
    used: usize,
}

impl Outgoing {
    /// `bytes` on the way of `run`, cut up into datagrams of `segment` bytes if that is given.
    fn new(run: &Run, bytes: &[u8], segment: Option<u16>) -> Self {
        let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let mut control = Control([0; CONTROL]);
        let mut used = 0;
        if let Some(segment) = segment {
            used +=
                put(&mut control, used, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
        }
        if run.ecn != 0 {
            let (level, kind) = if run.route.remote.is_ipv4() {
                (libc::IPPROTO_IP, libc::IP_TOS)
            } else {
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)
            };
            used += put(&mut control, used, level, kind, &i32::from(run.ecn).to_ne_bytes());
        }
        used += put_source(&mut control, used, run.route.local);
        Self { to: SockAddr::from(run.route.remote), part, control, used }
    }

    /// What points to it; valid as long as it stays where it is.
    fn header(&mut self) -> libc::mmsghdr {
        // SAFETY: an all-zero mmsghdr is a valid one that describes nothing.
        let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
        header.msg_hdr.msg_name = self.to.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = self.to.len();
        header.msg_hdr.msg_iov = &raw mut self.part;
        header.msg_hdr.msg_iovlen = 1;
        if self.used > 0 {
            header.msg_hdr.msg_control = self.control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = self.used as _;
        }
        header
    }
}

/// Sends the bytes of each run to where it goes, with one call: a run of several datagrams is cut up by
/// the kernel. Returns how many of the runs, at most [`SENDS`], were sent before one failed.
///
/// # Errors
/// What the kernel said of the first one.
pub(super) fn send(socket: &UdpSocket, runs: &[(&Run, &[u8])]) -> io::Result<usize> {
    let mut messages: SmallVec<[Outgoing; SENDS]> = runs
        .iter()
        .take(SENDS)
        .map(|(run, bytes)| {
            let segment = (run.datagrams() > 1).then_some(run.datagram_size as u16);
            Outgoing::new(run, bytes, segment)
        })
        .collect();
    let mut headers: SmallVec<[libc::mmsghdr; SENDS]> =
        messages.iter_mut().map(Outgoing::header).collect();
    // SAFETY: every pointer in the headers is to one of `messages`, which are not moved any more, or to
    // an argument, with its true length; sendmmsg writes to the headers' counts alone.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            headers.len() as u32,
            libc::MSG_NOSIGNAL,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

/// Appends the address that a datagram is to come from, on whichever interface; the room it takes.
fn put_source(control: &mut Control, used: usize, local: Option<IpAddr>) -> usize {
    match local {
        // struct in_pktinfo: interface, local address, and one that matters on arrival alone.
        Some(IpAddr::V4(address)) => {
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&address.octets());
            put(control, used, libc::IPPROTO_IP, libc::IP_PKTINFO, &info)
        }
        // struct in6_pktinfo: address, interface.
        Some(IpAddr::V6(address)) => {
            let mut info = [0; 20];
            info[..16].copy_from_slice(&address.octets());
            put(control, used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info)
        }
        None => 0,
    }
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

/// What the kernel is given of each message.
struct Place {
    from: SockAddrStorage,
    part: libc::iovec,
    control: Control,
}

/// Receives up to `most` messages into `inbox`; returns how many came. Those from an address that is
/// none of the internet's count, and are not among the arrivals.
pub(super) fn receive(socket: &UdpSocket, inbox: &mut Inbox, most: usize) -> io::Result<usize> {
    inbox.arrivals.clear();
    let most = most.clamp(1, MESSAGES);
    let mut places: [MaybeUninit<Place>; MESSAGES] = [const { MaybeUninit::uninit() }; MESSAGES];
    let mut headers: [MaybeUninit<libc::mmsghdr>; MESSAGES] =
        [const { MaybeUninit::uninit() }; MESSAGES];
    let rooms = inbox.bytes.chunks_exact_mut(ROOM).take(most);
    for ((place, header), room) in places.iter_mut().zip(&mut headers).zip(rooms) {
        let part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: ROOM };
        let from = SockAddrStorage::zeroed();
        let place = place.write(Place { from, part, control: Control([0; CONTROL]) });
        // SAFETY: an all-zero mmsghdr is a valid one that describes nothing.
        let header = header.write(unsafe { mem::zeroed() });
        header.msg_hdr.msg_name = (&raw mut place.from).cast();
        header.msg_hdr.msg_namelen = size_of::<SockAddrStorage>() as _;
        header.msg_hdr.msg_iov = &raw mut place.part;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = place.control.0.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = CONTROL as _;
    }
    // SAFETY: the first `most` headers are initialised, and every pointer in them is to a place or to a
    // part of the inbox of its own, with its true length; nothing else refers to them during the call.
    let came = unsafe {
        let headers = headers.as_mut_ptr().cast::<libc::mmsghdr>();
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers,
            most as u32,
            libc::MSG_DONTWAIT,
            ptr::null_mut(),
        )
    };
    if came < 0 {
        return Err(io::Error::last_os_error());
    }
    let came = came as usize;
    for (number, (place, header)) in places.iter().zip(&headers).take(came).enumerate() {
        // SAFETY: more than `number` places and headers were initialised before the call.
        let (place, header) = unsafe { (place.assume_init_ref(), header.assume_init_ref()) };
        // SAFETY: recvmmsg filled the header in, and its control buffer is still there.
        let arrival = unsafe { arrival(place, header, (number * ROOM) as u32) };
        inbox.arrivals.extend(arrival);
    }
    Ok(came)
}

/// What came with one message, which begins at `start`.
///
/// # Safety
/// `header` must be one that recvmmsg filled in, with pointers into `place`.
unsafe fn arrival(place: &Place, header: &libc::mmsghdr, start: u32) -> Option<Arrival> {
    // SAFETY: the kernel wrote an address of `msg_namelen` bytes into the storage, which is plain bytes.
    let from =
        unsafe { SockAddr::new(ptr::read(&raw const place.from), header.msg_hdr.msg_namelen) };
    let from = from.as_socket()?;
    let len = header.msg_len;
    let mut arrival = Arrival { route: from.into(), start, len, size: len.max(1), ecn: 0 };
    // SAFETY: the caller's promise.
    unsafe { read_control(&header.msg_hdr, &mut arrival) };
    Some(arrival)
}

/// Reads what came beside the bytes.
///
/// # Safety
/// `header` must have been filled in by recvmmsg, and its control buffer must still exist.
unsafe fn read_control(header: &libc::msghdr, arrival: &mut Arrival) {
    // SAFETY: the caller's promise; the kernel wrote well-formed messages of the lengths they state,
    // and at least as many bytes of data as each kind is read for.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(own) = message.as_ref() {
            let data = libc::CMSG_DATA(message);
            match (own.cmsg_level, own.cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let size = ptr::read_unaligned(data.cast::<i32>());
                    arrival.size =
                        u32::try_from(size).ok().filter(|of| *of > 0).unwrap_or(arrival.size);
                }
                (libc::IPPROTO_IP, libc::IP_TOS) => arrival.ecn = data.read() & 3,
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    arrival.ecn = (ptr::read_unaligned(data.cast::<i32>()) & 3) as u8;
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = ptr::read_unaligned(data.cast::<[u8; 12]>());
                    let address: [u8; 4] = [info[8], info[9], info[10], info[11]];
                    arrival.route.local = destination(IpAddr::from(address));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let address = ptr::read_unaligned(data.cast::<[u8; 16]>());
                    arrival.route.local = destination(IpAddr::from(address));
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
}

/// An address that answers can come from: none of a single link, which needs an interface, too.
fn destination(address: IpAddr) -> Option<IpAddr> {
    let is_usable = match address {
        IpAddr::V4(address) => !address.is_multicast() && !address.is_broadcast(),
        IpAddr::V6(address) => !address.is_multicast() && !address.is_unicast_link_local(),
    };
    is_usable.then_some(address)
}
