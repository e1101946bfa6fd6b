//! Flows to networks have records as those of names have: neither takes the other's replies, and nobody
//! reaches a Client unasked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dns::ResourceId;
use packet::{TcpFlags, Transport, build, parse};
use simulation::{PairConfig, Side};
use tunnel::messages::{GatewayEvent, InspectGateway};

use crate::rig::{CLIENT, RESOURCE, Rig, addresses, cidr_resource, dns_resource, icmp, tcp, udp};

const REAL: [u8; 4] = [10, 77, 0, 11];
const NAMES: [&str; 3] = ["a.site.example", "b.site.example", "c.site.example"];

/// Three names and a network that lead to one address; what the Client calls each of them.
fn four_ways() -> (Rig, Vec<IpAddr>) {
    let mut rig = Rig::without_access(PairConfig::new(1));
    rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", Vec::new()), None);
    rig.pair.authorize(&cidr_resource(ResourceId(4), "10.77.0.0/24"), None);
    let mut ways: Vec<IpAddr> = NAMES.iter().map(|name| rig.proxies(name).ipv4[0].into()).collect();
    ways.push(REAL.into());
    rig.advance(100);
    rig.delivered(Side::Client);
    (rig, ways)
}

/// Where a packet came from: address and port.
fn source(packet: &[u8]) -> (IpAddr, u16) {
    let summary = parse(packet).expect("valid");
    let (Transport::Tcp { source, .. } | Transport::Udp { source, .. }) = summary.transport else {
        panic!("no port");
    };
    (summary.source, source)
}

fn payload(packet: &[u8]) -> Vec<u8> {
    packet[usize::from(parse(packet).expect("valid").header_len)..].to_vec()
}

#[test]
fn r28_three_names_and_a_network_of_one_address_never_take_each_others_replies() {
    // Whoever comes first has the port outside; each order of the four is tried.
    for first in 0..4 {
        let (mut rig, ways) = four_ways();
        for way in (0..4).map(|i| (i + first) % 4) {
            rig.send_udp(5000, (ways[way], 80), &[way as u8]);
        }
        let arrived = rig.delivered(Side::Gateway);
        assert_eq!(arrived.len(), 4);
        let outside: BTreeMap<(IpAddr, u16), u8> =
            arrived.iter().map(|packet| (source(packet), payload(packet)[0])).collect();
        assert_eq!(outside.len(), 4, "four sources outside: {outside:?}");
        assert!(arrived.iter().all(|packet| addresses(packet).1 == IpAddr::from(REAL)));

        for ((address, port), way) in outside {
            rig.send(Side::Gateway, udp((REAL, 80), (address, port), &[way]));
        }

        let back = rig.delivered(Side::Client);
        assert_eq!(back.len(), 4);
        for packet in back {
            let way = usize::from(payload(&packet)[0]);
            assert_eq!(source(&packet), (ways[way], 80), "reply of way {way}");
            let Transport::Udp { destination, .. } = parse(&packet).expect("valid").transport
            else {
                panic!("a datagram");
            };
            assert_eq!(destination, 5000);
        }
    }
}

#[test]
fn r28_connections_and_echoes_are_told_apart_too() {
    let (mut rig, ways) = four_ways();
    for (way, to) in ways.iter().enumerate() {
        rig.send_tcp(5000, (*to, 80), way as u32, TcpFlags::SYN);
        let mut request = vec![0; 100];
        let echo = build::echo(CLIENT.into(), *to, 7, way as u16, true, &[way as u8], &mut request);
        request.truncate(echo.expect("it fits"));
        rig.send(Side::Client, request);
    }
    for packet in rig.delivered(Side::Gateway) {
        let reply = match parse(&packet).expect("valid").transport {
            Transport::Tcp { source, sequence, .. } => {
                tcp((REAL, 80), (CLIENT, source), 1000 + sequence, TcpFlags::SYN | TcpFlags::ACK)
            }
            Transport::Echo { .. } => {
                let mut reply = vec![0; 100];
                let len = build::echo_reply(&packet, &mut reply).expect("a reply");
                reply.truncate(len);
                reply
            }
            other => panic!("{other:?}"),
        };
        rig.send(Side::Gateway, reply);
    }

    let back = rig.delivered(Side::Client);

    assert_eq!(back.len(), 8);
    for packet in back {
        let summary = parse(&packet).expect("valid");
        let way = match summary.transport {
            Transport::Tcp { sequence, .. } => sequence as usize - 1000,
            _ => usize::from(payload(&packet)[0]),
        };
        assert_eq!(summary.source, ways[way]);
    }
}

#[test]
fn r28_what_a_site_sends_unasked_reaches_no_client() {
    let (mut rig, _) = four_ways();

    rig.send(Side::Gateway, udp((REAL, 80), (CLIENT, 5000), b"unasked"));
    rig.send(Side::Gateway, tcp((REAL, 80), (CLIENT, 22), 1, TcpFlags::SYN));
    let mut request = vec![0; 100];
    let len = build::echo(REAL.into(), CLIENT.into(), 7, 1, true, b"", &mut request);
    request.truncate(len.expect("it fits"));
    rig.send(Side::Gateway, request);

    assert!(rig.delivered(Side::Client).is_empty());
    assert!(rig.delivered(Side::Gateway).is_empty(), "RFC 5382 REQ-4: and is not answered");
    assert_eq!(rig.gateway_counters()["refused"]["not_allowed"], 3);
}

#[test]
fn r34_a_late_packet_is_counted_for_120_s_and_never_direct_traffic() {
    let (mut rig, ways) = four_ways();
    rig.send_udp(5000, (ways[0], 80), b"x");
    rig.delivered(Side::Gateway);
    rig.advance(300_200);
    let reply = udp((REAL, 80), (CLIENT, 5000), b"late");

    rig.send(Side::Gateway, reply.clone());
    rig.advance(419_000);
    rig.send(Side::Gateway, reply.clone());
    assert_eq!(rig.gateway_counters()["refused"]["expired_flow"], 2);
    rig.advance(425_000);
    rig.send(Side::Gateway, reply);

    assert!(rig.delivered(Side::Client).is_empty(), "though the network holds the address");
    assert_eq!(rig.gateway_counters()["refused"]["expired_flow"], 2);
    assert_eq!(rig.gateway_counters()["refused"]["not_allowed"], 1);
}

#[test]
fn r26_a_flow_to_a_network_ends_with_its_access() {
    let (mut rig, _) = four_ways();
    rig.send_udp(5000, (REAL, 80), b"x");
    rig.delivered(Side::Gateway);

    let (client, resource) = (simulation::pair::CLIENT, ResourceId(4));
    rig.pair.command_gateway(tunnel::messages::GatewayCommand::Revoke { client, resource });
    rig.send(Side::Gateway, udp((REAL, 80), (CLIENT, 5000), b"back"));
    rig.send_udp(5000, (REAL, 80), b"y");

    assert!(rig.delivered(Side::Gateway).is_empty());
    let answers = rig.delivered(Side::Client);
    assert_eq!(answers.len(), 1);
    assert_eq!(icmp(&answers[0]), (4, 3, 13));
    assert!(rig.gateway_rows(InspectGateway::Flows).is_empty());
}

#[test]
fn r39_flows_to_networks_are_recorded_with_their_resource() {
    let (mut rig, _) = four_ways();
    rig.send_udp(5000, (REAL, 80), b"x");

    let opened = rig.gateway_events.iter().find_map(|(_, event)| match event {
        GatewayEvent::FlowOpened { flow } => Some(flow.clone()),
        _ => None,
    });

    let flow = opened.expect("a record");
    assert_eq!((flow.resource, flow.name), (Some(ResourceId(4)), None));
    assert_eq!((flow.proxy, flow.real), (REAL.into(), REAL.into()));
}
