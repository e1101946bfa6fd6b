//! `icmp::unreachable`: what it writes, verified by etherparse, and when it is silent.

use std::net::IpAddr;

use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};
use etherparse::{icmpv4, icmpv6};
use packet::icmp::{Unreachable, unreachable};
use packet::{MAX_PACKET, Malformed, Transport, parse, verify};
use proptest::prelude::*;

use crate::spec::{Spec, any_kind, config, ones_complement_sum, spec};

const KINDS: [Unreachable; 3] =
    [Unreachable::Network, Unreachable::Prohibited, Unreachable::TooBig { mtu: 1280 }];

/// One host on each side, as the rules for errors demand.
fn sound(spec: Spec) -> Spec {
    let host = |address: IpAddr, last: u8| match address {
        IpAddr::V4(_) => IpAddr::from([192, 0, 2, last]),
        IpAddr::V6(_) => format!("2001:db8::{last}").parse().expect("address"),
    };
    let (source, destination) = (host(spec.source, 1), host(spec.destination, 2));
    Spec { source, destination, dont_fragment: true, ..spec }
}

fn answer(original: &[u8], kind: Unreachable) -> Option<Vec<u8>> {
    let mut into = [0xaa; MAX_PACKET];
    unreachable(original, kind, &mut into).map(|len| into[..len].to_vec())
}

/// Source, destination, hops, checksum validity, and what follows the ICMP header, by etherparse.
fn read(error: &[u8], kind: Unreachable) -> (IpAddr, IpAddr, u8, bool, &[u8]) {
    let sliced = SlicedPacket::from_ip(error).expect("etherparse reads it");
    match (sliced.net.expect("IP"), sliced.transport.expect("ICMP")) {
        (NetSlice::Ipv4(ip), TransportSlice::Icmpv4(icmp)) => {
            use icmpv4::DestUnreachableHeader as Code;
            let expected = match kind {
                Unreachable::Network => Code::Network,
                Unreachable::Prohibited => Code::FilterProhibited,
                Unreachable::TooBig { mtu } => Code::FragmentationNeeded { next_hop_mtu: mtu },
            };
            assert_eq!(icmp.icmp_type(), Icmpv4Type::DestinationUnreachable(expected));
            let header = ip.header();
            let is_right = ones_complement_sum(header.slice()) == 0xffff
                && ones_complement_sum(icmp.slice()) == 0xffff;
            let (source, destination) = (header.source_addr(), header.destination_addr());
            (source.into(), destination.into(), header.ttl(), is_right, &error[28..])
        }
        (NetSlice::Ipv6(ip), TransportSlice::Icmpv6(icmp)) => {
            use icmpv6::DestUnreachableCode as Code;
            let expected = match kind {
                Unreachable::Network => Icmpv6Type::DestinationUnreachable(Code::Address),
                Unreachable::Prohibited => Icmpv6Type::DestinationUnreachable(Code::Prohibited),
                Unreachable::TooBig { mtu } => Icmpv6Type::PacketTooBig { mtu: mtu.into() },
            };
            assert_eq!(icmp.icmp_type(), expected);
            let header = ip.header();
            let is_right = icmp.is_checksum_valid(header.source(), header.destination());
            let (source, destination) = (header.source_addr(), header.destination_addr());
            (source.into(), destination.into(), header.hop_limit(), is_right, &error[48..])
        }
        _ => panic!("not an ICMP error"),
    }
}

proptest! {
    #![proptest_config(config(1500, 5))]

    #[test]
    fn r29_errors_come_from_the_destination_and_quote_as_the_rfcs_say(
        spec in spec(any_kind()),
        kind in prop::sample::select(&KINDS[..]),
    ) {
        let spec = sound(spec);
        let original = spec.packet();
        let error = answer(&original, kind).expect("an answer");
        let (source, destination, hops, is_right, quoted) = read(&error, kind);
        prop_assert_eq!((source, destination), (spec.destination, spec.source));
        prop_assert_eq!(hops, 20);
        prop_assert!(is_right);
        let limit = match source {
            // RFC 792: the IP header and 64 bits. RFC 4443 §2.4(c): up to the minimum MTU.
            IpAddr::V4(_) => spec.network_len() + 8,
            IpAddr::V6(_) => 1280 - 48,
        };
        prop_assert_eq!(quoted, &original[..limit.min(original.len())]);
        let summary = parse(&error).expect("it may pass itself");
        prop_assert_eq!(summary.transport, Transport::IcmpError);
        prop_assert!(verify(&error, &summary));
        prop_assert_eq!(answer(&error, kind), None, "an error about an error");
    }

    #[test]
    fn errors_about_any_bytes_are_sound_or_none(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        version in prop_oneof![Just(0x45u8), Just(0x4f), Just(0x60)],
        next in prop_oneof![Just(0u8), Just(43), Just(44), Just(60), Just(17)],
    ) {
        if bytes.len() > 9 {
            bytes[0] = version;
            bytes[if version == 0x60 { 6 } else { 9 }] = next;
        }
        for kind in KINDS {
            if let Some(error) = answer(&bytes, kind) {
                prop_assert!(read(&error, kind).3);
            }
        }
    }

    #[test]
    fn errors_need_room_for_all_of_themselves(spec in spec(any_kind()), len in 0..120usize) {
        let original = sound(spec).packet();
        let whole = answer(&original, Unreachable::Network).expect("an answer");
        let mut into = vec![0; len];
        let expected = (len >= whole.len()).then_some(whole.len());
        prop_assert_eq!(unreachable(&original, Unreachable::Network, &mut into), expected);
    }
}

fn udp(source: &str, destination: &str, payload: usize) -> Vec<u8> {
    let mut into = vec![0; 3000];
    let source = source.parse().expect("address");
    let destination = destination.parse().expect("address");
    let len = packet::build::udp(source, destination, &vec![1; payload], &mut into);
    into.truncate(len.expect("room"));
    into
}

#[test]
fn rfc_1122_and_4443_no_error_about_packets_to_or_from_more_than_one_host() {
    let others = ["224.0.0.1", "255.255.255.255", "240.0.0.1", "0.0.0.0", "0.1.2.3", "127.0.0.1"];
    let others_v6 = ["ff02::1", "::", "::1"];
    for other in others {
        let (one, other) = ("192.0.2.1:5", format!("{other}:5"));
        assert_eq!(answer(&udp(one, &other, 9), Unreachable::Network), None, "to {other}");
        assert_eq!(answer(&udp(&other, one, 9), Unreachable::Network), None, "from {other}");
    }
    for other in others_v6 {
        let (one, other) = ("[2001:db8::1]:5", format!("[{other}]:5"));
        assert_eq!(answer(&udp(one, &other, 9), Unreachable::Network), None, "to {other}");
        assert_eq!(answer(&udp(&other, one, 9), Unreachable::Network), None, "from {other}");
    }
}

#[test]
fn rfc_1122_and_4443_no_error_about_errors_and_redirects() {
    let mut bytes = [0; 100];
    let (v4, v6) = (IpAddr::from([192, 0, 2, 1]), "2001:db8::1".parse::<IpAddr>().unwrap());
    for (address, offset, silent) in [
        (v4, 20, [3u8, 4, 5, 11, 12].as_slice()),
        (v6, 40, [0, 1, 2, 3, 4, 100, 127, 137].as_slice()),
    ] {
        let len = packet::build::echo(address, address, 1, 1, true, b"x", &mut bytes).unwrap();
        for kind in 0..=255u8 {
            bytes[offset] = kind;
            let is_answered = answer(&bytes[..len], Unreachable::Prohibited).is_some();
            let expected = match address {
                IpAddr::V4(_) => !silent.contains(&kind),
                IpAddr::V6(_) => kind >= 128 && !silent.contains(&kind),
            };
            assert_eq!(is_answered, expected, "{address} type {kind}");
        }
        assert_eq!(answer(&bytes[..offset], Unreachable::Network), None, "type cut off");
    }
}

#[test]
fn r36_only_first_fragments_are_answered() {
    let mut bytes = udp("192.0.2.1:5", "192.0.2.2:5", 9);
    bytes[6] = 0x20;
    assert_eq!(parse(&bytes), Err(Malformed::Fragment { first: true }));
    assert!(answer(&bytes, Unreachable::Network).is_some());
    bytes[7] = 1;
    assert_eq!(answer(&bytes, Unreachable::Network), None);

    let whole = udp("[2001:db8::1]:5", "[2001:db8::2]:5", 8);
    let fragment = |offset: u8| {
        let header = [17, 0, 0, offset, 0, 0, 0, 1];
        let mut bytes = [&whole[..40], &header, &whole[40..]].concat();
        (bytes[5], bytes[6]) = (bytes[5] + 8, 44);
        bytes
    };
    assert!(answer(&fragment(1), Unreachable::Network).is_some());
    assert_eq!(answer(&fragment(8), Unreachable::Network), None);
}

#[test]
fn r36_too_long_is_told_where_df_is_set_and_in_ipv6() {
    let kind = Unreachable::TooBig { mtu: 1280 };
    let mut bytes = udp("192.0.2.1:5", "192.0.2.2:5", 1400);
    assert_eq!(parse(&bytes), Err(Malformed::TooLong));
    let error = answer(&bytes, kind).expect("DF is set");
    assert_eq!(read(&error, kind).4, &bytes[..28]);
    bytes[6] = 0;
    assert_eq!(answer(&bytes, kind), None);

    let bytes = udp("[2001:db8::1]:5", "[2001:db8::2]:5", 1400);
    assert_eq!(parse(&bytes), Err(Malformed::TooLong));
    let error = answer(&bytes, kind).expect("IPv6");
    assert_eq!((error.len(), read(&error, kind).4), (1280, &bytes[..1232]));
}

#[test]
fn what_lies_behind_the_packet_is_not_quoted() {
    let whole = udp("[2001:db8::1]:5", "[2001:db8::2]:5", 8);
    let longer = [&whole[..], b"secret"].concat();
    assert_eq!(answer(&longer, Unreachable::Network), answer(&whole, Unreachable::Network));
}
