//! Opening flows where few ports are left: what is opened goes to one address and port, of whose outside
//! ports a part is in use.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant as Clock;

use nat::flow_table::{Binding, FlowTable};
use packet::Summary;
use reference::bimap_nat::BimapNat;

use crate::flows::{BIMAP, LENGTH, NOW, PEER, address, config, segment};
use crate::harness::{Row, print_numbers};

/// Ports of the class that all are of.
const CLASS: u32 = 65_536 - 1024;
/// Flows that are opened at a time, and how often.
const NEW: u32 = 64;
const ROUNDS: u32 = 8;
const TABLES: usize = 3;

fn target(of: u32) -> IpAddr {
    address([10, 0, 0, 1], of)
}

/// One of those that fill the ports; by way of a proxy address of its own.
fn fill(port: u32) -> Summary {
    segment((1024 + port) as u16, address([100, 96, 0, 1], 0))
}

/// A new one: its port is in use, if any is.
fn new(of: u32, taken: u32) -> Summary {
    let port = of.wrapping_mul(2_654_435_761) % taken.max(CLASS / 2);
    segment((1024 + port) as u16, address([100, 97, 0, 1], of))
}

fn binding(real: IpAddr) -> Binding {
    Binding { real, epoch: 0, tag: 0 }
}

/// Nanoseconds per flow, the least of the rounds; all tables have the same number of flows, `used` per
/// cent of the class of them towards the address that the new ones go to.
fn ours(used: u32) -> f64 {
    let taken = CLASS * used / 100;
    let mut least = f64::MAX;
    for _ in 0..TABLES {
        let mut table = FlowTable::new(config(), 7);
        for port in 0..CLASS * 99 / 100 {
            let real = target(u32::from(port >= taken));
            table.create(PEER, &fill(port), binding(real), LENGTH, 1, NOW).expect("room");
        }
        for round in 0..ROUNDS {
            let since = Clock::now();
            for of in round * NEW..(round + 1) * NEW {
                let opened =
                    table.create(PEER, &new(of, taken), binding(target(0)), LENGTH, 1, NOW);
                black_box(&opened).as_ref().expect("room");
            }
            least = least.min(since.elapsed().as_secs_f64() * 1e9 / f64::from(NEW));
        }
    }
    least
}

/// The same of the reference, in which few rounds are enough to see it.
fn theirs(used: u32) -> f64 {
    let taken = CLASS * used / 100;
    let mut table = BimapNat::default();
    for port in 0..CLASS * 99 / 100 {
        let real = target(u32::from(port >= taken));
        table.outbound(&fill(port), real, NOW).expect("room");
    }
    let mut least = f64::MAX;
    for round in 0..ROUNDS / 2 {
        let since = Clock::now();
        for of in round * NEW..(round + 1) * NEW {
            black_box(table.outbound(&new(of, taken), target(0), NOW)).expect("room");
        }
        least = least.min(since.elapsed().as_secs_f64() * 1e9 / f64::from(NEW));
    }
    least
}

pub(crate) fn run() {
    let empty = ours(0);
    for used in [50, 99] {
        let case = format!("{used} % of the ports in use");
        let goal = if used == 99 { 1.0 / 3.0 } else { 0.0 };
        let own = Row { name: "open a flow", case: &case, peer: "itself with none in use", goal };
        let full = ours(used);
        print_numbers(own, full, empty);
        let row = Row { name: "open a flow", case: &case, peer: BIMAP, goal: 0.0 };
        print_numbers(row, full, theirs(used));
    }
    let row = Row { name: "open a flow", case: "no port in use", peer: BIMAP, goal: 0.0 };
    print_numbers(row, empty, theirs(0));
}
