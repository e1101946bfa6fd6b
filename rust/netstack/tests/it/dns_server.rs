//! The server answers whole messages on every sentinel, closes what is idle, and bounds connections.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netstack::{DnsServer, Listening};
use packet::{Instant, TcpFlags, Transport, build, parse};

const NOW: Instant = Instant::ZERO;
const QUERY: &[u8] = b"not really DNS; the server does not look inside";

/// A client program's side of one connection.
struct Connection {
    local: SocketAddr,
    sentinel: SocketAddr,
    next: u32,
    acknowledged: u32,
}

/// A TCP segment as the client sees it.
struct Segment {
    flags: TcpFlags,
    payload: Vec<u8>,
}

impl Connection {
    fn new(port: u16, sentinel: &str) -> Self {
        let sentinel: IpAddr = sentinel.parse().expect("an address");
        let local: IpAddr = match sentinel {
            IpAddr::V4(_) => [100, 64, 0, 1].into(),
            IpAddr::V6(_) => "fd00:2021:1111::1".parse().expect("an address"),
        };
        Self {
            local: SocketAddr::new(local, port),
            sentinel: SocketAddr::new(sentinel, 53),
            next: 1000,
            acknowledged: 0,
        }
    }

    fn send(&mut self, server: &mut DnsServer, flags: TcpFlags, payload: &[u8], now: Instant) {
        let mut packet = vec![0; 1280];
        let len = build::tcp(
            self.local,
            self.sentinel,
            self.next,
            self.acknowledged,
            flags,
            60_000,
            payload,
            &mut packet,
        );
        let counted = flags.contains(TcpFlags::SYN) || flags.contains(TcpFlags::FIN);
        self.next += payload.len() as u32 + u32::from(counted);
        server.handle_packet(&packet[..len.expect("it fits")], now);
    }

    /// Takes everything the server sends to this connection.
    fn receive(&mut self, server: &mut DnsServer) -> Vec<Segment> {
        let mut segments = Vec::new();
        while server.poll_packet(|packet| {
            let summary = parse(packet).expect("a valid packet");
            assert_eq!(summary.source, self.sentinel.ip());
            let Transport::Tcp { sequence, flags, .. } = summary.transport else {
                panic!("TCP answers TCP");
            };
            let payload = packet[usize::from(summary.header_len)..].to_vec();
            let counted = flags.contains(TcpFlags::SYN) || flags.contains(TcpFlags::FIN);
            self.acknowledged = sequence + payload.len() as u32 + u32::from(counted);
            segments.push(Segment { flags, payload });
        }) {}
        segments
    }

    fn connect(&mut self, server: &mut DnsServer) {
        self.send(server, TcpFlags::SYN, &[], NOW);
        let answer = self.receive(server);
        assert!(answer[0].flags.contains(TcpFlags::SYN | TcpFlags::ACK));
        self.send(server, TcpFlags::ACK, &[], NOW);
    }

    fn query(&mut self, server: &mut DnsServer, message: &[u8]) {
        let mut framed = (message.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(message);
        self.send(server, TcpFlags::ACK | TcpFlags::PSH, &framed, NOW);
    }
}

#[test]
fn a_query_comes_out_whole_and_its_answer_goes_back_framed() {
    for sentinel in ["100.100.111.7", "fd00:2021:1111:8000:100:100:111:7"] {
        let mut server = DnsServer::new(Listening::sentinels(), 1, NOW);
        let mut connection = Connection::new(40_000, sentinel);
        connection.connect(&mut server);

        connection.query(&mut server, QUERY);
        let (id, asked, query) = server.poll_query().expect("a whole query");
        server.answer(id, b"the answer", NOW);

        assert_eq!((asked, &query[..]), (connection.sentinel.ip(), QUERY));
        let answer: Vec<u8> =
            connection.receive(&mut server).into_iter().flat_map(|s| s.payload).collect();
        assert_eq!(answer, b"\0\x0athe answer");
    }
}

#[test]
fn a_query_in_two_segments_waits_for_the_second() {
    let mut server = DnsServer::new(Listening::sentinels(), 1, NOW);
    let mut connection = Connection::new(40_000, "100.100.111.1");
    connection.connect(&mut server);
    let mut framed = (QUERY.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(QUERY);

    connection.send(&mut server, TcpFlags::ACK, &framed[..1], NOW);
    assert_eq!(server.poll_query(), None);
    connection.send(&mut server, TcpFlags::ACK, &framed[1..10], NOW);
    assert_eq!(server.poll_query(), None);
    connection.send(&mut server, TcpFlags::ACK, &framed[10..], NOW);

    assert_eq!(server.poll_query().map(|(_, _, query)| query), Some(QUERY.to_vec()));
}

#[test]
fn two_queries_of_one_connection_are_both_answered() {
    let mut server = DnsServer::new(Listening::sentinels(), 1, NOW);
    let mut connection = Connection::new(40_000, "100.100.111.1");
    connection.connect(&mut server);

    connection.query(&mut server, b"first");
    connection.query(&mut server, b"second");

    for expected in [&b"first"[..], b"second"] {
        let (id, _, query) = server.poll_query().expect("a query");
        assert_eq!(query, expected);
        server.answer(id, &query, NOW);
    }
    let answers: Vec<u8> =
        connection.receive(&mut server).into_iter().flat_map(|s| s.payload).collect();
    assert_eq!(answers, b"\0\x05first\0\x06second");
}

#[test]
fn an_idle_connection_is_closed_and_forgotten() {
    let mut server = DnsServer::new(Listening::sentinels(), 1, NOW);
    let mut connection = Connection::new(40_000, "100.100.111.1");
    connection.connect(&mut server);
    connection.receive(&mut server);
    let due = server.poll_timeout(NOW).expect("a timer");
    assert!(due <= NOW + Duration::from_secs(10));

    server.handle_timeout(NOW + Duration::from_secs(10));

    let last = connection.receive(&mut server);
    assert!(last.iter().any(|segment| segment.flags.contains(TcpFlags::RST)));
    assert_eq!(server.poll_timeout(NOW + Duration::from_secs(10)), None);
}

#[test]
fn the_eleventh_connection_of_a_sentinel_is_refused() {
    let mut server = DnsServer::new(Listening::sentinels(), 1, NOW);
    for port in 0..10 {
        Connection::new(40_000 + port, "100.100.111.1").connect(&mut server);
    }
    let mut eleventh = Connection::new(41_000, "100.100.111.1");
    eleventh.send(&mut server, TcpFlags::SYN, &[], NOW);
    let answers = eleventh.receive(&mut server);

    assert!(answers.iter().any(|segment| segment.flags.contains(TcpFlags::RST)));
    assert_eq!(server.refused(), 1);
    Connection::new(40_000, "100.100.111.2").connect(&mut server);
}

#[test]
fn garbage_is_ignored() {
    let mut server = DnsServer::new(Listening::sentinels(), 1, NOW);
    for packet in [&b""[..], &[0x45; 30], &[0x60; 64], &[0xff; 1280]] {
        server.handle_packet(packet, NOW);
    }
    assert_eq!(server.poll_query(), None);
}
