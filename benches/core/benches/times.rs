//! Times of the core by itself: hits by number of flows and by how many are looked up at a time,
//! parsing, and answers of the stub. `make bench` plots them.

use std::hint::black_box;
use std::iter::repeat_n;
use std::net::{IpAddr, Ipv4Addr};

use divan::Bencher;
use divan::counter::ItemsCount;
use nat::flow_table::{Binding, Config, Direction, FlowTable, Hint, PeerIndex};
use packet::{Instant, Summary, TcpFlags, Train, Transport, build, parse};

const NOW: Instant = Instant::from_nanos(1_000_000_000);
const PEER: PeerIndex = PeerIndex(0);
const PACKETS: usize = 65_536;

fn main() {
    divan::main();
}

fn address(base: [u8; 4], of: u32) -> IpAddr {
    Ipv4Addr::from_bits(u32::from_be_bytes(base) + of).into()
}

fn out(flow: u32) -> Summary {
    let transport = Transport::Tcp {
        source: 1024 + (flow % 50_000) as u16,
        destination: 443,
        sequence: 1,
        flags: TcpFlags::ACK,
    };
    Summary {
        source: address([100, 64, 0, 1], 0),
        destination: address([100, 96, 0, 1], flow / 50_000),
        transport,
        transport_offset: 20,
        header_len: 40,
        ecn: 0,
    }
}

/// A table of so many flows, and packets of them without order.
fn flows(count: u32) -> (FlowTable, Vec<Summary>) {
    let flows = Config::MAX_FLOWS;
    let mut table = FlowTable::new(Config { flows_per_peer: flows, flows, events: 0 }, 7);
    for flow in 0..count {
        let binding = Binding { real: address([10, 0, 0, 1], flow / 50_000), epoch: 0, tag: 0 };
        table.create(PEER, &out(flow), binding, 1280, 1, NOW).expect("there is room");
    }
    let order = |i: usize| (i as u32).wrapping_mul(2_654_435_761) % count;
    (table, (0..PACKETS).map(|i| out(order(i))).collect())
}

const COUNTS: [u32; 5] = [1, 100, 10_000, 100_000, 1_000_000];

#[divan::bench(args = COUNTS, sample_count = 20, sample_size = 1)]
fn hit_out(bencher: Bencher<'_, '_>, count: u32) {
    let (mut table, packets) = flows(count);
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        for packet in &packets {
            black_box(&table.outbound(PEER, packet, 1280, 1, NOW));
        }
    });
}

fn looked_up_ahead(table: &mut FlowTable, packets: &[Summary], at_a_time: usize) {
    let mut hints = [Hint::default(); 64];
    for batch in packets.chunks(at_a_time) {
        let all = batch.iter().map(|packet| (PEER, packet));
        table.look_ahead(Direction::Outbound, all, &mut hints[..at_a_time]);
        for (packet, hint) in batch.iter().zip(hints) {
            black_box(&table.outbound_at(hint, PEER, packet, 1280, 1, NOW));
        }
    }
}

#[divan::bench(args = COUNTS, sample_count = 20, sample_size = 1)]
fn hit_out_ahead(bencher: Bencher<'_, '_>, count: u32) {
    let (mut table, packets) = flows(count);
    bencher
        .counter(ItemsCount::new(PACKETS))
        .bench_local(|| looked_up_ahead(&mut table, &packets, 64));
}

#[divan::bench(args = [1, 2, 4, 8, 16, 32, 64], sample_count = 20, sample_size = 1)]
fn hit_out_by_batch(bencher: Bencher<'_, '_>, at_a_time: usize) {
    let (mut table, packets) = flows(1_000_000);
    bencher
        .counter(ItemsCount::new(PACKETS))
        .bench_local(|| looked_up_ahead(&mut table, &packets, at_a_time));
}

fn segment(ipv6: bool) -> Vec<u8> {
    let (from, to): (IpAddr, IpAddr) = if ipv6 {
        ([0xfd00, 0, 0, 0, 0, 0, 0, 1].into(), [0xfd00, 0, 0, 0, 0, 0, 0, 2].into())
    } else {
        ([100, 64, 0, 1].into(), [100, 96, 0, 1].into())
    };
    let mut packet = vec![0; 1280];
    let (from, to) = ((from, 5000).into(), (to, 443).into());
    let len = build::tcp(from, to, 1, 1, TcpFlags::ACK, 1000, &[7; 1200], &mut packet);
    packet.truncate(len.expect("it fits"));
    packet
}

#[divan::bench(args = [4, 6])]
fn parse_segment(bencher: Bencher<'_, '_>, version: u8) {
    let packet = segment(version == 6);
    bencher.bench_local(|| black_box(parse(black_box(&packet))).is_ok());
}

#[divan::bench]
fn verify_checksums(bencher: Bencher<'_, '_>) {
    let packet = segment(false);
    let summary = parse(&packet).expect("valid");
    bencher.bench_local(|| packet::verify(black_box(&packet), &summary));
}

#[divan::bench]
fn rewrite_segment(bencher: Bencher<'_, '_>) {
    let mut packet = segment(false);
    let (proxy, real) = ([100, 96, 0, 1].into(), [10, 0, 0, 1].into());
    let there = packet::Rewrite::outbound(proxy, real, 5000, 5001);
    bencher.bench_local(|| {
        let mut train = Train::single(black_box(&mut packet)).expect("valid");
        train.rewrite(&there);
    });
}

#[divan::bench(args = [1, 16])]
fn hit_out_in_a_row(bencher: Bencher<'_, '_>, in_a_row: usize) {
    let (mut table, packets) = flows(1_000_000);
    bencher.counter(ItemsCount::new(PACKETS * in_a_row)).bench_local(|| {
        for packet in packets.iter().flat_map(|packet| repeat_n(packet, in_a_row)) {
            black_box(&table.outbound(PEER, packet, 1280, 1, NOW));
        }
    });
}
