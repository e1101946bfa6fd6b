//! Access: filters, expiry, revocation; checked for every packet.

use packet::TcpFlags;
use simulation::pair::GATEWAY;
use simulation::{PairConfig, Side};
use tunnel::filter::{Filter, PortRange};
use tunnel::messages::{ClientCommand, ClientEvent, GatewayCommand, GatewayEvent, InspectGateway};

use crate::rig::{
    CLIENT, NAME, RESOURCE, Rig, addresses, cidr_resource, dns_resource, icmp, tcp, udp,
};

fn port(number: u16) -> Vec<Filter> {
    vec![Filter::Tcp(PortRange { start: number, end: number })]
}

/// A rig in which a TCP flow to port 80 stands.
fn flowing() -> (Rig, std::net::IpAddr) {
    let mut rig = Rig::new();
    let proxy = rig.proxies(NAME).ipv4[0].into();
    rig.send_tcp(5000, (proxy, 80), 1, TcpFlags::SYN);
    rig.advance(100);
    rig.send(
        Side::Gateway,
        tcp(([10, 77, 0, 11], 80), (CLIENT, 5000), 1, TcpFlags::SYN | TcpFlags::ACK),
    );
    rig.send_tcp(5000, (proxy, 80), 2, TcpFlags::ACK);
    assert_eq!(rig.delivered(Side::Gateway).len(), 2);
    assert_eq!(rig.delivered(Side::Client).len(), 1);
    (rig, proxy)
}

#[test]
fn r29_a_filtered_port_is_answered_prohibited_at_the_client() {
    let mut rig = Rig::without_access(PairConfig::new(1));
    rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", port(80)), None);
    let proxy = rig.proxies(NAME).ipv4[0].into();
    rig.advance(100);
    rig.delivered(Side::Client);

    rig.send_tcp(5000, (proxy, 81), 1, TcpFlags::SYN);
    rig.send_tcp(5000, (proxy, 80), 1, TcpFlags::SYN);
    rig.advance(200);

    assert_eq!(icmp(&rig.delivered(Side::Client)[0]), (4, 3, 13));
    assert_eq!(rig.delivered(Side::Gateway).len(), 1);
}

#[test]
fn the_gateway_enforces_filters_against_a_client_that_does_not() {
    let mut rig = Rig::without_access(PairConfig::new(1));
    rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", Vec::new()), None);
    rig.pair.grant(&dns_resource(RESOURCE, "*.site.example", port(80)), None);
    let proxy = rig.proxies(NAME).ipv4[0].into();
    rig.advance(100);
    rig.delivered(Side::Client);

    rig.send_tcp(5000, (proxy, 81), 1, TcpFlags::SYN);
    rig.advance(200);

    assert!(rig.delivered(Side::Gateway).is_empty());
    assert_eq!(icmp(&rig.delivered(Side::Client)[0]), (4, 3, 13));
}

#[test]
fn r26_j_a_revoked_flow_ends_at_once_in_both_directions() {
    let (mut rig, proxy) = flowing();

    let (client, resource) = (simulation::pair::CLIENT, RESOURCE);
    rig.pair.command_gateway(GatewayCommand::Revoke { client, resource });
    rig.send(Side::Gateway, tcp(([10, 77, 0, 11], 80), (CLIENT, 5000), 2, TcpFlags::ACK));
    rig.send_tcp(5000, (proxy, 80), 6, TcpFlags::ACK);
    rig.advance(200);

    assert!(rig.delivered(Side::Gateway).is_empty(), "nothing passes to the site");
    let answers = rig.delivered(Side::Client);
    assert_eq!(answers.len(), 1, "nothing passes back but the error");
    assert_eq!(icmp(&answers[0]), (4, 3, 13));
    assert!(rig.gateway_rows(InspectGateway::Flows).is_empty());
}

#[test]
fn r26_another_resource_of_the_name_keeps_a_flow_alive() {
    let (mut rig, proxy) = flowing();
    let second = dns_resource(dns::ResourceId(9), "app.site.example", port(80));
    rig.pair.authorize(&second, None);
    rig.send_tcp(5001, (proxy, 80), 1, TcpFlags::SYN);
    rig.advance(300);
    rig.delivered(Side::Gateway);

    let (client, resource) = (simulation::pair::CLIENT, RESOURCE);
    rig.pair.command_gateway(GatewayCommand::Revoke { client, resource });
    rig.send_tcp(5000, (proxy, 80), 6, TcpFlags::ACK);
    rig.advance(400);

    assert_eq!(rig.delivered(Side::Gateway).len(), 1);
}

#[test]
fn r26_narrowed_filters_end_the_flows_that_they_forbid() {
    let (mut rig, proxy) = flowing();

    rig.pair.grant(&dns_resource(RESOURCE, "*.site.example", port(443)), None);
    rig.send_tcp(5000, (proxy, 80), 6, TcpFlags::ACK);
    rig.advance(200);

    assert!(rig.delivered(Side::Gateway).is_empty());
}

#[test]
fn access_ends_at_its_expiry_and_not_before() {
    let mut rig = Rig::without_access(PairConfig::new(1));
    let resource = dns_resource(RESOURCE, "*.site.example", Vec::new());
    rig.pair.authorize(&resource, Some(5.0));
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.advance(100);
    rig.send_udp(5000, (proxy, 80), b"a");
    rig.advance(4999);
    rig.send_udp(5000, (proxy, 80), b"b");
    rig.advance(4999);
    assert_eq!(rig.delivered(Side::Gateway).len(), 2);

    rig.advance(5000);
    rig.send_udp(5000, (proxy, 80), b"c");
    rig.advance(5100);

    assert!(rig.delivered(Side::Gateway).is_empty());
    let expired = |event: &GatewayEvent| matches!(event, GatewayEvent::AccessExpired { .. });
    let at = rig.gateway_events.iter().find(|(_, event)| expired(event)).map(|(at, _)| *at);
    assert_eq!(at, Some(crate::rig::at(5000)));
    // The Gateway's word ended the entry (R42): the next packet asks for an authorisation.
    rig.pair.grant(&resource, None);
    rig.send_udp(5000, (proxy, 80), b"d");
    rig.advance(6000);
    let wanted = ClientEvent::AuthorizationNeeded { resource: RESOURCE, gateways: vec![GATEWAY] };
    assert!(rig.client_events.iter().any(|(_, event)| *event == wanted));
    rig.pair.answer_authorization(RESOURCE);
    rig.advance(7000);
    assert_eq!(rig.delivered(Side::Gateway).len(), 1, "granted again");
}

#[test]
fn a_resource_that_is_removed_at_the_client_routes_no_more() {
    let (mut rig, proxy) = flowing();

    rig.pair.command_client(ClientCommand::RemoveResource { resource: RESOURCE });
    rig.send_tcp(5000, (proxy, 80), 6, TcpFlags::ACK);
    rig.advance(200);

    assert!(rig.delivered(Side::Gateway).is_empty());
    assert_eq!(rig.client_counters()["refused"]["unknown_resource"], 1);
}

#[test]
fn a_network_is_reached_as_it_is_and_its_answers_come_back() {
    let mut rig = Rig::without_access(PairConfig::new(1));
    rig.pair.authorize(&cidr_resource(RESOURCE, "10.77.0.0/24"), None);

    rig.send_udp(5000, ([10, 77, 0, 5], 80), b"there");
    rig.send(Side::Gateway, udp(([10, 77, 0, 5], 80), (CLIENT, 5000), b"back"));
    rig.send(Side::Gateway, udp(([10, 78, 0, 5], 80), (CLIENT, 5000), b"a stranger"));
    rig.advance(100);

    let there = rig.delivered(Side::Gateway);
    assert_eq!(addresses(&there[0]).1.to_string(), "10.77.0.5");
    let back = rig.delivered(Side::Client);
    assert_eq!(back.len(), 1);
    assert_eq!(addresses(&back[0]).0.to_string(), "10.77.0.5");
    assert_eq!(rig.gateway_counters()["refused"]["not_allowed"], 1);
}

#[test]
fn the_longest_network_wins() {
    let mut rig = Rig::without_access(PairConfig::new(1));
    let wide = tunnel::messages::Resource {
        filters: port(80),
        ..cidr_resource(dns::ResourceId(1), "10.0.0.0/8")
    };
    let narrow = cidr_resource(dns::ResourceId(2), "10.77.0.0/16");
    rig.pair.authorize(&wide, None);
    rig.pair.authorize(&narrow, None);

    rig.send_udp(5000, ([10, 77, 0, 5], 53), b"narrow");
    rig.send_udp(5000, ([10, 1, 0, 5], 53), b"wide: UDP is filtered");
    rig.advance(100);

    assert_eq!(rig.delivered(Side::Gateway).len(), 1);
    assert_eq!(icmp(&rig.delivered(Side::Client)[0]), (4, 3, 13));
}

#[test]
fn r39_flows_are_recorded_with_who_used_what() {
    let (mut rig, proxy) = flowing();
    rig.send_tcp(5000, (proxy, 80), 6, TcpFlags::RST);
    rig.advance(300_000);

    let records = rig.gateway_events.iter().filter_map(|(_, event)| match event {
        GatewayEvent::FlowOpened { flow } => Some((flow.clone(), None)),
        GatewayEvent::FlowClosed { flow, reason } => Some((flow.clone(), Some(reason.clone()))),
        _ => None,
    });
    let records: Vec<_> = records.collect();
    assert_eq!(records.len(), 2);
    let (closed, reason) = &records[1];
    assert_eq!(reason.as_deref(), Some("timeout"));
    assert_eq!(closed.client, simulation::pair::CLIENT);
    assert_eq!(closed.resource, Some(RESOURCE));
    assert_eq!(closed.name.as_deref(), Some(NAME));
    assert_eq!((closed.proxy, closed.real.to_string()), (proxy, "10.77.0.11".to_owned()));
    assert_eq!((closed.sent_packets, closed.received_packets), (3, 1));
}

#[test]
fn r39_the_flows_of_a_client_that_goes_away_are_recorded() {
    let (mut rig, _) = flowing();

    rig.pair.command_gateway(GatewayCommand::RemoveClient { client: simulation::pair::CLIENT });
    rig.settle();

    let closed = rig.gateway_events.iter().filter_map(|(_, event)| match event {
        GatewayEvent::FlowClosed { flow, reason } => Some((flow.name.as_deref(), reason.as_str())),
        _ => None,
    });
    assert_eq!(closed.collect::<Vec<_>>(), [(Some(NAME), "peer_removed")]);
}
