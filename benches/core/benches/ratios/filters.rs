//! Which resource lets a packet pass, by its address and port: of many resources on one address, and of
//! many networks, against asking one after the other and against ourselves with one.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use dns::Prefix;
use packet::Protocol;
use reference::networks::OneByOne;
use tunnel::filter::{Filter, FilterSet, PortRange};
use tunnel::networks::Networks;

use crate::harness::{Row, compare};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 78, 56, 12));
/// Questions per call.
const BATCH: u32 = 1024;
/// As much more as many may take than one.
const FLAT: f64 = 1.0 / 1.2;

/// Ports that each resource lets pass.
const WIDTH: u16 = 5;

fn ports(of: u32) -> PortRange {
    let start = 1024 + of as u16 * WIDTH;
    PortRange { start, end: start + WIDTH - 1 }
}

/// Without order, the same for all.
fn mixed(of: u32) -> u32 {
    of.wrapping_mul(2_654_435_761)
}

/// The n-th of networks that all hold [`ADDRESS`] or lie around it: every length from 8 to 32 bits.
fn network(of: u32) -> Prefix {
    let length = 32 - (of % 25) as u8;
    let bits = 0x0A4E_380C ^ (mixed(of / 25) & 0x00FF_FFFF);
    Prefix::new(Ipv4Addr::from_bits(bits).into(), length).expect("it is short enough")
}

struct Tables {
    ours: Networks,
    theirs: OneByOne,
}

/// Resources with ports of their own, in the networks that `network` names.
fn tables(count: u32, network: impl Fn(u32) -> Prefix) -> Tables {
    let mut tables = Tables { ours: Networks::default(), theirs: OneByOne::default() };
    for of in 0..count {
        let PortRange { start, end } = ports(of);
        let rules = FilterSet::new(&[Filter::Tcp(PortRange { start, end })]);
        tables.ours.insert(network(of), of.into(), of, rules);
        tables.theirs.push(network(of), start..=end);
    }
    tables
}

/// Questions for `address` about ports that a resource of 10,000 lets pass, in no order.
fn questions(address: impl Fn(u32) -> IpAddr) -> Vec<(IpAddr, u16)> {
    (0..BATCH).map(|at| (address(mixed(at)), 1024 + (mixed(at) % 50_000) as u16)).collect()
}

fn ask(networks: &Networks, questions: &[(IpAddr, u16)]) {
    for (address, port) in questions {
        black_box(networks.find(black_box(*address), Protocol::Tcp, *port));
    }
}

fn rows(
    name: &str,
    what: &str,
    network: impl Fn(u32) -> Prefix,
    questions: &[(IpAddr, u16)],
    goal: f64,
) {
    let one = tables(1, &network);
    for count in [100, 10_000] {
        let many = tables(count, &network);
        let case = format!("{count} {what}");
        let case = case.as_str();
        compare(
            Row { name, case, peer: "itself with one", goal },
            questions.len(),
            || ask(&many.ours, questions),
            || ask(&one.ours, questions),
        );
        compare(
            Row { name, case, peer: "one by one", goal: 0.0 },
            questions.len(),
            || ask(&many.ours, questions),
            || {
                for (address, port) in questions {
                    black_box(many.theirs.find(black_box(*address), *port));
                }
            },
        );
    }
}

pub(crate) fn run() {
    let one_address = questions(|_| ADDRESS);
    let same = |_| Prefix::host(ADDRESS);
    rows("match and verdict", "resources on one address", same, &one_address, FLAT);
    rows("match and verdict", "networks, one address", network, &one_address, FLAT);
    let addresses = questions(|at| Ipv4Addr::from_bits(0x0A00_0000 | (at & 0x00FF_FFFF)).into());
    rows("match and verdict", "networks, new addresses", network, &addresses, 0.0);
}
