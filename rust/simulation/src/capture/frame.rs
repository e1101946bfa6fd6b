//! One captured frame, reduced to what is compared. Inputs: bytes of a raw IP capture, perhaps cut
//! short; output: a [`Segment`], or nothing for what is not TCP.

use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::fast::FixedState;

/// An end of a connection.
pub(super) type End = (IpAddr, u16);

pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

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
    /// Of the payload's captured beginning.
    pub(super) snippet: u64,
}

impl Segment {
    pub(super) fn is_opening(&self) -> bool {
        self.flags & (SYN | ACK) == SYN
    }
}

/// Reads a frame of link type RAW; `None` for anything but a whole TCP header.
pub(super) fn read(bytes: &[u8]) -> Option<Segment> {
    let (source, destination, header, total) = match bytes.first()? >> 4 {
        4 => read_v4(bytes)?,
        6 => read_v6(bytes)?,
        _ => return None,
    };
    let tcp = bytes.get(header..bytes.len().min(total))?;
    let fixed: &[u8; TCP_HEADER] = tcp.first_chunk()?;
    let offset = usize::from(fixed[12] >> 4) * 4;
    let options = tcp.get(TCP_HEADER..offset)?;
    let payload = u32::try_from(total.checked_sub(header + offset)?).ok()?;
    let port = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    // Sequence, acknowledgement, flags, window; urgent pointer. No ports, no checksum.
    let identity = digest(&[&fixed[4..16], &fixed[18..20], options, &payload.to_be_bytes()]);
    Some(Segment {
        source: (source, port(0)),
        destination: (destination, port(2)),
        sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        flags: fixed[13],
        payload,
        identity,
        snippet: digest(&[&tcp[offset..]]),
    })
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
