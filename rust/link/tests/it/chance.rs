//! Decisions: how often, how independent, how repeatable.

use link::{Counters, Impairment, Link, LinkConfig};
use packet::{Class, Instant};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use crate::{at, both, drain, millis, numbered, of_class};

fn impaired() -> Impairment {
    Impairment {
        latency: millis(20),
        jitter: millis(2),
        loss: 0.1,
        duplicate: 0.05,
        reorder: 0.02,
        reorder_delay: millis(4),
        bandwidth: Some(100_000_000),
        queue_bytes: 100_000,
    }
}

/// A stream of `count` datagrams of one class, one every 100 µs.
fn send(link: &mut Link, class: Class, count: u32) {
    for number in 0..count {
        let len = 100 + (number as usize * 37) % 1100;
        link.send(&numbered(number, len), class, at(u64::from(number) * 100_000));
    }
}

fn assert_near(found: u64, of: u64, probability: f64) {
    let (found, of) = (found as f64, of as f64);
    let deviation = (of * probability * (1.0 - probability)).sqrt();
    assert!((found - of * probability).abs() < 4.0 * deviation, "{found} of {of}: {probability}");
}

#[test]
fn decisions_are_as_frequent_as_they_are_likely() {
    let mut link = Link::new(both(impaired()), 42);
    send(&mut link, Class::Data, 50_000);
    let arrived = drain(&mut link).len() as u64;
    let counters = link.counters(Class::Data);
    let not_lost = counters.sent - counters.lost;
    assert_eq!((counters.sent, counters.tail_dropped), (50_000, 0));
    assert_eq!(arrived, counters.delivered);
    assert_near(counters.lost, counters.sent, 0.1);
    assert_near(counters.duplicated, not_lost, 0.05);
    assert_near(counters.reordered, not_lost, 0.02);
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_does_not() {
    let run = |seed| {
        let mut link = Link::new(both(impaired()), seed);
        send(&mut link, Class::Data, 2000);
        drain(&mut link)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn control_never_moves_data_by_a_nanosecond() {
    let run = |control: u32, impairment: Impairment| {
        let config = LinkConfig { data: impaired(), control: impairment };
        let mut link = Link::new(config, 9);
        for number in 0..2000 {
            let now = at(u64::from(number) * 100_000);
            for _ in 0..control {
                link.send(&numbered(number, 1200), Class::Control, now);
            }
            link.send(&numbered(number, 900), Class::Data, now);
        }
        of_class(&drain(&mut link), Class::Data)
    };
    let alone = run(0, impaired());
    assert_eq!(run(1, impaired()), alone);
    assert_eq!(run(7, Impairment { loss: 0.9, ..impaired() }), alone);
}

#[test]
fn one_decision_never_shifts_another() {
    let run = |impairment| {
        let mut link = Link::new(both(impairment), 5);
        send(&mut link, Class::Data, 3000);
        of_class(&drain(&mut link), Class::Data)
    };
    let calm = run(Impairment { loss: 0.0, duplicate: 0.0, reorder: 0.0, ..impaired() });
    let lossy = run(Impairment { duplicate: 0.0, reorder: 0.0, ..impaired() });
    assert!(lossy.len() < calm.len());
    assert!(lossy.iter().all(|arrival| calm.contains(arrival)), "what is not lost is not moved");
    let doubled = run(Impairment { loss: 0.0, reorder: 0.0, ..impaired() });
    let mut once = doubled.clone();
    once.dedup();
    assert!(doubled.len() > once.len());
    assert_eq!(once, calm, "a copy comes right behind and moves nothing");
    let reordered = run(Impairment { loss: 0.0, duplicate: 0.0, ..impaired() });
    let moved = reordered.iter().filter(|arrival| !calm.contains(arrival));
    let moved: Vec<_> = moved.copied().collect();
    assert!(!moved.is_empty());
    for (arrival, number) in moved {
        assert!(calm.contains(&(arrival - millis(4), number)), "held for reorder_delay exactly");
    }
}

#[test]
fn held_datagrams_are_passed_by_later_ones() {
    let impairment = Impairment { reorder: 0.1, reorder_delay: millis(1), ..Default::default() };
    let mut link = Link::new(both(impairment), 11);
    send(&mut link, Class::Data, 1000);
    let numbers: Vec<_> = drain(&mut link).iter().map(|(.., number)| *number).collect();
    let late = numbers.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(late > 50, "{late}");
}

#[test]
fn both_classes_have_streams_of_their_own() {
    let run = |class| {
        let mut link = Link::new(both(impaired()), 13);
        send(&mut link, class, 500);
        of_class(&drain(&mut link), class)
    };
    assert_ne!(run(Class::Control), run(Class::Data));
}

fn balance(counters: Counters) -> u64 {
    counters.sent + counters.duplicated - counters.delivered - counters.lost - counters.tail_dropped
}

prop_compose! {
    fn impairment()(
        times in prop::array::uniform3(0..30u64),
        chances in prop::array::uniform3(0.0..1.0f64),
        bandwidth in prop::option::of(1_000_000..1_000_000_000u64),
        queue_bytes in prop_oneof![Just(usize::MAX), 0..20_000usize],
    ) -> Impairment {
        Impairment {
            latency: millis(times[0]), jitter: millis(times[1]), reorder_delay: millis(times[2]),
            loss: chances[0], duplicate: chances[1], reorder: chances[2],
            bandwidth, queue_bytes,
        }
    }
}

proptest! {
    #![proptest_config(Config {
        cases: 300, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default()
    })]

    #[test]
    fn nothing_is_made_up_nothing_vanishes_and_time_goes_forward(
        data in impairment(),
        control in impairment(),
        seed in any::<u64>(),
        steps in prop::collection::vec((0..3_000_000u64, 4..1300usize, any::<bool>()), 1..200),
    ) {
        let mut link = Link::new(LinkConfig { data, control }, seed);
        let (mut now, mut into, mut last) = (Instant::ZERO, Vec::new(), Instant::ZERO);
        for (number, (gap, len, is_control)) in steps.iter().enumerate() {
            now = at(now.as_nanos() + gap);
            while let Some(due) = link.poll_timeout().filter(|due| *due <= now) {
                prop_assert!(due >= last);
                last = due;
                prop_assert!(link.receive(due, &mut into).is_some());
            }
            prop_assert_eq!(link.receive(now, &mut into), None);
            let class = if *is_control { Class::Control } else { Class::Data };
            link.send(&numbered(number as u32, *len), class, now);
            let balance =
                balance(link.counters(Class::Data)) + balance(link.counters(Class::Control));
            prop_assert_eq!(balance, link.in_flight() as u64);
        }
        drain(&mut link);
        prop_assert_eq!(balance(link.counters(Class::Data)), 0);
    }
}
