//! How long a single call may take: opening flows while the table grows to a million, and ending those
//! that are due. The same is done several times and of each call the least time counts, so that what
//! is told is the table's doing and not the machine's.

use std::time::{Duration, Instant as Clock};

use nat::flow_table::{Binding, FlowTable};
use packet::Instant;
use reference::bimap_nat::BimapNat;

use crate::flows::{BIMAP, LENGTH, NOW, PEER, config, out, real};
use crate::harness::{Row, print_distribution, print_numbers};

const FLOWS: u32 = 1_000_000;
const RUNS: usize = 3;
/// One in so many is due; all others were seen since.
const DUE: u32 = 100;
/// The time-out of a flow that was never answered.
const UNANSWERED: Duration = Duration::from_secs(240);

/// Nanoseconds of each call, the least of all runs.
#[derive(Default)]
struct Calls(Vec<u32>);

impl Calls {
    fn note(&mut self, at: usize, since: Clock) {
        let nanos = since.elapsed().as_nanos() as u32;
        match self.0.get_mut(at) {
            Some(least) => *least = nanos.min(*least),
            None => self.0.push(nanos),
        }
    }

    fn longest(&self) -> f64 {
        self.0.iter().max().copied().unwrap_or(0).into()
    }
}

pub(crate) fn run() {
    let (mut growth, mut expiry) = (Calls::default(), Calls::default());
    let (mut their_growth, mut scan) = (Calls::default(), Calls::default());
    for _ in 0..RUNS {
        ours(&mut growth, &mut expiry);
        theirs(&mut their_growth, &mut scan);
    }
    print_distribution("opening a flow up to 1M", "ours", &mut growth.0.clone());
    print_distribution("opening a flow up to 1M", BIMAP, &mut their_growth.0.clone());
    print_distribution("ending 1% of 1M, per call", "ours", &mut expiry.0.clone());
    print_distribution("ending 1% of 1M, per call", BIMAP, &mut scan.0.clone());
    let row = |name| Row { name, case: "1M flows", peer: "bimap's scan", goal: 200.0 };
    print_numbers(row("longest call, growth"), growth.longest(), scan.longest());
    print_numbers(row("longest call, expiry"), expiry.longest(), scan.longest());
}

/// Opens a million flows, lets all but some be seen later, and ends those.
fn ours(growth: &mut Calls, expiry: &mut Calls) {
    let mut table = FlowTable::new(config(), 7);
    for flow in 0..FLOWS {
        let (summary, binding) = (out(flow), Binding { real: real(flow), epoch: 0, tag: 0 });
        let since = Clock::now();
        let opened = table.create(PEER, &summary, binding, LENGTH, 1, NOW);
        growth.note(flow as usize, since);
        opened.expect("there is room");
    }
    let later = NOW + UNANSWERED / 2;
    for flow in (0..FLOWS).filter(|flow| flow % DUE != 0) {
        table.outbound(PEER, &out(flow), LENGTH, 1, later);
    }
    let due = NOW + UNANSWERED + Duration::from_secs(1);
    let mut at = 0;
    while table.poll_timeout().is_some_and(|(when, _)| when <= due) {
        let since = Clock::now();
        table.handle_timeout(due);
        expiry.note(at, since);
        at += 1;
    }
    assert_eq!(table.counters().timed_out, u64::from(FLOWS / DUE));
}

/// The same; what ends there is unanswered for 60 s.
fn theirs(growth: &mut Calls, scan: &mut Calls) {
    let mut table = BimapNat::default();
    for flow in 0..FLOWS {
        let summary = out(flow);
        let since = Clock::now();
        let opened = table.outbound(&summary, real(flow), NOW);
        growth.note(flow as usize, since);
        opened.expect("there is room");
    }
    let later: Instant = NOW + Duration::from_secs(30);
    for flow in (0..FLOWS).filter(|flow| flow % DUE != 0) {
        table.outbound(&out(flow), real(flow), later);
    }
    let since = Clock::now();
    let ended = table.expire(NOW + Duration::from_secs(61));
    scan.note(0, since);
    assert_eq!(ended, (FLOWS / DUE) as usize);
}
