//! The flow table where it is crowded: short connections without end, and ports that run out.

use std::net::Ipv4Addr;
use std::time::Duration;

use nat::flow_table::{Binding, Config, FlowTable, Inbound, Outbound, PeerIndex};
use packet::{Instant, Protocol, TcpFlags};

use crate::flow_table_pair::{Pair, from_client, from_outside};
use crate::model_flow_table::{Class, Inside, Model};

/// A small random number generator (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

fn serve_timer(table: &mut FlowTable, now: Instant) {
    while table.poll_timeout().is_some_and(|(when, _)| when <= now) {
        table.handle_timeout(now);
        while table.poll_event().is_some() {}
    }
}

/// One connection that is refused at once, which is the shortest there is. As many ports as Linux gives out come in a cycle of 14 s, each with
/// another proxy address than the last time.
fn connect(table: &mut FlowTable, of: u32, now: Instant) {
    let proxy = Ipv4Addr::new(100, 96, 0, 1 + (of % 4) as u8).into();
    let port = (32_768 + of % 28_231) as u16;
    let inside: Inside = (0, Protocol::Tcp, port, proxy, 443);
    let real = Ipv4Addr::new(10, 0, 0, 1).into();
    let syn = from_client(&inside, TcpFlags::SYN);
    assert_eq!(table.outbound(PeerIndex(0), &syn, 60, 1, now), Outbound::Miss);
    let binding = Binding { real, epoch: 0, tag: 0 };
    let hit = table.create(PeerIndex(0), &syn, binding, 60, 1, now).unwrap();
    let outside = (0, Protocol::Tcp, hit.outside_port, real, 443);
    let answer = from_outside(&outside, TcpFlags::RST | TcpFlags::ACK);
    assert!(matches!(table.inbound(PeerIndex(0), &answer, 60, 1, now), Inbound::Hit(_)));
}

#[test]
fn r33_2000_short_connections_a_second_to_one_address_for_10_minutes_are_all_served() {
    let mut table = FlowTable::new(Config::default(), 1);
    for of in 0..2000 * 600 {
        let now = Instant::ZERO + Duration::from_micros(500) * of;
        if of % 200 == 0 {
            serve_timer(&mut table, now);
        }
        connect(&mut table, of, now);
    }
    let counters = table.counters();
    assert_eq!((counters.refused_cap, counters.refused_exhausted), (0, 0));
    assert_eq!(counters.opened, 1_200_000);
    assert!(counters.live <= 65_536 && counters.resting <= 65_536);
}

/// Few low ports and eight proxy addresses of one host: every port is in use most of the time, and what
/// gives way must be what the naive model says.
#[test]
fn r33_when_ports_run_out_rests_closed_and_unanswered_flows_give_way_in_this_order() {
    let config = Config { flows_per_peer: 3000, ..Config::default() };
    let mut pair = Pair::new(config, 1, true);
    let mut random = Random(1);
    let real = "10.0.0.1".parse().unwrap();
    let flags = [TcpFlags::SYN, TcpFlags::ACK, TcpFlags::RST, TcpFlags::FIN, TcpFlags::ACK];
    for step in 0..6000 {
        let proxy = format!("100.96.0.{}", 1 + random.below(8)).parse().unwrap();
        let inside = (0, Protocol::Tcp, random.below(1024) as u16, proxy, 443);
        let flag = if step < 1500 { TcpFlags::SYN } else { flags[random.below(5) as usize] };
        pair.outbound(inside, flag, real);
        if step >= 5000 {
            // All are answered, and nothing gives way but what is closed.
            let flows = pair.model.flows.iter();
            let asking = flows.filter(|(_, flow)| flow.class() == Class::Unanswered);
            let asking: Vec<_> =
                asking.map(|(inside, flow)| Model::outside(inside, flow)).collect();
            for tuple in asking {
                pair.inbound(tuple, TcpFlags::ACK);
            }
        } else {
            let tuples = pair.model.tuples();
            let tuple = tuples[random.below(tuples.len() as u64) as usize];
            pair.inbound(tuple, flags[random.below(5) as usize]);
        }
        if step % 4 == 0 {
            pair.advance(Duration::from_secs(1));
        }
        if step % 50 == 0 {
            pair.check_all();
        }
    }
    let counters = *pair.table.counters();
    assert!(counters.rests_cut_short > 100 && counters.displaced > 100, "{counters:?}");
    assert!(counters.refused_exhausted > 100, "{counters:?}");
}
