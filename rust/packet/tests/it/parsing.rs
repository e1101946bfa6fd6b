//! `parse` against etherparse, and against bytes that are no packets.

use std::net::{IpAddr, SocketAddr};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use packet::{MAX_PACKET, Malformed, Summary, Transport, build, parse, verify};
use proptest::prelude::*;

use crate::spec::{Kind, Spec, any_kind, config, ends, spec};

/// Addresses, ports if there are any, payload offset.
type Reading = (IpAddr, IpAddr, Option<(u16, u16)>, usize);

/// What etherparse says of a packet.
fn oracle(bytes: &[u8]) -> Option<Reading> {
    let sliced = SlicedPacket::from_ip(bytes).ok()?;
    let (source, destination): (IpAddr, IpAddr) = match sliced.net? {
        NetSlice::Ipv4(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        NetSlice::Ipv6(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        NetSlice::Arp(_) => return None,
    };
    let (ports, payload) = match sliced.transport? {
        TransportSlice::Tcp(tcp) => {
            (Some((tcp.source_port(), tcp.destination_port())), tcp.payload().len())
        }
        TransportSlice::Udp(udp) => {
            (Some((udp.source_port(), udp.destination_port())), udp.payload().len())
        }
        TransportSlice::Icmpv4(icmp) => (None, icmp.slice().len() - 8),
        TransportSlice::Icmpv6(icmp) => (None, icmp.slice().len() - 8),
        TransportSlice::Igmp(_) => return None,
    };
    Some((source, destination, ports, bytes.len() - payload))
}

/// Whoever accepts a packet that etherparse knows must read the same in it.
fn assert_agreement(bytes: &[u8], summary: &Summary) {
    let ports = match summary.transport {
        Transport::Tcp { source, destination, .. } | Transport::Udp { source, destination } => {
            Some((source, destination))
        }
        Transport::Echo { .. } | Transport::IcmpError => None,
        Transport::Other { protocol: 1 | 58 } => None,
        Transport::Other { .. } => return,
    };
    let expected = (summary.source, summary.destination, ports, usize::from(summary.header_len));
    assert_eq!(oracle(bytes), Some(expected), "{summary:?}");
}

/// Bytes that were a packet, until some were changed, removed or added.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..64usize);
    (spec(any_kind()), prop::collection::vec(change, 0..4), 0..40usize, any::<bool>()).prop_map(
        |(spec, changes, len, longer)| {
            let mut bytes = spec.packet();
            for (index, value, near_the_front) in changes {
                let index = index.index(bytes.len());
                let index = if near_the_front < 60 { index.min(near_the_front) } else { index };
                bytes[index] = value;
            }
            let len = if longer { bytes.len() + len / 20 } else { bytes.len() - (len / 10) };
            bytes.resize(len, 0);
            bytes
        },
    )
}

/// An IPv6 packet whose chain of headers is drawn at random.
fn chained() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![Just(0u8), Just(43), Just(44), Just(60), Just(51), Just(59)];
    let header = (number, 0..3u8, any::<[u8; 6]>(), any::<bool>());
    (spec(any_kind()), prop::collection::vec(header, 1..11)).prop_map(|(mut spec, headers)| {
        if spec.source.is_ipv4() {
            (spec.source, spec.destination) = (IpAddr::from([7; 16]), IpAddr::from([8; 16]));
        }
        chain(&spec, &headers)
    })
}

fn chain(spec: &Spec, headers: &[(u8, u8, [u8; 6], bool)]) -> Vec<u8> {
    let packet = spec.packet();
    let mut bytes = packet[..40].to_vec();
    bytes[6] = headers[0].0;
    for (i, (number, len, body, calm)) in headers.iter().enumerate() {
        let next = headers.get(i + 1).map_or_else(|| spec.protocol(), |header| header.0);
        let len = if *number == 44 { 0 } else { *len };
        let mut body = *body;
        if *calm {
            // An atomic fragment, or a routing header that has done its work.
            body[..2].fill(0);
        }
        bytes.extend([next, len]);
        bytes.extend(body);
        bytes.resize(bytes.len() + usize::from(len) * 8, 0);
    }
    bytes.extend(&packet[40..]);
    let len = (bytes.len() - 40) as u16;
    bytes[4..6].copy_from_slice(&len.to_be_bytes());
    bytes
}

proptest! {
    #![proptest_config(config(4000, 1))]

    #[test]
    fn arbitrary_bytes_are_errors_and_never_a_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        version in prop_oneof![Just(0x45u8), Just(0x60), any::<u8>()],
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        if let Ok(summary) = parse(&bytes) {
            assert_agreement(&bytes, &summary);
        }
    }

    #[test]
    fn mutated_packets_read_as_etherparse_reads_them(bytes in mutated()) {
        if let Ok(summary) = parse(&bytes) {
            assert_agreement(&bytes, &summary);
        }
    }

    #[test]
    fn extension_headers_are_followed_as_etherparse_follows_them(bytes in chained()) {
        if let Ok(summary) = parse(&bytes) {
            assert_agreement(&bytes, &summary);
        }
    }

    #[test]
    fn sound_packets_parse_to_their_fields(spec in spec(any_kind())) {
        let bytes = spec.packet();
        let summary = parse(&bytes).expect("sound");
        assert_agreement(&bytes, &summary);
        prop_assert!(verify(&bytes, &summary));
        prop_assert_eq!(summary.ecn, spec.traffic_class & 3);
        let transport = match spec.kind {
            Kind::Tcp => Transport::Tcp {
                source: spec.source_port,
                destination: spec.destination_port,
                sequence: spec.sequence,
                flags: spec.flags,
            },
            Kind::Udp => Transport::Udp {
                source: spec.source_port,
                destination: spec.destination_port,
            },
            Kind::Echo { request } => Transport::Echo { identifier: spec.source_port, request },
        };
        prop_assert_eq!(summary.transport, transport);
    }

    #[test]
    fn built_packets_are_those_of_the_reference(spec in spec(any_kind())) {
        let spec = Spec {
            traffic_class: 0, hops: 64, identification: 0, dont_fragment: true, flow_label: 0,
            ip_options: Vec::new(), options: Vec::new(), ..spec
        };
        let (source, destination) = ends(&spec);
        let mut into = [0xaa; MAX_PACKET];
        let len = match spec.kind {
            Kind::Tcp => build::tcp(
                source, destination, spec.sequence, spec.acknowledgement, spec.flags, spec.window,
                &spec.payload, &mut into,
            ),
            Kind::Udp => build::udp(source, destination, &spec.payload, &mut into),
            Kind::Echo { request } => build::echo(
                source.ip(), destination.ip(), spec.source_port, spec.destination_port, request,
                &spec.payload, &mut into,
            ),
        };
        prop_assert_eq!(&into[..len.expect("room")], spec.packet());
    }
}

fn udp(len: usize) -> Vec<u8> {
    let mut into = vec![0; 2000];
    let source = "192.0.2.1:1".parse().expect("address");
    let destination = "192.0.2.2:2".parse().expect("address");
    let len = build::udp(source, destination, &vec![7; len - 28], &mut into);
    into.truncate(len.expect("room"));
    into
}

#[test]
fn r36_fragments_are_told_first_from_later() {
    let mut bytes = udp(100);
    bytes[6] = 0x20;
    assert_eq!(parse(&bytes), Err(Malformed::Fragment { first: true }));
    bytes[7] = 1;
    assert_eq!(parse(&bytes), Err(Malformed::Fragment { first: false }));
    bytes[6] = 0;
    assert_eq!(parse(&bytes), Err(Malformed::Fragment { first: false }));
}

#[test]
fn r36_atomic_ipv6_fragments_pass_and_others_do_not() {
    let base = [0x60, 0, 0, 0, 0, 16, 44, 64];
    let header = |offset: u16| {
        let mut bytes = base.to_vec();
        bytes.extend([7; 32]);
        bytes.extend([17, 0]);
        bytes.extend(offset.to_be_bytes());
        bytes.extend([0, 0, 0, 9, 0, 1, 0, 2, 0, 8, 0, 0]);
        bytes
    };
    let atomic = parse(&header(0)).expect("atomic");
    assert_eq!((atomic.transport_offset, atomic.header_len), (48, 56));
    assert_eq!(parse(&header(1)), Err(Malformed::Fragment { first: true }));
    assert_eq!(parse(&header(8)), Err(Malformed::Fragment { first: false }));
    assert_eq!(parse(&header(9)), Err(Malformed::Fragment { first: false }));
}

#[test]
fn r36_a_long_packet_is_too_long_only_when_sound() {
    assert!(parse(&udp(MAX_PACKET)).is_ok());
    let mut bytes = udp(MAX_PACKET + 1);
    assert_eq!(parse(&bytes), Err(Malformed::TooLong));
    bytes.push(0);
    assert_eq!(parse(&bytes), Err(Malformed::LengthMismatch));
}

#[test]
fn each_defect_has_its_own_error() {
    let with = |at: usize, value: u8| {
        let mut bytes = udp(60);
        bytes[at] = value;
        parse(&bytes)
    };
    assert_eq!(parse(&[]), Err(Malformed::Truncated));
    assert_eq!(with(0, 0x55), Err(Malformed::Version));
    assert_eq!(with(0, 0x44), Err(Malformed::HeaderLength));
    assert_eq!(with(3, 59), Err(Malformed::LengthMismatch));
    assert_eq!(with(25, 39), Err(Malformed::UdpLength));
    assert_eq!(with(9, 58), Err(Malformed::IcmpFamily));
    // As TCP, byte 32 is the data offset.
    let mut bytes = udp(60);
    (bytes[9], bytes[32]) = (6, 0x40);
    assert_eq!(parse(&bytes), Err(Malformed::HeaderLength));
    bytes[32] = 0xf0;
    assert_eq!(parse(&bytes), Err(Malformed::HeaderLength));
}

/// An empty UDP packet behind extension headers of 8 bytes: each one's number, and its fourth byte.
fn behind(headers: &[(u8, u8)]) -> Vec<u8> {
    let ends: [SocketAddr; 2] =
        ["[fd00::1]:7", "[fd00::2]:9"].map(|end| end.parse().expect("an end"));
    let mut bytes = vec![0; 48];
    build::udp(ends[0], ends[1], &[], &mut bytes).expect("room");
    let numbers = headers.iter().map(|(number, _)| *number).chain([17]).collect::<Vec<_>>();
    bytes[6] = numbers[0];
    bytes[5] += 8 * headers.len() as u8;
    let chain = headers.iter().zip(&numbers[1..]);
    let chain = chain.flat_map(|((_, fourth), next)| [*next, 0, 0, *fourth, 0, 0, 0, 0]);
    bytes.splice(40..40, chain);
    bytes
}

#[test]
fn eight_extension_headers_are_followed_and_no_more() {
    const OPTIONS: (u8, u8) = (60, 0);
    for count in 1..=8 {
        let summary = parse(&behind(&vec![OPTIONS; count])).expect("sound");
        assert_eq!(usize::from(summary.transport_offset), 40 + 8 * count);
        assert_eq!(summary.transport, Transport::Udp { source: 7, destination: 9 });
    }
    assert_eq!(parse(&behind(&[OPTIONS; 9])), Err(Malformed::ExtensionHeaders));
}

#[test]
fn extension_headers_that_mean_more_than_they_say_are_refused() {
    let (hop_by_hop, options) = ((0, 0), (60, 0));
    assert!(parse(&behind(&[hop_by_hop, options])).is_ok());
    assert_eq!(parse(&behind(&[options, hop_by_hop])), Err(Malformed::ExtensionHeaders));
    assert!(parse(&behind(&[(43, 0)])).is_ok(), "the route is at its end");
    assert_eq!(parse(&behind(&[(43, 1)])), Err(Malformed::ExtensionHeaders));
    assert!(parse(&behind(&[(44, 0)])).is_ok(), "an atomic fragment (RFC 6946)");
    assert_eq!(parse(&behind(&[(44, 1)])), Err(Malformed::Fragment { first: true }));
    assert_eq!(parse(&behind(&[(44, 8)])), Err(Malformed::Fragment { first: false }));
    let mut long = behind(&[options]);
    long[41] = 1;
    assert_eq!(parse(&long), Err(Malformed::Truncated), "the header ends in the next one");
    long[41] = 9;
    assert_eq!(parse(&long), Err(Malformed::Truncated), "it ends behind the packet");
}
