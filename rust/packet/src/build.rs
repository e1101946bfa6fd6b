//! Complete packets with right checksums, written into a caller's slice: DNS answers, resets, tests,
//! simulation.
//!
//! IPv4 packets have DF set and identification 0 (RFC 6864 §4.1); TTL and hop limit are 64. All
//! return the packet's length, or `None` if the families differ, `into` is too small or the packet
//! would be longer than a length field can tell.

use std::net::{IpAddr, SocketAddr};

use zerocopy::{FromBytes, IntoBytes};

use crate::checksum::{complete, pseudo_header, sum, verify};
use crate::parse::parse_up_to;
use crate::wire::{
    IcmpHeader, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader, field, protocol, put_word, word,
};
use crate::{TcpFlags, Transport};

/// TTL and hop limit (RFC 1700, *IP time to live*).
const HOPS: u8 = 64;

/// A UDP packet.
pub fn udp(
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
    into: &mut [u8],
) -> Option<usize> {
    let header = UdpHeader {
        source: source.port().into(),
        destination: destination.port().into(),
        length: u16::try_from(UdpHeader::LEN + payload.len()).ok()?.into(),
        checksum: 0.into(),
    };
    let ip = Ip { source: source.ip(), destination: destination.ip(), hops: HOPS };
    ip.packet(protocol::UDP, header.as_bytes(), payload, into)
}

/// A TCP segment without options.
#[expect(clippy::too_many_arguments, reason = "the fields of a header, each of them needed")]
pub fn tcp(
    source: SocketAddr,
    destination: SocketAddr,
    sequence: u32,
    acknowledgement: u32,
    flags: TcpFlags,
    window: u16,
    payload: &[u8],
    into: &mut [u8],
) -> Option<usize> {
    let header = TcpHeader {
        source: source.port().into(),
        destination: destination.port().into(),
        sequence: sequence.into(),
        acknowledgement: acknowledgement.into(),
        offset: (TcpHeader::LEN as u8 / 4) << 4,
        flags: flags.0,
        window: window.into(),
        checksum: 0.into(),
        urgent: 0.into(),
    };
    let ip = Ip { source: source.ip(), destination: destination.ip(), hops: HOPS };
    ip.packet(protocol::TCP, header.as_bytes(), payload, into)
}

/// An ICMP or ICMPv6 echo request or reply.
pub fn echo(
    source: IpAddr,
    destination: IpAddr,
    identifier: u16,
    sequence: u16,
    request: bool,
    payload: &[u8],
    into: &mut [u8],
) -> Option<usize> {
    let (protocol, kind) = match (source, request) {
        (IpAddr::V4(_), true) => (protocol::ICMP, 8),
        (IpAddr::V4(_), false) => (protocol::ICMP, 0),
        (IpAddr::V6(_), true) => (protocol::ICMPV6, 128),
        (IpAddr::V6(_), false) => (protocol::ICMPV6, 129),
    };
    let ([a, b], [c, d]) = (identifier.to_be_bytes(), sequence.to_be_bytes());
    let header = IcmpHeader { kind, code: 0, checksum: 0.into(), rest: [a, b, c, d] };
    let ip = Ip { source, destination, hops: HOPS };
    ip.packet(protocol, header.as_bytes(), payload, into)
}

/// The reply to `request`, one whole echo request with right checksums: its identifier, sequence number
/// and data go back (RFC 792, RFC 4443 §4.2). `None` also if it is something else, or damaged.
pub fn echo_reply(request: &[u8], into: &mut [u8]) -> Option<usize> {
    let summary = parse_up_to(request, usize::MAX).ok()?;
    let Transport::Echo { identifier, request: true } = summary.transport else { return None };
    if !verify(request, &summary) {
        return None;
    }
    let sequence = word(request, usize::from(summary.transport_offset) + field::ECHO_SEQUENCE);
    let data = &request[usize::from(summary.header_len)..];
    echo(summary.destination, summary.source, identifier, sequence, false, data, into)
}

/// The RST that answers `segment`, one whole TCP packet (RFC 9293 §3.10.7.1); `None` also if it is
/// something else or a RST itself.
pub fn reset(segment: &[u8], into: &mut [u8]) -> Option<usize> {
    let summary = parse_up_to(segment, usize::MAX).ok()?;
    let Transport::Tcp { source, destination, sequence, flags } = summary.transport else {
        return None;
    };
    if flags.contains(TcpFlags::RST) {
        return None;
    }
    let from = SocketAddr::new(summary.destination, destination);
    let to = SocketAddr::new(summary.source, source);
    if flags.contains(TcpFlags::ACK) {
        let (header, _) =
            TcpHeader::ref_from_prefix(&segment[usize::from(summary.transport_offset)..]).ok()?;
        let sequence = header.acknowledgement.get();
        return tcp(from, to, sequence, 0, TcpFlags::RST, 0, &[], into);
    }
    let payload = segment.len() - usize::from(summary.header_len);
    let numbered = [TcpFlags::SYN, TcpFlags::FIN].iter().filter(|flag| flags.contains(**flag));
    let received = (payload + numbered.count()) as u32;
    let acknowledgement = sequence.wrapping_add(received);
    tcp(from, to, 0, acknowledgement, TcpFlags::RST | TcpFlags::ACK, 0, &[], into)
}

/// The IP header of a packet under construction.
pub(crate) struct Ip {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) hops: u8,
}

impl Ip {
    /// Writes headers and payload and completes all checksums; the one in `header` must be 0.
    pub(crate) fn packet(
        &self,
        protocol: u8,
        header: &[u8],
        payload: &[u8],
        into: &mut [u8],
    ) -> Option<usize> {
        let transport_len = header.len() + payload.len();
        let network_len = self.put(protocol, transport_len, into)?;
        let segment = into.get_mut(network_len..network_len + transport_len)?;
        segment[..header.len()].copy_from_slice(header);
        segment[header.len()..].copy_from_slice(payload);
        let place = match protocol {
            protocol::TCP => field::TCP_CHECKSUM,
            protocol::UDP => field::UDP_CHECKSUM,
            _ => field::ICMP_CHECKSUM,
        };
        let pseudo = match protocol {
            protocol::ICMP => 0,
            _ => pseudo_header(self.source, self.destination, protocol, transport_len),
        };
        complete(segment, place, pseudo, protocol == protocol::UDP);
        Some(network_len + transport_len)
    }

    /// Writes the IP header and returns its length.
    fn put(&self, protocol: u8, payload: usize, into: &mut [u8]) -> Option<usize> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = Ipv4Header {
                    version_ihl: 0x45,
                    tos: 0,
                    total_length: u16::try_from(Ipv4Header::LEN + payload).ok()?.into(),
                    identification: 0.into(),
                    fragment: Ipv4Header::DONT_FRAGMENT.into(),
                    ttl: self.hops,
                    protocol,
                    checksum: 0.into(),
                    source: source.octets(),
                    destination: destination.octets(),
                };
                let into = into.get_mut(..Ipv4Header::LEN)?;
                into.copy_from_slice(header.as_bytes());
                let checksum = !sum(into);
                put_word(into, field::IPV4_CHECKSUM, checksum);
                Some(Ipv4Header::LEN)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    version_class_flow: (6 << 28).into(),
                    payload_length: u16::try_from(payload).ok()?.into(),
                    next_header: protocol,
                    hop_limit: self.hops,
                    source: source.octets(),
                    destination: destination.octets(),
                };
                into.get_mut(..Ipv6Header::LEN)?.copy_from_slice(header.as_bytes());
                Some(Ipv6Header::LEN)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }
}
