//! The flow table's hits, out and back, beside the reference's.

use std::hint::black_box;
use std::iter::repeat_n;
use std::net::{IpAddr, Ipv4Addr};

use nat::flow_table::{Binding, Config, Direction, FlowTable, Hint, Inbound, Outbound, PeerIndex};
use packet::{Instant, Summary, TcpFlags, Transport};
use reference::bimap_nat::BimapNat;
use reference::hash_map_nat::HashMapNat;

use crate::harness::{Row, compare};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 64, 0, 1));
pub(crate) const PEER: PeerIndex = PeerIndex(0);
pub(crate) const NOW: Instant = Instant::from_nanos(1_000_000_000);
/// Packets per call.
const BATCH: usize = 65_536;
const TRAIN: usize = 16;
/// Packets that are looked up ahead at a time.
const AHEAD: usize = 64;
/// Flows of one proxy address.
const PER_PROXY: u32 = 50_000;
pub(crate) const LENGTH: u64 = 1280;
pub(crate) const BIMAP: &str = "bimap + BTreeMap";

/// Room for more than is ever opened.
pub(crate) fn config() -> Config {
    let flows = Config::MAX_FLOWS;
    Config { flows_per_peer: flows, flows, events: 0 }
}

pub(crate) fn address(base: [u8; 4], of: u32) -> IpAddr {
    Ipv4Addr::from_bits(u32::from_be_bytes(base) + of).into()
}

/// A segment of the Client to the port of a service.
pub(crate) fn segment(port: u16, destination: IpAddr) -> Summary {
    summary((CLIENT, port), (destination, 443))
}

fn summary(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Summary {
    let flags = TcpFlags::ACK;
    let (from, to) = (source.1, destination.1);
    let transport = Transport::Tcp { source: from, destination: to, sequence: 1, flags };
    let (source, destination) = (source.0, destination.0);
    Summary { source, destination, transport, transport_offset: 20, header_len: 40, ecn: 0 }
}

/// The segment of a flow, by its number.
pub(crate) fn out(flow: u32) -> Summary {
    segment(1024 + (flow % PER_PROXY) as u16, address([100, 96, 0, 1], flow / PER_PROXY))
}

fn back(flow: u32) -> Summary {
    let port = 1024 + (flow % PER_PROXY) as u16;
    summary((real(flow), 443), (CLIENT, port))
}

pub(crate) fn real(flow: u32) -> IpAddr {
    address([10, 0, 0, 1], flow / PER_PROXY)
}

/// The three tables with the same flows.
pub(crate) struct Tables {
    pub(crate) ours: FlowTable,
    pub(crate) bimap: BimapNat,
    pub(crate) hash_map: HashMapNat,
}

impl Tables {
    pub(crate) fn with(flows: u32) -> Self {
        let ours = FlowTable::new(config(), 7);
        let mut tables = Self { ours, bimap: BimapNat::default(), hash_map: HashMapNat::default() };
        for flow in 0..flows {
            let binding = Binding { real: real(flow), epoch: 0, tag: 0 };
            let opened = tables.ours.create(PEER, &out(flow), binding, LENGTH, 1, NOW);
            opened.expect("there is room");
            tables.bimap.outbound(&out(flow), real(flow), NOW).expect("there is room");
            tables.bimap.inbound(&back(flow), NOW).expect("it is there");
            assert!(tables.hash_map.create(&out(flow), real(flow), NOW));
        }
        tables
    }

    /// Hits of random flows, and of 16 packets of each in a row.
    fn hits(&mut self, flows: u32, count: &str, goal: f64) {
        // A row of numbers without order: the same for all.
        let order = |i: usize| (i as u32).wrapping_mul(2_654_435_761) % flows;
        let outs: Vec<_> = (0..BATCH).map(|i| out(order(i))).collect();
        let backs: Vec<_> = (0..BATCH).map(|i| back(order(i))).collect();
        for (in_a_row, case, goal) in [(1, "random", goal), (TRAIN, "16 in a row", 0.0)] {
            let case = format!("{count}, {case}");
            self.compare_out(&outs, in_a_row, &case, goal);
            self.compare_back(&backs, in_a_row, &case, goal);
        }
        self.trains(&outs, &format!("{count}, trains of 16"));
        if flows >= 1_000_000 {
            self.beside_one_flow(&outs, &backs, &format!("{count}, 16 in a row"));
        }
    }

    /// Trains of so many flows, beside those of a table with one.
    fn beside_one_flow(&mut self, outs: &[Summary], backs: &[Summary], case: &str) {
        let (ours, mut one) = (&mut self.ours, Self::with(1).ours);
        let (out, back) = (vec![out(0); outs.len()], vec![back(0); backs.len()]);
        let row = |name| Row { name, case, peer: "itself with one flow", goal: 1.0 / 3.0 };
        let units = outs.len() * TRAIN;
        compare(
            row("hit out"),
            units,
            || each(outs, TRAIN, |packet| hit_out(ours, packet)),
            || each(&out, TRAIN, |packet| hit_out(&mut one, packet)),
        );
        compare(
            row("hit back"),
            units,
            || each(backs, TRAIN, |packet| hit_back(ours, packet)),
            || each(&back, TRAIN, |packet| hit_back(&mut one, packet)),
        );
        compare(
            row("hit out, looked up ahead"),
            units,
            || ahead(ours, Direction::Outbound, outs, TRAIN, hit_out_at),
            || ahead(&mut one, Direction::Outbound, &out, TRAIN, hit_out_at),
        );
    }

    fn compare_out(&mut self, outs: &[Summary], in_a_row: usize, case: &str, goal: f64) {
        let Self { ours, bimap, hash_map } = self;
        let row = |name, peer, goal| Row { name, case, peer, goal };
        let units = outs.len() * in_a_row;
        compare(
            row("hit out", BIMAP, goal),
            units,
            || each(outs, in_a_row, |one| hit_out(ours, one)),
            || each(outs, in_a_row, |one| bimap_out(bimap, one)),
        );
        compare(
            row("hit out, looked up ahead", BIMAP, goal),
            units,
            || ahead(ours, Direction::Outbound, outs, in_a_row, hit_out_at),
            || each(outs, in_a_row, |one| bimap_out(bimap, one)),
        );
        compare(
            row("hit out, looked up ahead", "HashMap", 0.0),
            units,
            || ahead(ours, Direction::Outbound, outs, in_a_row, hit_out_at),
            || each(outs, in_a_row, |one| hash_map_out(hash_map, one)),
        );
    }

    fn compare_back(&mut self, backs: &[Summary], in_a_row: usize, case: &str, goal: f64) {
        let Self { ours, bimap, .. } = self;
        let row = |name| Row { name, case, peer: BIMAP, goal };
        let units = backs.len() * in_a_row;
        compare(
            row("hit back"),
            units,
            || each(backs, in_a_row, |one| hit_back(ours, one)),
            || each(backs, in_a_row, |one| bimap_back(bimap, one)),
        );
        compare(
            row("hit back, looked up ahead"),
            units,
            || ahead(ours, Direction::Inbound, backs, in_a_row, hit_back_at),
            || each(backs, in_a_row, |one| bimap_back(bimap, one)),
        );
    }

    /// One decision for a train, as the data plane asks for it.
    fn trains(&mut self, outs: &[Summary], case: &str) {
        let Self { ours, bimap, .. } = self;
        let bytes = LENGTH * TRAIN as u64;
        compare(
            Row { name: "hit out, one decision", case, peer: BIMAP, goal: 0.0 },
            outs.len() * TRAIN,
            || {
                for one in outs {
                    let found = ours.outbound(PEER, one, bytes, TRAIN as u32, NOW);
                    debug_assert!(matches!(found, Outbound::Hit(_)));
                    black_box(&found);
                }
            },
            || each(outs, TRAIN, |one| bimap_out(bimap, one)),
        );
    }
}

/// Calls `what` with each, so many times in a row.
#[inline(always)]
fn each(summaries: &[Summary], in_a_row: usize, mut what: impl FnMut(&Summary)) {
    for one in summaries {
        for _ in 0..in_a_row {
            what(one);
        }
    }
}

/// The same of ours, looked up ahead.
#[inline(always)]
fn ahead(
    table: &mut FlowTable,
    direction: Direction,
    summaries: &[Summary],
    in_a_row: usize,
    what: impl Fn(&mut FlowTable, Hint, &Summary),
) {
    let mut hints = [Hint::default(); AHEAD];
    for batch in summaries.chunks(AHEAD / in_a_row) {
        let all = || batch.iter().flat_map(|one| repeat_n(one, in_a_row));
        table.look_ahead(direction, all().map(|one| (PEER, one)), &mut hints);
        for (one, hint) in all().zip(hints) {
            what(table, hint, one);
        }
    }
}

#[inline(always)]
fn hit_out(table: &mut FlowTable, summary: &Summary) {
    let found = table.outbound(PEER, summary, LENGTH, 1, NOW);
    debug_assert!(matches!(found, Outbound::Hit(_)));
    black_box(&found);
}

#[inline(always)]
fn hit_out_at(table: &mut FlowTable, hint: Hint, summary: &Summary) {
    let found = table.outbound_at(hint, PEER, summary, LENGTH, 1, NOW);
    debug_assert!(matches!(found, Outbound::Hit(_)));
    black_box(&found);
}

#[inline(always)]
fn hit_back(table: &mut FlowTable, summary: &Summary) {
    let found = table.inbound(PEER, summary, LENGTH, 1, NOW);
    debug_assert!(matches!(found, Inbound::Hit(_)));
    black_box(&found);
}

#[inline(always)]
fn hit_back_at(table: &mut FlowTable, hint: Hint, summary: &Summary) {
    let found = table.inbound_at(hint, PEER, summary, LENGTH, 1, NOW);
    debug_assert!(matches!(found, Inbound::Hit(_)));
    black_box(&found);
}

fn bimap_out(table: &mut BimapNat, summary: &Summary) {
    let found = table.outbound(summary, summary.destination, NOW);
    debug_assert!(found.is_some());
    black_box(&found);
}

fn bimap_back(table: &mut BimapNat, summary: &Summary) {
    let found = table.inbound(summary, NOW);
    debug_assert!(found.is_some());
    black_box(&found);
}

fn hash_map_out(table: &mut HashMapNat, summary: &Summary) {
    let found = table.outbound(summary, NOW);
    debug_assert!(found.is_some());
    black_box(&found);
}

pub(crate) fn run() {
    for (flows, count, goal) in
        [(1, "1 flow", 5.0), (10_000, "10k flows", 8.0), (1_000_000, "1M flows", 15.0)]
    {
        Tables::with(flows).hits(flows, count, goal);
    }
}
