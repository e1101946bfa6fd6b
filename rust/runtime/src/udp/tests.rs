//! Over loopback: what is sent as one run arrives as the same datagrams.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use packet::{Class, Instant, Route, SendBuffer};

use tunnel::Datagrams;

use super::{SOCKETS, UdpConfig, UdpSockets};
use crate::offloads::Offloads;

fn sockets() -> UdpSockets {
    UdpSockets::open(&UdpConfig::default(), None).expect("sockets")
}

/// A run of datagrams, the last a byte shorter, each filled with its number.
fn run(to: impl Into<Route>, ecn: u8, datagrams: usize, size: usize) -> SendBuffer {
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
    let give_up = std::time::Instant::now() + Duration::from_secs(5);
    while came.len() < wanted && std::time::Instant::now() < give_up {
        sockets.ready = [true; SOCKETS];
        while let Some(datagrams) = sockets.receive() {
            came.extend(each(&datagrams));
        }
    }
    came
}

/// Each datagram with its ECN bits and where it came from.
fn each(datagrams: &Datagrams<'_>) -> Vec<(Vec<u8>, u8, SocketAddr)> {
    let arrivals = datagrams.arrivals().iter();
    let each = arrivals.flat_map(|of| {
        let bytes = &datagrams.bytes[of.start as usize..][..of.len as usize];
        bytes.chunks(of.size as usize).map(|datagram| (datagram.to_vec(), of.ecn, of.route.remote))
    });
    each.collect()
}

fn first(datagrams: &Datagrams<'_>) -> (u8, bool) {
    let arrival = datagrams.arrivals()[0];
    (datagrams.bytes[arrival.start as usize], arrival.route.remote.is_ipv4())
}

#[test]
fn many_datagrams_that_come_one_by_one_are_one_batch() {
    let config = UdpConfig { offloads: Offloads::Off, ..UdpConfig::default() };
    let (mut here, mut there) = (sockets(), UdpSockets::open(&config, None).expect("sockets"));
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, there.port().expect("a port")));

    for _ in 0..4 {
        let mut send = SendBuffer::new(65_536, 4);
        let mut run = send.open_run(to, 0, Class::Data, 40, 1000, 1000).expect("room");
        run.bytes().fill(4);
        run.commit();
        here.send(&send, Instant::ZERO);
    }

    assert_eq!(receive(&mut there, 160).len(), 160);
    let calls = there.counters().receives;
    assert!(calls <= 20, "{calls} calls for 160 datagrams");
    assert_eq!(here.counters().sends, 4, "a run is one call");
}

#[test]
fn all_runs_of_a_turn_are_one_call_and_one_that_fails_stops_no_other() {
    let (mut here, mut there) = (sockets(), sockets());
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, there.port().expect("a port")));
    // No datagram is as long as that; what is before and behind it is in order.
    let mut send = SendBuffer::new(300_000, 8);
    for size in [1000, 900, 65_507, 800, 700] {
        let slots = if size > 1000 { 1 } else { 20 };
        let route = if slots == 1 { SocketAddr::from(([255; 4], 9)) } else { to };
        let mut run = send.open_run(route, 0, Class::Data, slots, size, size).expect("room");
        run.bytes().fill(4);
        run.commit();
    }

    here.send(&send, Instant::ZERO);

    let came = receive(&mut there, 80);
    let sizes: Vec<usize> = came.iter().map(|(bytes, _, _)| bytes.len()).collect();
    assert_eq!(sizes, [[1000; 20], [900; 20], [800; 20], [700; 20]].concat());
    let counters = here.counters();
    assert_eq!((counters.sent, counters.dropped), (80, 1), "{:?}", here.take_error());
    assert_eq!(counters.sends, 3, "two before it, itself, and two behind it");
}

#[test]
fn an_answer_comes_from_the_address_that_was_spoken_to_as_long_as_the_host_has_it() {
    let families = [("127.0.0.7", "192.0.2.1"), ("::1", "2001:db8::1")];
    let ways = [Offloads::Auto, Offloads::Off];
    for ((spoken_to, gone), offloads) in families.into_iter().flat_map(|f| ways.map(|way| (f, way)))
    {
        let config = UdpConfig { offloads, ..UdpConfig::default() };
        let (mut here, mut there) = (sockets(), UdpSockets::open(&config, None).expect("sockets"));
        let spoken_to: IpAddr = spoken_to.parse().expect("an address");
        let to = SocketAddr::new(spoken_to, there.port().expect("a port"));
        here.send(&run(to, 0, 1, 100), Instant::ZERO);
        let mut route = None;
        while route.is_none() {
            there.ready = [true; SOCKETS];
            route = there.receive().map(|came| came.arrivals()[0].route);
        }
        let route = route.expect("it came");
        assert_eq!(route.local, Some(spoken_to));

        for local in [Some(spoken_to), Some(gone.parse().expect("an address"))] {
            there.send(&run(Route { local, ..route }, 0, 3, 100), Instant::ZERO);
            let came = receive(&mut here, 3);
            assert_eq!(came.len(), 3, "{local:?}: {:?}", there.take_error());
            let is_ours = local == Some(spoken_to);
            assert!(!is_ours || came.iter().all(|(_, _, from)| from.ip() == spoken_to));
        }
    }
}

#[test]
fn without_offloads_each_datagram_is_sent_alone() {
    let config = UdpConfig { offloads: Offloads::Off, ..UdpConfig::default() };
    let (mut here, mut there) = (UdpSockets::open(&config, None).expect("sockets"), sockets());
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, there.port().expect("a port")));

    here.send(&run(to, 2, 40, 1000), Instant::ZERO);

    let came = receive(&mut there, 40);
    assert!(came.iter().all(|(_, ecn, _)| *ecn == 2) && came.len() == 40);
    assert_eq!((here.counters().sends, here.counters().sent), (40, 40));
}

#[test]
fn runs_arrive_as_their_datagrams_with_their_ecn_bits_by_both_families() {
    let (mut here, mut there) = (sockets(), sockets());
    let (here_port, port) = (here.port().expect("a port"), there.port().expect("a port"));
    for (host, ecn) in [("127.0.0.1", 2), ("127.0.0.1", 0), ("[::1]", 3)] {
        let to: SocketAddr = format!("{host}:{port}").parse().expect("an address");

        here.send(&run(to, ecn, 5, 1000), Instant::ZERO);

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
fn what_waits_at_one_family_does_not_keep_the_other_waiting() {
    let (mut here, mut there) = (sockets(), sockets());
    let port = there.port().expect("a port");
    for host in ["127.0.0.1", "127.0.0.1", "127.0.0.1", "[::1]", "[::1]", "[::1]"] {
        let to: SocketAddr = format!("{host}:{port}").parse().expect("an address");
        here.send(&run(to, 0, 1, 100), Instant::ZERO);
    }
    // Over loopback all has arrived when it is sent: by one socket of each family.
    let mut fds: Vec<_> = there.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    assert_eq!(poll(&mut fds, 5000_u16), Ok(2), "something arrives by each");
    drop(fds);

    let mut families: Vec<bool> = (0..2)
        .filter_map(|_| there.receive().map(|came| came.arrivals()[0].route.remote.is_ipv4()))
        .collect();

    families.sort_unstable();
    assert_eq!(families, [false, true]);
}

#[test]
fn a_flood_of_handshakes_takes_no_room_of_data_nor_data_of_theirs() {
    for (flood, other) in [(1, 4), (4, 1), (0xff, 4)] {
        both_arrive(flood, other, |config| UdpSockets::open(config, None).expect("sockets"));
    }
}

#[test]
fn sockets_that_were_taken_over_are_sorted_again() {
    both_arrive(1, 4, |config| {
        let former = UdpSockets::open(config, None).expect("sockets");
        UdpSockets::adopt(config, former.into_fds()).expect("sockets")
    });
}

#[test]
fn a_handshake_of_one_family_does_not_wait_for_those_of_the_other() {
    for flooded in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        let config = UdpConfig { receive_buffer: 64 << 10, ..UdpConfig::default() };
        let mut there = UdpSockets::open(&config, None).expect("sockets");
        let port = there.port().expect("a port");
        for host in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let here = UdpSocket::bind((host, 0)).expect("a socket");
            for _ in 0..100 {
                here.send_to(&[4; 96], (host, port)).expect("sent");
            }
            for _ in 0..if host == flooded { 100 } else { 1 } {
                here.send_to(&[1; 148], (host, port)).expect("sent");
            }
        }

        let mut calls = std::iter::from_fn(|| there.receive().map(|came| first(&came)));
        let at = calls.position(|came| came == (1, flooded.is_ipv6()));
        assert!(at.is_some_and(|at| at < 8), "{flooded} is flooded: {at:?}");
    }
}

/// Floods sockets by datagrams that begin with one byte; one that begins with another arrives, soon.
fn both_arrive(flood: u8, other: u8, open: impl Fn(&UdpConfig) -> UdpSockets) {
    let config = UdpConfig { receive_buffer: 64 << 10, ..UdpConfig::default() };
    for host in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        let mut there = open(&config);
        let to = SocketAddr::from((host, there.port().expect("a port")));
        let here = UdpSocket::bind((host, 0)).expect("a socket");

        for _ in 0..2000 {
            here.send_to(&[flood; 148], to).expect("sent");
        }
        here.send_to(&[other; 96], to).expect("sent");

        // Over loopback all has arrived when it is sent.
        let mut calls = Vec::new();
        while let Some(datagrams) = there.receive() {
            calls.push(each(&datagrams).iter().map(|(bytes, _, _)| bytes[0]).collect::<Vec<_>>());
        }
        let came: usize = calls.iter().map(Vec::len).sum();
        assert!(came < 2000, "the flood was more than there is room for");
        let at = calls.iter().position(|kinds| kinds.contains(&other));
        assert!(at.is_some_and(|at| at <= 4), "{host}: {other} comes, and soon: {at:?}");
    }
}

#[test]
fn what_the_kernel_does_not_take_is_counted_and_told_once_a_trouble() {
    let (mut here, there) = (sockets(), sockets());
    let works = SocketAddr::from(([127, 0, 0, 1], there.port().expect("a port")));
    // No datagram may go to a broadcast address without leave: EACCES.
    let refused = SocketAddr::from(([255, 255, 255, 255], 9));
    let mut fails_at = |second: u64| {
        let now = Instant::from_nanos(second * 1_000_000_000);
        here.send(&run(works, 0, 2, 100), now);
        here.send(&run(refused, 0, 2, 100), now);
        (here.take_error().and_then(|error| error.raw_os_error()), here.counters().dropped)
    };

    assert_eq!(fails_at(0), (Some(libc::EACCES), 2));
    assert_eq!(fails_at(1), (None, 4), "the same again, though others got through");
    assert_eq!(fails_at(60), (None, 6), "it went on");
    assert_eq!(fails_at(121), (Some(libc::EACCES), 8), "it comes back after a calm minute");
}

#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    let here = sockets();
    let port = here.port().expect("a port");

    let error = UdpSockets::open(&UdpConfig { port, ..UdpConfig::default() }, None);

    assert!(error.expect_err("it is taken").to_string().contains(&format!("UDP port {port}")));
}

#[test]
fn buffers_are_as_large_as_asked_for_where_we_may_pass_the_limits_of_the_host() {
    let config = UdpConfig { receive_buffer: 48 << 20, ..UdpConfig::default() };
    let probe = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    if setsockopt(&probe, sockopt::RcvBufForce, &config.receive_buffer).is_err() {
        // Without the right the kernel keeps them within its limits.
        return;
    }

    let sockets = UdpSockets::open(&config, None).expect("sockets");

    for socket in [&sockets.ipv4, &sockets.ipv6].into_iter().flatten() {
        let size = getsockopt(socket, sockopt::RcvBuf).expect("a size");
        assert!(size >= config.receive_buffer, "{size}");
    }
}

#[test]
fn a_run_that_is_refused_as_a_run_is_told_from_one_that_is_refused_at_all() {
    let about_runs = [libc::EIO, libc::EINVAL, libc::EMSGSIZE];
    for code in [libc::EIO, libc::EINVAL, libc::EMSGSIZE, libc::EPERM, libc::ENOBUFS, libc::EACCES]
    {
        let error = std::io::Error::from_raw_os_error(code);
        assert_eq!(super::message::is_about_runs(&error), about_runs.contains(&code), "{error}");
    }
}
