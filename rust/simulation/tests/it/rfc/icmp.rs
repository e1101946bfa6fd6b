//! RFC 5508, and the generation of errors by RFC 1812 §4.3.2 and RFC 4443 §2.4. Every kind of error that is
//! translated is in `errors`.

use std::net::IpAddr;

use packet::{TcpFlags, build};
use simulation::{PairConfig, Side};
use tunnel::filter::{Filter, PortRange};
use tunnel::messages::InspectGateway;

use super::{REAL, source, three_names};
use crate::rig::{CLIENT, RESOURCE, Rig, dns_resource, icmp as kind, tcp, udp};

fn echo(from: impl Into<IpAddr>, to: impl Into<IpAddr>, id: u16, request: bool) -> Vec<u8> {
    let mut packet = vec![0; 100];
    let len = build::echo(from.into(), to.into(), id, 1, request, b"ping", &mut packet);
    packet.truncate(len.expect("it fits"));
    packet
}

#[test]
fn rfc5508_req01_an_echo_passes_and_its_reply_comes_back_under_its_own_identifier() {
    let (mut rig, proxies) = three_names();
    for proxy in proxies {
        rig.send(Side::Client, echo(CLIENT, proxy, 7, true));
    }
    let arrived = rig.delivered(Side::Gateway);
    for (packet, proxy) in arrived.iter().zip(proxies) {
        rig.send(Side::Gateway, echo(REAL, CLIENT, source(packet).1, false));
        assert_eq!(rig.delivered(Side::Client), [echo(proxy, CLIENT, 7, false)]);
    }
}

#[test]
fn rfc5508_req02_a_query_lives_60_s() {
    for (wait, lives) in [(59_999, true), (60_001, false)] {
        let (mut rig, proxies) = three_names();
        rig.send(Side::Client, echo(CLIENT, proxies[0], 7, true));
        rig.advance(100 + wait);
        rig.send(Side::Gateway, echo(REAL, CLIENT, 7, false));
        assert_eq!(rig.delivered(Side::Client).len(), usize::from(lives), "{wait}");
    }
}

#[test]
fn rfc5508_req05_and_req11_what_is_neither_query_nor_error_of_a_flow_is_dropped() {
    let (mut rig, proxies) = three_names();
    rig.send_udp(5000, (proxies[0], 80), b"x");
    rig.delivered(Side::Gateway);
    for (kind, code) in [(5, 1), (13, 0), (17, 0), (9, 0)] {
        let mut other = echo(CLIENT, proxies[0], 7, true);
        (other[20], other[21]) = (kind, code);
        rig.send(Side::Client, other.clone());
        let mut back = echo(REAL, CLIENT, 7, true);
        (back[20], back[21]) = (kind, code);
        rig.send(Side::Gateway, back);
    }
    assert!(rig.delivered(Side::Gateway).is_empty());
    assert!(rig.delivered(Side::Client).is_empty());
}

#[test]
fn rfc5508_req06_an_error_keeps_no_flow_alive() {
    let (mut rig, proxies) = three_names();
    rig.send(Side::Client, echo(CLIENT, proxies[0], 7, true));
    let sent = rig.delivered(Side::Gateway).remove(0);
    for second in 1..60 {
        rig.advance(100 + second * 1000);
        let mut error = vec![0; 1280];
        let kind = packet::icmp::Unreachable::Network;
        let len = packet::icmp::unreachable(&sent, kind, &mut error).expect("an error");
        rig.send(Side::Gateway, error[..len].to_vec());
    }
    rig.advance(61_200);
    assert!(rig.gateway_rows(InspectGateway::Flows).is_empty());
}

#[test]
fn rfc5508_req08_what_policy_forbids_is_answered_so() {
    let mut rig = Rig::without_access(PairConfig::new(1));
    let only = vec![Filter::Tcp(PortRange { start: 443, end: 443 })];
    rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", Vec::new()), None);
    rig.pair.grant(&dns_resource(RESOURCE, "*.site.example", only), None);
    let proxy = rig.proxies("a.site.example").ipv4[0];
    rig.advance(100);
    rig.delivered(Side::Client);
    rig.send_udp(5000, (proxy, 80), b"x");
    assert_eq!(kind(&rig.delivered(Side::Client)[0]), (4, 3, 13));
}

#[test]
fn rfc1812_4_3_2_7_no_error_about_errors_groups_later_fragments_or_nobody() {
    let mut rig = Rig::without_access(PairConfig::new(1));
    rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", vec![Filter::Icmp]), None);
    let proxy = rig.proxies("a.site.example").ipv4[0];
    rig.advance(100);
    rig.delivered(Side::Client);
    let forbidden = udp((CLIENT, 5000), (proxy, 80), b"x");
    rig.send(Side::Client, forbidden.clone());
    let error = rig.delivered(Side::Client).remove(0);
    assert_eq!(kind(&error), (4, 3, 13));

    let mut about_error = vec![0; 1280];
    let len =
        packet::icmp::unreachable(&forbidden, packet::icmp::Unreachable::Network, &mut about_error);
    about_error.truncate(len.expect("an error"));
    let mut later = forbidden.clone();
    later[6..8].copy_from_slice(&1_u16.to_be_bytes());
    let to = |address: [u8; 4]| udp((CLIENT, 5000), (address, 80), b"x");
    let from = |address: [u8; 4]| udp((address, 5000), (proxy, 80), b"x");
    for silent in [
        about_error,
        later,
        to([224, 0, 0, 251]),
        to([255, 255, 255, 255]),
        from([0, 0, 0, 0]),
        from([127, 0, 0, 1]),
        from([224, 0, 0, 1]),
    ] {
        rig.send(Side::Client, silent.clone());
        assert!(rig.delivered(Side::Client).is_empty(), "{silent:?}");
    }
}

#[test]
fn rfc1812_4_3_2_8_and_rfc4443_2_4_f_errors_are_limited_in_rate() {
    let mut rig = Rig::without_access(PairConfig::new(1));
    let only = vec![Filter::Tcp(PortRange { start: 443, end: 443 })];
    rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", only), None);
    let proxies = rig.proxies("a.site.example");
    rig.advance(1000);
    rig.delivered(Side::Client);
    for step in 0..10_000_u64 {
        if step % 10 == 0 {
            rig.advance(1000 + step / 10);
        }
        let packet = if step % 2 == 0 {
            tcp((CLIENT, 5000), (proxies.ipv4[0], 80), 1, TcpFlags::SYN)
        } else {
            udp((simulation::pair::CLIENT_IPV6, 5000), (proxies.ipv6[0], 80), b"x")
        };
        rig.send(Side::Client, packet);
    }
    let errors = rig.delivered(Side::Client).len();
    assert!((200..=1200).contains(&errors), "{errors} in a second, of 10,000");
    let refused = &rig.client_counters()["refused"];
    assert_eq!(refused["prohibited"], 10_000);
    assert_eq!(refused["errors_limited"].as_u64(), Some(10_000 - errors as u64));
}

#[test]
fn rfc4443_2_4_an_error_names_where_it_is_about_and_quotes_what_fits_1280_bytes() {
    let mut rig = Rig::without_access(PairConfig::new(1));
    let only = vec![Filter::Tcp(PortRange { start: 443, end: 443 })];
    rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", only), None);
    let proxy = rig.proxies("a.site.example").ipv6[0];
    rig.advance(100);
    rig.delivered(Side::Client);
    let long = udp((simulation::pair::CLIENT_IPV6, 5000), (proxy, 80), &[7; 1232]);
    rig.send(Side::Client, long.clone());
    let error = rig.delivered(Side::Client).remove(0);
    assert_eq!((kind(&error), error.len()), ((6, 1, 1), 1280));
    assert_eq!(error[48..], long[..1232]);
    assert!(packet::verify(&error, &packet::parse(&error).expect("valid")));
}
