//! What is allocated, counted: nothing per packet once warm (R16, R37), and few bytes per flow.

#[path = "../../packet/tests/counting/mod.rs"]
mod counting;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use nat::buffer::{Limits, PacketBuffer};
use nat::flow_table::{
    Binding, Config, Direction, FlowTable, Inbound, Outbound, PeerIndex, Quoted,
};
use packet::icmp::Embedded;
use packet::{Instant, Protocol, Summary, TcpFlags, Transport, build};

use counting::{allocations, bytes};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 64, 0, 1));

fn proxy(of: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x6460_0001 + of))
}

fn real(of: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0001 + of))
}

fn segment(source: (IpAddr, u16), destination: (IpAddr, u16), flags: TcpFlags) -> Summary {
    let transport =
        Transport::Tcp { source: source.1, destination: destination.1, sequence: 1, flags };
    Summary {
        source: source.0,
        destination: destination.0,
        transport,
        transport_offset: 20,
        header_len: 40,
        ecn: 0,
    }
}

/// Flow number `of`: 16 peers, each with 16 names, over ports in their order.
fn outbound(of: u32, flags: TcpFlags) -> (PeerIndex, Summary, IpAddr) {
    let (peer, name, port) = (of % 16, of / 16 % 16, 1024 + of / 256);
    (PeerIndex(peer), segment((CLIENT, port as u16), (proxy(name), 443), flags), real(name))
}

/// The answer to [`outbound`].
fn inbound(of: u32, flags: TcpFlags) -> (PeerIndex, Summary) {
    let (peer, out, real) = outbound(of, flags);
    let Some((_, port, _)) = out.transport.flow() else { unreachable!("a segment") };
    (peer, segment((real, 443), (CLIENT, port), flags))
}

fn open(table: &mut FlowTable, of: u32, now: Instant) {
    let (peer, summary, real) = outbound(of, TcpFlags::SYN);
    let binding = Binding { real, epoch: 0, tag: 0 };
    table.create(peer, &summary, binding, 60, 1, now).expect("room");
}

/// Up to a million, looked at often enough to see what the steps of growth take.
#[test]
fn r33_a_flow_takes_at_most_96_bytes_with_both_indexes() {
    let mut table = FlowTable::new(Config { events: 0, ..Config::default() }, 1);
    let before = bytes();
    for of in 0..1_000_000 {
        open(&mut table, of, Instant::ZERO);
        if of >= 200_000 && of % 1000 == 999 {
            let bytes = (bytes() - before) as f64 / f64::from(of + 1);
            assert!(bytes <= 96.0, "{bytes:.2} bytes per flow of {of}");
        }
    }
}

#[test]
fn r37_a_packet_of_a_flow_allocates_nothing() {
    let mut table = FlowTable::new(Config::default(), 1);
    for of in 0..2000 {
        open(&mut table, of, Instant::ZERO);
    }
    let now = Instant::ZERO + Duration::from_secs(1);
    let count = allocations(|| {
        for flags in [TcpFlags::ACK, TcpFlags::FIN, TcpFlags::RST, TcpFlags::ACK] {
            for of in 0..2000 {
                let (peer, summary) = inbound(of, flags);
                assert!(matches!(table.inbound(peer, &summary, 900, 2, now), Inbound::Hit(_)));
                let (peer, summary, _) = outbound(of, flags);
                assert!(matches!(table.outbound(peer, &summary, 900, 2, now), Outbound::Hit(_)));
            }
        }
        for of in 3000..4000 {
            let (peer, summary) = inbound(of, TcpFlags::ACK);
            assert_eq!(table.inbound(peer, &summary, 900, 2, now), Inbound::Miss);
            let (peer, summary, _) = outbound(of, TcpFlags::ACK);
            assert_eq!(table.outbound(peer, &summary, 900, 2, now), Outbound::Miss);
        }
        for of in 0..2000 {
            let quoted = Embedded {
                source: CLIENT,
                destination: real(of / 16 % 16),
                protocol: Protocol::Tcp,
                source_port: (1024 + of / 256) as u16,
                destination_port: 443,
            };
            let found = table.lookup_embedded(PeerIndex(of % 16), &quoted, Direction::Inbound, now);
            assert!(matches!(found, Quoted::Hit(_)));
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn r31_timers_allocate_nothing() {
    let mut table = FlowTable::new(Config::default(), 1);
    for of in 0..2000 {
        open(&mut table, of, Instant::ZERO);
    }
    while table.poll_event().is_some() {}
    let mut now = Instant::ZERO;
    let count = allocations(|| {
        while let Some((when, _)) = table.poll_timeout() {
            now = now.max(when);
            table.handle_timeout(now);
            while table.poll_event().is_some() {}
        }
    });
    assert_eq!((count, table.counters().timed_out, table.counters().resting), (0, 2000, 0));
}

/// Packets of 8 flows, TCP and UDP, all different but for one repeated segment.
fn packets() -> Vec<Vec<u8>> {
    let mut buffer = [0; 1280];
    let packet = |of: u16, buffer: &mut [u8; 1280]| {
        let source = SocketAddr::new(CLIENT, 4000 + of % 8);
        let destination = SocketAddr::new(proxy(1), 443);
        let payload = vec![7; 40 + 10 * usize::from(of)];
        let (sequence, flags) = (of.into(), TcpFlags::ACK);
        let len = match of % 2 {
            0 => build::udp(source, destination, &payload, buffer),
            _ => build::tcp(source, destination, sequence, 0, flags, 9, &payload, buffer),
        };
        buffer[..len.expect("room")].to_vec()
    };
    let mut all: Vec<Vec<u8>> = (0..100).map(|of| packet(of, &mut buffer)).collect();
    all.push(packet(1, &mut buffer));
    all
}

#[test]
fn r16_push_and_drain_allocate_nothing_once_warm() {
    let mut buffer = PacketBuffer::new(Limits::default(), 1);
    let packets = packets();
    let mut round = |now: Instant| {
        let queues: [_; 10] = std::array::from_fn(|_| buffer.open(now));
        for packet in &packets {
            for queue in queues {
                buffer.push(queue, packet, now).expect("room");
            }
        }
        for queue in queues {
            assert_eq!(buffer.flows(queue).count(), 8);
            while buffer.front(queue).is_some() {
                buffer.pop(queue);
            }
            buffer.handle_timeout(now);
            buffer.close(queue);
        }
    };
    round(Instant::ZERO);
    let now = Instant::ZERO + Duration::from_secs(5);
    assert_eq!(allocations(|| (0..3).for_each(|_| round(now))), 0);
}
