//! Input that is wrong: dropped and counted, answered where the rules say so, and never a panic.

use std::net::{IpAddr, SocketAddr};

use nat::control::AssignedIps;
use packet::TcpFlags;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use simulation::{PairConfig, Side};
use tunnel::messages::{GatewayEvent, InspectGateway};

use crate::rig::{CLIENT, NAME, RESOURCE, Rig, SENTINEL, addresses, icmp, tcp, udp};

fn fragment(packet: &mut [u8], offset: u16, more: bool) {
    let field = (offset / 8) | if more { 0x2000 } else { 0 };
    packet[6..8].copy_from_slice(&field.to_be_bytes());
    packet[10..12].fill(0);
    let sum: u32 = packet[..20].chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    packet[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}

#[test]
fn r36_fragments_are_dropped_and_only_the_first_is_answered() {
    let mut rig = Rig::new();
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.advance(100);
    rig.delivered(Side::Client);
    for offset in [0, 1208] {
        let mut packet = udp((CLIENT, 5000), (proxy, 80), &[0; 100]);
        fragment(&mut packet, offset, true);
        rig.send(Side::Client, packet);
    }
    rig.advance(200);

    let errors = rig.delivered(Side::Client);
    assert_eq!(errors.len(), 1);
    assert_eq!(icmp(&errors[0]), (4, 3, 0));
    assert!(rig.delivered(Side::Gateway).is_empty());
    assert_eq!(rig.client_counters()["refused"]["fragment"], 2);
}

#[test]
fn r36_fragments_inside_the_tunnel_are_dropped_and_the_first_is_answered() {
    let mut rig = Rig::new();
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.advance(100);
    rig.delivered(Side::Client);
    for offset in [0, 1208] {
        let mut packet = udp((CLIENT, 5000), (proxy, 80), &[0; 100]);
        fragment(&mut packet, offset, true);
        forge(&mut rig, &packet);
    }

    let errors = rig.delivered(Side::Client);
    assert_eq!(errors.len(), 1);
    assert_eq!(icmp(&errors[0]), (4, 3, 0));
    assert!(rig.delivered(Side::Gateway).is_empty());
    assert_eq!(rig.gateway_counters()["refused"]["fragment"], 2);
}

#[test]
fn r36_a_packet_over_the_mtu_is_answered_if_it_must_not_be_cut() {
    let mut rig = Rig::new();
    let mut packet = udp((CLIENT, 5000), ([100, 96, 0, 1], 80), &[0; 1000]);
    packet.resize(1400, 0);
    packet[2..4].copy_from_slice(&1400_u16.to_be_bytes());
    for dont_fragment in [true, false] {
        packet[6] = if dont_fragment { 0x40 } else { 0 };
        rig.send(Side::Client, packet.clone());
    }

    let errors = rig.delivered(Side::Client);
    assert_eq!(errors.len(), 1);
    assert_eq!(icmp(&errors[0]), (4, 3, 4));
    assert_eq!(errors[0][26..28], 1280_u16.to_be_bytes());
    assert_eq!(rig.client_counters()["refused"]["too_long"], 2);
}

#[test]
fn what_does_not_belong_into_the_tunnel_is_counted_by_reason() {
    let mut rig = Rig::new();
    for packet in [
        udp(([192, 0, 2, 9], 1), ([100, 96, 0, 1], 80), b"spoofed source"),
        udp((CLIENT, 1), ([224, 0, 0, 1], 80), b"to a group"),
        udp((CLIENT, 1), (CLIENT, 80), b"to ourselves"),
        udp((CLIENT, 1), ([100, 96, 0, 77], 80), b"no name has this proxy"),
        udp((CLIENT, 1), (SENTINEL, 80), b"not DNS"),
        vec![0x45; 30],
        Vec::new(),
    ] {
        rig.send(Side::Client, packet);
    }
    rig.advance(100);

    assert!(rig.delivered(Side::Gateway).is_empty());
    let refused = &rig.client_counters()["refused"];
    for reason in ["not_tunnel_source", "multicast", "to_self", "unknown_resource", "not_dns"] {
        assert_eq!(refused[reason], 1, "{reason}");
    }
    assert_eq!(refused["malformed"], 2);
}

/// Seals a packet as the Client's session would, without the Client.
fn forge(rig: &mut Rig, packet: &[u8]) {
    let mut datagram = vec![4, 0, 0, 0];
    let index = 0x0001_0201_u32;
    datagram.extend_from_slice(&index.to_le_bytes());
    datagram.extend_from_slice(&[0; 8]);
    datagram.extend_from_slice(packet);
    datagram.extend_from_slice(&[0; 16]);
    let from = SocketAddr::from(([192, 0, 2, 0], 52_625));
    rig.pair.world_mut().inject(1, from, &mut datagram);
    rig.settle();
}

fn control(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 48];
    packet[0] = 0x60;
    packet[4..6].copy_from_slice(&(8 + body.len() as u16).to_be_bytes());
    packet[6] = 0xff;
    packet[40] = kind;
    packet.extend_from_slice(body);
    packet
}

#[test]
fn a_gateway_refuses_sources_and_destinations_that_a_client_may_not_use() {
    let mut rig = Rig::new();
    rig.proxies(NAME);
    rig.advance(100);
    rig.delivered(Side::Client);
    let proxy = [100, 96, 0, 1];

    forge(&mut rig, &udp(([100, 64, 0, 9], 1), (proxy, 80), b"another client's address"));
    forge(&mut rig, &udp((CLIENT, 1), ([100, 64, 0, 9], 80), b"to another client"));
    forge(&mut rig, &udp((CLIENT, 1), ([8, 8, 8, 8], 80), b"no resource"));
    forge(&mut rig, &udp((CLIENT, 1), ([100, 96, 9, 9], 80), b"never announced"));
    forge(&mut rig, &udp((CLIENT, 1), ([100, 64, 0, 2], 22), b"the gateway's own ssh"));
    rig.advance(200);

    assert!(rig.delivered(Side::Gateway).is_empty());
    assert_eq!(rig.gateway_counters()["refused"]["prohibited"], 5);
    // All were answered; a Client takes only errors that come from an address the Gateway may speak for.
    let errors = rig.delivered(Side::Client);
    assert_eq!(errors.len(), 1);
    assert_eq!((icmp(&errors[0]), addresses(&errors[0]).0), ((4, 3, 13), [100, 64, 0, 2].into()));
    assert_eq!(rig.gateway_counters()["refused"]["errors_sent"], 5);
}

/// Most often the two files disagree about a Client's tunnel addresses; nothing else would say so.
#[test]
fn a_source_that_is_not_the_clients_own_is_told_once() {
    let mut rig = Rig::new();
    rig.proxies(NAME);
    rig.advance(100);
    let told = |rig: &Rig| {
        let events = rig.gateway_events.iter().map(|(_, event)| event);
        let told = events.filter_map(|event| match event {
            GatewayEvent::ForeignSource { source, .. } => Some(*source),
            _ => None,
        });
        told.collect::<Vec<IpAddr>>()
    };

    forge(&mut rig, &udp((CLIENT, 1), ([8, 8, 8, 8], 80), b"no resource"));
    rig.advance(200);
    assert!(told(&rig).is_empty());

    for source in [[100, 64, 0, 9], [100, 64, 0, 9], [100, 64, 0, 8]] {
        forge(&mut rig, &udp((source, 1), ([100, 96, 0, 1], 80), b"another address"));
    }
    rig.advance(300);

    assert_eq!(told(&rig), [IpAddr::from([100, 64, 0, 9])]);
}

#[test]
fn r43_of_the_gateway_itself_only_its_dns_server_and_echo_are_reached() {
    let mut rig = Rig::new();
    let own: IpAddr = [100, 64, 0, 2].into();
    for port in [53535, 22, 53] {
        forge(&mut rig, &udp((CLIENT, 1), (own, port), b"x"));
    }

    assert!(
        rig.delivered(Side::Gateway).is_empty(),
        "the DNS server is the Gateway's, not its host's"
    );
    let counters = rig.gateway_counters();
    assert_eq!(counters["dns"]["malformed"], 1);
    assert_eq!(counters["refused"]["prohibited"], 2);
}

#[test]
fn malformed_and_foreign_control_messages_are_ignored_and_counted() {
    let mut rig = Rig::new();
    for body in [&b"not JSON"[..], b"{}", b"[]", b"", &[0xff; 100]] {
        forge(&mut rig, &control(0, body));
    }
    forge(&mut rig, &control(1, b"{}"));
    forge(&mut rig, &control(77, b"of a later version"));
    rig.advance(100);

    let counters = rig.gateway_counters();
    assert_eq!(counters["control_ignored"], 7);
    assert_eq!(counters["translations"]["announcements"], 0);
}

fn announce(rig: &mut Rig, resource: u128, domain: &str, proxies: &[&str]) {
    let message = AssignedIps {
        resource: dns::ResourceId(resource),
        domain: domain.to_owned(),
        proxy_ips: proxies.iter().map(|ip| ip.parse().expect("an address")).collect(),
        id: Some(1),
        run: Some(1),
    };
    let mut body = [0; 1200];
    let len = message.encode(&mut body).expect("it fits");
    forge(rig, &control(0, &body[..len]));
}

#[test]
fn r17_announcements_of_what_is_not_allowed_change_nothing() {
    let mut rig = Rig::new();
    let many: Vec<String> = (1..=17).map(|i| format!("100.96.7.{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();

    announce(&mut rig, 99, NAME, &["100.96.0.1"]);
    announce(&mut rig, RESOURCE.0, "evil.example", &["100.96.0.1"]);
    announce(&mut rig, RESOURCE.0, NAME, &["10.0.0.1"]);
    announce(&mut rig, RESOURCE.0, NAME, &["100.100.111.1"]);
    announce(&mut rig, RESOURCE.0, NAME, &many);
    rig.advance(100);

    assert_eq!(rig.gateway_counters()["translations"]["rejected"], 5);
    assert!(rig.gateway_rows(InspectGateway::Translations).is_empty());
}

#[test]
fn r18_a_name_never_leads_to_forbidden_addresses() {
    let forbidden = ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "100.64.0.7", "::1"];
    let mut rig = Rig::new();
    rig.addresses = Some(forbidden.iter().map(|ip| ip.parse().expect("an address")).collect());
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.send_udp(5000, (proxy, 80), b"x");
    rig.advance(100_000);

    assert!(rig.delivered(Side::Gateway).is_empty());
    assert_eq!(icmp(&rig.delivered(Side::Client)[0]), (4, 3, 0));
}

#[test]
fn a_resolver_that_lists_ten_thousand_addresses_is_used_all_the_same() {
    let mut rig = Rig::new();
    let many = (0..10_000_u32).map(|i| IpAddr::from((0x0a4d_0000 + i).to_be_bytes()));
    rig.addresses = Some(many.collect());
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.send_udp(5000, (proxy, 80), b"x");
    rig.advance(1000);

    assert_eq!(rig.delivered(Side::Gateway).len(), 1);
}

#[test]
fn a_segment_of_an_unknown_connection_opens_a_flow() {
    let mut rig = Rig::new();
    let proxy = rig.proxies(NAME).ipv4[0].into();
    rig.send_tcp(5000, (proxy, 80), 700, TcpFlags::ACK);
    rig.advance(1000);

    assert_eq!(rig.delivered(Side::Gateway).len(), 1, "a restarted Gateway goes on (R30)");
}

#[test]
fn icmp_errors_by_a_client_are_dropped_on_both_sides() {
    let mut rig = Rig::new();
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.send_udp(5000, (proxy, 80), b"x");
    rig.advance(100);
    let mut error = vec![0; 1280];
    let quoted = udp((proxy, 80), (CLIENT, 5000), b"y");
    let len = packet::icmp::unreachable(&quoted, packet::icmp::Unreachable::Network, &mut error);
    error.truncate(len.expect("an error"));
    rig.delivered(Side::Gateway);

    rig.send(Side::Client, error.clone());
    forge(&mut rig, &error);
    rig.advance(200);

    assert!(rig.delivered(Side::Gateway).is_empty());
    assert_eq!(rig.client_counters()["refused"]["unrelated_icmp_error"], 1);
    assert_eq!(rig.gateway_counters()["refused"]["unrelated_icmp_error"], 1);
}

#[test]
fn a_gateway_may_not_speak_for_addresses_that_it_does_not_serve() {
    let mut rig = Rig::new();
    rig.proxies(NAME);
    rig.advance(100);
    rig.delivered(Side::Client);
    let mut datagram = vec![4, 0, 0, 0];
    datagram.extend_from_slice(&0x0002_0101_u32.to_le_bytes());
    datagram.extend_from_slice(&[0; 8]);
    datagram.extend_from_slice(&tcp(([8, 8, 8, 8], 53), (CLIENT, 5000), 1, TcpFlags::ACK));
    datagram.extend_from_slice(&[0; 16]);
    rig.pair.world_mut().inject(0, SocketAddr::from(([192, 0, 2, 1], 52_625)), &mut datagram);

    assert!(rig.delivered(Side::Client).is_empty());
    assert_eq!(rig.client_counters()["refused"]["not_allowed"], 1);
}

#[test]
fn r29_an_echo_goes_there_and_back() {
    let mut rig = Rig::new();
    let proxy = rig.proxies(NAME).ipv4[0].into();
    let mut echo = vec![0; 1280];
    let len = packet::build::echo(CLIENT.into(), proxy, 77, 1, true, b"ping", &mut echo);
    echo.truncate(len.expect("it fits"));
    rig.send(Side::Client, echo);
    rig.advance(100);

    let arrived = rig.delivered(Side::Gateway);
    assert_eq!(addresses(&arrived[0]).1.to_string(), "10.77.0.11");
    let mut reply = vec![0; 1280];
    let real = [10, 77, 0, 11].into();
    let len = packet::build::echo(real, CLIENT.into(), 77, 1, false, b"ping", &mut reply);
    reply.truncate(len.expect("it fits"));
    rig.delivered(Side::Client);
    rig.send(Side::Gateway, reply);
    rig.advance(200);

    assert_eq!(addresses(&rig.delivered(Side::Client)[0]).0, proxy);
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(3),
        failure_persistence: None,
        cases: 300,
        ..ProptestConfig::default()
    })]

    /// Whatever arrives at either end of the tunnel or in either TUN device, nothing panics.
    #[test]
    fn garbage_is_survived(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..8),
        kind in 0..4_u8,
    ) {
        let mut rig = Rig::without_access(PairConfig::new(1));
        for mut packet in packets {
            match kind {
                0 => rig.send(Side::Client, packet),
                1 => rig.send(Side::Gateway, packet),
                2 => forge(&mut rig, &packet),
                _ => {
                    let from = SocketAddr::from(([192, 0, 2, 0], 52_625));
                    rig.pair.world_mut().inject(1, from, &mut packet);
                }
            }
        }
        rig.advance(10);
    }
}
