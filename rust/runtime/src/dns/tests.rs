//! A server on loopback, and what becomes of its answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tunnel::{DnsTransmit, DnsTransport};

use super::{DnsAnswer, DnsForwarder};
use crate::wake;

/// Far below the time after which a query is given up.
const PATIENCE: Duration = Duration::from_secs(4);
const QUERY: [u8; 20] = [7; 20];

fn forwarder() -> DnsForwarder {
    let (waker, _) = wake::pair().expect("a socket pair");
    DnsForwarder::start(None, waker).expect("a thread")
}

fn query(id: u64, server: SocketAddr, transport: DnsTransport) -> DnsTransmit {
    DnsTransmit { id, server, transport, query: QUERY.to_vec() }
}

fn answer(forwarder: &DnsForwarder) -> Option<DnsAnswer> {
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up {
        if let Some(answer) = forwarder.poll() {
            return Some(answer);
        }
        thread::sleep(Duration::from_millis(1));
    }
    None
}

/// Accepts one connection, reads a query and its length, and then does something.
fn tcp_server(then: impl FnOnce(&mut TcpStream, Vec<u8>) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut asked = vec![0; 2 + QUERY.len()];
        stream.read_exact(&mut asked).expect("a query");
        then(&mut stream, asked);
    });
    address
}

#[test]
fn an_answer_over_tcp_counts_as_soon_as_its_last_byte_has_come() {
    let (done, wait) = mpsc::channel::<()>();
    let server = tcp_server(move |stream, mut asked| {
        asked[2..].fill(8);
        for part in asked.chunks(5) {
            stream.write_all(part).expect("written");
            thread::sleep(Duration::from_millis(5));
        }
        // The connection stays: what ends an answer is its length.
        let _ = wait.recv();
    });
    let forwarder = forwarder();

    forwarder.ask(3, query(9, server, DnsTransport::Tcp));

    let answer = answer(&forwarder).expect("in time");
    assert_eq!((answer.station, answer.id, answer.response), (3, 9, Some(vec![8; QUERY.len()])));
    drop(done);
}

#[test]
fn a_connection_that_ends_before_its_answer_gives_none() {
    let server = tcp_server(|stream, asked| stream.write_all(&asked[..10]).expect("written"));
    let forwarder = forwarder();

    forwarder.ask(0, query(1, server, DnsTransport::Tcp));

    let answer = answer(&forwarder).expect("in time");
    assert_eq!((answer.id, answer.response), (1, None));
}

#[test]
fn over_udp_the_datagram_with_the_id_of_the_query_is_its_answer() {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    server.set_read_timeout(Some(PATIENCE)).expect("a time");
    let forwarder = forwarder();

    forwarder.ask(0, query(1, server.local_addr().expect("an address"), DnsTransport::Udp));

    let mut asked = [0; 64];
    let (len, from) = server.recv_from(&mut asked).expect("a query");
    assert_eq!(asked[..len], QUERY);
    for reply in [&[6, 7, 1][..], &[7], &[7, 7, 2]] {
        server.send_to(reply, from).expect("sent");
    }
    let answer = answer(&forwarder).expect("in time");
    assert_eq!(answer.response, Some(vec![7, 7, 2]));
}

#[test]
fn a_server_that_refuses_gives_none_at_once() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr();
    let forwarder = forwarder();

    forwarder.ask(0, query(1, closed.expect("an address"), DnsTransport::Tcp));

    assert_eq!(answer(&forwarder).expect("in time").response, None);
}
