//! One captured frame, reduced to what is compared. Inputs: bytes of a raw IP capture, perhaps cut
//! short; output: its [`Segment`]s, or nothing for what is not TCP.
//!
//! A device with offloads shows many segments as one frame, at either end cut at other places. They are
//! told apart again by the MTU of the tunnel, as the kernel would have cut them.

use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZero;

use foldhash::fast::FixedState;
use packet::MAX_PACKET;

/// An end of a connection.
pub(super) type End = (IpAddr, u16);

pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

const TCP: u8 = 6;
/// TCP header without options (RFC 9293 §3.1).
const TCP_HEADER: usize = 20;
/// Any number will do; it is fixed so that two runs agree.
const SEED: u64 = 0x6361_7074_7572_6573;

/// A TCP segment as the wire showed it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) source: End,
    pub(super) destination: End,
    pub(super) sequence: u32,
    pub(super) flags: u8,
    /// Bytes of payload on the wire, captured or not.
    pub(super) payload: u32,
    /// Of everything in the TCP header that a NAT leaves alone.
    pub(super) identity: u64,
    /// Of the payload's captured beginning; `None` if none of it was captured.
    pub(super) snippet: Option<NonZero<u64>>,
}

impl Segment {
    pub(super) fn is_opening(&self) -> bool {
        self.flags & (SYN | ACK) == SYN
    }
}

/// Reads a frame of link type RAW; `None` for anything but a whole TCP header.
pub(super) fn read(bytes: &[u8]) -> Option<impl Iterator<Item = Segment>> {
    let (source, destination, header, total) = match bytes.first()? >> 4 {
        4 => read_v4(bytes)?,
        6 => read_v6(bytes)?,
        _ => return None,
    };
    let tcp = bytes.get(header..bytes.len().min(total))?;
    let fixed: &[u8; TCP_HEADER] = tcp.first_chunk()?;
    let offset = usize::from(fixed[12] >> 4) * 4;
    let options = tcp.get(TCP_HEADER..offset)?;
    let payload = total.checked_sub(header + offset)?;
    let captured = &tcp[offset..];
    let each = MAX_PACKET.saturating_sub(header + offset).max(1);
    let count = if total > MAX_PACKET { payload.div_ceil(each) } else { 1 };
    let port = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let (source, destination) = ((source, port(0)), (destination, port(2)));
    Some((0..count).map(move |number| {
        let before = if count > 1 { number * each } else { 0 };
        let payload = if number + 1 < count { each } else { payload - before };
        let mut own = *fixed;
        cut(&mut own, number, count, before);
        // Sequence, acknowledgement, flags, window; urgent pointer. No ports, no checksum.
        let len = (payload as u32).to_be_bytes();
        let identity = digest(&[&own[4..16], &own[18..20], options, &len]);
        let beginning = captured.get(before..captured.len().min(before + payload));
        // The last bytes of what was captured are the beginning of a segment by chance alone.
        let beginning = beginning.filter(|_| number == 0);
        Segment {
            source,
            destination,
            sequence: u32::from_be_bytes([own[4], own[5], own[6], own[7]]),
            flags: own[13],
            payload: payload as u32,
            identity,
            snippet: beginning.and_then(|beginning| NonZero::new(digest(&[beginning]))),
        }
    }))
}

/// Makes the header of all that of segment `number` of `count`, `before` bytes behind the first.
fn cut(header: &mut [u8; TCP_HEADER], number: usize, count: usize, before: usize) {
    let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let sequence = sequence.wrapping_add(before as u32);
    header[4..8].copy_from_slice(&sequence.to_be_bytes());
    let first_only = if number > 0 { CWR } else { 0 };
    let last_only = if number + 1 < count { PSH | FIN } else { 0 };
    header[13] &= !(first_only | last_only);
}

/// Addresses, where TCP begins, and where the packet ends.
fn read_v4(bytes: &[u8]) -> Option<(IpAddr, IpAddr, usize, usize)> {
    let fixed: &[u8; 20] = bytes.first_chunk()?;
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *fixed;
    let (source, destination) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3));
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let header = usize::from(fixed[0] & 0x0f) * 4;
    (fixed[9] == TCP).then_some((source.into(), destination.into(), header, total))
}

fn read_v6(bytes: &[u8]) -> Option<(IpAddr, IpAddr, usize, usize)> {
    let fixed: &[u8; 40] = bytes.first_chunk()?;
    let source: [u8; 16] = fixed[8..24].try_into().ok()?;
    let destination: [u8; 16] = fixed[24..40].try_into().ok()?;
    let total = 40 + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let (source, destination) = (Ipv6Addr::from(source), Ipv6Addr::from(destination));
    (fixed[6] == TCP).then_some((source.into(), destination.into(), 40, total))
}

fn digest(parts: &[&[u8]]) -> u64 {
    let mut hasher = FixedState::with_seed(SEED).build_hasher();
    for part in parts {
        hasher.write(part);
    }
    hasher.finish()
}
