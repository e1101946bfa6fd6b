//! Proxy addresses: order, records, and being used again (dataplane §1.2, R08).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use dns::{Exhausted, NameId, Prefix, Proxies, ProxyConfig, ProxyPool, RestoreError};
use packet::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn small(ipv4: &str) -> ProxyPool {
    let config = ProxyConfig {
        ipv4: ipv4.parse().unwrap(),
        ipv6: "fd99::/112".parse().unwrap(),
        excluded: vec!["fd99::4/126".parse().unwrap()],
    };
    ProxyPool::new(&config, 1)
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn all(proxies: &Proxies) -> Vec<IpAddr> {
    let v4 = proxies.ipv4.iter().map(|&address| address.into());
    v4.chain(proxies.ipv6.iter().map(|&address| address.into())).collect()
}

#[test]
fn addresses_are_handed_out_in_upstreams_order() {
    let mut pool = ProxyPool::new(&ProxyConfig::default(), 1);
    let first = pool.assign(NameId(7), at(0)).unwrap();
    let texts: Vec<String> = all(&first).iter().map(ToString::to_string).collect();
    assert_eq!(
        texts[..5],
        ["100.96.0.1", "100.96.0.2", "100.96.0.3", "100.96.0.4", "fd00:2021:1111:8000::"]
    );
    assert_eq!(texts[7], "fd00:2021:1111:8000::3");
    assert_eq!(pool.assign(NameId(7), at(1)), Ok(first), "a name keeps its addresses");
    let second = pool.assign(NameId(9), at(0)).unwrap();
    assert_eq!(second.ipv4[0].to_string(), "100.96.0.5");
    assert_eq!(pool.name_of("100.96.0.6".parse().unwrap()), Some(NameId(9)));
    assert_eq!(pool.name_of("100.96.0.9".parse().unwrap()), None);
    assert_eq!(pool.usage(), (2, 524_223));
}

#[test]
fn sentinels_are_never_handed_out_and_no_address_twice() {
    let mut pool = ProxyPool::new(&ProxyConfig::default(), 1);
    let sentinels = [ProxyConfig::SENTINELS_IPV4, ProxyConfig::SENTINELS_IPV6];
    let mut seen = vec![false; 1 << 21];
    let mut last = None;
    for name in 0..75_000 {
        let proxies = pool.assign(NameId(name), at(0)).unwrap();
        for address in proxies.ipv4 {
            assert!(!sentinels[0].contains(address.into()), "{address}");
            let place = usize::try_from(address.to_bits() & 0x1f_ffff).unwrap();
            assert!(!std::mem::replace(&mut seen[place], true), "{address}");
        }
        assert!(last < Some(proxies.ipv6[0]), "ascending, so never twice");
        last = Some(proxies.ipv6[3]);
    }
    let beyond: IpAddr = "100.100.112.0".parse().unwrap();
    assert!(pool.name_of(beyond).is_some(), "the walk went past the hole");
    for name in (0..75_000).step_by(997) {
        let proxies = pool.proxies(NameId(name)).unwrap();
        assert!(all(&proxies).iter().all(|&address| pool.name_of(address) == Some(NameId(name))));
    }
    for range in sentinels {
        assert_eq!(pool.name_of(range.address()), None);
    }
}

#[test]
fn recorded_addresses_come_back_and_nothing_else_does() {
    let mut pool = ProxyPool::new(&ProxyConfig::default(), 1);
    let ten = {
        let mut other = ProxyPool::new(&ProxyConfig::default(), 1);
        (0..10).map(|name| other.assign(NameId(name), at(0)).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(pool.restore(NameId(40), &ten[4], at(0)), Ok(()));
    assert_eq!(pool.restore(NameId(40), &ten[4], at(0)), Ok(()), "once more is no harm");
    assert_eq!(pool.restore(NameId(41), &ten[4], at(0)), Err(RestoreError::Taken));
    assert_eq!(pool.restore(NameId(40), &ten[5], at(0)), Err(RestoreError::Taken));
    let mixed = Proxies { ipv4: ten[5].ipv4, ipv6: ten[6].ipv6 };
    assert_eq!(pool.restore(NameId(42), &mixed, at(0)), Err(RestoreError::Foreign));
    let elsewhere = Proxies { ipv4: [[10, 0, 0, 1].into(); 4], ..mixed };
    assert_eq!(pool.restore(NameId(42), &elsewhere, at(0)), Err(RestoreError::Foreign));
    for name in 0..8 {
        let proxies = pool.assign(NameId(name), at(0)).unwrap();
        assert_ne!(proxies, ten[4]);
    }
    assert_eq!(pool.assign(NameId(40), at(0)), Ok(ten[4]));
}

#[test]
fn other_ranges_may_be_configured() {
    let config = ProxyConfig {
        ipv4: "198.18.0.0/15".parse().unwrap(),
        ipv6: Prefix::v6(0x2001_0002 << 96, 48),
        excluded: vec!["198.18.0.0/24".parse().unwrap()],
    };
    let mut pool = ProxyPool::new(&config, 1);
    let proxies = pool.assign(NameId(0), at(0)).unwrap();
    assert_eq!(proxies.ipv4[0].to_string(), "198.18.1.0");
    assert_eq!(proxies.ipv6[1].to_string(), "2001:2::1");
    assert_eq!(pool.name_of("100.96.0.1".parse().unwrap()), None);
}

#[test]
fn r08_addresses_are_used_again_only_when_the_pool_is_exhausted_and_only_quiet_ones() {
    let mut pool = small("10.0.0.0/28");
    for name in 0..3 {
        pool.assign(NameId(name), at(u64::from(name))).unwrap();
    }
    pool.touch(NameId(0), at(10));
    pool.touch(NameId(1), at(20));
    pool.touch(NameId(2), at(30));
    for now in [31, 7440, 7450] {
        assert_eq!(pool.assign(NameId(9), at(now)), Err(Exhausted), "{now}");
    }
    let reused = pool.assign(NameId(9), at(7452)).unwrap();
    assert_eq!(reused.ipv4[0].to_string(), "10.0.0.1");
    assert_eq!(pool.name_of(reused.ipv4[0].into()), Some(NameId(9)));
    assert_eq!(pool.proxies(NameId(0)), None);
    assert_eq!(pool.assign(NameId(0), at(7453)), Err(Exhausted));
}

#[test]
fn r08_a_name_that_never_carried_a_packet_gives_way_first() {
    let mut pool = small("10.0.0.0/28");
    for name in 0..3 {
        pool.assign(NameId(name), at(0)).unwrap();
    }
    pool.touch(NameId(0), at(1));
    pool.assign(NameId(1), at(50)).unwrap();
    assert_eq!(pool.assign(NameId(9), at(59)), Err(Exhausted), "just answered");
    pool.assign(NameId(9), at(60)).unwrap();
    assert_eq!(pool.proxies(NameId(2)), None, "idle longest");
    assert!(pool.proxies(NameId(0)).is_some() && pool.proxies(NameId(1)).is_some());
}

#[derive(Clone, Debug)]
enum Step {
    Assign(u32),
    Touch(u32),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u32..12).prop_map(Step::Assign),
        4 => (0u32..12).prop_map(Step::Touch),
        2 => (1u64..100).prop_map(Step::Wait),
        1 => (3000u64..9000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        rng_seed: RngSeed::Fixed(0xd003),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn r08_no_address_changes_its_name_within_7440_s_of_a_packet(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut pool = small("10.0.0.0/27");
        let (mut now, mut packets) = (0, BTreeMap::new());
        let mut owners: BTreeMap<IpAddr, u32> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::Touch(name) => {
                    if let Some(proxies) = pool.proxies(NameId(name)) {
                        pool.touch(NameId(name), at(now));
                        packets.insert(all(&proxies)[0], now);
                    }
                }
                Step::Assign(name) => {
                    let Ok(proxies) = pool.assign(NameId(name), at(now)) else {
                        prop_assert_eq!(pool.usage().0, 7, "refused only when all are taken");
                        continue;
                    };
                    let moved = owners.get(&all(&proxies)[0]).is_some_and(|owner| *owner != name);
                    if moved {
                        let last = packets.remove(&all(&proxies)[0]);
                        prop_assert!(last.is_none_or(|last| now - last >= 7440));
                    }
                    for address in all(&proxies) {
                        owners.insert(address, name);
                        prop_assert_eq!(pool.name_of(address), Some(NameId(name)));
                    }
                }
            }
        }
    }
}
