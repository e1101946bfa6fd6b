//! The packet buffer rule by rule.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use nat::buffer::{Behaviour, Limits, PacketBuffer, PushError, QueueId, Stored};
use packet::{Instant, TcpFlags, build};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn addresses(port: u16) -> (SocketAddr, SocketAddr) {
    let (client, proxy) = (Ipv4Addr::new(100, 64, 0, 1), Ipv4Addr::new(100, 96, 0, 1));
    (SocketAddr::new(client.into(), port), SocketAddr::new(proxy.into(), 443))
}

/// A packet of `len` bytes.
pub(crate) fn udp(port: u16, len: usize) -> Vec<u8> {
    let (source, destination) = addresses(port);
    let mut packet = vec![0; len];
    build::udp(source, destination, &vec![0x5A; len - 28], &mut packet).unwrap();
    packet
}

/// A segment with `payload`; the window stands for what differs between retransmissions.
pub(crate) fn tcp(
    port: u16,
    sequence: u32,
    flags: TcpFlags,
    window: u16,
    payload: &[u8],
) -> Vec<u8> {
    let (source, destination) = addresses(port);
    let mut packet = vec![0; 40 + payload.len()];
    build::tcp(source, destination, sequence, 0, flags, window, payload, &mut packet).unwrap();
    packet
}

fn buffer() -> PacketBuffer {
    PacketBuffer::new(Limits::default(), 1)
}

pub(crate) fn drain(buffer: &mut PacketBuffer, queue: QueueId) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| {
        let packet = buffer.front(queue)?.to_vec();
        buffer.pop(queue);
        Some(packet)
    })
    .collect()
}

#[test]
fn r09_what_is_held_comes_out_in_the_order_of_arrival_and_once() {
    let mut buffer = buffer();
    let queue = buffer.open(at(0));
    let packets: Vec<_> = (0..300_u16)
        .map(|n| if n % 3 == 0 { udp(n % 7, 100) } else { tcp(n % 7, n.into(), ACK, n, b"x") })
        .collect();
    for packet in &packets {
        assert_eq!(buffer.push(queue, packet, at(1)), Ok(Stored::New));
    }
    assert_eq!(drain(&mut buffer, queue), packets);
    assert!(buffer.is_empty(queue) && buffer.front(queue).is_none());
    assert_eq!(buffer.counters().released, 300);
}

#[test]
fn r10_a_queue_goes_from_stage_to_stage_by_its_handle_and_two_never_mix() {
    let mut buffer = buffer();
    let (one, other) = (buffer.open(at(0)), buffer.open(at(0)));
    buffer.push(one, &udp(1, 50), at(0)).unwrap();
    buffer.push(other, &udp(1, 60), at(0)).unwrap();
    buffer.push(one, &udp(1, 70), at(9)).unwrap();
    assert_eq!(drain(&mut buffer, one), [udp(1, 50), udp(1, 70)]);
    assert_eq!(drain(&mut buffer, other), [udp(1, 60)]);
}

#[test]
fn r11_bytes_packets_and_totals_are_bounds_and_each_refusal_is_counted() {
    let limits = Limits {
        entry_bytes: 1000,
        entry_packets: 4,
        total_bytes: 1500,
        total_packets: 6,
        ..Limits::default()
    };
    let mut buffer = PacketBuffer::new(limits, 1);
    let queue = buffer.open(at(0));
    assert_eq!(buffer.push(queue, &udp(1, 1001), at(0)), Err(PushError::EntryBytes));
    assert_eq!(buffer.push(queue, &udp(1, 501), at(0)), Err(PushError::EntryBytes));
    assert_eq!(buffer.push(queue, &udp(1, 500), at(0)), Ok(Stored::New));
    assert_eq!(buffer.push(queue, &udp(1, 28), at(0)), Err(PushError::FlowShare));
    assert_eq!(buffer.push(queue, &udp(2, 250), at(0)), Ok(Stored::New));
    // With it 800 of 1500 bytes would be in this queue.
    assert_eq!(buffer.push(queue, &udp(3, 50), at(0)), Err(PushError::EntryShare));
    let other = buffer.open(at(0));
    assert_eq!(buffer.push(other, &udp(3, 376), at(0)), Err(PushError::Total));
    for port in 1..=3 {
        assert_eq!(buffer.push(other, &udp(port, 40), at(0)).is_ok(), port <= 2, "{port}");
    }
    assert_eq!(buffer.push(other, &[0x45; 30], at(0)), Err(PushError::Malformed));
    let counters = buffer.counters();
    assert_eq!((counters.stored, counters.refused_malformed), (4, 1));
    let refused = (counters.refused_entry_bytes, counters.refused_flow_share);
    assert_eq!((refused, counters.refused_entry_share, counters.refused_total), ((2, 1), 2, 1));
    assert_eq!((counters.peak_bytes, counters.peak_packets), (830, 4));
    assert_eq!((counters.peak_entry_bytes, counters.peak_entry_packets), (750, 2));
}

#[test]
fn r11_what_is_too_old_is_found_by_the_timer_and_dropped() {
    let mut buffer = buffer();
    let queue = buffer.open(at(0));
    buffer.push(queue, &udp(1, 50), at(1000)).unwrap();
    buffer.push(queue, &udp(2, 50), at(1500)).unwrap();
    buffer.push(queue, &udp(3, 50), at(30_000)).unwrap();
    assert_eq!(buffer.poll_timeout().map(|(when, _)| when), Some(at(61_000)));
    buffer.handle_timeout(at(60_999));
    assert_eq!(buffer.poll_expired(), None);
    buffer.handle_timeout(at(61_700));
    assert_eq!(buffer.poll_expired(), Some(queue));
    assert_eq!(buffer.poll_expired(), None);
    let mut refused = Vec::new();
    buffer.drop_expired(queue, at(61_700), |packet| refused.push(packet.to_vec()));
    assert_eq!(refused, [udp(1, 50), udp(2, 50)]);
    assert_eq!(drain(&mut buffer, queue), [udp(3, 50)]);
    assert_eq!(buffer.counters().expired, 2);
    // A queue that is left as it is comes up again.
    buffer.push(queue, &udp(1, 50), at(70_000)).unwrap();
    for again in [130_000, 131_000] {
        buffer.handle_timeout(at(again));
        assert_eq!(buffer.poll_expired(), Some(queue));
    }
}

#[test]
fn r12_the_first_packets_stay_and_later_ones_are_refused() {
    let mut buffer = PacketBuffer::new(Limits { entry_packets: 8, ..Limits::default() }, 1);
    let queue = buffer.open(at(0));
    let packets: Vec<_> = (0..30).map(|port| udp(port, 50)).collect();
    let taken = packets.iter().filter(|packet| buffer.push(queue, packet, at(0)).is_ok()).count();
    assert_eq!(taken, 7);
    assert_eq!(drain(&mut buffer, queue), packets[..7]);
    assert_eq!(buffer.counters().refused_entry_packets, 23);
}

#[test]
fn r13_a_burst_of_one_flow_leaves_room_for_the_syn_of_another() {
    for len in [28, 60, 500, 1280] {
        let mut buffer = buffer();
        let queue = buffer.open(at(0));
        let taken = (0..5000).filter(|_| buffer.push(queue, &udp(1, len), at(0)).is_ok()).count();
        assert!((400..=512).contains(&taken), "{taken} of {len} bytes");
        assert_eq!(buffer.push(queue, &tcp(2, 7, SYN, 9, &[]), at(0)), Ok(Stored::New));
    }
}

#[test]
fn r13_64_greedy_names_do_not_keep_out_a_65th() {
    for len in [60, 1280] {
        let mut buffer = buffer();
        let queues: Vec<_> = (0..65).map(|_| buffer.open(at(0))).collect();
        for queue in &queues[..64] {
            // Twenty flows, each taking what it gets: the queue is as full as can be.
            for port in 0..20 {
                while buffer.push(*queue, &udp(port, len), at(0)).is_ok() {}
            }
        }
        let share =
            (0..2000).filter(|of| buffer.push(queues[64], &udp(of % 20, len), at(0)).is_ok());
        assert!(share.count() >= 128, "of {len} bytes");
    }
}

#[test]
fn r14_a_segment_that_comes_again_is_held_once_and_a_datagram_as_often_as_sent() {
    let mut buffer = buffer();
    let queue = buffer.open(at(0));
    let segment = tcp(1, 7, ACK, 9, b"hello");
    let packets = [segment.clone(), udp(1, 50), tcp(1, 7, ACK, 9, b"other"), udp(1, 50)];
    for packet in &packets {
        assert_eq!(buffer.push(queue, packet, at(0)), Ok(Stored::New));
    }
    assert_eq!(buffer.push(queue, &segment, at(1)), Ok(Stored::Duplicate));
    let other = buffer.open(at(1));
    assert_eq!(buffer.push(other, &segment, at(1)), Ok(Stored::New));
    assert_eq!(drain(&mut buffer, queue), packets);
    assert_eq!(buffer.push(queue, &segment, at(2)), Ok(Stored::New));
}

/// Words that change places change no checksum: only the payload tells such segments apart.
#[test]
fn r14_segments_alike_in_all_headers_are_told_apart_by_their_payload() {
    let segments: Vec<_> =
        [b"aabbcc", b"bbaacc", b"ccbbaa", b"bbccaa"].map(|text| tcp(1, 7, ACK, 9, text)).into();
    assert!(segments.iter().all(|segment| segment[..40] == segments[0][..40]));
    for behaviour in [Behaviour::KeepFirst, Behaviour::Overwrite { slots: 32 }] {
        let mut buffer = buffer();
        let queue = buffer.open_with(behaviour, at(0));
        for segment in &segments {
            assert_eq!(buffer.push(queue, segment, at(0)), Ok(Stored::New));
        }
        // Whichever has gone, those that are held are known, and no other is taken for one of them.
        for gone in 0..=segments.len() {
            for segment in &segments[gone..] {
                assert_eq!(buffer.push(queue, segment, at(1)), Ok(Stored::Duplicate));
            }
            let other = tcp(1, 7, ACK, 9, b"ccaabb");
            assert_eq!(
                buffer.front(queue).map(|front| *front == other),
                (gone < 4).then_some(false)
            );
            buffer.pop(queue);
        }
        for segment in segments.iter().rev() {
            assert_eq!(buffer.push(queue, segment, at(2)), Ok(Stored::New));
            assert_eq!(buffer.push(queue, segment, at(2)), Ok(Stored::Duplicate));
        }
        let reversed: Vec<_> = segments.iter().rev().cloned().collect();
        assert_eq!(drain(&mut buffer, queue), reversed);
    }
}

#[test]
fn r14_a_retransmitted_syn_takes_the_place_of_the_first() {
    let mut buffer = buffer();
    let queue = buffer.open(at(0));
    buffer.push(queue, &tcp(1, 7, SYN, 1, &[]), at(0)).unwrap();
    buffer.push(queue, &udp(1, 50), at(0)).unwrap();
    // Another connection, another sequence number, and a SYN that answers: all their own.
    let others = [tcp(2, 7, SYN, 1, &[]), tcp(1, 8, SYN, 1, &[]), tcp(1, 7, SYN | ACK, 1, &[])];
    for other in &others {
        assert_eq!(buffer.push(queue, other, at(0)), Ok(Stored::New));
    }
    assert_eq!(buffer.push(queue, &tcp(1, 7, SYN, 2, b"longer"), at(1000)), Ok(Stored::Replaced));
    assert_eq!(buffer.push(queue, &tcp(1, 7, SYN, 3, &[]), at(2000)), Ok(Stored::Replaced));
    assert_eq!(buffer.push(queue, &tcp(1, 7, SYN, 3, &[]), at(3000)), Ok(Stored::Duplicate));
    assert_eq!(buffer.held(queue).unwrap().bytes, 4 * 40 + 50);
    // Its age is that of the first.
    assert_eq!(buffer.held(queue).unwrap().oldest, Some(at(0)));
    let mut expected = vec![tcp(1, 7, SYN, 3, &[]), udp(1, 50)];
    expected.extend(others);
    assert_eq!(drain(&mut buffer, queue), expected);
}

#[test]
fn r14_a_longer_syn_that_does_not_fit_leaves_the_first() {
    let mut buffer = PacketBuffer::new(Limits { entry_bytes: 100, ..Limits::default() }, 1);
    let queue = buffer.open(at(0));
    buffer.push(queue, &tcp(1, 7, SYN, 1, &[]), at(0)).unwrap();
    let longer = tcp(1, 7, SYN, 2, &[0; 30]);
    assert_eq!(buffer.push(queue, &longer, at(0)), Ok(Stored::Duplicate));
    assert_eq!(drain(&mut buffer, queue), [tcp(1, 7, SYN, 1, &[])]);
}

#[test]
fn r15_each_held_flow_gives_one_packet_to_refuse_it_by() {
    let mut buffer = buffer();
    let queue = buffer.open(at(0));
    for n in 0..40 {
        buffer.push(queue, &udp(n % 4, 50 + usize::from(n)), at(0)).unwrap();
    }
    let mut ports: Vec<IpAddrPort> = buffer.flows(queue).map(source).collect();
    ports.sort_unstable();
    assert_eq!(ports, [0, 1, 2, 3].map(|port| (addresses(0).0.ip(), port)));
    assert_eq!(buffer.held(queue).unwrap().flows, 4);
    buffer.clear(queue);
    assert_eq!((buffer.flows(queue).count(), buffer.counters().cleared), (0, 40));
}

#[test]
fn r15_a_flow_that_ages_packet_by_packet_is_refused_once() {
    let mut buffer = buffer();
    let queue = buffer.open(at(0));
    for second in 0..5 {
        buffer.push(queue, &udp(1, 50), at(second * 1000)).unwrap();
    }
    let mut refused = 0;
    for second in 60..65 {
        buffer.drop_expired(queue, at(second * 1000), |_| refused += 1);
        assert_eq!(buffer.counters().expired, second - 59);
    }
    assert_eq!(refused, 1);
}

type IpAddrPort = (IpAddr, u16);

fn source(packet: &[u8]) -> IpAddrPort {
    let summary = packet::parse(packet).unwrap();
    (summary.source, summary.transport.flow().unwrap().1)
}

#[test]
fn a_closed_queue_is_void_for_ever() {
    let mut buffer = buffer();
    let queue = buffer.open(at(0));
    buffer.push(queue, &udp(1, 50), at(0)).unwrap();
    buffer.close(queue);
    let again = buffer.open(at(0));
    assert_ne!(queue, again);
    assert_eq!(buffer.push(queue, &udp(1, 50), at(0)), Err(PushError::Closed));
    assert!(buffer.front(queue).is_none() && buffer.held(queue).is_none());
    assert_eq!((buffer.flows(queue).count(), buffer.flows(again).count()), (0, 0));
    buffer.close(queue);
    buffer.push(again, &udp(1, 50), at(0)).unwrap();
    buffer.handle_timeout(at(60_000));
    buffer.close(again);
    assert_eq!(buffer.poll_expired(), None);
    assert_eq!(buffer.counters().cleared, 2);
}

#[test]
fn r41_the_overwriting_ring_loses_the_oldest_and_collapses_what_it_still_holds() {
    let mut buffer = buffer();
    let queue = buffer.open_with(Behaviour::Overwrite { slots: 32 }, at(0));
    let packets: Vec<_> = (0..100).map(|n| tcp(1, n, ACK, 9, b"data")).collect();
    for packet in &packets {
        assert_eq!(buffer.push(queue, packet, at(0)), Ok(Stored::New));
        assert_eq!(buffer.push(queue, packet, at(0)), Ok(Stored::Duplicate));
    }
    assert_eq!(buffer.push(queue, &packets[99], at(1)), Ok(Stored::Duplicate));
    assert_eq!(buffer.push(queue, &packets[0], at(1)), Ok(Stored::New));
    // A retransmitted SYN is one more packet to it.
    for window in [1, 2] {
        assert_eq!(buffer.push(queue, &tcp(2, 7, SYN, window, &[]), at(1)), Ok(Stored::New));
    }
    assert_eq!(buffer.counters().overwritten, 71);
    let held = drain(&mut buffer, queue);
    assert_eq!((held.len(), &held[0], &held[29]), (32, &packets[71], &packets[0]));
}
