//! Instructions of the core's stations, counted by callgrind by way of gungraun. Set-up is not counted.
//! The number at the end of a case is how many packets or queries are in a count.

#![allow(missing_docs, unused_qualifications, reason = "the macros write what they do")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use dns::{Families, IpStack, Pattern, ProxyConfig, ResourceId, Stub, StubConfig};
use gungraun::prelude::*;
use nat::buffer::{Limits, PacketBuffer};
use nat::flow_table::{Binding, Config, Direction, FlowTable, Hint, PeerIndex};
use packet::{Instant, Summary, TcpFlags, build, parse};

const PEER: PeerIndex = PeerIndex(0);
const NOW: Instant = Instant::from_nanos(1_000_000_000);
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 64, 0, 1));
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 96, 0, 1));
const REAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn segment(from: (IpAddr, u16), to: (IpAddr, u16)) -> Vec<u8> {
    let mut packet = vec![0; 1280];
    let (from, to) = (from.into(), to.into());
    let len = build::tcp(from, to, 1, 1, TcpFlags::ACK, 1000, &[7; 1200], &mut packet);
    packet.truncate(len.expect("it fits"));
    packet
}

/// A table of 1024 flows, and a packet of each, out or back.
fn flows(direction: Direction) -> (FlowTable, Vec<Summary>) {
    let mut table = FlowTable::new(Config { events: 0, ..Config::default() }, 7);
    let binding = Binding { real: REAL, epoch: 0, tag: 0 };
    let packets = (1024..2048).map(|port| {
        let out = parse(&segment((CLIENT, port), (PROXY, 443))).expect("valid");
        table.create(PEER, &out, binding, 1240, 1, NOW).expect("there is room");
        let back = parse(&segment((REAL, 443), (CLIENT, port))).expect("valid");
        table.inbound(PEER, &back, 1240, 1, NOW);
        if direction == Direction::Outbound { out } else { back }
    });
    let packets = packets.collect();
    (table, packets)
}

#[library_benchmark]
#[bench::segments_1000(segment((CLIENT, 5000), (PROXY, 443)))]
fn parsing(packet: Vec<u8>) {
    for _ in 0..1000 {
        black_box(parse(black_box(&packet))).expect("valid");
    }
}

#[library_benchmark]
#[bench::other_flows_1024(flows(Direction::Outbound))]
fn hit_out((mut table, packets): (FlowTable, Vec<Summary>)) -> FlowTable {
    for packet in &packets {
        black_box(&table.outbound(PEER, black_box(packet), 1240, 1, NOW));
    }
    table
}

#[library_benchmark]
#[bench::same_flow_1024(flows(Direction::Outbound))]
fn hit_out_again((mut table, packets): (FlowTable, Vec<Summary>)) -> FlowTable {
    for _ in 0..1024 {
        black_box(&table.outbound(PEER, black_box(&packets[0]), 1240, 1, NOW));
    }
    table
}

#[library_benchmark]
#[bench::other_flows_1024(flows(Direction::Inbound))]
fn hit_back((mut table, packets): (FlowTable, Vec<Summary>)) -> FlowTable {
    for packet in &packets {
        black_box(&table.inbound(PEER, black_box(packet), 1240, 1, NOW));
    }
    table
}

#[library_benchmark]
#[bench::by_64_1024(flows(Direction::Outbound))]
fn hit_out_ahead((mut table, packets): (FlowTable, Vec<Summary>)) -> FlowTable {
    let mut hints = [Hint::default(); 64];
    for batch in packets.chunks(64) {
        let all = batch.iter().map(|packet| (PEER, packet));
        table.look_ahead(Direction::Outbound, all, &mut hints);
        for (packet, hint) in batch.iter().zip(hints) {
            black_box(&table.outbound_at(hint, PEER, packet, 1240, 1, NOW));
        }
    }
    table
}

fn stub() -> (Stub, Vec<u8>) {
    let mut stub = Stub::new(&StubConfig { proxies: ProxyConfig::default(), seed: 7 });
    for i in 0..1000 {
        let pattern = Pattern::parse(&format!("*.site{i}.example")).expect("a pattern");
        stub.resources_mut().insert(ResourceId(i), pattern, IpStack::Dual);
    }
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["app", "site500", "example"] {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    stub.answer(&query, &|_| Families::ALL, 512, Instant::ZERO, &mut [0; 512]);
    (stub, query)
}

#[library_benchmark]
#[bench::known_name_1000(stub())]
fn stub_answer((mut stub, query): (Stub, Vec<u8>)) -> Stub {
    let mut answer = [0; 512];
    for _ in 0..1000 {
        let query = black_box(&query);
        black_box(stub.answer(query, &|_| Families::ALL, 512, Instant::ZERO, &mut answer));
    }
    stub
}

fn held() -> (PacketBuffer, Vec<Vec<u8>>) {
    let packets = (0..256).map(|at| {
        let mut packet = vec![0; 1280];
        let (from, to) = ((CLIENT, 5000).into(), (PROXY, 443).into());
        let len = build::tcp(from, to, at, 1, TcpFlags::ACK, 1000, &[7; 1200], &mut packet);
        packet.truncate(len.expect("it fits"));
        packet
    });
    let packets: Vec<_> = packets.collect();
    let mut buffer = PacketBuffer::new(Limits::default(), 7);
    let queue = buffer.open(NOW);
    packets.iter().for_each(|packet| {
        let _ = buffer.push(queue, packet, NOW);
    });
    buffer.clear(queue);
    (buffer, packets)
}

#[library_benchmark]
#[bench::segments_256(held())]
fn hold_and_release((mut buffer, packets): (PacketBuffer, Vec<Vec<u8>>)) -> PacketBuffer {
    let queue = buffer.open(NOW);
    for packet in &packets {
        black_box(buffer.push(queue, packet, NOW)).expect("there is room");
    }
    while buffer.front(queue).is_some() {
        buffer.pop(queue);
    }
    buffer
}

library_benchmark_group!(
    name = stations,
    benchmarks =
        [parsing, hit_out, hit_out_again, hit_out_ahead, hit_back, stub_answer, hold_and_release,]
);
main!(library_benchmark_groups = stations);
