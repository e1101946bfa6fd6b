//! The Internet resource: everything that is at no site, and nothing that is (dataplane §3.9, §4.3).

use dns::ResourceId;
use simulation::{PairConfig, Side};
use tunnel::filter::{Filter, PortRange};
use tunnel::messages::{GatewayCommand, Resource, Target};

use crate::rig::{CLIENT, NAME, Rig, addresses, cidr_resource, dns_resource, icmp, udp};

const INTERNET: ResourceId = ResourceId(9);

fn internet() -> Resource {
    Resource { id: INTERNET, name: String::new(), target: Target::Internet, filters: Vec::new() }
}

fn rig() -> Rig {
    let mut rig = Rig::without_access(PairConfig::new(1));
    rig.pair.authorize(&internet(), None);
    rig
}

#[test]
fn what_is_at_no_site_is_reached_and_answers() {
    let mut rig = rig();

    rig.send_udp(5000, ([198, 51, 100, 7], 123), b"there");
    rig.advance(50);
    rig.send(Side::Gateway, udp(([198, 51, 100, 7], 123), (CLIENT, 5000), b"back"));
    rig.send(Side::Gateway, udp(([198, 51, 100, 8], 123), (CLIENT, 5000), b"a stranger"));
    rig.advance(100);

    let there = rig.delivered(Side::Gateway);
    assert_eq!(addresses(&there[0]).1.to_string(), "198.51.100.7");
    assert_eq!(rig.delivered(Side::Client).len(), 1);
    assert_eq!(rig.gateway_counters()["refused"]["not_allowed"], 1);
}

#[test]
fn what_is_at_the_site_needs_a_resource_that_says_so() {
    let mut rig = rig();
    let another_client = [100, 64, 0, 77];
    let inside =
        [[10, 77, 0, 5], [172, 16, 0, 1], [192, 168, 1, 1], [169, 254, 169, 254], another_client];

    for address in inside {
        rig.send_udp(5000, (address, 80), b"at the site");
    }
    rig.advance(100);

    assert!(rig.delivered(Side::Gateway).is_empty());
    let answers: Vec<_> = rig.delivered(Side::Client).iter().map(|packet| icmp(packet)).collect();
    assert_eq!(answers, [(4, 3, 0); 5], "network unreachable");
    assert_eq!(rig.gateway_counters()["refused"]["not_internet"], 5);
}

#[test]
fn a_network_beside_it_is_reached_by_its_own_rules() {
    let mut rig = rig();
    let ports = vec![Filter::Udp(PortRange { start: 80, end: 80 })];
    let site = Resource { filters: ports, ..cidr_resource(ResourceId(4), "10.77.0.0/24") };
    rig.pair.authorize(&site, None);

    rig.send_udp(5000, ([10, 77, 0, 5], 80), b"by the network");
    rig.send_udp(5001, ([10, 77, 0, 5], 81), b"by nothing");
    rig.send_udp(5002, ([10, 78, 0, 5], 80), b"at another site");
    rig.send_udp(5003, ([198, 51, 100, 7], 81), b"by the internet");
    rig.advance(100);

    let reached = rig.delivered(Side::Gateway);
    let reached: Vec<_> = reached.iter().map(|packet| addresses(packet).1.to_string()).collect();
    assert_eq!(reached, ["10.77.0.5", "198.51.100.7"]);
    let told: Vec<_> = rig.delivered(Side::Client).iter().map(|packet| icmp(packet)).collect();
    assert_eq!(told, [(4, 3, 13), (4, 3, 0)], "prohibited; no way there");
}

#[test]
fn names_go_their_own_way() {
    let mut rig = rig();
    rig.pair.authorize(&dns_resource(ResourceId(3), "*.site.example", Vec::new()), None);
    let proxy = rig.proxies(NAME).ipv4[0];

    rig.send_udp(5000, (proxy, 80), b"by name");
    rig.advance(100);

    let reached = rig.delivered(Side::Gateway);
    assert_eq!(addresses(&reached[0]).1.to_string(), "10.77.0.11");
}

#[test]
fn r26_nothing_passes_once_it_is_taken_away() {
    let mut rig = rig();
    rig.send_udp(5000, ([198, 51, 100, 7], 123), b"there");
    rig.advance(50);
    assert_eq!(rig.delivered(Side::Gateway).len(), 1);

    rig.pair.command_gateway(GatewayCommand::Revoke {
        client: simulation::pair::CLIENT,
        resource: INTERNET,
    });
    rig.send_udp(5000, ([198, 51, 100, 7], 123), b"there");
    rig.send(Side::Gateway, udp(([198, 51, 100, 7], 123), (CLIENT, 5000), b"back"));
    rig.advance(100);

    assert!(rig.delivered(Side::Gateway).is_empty());
    assert!(rig.delivered(Side::Client).iter().all(|packet| packet[9] == 1), "ICMP alone");
}
