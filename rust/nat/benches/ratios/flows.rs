//! The flow table: hits both ways, misses, ports under pressure, and a turn of expiry.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use nat::flow_table::{Binding, Config, FlowTable, Inbound, Outbound, PeerIndex};
use packet::{Instant, Summary, TcpFlags, Transport};

use crate::harness::compare;
use crate::reference::Reference;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 64, 0, 1));
const PEER: PeerIndex = PeerIndex(0);
const NOW: Instant = Instant::from_nanos(1_000_000_000);
/// Packets per call.
const BATCH: usize = 65_536;
const TRAIN: usize = 16;
/// Flows of one proxy address.
const PER_PROXY: u32 = 50_000;
const LENGTH: u64 = 1280;

/// Room for more than is ever opened.
fn config() -> Config {
    let flows = Config::MAX_FLOWS;
    Config { flows_per_peer: flows, flows, events: 0 }
}

fn address(base: [u8; 4], of: u32) -> IpAddr {
    Ipv4Addr::from_bits(u32::from_be_bytes(base) + of).into()
}

fn summary(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Summary {
    let flags = TcpFlags::ACK;
    let (from, to) = (source.1, destination.1);
    let transport = Transport::Tcp { source: from, destination: to, sequence: 1, flags };
    let (source, destination) = (source.0, destination.0);
    Summary { source, destination, transport, transport_offset: 20, header_len: 40, ecn: 0 }
}

fn out(flow: u32) -> Summary {
    let port = 1024 + (flow % PER_PROXY) as u16;
    summary((CLIENT, port), (address([100, 96, 0, 1], flow / PER_PROXY), 443))
}

fn back(flow: u32) -> Summary {
    let port = 1024 + (flow % PER_PROXY) as u16;
    summary((real(flow), 443), (CLIENT, port))
}

fn real(flow: u32) -> IpAddr {
    address([10, 0, 0, 1], flow / PER_PROXY)
}

struct Both {
    ours: FlowTable,
    theirs: Reference,
}

impl Both {
    fn with(flows: u32) -> Self {
        let mut both = Self { ours: FlowTable::new(config(), 7), theirs: Reference::default() };
        for flow in 0..flows {
            let binding = Binding { real: real(flow), epoch: 0, tag: 0 };
            let opened = both.ours.create(PEER, &out(flow), binding, LENGTH, 1, NOW);
            opened.expect("there is room");
            assert!(both.theirs.create(&out(flow), real(flow), NOW));
        }
        both
    }

    fn hits(&mut self, flows: u32, count: &str) {
        // A row of numbers without order: the same for both.
        let order = |i: usize| (i as u32).wrapping_mul(2_654_435_761) % flows;
        let outs: Vec<_> = (0..BATCH).map(|i| out(order(i))).collect();
        let backs: Vec<_> = (0..BATCH).map(|i| back(order(i))).collect();
        let Self { ours, theirs } = self;
        let random = format!("{count}, random");
        let trains = format!("{count}, trains of 16");
        compare(
            "hit out",
            &random,
            BATCH,
            || outs.iter().for_each(|one| hit_out(ours, one, 1)),
            || outs.iter().for_each(|one| theirs_out(theirs, one)),
        );
        compare(
            "hit back",
            &random,
            BATCH,
            || backs.iter().for_each(|one| hit_back(ours, one, 1)),
            || backs.iter().for_each(|one| theirs_back(theirs, one)),
        );
        let (outs, backs) = (&outs[..BATCH / TRAIN], &backs[..BATCH / TRAIN]);
        let each = |work: &mut dyn FnMut()| (0..TRAIN).for_each(|_| work());
        compare(
            "hit out",
            &trains,
            BATCH,
            || outs.iter().for_each(|one| hit_out(ours, one, TRAIN as u32)),
            || outs.iter().for_each(|one| each(&mut || theirs_out(theirs, one))),
        );
        compare(
            "hit back",
            &trains,
            BATCH,
            || backs.iter().for_each(|one| hit_back(ours, one, TRAIN as u32)),
            || backs.iter().for_each(|one| each(&mut || theirs_back(theirs, one))),
        );
    }
}

fn hit_out(table: &mut FlowTable, summary: &Summary, packets: u32) {
    let found = table.outbound(PEER, summary, LENGTH * u64::from(packets), packets, NOW);
    debug_assert!(matches!(found, Outbound::Hit(_)));
    black_box(found);
}

fn hit_back(table: &mut FlowTable, summary: &Summary, packets: u32) {
    let found = table.inbound(PEER, summary, LENGTH * u64::from(packets), packets, NOW);
    debug_assert!(matches!(found, Inbound::Hit(_)));
    black_box(found);
}

fn theirs_out(table: &mut Reference, summary: &Summary) {
    black_box(table.outbound(summary, NOW));
}

fn theirs_back(table: &mut Reference, summary: &Summary) {
    black_box(table.inbound(summary, NOW));
}

/// A miss, the flow that it opens, and its end. `used` per cent of the ports are in use towards the
/// address that all go to; without any, each goes to an address of its own. Ours lets ports rest.
fn misses(case: &str, used: u32) {
    const NEW: u32 = 64;
    let class = u32::from(u16::MAX) - 1023;
    let taken = class * used / 100;
    let target = |of: u32| if used == 0 { address([10, 1, 0, 1], of) } else { real(0) };
    let proxy = |of: u32| address([100, 97, 0, 1], of);
    // A port that is in use, if any is: towards the same address, by way of another proxy.
    let new = |of: u32| {
        let port = 1024 + of.wrapping_mul(2_654_435_761) % taken.max(class / 2);
        summary((CLIENT, port as u16), (proxy(of), 443))
    };
    let bind = |of: u32| Binding { real: target(of), epoch: 0, tag: 0 };
    let Both { ours, theirs } = &mut Both::with(0);
    for port in (1024..).take(taken as usize) {
        let fill = summary((CLIENT, port), (address([100, 96, 0, 1], 0), 443));
        ours.create(PEER, &fill, bind(0), LENGTH, 1, NOW).expect("there is room");
        assert!(theirs.create(&fill, target(0), NOW));
    }
    let (mut own, mut other) = (0..u32::MAX, 0..u32::MAX);
    compare(
        "miss, open and end",
        case,
        NEW as usize,
        || {
            for of in own.by_ref().take(NEW as usize) {
                black_box(ours.outbound(PEER, &new(of), LENGTH, 1, NOW));
                let opened = ours.create(PEER, &new(of), bind(of), LENGTH, 1, NOW);
                debug_assert!(opened.is_ok());
                ours.end_proxy(PEER, proxy(of), NOW);
            }
        },
        || {
            for of in other.by_ref().take(NEW as usize) {
                black_box(theirs.outbound(&new(of), NOW));
                theirs.create(&new(of), target(of), NOW);
                theirs.remove(&new(of));
            }
        },
    );
}

/// A turn in which nothing is due, and how much a turn does at most.
fn turns(both: &mut Both, count: &str) {
    let Both { ours, theirs } = both;
    let later = NOW + Duration::from_secs(60);
    compare(
        "expiry, nothing due",
        count,
        1,
        || ours.handle_timeout(later),
        || {
            black_box(theirs.expire(later));
        },
    );
}

pub(crate) fn run() {
    for (flows, count) in [(1, "1 flow"), (10_000, "10k flows"), (1_000_000, "1M flows")] {
        let mut both = Both::with(flows);
        both.hits(flows, count);
        turns(&mut both, count);
    }
    misses("no port in use", 0);
    misses("90 % of the ports in use", 90);
}
