//! Translation of one address and one port in one direction, with checksums updated rather than
//! recomputed (RFC 1624, R35): a right checksum stays right, a wrong one wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum::{
    add, ipv4_delta, ipv6_delta, never_zero, place, update, update_at, update_udp, word_delta,
};
use crate::wire::{field, put_word, word};
use crate::{Checksum, Summary, Transport};

/// One direction of an address-and-port translation, with its checksum deltas computed once
/// (RFC 1624), so that a flow record can keep it. 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    address: [u8; 16],
    address_delta: u16,
    port_delta: u16,
    port: u16,
    kind: Kind,
}

/// Which address of which family is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    OutboundIpv4,
    OutboundIpv6,
    InboundIpv4,
    InboundIpv6,
    /// The addresses given were of two families: nothing can be replaced.
    Mixed,
}

impl Rewrite {
    /// Changes nothing.
    pub const NOTHING: Self =
        Self { address: [0; 16], address_delta: 0, port_delta: 0, port: 0, kind: Kind::Mixed };

    /// From a Client to the resource: destination address and source port (or echo identifier).
    ///
    /// Addresses of different families give a rewrite that changes nothing.
    pub fn outbound(
        old_destination: IpAddr,
        new_destination: IpAddr,
        old_source_port: u16,
        new_source_port: u16,
    ) -> Self {
        let (old, new) = (old_source_port, new_source_port);
        match (old_destination, new_destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Self::outbound_ipv4(from, to, old, new),
            (IpAddr::V6(from), IpAddr::V6(to)) => Self::outbound_ipv6(from, to, old, new),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Self::NOTHING,
        }
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
        let (old, new) = (old_destination_port, new_destination_port);
        match (old_source, new_source) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Self::inbound_ipv4(from, to, old, new),
            (IpAddr::V6(from), IpAddr::V6(to)) => Self::inbound_ipv6(from, to, old, new),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Self::NOTHING,
        }
    }

    /// [`Self::outbound`] for who knows the family.
    #[inline]
    pub fn outbound_ipv4(from: Ipv4Addr, to: Ipv4Addr, old: u16, new: u16) -> Self {
        Self::ipv4(Kind::OutboundIpv4, from, to, (old, new))
    }

    /// [`Self::outbound`] for who knows the family.
    #[inline]
    pub fn outbound_ipv6(from: Ipv6Addr, to: Ipv6Addr, old: u16, new: u16) -> Self {
        Self::ipv6(Kind::OutboundIpv6, from, to, (old, new))
    }

    /// [`Self::inbound`] for who knows the family.
    #[inline]
    pub fn inbound_ipv4(from: Ipv4Addr, to: Ipv4Addr, old: u16, new: u16) -> Self {
        Self::ipv4(Kind::InboundIpv4, from, to, (old, new))
    }

    /// [`Self::inbound`] for who knows the family.
    #[inline]
    pub fn inbound_ipv6(from: Ipv6Addr, to: Ipv6Addr, old: u16, new: u16) -> Self {
        Self::ipv6(Kind::InboundIpv6, from, to, (old, new))
    }

    #[inline]
    fn ipv4(kind: Kind, from: Ipv4Addr, to: Ipv4Addr, (old, port): (u16, u16)) -> Self {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&to.octets());
        let (address_delta, port_delta) = (ipv4_delta(from, to), word_delta(old, port));
        Self { address, address_delta, port_delta, port, kind }
    }

    #[inline]
    fn ipv6(kind: Kind, from: Ipv6Addr, to: Ipv6Addr, (old, port): (u16, u16)) -> Self {
        let (address_delta, port_delta) = (ipv6_delta(from, to), word_delta(old, port));
        Self { address: to.octets(), address_delta, port_delta, port, kind }
    }

    /// The address that is put in.
    pub fn address(&self) -> IpAddr {
        let [a, b, c, d, ..] = self.address;
        match self.kind {
            Kind::OutboundIpv4 | Kind::InboundIpv4 => Ipv4Addr::new(a, b, c, d).into(),
            Kind::OutboundIpv6 | Kind::InboundIpv6 | Kind::Mixed => {
                Ipv6Addr::from(self.address).into()
            }
        }
    }

    /// Rewrites the first header of a train, which parsed as `summary`; the old address and port must
    /// be those the rewrite was made for. A packet of the other family is left alone.
    pub(crate) fn apply(&self, header: &mut [u8], summary: &mut Summary, checksum: Checksum) {
        let (is_ipv4, offset) = match self.kind {
            Kind::OutboundIpv4 => (true, field::IPV4_DESTINATION),
            Kind::OutboundIpv6 => (false, field::IPV6_DESTINATION),
            Kind::InboundIpv4 => (true, field::IPV4_SOURCE),
            Kind::InboundIpv6 => (false, field::IPV6_SOURCE),
            Kind::Mixed => return,
        };
        if is_ipv4 != summary.source.is_ipv4() {
            return;
        }
        if is_ipv4 {
            header[offset..offset + 4].copy_from_slice(&self.address[..4]);
            update_at(header, field::IPV4_CHECKSUM, self.address_delta);
        } else {
            header[offset..offset + 16].copy_from_slice(&self.address);
        }
        *self.address_of(summary) = self.address();
        self.apply_transport(header, summary, checksum);
    }

    fn apply_transport(&self, header: &mut [u8], summary: &mut Summary, checksum: Checksum) {
        let Some((place, pseudo)) = place(summary) else { return };
        let address_delta = if pseudo.is_some() { self.address_delta } else { 0 };
        let port_delta = if self.put_port(header, summary) { self.port_delta } else { 0 };
        let delta = add(address_delta, port_delta);
        let field = word(header, place);
        let field = match (checksum, summary.transport) {
            // R35: it is the sum of the pseudo-header, which has no ports, and is not complemented.
            (Checksum::Partial, _) => add(field, address_delta),
            (Checksum::Whole, Transport::Udp { .. }) => update_udp(field, delta),
            (Checksum::Whole, Transport::Echo { .. }) => never_zero(update(field, delta)),
            (Checksum::Whole, _) => update(field, delta),
        };
        put_word(header, place, field);
    }

    /// Puts the port or identifier into header and summary; false if the packet has none.
    fn put_port(&self, header: &mut [u8], summary: &mut Summary) -> bool {
        let port_offset =
            if self.is_outbound() { field::SOURCE_PORT } else { field::DESTINATION_PORT };
        let offset = match &mut summary.transport {
            Transport::Tcp { source, destination, .. } | Transport::Udp { source, destination } => {
                *(if self.is_outbound() { source } else { destination }) = self.port;
                port_offset
            }
            Transport::Echo { identifier, .. } => {
                *identifier = self.port;
                field::ECHO_IDENTIFIER
            }
            Transport::IcmpError | Transport::Other { .. } => return false,
        };
        put_word(header, usize::from(summary.transport_offset) + offset, self.port);
        true
    }

    fn is_outbound(&self) -> bool {
        matches!(self.kind, Kind::OutboundIpv4 | Kind::OutboundIpv6)
    }

    fn address_of<'s>(&self, summary: &'s mut Summary) -> &'s mut IpAddr {
        if self.is_outbound() { &mut summary.destination } else { &mut summary.source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_record_has_room_for_two() {
        assert_eq!(size_of::<Rewrite>(), 24);
    }
}
