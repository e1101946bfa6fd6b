//! One station of the packet path, a fixed number of times, for callgrind to count instructions of:
//! `path STATION COUNT`. Two counts and their difference give the cost of one packet without that of
//! the set-up. `benches/micro/instructions.py` does that.

#![allow(clippy::print_stdout, reason = "a benchmark's result")]

#[path = "../tests/direct/mod.rs"]
mod direct;

use std::hint::black_box;
use std::net::IpAddr;

use nat::flow_table::{Binding, Config, FlowTable, PeerIndex};
use packet::{Instant, MAX_PACKET, TcpFlags, Train, build, parse};

use direct::{CLIENT_ADDRESS, Direct, REAL};

const STATIONS: [&str; 7] = [
    "parse",
    "nat_hit_out",
    "nat_hit_back",
    "client_out",
    "gateway_out",
    "gateway_back",
    "client_back",
];

/// A full segment of 1200 bytes.
fn segment(from: (IpAddr, u16), to: (IpAddr, u16)) -> Vec<u8> {
    let mut packet = vec![0; MAX_PACKET];
    let (from, to) = (from.into(), to.into());
    let len = build::tcp(from, to, 1, 1, TcpFlags::ACK, 1000, &[7; 1200], &mut packet);
    packet.truncate(len.expect("it fits"));
    packet
}

fn parsing(packet: &[u8], count: usize) {
    for _ in 0..count {
        let _ = black_box(parse(black_box(packet)));
    }
}

fn nat(there: &[u8], back: &[u8], out: bool, count: usize) {
    let (there, back) = (parse(there).expect("valid"), parse(back).expect("valid"));
    let mut table = FlowTable::new(Config::default(), 1);
    let (peer, now) = (PeerIndex(0), Instant::ZERO);
    let binding = Binding { real: back.source, epoch: 0, tag: 0 };
    table.create(peer, &there, binding, 1240, 1, now).expect("there is room");
    for _ in 0..count {
        if out {
            black_box(table.outbound(peer, black_box(&there), 1240, 1, now));
        } else {
            black_box(table.inbound(peer, black_box(&back), 1240, 1, now));
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(station), Some(count)) =
        (arguments.first(), arguments.get(1).and_then(|count| count.parse().ok()))
    else {
        println!("{}", STATIONS.join("\n"));
        return;
    };
    let mut direct = Direct::new();
    let proxy = IpAddr::from(direct.query().ipv4[0]);
    let (client, real) = (IpAddr::from(CLIENT_ADDRESS), IpAddr::from(REAL));
    let there = segment((client, 5000), (proxy, 443));
    let back = segment((real, 443), (client, 5000));
    let mut packet = there.clone();
    direct.client_sends(Train::single(&mut packet).expect("valid"));
    direct.settle();
    packet.copy_from_slice(&back);
    direct.site_sends(Train::single(&mut packet).expect("valid"));
    match station.as_str() {
        "parse" => parsing(&there, count),
        "nat_hit_out" => nat(&there, &back, true, count),
        "nat_hit_back" => nat(&there, &back, false, count),
        "client_out" => direct.only_client_sends(&there, count),
        "gateway_out" => direct.only_gateway_receives(&there, count),
        "gateway_back" => direct.only_site_sends(&back, count),
        "client_back" => direct.only_client_receives(&back, count),
        _ => println!("no such station: {station}"),
    }
}
