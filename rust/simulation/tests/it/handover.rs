//! A Gateway's process is replaced by one that takes over its NAT state: its flows notice nothing (R38).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use dns::ResourceId;
use nat::state::StateError;
use packet::{TcpFlags, Transport, parse};
use simulation::{PairConfig, Side};
use tunnel::messages::{GatewayEvent, InspectGateway, Resource};

use crate::rig::{CLIENT, RESOURCE, Rig, addresses, cidr_resource, dns_resource, icmp, tcp, udp};

const REAL: [u8; 4] = [10, 77, 0, 11];

fn resources() -> [Resource; 2] {
    [
        dns_resource(RESOURCE, "*.site.example", Vec::new()),
        cidr_resource(ResourceId(4), "10.77.0.0/24"),
    ]
}

/// A rig in which three names and a network lead to one address, with a connection each from one port
/// of the Client; and the four addresses that the Client knows.
fn standing() -> (Rig, Vec<IpAddr>) {
    let mut rig = Rig::without_access(PairConfig::new(1));
    for resource in resources() {
        rig.pair.authorize(&resource, None);
    }
    let names = ["a.site.example", "b.site.example", "c.site.example"];
    let mut ways: Vec<IpAddr> = names.map(|name| rig.proxies(name).ipv4[0].into()).to_vec();
    ways.push(REAL.into());
    rig.advance(100);
    for way in &ways {
        rig.send_tcp(5000, (*way, 443), 1, TcpFlags::SYN);
    }
    for packet in rig.delivered(Side::Gateway) {
        let (_, port) = outside(&packet);
        rig.send(Side::Gateway, tcp((REAL, 443), (CLIENT, port), 1, TcpFlags::SYN | TcpFlags::ACK));
    }
    rig.delivered(Side::Client);
    (rig, ways)
}

fn outside(packet: &[u8]) -> (IpAddr, u16) {
    let summary = parse(packet).expect("valid");
    let Transport::Tcp { source, .. } = summary.transport else { panic!("a segment") };
    (summary.source, source)
}

/// The Gateway's process is replaced by one that knows what it was told; `state` is what it is given.
fn replace(rig: &mut Rig, state: &[u8], since: u64) -> Result<nat::state::Imported, StateError> {
    let mut config = PairConfig::new(1).gateway;
    config.seed = 99;
    rig.pair.restart_gateway(config);
    for resource in resources() {
        rig.pair.grant(&resource, None);
    }
    rig.settle();
    rig.pair.world_mut().import_state(1, state, Duration::from_millis(since))
}

/// A segment on each connection, and whom it reached from where.
fn segments(rig: &mut Rig, ways: &[IpAddr]) -> BTreeMap<usize, (IpAddr, u16, IpAddr)> {
    let mut reached = BTreeMap::new();
    for (number, way) in ways.iter().enumerate() {
        rig.send_tcp(5000, (*way, 443), 2, TcpFlags::ACK);
        for packet in rig.delivered(Side::Gateway) {
            let (source, port) = outside(&packet);
            reached.insert(number, (source, port, addresses(&packet).1));
        }
    }
    reached
}

#[test]
fn r38_flows_go_on_from_the_same_ports_to_the_same_addresses_without_a_look_up() {
    let (mut rig, ways) = standing();
    let before = segments(&mut rig, &ways);
    let state = rig.pair.world_mut().export_state(1).expect("a Gateway's");
    rig.advance(5100);
    rig.addresses = Some(vec![[10, 77, 0, 99].into()]);
    let look_ups = |rig: &Rig| {
        let events = rig.gateway_events.iter().map(|(_, event)| event);
        events.filter(|event| matches!(event, GatewayEvent::ResolveDomain { .. })).count()
    };
    let asked = look_ups(&rig);

    let imported = replace(&mut rig, &state, 5000).expect("it fits");

    assert_eq!((imported.flows, imported.names, imported.left_out), (4, 3, 0));
    // The site speaks first, then the Client.
    for (way, (_, port, _)) in &before {
        rig.send(Side::Gateway, tcp((REAL, 443), (CLIENT, *port), 5, TcpFlags::ACK));
        let back = rig.delivered(Side::Client);
        assert_eq!(outside(&back[0]).0, ways[*way]);
    }
    assert_eq!(segments(&mut rig, &ways), before);
    assert_eq!(look_ups(&rig), asked);
    let flows = rig.gateway_rows(InspectGateway::Flows);
    assert!(flows.iter().all(|flow| flow["duration"].as_f64().is_some_and(|s| s >= 5.0)));
    assert!(flows.iter().all(|flow| !flow["resource"].is_null()));
}

#[test]
fn r38_a_flow_whose_access_did_not_come_along_ends_at_its_first_packet() {
    let (mut rig, ways) = standing();
    let state = rig.pair.world_mut().export_state(1).expect("a Gateway's");
    rig.pair.restart_gateway(PairConfig::new(1).gateway);
    rig.pair.grant(&resources()[1], None);
    rig.settle();
    rig.pair.world_mut().import_state(1, &state, Duration::ZERO).expect("it fits");

    let reached = segments(&mut rig, &ways);

    assert_eq!(reached.into_keys().collect::<Vec<_>>(), [3], "only the network's");
    let errors = rig.delivered(Side::Client);
    assert!(!errors.is_empty() && errors.iter().all(|error| icmp(error) == (4, 3, 13)));
}

#[test]
fn r38_a_damaged_state_changes_nothing_and_flows_open_anew() {
    let (mut rig, ways) = standing();
    let mut state = rig.pair.world_mut().export_state(1).expect("a Gateway's");
    let middle = state.len() / 2;
    state[middle] ^= 1;

    assert_eq!(replace(&mut rig, &state, 0), Err(StateError::Damaged));

    assert!(rig.gateway_rows(InspectGateway::Flows).is_empty());
    segments(&mut rig, &ways);
    rig.advance(1000);
    assert_eq!(segments(&mut rig, &ways).len(), 4, "told again (R42)");
}

#[test]
fn r38_a_client_has_no_such_state_and_takes_none() {
    let (mut rig, _) = standing();
    let state = rig.pair.world_mut().export_state(1).expect("a Gateway's");

    assert_eq!(rig.pair.world_mut().export_state(0), None);
    let taken = rig.pair.world_mut().import_state(0, &state, Duration::ZERO);
    assert_eq!(taken, Err(StateError::NotState));
}

#[test]
fn r38_a_port_that_rests_still_rests_afterwards() {
    let (mut rig, ways) = standing();
    rig.send_udp(6000, (ways[0], 80), b"x");
    rig.delivered(Side::Gateway);
    rig.advance(310_000);
    let state = rig.pair.world_mut().export_state(1).expect("a Gateway's");

    let imported = replace(&mut rig, &state, 0).expect("it fits");
    rig.send(Side::Gateway, udp((REAL, 80), (CLIENT, 6000), b"late"));

    assert_eq!(imported.rests, 1);
    assert_eq!(rig.gateway_counters()["refused"]["expired_flow"], 1);
}
