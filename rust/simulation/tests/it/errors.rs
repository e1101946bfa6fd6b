//! ICMP errors of the site reach the Client about the packet that it knows (R32).

use std::net::IpAddr;

use packet::icmp::{self, Unreachable};
use packet::{TcpFlags, build, parse};
use simulation::Side;
use simulation::pair::CLIENT_IPV6;
use tunnel::messages::InspectGateway;

use crate::rig::{CLIENT, NAME, Rig, addresses, icmp as kind, tcp, udp};

fn error_about(packet: &[u8], why: Unreachable) -> Vec<u8> {
    let mut error = vec![0; 1280];
    let len = icmp::unreachable(packet, why, &mut error).expect("an error");
    error.truncate(len);
    error
}

#[test]
fn r32_an_error_quotes_the_proxy_address_and_comes_from_it() {
    let mut rig = Rig::new();
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.send_udp(5000, (proxy, 80), b"x");
    rig.advance(100);
    let sent = rig.delivered(Side::Gateway).remove(0);
    rig.delivered(Side::Client);

    rig.send(Side::Gateway, error_about(&sent, Unreachable::Network));
    rig.advance(200);

    let errors = rig.delivered(Side::Client);
    assert_eq!(kind(&errors[0]), (4, 3, 0));
    assert_eq!(addresses(&errors[0]).0, proxy);
    let quoted = icmp::embedded(&errors[0]).expect("a quote with right checksums");
    assert_eq!(quoted.source, IpAddr::from(CLIENT));
    assert_eq!(quoted.destination, proxy);
    assert_eq!((quoted.source_port, quoted.destination_port), (5000, 80));
}

/// An error of any type and code about a packet, cut to `quoted` bytes behind its IP header, with what
/// RFC 4884 puts behind it.
fn error_of(packet: &[u8], (kind, code): (u8, u8), quoted: usize, extension: &[u8]) -> Vec<u8> {
    let summary = parse(packet).expect("valid");
    let header = usize::from(summary.transport_offset);
    let mut quote = packet[..packet.len().min(header + quoted)].to_vec();
    let is_ipv4 = summary.source.is_ipv4();
    let unit = if is_ipv4 { 4 } else { 8 };
    if !extension.is_empty() {
        // §4.2: at least 128 bytes, filled up with zeros.
        quote.resize(quote.len().max(128).next_multiple_of(unit), 0);
    }
    let mut error = error_about(packet, Unreachable::Network);
    error.truncate(if is_ipv4 { 28 } else { 48 });
    let at = error.len() - 8;
    (error[at], error[at + 1]) = (kind, code);
    error[at + 4..].fill(0);
    if !extension.is_empty() {
        error[at + if is_ipv4 { 5 } else { 4 }] = (quote.len() / unit) as u8;
    }
    error.extend_from_slice(&quote);
    error.extend_from_slice(extension);
    let length = error.len() as u16;
    if is_ipv4 {
        error[2..4].copy_from_slice(&length.to_be_bytes());
    } else {
        error[4..6].copy_from_slice(&(length - 40).to_be_bytes());
    }
    complete(&mut error, at);
    error
}

/// The checksums of an ICMP packet, by definition (RFC 1071, RFC 4443 §2.3).
fn complete(packet: &mut [u8], at: usize) {
    fn sum(bytes: &[u8]) -> u32 {
        bytes.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(*c.get(1).unwrap_or(&0))).sum()
    }
    fn fold(mut total: u32) -> [u8; 2] {
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        (!(total as u16)).to_be_bytes()
    }
    packet[at + 2..at + 4].fill(0);
    let mut total = sum(&packet[at..]);
    if at == 40 {
        total += sum(&packet[8..40]) + (packet.len() - 40) as u32 + 58;
    } else {
        packet[10..12].fill(0);
        let header = fold(sum(&packet[..20]));
        packet[10..12].copy_from_slice(&header);
    }
    let checksum = fold(total);
    packet[at + 2..at + 4].copy_from_slice(&checksum);
}

/// Packets of three protocols to a proxy address, as the Client sends them.
fn of_each_protocol(client: IpAddr, proxy: IpAddr) -> [Vec<u8>; 3] {
    let mut echo = vec![0; 1280];
    let len = build::echo(client, proxy, 9, 1, true, &[7; 64], &mut echo);
    echo.truncate(len.expect("it fits"));
    [
        udp((client, 5000), (proxy, 80), &[7; 64]),
        tcp((client, 5000), (proxy, 80), 1, TcpFlags::SYN),
        echo,
    ]
}

const IPV4_ERRORS: [(u8, u8); 14] = [
    (3, 0),
    (3, 1),
    (3, 2),
    (3, 3),
    (3, 4),
    (3, 5),
    (3, 9),
    (3, 10),
    (3, 13),
    (11, 0),
    (11, 1),
    (12, 0),
    (12, 1),
    (12, 2),
];
const IPV6_ERRORS: [(u8, u8); 13] = [
    (1, 0),
    (1, 1),
    (1, 2),
    (1, 3),
    (1, 4),
    (1, 5),
    (1, 6),
    (2, 0),
    (3, 0),
    (3, 1),
    (4, 0),
    (4, 1),
    (4, 2),
];

#[test]
fn r32_every_kind_of_error_about_every_protocol_is_translated_whole() {
    let ends: [(IpAddr, &[(u8, u8)]); 2] =
        [(CLIENT.into(), &IPV4_ERRORS), (CLIENT_IPV6.into(), &IPV6_ERRORS)];
    for (client, kinds) in ends {
        let mut rig = Rig::new();
        let proxies = rig.proxies(NAME);
        let proxy: IpAddr =
            if client.is_ipv4() { proxies.ipv4[0].into() } else { proxies.ipv6[0].into() };
        rig.advance(100);
        rig.delivered(Side::Client);
        for packet in of_each_protocol(client, proxy) {
            rig.send(Side::Client, packet.clone());
            rig.advance(200);
            let sent = rig.delivered(Side::Gateway).remove(0);
            for &(kind, code) in kinds {
                let extensible = matches!((client.is_ipv4(), kind), (true, _) | (false, 1 | 3));
                for (quoted, extension) in
                    [(8, &b""[..]), (64, b""), (64, b"\x20\0\0\0\0\x08\x01\x01abcd")]
                {
                    if !extension.is_empty() && (!extensible || (kind, code) == (3, 4)) {
                        continue;
                    }
                    rig.send(Side::Gateway, error_of(&sent, (kind, code), quoted, extension));
                    let what = format!("{kind}/{code}, {quoted} bytes, {client}");
                    check(&rig.delivered(Side::Client), &packet, (kind, code), extension, &what);
                }
            }
        }
    }
}

/// Holds what reached the Client's host against what it sent.
fn check(got: &[Vec<u8>], packet: &[u8], kind_of: (u8, u8), extension: &[u8], what: &str) {
    assert_eq!(got.len(), 1, "{what}");
    let error = &got[0];
    let summary = parse(error).expect("valid");
    assert!(packet::verify(error, &summary), "{what}: checksum");
    assert_eq!((kind(error).1, kind(error).2), kind_of, "{what}");
    assert_eq!((summary.source, summary.destination), {
        let (client, proxy) = addresses(packet);
        (proxy, client)
    });
    let quoted = icmp::embedded(error).expect("a quote");
    let mut own = vec![0; 1280];
    let len = icmp::unreachable(packet, Unreachable::Network, &mut own).expect("an error");
    assert_eq!(quoted, icmp::embedded(&own[..len]).expect("a quote"), "{what}");
    assert!(error.ends_with(extension), "{what}: RFC 4884");
    let header = usize::from(parse(packet).expect("valid").transport_offset);
    let start = usize::from(summary.header_len);
    assert_eq!(error[start..start + header], packet[..header], "{what}: the header it sent");
    assert_eq!(error[start + header..][..8], packet[header..][..8], "{what}: and what follows");
}

#[test]
fn r32_an_error_with_a_wrong_checksum_or_without_a_flow_in_its_quote_is_dropped() {
    let mut rig = Rig::new();
    let proxy = rig.proxies(NAME).ipv4[0].into();
    rig.advance(100);
    rig.delivered(Side::Client);
    rig.send(Side::Client, of_each_protocol(CLIENT.into(), proxy)[0].clone());
    let sent = rig.delivered(Side::Gateway).remove(0);
    let right = error_of(&sent, (3, 3), 64, b"");

    for at in 20..right.len() {
        let mut damaged = right.clone();
        damaged[at] ^= 0x10;
        rig.send(Side::Gateway, damaged);
    }
    rig.send(Side::Gateway, error_of(&sent, (3, 3), 7, b""));

    assert!(rig.delivered(Side::Client).is_empty());
    rig.send(Side::Gateway, right);
    assert_eq!(rig.delivered(Side::Client).len(), 1);
}

#[test]
fn r30_errors_neither_end_nor_keep_nor_confirm_a_flow() {
    let mut rig = Rig::new();
    let proxy = rig.proxies(NAME).ipv4[0].into();
    rig.advance(100);
    rig.send(Side::Client, of_each_protocol(CLIENT.into(), proxy)[0].clone());
    let sent = rig.delivered(Side::Gateway).remove(0);
    for second in 1..300 {
        rig.advance(second * 1000);
        rig.send(Side::Gateway, error_of(&sent, (3, 3), 64, b""));
    }
    let rows = rig.gateway_rows(InspectGateway::Flows);
    assert_eq!((rows.len(), &rows[0]["answered"]), (1, &false.into()));

    rig.advance(301_500);

    assert!(rig.gateway_rows(InspectGateway::Flows).is_empty());
}

#[test]
fn an_error_of_a_router_before_a_network_speaks_for_the_destination_if_it_may_not_for_itself() {
    let mut rig = Rig::without_access(simulation::PairConfig::new(1));
    rig.pair.authorize(&crate::rig::cidr_resource(crate::rig::RESOURCE, "10.77.0.0/24"), None);
    let real: IpAddr = [10, 77, 0, 11].into();
    rig.send(Side::Client, of_each_protocol(CLIENT.into(), real)[0].clone());
    let sent = rig.delivered(Side::Gateway).remove(0);
    for (router, expected) in
        [([10, 77, 0, 1], [10, 77, 0, 1]), ([192, 168, 9, 9], [10, 77, 0, 11])]
    {
        let mut error = error_of(&sent, (3, 4), 64, b"");
        error[12..16].copy_from_slice(&router);
        complete(&mut error, 20);
        rig.send(Side::Gateway, error);
        let got = rig.delivered(Side::Client);
        assert_eq!(got.len(), 1, "path MTU discovery works");
        assert_eq!(addresses(&got[0]).0, IpAddr::from(expected));
    }
}

#[test]
fn an_error_about_nothing_we_sent_is_dropped() {
    let mut rig = Rig::new();
    rig.proxies(NAME);
    rig.advance(100);
    rig.delivered(Side::Client);
    let never_sent = udp((CLIENT, 5000), ([10, 77, 0, 11], 80), b"x");

    rig.send(Side::Gateway, error_about(&never_sent, Unreachable::Network));
    rig.advance(200);

    assert!(rig.delivered(Side::Client).is_empty());
    assert_eq!(rig.gateway_counters()["refused"]["unrelated_icmp_error"], 1);
}
