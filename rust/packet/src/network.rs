//! The IP layer of a packet that may be cut short, a fragment or too long: what `parse` starts from,
//! and what is left to read of a packet that an ICMP error is about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::FromBytes;

use crate::Malformed;
use crate::wire::{Ipv4Header, Ipv6Header, protocol};

/// Most IPv6 extension headers in one packet. RFC 8504 §5.3 lets a host limit them to less.
const MAX_EXTENSION_HEADERS: usize = 8;

/// What the IP header says, extension headers included.
pub(crate) struct Network {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Of the transport header (or what follows the fragment header).
    pub(crate) protocol: u8,
    /// Bytes in front of the transport header, within the packet.
    pub(crate) len: usize,
    /// Length of the packet as the header tells it.
    pub(crate) declared_len: usize,
    /// `Some(first)` if this is a fragment, atomic ones excepted (RFC 6946).
    pub(crate) fragment: Option<bool>,
    /// IPv4's DF.
    pub(crate) dont_fragment: bool,
    pub(crate) ecn: u8,
}

/// Reads the IP layer. Only the headers must be there, not the packet's declared length.
pub(crate) fn network(bytes: &[u8]) -> Result<Network, Malformed> {
    match bytes.first().ok_or(Malformed::Truncated)? >> 4 {
        4 => ipv4(bytes),
        6 => ipv6(bytes),
        _ => Err(Malformed::Version),
    }
}

fn ipv4(bytes: &[u8]) -> Result<Network, Malformed> {
    let (header, _) = Ipv4Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
    let len = header.header_len();
    if len < Ipv4Header::LEN {
        return Err(Malformed::HeaderLength);
    }
    if len > bytes.len() {
        return Err(Malformed::Truncated);
    }
    Ok(Network {
        source: Ipv4Addr::from(header.source).into(),
        destination: Ipv4Addr::from(header.destination).into(),
        protocol: header.protocol,
        len,
        declared_len: header.total_length.get().into(),
        fragment: header.fragment(),
        dont_fragment: header.dont_fragment(),
        ecn: header.tos & 3,
    })
}

fn ipv6(bytes: &[u8]) -> Result<Network, Malformed> {
    let (header, _) = Ipv6Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
    let chain = match header.next_header {
        protocol::TCP | protocol::UDP | protocol::ICMPV6 => {
            Chain { protocol: header.next_header, len: Ipv6Header::LEN, fragment: None }
        }
        first => extension_headers(bytes, first)?,
    };
    Ok(Network {
        source: Ipv6Addr::from(header.source).into(),
        destination: Ipv6Addr::from(header.destination).into(),
        protocol: chain.protocol,
        len: chain.len,
        declared_len: Ipv6Header::LEN + usize::from(header.payload_length.get()),
        fragment: chain.fragment,
        dont_fragment: false,
        ecn: (header.version_class_flow.get() >> Ipv6Header::ECN_SHIFT) as u8 & 3,
    })
}

/// Where a chain of extension headers ends.
struct Chain {
    protocol: u8,
    len: usize,
    fragment: Option<bool>,
}

/// Follows the chain to the transport header, or behind the header of a later fragment.
fn extension_headers(bytes: &[u8], first: u8) -> Result<Chain, Malformed> {
    let mut chain = Chain { protocol: first, len: Ipv6Header::LEN, fragment: None };
    for position in 0..=MAX_EXTENSION_HEADERS {
        let header = match chain.protocol {
            // RFC 8200 §4.1: hop-by-hop options stand only behind the IPv6 header.
            protocol::HOP_BY_HOP if position > 0 => return Err(Malformed::ExtensionHeaders),
            protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::DESTINATION_OPTIONS => {
                *bytes[chain.len..].first_chunk::<8>().ok_or(Malformed::Truncated)?
            }
            _ => return Ok(chain),
        };
        if chain.follow(&header)? {
            return Ok(chain);
        }
        if chain.len > bytes.len() {
            return Err(Malformed::Truncated);
        }
    }
    Err(Malformed::ExtensionHeaders)
}

impl Chain {
    /// Steps over one header; true if what follows cannot be read, because it is in another fragment.
    fn follow(&mut self, header: &[u8; 8]) -> Result<bool, Malformed> {
        let [next, length, _, segments_left, ..] = *header;
        if self.protocol == protocol::FRAGMENT {
            // Offset in units of 8 bytes (13 bits), two reserved bits, more fragments.
            let offset = u16::from_be_bytes([header[2], header[3]]);
            if offset & 0xfff9 != 0 {
                self.fragment = Some(offset >> 3 == 0);
            }
            self.len += 8;
        } else {
            // The checksum covers the last destination, which is not the one in the IPv6 header.
            if self.protocol == protocol::ROUTING && segments_left != 0 {
                return Err(Malformed::ExtensionHeaders);
            }
            self.len += (usize::from(length) + 1) * 8;
        }
        self.protocol = next;
        Ok(self.fragment == Some(false))
    }
}
