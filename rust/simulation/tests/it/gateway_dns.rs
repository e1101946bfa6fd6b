//! The Gateway's own addresses: its DNS server and echo (dataplane §4.8), and nothing else (R43).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use domain::base::iana::{Rcode, Rtype};
use domain::base::message::Message;
use packet::{TcpFlags, Transport, build, parse};
use simulation::pair::{CLIENT_IPV6, GATEWAY_IPV4, GATEWAY_IPV6};
use simulation::scenario::query;
use simulation::world::NameServer;
use simulation::{PairConfig, Side};
use tunnel::messages::GatewayCommand;
use tunnel::{DnsTransmit, DnsTransport};

use crate::rig::{CLIENT, RESOURCE, Rig, dns_resource, icmp, tcp, udp};

pub(crate) const DNS: u16 = 53535;
const NEAR: &str = "192.0.2.53:53";
const FAR: &str = "192.0.2.54:53";

/// An answer that is the question, marked as one.
pub(crate) fn echoing(asked: &DnsTransmit) -> Option<Vec<u8>> {
    let mut response = asked.query.clone();
    response[2] |= 0x80;
    Some(response)
}

/// An answer of 1201 bytes.
fn long(asked: &DnsTransmit) -> Option<Vec<u8>> {
    let mut response = echoing(asked)?;
    response.resize(1201, 0);
    Some(response)
}

fn silent(_: &DnsTransmit) -> Option<Vec<u8>> {
    None
}

fn only_tcp(asked: &DnsTransmit) -> Option<Vec<u8>> {
    (asked.transport == DnsTransport::Tcp).then(|| echoing(asked)).flatten()
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A rig whose Gateway asks two servers.
fn rig(near: fn(&DnsTransmit) -> Option<Vec<u8>>, far: fn(&DnsTransmit) -> Option<Vec<u8>>) -> Rig {
    let mut rig = Rig::new();
    set(&mut rig, NEAR, 5, near);
    set(&mut rig, FAR, 50, far);
    let servers = vec![address(FAR), address(NEAR)];
    rig.pair.command_gateway(GatewayCommand::SetDnsServers { servers });
    rig.settle();
    rig
}

fn set(rig: &mut Rig, server: &str, after: u64, answer: fn(&DnsTransmit) -> Option<Vec<u8>>) {
    let after = Duration::from_millis(after);
    rig.pair.world_mut().set_server(address(server), NameServer { after, answer });
}

fn ask(rig: &mut Rig, name: &str) {
    rig.send_udp(5000, (GATEWAY_IPV4, DNS), &query(name, Rtype::A, 77));
}

/// Which servers the Gateway was asked to pass names to, measurements left out.
fn passed_on(rig: &mut Rig) -> Vec<(SocketAddr, DnsTransport)> {
    let queries = rig.pair.world_mut().take_queries().into_iter();
    queries
        .filter(|(_, _, asked)| asked.query.len() > dns::ROOT_QUERY)
        .map(|(_, _, asked)| (asked.server, asked.transport))
        .collect()
}

/// Code, and whether it is cut, of the answers that reached the Client's host.
fn answers(rig: &mut Rig) -> Vec<(Rcode, bool)> {
    let packets = rig.delivered(Side::Client).into_iter();
    let read = |packet: Vec<u8>| {
        let summary = parse(&packet).expect("valid");
        assert!(matches!(summary.transport, Transport::Udp { source: DNS, destination: 5000 }));
        let message = packet[usize::from(summary.header_len)..].to_vec();
        let header = Message::from_slice(&message).expect("a message").header();
        assert_eq!((header.id(), header.qr()), (77, true));
        (header.rcode(), header.tc())
    };
    packets.map(read).collect()
}

#[test]
fn each_server_is_measured_over_both_transports_every_60_s_and_nobody_is_named() {
    let mut rig = rig(echoing, echoing);
    let first = rig.pair.world_mut().take_queries();
    assert_eq!(first.len(), 4);
    rig.advance(59_999);
    assert!(rig.pair.world_mut().take_queries().is_empty());

    rig.advance(60_000);

    let second = rig.pair.world_mut().take_queries();
    assert_eq!(second.len(), 4);
    for (_, _, asked) in first.iter().chain(&second) {
        let message = Message::from_slice(&asked.query).expect("a message");
        let question = message.sole_question().expect("one question");
        assert!(question.qname().is_root());
        assert_eq!(question.qtype(), Rtype::NS);
    }
}

#[test]
fn the_fastest_server_is_asked_and_before_any_is_measured_the_first() {
    let mut rig = rig(echoing, echoing);
    ask(&mut rig, "early.example");
    assert_eq!(passed_on(&mut rig), [(address(FAR), DnsTransport::Udp)]);
    rig.advance(100);

    ask(&mut rig, "www.example");
    rig.advance(200);

    assert_eq!(passed_on(&mut rig), [(address(NEAR), DnsTransport::Udp)]);
    assert_eq!(answers(&mut rig), [(Rcode::NOERROR, false); 2]);
}

#[test]
fn a_server_that_is_silent_for_2_s_is_not_asked_and_without_any_queries_fail() {
    let mut rig = rig(silent, echoing);
    rig.advance(2000);
    ask(&mut rig, "www.example");
    assert_eq!(passed_on(&mut rig), [(address(FAR), DnsTransport::Udp)]);
    set(&mut rig, FAR, 50, silent);
    rig.advance(62_100);
    rig.delivered(Side::Client);

    ask(&mut rig, "www.example");

    assert_eq!(passed_on(&mut rig), []);
    assert_eq!(answers(&mut rig), [(Rcode::SERVFAIL, false)]);
    set(&mut rig, NEAR, 5, echoing);
    rig.advance(68_000);
    ask(&mut rig, "www.example");
    assert_eq!(passed_on(&mut rig), [(address(NEAR), DnsTransport::Udp)], "measured again soon");
}

#[test]
fn a_query_that_a_server_does_not_answer_fails_and_has_the_servers_measured() {
    let mut rig = rig(echoing, silent);
    rig.advance(10_000);
    set(&mut rig, NEAR, 5, silent);
    ask(&mut rig, "www.example");
    rig.advance(14_999);
    assert_eq!(answers(&mut rig), []);
    rig.pair.world_mut().take_queries();

    rig.advance(15_000);

    assert_eq!(answers(&mut rig), [(Rcode::SERVFAIL, false)]);
    assert_eq!(rig.pair.world_mut().take_queries().len(), 4);
}

#[test]
fn a_server_that_answers_over_tcp_alone_is_asked_over_tcp() {
    let mut rig = rig(only_tcp, silent);
    rig.advance(3000);

    ask(&mut rig, "www.example");
    rig.advance(3100);

    assert_eq!(passed_on(&mut rig), [(address(NEAR), DnsTransport::Tcp)]);
    assert_eq!(answers(&mut rig), [(Rcode::NOERROR, false)]);
}

#[test]
fn an_answer_over_1200_bytes_is_cut() {
    let mut rig = rig(long, silent);
    rig.advance(3000);

    ask(&mut rig, "www.example");
    rig.advance(3100);

    assert_eq!(answers(&mut rig), [(Rcode::NOERROR, true)]);
}

#[test]
fn no_query_is_passed_on_that_is_none() {
    let mut rig = rig(echoing, echoing);
    rig.advance(100);
    let response = echoing(&DnsTransmit {
        id: 0,
        server: address(NEAR),
        transport: DnsTransport::Udp,
        query: query("www.example", Rtype::A, 1),
    });
    for message in [&b""[..], b"short", &response.expect("one")] {
        rig.send_udp(5000, (GATEWAY_IPV4, DNS), message);
    }

    rig.advance(200);

    assert_eq!((passed_on(&mut rig), answers(&mut rig)), (vec![], vec![]));
    assert_eq!(rig.gateway_counters()["dns"]["malformed"], 3);
}

#[test]
fn one_client_leaves_room_for_the_queries_of_others() {
    let mut rig = rig(silent, silent);
    for number in 0..600 {
        ask(&mut rig, &format!("n{number}.example"));
    }

    let counters = rig.gateway_counters();

    assert_eq!(
        (&counters["dns"]["forwarded"], &counters["dns"]["failed"]),
        (&500.into(), &100.into())
    );
}

#[test]
fn r43_echo_is_answered_by_the_gateway_itself_in_both_families() {
    let mut rig = Rig::new();
    let ends: [(IpAddr, IpAddr); 2] =
        [(CLIENT.into(), GATEWAY_IPV4.into()), (CLIENT_IPV6.into(), GATEWAY_IPV6.into())];
    for (client, gateway) in ends {
        let mut request = vec![0; 1280];
        let len = build::echo(client, gateway, 9, 3, true, b"anyone?", &mut request);
        request.truncate(len.expect("it fits"));
        rig.send(Side::Client, request.clone());
        *request.last_mut().expect("a byte") ^= 1;
        rig.send(Side::Client, request);

        let mut reply = vec![0; 1280];
        let len = build::echo(gateway, client, 9, 3, false, b"anyone?", &mut reply);
        reply.truncate(len.expect("it fits"));
        assert_eq!(rig.delivered(Side::Client), [reply], "the damaged one is not answered");
    }
    assert!(rig.delivered(Side::Gateway).is_empty(), "the Gateway's host sees none of it");
}

#[test]
fn r43_nothing_else_of_the_gateway_is_reached() {
    let mut rig = Rig::without_access(PairConfig::new(1));
    rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", Vec::new()), None);
    let wide = crate::rig::cidr_resource(dns::ResourceId(9), "100.64.0.0/10");
    rig.pair.authorize(&wide, None);
    let mut refused = 0;
    for port in (0..=u16::MAX).step_by(7).filter(|port| *port != DNS) {
        rig.send(Side::Client, udp((CLIENT, 5000), (GATEWAY_IPV4, port), b"x"));
        rig.send(Side::Client, tcp((CLIENT, 5000), (GATEWAY_IPV4, port), 1, TcpFlags::SYN));
        refused += 2;
    }
    let mut reply = vec![0; 1280];
    let len = build::echo(CLIENT.into(), GATEWAY_IPV4.into(), 1, 1, false, b"", &mut reply);
    reply.truncate(len.expect("it fits"));
    rig.send(Side::Client, reply);

    assert!(rig.delivered(Side::Gateway).is_empty());
    assert_eq!(rig.gateway_counters()["refused"]["prohibited"], refused + 1);
    let errors = rig.delivered(Side::Client);
    assert!(!errors.is_empty() && errors.iter().all(|error| icmp(error) == (4, 3, 13)));
}
