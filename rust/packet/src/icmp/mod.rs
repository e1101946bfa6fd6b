//! ICMP errors: those made here about packets that go nowhere, and those that come about packets
//! that were translated.

mod embedded;
mod limit;

use std::net::IpAddr;

use zerocopy::IntoBytes;

use crate::MAX_PACKET;
use crate::build::Ip;
use crate::network::{Network, network};
use crate::wire::{IcmpHeader, Ipv6Header, protocol};

pub use embedded::{Embedded, embedded, rewrite_embedded};
pub use limit::TokenBucket;

/// TTL and hop limit of an error (dataplane 3.9).
const HOPS: u8 = 20;
/// Bytes of the transport header that an IPv4 error quotes (RFC 792).
const QUOTED: usize = 8;

/// Why a packet goes nowhere, as its sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// No way there: 3/0, v6 1/3 (R29).
    Network,
    /// Access or filter: 3/13, v6 1/1 (R29).
    Prohibited,
    /// Longer than the tunnel takes: 3/4, only where DF is set; v6 2/0 (R36).
    TooBig {
        /// Longest packet that passes, in bytes.
        mtu: u16,
    },
}

/// Whether a packet that parsed as an ICMP error says *prohibited*: 3/13, v6 1/1 (R29).
pub fn is_prohibited(error: &[u8]) -> bool {
    let Ok(summary) = crate::parse(error) else { return false };
    let kind = error.get(usize::from(summary.transport_offset)..).and_then(|icmp| icmp.get(..2));
    summary.transport == crate::Transport::IcmpError
        && kind == Some(if summary.source.is_ipv4() { &[3, 13] } else { &[1, 1] })
}

/// Writes the ICMP error that answers `original` into `into` and returns its length.
///
/// It comes from the original's destination with TTL or hop limit 20 and quotes the IP header and 8
/// bytes (v4) or as much as fits 1280 bytes (v6); dataplane 3.9. The original may be malformed as
/// long as its headers can be read: a first fragment, or a packet that is too long.
///
/// `None` without room, and where an answer is forbidden (RFC 1122 §3.2.2, RFC 1812 §4.3.2.7,
/// RFC 4443 §2.4(e)): about ICMP errors and redirects, later fragments, packets from or to an address
/// that is not one host, and, for *too big*, IPv4 packets that may be fragmented.
pub fn unreachable(original: &[u8], kind: Unreachable, into: &mut [u8]) -> Option<usize> {
    let network = network(original).ok()?;
    if !may_be_answered(&network, &original[network.len..]) {
        return None;
    }
    if matches!(kind, Unreachable::TooBig { .. })
        && network.source.is_ipv4()
        && !network.dont_fragment
    {
        return None;
    }
    let (protocol, limit) = match network.source {
        IpAddr::V4(_) => (protocol::ICMP, network.len + QUOTED),
        IpAddr::V6(_) => (protocol::ICMPV6, MAX_PACKET - Ipv6Header::LEN - IcmpHeader::LEN),
    };
    // What lies behind the end that the header tells is not the sender's.
    let quoted = &original[..limit.min(original.len()).min(network.declared_len.max(network.len))];
    let ip = Ip { source: network.destination, destination: network.source, hops: HOPS };
    ip.packet(protocol, header(kind, network.source.is_ipv4()).as_bytes(), quoted, into)
}

/// The error's own header, its checksum not yet computed.
fn header(kind: Unreachable, is_ipv4: bool) -> IcmpHeader {
    let (kind, code, mtu) = match (kind, is_ipv4) {
        (Unreachable::Network, true) => (3, 0, 0),
        (Unreachable::Network, false) => (1, 3, 0),
        (Unreachable::Prohibited, true) => (3, 13, 0),
        (Unreachable::Prohibited, false) => (1, 1, 0),
        // RFC 1191 §4: the MTU fills the lower half of the word; RFC 4443 §3.2: all of it.
        (Unreachable::TooBig { mtu }, true) => (3, 4, mtu),
        (Unreachable::TooBig { mtu }, false) => (2, 0, mtu),
    };
    IcmpHeader { kind, code, checksum: 0.into(), rest: u32::from(mtu).to_be_bytes() }
}

/// Whether the rules allow an error about this packet at all.
fn may_be_answered(network: &Network, payload: &[u8]) -> bool {
    network.fragment != Some(false)
        && is_one_host(network.source)
        && is_one_host(network.destination)
        && !is_icmp_error(network.protocol, payload)
}

/// Not unspecified, loopback, multicast, broadcast or class E.
fn is_one_host(address: IpAddr) -> bool {
    let is_reserved = match address {
        IpAddr::V4(address) => address.octets()[0] == 0 || address.octets()[0] >= 240,
        IpAddr::V6(_) => false,
    };
    let is_nobody = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    !is_reserved && !is_nobody
}

/// Errors and redirects; also what may be one, because its type cannot be read.
fn is_icmp_error(protocol: u8, payload: &[u8]) -> bool {
    let kind = payload.first();
    match protocol {
        protocol::ICMP => kind.is_none_or(|kind| matches!(kind, 3 | 4 | 5 | 11 | 12)),
        protocol::ICMPV6 => kind.is_none_or(|kind| matches!(kind, 0..=127 | 137)),
        _ => false,
    }
}
