//! Over loopback: what is sent as one run arrives as the same datagrams.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use packet::{Class, SendBuffer};

use super::{UdpConfig, UdpSockets};

fn sockets() -> UdpSockets {
    UdpSockets::open(&UdpConfig::default(), None).expect("sockets")
}

/// A run of datagrams, the last a byte shorter, each filled with its number.
fn run(to: SocketAddr, ecn: u8, datagrams: usize, size: usize) -> SendBuffer {
    let mut send = SendBuffer::new(65_536, 4);
    let last = size - usize::from(datagrams > 1);
    let mut run = send.open_run(to, ecn, Class::Data, datagrams, size, last).expect("room");
    for i in 0..datagrams {
        run.slot(i).fill(i as u8);
    }
    run.commit();
    send
}

/// Receives until as many datagrams have come, within a bound.
fn receive(sockets: &mut UdpSockets, wanted: usize) -> Vec<(Vec<u8>, u8, SocketAddr)> {
    let mut came = Vec::new();
    let give_up = Instant::now() + Duration::from_secs(5);
    while came.len() < wanted && Instant::now() < give_up {
        while let Some(datagrams) = sockets.receive() {
            let (ecn, from) = (datagrams.ecn, datagrams.from);
            came.extend(datagrams.bytes.chunks(datagrams.size).map(|d| (d.to_vec(), ecn, from)));
        }
    }
    came
}

#[test]
fn runs_arrive_as_their_datagrams_with_their_ecn_bits_by_both_families() {
    let (mut here, mut there) = (sockets(), sockets());
    let (here_port, port) = (here.port().expect("a port"), there.port().expect("a port"));
    for (host, ecn) in [("127.0.0.1", 2), ("127.0.0.1", 0), ("[::1]", 3)] {
        let to: SocketAddr = format!("{host}:{port}").parse().expect("an address");

        here.send(&run(to, ecn, 5, 1000));

        let came = receive(&mut there, 5);
        assert_eq!(came.len(), 5, "{host}");
        for (i, (bytes, came_ecn, from)) in came.iter().enumerate() {
            let len = if i == 4 { 999 } else { 1000 };
            assert_eq!(bytes, &vec![i as u8; len]);
            assert_eq!((*came_ecn, from.port()), (ecn, here_port));
        }
    }
    assert_eq!(here.counters().sent, 15);
    assert_eq!(here.counters().dropped, 0);
    assert_eq!(there.counters().received, 15);
}

#[test]
fn what_the_kernel_does_not_take_is_counted_and_told_once() {
    let mut here = sockets();
    // No datagram may go to a broadcast address without leave: EACCES.
    let to = SocketAddr::from(([255, 255, 255, 255], 9));

    here.send(&run(to, 0, 2, 100));
    let first = here.take_error();
    here.send(&run(to, 0, 2, 100));

    assert_eq!(first.and_then(|error| error.raw_os_error()), Some(libc::EACCES));
    assert!(here.take_error().is_none(), "the same again is no news");
    assert_eq!(here.counters().dropped, 4);
}

#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    let here = sockets();
    let port = here.port().expect("a port");

    let error = UdpSockets::open(&UdpConfig { port, ..UdpConfig::default() }, None);

    assert!(error.expect_err("it is taken").to_string().contains(&format!("UDP port {port}")));
}
