//! Translation of one address and one port in one direction, with checksums updated rather than
//! recomputed (RFC 1624, R35): a right checksum stays right, a wrong one wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum::{add, delta, never_zero, place, update, update_at, update_udp, word_delta};
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
    /// From a Client to the resource: destination address and source port (or echo identifier).
    ///
    /// Addresses of different families give a rewrite that changes nothing.
    pub fn outbound(
        old_destination: IpAddr,
        new_destination: IpAddr,
        old_source_port: u16,
        new_source_port: u16,
    ) -> Self {
        let kinds = (Kind::OutboundIpv4, Kind::OutboundIpv6);
        Self::new(kinds, old_destination, new_destination, old_source_port, new_source_port)
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
        let kinds = (Kind::InboundIpv4, Kind::InboundIpv6);
        Self::new(kinds, old_source, new_source, old_destination_port, new_destination_port)
    }

    fn new(kinds: (Kind, Kind), old: IpAddr, new: IpAddr, old_port: u16, port: u16) -> Self {
        let mut address = [0; 16];
        let (kind, address_delta) = match (old, new) {
            (IpAddr::V4(old), IpAddr::V4(new)) => {
                address[..4].copy_from_slice(&new.octets());
                (kinds.0, delta(&old.octets(), &new.octets()))
            }
            (IpAddr::V6(old), IpAddr::V6(new)) => {
                address = new.octets();
                (kinds.1, delta(&old.octets(), &new.octets()))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => (Kind::Mixed, 0),
        };
        Self { address, address_delta, port_delta: word_delta(old_port, port), port, kind }
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

    fn address(&self) -> IpAddr {
        let [a, b, c, d, ..] = self.address;
        match self.kind {
            Kind::OutboundIpv4 | Kind::InboundIpv4 => Ipv4Addr::new(a, b, c, d).into(),
            Kind::OutboundIpv6 | Kind::InboundIpv6 | Kind::Mixed => {
                Ipv6Addr::from(self.address).into()
            }
        }
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
