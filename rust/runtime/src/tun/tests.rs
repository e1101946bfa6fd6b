//! Devices that are none, and what would be written to one.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;

use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use packet::{TcpFlags, build};

use super::*;

#[test]
fn impossible_names_are_refused_before_the_kernel_is_asked() {
    for name in ["", "a-name-that-is-too-long", "a/b", "a b", "a\0b"] {
        assert!(
            matches!(Tun::open(name, None, Offloads::Auto), Err(TunError::Name(_))),
            "{name:?}"
        );
    }
}

#[test]
fn a_descriptor_of_something_else_is_no_device() {
    let file = File::open("/dev/null").expect("it is everywhere");

    let adopted = Tun::adopt(file.into(), "tun-firezone", Offloads::Auto);

    let error = adopted.expect_err("no device").to_string();
    assert_eq!(error, "the descriptor that was left for TUN device tun-firezone is no TUN device");
}

/// The other end of something that stands in for a device.
fn device(offers: Offers) -> (Tun, UnixDatagram) {
    let (host, device) = UnixDatagram::pair().expect("sockets");
    device.set_nonblocking(true).expect("a mode");
    host.set_nonblocking(true).expect("a mode");
    (Tun::over(File::from(OwnedFd::from(device)), offers), host)
}

fn written(host: &UnixDatagram) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; READ_BUFFER + virtio::LEN];
    std::iter::from_fn(|| host.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())).collect()
}

/// Segments in a row of one connection, `size` bytes of payload each, and where they lie.
fn segments(count: usize, size: usize) -> (Vec<u8>, Vec<(u32, u32)>) {
    let ends = [1, 2].map(|host| SocketAddr::from(([10, 0, 0, host], 5000)));
    let (mut buffer, mut ranges) = (vec![0; count * 1300], Vec::new());
    for (i, room) in buffer.chunks_mut(1300).enumerate() {
        let sequence = (1 + i * size) as u32;
        let (flags, payload) = (TcpFlags::ACK, vec![i as u8; size]);
        let len = build::tcp(ends[0], ends[1], sequence, 1, flags, 500, &payload, room);
        ranges.push(((i * 1300) as u32, len.expect("room") as u32));
    }
    (buffer, ranges)
}

#[test]
fn a_train_is_one_write_with_a_header_that_says_where_to_cut_it() {
    let (mut tun, host) = device(Offers { tcp: true, udp: true });
    let (mut buffer, ranges) = segments(10, 1000);
    let (train, taken) = Train::run(&mut buffer, &ranges).expect("valid");

    tun.accept(&train);

    let written = written(&host);
    assert_eq!((taken, written.len()), (10, 1));
    let (header, packet) = written[0].split_at(virtio::LEN);
    let word = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    assert_eq!(header[..2], [1, 1], "a partial checksum, segments of TCP over IPv4");
    assert_eq!([2, 4, 6, 8].map(word), [40, 1000, 20, 16]);
    assert_eq!(packet.len(), 40 + 10 * 1000);
    assert_eq!(u16::from_be_bytes([packet[2], packet[3]]), 40 + 10 * 1000);
    assert!(packet[40..].chunks(1000).enumerate().all(|(i, of)| of == vec![i as u8; 1000]));
    let TunCounters { written, writes, refused, .. } = tun.counters();
    assert_eq!((written, writes, refused), (10, 1, 0));
}

#[test]
fn without_the_offload_each_segment_is_written_alone_and_complete() {
    let (mut tun, host) = device(Offers::default());
    let (mut buffer, ranges) = segments(10, 1000);
    let (train, _) = Train::run(&mut buffer, &ranges).expect("valid");

    tun.accept(&train);

    let written = written(&host);
    assert_eq!(written.len(), 10);
    for (i, packet) in written.iter().enumerate() {
        let (header, packet) = packet.split_at(virtio::LEN);
        let summary = packet::parse(packet).expect("valid");
        assert!(header == [0; virtio::LEN] && packet::verify(packet, &summary), "segment {i}");
        assert_eq!(packet[40..], vec![i as u8; 1000]);
    }
}

#[test]
fn a_kernel_that_refuses_a_train_gets_this_one_and_all_others_packet_by_packet() {
    // Whatever is written to a timer is EINVAL.
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK).expect("a timer");
    let mut tun = Tun::over(File::from(OwnedFd::from(timer)), Offers { tcp: true, udp: true });
    let (mut buffer, ranges) = segments(10, 1000);
    let (train, _) = Train::run(&mut buffer, &ranges).expect("valid");

    tun.accept(&train);
    assert_eq!((tun.counters().writes, tun.counters().refused), (11, 10));
    tun.accept(&train);

    assert_eq!(tun.counters().writes, 21, "no further one is tried");
}

#[test]
fn what_is_read_says_what_is_left_to_do() {
    let (mut tun, host) = device(Offers { tcp: true, udp: true });
    let mut buffer = vec![0; READ_BUFFER];
    for (header, left) in [
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Left::Nothing),
        ([1, 0, 0, 0, 0, 0, 20, 0, 16, 0], Left::Checksum),
        ([1, 1, 40, 0, 0xe8, 3, 20, 0, 16, 0], Left::Segments(u16::from_ne_bytes([0xe8, 3]))),
    ] {
        host.send(&[&header[..], &[7; 100]].concat()).expect("room");

        let taken = tun.read(&mut buffer).expect("a device").expect("a packet");

        assert_eq!(taken, Taken { len: 100, left });
        assert_eq!(buffer[..100], [7; 100]);
    }
    host.send(&[&[1, 3, 0, 0, 9, 9, 0, 0, 0, 0], &[7; 100][..]].concat()).expect("room");
    let taken = tun.read(&mut buffer).expect("a device").expect("a packet");
    assert_eq!(taken.len, 0, "what was not asked for is no packet");
    assert_eq!(tun.read(&mut buffer).expect("a device"), None);
    assert_eq!(tun.counters().reads, 5);
}

/// Two packets in a row of one flow, 1000 bytes of payload each, and where they lie.
fn pair(host: &str, is_tcp: bool) -> (Vec<u8>, [(u32, u32); 2]) {
    let ends = [5000, 5001].map(|port| SocketAddr::new(host.parse().expect("an address"), port));
    let (mut buffer, mut ranges) = (vec![0; 2 * 1300], [(0, 0); 2]);
    for (i, room) in buffer.chunks_mut(1300).enumerate() {
        let (sequence, flags) = (1 + i as u32 * 1000, TcpFlags::ACK);
        let len = if is_tcp {
            build::tcp(ends[0], ends[1], sequence, 1, flags, 500, &[7; 1000], room)
        } else {
            build::udp(ends[0], ends[1], &[7; 1000], room)
        };
        ranges[i] = ((i * 1300) as u32, len.expect("room") as u32);
    }
    (buffer, ranges)
}

#[test]
fn the_header_of_a_train_tells_its_kind_and_where_its_checksum_is() {
    // Linux `struct virtio_net_hdr`: kind, length of headers, segment, start and place of the sum.
    for (host, is_tcp, kind, words) in [
        ("10.0.0.1", true, 1, [40, 1000, 20, 16]),
        ("fd00::1", true, 4, [60, 1000, 40, 16]),
        ("10.0.0.1", false, 5, [28, 1000, 20, 6]),
        ("fd00::1", false, 5, [48, 1000, 40, 6]),
    ] {
        let (mut tun, other) = device(Offers { tcp: true, udp: true });
        let (mut buffer, ranges) = pair(host, is_tcp);
        let (train, _) = Train::run(&mut buffer, &ranges).expect("valid");

        tun.accept(&train);

        let written = written(&other);
        assert_eq!(written.len(), 1, "{host}");
        let word = |at: usize| u16::from_ne_bytes([written[0][at], written[0][at + 1]]);
        assert_eq!((&written[0][..2], [2, 4, 6, 8].map(word)), (&[1, kind][..], words), "{host}");
    }
}

#[test]
fn of_what_was_read_each_segment_counts() {
    let (mut tun, host) = device(Offers { tcp: true, udp: true });
    host.send(&[0; 100]).expect("room");
    tun.read(&mut vec![0; READ_BUFFER]).expect("a device").expect("a packet");

    tun.count_segments(10);

    assert_eq!(tun.counters().read, 10);
}

#[test]
fn what_is_taken_in_part_counts_as_refused() {
    // A pipe takes of a long write what fits.
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let file = File::from(OwnedFd::from(writer));
    device::prepare(&file).expect("a mode");
    let mut tun = Tun::over(file, Offers::default());

    for _ in 0..20 {
        tun.write(&[0; 10_000]);
    }

    let TunCounters { written, refused, writes, .. } = tun.counters();
    drop(tun);
    let len = reader.read_to_end(&mut Vec::new()).expect("a pipe");
    let (whole, part) = (len / (virtio::LEN + 10_000), len % (virtio::LEN + 10_000));
    assert!(whole > 0 && part > 0, "{len} bytes were taken");
    assert_eq!((written, refused, writes), (whole as u64, 20 - whole as u64, 20));
}
