//! The baseline (R41): it breaks the promise where `Keep` does not.

use std::collections::VecDeque;
use std::time::Duration;

use dns::{Family, IpStack};
use nat::control::Status;
use nat::resource_nat::{Event, RefreshPolicy, Verdict};

use crate::resource_nat::{Bench, KEY};

/// What became of a flow's packets, one a millisecond, while its name is asked for every 50 ms and
/// the Gateway answers after 20 ms.
#[derive(Default, Debug, PartialEq, Eq)]
struct Fate {
    passed: u32,
    held: u32,
    overwritten: u32,
    released: u32,
    thrown_away: u32,
}

fn upload(policy: RefreshPolicy, answer: Status, millis: u32) -> Fate {
    let mut bench = Bench::new(Duration::ZERO, policy);
    bench.establish(IpStack::Ipv4Only);
    bench.status(Status::Active, |status| status.ipv4 = Some(1));
    bench.events.clear();
    let mut fate = Fate::default();
    let mut ring = VecDeque::new();
    for millisecond in 0..millis {
        bench.run(0.001);
        if millisecond % 50 == 0 {
            bench.query();
        }
        if millisecond % 50 == 20 {
            bench.status(answer, |status| status.ipv4 = Some(1));
        }
        for event in std::mem::take(&mut bench.events) {
            match event {
                Event::Release { .. } => fate.released += ring.drain(..).count() as u32,
                Event::GiveUp { silent, .. } => {
                    assert!(silent);
                    fate.thrown_away += ring.drain(..).count() as u32;
                }
                _ => {}
            }
        }
        match bench.decide(Family::Ipv4) {
            Verdict::Pass => fate.passed += 1,
            Verdict::Hold(_) => {
                fate.held += 1;
                ring.push_back(millisecond);
                if ring.len() > 32 {
                    ring.pop_front();
                    fate.overwritten += 1;
                }
            }
            verdict => panic!("{verdict:?}"),
        }
    }
    fate
}

#[test]
fn r41_halt_holds_packets_of_a_working_flow_and_keep_does_not() {
    let keep = upload(RefreshPolicy::Keep, Status::Active, 1000);
    assert_eq!(keep, Fate { passed: 1000, ..Fate::default() });
    let halt = upload(RefreshPolicy::Halt, Status::Active, 1000);
    assert_eq!((halt.passed, halt.held, halt.released), (600, 400, 400));
}

#[test]
fn r41_halt_loses_packets_when_the_answer_is_slow_or_no() {
    let keep = upload(RefreshPolicy::Keep, Status::Inactive, 1000);
    assert_eq!(keep, Fate { passed: 1000, ..Fate::default() });
    let halt = upload(RefreshPolicy::Halt, Status::Inactive, 1000);
    assert_eq!((halt.held, halt.thrown_away), (400, 400), "dropped without a word");

    let mut bench = Bench::new(Duration::ZERO, RefreshPolicy::Halt);
    bench.establish(IpStack::Ipv4Only);
    bench.status(Status::Active, |_| {});
    bench.query();
    let held = (0..100).filter(|_| matches!(bench.decide(Family::Ipv4), Verdict::Hold(_))).count();
    assert_eq!(held, 100, "of which a ring of 32 keeps the last 32");
}

#[test]
fn r41_halt_repeats_a_pending_handshake_by_queries_alone_every_2_s() {
    let mut bench = Bench::new(Duration::ZERO, RefreshPolicy::Halt);
    bench.establish(IpStack::Ipv4Only);
    bench.status(Status::Active, |_| {});
    bench.sent.clear();
    for _ in 0..100 {
        bench.query();
        bench.run(0.1);
    }
    assert_eq!(bench.sent.len(), 5);
    assert!(bench.sent.iter().all(|(_, sent)| sent.id.is_none() && sent.run.is_none()));
    bench.run(600.0);
    assert_eq!(bench.sent.len(), 5, "there is no timer");
    assert_eq!(bench.nat.entry(&KEY).map(|entry| entry.in_flight), Some(false));
}

#[test]
fn r41_keep_is_the_policy_of_every_ordinary_instance() {
    let nat = nat::resource_nat::ResourceNat::new(Default::default());
    assert_eq!(nat.policy(), RefreshPolicy::Keep);
}
