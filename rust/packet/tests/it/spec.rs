//! The reference: a packet as a list of fields, and its bytes, made one packet at a time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use packet::TcpFlags;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

/// A repeatable run.
pub(crate) fn config(cases: u32, seed: u64) -> Config {
    let rng_seed = RngSeed::Fixed(seed);
    Config { cases, rng_seed, failure_persistence: None, ..Config::default() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Udp,
    Echo { request: bool },
}

/// All that a packet's bytes depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) kind: Kind,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Or the identifier of an echo.
    pub(crate) source_port: u16,
    /// Or the sequence number of an echo.
    pub(crate) destination_port: u16,
    pub(crate) traffic_class: u8,
    pub(crate) hops: u8,
    pub(crate) identification: u16,
    pub(crate) dont_fragment: bool,
    pub(crate) flow_label: u32,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: TcpFlags,
    pub(crate) window: u16,
    /// Of IPv4; a multiple of 4 bytes.
    pub(crate) ip_options: Vec<u8>,
    /// Of TCP; a multiple of 4 bytes.
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Spec {
    pub(crate) fn network_len(&self) -> usize {
        if self.source.is_ipv4() { 20 + self.ip_options.len() } else { 40 }
    }

    pub(crate) fn header_len(&self) -> usize {
        self.network_len() + if self.kind == Kind::Tcp { 20 + self.options.len() } else { 8 }
    }

    /// Where the transport checksum stands.
    pub(crate) fn checksum_at(&self) -> usize {
        self.network_len()
            + match self.kind {
                Kind::Tcp => 16,
                Kind::Udp => 6,
                Kind::Echo { .. } => 2,
            }
    }

    pub(crate) fn protocol(&self) -> u8 {
        match (self.kind, self.source) {
            (Kind::Tcp, _) => 6,
            (Kind::Udp, _) => 17,
            (Kind::Echo { .. }, IpAddr::V4(_)) => 1,
            (Kind::Echo { .. }, IpAddr::V6(_)) => 58,
        }
    }

    /// The packet with right checksums.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut packet = self.without_checksum();
        let (at, network) = (self.checksum_at(), self.network_len());
        let has_pseudo_header = self.protocol() != 1;
        let pseudo = if has_pseudo_header { self.pseudo_header(packet.len()) } else { Vec::new() };
        let field = !ones_complement_sum(&[&pseudo, &packet[network..]].concat());
        let field = if self.kind == Kind::Udp && field == 0 { 0xffff } else { field };
        packet[at..at + 2].copy_from_slice(&field.to_be_bytes());
        packet
    }

    /// As virtio-net hands it: the sum of the pseudo-header stands in the field.
    pub(crate) fn partial(&self) -> Vec<u8> {
        let mut packet = self.without_checksum();
        let (at, field) = (self.checksum_at(), self.partial_field());
        packet[at..at + 2].copy_from_slice(&field.to_be_bytes());
        packet
    }

    pub(crate) fn partial_field(&self) -> u16 {
        ones_complement_sum(&self.pseudo_header(self.header_len() + self.payload.len()))
    }

    fn without_checksum(&self) -> Vec<u8> {
        let transport = [&self.transport_header()[..], &self.payload].concat();
        let mut packet = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.ipv4_header(source, destination, transport.len())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.ipv6_header(source, destination, transport.len())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => unreachable!(),
        };
        packet.extend(transport);
        packet
    }

    fn ipv4_header(&self, source: Ipv4Addr, destination: Ipv4Addr, len: usize) -> Vec<u8> {
        let words = self.network_len() / 4;
        let mut header = vec![0x40 + words as u8, self.traffic_class];
        header.extend(((words * 4 + len) as u16).to_be_bytes());
        header.extend(self.identification.to_be_bytes());
        header.extend([if self.dont_fragment { 0x40 } else { 0 }, 0]);
        header.extend([self.hops, self.protocol(), 0, 0]);
        header.extend(source.octets());
        header.extend(destination.octets());
        header.extend(&self.ip_options);
        let checksum = !ones_complement_sum(&header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    fn ipv6_header(&self, source: Ipv6Addr, destination: Ipv6Addr, len: usize) -> Vec<u8> {
        let word = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label;
        let mut header = word.to_be_bytes().to_vec();
        header.extend((len as u16).to_be_bytes());
        header.extend([self.protocol(), self.hops]);
        header.extend(source.octets());
        header.extend(destination.octets());
        header
    }

    fn transport_header(&self) -> Vec<u8> {
        let ports = [self.source_port.to_be_bytes(), self.destination_port.to_be_bytes()].concat();
        match self.kind {
            Kind::Tcp => {
                let offset = (5 + self.options.len() / 4) as u8;
                let mut header = ports;
                header.extend(self.sequence.to_be_bytes());
                header.extend(self.acknowledgement.to_be_bytes());
                header.extend([offset << 4, self.flags.0]);
                header.extend(self.window.to_be_bytes());
                header.extend([0; 4]);
                header.extend(&self.options);
                header
            }
            Kind::Udp => {
                let len = 8 + self.payload.len() as u16;
                [&ports[..], &len.to_be_bytes(), &[0; 2]].concat()
            }
            Kind::Echo { request } => {
                let kind = match (self.source, request) {
                    (IpAddr::V4(_), true) => 8,
                    (IpAddr::V4(_), false) => 0,
                    (IpAddr::V6(_), true) => 128,
                    (IpAddr::V6(_), false) => 129,
                };
                [&[kind, 0, 0, 0][..], &ports].concat()
            }
        }
    }

    fn pseudo_header(&self, packet_len: usize) -> Vec<u8> {
        let len = (packet_len - self.network_len()) as u32;
        let addresses = [octets(self.source), octets(self.destination)].concat();
        let rest = [&len.to_be_bytes()[..], &[0, 0, 0, self.protocol()]].concat();
        [addresses, rest].concat()
    }
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// RFC 1071 by its definition.
pub(crate) fn ones_complement_sum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let total = bytes.chunks(2).map(word).fold(0, |total, word| {
        let total = total + word;
        (total >> 16) + (total & 0xffff)
    });
    total as u16
}

/// Adds with end-around carry.
pub(crate) fn ones_complement_add(a: u16, b: u16) -> u16 {
    let total = u32::from(a) + u32::from(b);
    ((total >> 16) + (total & 0xffff)) as u16
}

prop_compose! {
    /// Small values and extremes are likelier than chance makes them: carries happen there.
    pub(crate) fn address(ipv6: bool)(
        bytes in any::<[u8; 16]>(),
        fill in prop_oneof![3 => Just(None), 1 => Just(Some(0u8)), 1 => Just(Some(0xff))],
    ) -> IpAddr {
        let bytes = fill.map_or(bytes, |fill| [fill; 16]);
        let [a, b, c, d, ..] = bytes;
        if ipv6 { Ipv6Addr::from(bytes).into() } else { Ipv4Addr::new(a, b, c, d).into() }
    }
}

pub(crate) fn port() -> impl Strategy<Value = u16> {
    prop_oneof![4 => any::<u16>(), 1 => Just(0), 1 => Just(0xffff)]
}

pub(crate) fn any_kind() -> impl Strategy<Value = Kind> {
    let echo = any::<bool>().prop_map(|request| Kind::Echo { request });
    prop_oneof![Just(Kind::Tcp), Just(Kind::Udp), echo]
}

pub(crate) fn payload(max: usize) -> impl Strategy<Value = Vec<u8>> {
    (prop_oneof![0..=8usize, 0..=max], any::<u8>(), any::<u8>()).prop_map(|(len, first, step)| {
        (0..len).map(|i| first.wrapping_add((i as u8).wrapping_mul(step))).collect()
    })
}

prop_compose! {
    /// A packet of at most 1280 bytes whose TCP flags are ACK alone.
    pub(crate) fn spec(kinds: impl Strategy<Value = Kind>)(
        kind in kinds,
        ipv6 in any::<bool>(),
        options in 0..=10usize,
        ip_options in prop_oneof![4 => Just(0usize), 1 => 0..=10usize],
    )(
        kind in Just(kind),
        source in address(ipv6),
        destination in address(ipv6),
        ports in (port(), port()),
        (traffic_class, hops) in any::<(u8, u8)>(),
        (identification, dont_fragment) in (port(), any::<bool>()),
        flow_label in 0..1u32 << 20,
        (sequence, acknowledgement, window) in any::<(u32, u32, u16)>(),
        options in prop::collection::vec(any::<u8>(), options * 4),
        ip_options in prop::collection::vec(any::<u8>(), ip_options * 4),
        payload in payload(1280 - 60 - 60),
    ) -> Spec {
        let (source_port, destination_port) = ports;
        Spec {
            kind, source, destination, source_port, destination_port, traffic_class, hops,
            identification, dont_fragment, flow_label, sequence, acknowledgement,
            flags: TcpFlags::ACK, window, ip_options, options, payload,
        }
    }
}

/// Both ends of a packet, for `packet::build`.
pub(crate) fn ends(spec: &Spec) -> (SocketAddr, SocketAddr) {
    let source = SocketAddr::new(spec.source, spec.source_port);
    (source, SocketAddr::new(spec.destination, spec.destination_port))
}
