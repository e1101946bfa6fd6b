//! Types of a protected name that the stub has no answer for: asked at the site, through the tunnel, and
//! never of the servers that other names are forwarded to.

use std::time::Duration;

use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::message::Message;
use domain::base::{MessageBuilder, Name, Question};
use netstack::DnsClient;
use packet::{Instant, TcpFlags, Transport, parse};
use simulation::pair::{CLIENT_IPV4, CLIENT_IPV6};
use simulation::scenario::query;
use simulation::world::NameServer;
use simulation::{PairConfig, Side};
use tunnel::messages::{AuthorizationFailure, ClientCommand, ClientEvent, GatewayCommand};
use tunnel::{DnsTransmit, DnsTransport};

use crate::gateway_dns::{address, echoing};
use crate::rig::{NAME, RESOURCE, Rig, SENTINEL, dns_resource};

const UPSTREAM: &str = "198.51.100.53:53";
const OF_THE_SITE: &str = "192.0.2.53:53";
const SENTINEL_OF_UPSTREAM: [u8; 4] = [100, 100, 111, 2];

/// Cut over UDP, long over TCP.
fn long(asked: &DnsTransmit) -> Option<Vec<u8>> {
    let mut response = echoing(asked)?;
    match asked.transport {
        DnsTransport::Udp => response[2] |= 0x02,
        DnsTransport::Tcp => response.resize(40_000, 7),
    }
    Some(response)
}

fn silent(_: &DnsTransmit) -> Option<Vec<u8>> {
    None
}

/// Measured, and of no use.
fn only_root(asked: &DnsTransmit) -> Option<Vec<u8>> {
    (asked.query.len() == dns::ROOT_QUERY).then(|| echoing(asked)).flatten()
}

/// A rig whose Client knows an upstream server and whose Gateway one of the site; nothing is
/// authorised at the Client yet.
fn rig(answer: fn(&DnsTransmit) -> Option<Vec<u8>>) -> Rig {
    let mut rig = Rig::without_access(PairConfig::new(1));
    for server in [UPSTREAM, OF_THE_SITE] {
        let server_of = NameServer { after: Duration::ZERO, answer };
        rig.pair.world_mut().set_server(address(server), server_of);
    }
    let resource = dns_resource(RESOURCE, "*.site.example", Vec::new());
    rig.pair.grant(&resource, None);
    rig.pair.command_client(ClientCommand::SetResource { resource });
    let servers = vec![address(UPSTREAM)];
    rig.pair.command_client(ClientCommand::SetDnsServers { servers });
    let servers = vec![address(OF_THE_SITE)];
    rig.pair.command_gateway(GatewayCommand::SetDnsServers { servers });
    rig.settle();
    rig.pair.world_mut().take_queries();
    rig
}

fn authorized(answer: fn(&DnsTransmit) -> Option<Vec<u8>>) -> Rig {
    let mut rig = rig(answer);
    rig.pair.answer_authorization(RESOURCE);
    rig.settle();
    rig
}

fn ask(rig: &mut Rig, message: &[u8]) {
    rig.send_udp(40_000, (SENTINEL_OF_UPSTREAM, 53), message);
}

/// What was asked of the Client's upstream, and of the site's server, without measurements.
fn asked(rig: &mut Rig) -> (usize, Vec<DnsTransmit>) {
    let queries = rig.pair.world_mut().take_queries();
    let (client, gateway): (Vec<_>, Vec<_>) =
        queries.into_iter().partition(|(_, station, _)| *station == 0);
    let gateway = gateway.into_iter().map(|(_, _, asked)| asked);
    (client.len(), gateway.filter(|asked| asked.query.len() > dns::ROOT_QUERY).collect())
}

#[test]
fn of_all_65536_types_none_of_a_protected_name_reaches_the_upstream() {
    let mut rig = authorized(echoing);
    for number in 0..=u16::MAX {
        let rtype = Rtype::from_int(number);
        ask(&mut rig, &query(NAME, rtype, number));
        let answers = rig.dns_answers();
        assert_eq!(answers.len(), 1, "{rtype}");
        assert_eq!(answers[0][..2], number.to_be_bytes(), "{rtype}");
    }

    let (upstream, site) = asked(&mut rig);

    assert_eq!(upstream, 0);
    // All but A, AAAA, SVCB, HTTPS, and transfers of zones, which are refused.
    assert_eq!(site.len(), 65_536 - 6);
}

#[test]
fn of_a_protected_name_no_class_reaches_the_upstream() {
    let mut rig = authorized(echoing);
    for class in [Class::CH, Class::HS, Class::ANY, Class::NONE] {
        let mut builder = MessageBuilder::new_vec().question();
        let name: Name<Vec<u8>> = NAME.parse().expect("a name");
        builder.push(Question::new(name, Rtype::TXT, class)).expect("it fits");
        ask(&mut rig, &builder.finish());
    }

    assert_eq!(asked(&mut rig).0, 0);
    for answer in rig.dns_answers() {
        assert_eq!(Message::from_slice(&answer).expect("one").header().rcode(), Rcode::REFUSED);
    }
}

#[test]
fn a_query_waits_for_the_authorisation_and_comes_back_as_it_was_spelled() {
    let mut rig = rig(|asked| echoing(asked).map(|response| response.to_ascii_lowercase()));
    let message = query("App.Site.EXAMPLE", Rtype::MX, 0x4142);
    ask(&mut rig, &message);
    assert_eq!(asked(&mut rig).1.len(), 0);
    let wanted = |event: &ClientEvent| matches!(event, ClientEvent::AuthorizationNeeded { resource, .. } if *resource == RESOURCE);
    assert!(rig.client_events.iter().any(|(_, event)| wanted(event)));

    rig.pair.answer_authorization(RESOURCE);
    rig.settle();

    let (upstream, site) = asked(&mut rig);
    assert_eq!((upstream, site.len()), (0, 1));
    assert_ne!(site[0].query[..2], message[..2], "the id on the way is another");
    let mut expected = message;
    expected[2] |= 0x80;
    assert_eq!(rig.dns_answers(), [expected]);
}

#[test]
fn a_refused_authorisation_fails_the_query_at_once() {
    for reason in [AuthorizationFailure::Offline, AuthorizationFailure::Forbidden] {
        let mut rig = rig(echoing);
        ask(&mut rig, &query(NAME, Rtype::MX, 1));

        let resource = RESOURCE;
        rig.pair.command_client(ClientCommand::AuthorizationFailed { resource, reason });
        rig.settle();

        assert_eq!(codes(&mut rig), [Rcode::SERVFAIL]);
    }
}

#[test]
fn a_request_is_repeated_while_a_query_waits_and_the_query_fails_after_10_s() {
    let mut rig = rig(echoing);
    ask(&mut rig, &query(NAME, Rtype::MX, 1));

    rig.advance(9_999);
    assert!(rig.dns_answers().is_empty());
    rig.advance(10_000);

    assert_eq!(codes(&mut rig), [Rcode::SERVFAIL]);
    let requests = rig
        .client_events
        .iter()
        .filter(|(_, event)| matches!(event, ClientEvent::AuthorizationNeeded { .. }));
    assert_eq!(requests.count(), 3, "at 0, 2 and 6 s");
    rig.advance(100_000);
    assert!(rig.dns_answers().is_empty());
}

#[test]
fn a_lost_query_is_repeated() {
    let mut rig = authorized(only_root);
    ask(&mut rig, &query(NAME, Rtype::MX, 1));
    assert_eq!(asked(&mut rig).1.len(), 1);

    rig.advance(4000);

    assert_eq!(asked(&mut rig).1.len(), 2, "after 1 and 3 s");
}

#[test]
fn a_query_goes_to_the_other_gateway_when_its_own_goes_away() {
    let mut rig = authorized(silent);
    ask(&mut rig, &query(NAME, Rtype::MX, 1));
    let gateway = simulation::pair::GATEWAY;
    rig.pair.command_client(ClientCommand::RemoveGateway { gateway });
    rig.settle();
    let server = NameServer { after: Duration::ZERO, answer: echoing };
    rig.pair.world_mut().set_server(address(OF_THE_SITE), server);

    rig.pair.answer_authorization(RESOURCE);
    rig.settle();

    assert_eq!(codes(&mut rig), [Rcode::NOERROR]);
}

#[test]
fn no_more_than_1024_queries_are_under_way() {
    let mut rig = rig(echoing);
    for number in 0..1030 {
        ask(&mut rig, &query(&format!("n{number}.site.example"), Rtype::MX, number));
    }

    assert_eq!(codes(&mut rig), [Rcode::SERVFAIL; 6]);
}

#[test]
fn a_long_answer_comes_over_tcp_to_who_asks_over_tcp() {
    let mut rig = authorized(long);
    let message = query(NAME, Rtype::TXT, 9);
    ask(&mut rig, &message);
    let cut = rig.dns_answers();
    assert!(Message::from_slice(&cut[0]).expect("a message").header().tc());

    let answer = over_tcp(&mut rig, &message);

    assert_eq!(answer.len(), 40_000);
    assert_eq!(answer[..2], message[..2]);
    assert_eq!(asked(&mut rig).0, 0);
}

/// A program of the Client's host asks the sentinel over TCP.
fn over_tcp(rig: &mut Rig, message: &[u8]) -> Vec<u8> {
    let mut program = DnsClient::new(CLIENT_IPV4, CLIENT_IPV6, 5, Instant::ZERO);
    program.ask(0, (SENTINEL_OF_UPSTREAM, 53).into(), 41_000, message, rig.pair.now());
    for _ in 0..1000 {
        let mut packets = Vec::new();
        while program.poll_packet(|packet| packets.push(packet.to_vec())) {}
        for packet in packets {
            rig.send(Side::Client, packet);
        }
        rig.settle();
        for delivery in rig.pair.take_deliveries(Side::Client) {
            let summary = parse(&delivery.packet).expect("valid");
            if let Transport::Tcp { flags, .. } = summary.transport {
                assert!(!flags.contains(TcpFlags::RST));
            }
            program.handle_packet(&delivery.packet, rig.pair.now());
        }
        if let Some((_, answer)) = program.poll_answer() {
            return answer.expect("an answer");
        }
    }
    panic!("no answer to {message:?}");
}

fn codes(rig: &mut Rig) -> Vec<Rcode> {
    let answers = rig.dns_answers();
    answers.iter().map(|a| Message::from_slice(a).expect("one").header().rcode()).collect()
}

#[test]
fn a_stranger_on_the_port_of_a_query_is_no_answer() {
    let mut rig = authorized(silent);
    assert_eq!(SENTINEL, [100, 100, 111, 1]);
    ask(&mut rig, &query(NAME, Rtype::MX, 1));
    let sent = asked(&mut rig).1.remove(0);
    let mut forged = sent.query.clone();
    forged[2] |= 0x80;
    forged[0] ^= 1;
    for port in 49_152..=u16::MAX {
        let packet =
            crate::rig::udp((simulation::pair::GATEWAY_IPV4, 53_535), (CLIENT_IPV4, port), &forged);
        rig.send(Side::Gateway, packet);
    }

    assert!(rig.dns_answers().is_empty(), "the id is another");
}
