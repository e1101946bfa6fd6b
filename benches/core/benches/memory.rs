//! Bytes of a flow, counted by the allocator: records and both indexes, at a million flows and where a
//! table that has just grown takes the most. Beside it the reference's. One line of JSON each, as
//! `ratios` prints them; apart from it, because counting costs time.

#![allow(clippy::print_stdout, reason = "its lines are its result")]

#[path = "../../../rust/packet/tests/counting/mod.rs"]
mod counting;

use std::net::{IpAddr, Ipv4Addr};

use nat::flow_table::{Binding, Config, FlowTable, PeerIndex};
use packet::{Instant, Summary, TcpFlags, Transport};
use reference::bimap_nat::BimapNat;

const FLOWS: u32 = 1_000_000;
/// Flows of one proxy address.
const PER_PROXY: u32 = 50_000;

fn address(base: [u8; 4], of: u32) -> IpAddr {
    Ipv4Addr::from_bits(u32::from_be_bytes(base) + of).into()
}

fn out(flow: u32) -> Summary {
    let source = 1024 + (flow % PER_PROXY) as u16;
    Summary {
        source: address([100, 64, 0, 1], 0),
        destination: address([100, 96, 0, 1], flow / PER_PROXY),
        transport: Transport::Tcp { source, destination: 443, sequence: 1, flags: TcpFlags::SYN },
        transport_offset: 20,
        header_len: 40,
        ecn: 0,
    }
}

fn real(flow: u32) -> IpAddr {
    address([10, 0, 0, 1], flow / PER_PROXY)
}

/// Bytes per flow at a million, and the most from a hundred thousand on.
fn measure(mut open: impl FnMut(u32)) -> (f64, f64) {
    let before = counting::bytes();
    let (mut last, mut most) = (0.0, 0.0_f64);
    for flow in 0..FLOWS {
        open(flow);
        last = (counting::bytes() - before) as f64 / f64::from(flow + 1);
        if flow >= FLOWS / 10 {
            most = most.max(last);
        }
    }
    (last, most)
}

fn print(case: &str, peer: &str, goal: f64, ours: f64, reference: f64) {
    println!(
        "{{\"name\":\"memory of a flow\",\"case\":\"{case}\",\"peer\":\"{peer}\",\"goal\":{goal},\
         \"unit\":\"bytes\",\"ours\":{ours:.2},\"reference\":{reference:.2},\"spread\":0,\
         \"quiet\":true}}"
    );
}

fn main() {
    let flows = Config::MAX_FLOWS;
    let mut table = FlowTable::new(Config { flows_per_peer: flows, flows, events: 0 }, 7);
    let (last, most) = measure(|flow| {
        let binding = Binding { real: real(flow), epoch: 0, tag: 0 };
        table.create(PeerIndex(0), &out(flow), binding, 60, 1, Instant::ZERO).expect("room");
    });
    drop(table);
    let mut bimap = BimapNat::default();
    let (their_last, _) = measure(|flow| {
        bimap.outbound(&out(flow), real(flow), Instant::ZERO).expect("room");
    });
    print("1M flows", "96 bytes", 1.0, last, 96.0);
    print("the most from 100k to 1M flows", "96 bytes", 0.0, most, 96.0);
    print("1M flows", "bimap + BTreeMap", 0.0, last, their_last);
}
