//! Translation of one address and one port in one direction, with checksums updated rather than
//! recomputed (RFC 1624, R35).

use std::net::IpAddr;

/// One direction of an address-and-port translation, with its checksum deltas computed once
/// (RFC 1624), so that a flow record can keep it. 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    pub(crate) address: [u8; 16],
    pub(crate) address_delta: u16,
    pub(crate) port_delta: u16,
    pub(crate) port: u16,
    pub(crate) kind: Kind,
}

/// Which address of which family a [`Rewrite`] replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    OutboundIpv4,
    OutboundIpv6,
    InboundIpv4,
    InboundIpv6,
    /// The addresses given were of two families: nothing can be replaced.
    Mixed,
}

impl Rewrite {
    /// From a Client to the resource: destination address and source port (or echo identifier).
    ///
    /// Addresses of different families give a rewrite that changes nothing.
    pub fn outbound(
        old_destination: IpAddr,
        new_destination: IpAddr,
        old_source_port: u16,
        new_source_port: u16,
    ) -> Self {
        Self::new(true, old_destination, new_destination, old_source_port, new_source_port)
    }

    /// From the resource to a Client: source address and destination port (or echo identifier).
    ///
    /// Addresses of different families give a rewrite that changes nothing.
    pub fn inbound(
        old_source: IpAddr,
        new_source: IpAddr,
        old_destination_port: u16,
        new_destination_port: u16,
    ) -> Self {
        Self::new(false, old_source, new_source, old_destination_port, new_destination_port)
    }

    fn new(outbound: bool, old: IpAddr, new: IpAddr, old_port: u16, port: u16) -> Self {
        let (kind, address, address_delta) = match (outbound, old, new) {
            (true, IpAddr::V4(_), IpAddr::V4(_)) => (Kind::OutboundIpv4, [0; 16], 0),
            (true, IpAddr::V6(_), IpAddr::V6(_)) => (Kind::OutboundIpv6, [0; 16], 0),
            (false, IpAddr::V4(_), IpAddr::V4(_)) => (Kind::InboundIpv4, [0; 16], 0),
            (false, IpAddr::V6(_), IpAddr::V6(_)) => (Kind::InboundIpv6, [0; 16], 0),
            (_, IpAddr::V4(_), IpAddr::V6(_)) | (_, IpAddr::V6(_), IpAddr::V4(_)) => {
                (Kind::Mixed, [0; 16], 0)
            }
        };
        Self { address, address_delta, port_delta: old_port, port, kind }
    }
}
