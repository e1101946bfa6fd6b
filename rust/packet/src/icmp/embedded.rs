//! The packet that an ICMP error quotes: whose flow it was, and its translation in place (R32,
//! RFC 5508 §4).

use std::net::IpAddr;
use std::ops::Range;

use zerocopy::FromBytes;

use crate::checksum::{self, add, delta, never_zero, update, update_at, update_udp, word_delta};
use crate::network::network;
use crate::wire::{IcmpHeader, field, protocol, put_word, word};
use crate::{Malformed, Protocol, Summary};

/// Least of the quoted transport header: ports, or an echo's identifier, are in it (RFC 792).
const QUOTED: usize = 8;

/// The packet quoted by an ICMP error, as far as it names its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Source address of the quoted packet.
    pub source: IpAddr,
    /// Destination address of the quoted packet.
    pub destination: IpAddr,
    /// Protocol of the quoted packet.
    pub protocol: Protocol,
    /// Source port, or echo identifier.
    pub source_port: u16,
    /// Destination port; 0 for echo.
    pub destination_port: u16,
}

/// Reads the packet that `error` quotes, which may be as short as an IP header and 8 bytes.
///
/// # Errors
/// As [`crate::parse()`] about the error itself; [`Malformed::NotIcmpError`] for any other packet,
/// [`Malformed::Checksum`] if the error's own checksum is wrong (R32), and [`Malformed::Quote`] if
/// what is quoted names no flow.
pub fn embedded(error: &[u8]) -> Result<Embedded, Malformed> {
    locate(error).map(|quote| quote.embedded)
}

/// Puts new addresses into an ICMP error and new addresses and ports into the packet it quotes, all
/// checksums updated, RFC 4884 extensions and everything else kept. Afterwards [`embedded`] returns
/// `quoted`.
///
/// # Errors
/// As [`embedded`]; [`Malformed::Quote`] also if an address is of another family, or `quoted` of
/// another protocol, than what it replaces. Nothing was changed then.
pub fn rewrite_embedded(
    error: &mut [u8],
    outer_source: IpAddr,
    outer_destination: IpAddr,
    quoted: &Embedded,
) -> Result<(), Malformed> {
    let quote = locate(error)?;
    let addresses = [outer_source, outer_destination, quoted.source, quoted.destination];
    let is_ipv4 = quote.outer.source.is_ipv4();
    if addresses.iter().any(|address| address.is_ipv4() != is_ipv4)
        || quoted.protocol != quote.embedded.protocol
    {
        return Err(Malformed::Quote);
    }
    quote.rewrite(&mut error[quote.range.clone()], quoted);
    put_addresses(error, outer_source, outer_destination);
    let offset = usize::from(quote.outer.transport_offset);
    let pseudo = match is_ipv4 {
        true => 0,
        false => {
            let len = error.len() - offset;
            checksum::pseudo_header(outer_source, outer_destination, protocol::ICMPV6, len)
        }
    };
    checksum::complete(&mut error[offset..], field::ICMP_CHECKSUM, pseudo, false);
    Ok(())
}

/// Where an ICMP error quotes what.
struct Quote {
    outer: Summary,
    /// The quoted packet within the error, without RFC 4884 extensions.
    range: Range<usize>,
    /// Bytes of the quoted packet in front of its transport header.
    network_len: usize,
    embedded: Embedded,
}

fn locate(error: &[u8]) -> Result<Quote, Malformed> {
    let outer = crate::parse(error)?;
    if outer.transport != crate::Transport::IcmpError {
        return Err(Malformed::NotIcmpError);
    }
    if !checksum::verify(error, &outer) {
        return Err(Malformed::Checksum);
    }
    let range = usize::from(outer.header_len)..quote_end(error, &outer);
    let quote = &error[range.clone()];
    let network = network(quote).map_err(|_| Malformed::Quote)?;
    if network.source.is_ipv4() != outer.source.is_ipv4() || network.fragment == Some(false) {
        return Err(Malformed::Quote);
    }
    let transport = quote[network.len..].get(..QUOTED).ok_or(Malformed::Quote)?;
    let (protocol, source_port, destination_port) = flow(network.protocol, transport)?;
    let embedded = Embedded {
        source: network.source,
        destination: network.destination,
        protocol,
        source_port,
        destination_port,
    };
    Ok(Quote { outer, range, network_len: network.len, embedded })
}

/// RFC 4884 §4: where a length is given, extensions follow the quote. A length beyond the packet is
/// what other bytes in an old format happen to be.
fn quote_end(error: &[u8], outer: &Summary) -> usize {
    let start = usize::from(outer.header_len);
    let icmp = &error[usize::from(outer.transport_offset)..];
    let Ok((header, _)) = IcmpHeader::ref_from_prefix(icmp) else { return error.len() };
    let len = match (outer.source, header.kind) {
        (IpAddr::V4(_), _) => usize::from(header.rest[1]) * 4,
        (IpAddr::V6(_), 1 | 3) => usize::from(header.rest[0]) * 8,
        (IpAddr::V6(_), _) => 0,
    };
    if len > 0 && start + len <= error.len() { start + len } else { error.len() }
}

/// What the first 8 bytes of a quoted transport header say.
fn flow(number: u8, transport: &[u8]) -> Result<(Protocol, u16, u16), Malformed> {
    let ports = (word(transport, field::SOURCE_PORT), word(transport, field::DESTINATION_PORT));
    match (number, transport[0]) {
        (protocol::TCP, _) => Ok((Protocol::Tcp, ports.0, ports.1)),
        (protocol::UDP, _) => Ok((Protocol::Udp, ports.0, ports.1)),
        (protocol::ICMP, 8 | 0) | (protocol::ICMPV6, 128 | 129) => {
            Ok((Protocol::Icmp, word(transport, field::ECHO_IDENTIFIER), 0))
        }
        _ => Err(Malformed::Quote),
    }
}

impl Quote {
    /// Translates the quoted packet; its checksums are updated as they would be in a whole packet, so
    /// that its sender finds the one it sent.
    fn rewrite(&self, quote: &mut [u8], new: &Embedded) {
        let addresses = put_addresses(quote, new.source, new.destination);
        let transport = &mut quote[self.network_len..];
        let ports = self.put_ports(transport, new);
        let both = add(addresses, ports);
        match (self.embedded.protocol, new.source) {
            (Protocol::Tcp, _) if has_tcp_checksum(transport) => {
                update_at(transport, field::TCP_CHECKSUM, both);
            }
            (Protocol::Tcp, _) => {}
            (Protocol::Udp, _) => {
                let checksum = update_udp(word(transport, field::UDP_CHECKSUM), both);
                put_word(transport, field::UDP_CHECKSUM, checksum);
            }
            (Protocol::Icmp, address) => {
                let delta = if address.is_ipv4() { ports } else { both };
                let checksum = update(word(transport, field::ICMP_CHECKSUM), delta);
                put_word(transport, field::ICMP_CHECKSUM, never_zero(checksum));
            }
        }
    }

    /// Returns what the new ports or identifier add to a sum.
    fn put_ports(&self, transport: &mut [u8], new: &Embedded) -> u16 {
        let old = &self.embedded;
        let source = word_delta(old.source_port, new.source_port);
        if old.protocol == Protocol::Icmp {
            put_word(transport, field::ECHO_IDENTIFIER, new.source_port);
            return source;
        }
        put_word(transport, field::SOURCE_PORT, new.source_port);
        put_word(transport, field::DESTINATION_PORT, new.destination_port);
        add(source, word_delta(old.destination_port, new.destination_port))
    }
}

/// Whether a quoted TCP header reaches to its checksum. If not, RFC 4884 fills up with zeros, which the
/// data offset never is.
fn has_tcp_checksum(transport: &[u8]) -> bool {
    transport.len() >= field::TCP_CHECKSUM + 2 && transport[field::TCP_OFFSET] != 0
}

/// Puts both addresses, of the packet's family, into an IP header; updates IPv4's checksum and returns
/// what the addresses add to a sum.
fn put_addresses(packet: &mut [u8], source: IpAddr, destination: IpAddr) -> u16 {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut new = [0; 8];
            new[..4].copy_from_slice(&source.octets());
            new[4..].copy_from_slice(&destination.octets());
            let place = &mut packet[field::IPV4_SOURCE..][..8];
            let delta = delta(place, &new);
            place.copy_from_slice(&new);
            update_at(packet, field::IPV4_CHECKSUM, delta);
            delta
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut new = [0; 32];
            new[..16].copy_from_slice(&source.octets());
            new[16..].copy_from_slice(&destination.octets());
            let place = &mut packet[field::IPV6_SOURCE..][..32];
            let delta = delta(place, &new);
            place.copy_from_slice(&new);
            delta
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    }
}
