//! RFC 4787, and of RFC 6888 what is about mappings.

use std::collections::BTreeSet;
use std::net::IpAddr;

use packet::icmp::{self, Unreachable};
use simulation::Side;
use tunnel::messages::InspectGateway;

use super::{REAL, payload, source, three_names};
use crate::rig::{CLIENT, addresses, icmp as kind, udp};

#[test]
fn rfc4787_req02_a_client_has_one_address_outside() {
    let (mut rig, proxies) = three_names();
    for port in 5000..5100 {
        rig.send_udp(port, (proxies[usize::from(port) % 3], 80), b"x");
    }
    let outside: BTreeSet<_> = rig.delivered(Side::Gateway).iter().map(|p| source(p).0).collect();
    assert_eq!(outside, BTreeSet::from([IpAddr::from(CLIENT)]));
}

#[test]
fn rfc4787_req03_no_port_is_used_twice_towards_one_host_and_its_class_is_kept() {
    let (mut rig, proxies) = three_names();
    let ports = [54, 80, 1023, 1024, 5000, 65_535];
    for port in ports {
        for proxy in proxies {
            rig.send_udp(port, (proxy, 80), &port.to_be_bytes());
        }
    }
    let arrived = rig.delivered(Side::Gateway);
    let outside: BTreeSet<_> = arrived.iter().map(|packet| source(packet)).collect();
    assert_eq!(outside.len(), 3 * ports.len());
    for packet in &arrived {
        let own = u16::from_be_bytes([payload(packet)[0], payload(packet)[1]]);
        assert_eq!(source(packet).1 < 1024, own < 1024);
    }
    let kept = ports.iter().filter(|port| outside.contains(&(CLIENT.into(), **port)));
    assert_eq!(kept.count(), ports.len(), "the first of each has its own");
}

#[test]
fn rfc4787_req05_and_req06_a_mapping_lives_300_s_after_a_packet_either_way() {
    for inbound in [false, true] {
        let (mut rig, proxies) = three_names();
        rig.send_udp(5000, (proxies[0], 80), b"x");
        rig.advance(100_000);
        if inbound {
            rig.send(Side::Gateway, udp((REAL, 80), (CLIENT, 5000), b"y"));
        } else {
            rig.send_udp(5000, (proxies[0], 80), b"y");
        }
        rig.delivered(Side::Client);
        rig.advance(100_000 + 299_999);
        rig.send(Side::Gateway, udp((REAL, 80), (CLIENT, 5000), b"z"));
        assert_eq!(rig.delivered(Side::Client).len(), 1, "{inbound}");
        rig.advance(399_999 + 300_001);
        rig.send(Side::Gateway, udp((REAL, 80), (CLIENT, 5000), b"late"));
        assert!(rig.delivered(Side::Client).is_empty(), "{inbound}");
    }
}

#[test]
fn rfc4787_req08_only_the_host_and_port_that_was_asked_may_answer() {
    let (mut rig, proxies) = three_names();
    rig.send_udp(5000, (proxies[0], 80), b"x");
    for (from, port, to) in
        [([10, 77, 0, 12], 80, 5000), (REAL, 81, 5000), (REAL, 80, 5001), ([8, 8, 8, 8], 53, 5000)]
    {
        rig.send(Side::Gateway, udp((from, port), (CLIENT, to), b"stranger"));
    }
    assert!(rig.delivered(Side::Client).is_empty());
    rig.send(Side::Gateway, udp((REAL, 80), (CLIENT, 5000), b"answer"));
    assert_eq!(rig.delivered(Side::Client).len(), 1);
}

#[test]
fn rfc4787_req10_payloads_are_nobodys_business() {
    let (mut rig, proxies) = three_names();
    let messages: [&[u8]; 3] = [
        b"INVITE sip:b@100.96.0.1 SIP/2.0\r\nContact: <sip:a@100.64.0.1:5060>\r\n",
        b"PORT 100,64,0,1,19,136\r\n",
        &[100, 64, 0, 1, 100, 96, 0, 1, 10, 77, 0, 11],
    ];
    for (message, port) in messages.into_iter().zip([5060, 21, 69]) {
        rig.send_udp(port, (proxies[0], port), message);
        let arrived = rig.delivered(Side::Gateway);
        assert_eq!(payload(&arrived[0]), message);
        let (_, outside) = source(&arrived[0]);
        rig.send(Side::Gateway, udp((REAL, port), (CLIENT, outside), message));
        assert_eq!(payload(&rig.delivered(Side::Client)[0]), message);
    }
}

#[test]
fn rfc4787_req11_the_same_packets_are_mapped_alike() {
    let ports = || {
        let (mut rig, proxies) = three_names();
        for port in [5000, 5000, 5001, 5000] {
            for proxy in proxies {
                rig.send_udp(port, (proxy, 80), b"x");
            }
        }
        rig.delivered(Side::Gateway).iter().map(|packet| source(packet)).collect::<Vec<_>>()
    };
    assert_eq!(ports(), ports());
}

#[test]
fn rfc4787_req12_an_error_ends_no_mapping() {
    let (mut rig, proxies) = three_names();
    rig.send_udp(5000, (proxies[0], 80), b"x");
    let sent = rig.delivered(Side::Gateway).remove(0);
    let mut error = vec![0; 1280];
    let len = icmp::unreachable(&sent, Unreachable::Prohibited, &mut error).expect("an error");
    rig.send(Side::Gateway, error[..len].to_vec());
    assert_eq!(rig.delivered(Side::Client).len(), 1);
    rig.send(Side::Gateway, udp((REAL, 80), (CLIENT, 5000), b"still there"));
    assert_eq!(rig.delivered(Side::Client).len(), 1);
    assert_eq!(rig.gateway_rows(InspectGateway::Flows).len(), 1);
}

#[test]
fn rfc4787_req13_too_long_and_not_to_be_cut_is_told_with_the_mtu() {
    let (mut rig, proxies) = three_names();
    let mut packet = udp((CLIENT, 5000), (proxies[0], 80), &[0; 1000]);
    packet.resize(1400, 0);
    packet[2..4].copy_from_slice(&1400_u16.to_be_bytes());
    packet[24..26].copy_from_slice(&1380_u16.to_be_bytes());
    rig.send(Side::Client, packet);
    let answer = rig.delivered(Side::Client).remove(0);
    assert_eq!(kind(&answer), (4, 3, 4));
    assert_eq!(answer[26..28], 1280_u16.to_be_bytes());
}

#[test]
fn rfc4787_req14_fragments_are_refused_and_none_goes_on_untranslated() {
    let (mut rig, proxies) = three_names();
    for field in [0x2000_u16, 0x2001, 0x0001] {
        let mut packet = udp((CLIENT, 5000), (proxies[0], 80), &[0; 64]);
        packet[6..8].copy_from_slice(&field.to_be_bytes());
        rig.send(Side::Client, packet);
    }
    assert!(rig.delivered(Side::Gateway).is_empty());
    assert_eq!(rig.delivered(Side::Client).len(), 1, "the first is answered");
    assert_eq!(rig.client_counters()["refused"]["fragment"], 3);
}

#[test]
fn rfc6888_req04_mappings_of_a_client_are_bounded_and_told_when_no_more_is_given() {
    let mut config = simulation::PairConfig::new(1);
    config.gateway.flows.flows_per_peer = 10;
    let mut rig = crate::rig::Rig::without_access(config);
    let resource = crate::rig::dns_resource(crate::rig::RESOURCE, "*.site.example", Vec::new());
    rig.pair.authorize(&resource, None);
    let proxy = rig.proxies("a.site.example").ipv4[0];
    rig.advance(100);
    rig.delivered(Side::Client);
    for port in 5000..5010 {
        rig.send_udp(port, (proxy, 80), b"x");
        rig.send(Side::Gateway, udp((REAL, 80), (CLIENT, port), b"y"));
    }
    rig.delivered(Side::Client);
    rig.send_udp(6000, (proxy, 80), b"one too many");
    rig.advance(200);
    let answer = rig.delivered(Side::Client).remove(0);
    assert_eq!(kind(&answer), (4, 3, 0), "R29: no more, not forbidden");
    assert_eq!(addresses(&answer).0, IpAddr::from(proxy));
    assert_eq!(rig.gateway_counters()["refused"]["exhausted"], 1);
}

#[test]
fn rfc6888_req08_a_port_rests_for_120_s() {
    let (mut rig, proxies) = three_names();
    rig.send_udp(5000, (proxies[0], 80), b"x");
    rig.advance(100 + 300_500);
    rig.send_udp(5000, (proxies[1], 80), b"y");
    let arrived = rig.delivered(Side::Gateway);
    assert_ne!(source(&arrived[1]).1, 5000, "it rests");
    rig.advance(422_000);
    rig.send_udp(5000, (proxies[2], 80), b"z");
    assert_eq!(source(&rig.delivered(Side::Gateway)[0]).1, 5000);
}
