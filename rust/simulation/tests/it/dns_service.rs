//! DNS on the sentinels, over UDP and TCP: names of resources here, other names forwarded.

use std::net::SocketAddr;

use domain::base::iana::{Rcode, Rtype};
use domain::base::message::Message;
use domain::rdata::{A, Aaaa};
use packet::{Instant, SendBuffer, TcpFlags, Train, TrainSink, Transport, build, parse};
use simulation::scenario::query;
use tunnel::messages::{ClientCommand, Command};
use tunnel::{
    Client, ClientConfig, Connections, DnsTransport, Endpoint, Io, SEND_BUFFER_BYTES,
    SEND_BUFFER_RUNS,
};

use crate::rig::{CLIENT, NAME, RESOURCE, Rig, SENTINEL, dns_resource, udp};

const NOW: Instant = Instant::ZERO;

/// A Client alone, with a server that other names are forwarded to.
struct Alone {
    client: Client,
    send: SendBuffer,
    host: Vec<Vec<u8>>,
}

struct Host<'a>(&'a mut Vec<Vec<u8>>);

impl TrainSink for Host<'_> {
    fn accept(&mut self, train: &Train<'_>) {
        let mut packet = vec![0; train.segment_len(0)];
        train.write_segment(0, &mut packet);
        self.0.push(packet);
    }
}

impl Alone {
    fn new(servers: &[&str]) -> Self {
        let ipv6 = "fd00:2021:1111::1".parse().expect("IPv6");
        let config = ClientConfig::new(CLIENT.into(), ipv6, 1, 1);
        let mut alone = Self {
            client: Client::new(config, Connections::default(), NOW),
            send: SendBuffer::new(SEND_BUFFER_BYTES, SEND_BUFFER_RUNS),
            host: Vec::new(),
        };
        let resource = dns_resource(RESOURCE, "*.site.example", Vec::new());
        alone.command(ClientCommand::SetResource { resource });
        let servers = servers.iter().map(|server| server.parse().expect("an address")).collect();
        alone.command(ClientCommand::SetDnsServers { servers });
        alone
    }

    fn command(&mut self, command: ClientCommand) {
        let mut host = Host(&mut self.host);
        let mut io = Io { send: &mut self.send, host: &mut host };
        self.client.handle_command(Command::Client(command), NOW, &mut io).expect("a Client's");
    }

    fn send(&mut self, mut packet: Vec<u8>) {
        let mut host = Host(&mut self.host);
        let mut io = Io { send: &mut self.send, host: &mut host };
        let train = Train::single(&mut packet).expect("valid");
        self.client.handle_tun(train, NOW, &mut io);
    }

    fn answer(&mut self, id: u64, response: Option<&[u8]>) {
        let mut host = Host(&mut self.host);
        let mut io = Io { send: &mut self.send, host: &mut host };
        self.client.handle_dns_response(id, response, NOW, &mut io);
    }
}

fn rcode(message: &[u8]) -> Rcode {
    Message::from_slice(message).expect("a message").header().rcode()
}

#[test]
fn a_name_of_a_resource_gets_its_four_proxies_of_the_family() {
    let mut rig = Rig::new();
    let record = rig.proxies(NAME);
    rig.query(NAME, Rtype::AAAA);

    let answers = rig.dns_answers();
    let first = Message::from_slice(&answers[0]).expect("a message");
    let ipv4: Vec<_> = first
        .answer()
        .expect("answers")
        .limit_to::<A>()
        .map(|r| r.expect("A").data().addr())
        .collect();
    let second = Message::from_slice(&answers[1]).expect("a message");
    let ipv6: Vec<_> = second
        .answer()
        .expect("answers")
        .limit_to::<Aaaa>()
        .map(|r| r.expect("AAAA").data().addr())
        .collect();
    assert_eq!((ipv4, ipv6), (record.ipv4.to_vec(), record.ipv6.to_vec()));
}

#[test]
fn r06_only_address_queries_refresh() {
    let mut rig = Rig::new();
    rig.proxies(NAME);
    rig.advance(1000);
    let before = rig.client_counters()["nat"]["queries"].as_u64();
    for kind in [Rtype::HTTPS, Rtype::SVCB, Rtype::MX, Rtype::TXT] {
        rig.query(NAME, kind);
    }
    assert_eq!(rig.client_counters()["nat"]["queries"].as_u64(), before);

    rig.query(NAME, Rtype::AAAA);

    assert_eq!(rig.client_counters()["nat"]["queries"].as_u64(), before.map(|n| n + 1));
}

#[test]
fn no_query_for_a_protected_name_is_forwarded() {
    let mut alone = Alone::new(&["192.0.2.53:53"]);
    for kind in 1..=260_u16 {
        let message = query(NAME, Rtype::from_int(kind), kind);
        alone.send(udp(
            (CLIENT, 4000),
            (SENTINEL.map(|o| if o == 1 { 2 } else { o }), 53),
            &message,
        ));
    }
    assert_eq!(alone.client.poll_dns(), None);
}

#[test]
fn another_name_is_forwarded_to_the_server_behind_its_sentinel_and_its_answer_comes_back() {
    let mut alone = Alone::new(&["192.0.2.53:53", "192.0.2.54:5353"]);
    let sentinels = [[100, 100, 111, 2], [100, 100, 111, 3]];
    let message = query("www.example", Rtype::A, 99);

    alone.send(udp((CLIENT, 4000), (sentinels[1], 53), &message));
    let asked = alone.client.poll_dns().expect("a query");
    assert_eq!(asked.server, "192.0.2.54:5353".parse::<SocketAddr>().expect("an address"));
    assert_eq!((asked.transport, &asked.query), (DnsTransport::Udp, &message));
    let mut response = message.clone();
    response[2] |= 0x80;
    alone.answer(asked.id, Some(&response));

    let packet = alone.host.pop().expect("an answer");
    let summary = parse(&packet).expect("valid");
    assert_eq!(summary.source, std::net::IpAddr::from(sentinels[1]));
    assert!(matches!(summary.transport, Transport::Udp { source: 53, destination: 4000 }));
    assert_eq!(packet[28..], response);
    alone.answer(asked.id, Some(&response));
    assert!(alone.host.is_empty(), "an answer counts once");
}

#[test]
fn a_server_that_does_not_answer_leaves_a_udp_client_waiting_and_fails_a_tcp_one() {
    let mut alone = Alone::new(&["192.0.2.53:53"]);
    let message = query("www.example", Rtype::A, 99);
    alone.send(udp((CLIENT, 4000), ([100, 100, 111, 2], 53), &message));
    let asked = alone.client.poll_dns().expect("a query");
    alone.answer(asked.id, None);
    assert!(alone.host.is_empty());

    let answer = over_tcp(&mut alone, &message, |alone| {
        let asked = alone.client.poll_dns().expect("a query");
        assert_eq!(asked.transport, DnsTransport::Tcp);
        alone.answer(asked.id, None);
    });

    assert_eq!(rcode(&answer), Rcode::SERVFAIL);
}

#[test]
fn a_name_of_a_resource_is_answered_over_tcp_too() {
    let mut alone = Alone::new(&["192.0.2.53:53"]);

    let answer = over_tcp(&mut alone, &query(NAME, Rtype::A, 5), |_| {});

    let message = Message::from_slice(&answer).expect("a message");
    assert_eq!(message.header_counts().ancount(), 4);
}

#[test]
fn an_answer_too_long_for_the_tunnel_is_cut_so_that_it_is_asked_over_tcp() {
    let mut alone = Alone::new(&["192.0.2.53:53"]);
    let message = query("www.example", Rtype::TXT, 99);
    alone.send(udp((CLIENT, 4000), ([100, 100, 111, 2], 53), &message));
    let asked = alone.client.poll_dns().expect("a query");
    let mut response = message.clone();
    response[2] |= 0x80;
    response.resize(2000, 0);
    alone.answer(asked.id, Some(&response));

    let packet = alone.host.pop().expect("an answer");
    let answer = Message::from_slice(&packet[28..]).expect("a message").header();
    assert!(answer.tc());
}

#[test]
fn without_a_server_other_names_fail_at_once() {
    let mut alone = Alone::new(&[]);
    alone.send(udp((CLIENT, 4000), ([100, 100, 111, 2], 53), &query("www.example", Rtype::A, 9)));

    let packet = alone.host.pop().expect("an answer");
    assert_eq!(rcode(&packet[28..]), Rcode::SERVFAIL);
}

#[test]
fn a_new_set_of_servers_uses_no_former_sentinel_and_none_in_the_sentinel_range() {
    let mut alone = Alone::new(&["192.0.2.53:53", "100.100.111.9:53", "192.0.2.53:53"]);
    let message = query("www.example", Rtype::A, 9);
    alone.send(udp((CLIENT, 4000), ([100, 100, 111, 2], 53), &message));
    assert!(alone.client.poll_dns().is_some());
    alone.send(udp((CLIENT, 4000), ([100, 100, 111, 3], 53), &message));
    assert!(alone.client.poll_dns().is_none(), "one server, one sentinel");

    alone.command(ClientCommand::SetDnsServers {
        servers: vec!["192.0.2.60:53".parse().expect("an address")],
    });
    alone.send(udp((CLIENT, 4000), ([100, 100, 111, 2], 53), &message));
    assert!(alone.client.poll_dns().is_none());
    alone.send(udp((CLIENT, 4000), ([100, 100, 111, 3], 53), &message));
    assert!(alone.client.poll_dns().is_some());
}

/// Asks over TCP: handshake, query, and the whole answer.
fn over_tcp(alone: &mut Alone, message: &[u8], serve: impl FnOnce(&mut Alone)) -> Vec<u8> {
    let (local, sentinel) =
        (SocketAddr::from((CLIENT, 4000)), SocketAddr::from(([100, 100, 111, 2], 53)));
    let segment = |sequence, acknowledgement, flags, payload: &[u8]| {
        let mut packet = vec![0; 1280];
        let len = build::tcp(
            local,
            sentinel,
            sequence,
            acknowledgement,
            flags,
            60_000,
            payload,
            &mut packet,
        );
        packet.truncate(len.expect("it fits"));
        packet
    };
    alone.send(segment(1, 0, TcpFlags::SYN, &[]));
    let answer = alone.host.pop().expect("SYN-ACK");
    let Transport::Tcp { sequence, .. } = parse(&answer).expect("valid").transport else {
        panic!("TCP answers TCP");
    };
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    alone.send(segment(2, sequence + 1, TcpFlags::ACK | TcpFlags::PSH, &framed));
    serve(alone);
    let mut stream = Vec::new();
    for packet in std::mem::take(&mut alone.host) {
        let summary = parse(&packet).expect("valid");
        stream.extend_from_slice(&packet[usize::from(summary.header_len)..]);
    }
    stream.drain(..2);
    stream
}
