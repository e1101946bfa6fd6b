//! `ResourceNat` against the naive model, under random loss, duplication, reordering and time
//! jumps.

use std::time::Duration;

use dns::{Family, IpStack};
use nat::control::{DomainStatus, Status};
use nat::resource_nat::{Event, RefreshPolicy, Verdict};
use packet::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::model_resource_nat::{Model, Said, State};
use crate::resource_nat::{Bench, GATEWAY, NAME, RESOURCE};

const TICK: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
enum Step {
    Query,
    Packet(Family),
    /// A status that answers a message sent `back` handshakes ago: lost ones are those that never
    /// appear, late and repeated ones those that appear again.
    Status {
        back: u64,
        said: Said,
    },
    Ticks(u64),
    Jump(u64),
}

fn said() -> impl Strategy<Value = Said> {
    let count = prop_oneof![Just(None), Just(Some(0)), (1u32..4).prop_map(Some)];
    let id = prop_oneof![4 => Just(Some(0)), 1 => Just(None)];
    (any::<bool>(), [count.clone(), count], any::<bool>(), 0u64..40, id)
        .prop_map(|(yes, counts, stale, ttl, id)| Said { yes, counts, stale, ttl: ttl.min(30), id })
}

fn step() -> impl Strategy<Value = Step> {
    let back = prop_oneof![5 => Just(0), 2 => 1u64..4];
    prop_oneof![
        3 => Just(Step::Query),
        2 => Just(Step::Packet(Family::Ipv4)),
        2 => Just(Step::Packet(Family::Ipv6)),
        4 => (back, said()).prop_map(|(back, said)| Step::Status { back, said }),
        4 => (1u64..100).prop_map(Step::Ticks),
        1 => (100u64..8000).prop_map(Step::Jump),
    ]
}

fn at(tick: u64) -> Instant {
    Instant::ZERO + TICK * u32::try_from(tick).unwrap()
}

fn message(said: &Said) -> DomainStatus {
    let status = if said.yes { Status::Active } else { Status::Inactive };
    DomainStatus {
        id: said.id,
        ipv4: said.counts[0],
        ipv6: said.counts[1],
        ttl: u32::try_from(said.ttl).ok(),
        stale: Some(said.stale),
        ..DomainStatus::plain(RESOURCE, "app.example.net", status)
    }
}

fn sent(bench: &Bench) -> Vec<(u64, u64)> {
    let rows = bench.sent.iter();
    rows.map(|(at, message)| ((at * 10.0).round() as u64, message.id.unwrap())).collect()
}

fn told(bench: &Bench, given_up: bool) -> [u32; 2] {
    Family::ALL.map(|family| {
        let fits = |event: &&Event| match event {
            Event::Release { family: own, .. } => !given_up && *own == family,
            Event::GiveUp { family: own, .. } => given_up && *own == family,
            _ => false,
        };
        u32::try_from(bench.events.iter().filter(fits).count()).unwrap()
    })
}

fn compare(bench: &Bench, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(&sent(bench), &model.sent);
    prop_assert_eq!(told(bench, false), model.released);
    prop_assert_eq!(told(bench, true), model.given_up);
    Ok(())
}

fn run(floor: u64, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut bench = Bench::new(TICK * u32::try_from(floor).unwrap(), RefreshPolicy::Keep);
    bench.establish(IpStack::Dual);
    let (mut model, mut tick) = (Model::new(floor, 0), 0);
    for step in steps {
        match step {
            Step::Query => {
                bench.query();
                model.query(tick);
            }
            Step::Packet(family) => {
                let worked = model.states[family.index()] == State::Pass;
                let verdict = match bench.decide(*family) {
                    Verdict::Pass => State::Pass,
                    Verdict::Hold(_) => State::Hold,
                    Verdict::Refuse => State::Refuse,
                    Verdict::Unknown => return Err(TestCaseError::fail("no entry")),
                };
                prop_assert_eq!(verdict, model.packet(family.index(), tick));
                prop_assert!(!worked || verdict == State::Pass, "the promise");
            }
            Step::Status { back, said } => {
                let newest = model.sent.last().map_or(1, |(_, id)| *id);
                let id = said.id.map(|_| newest.saturating_sub(*back).max(1));
                let said = Said { id, ..*said };
                bench.nat.handle_status(GATEWAY, NAME, &message(&said), bench.now);
                bench.drain();
                model.said(said, tick);
            }
            Step::Ticks(ticks) => {
                for _ in 0..*ticks {
                    tick += 1;
                    bench.run(0.1);
                    bench.now = at(tick);
                    model.look(tick);
                }
            }
            Step::Jump(ticks) => {
                tick += ticks;
                bench.now = at(tick);
                bench.nat.handle_timeout(bench.now);
                bench.drain();
                model.look(tick);
            }
        }
        compare(&bench, &model)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(0x5201),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn r01_r02_r03_r04_r06_r07_r08_agree_with_the_model(
        floor in prop_oneof![Just(0u64), Just(10)],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        run(floor, &steps)?;
    }
}
