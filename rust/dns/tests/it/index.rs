//! The index of resources: what it finds, in which order, and at what cost.

use dns::{IpStack, ResourceId, ResourceIndex};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::pattern::{name, name_text, pattern, pattern_text};

fn index(patterns: &[(u128, &str)]) -> ResourceIndex {
    let mut index = ResourceIndex::new(3);
    for (id, text) in patterns {
        index.insert(ResourceId(*id), pattern(text), IpStack::Dual);
    }
    index
}

fn found(index: &ResourceIndex, host: &str) -> Vec<u128> {
    let mut found = Vec::new();
    index.matches(&name(host), &mut found);
    found.iter().map(|found| found.resource.0).collect()
}

#[test]
fn the_most_specific_pattern_comes_first_then_the_highest_id() {
    let index = index(&[
        (1, "**.example.com"),
        (2, "*.example.com"),
        (3, "foo.example.com"),
        (4, "foo.example.com"),
        (5, "f?o.example.com"),
        (6, "*.org"),
    ]);
    assert_eq!(found(&index, "foo.example.com"), [4, 3, 5, 2, 1]);
    assert_eq!(found(&index, "example.com"), [2, 1]);
    assert_eq!(found(&index, "com"), []);
}

#[test]
fn a_resource_with_several_patterns_is_found_once_by_its_most_specific() {
    let index = index(&[(1, "**.example.com"), (1, "app.example.com"), (2, "*.example.com")]);
    assert_eq!(found(&index, "app.example.com"), [1, 2]);
    assert_eq!(found(&index, "x.example.com"), [2, 1]);
    let best = index.pattern(ResourceId(1), &name("app.example.com"));
    assert_eq!(best, Some(&pattern("app.example.com")));
}

#[test]
fn a_removed_resource_is_not_found_and_leaves_nothing_behind() {
    let mut index = index(&[(1, "a.b.c.d"), (2, "*.c.d"), (2, "x*.d"), (3, "**")]);
    assert!(index.remove(ResourceId(2)) && index.remove(ResourceId(1)));
    assert!(!index.remove(ResourceId(1)));
    assert_eq!(found(&index, "a.b.c.d"), [3]);
    let mut found = Vec::new();
    assert_eq!(index.matches(&name("a.b.c.d"), &mut found), 2, "one node, one pattern");
}

#[test]
fn the_cost_does_not_grow_with_the_number_of_resources() {
    let mut costs = Vec::new();
    for count in [10u128, 1000, 10_000] {
        let mut index = ResourceIndex::new(3);
        for id in 0..count {
            let text = match id % 3 {
                0 => format!("host{id}.site{}.example.com", id % 7),
                1 => format!("*.zone{id}.example.com"),
                _ => format!("**.deep{id}.example.com"),
            };
            index.insert(ResourceId(id), pattern(&text), IpStack::Dual);
        }
        let mut found = Vec::new();
        let hosts = [
            "host3.site3.example.com",
            "a.zone4.example.com",
            "a.b.c.deep5.example.com",
            "nothing.org",
        ];
        costs.push(hosts.map(|host| index.matches(&name(host), &mut found)));
    }
    assert_eq!(costs[0], [6, 5, 5, 1]);
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(0xd002),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_index_finds_what_asking_each_pattern_finds(
        patterns in prop::collection::vec((0u128..6, pattern_text()), 0..12),
        removed in prop::collection::vec(0u128..6, 0..3),
        hosts in prop::collection::vec(name_text(), 1..5),
    ) {
        let mut index = ResourceIndex::new(3);
        for (id, text) in &patterns {
            index.insert(ResourceId(*id), pattern(text), IpStack::Dual);
        }
        for id in &removed {
            index.remove(ResourceId(*id));
        }
        for host in hosts {
            let covers = |(id, text): &&(u128, String)| {
                !removed.contains(id) && pattern(text).matches(&name(&host))
            };
            let mut expected: Vec<_> = patterns.iter().filter(covers).collect();
            expected.sort_by(|a, b| pattern(&a.1).cmp(&pattern(&b.1)).then(b.0.cmp(&a.0)));
            let mut ids: Vec<u128> = Vec::new();
            for (id, _) in expected {
                if !ids.contains(id) {
                    ids.push(*id);
                }
            }
            prop_assert_eq!(found(&index, &host), ids);
        }
    }
}
