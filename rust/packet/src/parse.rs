//! The one validation of a packet: bytes in, [`Summary`] or [`Malformed`] out.

use std::net::IpAddr;

use zerocopy::FromBytes;

use crate::network::{Network, network};
use crate::wire::{IcmpHeader, TcpHeader, UdpHeader, protocol};
use crate::{Malformed, TcpFlags, Transport};

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
/// The first defect found. [`Malformed::Fragment`] and [`Malformed::TooLong`] come only for packets
/// whose IP header is sound, so that they can be answered.
pub fn parse(bytes: &[u8]) -> Result<Summary, Malformed> {
    parse_up_to(bytes, MAX_PACKET)
}

/// As [`parse`], with another limit.
pub(crate) fn parse_up_to(bytes: &[u8], max: usize) -> Result<Summary, Malformed> {
    let network = network(bytes)?;
    if network.declared_len != bytes.len() {
        return Err(Malformed::LengthMismatch);
    }
    if let Some(first) = network.fragment {
        return Err(Malformed::Fragment { first });
    }
    if bytes.len() > max {
        return Err(Malformed::TooLong);
    }
    let (transport, transport_len) = transport(&network, &bytes[network.len..])?;
    Ok(Summary {
        source: network.source,
        destination: network.destination,
        transport,
        transport_offset: network.len as u16,
        header_len: (network.len + transport_len) as u16,
        ecn: network.ecn,
    })
}

/// The transport of a whole packet and the length of its header.
fn transport(network: &Network, payload: &[u8]) -> Result<(Transport, usize), Malformed> {
    match network.protocol {
        protocol::TCP => tcp(payload),
        protocol::UDP => udp(payload),
        protocol::ICMP | protocol::ICMPV6 => icmp(network, payload),
        protocol => Ok((Transport::Other { protocol }, 0)),
    }
}

fn tcp(payload: &[u8]) -> Result<(Transport, usize), Malformed> {
    let (header, _) = TcpHeader::ref_from_prefix(payload).map_err(|_| Malformed::Truncated)?;
    let len = header.header_len();
    if len < TcpHeader::LEN || len > payload.len() {
        return Err(Malformed::HeaderLength);
    }
    let transport = Transport::Tcp {
        source: header.source.get(),
        destination: header.destination.get(),
        sequence: header.sequence.get(),
        flags: TcpFlags(header.flags),
    };
    Ok((transport, len))
}

fn udp(payload: &[u8]) -> Result<(Transport, usize), Malformed> {
    let (header, _) = UdpHeader::ref_from_prefix(payload).map_err(|_| Malformed::Truncated)?;
    if usize::from(header.length.get()) != payload.len() {
        return Err(Malformed::UdpLength);
    }
    let (source, destination) = (header.source.get(), header.destination.get());
    Ok((Transport::Udp { source, destination }, UdpHeader::LEN))
}

fn icmp(network: &Network, payload: &[u8]) -> Result<(Transport, usize), Malformed> {
    if (network.protocol == protocol::ICMP) != network.source.is_ipv4() {
        return Err(Malformed::IcmpFamily);
    }
    let (header, _) = IcmpHeader::ref_from_prefix(payload).map_err(|_| Malformed::Truncated)?;
    let identifier = header.identifier();
    let transport = match (network.protocol, header.kind) {
        (protocol::ICMP, 8) | (protocol::ICMPV6, 128) => {
            Transport::Echo { identifier, request: true }
        }
        (protocol::ICMP, 0) | (protocol::ICMPV6, 129) => {
            Transport::Echo { identifier, request: false }
        }
        (protocol::ICMP, 3 | 11 | 12) | (protocol::ICMPV6, 1..=4) => Transport::IcmpError,
        (protocol, _) => Transport::Other { protocol },
    };
    Ok((transport, IcmpHeader::LEN))
}
