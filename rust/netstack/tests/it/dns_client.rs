//! The client asks a Gateway's server over one connection each, and ends with an answer or none.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use netstack::{DnsClient, DnsServer, Listening};
use packet::{Instant, parse};

const NOW: Instant = Instant::ZERO;
const CLIENT: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(100, 64, 0, 1), Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, 1));
const GATEWAY: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(100, 64, 0, 2), Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, 2));

struct Ends {
    client: DnsClient,
    server: DnsServer,
}

impl Ends {
    fn new() -> Self {
        let listening = Listening::gateway(GATEWAY.0, GATEWAY.1, 53535);
        Self {
            client: DnsClient::new(CLIENT.0, CLIENT.1, 1, NOW),
            server: DnsServer::new(listening, 2, NOW),
        }
    }

    /// Carries packets until neither end has more to say.
    fn carry(&mut self, now: Instant) {
        loop {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            while self.client.poll_packet(|packet| up.push(packet.to_vec())) {}
            for packet in &up {
                self.server.handle_packet(packet, now);
            }
            while self.server.poll_packet(|packet| down.push(packet.to_vec())) {}
            for packet in &down {
                if self.client.owns(&parse(packet).expect("a valid packet")) {
                    self.client.handle_packet(packet, now);
                }
            }
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }
}

#[test]
fn a_large_answer_comes_whole_over_both_families() {
    for server in [SocketAddr::from((GATEWAY.0, 53535)), SocketAddr::from((GATEWAY.1, 53535))] {
        let mut ends = Ends::new();
        ends.client.ask(7, server, 50_000, b"a query", NOW);
        ends.carry(NOW);

        let (connection, from, query) = ends.server.poll_query().expect("a query");
        assert_eq!(from.is_ipv4(), server.is_ipv4());
        assert_eq!(query, b"a query");
        let answer: Vec<u8> = (0..60_000).map(|i| i as u8).collect();
        ends.server.answer(connection, &answer, NOW);
        ends.carry(NOW);

        assert_eq!(ends.client.poll_answer(), Some((7, Some(answer))));
        assert_eq!(ends.client.poll_timeout(NOW), None);
    }
}

#[test]
fn a_connection_that_is_reset_comes_to_nothing() {
    let mut ends = Ends::new();
    for id in 0..11 {
        ends.client.ask(id, (GATEWAY.0, 53535).into(), 50_000 + id as u16, b"a query", NOW);
        ends.carry(NOW);
    }

    assert_eq!(ends.client.poll_answer(), Some((10, None)), "the eleventh of one Client");
    assert_eq!(ends.client.poll_answer(), None);
}

#[test]
fn a_lost_syn_is_repeated_and_a_cancelled_query_is_not() {
    let mut ends = Ends::new();
    ends.client.ask(1, (GATEWAY.0, 53535).into(), 50_000, b"a query", NOW);
    while ends.client.poll_packet(|_| {}) {}
    let later = NOW + Duration::from_secs(2);
    assert!(ends.client.poll_timeout(NOW).is_some_and(|at| at <= later));

    ends.client.handle_timeout(later);
    ends.carry(later);
    assert!(ends.server.poll_query().is_some());

    ends.client.cancel(1);
    ends.carry(later);
    assert_eq!((ends.client.poll_timeout(later), ends.client.poll_answer()), (None, None));
}

#[test]
fn garbage_and_packets_of_others_are_ignored() {
    let mut ends = Ends::new();
    ends.client.ask(1, (GATEWAY.0, 53535).into(), 50_000, b"a query", NOW);
    for packet in [&b""[..], &[0x45; 30], &[0x60; 64], &[0xff; 1280]] {
        ends.client.handle_packet(packet, NOW);
    }
    assert_eq!(ends.client.poll_answer(), None);
}
