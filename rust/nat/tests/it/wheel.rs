//! The timer wheel as its users see it.

use std::collections::BTreeMap;
use std::time::Duration;

use nat::wheel::{Links, NONE, Wheel};
use packet::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

struct Table(Vec<(u32, u32)>);

impl Links for Table {
    fn previous(&self, entry: u32) -> u32 {
        self.0[entry as usize].0
    }
    fn next(&self, entry: u32) -> u32 {
        self.0[entry as usize].1
    }
    fn set_previous(&mut self, entry: u32, previous: u32) {
        self.0[entry as usize].0 = previous;
    }
    fn set_next(&mut self, entry: u32, next: u32) {
        self.0[entry as usize].1 = next;
    }
}

fn table(entries: usize) -> Table {
    Table(vec![(NONE, NONE); entries])
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

#[test]
fn r31_entries_come_at_their_tick_and_not_before() {
    let (mut wheel, mut links) = (Wheel::new(Duration::from_secs(1), 64), table(3));
    wheel.insert(&mut links, 0, at(1500));
    wheel.insert(&mut links, 1, at(3000));
    wheel.insert(&mut links, 2, at(0));
    assert_eq!(wheel.poll_timeout(), Some(at(0)));
    assert_eq!(wheel.pop_due(&mut links, at(0)), Some((2, at(0))));
    assert_eq!(wheel.pop_due(&mut links, at(1999)), None);
    assert_eq!(wheel.poll_timeout(), Some(at(2000)));
    assert_eq!(wheel.pop_due(&mut links, at(2900)), Some((0, at(2000))));
    assert_eq!(wheel.pop_due(&mut links, at(2999)), None);
    assert_eq!(wheel.pop_due(&mut links, at(3000)), Some((1, at(3000))));
    assert_eq!((wheel.pop_due(&mut links, at(90_000)), wheel.poll_timeout()), (None, None));
}

#[test]
fn r31_one_entry_per_call_bounds_the_work() {
    let (mut wheel, mut links) = (Wheel::new(Duration::from_secs(1), 64), table(1000));
    for entry in 0..1000 {
        wheel.insert(&mut links, entry, at(1000));
    }
    let due = std::iter::from_fn(|| wheel.pop_due(&mut links, at(1000)));
    let mut due: Vec<u32> = due.map(|(entry, _)| entry).collect();
    due.sort_unstable();
    assert_eq!(due, (0..1000).collect::<Vec<_>>());
}

#[test]
fn r31_beyond_the_wheel_an_entry_comes_early_and_is_filed_again() {
    let (mut wheel, mut links) = (Wheel::new(Duration::from_secs(1), 64), table(1));
    let deadline = at(200_000);
    wheel.insert(&mut links, 0, deadline);
    let mut visits = 0;
    let mut now = Instant::ZERO;
    while now < deadline {
        now = wheel.poll_timeout().unwrap();
        assert_eq!(wheel.pop_due(&mut links, now), Some((0, now)));
        visits += 1;
        if now < deadline {
            wheel.insert(&mut links, 0, deadline);
        }
    }
    assert_eq!((now, visits), (deadline, 4));
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u32, u64),
    Remove(u32),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..20_u32, 0..200_u64).prop_map(|(entry, ahead)| Step::Insert(entry, ahead)),
        (0..20_u32).prop_map(Step::Remove),
        (0..150_u64).prop_map(Step::Wait),
    ]
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(3),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// With ticks of 10 ms and 64 slots, against a sorted map.
    #[test]
    fn r31_what_is_due_is_what_a_sorted_map_says(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let (mut wheel, mut links) = (Wheel::new(Duration::from_millis(10), 64), table(20));
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Insert(entry, ahead) if !model.contains_key(&entry) => {
                    wheel.insert(&mut links, entry, at(now + ahead));
                    model.insert(entry, now + ahead);
                }
                Step::Remove(entry) if model.remove(&entry).is_some() => {
                    wheel.remove(&mut links, entry);
                }
                Step::Insert(..) | Step::Remove(_) => {}
                Step::Wait(time) => now += time,
            }
            while let Some((entry, slot)) = wheel.pop_due(&mut links, at(now)) {
                let deadline = model[&entry];
                prop_assert!(at(deadline) <= slot && slot <= at(now), "{entry} of {deadline} at {now}");
                model.remove(&entry);
            }
            prop_assert!(model.values().all(|deadline| deadline.next_multiple_of(10) > now));
            let first = model.values().min().map(|deadline| at(deadline.next_multiple_of(10)));
            prop_assert_eq!(wheel.poll_timeout(), first);
        }
    }
}
