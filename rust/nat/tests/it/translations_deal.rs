//! The deal (R22).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use dns::Name;
use nat::control::ClientId;
use nat::translations::{Config, deal};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::translations::{CLIENT, OTHER, Site, V4, assigned, plain, proxies, records, standing};

fn name() -> Name {
    Name::parse("app.example.net").unwrap()
}

fn real(hosts: impl IntoIterator<Item = u16>) -> Vec<IpAddr> {
    hosts.into_iter().map(|host| [10, 1, (host >> 8) as u8, host as u8].into()).collect()
}

#[test]
fn r22_the_deal_is_the_same_for_ever() {
    // A changed key or input order would deal every name of every site anew: this is a vector, not
    // a guess.
    let dealt = deal(CLIENT, &name(), &proxies(0)[..4], &real([1, 2, 3]));
    let dealt: Vec<String> = dealt.into_iter().map(|real| real.unwrap().to_string()).collect();
    assert_eq!(dealt, ["10.1.0.1", "10.1.0.3", "10.1.0.2", "10.1.0.3"]);
}

#[test]
fn r22_no_address_deals_nothing_and_a_lying_resolver_costs_a_bounded_deal() {
    assert_eq!(deal(CLIENT, &name(), &proxies(0)[..4], &[]), [None; 4]);
    assert!(deal(CLIENT, &name(), &[], &real([1])).is_empty());
    let mut site = Site::new(Config::default());
    site.announce(CLIENT, &plain("app.example.net", 0));
    let many: Vec<(IpAddr, u32)> = real(0..10_000).into_iter().map(|real| (real, 60)).collect();
    let (id, ..) = site.wanted[0].clone();
    site.resolve(id, V4, Ok(many));
    site.run(50);
    assert_eq!(site.last().ipv4, Some(64));
    let dealt: BTreeSet<_> =
        (1..5).map(|at| site.real(CLIENT, &format!("100.96.0.{at}"))).collect();
    assert_eq!(dealt.len(), 4);
}

#[test]
fn r22_few_proxies_move_when_a_record_changes() {
    println!(
        "addresses  proxies that move of 4: one replaced, one added, one removed (mean of 200 names)"
    );
    for count in 1u16..=8 {
        let mut moves = [0; 3];
        for trial in 0..200u16 {
            let name = Name::parse(&format!("host{trial}.example.net")).unwrap();
            let deal = |hosts: Vec<u16>| deal(CLIENT, &name, &proxies(trial)[..4], &real(hosts));
            let before = deal((0..count).collect());
            let changed = [
                deal((1..=count).collect()),
                deal((0..=count).collect()),
                deal((1..count).collect()),
            ];
            for (total, after) in moves.iter_mut().zip(changed) {
                *total +=
                    before.iter().zip(after).filter(|(before, after)| **before != *after).count();
            }
        }
        let mean = moves.map(|total| total as f64 / 200.0);
        println!("{count:9}  {:.2} {:.2} {:.2}", mean[0], mean[1], mean[2]);
        let fair = 4.0 / f64::from(count);
        assert!(mean[0] <= fair + 1.2, "replaced: {mean:?}");
        assert!(mean[1] <= 2.1, "added: {mean:?}");
        assert!(count == 1 || mean[2] <= fair + 1.2, "removed: {mean:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        rng_seed: RngSeed::Fixed(0x5222),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn r22_every_address_is_used_or_every_proxy_differs(
        hosts in prop::collection::btree_set(0u16..1000, 1..20),
        count in 1usize..17,
        seed in any::<u128>(),
    ) {
        let all: Vec<IpAddr> = (0..count).map(|at| [100, 96, 1, at as u8].into()).collect();
        let real = real(hosts.iter().copied());
        let dealt = deal(ClientId(seed), &name(), &all, &real);
        let mut uses: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for real in &dealt {
            *uses.entry(real.unwrap()).or_default() += 1;
        }
        let (share, more) = (count / real.len(), count % real.len());
        prop_assert_eq!(uses.len(), real.len().min(count));
        prop_assert!(uses.values().all(|uses| *uses == share || *uses == share + 1));
        prop_assert_eq!(uses.values().filter(|uses| **uses == share + 1).count(), more);
        // The order in which things are named says nothing.
        let mut backwards = deal(
            ClientId(seed),
            &name(),
            &all.iter().rev().copied().collect::<Vec<_>>(),
            &real.iter().rev().copied().collect::<Vec<_>>(),
        );
        backwards.reverse();
        prop_assert_eq!(backwards, dealt);
    }
}

#[test]
fn r22_a_restarted_and_another_gateway_deal_the_same() {
    let mut site = standing(Config::default());
    let mut second = Site::new(Config { seed: 99, ..Config::default() });
    second.announce(OTHER, &plain("x.example.net", 3));
    second.announce(CLIENT, &assigned("app.example.net", 0, 1, 7));
    let wanted = second.wanted.clone();
    for (id, _, family) in wanted.into_iter().rev() {
        let texts: &[&str] = if family == V4 { &["10.0.0.2", "10.0.0.1"] } else { &["fd12::1"] };
        second.resolve(id, family, Ok(records(texts, 1)));
    }
    for proxy in proxies(0) {
        let proxy = proxy.to_string();
        assert_eq!(site.real(CLIENT, &proxy), second.real(CLIENT, &proxy));
    }
}
